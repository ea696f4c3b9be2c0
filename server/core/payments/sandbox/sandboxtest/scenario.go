package sandboxtest

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
)

// Client returns a stripe-go client that reaches nothing but this sandbox.
func (s *Server) Client() *client.API {
	b := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL: stripe.String(s.URL), HTTPClient: &http.Client{}, EnableTelemetry: stripe.Bool(false),
		LeveledLogger: &stripe.LeveledLogger{Level: stripe.LevelNull},
	})
	return client.New(SecretKey, &stripe.Backends{API: b, Connect: b, Uploads: b})
}

// Scenario is the one story that every client library tells: customer, charge by token, decline, partial
// refund and one too much, get, lists, events, idempotent replay. In server/e2e/clients, stripe.mjs tells
// it to npm stripe and stripe_scenario.py to Python's.
func Scenario(t *testing.T, s *Server) {
	sc := s.Client()
	customer, err := sc.Customers.New(&stripe.CustomerParams{Email: stripe.String("ada@example.com"), Source: stripe.String("tok_visa")})
	must(t, err)
	byCustomer, err := sc.Charges.New(&stripe.ChargeParams{
		Amount: stripe.Int64(700), Currency: stripe.String("usd"), Customer: stripe.String(customer.ID),
	})
	must(t, err)
	if byCustomer.Customer.ID != customer.ID || customer.DefaultSource == nil {
		t.Errorf("charge of customer %v, card %v", byCustomer.Customer, customer.DefaultSource)
	}
	second, err := sc.PaymentSources.New(&stripe.PaymentSourceParams{
		Customer: stripe.String(customer.ID), Source: &stripe.PaymentSourceSourceParams{Token: stripe.String("tok_mastercard")},
	})
	must(t, err)
	kept := 0
	for i := sc.PaymentSources.List(&stripe.PaymentSourceListParams{Customer: stripe.String(customer.ID)}); i.Next(); kept++ {
	}
	if second.Card == nil || second.Card.Last4 != "4444" || kept != 2 {
		t.Errorf("second card %v, %d cards kept", second.Card, kept)
	}
	ch := chargeAndReplay(t, sc)
	declineOf(t, sc)
	refundOf(t, sc, ch)
	captureOf(t, sc)
	listsOf(t, sc, ch)
	updated, err := sc.Charges.Update(ch.ID, &stripe.ChargeParams{Description: stripe.String("beans, ground")})
	must(t, err)
	if updated.Description != "beans, ground" || updated.Metadata["order"] != "7" {
		t.Errorf("updated: %q %v", updated.Description, updated.Metadata)
	}
	gone, err := sc.Customers.Del(customer.ID, &stripe.CustomerParams{})
	must(t, err)
	if !gone.Deleted {
		t.Error("the customer is still there")
	}
	balance, err := sc.Balance.Get(&stripe.BalanceParams{})
	must(t, err)
	account, err := sc.Accounts.Get()
	must(t, err)
	if len(balance.Available) == 0 || account.ID == "" {
		t.Errorf("balance %v, account %v", balance, account)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func chargeAndReplay(t *testing.T, sc *client.API) *stripe.Charge {
	t.Helper()
	params := func() *stripe.ChargeParams {
		p := &stripe.ChargeParams{
			Amount: stripe.Int64(1000), Currency: stripe.String("usd"), Description: stripe.String("beans"),
			ReceiptEmail: stripe.String("ada@example.com"), TransferGroup: stripe.String("group-" + t.Name()),
		}
		must(t, p.SetSource("tok_visa"))
		p.AddMetadata("order", "7")
		p.AddExpand("balance_transaction")
		p.SetIdempotencyKey("scenario-" + t.Name())
		return p
	}
	first, err := sc.Charges.New(params())
	must(t, err)
	again, err := sc.Charges.New(params())
	must(t, err)
	if again.ID != first.ID || again.LastResponse.Header.Get("Idempotent-Replayed") != "true" ||
		string(again.LastResponse.RawJSON) != string(first.LastResponse.RawJSON) {
		t.Errorf("replay of %s gave %s: %v", first.ID, again.ID, again.LastResponse.Header)
	}
	if first.BalanceTransaction.Net != 941 || first.PaymentMethodDetails.Card.Last4 != "4242" {
		t.Errorf("charge: %s", first.LastResponse.RawJSON)
	}
	return first
}

func declineOf(t *testing.T, sc *client.API) {
	t.Helper()
	p := &stripe.ChargeParams{Amount: stripe.Int64(1000), Currency: stripe.String("usd")}
	must(t, p.SetSource("tok_chargeDeclinedInsufficientFunds"))
	_, err := sc.Charges.New(p)
	var e *stripe.Error
	if !errors.As(err, &e) || e.Code != stripe.ErrorCodeCardDeclined || e.DeclineCode != "insufficient_funds" || e.HTTPStatusCode != 402 {
		t.Fatalf("decline: %v", err)
	}
	failed, err := sc.Charges.Get(e.ChargeID, &stripe.ChargeParams{})
	must(t, err)
	if failed.Status != stripe.ChargeStatusFailed || failed.Outcome.Type != "issuer_declined" {
		t.Errorf("failed charge: %s", failed.LastResponse.RawJSON)
	}
}

func refundOf(t *testing.T, sc *client.API, ch *stripe.Charge) {
	t.Helper()
	part, err := sc.Refunds.New(&stripe.RefundParams{Charge: stripe.String(ch.ID), Amount: stripe.Int64(400), Reason: stripe.String("requested_by_customer")})
	must(t, err)
	_, err = sc.Refunds.New(&stripe.RefundParams{Charge: stripe.String(ch.ID), Amount: stripe.Int64(601)})
	var e *stripe.Error
	if !errors.As(err, &e) || e.HTTPStatusCode != 400 || e.Param != "amount" {
		t.Errorf("refund of too much: %v", err)
	}
	_, err = sc.Refunds.New(&stripe.RefundParams{Charge: stripe.String(ch.ID)})
	must(t, err)
	_, err = sc.Refunds.New(&stripe.RefundParams{Charge: stripe.String(ch.ID)})
	if !errors.As(err, &e) || e.Code != stripe.ErrorCodeChargeAlreadyRefunded {
		t.Errorf("third refund: %v", err)
	}
	get := &stripe.ChargeParams{}
	get.AddExpand("refunds.data.balance_transaction")
	now, err := sc.Charges.Get(ch.ID, get)
	must(t, err)
	if !now.Refunded || now.AmountRefunded != 1000 || len(now.Refunds.Data) != 2 || now.Refunds.Data[0].BalanceTransaction.Amount != -600 {
		t.Errorf("refunded charge: %s", now.LastResponse.RawJSON)
	}
	p := &stripe.RefundParams{}
	p.AddMetadata("why", "cold")
	changed, err := sc.Refunds.Update(part.ID, p)
	must(t, err)
	if changed.Metadata["why"] != "cold" || changed.Amount != 400 {
		t.Errorf("refund: %s", changed.LastResponse.RawJSON)
	}
}

func captureOf(t *testing.T, sc *client.API) {
	t.Helper()
	p := &stripe.ChargeParams{Amount: stripe.Int64(1000), Currency: stripe.String("eur"), Capture: stripe.Bool(false)}
	must(t, p.SetSource("tok_mastercard"))
	held, err := sc.Charges.New(p)
	must(t, err)
	if held.Captured || held.BalanceTransaction != nil {
		t.Errorf("held: %s", held.LastResponse.RawJSON)
	}
	taken, err := sc.Charges.Capture(held.ID, &stripe.ChargeCaptureParams{Amount: stripe.Int64(900)})
	must(t, err)
	if !taken.Captured || taken.AmountCaptured != 900 || taken.AmountRefunded != 100 {
		t.Errorf("taken: %s", taken.LastResponse.RawJSON)
	}
	_, err = sc.Charges.Capture(held.ID, &stripe.ChargeCaptureParams{})
	var e *stripe.Error
	if !errors.As(err, &e) || e.Code != stripe.ErrorCodeChargeAlreadyCaptured {
		t.Errorf("second capture: %v", err)
	}
}

func listsOf(t *testing.T, sc *client.API, ch *stripe.Charge) {
	t.Helper()
	byGroup := &stripe.ChargeListParams{TransferGroup: stripe.String(ch.TransferGroup)}
	found := 0
	for i := sc.Charges.List(byGroup); i.Next(); found++ {
		if i.Charge().ID != ch.ID {
			t.Errorf("the group holds %s", i.Charge().ID)
		}
	}
	all := &stripe.ChargeListParams{}
	all.Limit = stripe.Int64(1) // so that the client must turn pages
	pages := 0
	for i := sc.Charges.List(all); i.Next(); pages++ {
	}
	refunds := 0
	for i := sc.Refunds.List(&stripe.RefundListParams{Charge: stripe.String(ch.ID)}); i.Next(); refunds++ {
	}
	customers := 0
	for i := sc.Customers.List(&stripe.CustomerListParams{Email: stripe.String("ada@example.com")}); i.Next(); customers++ {
	}
	events := map[string]int{}
	for i := sc.Events.List(&stripe.EventListParams{}); i.Next(); events[string(i.Event().Type)]++ {
	}
	if found != 1 || pages < 4 || refunds != 2 || customers < 1 {
		t.Errorf("lists: group %d, charges %d, refunds %d, customers %d", found, pages, refunds, customers)
	}
	for _, kind := range []string{"charge.succeeded", "charge.failed", "charge.refunded", "charge.captured", "refund.created", "customer.created"} {
		if events[kind] == 0 {
			t.Errorf("there is no event %s: %v", kind, events)
		}
	}
}
