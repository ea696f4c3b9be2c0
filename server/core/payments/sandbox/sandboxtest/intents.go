package sandboxtest

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
)

// Intents tells the story of payment methods and payment intents with stripe-go.
func Intents(t *testing.T, s *Server) {
	sc := s.Client()
	m, err := sc.PaymentMethods.New(&stripe.PaymentMethodParams{
		Type: stripe.String("card"), Card: &stripe.PaymentMethodCardParams{Token: stripe.String("tok_visa")},
		BillingDetails: &stripe.PaymentMethodBillingDetailsParams{Email: stripe.String("ada@example.com"), Name: stripe.String("Ada")},
	})
	must(t, err)
	p, err := sc.PaymentIntents.New(&stripe.PaymentIntentParams{
		Amount: stripe.Int64(1200), Currency: stripe.String("usd"), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
		Description: stripe.String("beans"), ReceiptEmail: stripe.String("ada@example.com"), Metadata: map[string]string{"order": "8"},
	})
	must(t, err)
	if p.Status != stripe.PaymentIntentStatusRequiresPaymentMethod || p.AutomaticPaymentMethods != nil || !strings.HasPrefix(p.ClientSecret, p.ID+"_secret_") {
		t.Errorf("new: %s", p.LastResponse.RawJSON)
	}
	p, err = sc.PaymentIntents.Update(p.ID, &stripe.PaymentIntentParams{Amount: stripe.Int64(1300)})
	must(t, err)
	confirm := &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String(m.ID)}
	confirm.AddExpand("latest_charge.balance_transaction")
	p, err = sc.PaymentIntents.Confirm(p.ID, confirm)
	must(t, err)
	ch := p.LatestCharge
	if p.Status != stripe.PaymentIntentStatusSucceeded || p.AmountReceived != 1300 || ch == nil || ch.Amount != 1300 || !ch.Paid ||
		ch.PaymentIntent.ID != p.ID || ch.Metadata["order"] != "8" || ch.BillingDetails.Name != "Ada" || ch.PaymentMethod != m.ID {
		t.Errorf("paid: %s", p.LastResponse.RawJSON)
	}
	_, err = sc.PaymentIntents.Confirm(p.ID, &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")})
	refusedWith(t, err, 400, "payment_intent_unexpected_state")
	_, err = sc.PaymentIntents.New(&stripe.PaymentIntentParams{
		Amount: stripe.Int64(500), Currency: stripe.String("usd"), PaymentMethod: stripe.String(m.ID), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
	})
	refusedWith(t, err, 400, "") // a payment method without a customer pays once
	r, err := sc.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(p.ID), Amount: stripe.Int64(300)})
	must(t, err)
	if r.PaymentIntent.ID != p.ID || r.Charge.ID != ch.ID {
		t.Errorf("refund: %s", r.LastResponse.RawJSON)
	}
	found := 0
	for i := sc.Refunds.List(&stripe.RefundListParams{PaymentIntent: stripe.String(p.ID)}); i.Next(); found++ {
	}
	for i := sc.Charges.List(&stripe.ChargeListParams{PaymentIntent: stripe.String(p.ID)}); i.Next(); found++ {
	}
	for i := sc.PaymentIntents.List(&stripe.PaymentIntentListParams{}); i.Next(); {
		if i.PaymentIntent().ID == p.ID {
			found++
		}
	}
	if found != 3 {
		t.Errorf("the lists hold %d of a refund, a charge and an intent", found)
	}
	automatic(t, sc)
	held(t, sc)
	kept(t, sc)
	intentDeclines(t, s)
	asked(t, s, sc)
}

func refusedWith(t *testing.T, err error, status int, code string) *stripe.Error {
	t.Helper()
	var e *stripe.Error
	if !errors.As(err, &e) || e.HTTPStatusCode != status || string(e.Code) != code {
		t.Fatalf("want %d %q, got %v", status, code, err)
	}
	return e
}

// automatic methods are the default of the version, and then a return URL is needed.
func automatic(t *testing.T, sc *client.API) {
	t.Helper()
	params := func() *stripe.PaymentIntentParams {
		return &stripe.PaymentIntentParams{
			Amount: stripe.Int64(900), Currency: stripe.String("eur"), PaymentMethod: stripe.String("pm_card_visa"), Confirm: stripe.Bool(true),
		}
	}
	_, err := sc.PaymentIntents.New(params())
	refusedWith(t, err, 400, "")
	never := params()
	never.AutomaticPaymentMethods = &stripe.PaymentIntentAutomaticPaymentMethodsParams{Enabled: stripe.Bool(true), AllowRedirects: stripe.String("never")}
	p, err := sc.PaymentIntents.New(never)
	must(t, err)
	if p.Status != stripe.PaymentIntentStatusSucceeded || p.AutomaticPaymentMethods.AllowRedirects != "never" {
		t.Errorf("automatic: %s", p.LastResponse.RawJSON)
	}
	both := never
	both.PaymentMethodTypes = stripe.StringSlice([]string{"card"})
	_, err = sc.PaymentIntents.New(both)
	refusedWith(t, err, 400, "")
	back := params()
	back.ReturnURL = stripe.String("https://shop.example/back")
	p, err = sc.PaymentIntents.New(back)
	must(t, err)
	if p.Status != stripe.PaymentIntentStatusSucceeded || !p.AutomaticPaymentMethods.Enabled {
		t.Errorf("with a return URL: %s", p.LastResponse.RawJSON)
	}
}

// held money is captured in part, or released.
func held(t *testing.T, sc *client.API) {
	t.Helper()
	hold := func() *stripe.PaymentIntent {
		p, err := sc.PaymentIntents.New(&stripe.PaymentIntentParams{
			Amount: stripe.Int64(1000), Currency: stripe.String("usd"), PaymentMethod: stripe.String("pm_card_mastercard"), Confirm: stripe.Bool(true),
			CaptureMethod: stripe.String("manual"), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
		})
		must(t, err)
		if p.Status != stripe.PaymentIntentStatusRequiresCapture || p.AmountCapturable != 1000 {
			t.Errorf("held: %s", p.LastResponse.RawJSON)
		}
		return p
	}
	p := hold()
	_, err := sc.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(p.ID)})
	refusedWith(t, err, 400, "")
	p, err = sc.PaymentIntents.Capture(p.ID, &stripe.PaymentIntentCaptureParams{AmountToCapture: stripe.Int64(800)})
	must(t, err)
	if p.Status != stripe.PaymentIntentStatusSucceeded || p.AmountReceived != 800 {
		t.Errorf("captured: %s", p.LastResponse.RawJSON)
	}
	_, err = sc.PaymentIntents.Capture(p.ID, &stripe.PaymentIntentCaptureParams{})
	refusedWith(t, err, 400, "payment_intent_unexpected_state")
	p, err = sc.PaymentIntents.Cancel(hold().ID, &stripe.PaymentIntentCancelParams{CancellationReason: stripe.String("abandoned")})
	must(t, err)
	ch, err := sc.Charges.Get(p.LatestCharge.ID, &stripe.ChargeParams{})
	must(t, err)
	if p.Status != stripe.PaymentIntentStatusCanceled || p.CancellationReason != "abandoned" || !ch.Refunded || ch.Captured {
		t.Errorf("released: %s %s", p.LastResponse.RawJSON, ch.LastResponse.RawJSON)
	}
	_, err = sc.PaymentIntents.Cancel(p.ID, &stripe.PaymentIntentCancelParams{})
	refusedWith(t, err, 400, "payment_intent_unexpected_state")
}

// kept cards belong to a customer and pay more than once.
func kept(t *testing.T, sc *client.API) {
	t.Helper()
	customer, err := sc.Customers.New(&stripe.CustomerParams{Email: stripe.String("ada@example.com")})
	must(t, err)
	m, err := sc.PaymentMethods.Attach("pm_card_visa", &stripe.PaymentMethodAttachParams{Customer: stripe.String(customer.ID)})
	must(t, err)
	for range 2 {
		p, err := sc.PaymentIntents.New(&stripe.PaymentIntentParams{
			Amount: stripe.Int64(600), Currency: stripe.String("usd"), Customer: stripe.String(customer.ID), PaymentMethod: stripe.String(m.ID),
			Confirm: stripe.Bool(true), OffSession: stripe.Bool(true), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
		})
		must(t, err)
		if p.Status != stripe.PaymentIntentStatusSucceeded || p.Customer.ID != customer.ID {
			t.Errorf("kept card: %s", p.LastResponse.RawJSON)
		}
	}
	_, err = sc.PaymentIntents.New(&stripe.PaymentIntentParams{
		Amount: stripe.Int64(600), Currency: stripe.String("usd"), PaymentMethod: stripe.String(m.ID), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
	})
	refusedWith(t, err, 400, "")
	m, err = sc.PaymentMethods.Detach(m.ID, &stripe.PaymentMethodDetachParams{})
	must(t, err)
	if m.Customer != nil {
		t.Errorf("detached: %s", m.LastResponse.RawJSON)
	}
	_, err = sc.PaymentMethods.Attach(m.ID, &stripe.PaymentMethodAttachParams{Customer: stripe.String(customer.ID)})
	refusedWith(t, err, 400, "")
}

// intentDeclines goes through the predefined payment methods that are declined.
func intentDeclines(t *testing.T, s *Server) {
	t.Helper()
	for method, want := range map[string][3]string{
		"pm_card_chargeDeclined":                       {"card_declined", "generic_decline", ""},
		"pm_card_visa_chargeDeclined":                  {"card_declined", "generic_decline", ""},
		"pm_card_visa_chargeDeclinedInsufficientFunds": {"card_declined", "insufficient_funds", ""},
		"pm_card_visa_chargeDeclinedLostCard":          {"card_declined", "lost_card", ""},
		"pm_card_visa_chargeDeclinedStolenCard":        {"card_declined", "stolen_card", ""},
		"pm_card_chargeDeclinedExpiredCard":            {"expired_card", "", "exp_month"},
		"pm_card_chargeDeclinedIncorrectCvc":           {"incorrect_cvc", "", "cvc"},
		"pm_card_chargeDeclinedProcessingError":        {"processing_error", "", ""},
		"pm_card_chargeDeclinedFraudulent":             {"card_declined", "fraudulent", ""},
		"pm_card_radarBlock":                           {"card_declined", "fraudulent", ""},
		"pm_card_chargeCustomerFail":                   {"card_declined", "generic_decline", ""},
		"pm_card_cvcCheckFail":                         {"incorrect_cvc", "", "cvc"},
	} {
		a := s.Do(t, http.MethodPost, "/v1/payment_intents", "amount=1000&currency=usd&confirm=true&payment_method_types[]=card&payment_method="+method)
		a.Refused(t, http.StatusPaymentRequired, "card_error", want[0], want[1], want[2])
		id := a.Text("error.payment_intent.id")
		p := s.Do(t, http.MethodGet, "/v1/payment_intents/"+id, "expand[]=latest_charge").OK(t)
		if p.Text("status") != "requires_payment_method" || p.Text("last_payment_error.code") != want[0] || p.At("payment_method") != nil ||
			p.Text("latest_charge.status") != "failed" || p.Text("latest_charge.id") != a.Text("error.charge") {
			t.Errorf("%s: %s", method, p.Raw)
		}
		again := s.Do(t, http.MethodPost, "/v1/payment_intents/"+id+"/confirm", "payment_method=pm_card_visa").OK(t)
		if again.Text("status") != "succeeded" || again.At("last_payment_error") != nil {
			t.Errorf("%s: another card: %s", method, again.Raw)
		}
	}
}

// asked are cards that want the shopper to authenticate.
func asked(t *testing.T, s *Server, sc *client.API) {
	t.Helper()
	params := func() *stripe.PaymentIntentParams {
		return &stripe.PaymentIntentParams{
			Amount: stripe.Int64(1100), Currency: stripe.String("usd"), PaymentMethod: stripe.String("pm_card_threeDSecure2Required"),
			Confirm: stripe.Bool(true), PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
		}
	}
	back := params()
	back.ReturnURL = stripe.String("https://shop.example/back?a=1")
	p, err := sc.PaymentIntents.New(back)
	must(t, err)
	if p.Status != stripe.PaymentIntentStatusRequiresAction || p.NextAction.RedirectToURL == nil ||
		!strings.HasSuffix(p.NextAction.RedirectToURL.URL, "/_stripe/3ds/"+p.ID) || p.LatestCharge != nil {
		t.Errorf("asked: %s", p.LastResponse.RawJSON)
	}
	confirmAtBank(t, s, p.ID)
	get := &stripe.PaymentIntentParams{}
	get.AddExpand("latest_charge")
	p, err = sc.PaymentIntents.Get(p.ID, get)
	must(t, err)
	if p.Status != stripe.PaymentIntentStatusSucceeded || p.LatestCharge.PaymentMethodDetails.Card.ThreeDSecure.Result != "authenticated" {
		t.Errorf("confirmed: %s", p.LastResponse.RawJSON)
	}
	p, err = sc.PaymentIntents.New(params())
	must(t, err)
	if p.NextAction.Type != "use_stripe_sdk" {
		t.Errorf("asked without a return URL: %s", p.LastResponse.RawJSON)
	}
	for _, change := range []func(*stripe.PaymentIntentParams){
		func(p *stripe.PaymentIntentParams) { p.OffSession = stripe.Bool(true) },
		func(p *stripe.PaymentIntentParams) { p.ErrorOnRequiresAction = stripe.Bool(true) },
	} {
		p := params()
		change(p)
		_, err = sc.PaymentIntents.New(p)
		if e := refusedWith(t, err, 402, "authentication_required"); e.PaymentIntent == nil || e.DeclineCode != "authentication_required" {
			t.Errorf("authentication required: %v", e.Code)
		}
	}
}

// confirmAtBank presses Complete on the page of the bank.
func confirmAtBank(t *testing.T, s *Server, intent string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/_stripe/3ds/"+intent, strings.NewReader("outcome=complete"))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultTransport.RoundTrip(r)
	must(t, err)
	must(t, res.Body.Close())
	if res.StatusCode != http.StatusSeeOther {
		t.Errorf("the bank answers %d", res.StatusCode)
	}
}

// SessionParams is a checkout of two bags and one cup, for stripe-go.
func SessionParams() *stripe.CheckoutSessionParams {
	item := func(name string, amount, quantity int64) *stripe.CheckoutSessionLineItemParams {
		return &stripe.CheckoutSessionLineItemParams{
			Quantity: stripe.Int64(quantity),
			PriceData: &stripe.CheckoutSessionLineItemPriceDataParams{
				Currency: stripe.String("usd"), UnitAmount: stripe.Int64(amount),
				ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String(name)},
			},
		}
	}
	return &stripe.CheckoutSessionParams{
		Mode: stripe.String("payment"), LineItems: []*stripe.CheckoutSessionLineItemParams{item("Beans <1 kg>", 1450, 2), item("Cup", 600, 1)},
		SuccessURL: stripe.String("http://shop.example/orders/7?cs={CHECKOUT_SESSION_ID}"), CancelURL: stripe.String("http://shop.example/orders/7/cancelled"),
		ClientReferenceID: stripe.String("order-7"), CustomerEmail: stripe.String("ada@example.com"),
		ExpiresAt: stripe.Int64(time.Now().Add(31 * time.Minute).Unix()), Metadata: map[string]string{"order_id": "7"},
		PaymentIntentData: &stripe.CheckoutSessionPaymentIntentDataParams{
			Description: stripe.String("order 7"), Metadata: map[string]string{"payment_id": "9"}, ReceiptEmail: stripe.String("ada@example.com"),
		},
	}
}

// Sessions tells the story of checkout sessions, paid without a browser.
func Sessions(t *testing.T, s *Server) {
	sc := s.Client()
	params := func() *stripe.CheckoutSessionParams {
		p := SessionParams()
		p.SetIdempotencyKey("session-" + t.Name())
		return p
	}
	at := params()
	cs, err := sc.CheckoutSessions.New(at)
	must(t, err)
	again := params()
	again.ExpiresAt = at.ExpiresAt
	twin, err := sc.CheckoutSessions.New(again)
	must(t, err)
	if twin.ID != cs.ID || cs.AmountTotal != 3500 || cs.Status != "open" || cs.PaymentStatus != "unpaid" || cs.PaymentIntent != nil ||
		cs.UIMode != "hosted" || !strings.HasSuffix(cs.URL, "/_stripe/pay/"+cs.ID) || !strings.HasPrefix(cs.ID, "cs_test_a1") {
		t.Errorf("new: %s", cs.LastResponse.RawJSON)
	}
	items := 0
	for i := sc.CheckoutSessions.ListLineItems(&stripe.CheckoutSessionListLineItemsParams{Session: stripe.String(cs.ID)}); i.Next(); items++ {
		if i.LineItem().Price.UnitAmount*i.LineItem().Quantity != i.LineItem().AmountTotal {
			t.Errorf("line item: %+v", i.LineItem())
		}
	}
	s.Do(t, http.MethodPost, "/v1/payment_pages/"+cs.ID+"/confirm", "expected_amount=3500&payment_method=pm_card_chargeDeclined").
		Refused(t, 402, "card_error", "card_declined", "generic_decline", "")
	s.Do(t, http.MethodPost, "/v1/payment_pages/"+cs.ID+"/confirm", "expected_amount=1&payment_method=pm_card_visa").
		Refused(t, 400, invalid, "", "", "expected_amount")
	for range 2 { // a second press changes nothing
		s.Do(t, http.MethodPost, "/v1/payment_pages/"+cs.ID+"/confirm", "expected_amount=3500&payment_method=pm_card_visa").OK(t)
	}
	get := &stripe.CheckoutSessionParams{}
	get.AddExpand("payment_intent.latest_charge")
	get.AddExpand("line_items")
	cs, err = sc.CheckoutSessions.Get(cs.ID, get)
	must(t, err)
	p := cs.PaymentIntent
	if cs.Status != "complete" || cs.PaymentStatus != "paid" || cs.URL != "" || items != 2 || len(cs.LineItems.Data) != 2 || p == nil ||
		p.Metadata["payment_id"] != "9" || p.LatestCharge.Amount != 3500 || p.LatestCharge.Description != "order 7" ||
		cs.CustomerDetails.Email != "ada@example.com" || p.LatestCharge.ReceiptEmail != "ada@example.com" {
		t.Errorf("paid: %s", cs.LastResponse.RawJSON)
	}
	_, err = sc.CheckoutSessions.Expire(cs.ID, &stripe.CheckoutSessionExpireParams{})
	refusedWith(t, err, 400, "")
	expired(t, s, sc)
	dialects(t, s)
	byIntent := &stripe.CheckoutSessionListParams{PaymentIntent: stripe.String(p.ID)}
	for i := sc.CheckoutSessions.List(byIntent); i.Next(); {
		if i.CheckoutSession().ID != cs.ID {
			t.Errorf("the list by intent holds %s", i.CheckoutSession().ID)
		}
	}
}

func expired(t *testing.T, s *Server, sc *client.API) {
	t.Helper()
	cs, err := sc.CheckoutSessions.New(SessionParams())
	must(t, err)
	s.Do(t, http.MethodPost, "/v1/payment_pages/"+cs.ID+"/confirm", "payment_method=pm_card_threeDSecure2Required").OK(t)
	cs, err = sc.CheckoutSessions.Expire(cs.ID, &stripe.CheckoutSessionExpireParams{})
	must(t, err)
	p, err := sc.PaymentIntents.Get(cs.PaymentIntent.ID, &stripe.PaymentIntentParams{})
	must(t, err)
	if cs.Status != "expired" || cs.URL != "" || p.Status != stripe.PaymentIntentStatusCanceled {
		t.Errorf("expired: %s %s", cs.LastResponse.RawJSON, p.LastResponse.RawJSON)
	}
	s.Do(t, http.MethodPost, "/v1/payment_pages/"+cs.ID+"/confirm", "payment_method=pm_card_visa").Refused(t, 400, invalid, "", "", "")
}

// dialects are the words of old and new API versions for the ways to show a page.
func dialects(t *testing.T, s *Server) {
	t.Helper()
	const item = "mode=payment&line_items[0][quantity]=1&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=900" +
		"&line_items[0][price_data][product_data][name]=Beans"
	for _, c := range [][3]string{
		{"2023-10-16", "&success_url=http://shop.example/&ui_mode=hosted", "hosted"},
		{"2026-10-28.endive", "&success_url=http://shop.example/&ui_mode=hosted_page", "hosted_page"},
		{"2026-10-28.endive", "&success_url=http://shop.example/", "hosted_page"},
		{"2023-10-16", "&return_url=http://shop.example/&ui_mode=embedded", "embedded"},
		{"2026-10-28.endive", "&return_url=http://shop.example/&ui_mode=embedded_page", "embedded_page"},
	} {
		a := s.Do(t, http.MethodPost, "/v1/checkout/sessions", item+c[1], "Stripe-Version", c[0]).OK(t)
		if a.Text("ui_mode") != c[2] || (a.Text("url") == "") != strings.HasPrefix(c[2], "embedded") {
			t.Errorf("%v: %s", c, a.Raw)
		}
	}
}
