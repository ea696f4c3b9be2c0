package sandbox_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"crema/server/core/payments/sandbox"
	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

// shopper is a browser without JavaScript that does not follow redirects.
type shopper struct {
	t *testing.T
	c *http.Client
}

func newShopper(t *testing.T) shopper {
	t.Helper()
	return shopper{t, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

type sight struct {
	status   int
	html     string
	location string
	policy   string
}

func (b shopper) do(method, url string, form url.Values) sight {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, url, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return sight{res.StatusCode, string(raw), res.Header.Get("Location"), res.Header.Get("Content-Security-Policy")}
}

func (b shopper) get(url string) sight { b.t.Helper(); return b.do(http.MethodGet, url, nil) }

func card(number string) url.Values {
	return url.Values{"email": {"ada@example.com"}, "number": {number}, "expiry": {"12 / 40"}, "cvc": {"123"}, "name": {"Ada"}}
}

func (s sight) wants(t *testing.T, status int, texts ...string) {
	t.Helper()
	if s.status != status {
		t.Errorf("got %d, want %d: %s", s.status, status, s.html)
	}
	for _, text := range texts {
		if !strings.Contains(s.html, text) {
			t.Errorf("the page lacks %q: %s", text, s.html)
		}
	}
}

func session(t *testing.T, s *sandboxtest.Server, change func(*stripe.CheckoutSessionParams)) *stripe.CheckoutSession {
	t.Helper()
	p := sandboxtest.SessionParams()
	if change != nil {
		change(p)
	}
	cs, err := s.Client().CheckoutSessions.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func reload(t *testing.T, s *sandboxtest.Server, id string) *stripe.CheckoutSession {
	t.Helper()
	p := &stripe.CheckoutSessionParams{}
	p.AddExpand("payment_intent.latest_charge")
	cs, err := s.Client().CheckoutSessions.Get(id, p)
	if err != nil {
		t.Fatal(err)
	}
	return cs
}

func TestHostedPage_TakesACardWithoutJavaScript(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	b, cs := newShopper(t), session(t, s, nil)
	open := b.get(cs.URL)
	open.wants(t, 200, "SANDBOX", "$35.00", "Beans &lt;1 kg&gt;", "2 × $14.50", "Pay $35.00", "ada@example.com", "4242 4242 4242 4242",
		`href="http://shop.example/orders/7/cancelled"`, `<label for="number">`)
	if strings.Contains(open.html, "<script") || !strings.Contains(open.policy, "default-src 'none'") || !strings.Contains(open.policy, "form-action 'self' http://shop.example") {
		t.Errorf("policy %q", open.policy)
	}
	b.get(s.URL+"/_stripe/pages.css").wants(t, 200, ".ribbon")
	paid := b.do(http.MethodPost, cs.URL, card("4242 4242 4242 4242"))
	if want := "http://shop.example/orders/7?cs=" + cs.ID; paid.status != 303 || paid.location != want {
		t.Errorf("got %d %s, want 303 %s", paid.status, paid.location, want)
	}
	now := reload(t, s, cs.ID)
	if now.PaymentStatus != "paid" || now.PaymentIntent.LatestCharge.Amount != 3500 || now.CustomerDetails.Name != "Ada" {
		t.Errorf("paid: %s", now.LastResponse.RawJSON)
	}
	receipt := now.PaymentIntent.LatestCharge.ReceiptURL
	b.get(cs.URL).wants(t, 200, "This checkout is paid", cs.ID, strings.TrimPrefix(receipt, s.URL))
	s.Do(t, http.MethodPost, "/v1/refunds", "amount=500&payment_intent="+now.PaymentIntent.ID).OK(t)
	b.get(receipt).wants(t, 200, "Receipt", "$35.00", "order 7", "visa ending in 4242", "$5.00", now.PaymentIntent.LatestCharge.ID)
	b.get(s.URL+"/_stripe/receipts/ch_nothing").wants(t, 404, "no such receipt")
	if again := b.do(http.MethodPost, cs.URL, card("4242424242424242")); again.status != 303 || again.location != paid.location {
		t.Errorf("the second press: %d %s", again.status, again.location)
	}
	if moves := journal(t, s); len(moves) != 2 || moves[0].Amount != 3500 || moves[1].Amount != 500 {
		t.Errorf("the journal has %+v", moves)
	}
}

func TestHostedPage_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	b, cs := newShopper(t), session(t, s, func(p *stripe.CheckoutSessionParams) { p.CustomerEmail = nil })
	for _, c := range []struct {
		change       url.Values
		status       int
		text, marked string
	}{
		{url.Values{"number": {""}}, 400, "Enter the number", "number"},
		{url.Values{"number": {"4242424242424241"}}, 402, "card number is incorrect", "number"},
		{url.Values{"number": {"4539578763621486"}}, 402, "non test card", ""},
		{url.Values{"expiry": {"soon"}}, 400, "when the card expires", "expiry"},
		{url.Values{"expiry": {"12/20"}}, 402, "expiration year is invalid", "expiry"},
		{url.Values{"cvc": {""}}, 400, "Enter the security code", "cvc"},
		{url.Values{"cvc": {"12345"}}, 402, "security code is invalid", "cvc"},
		{url.Values{"email": {""}}, 400, "Enter an e-mail address", "email"},
		{url.Values{"email": {"nobody"}}, 400, "Enter an e-mail address", "email"},
		{url.Values{"number": {"4000000000000002"}}, 402, "Your card was declined. You have not been charged", ""},
		{url.Values{"number": {"4000000000009995"}}, 402, "insufficient funds. You have not been charged", ""},
		{url.Values{"number": {"4000000000000069"}}, 402, "Your card has expired", "expiry"},
		{url.Values{"number": {"4000000000000127"}}, 402, "security code is incorrect", "cvc"},
		{url.Values{"number": {"\x00\xff"}}, 402, "", "number"},
	} {
		form := card("4242424242424242")
		for k, v := range c.change {
			form[k] = v
		}
		got := b.do(http.MethodPost, cs.URL, form)
		got.wants(t, c.status, c.text, `role="alert"`)
		if marked := `id="` + c.marked + `" name="` + c.marked; c.marked != "" {
			_, input, _ := strings.Cut(got.html, marked)
			if input, _, _ = strings.Cut(input, ">"); !strings.Contains(input, `aria-invalid="true"`) {
				t.Errorf("%v: the field is not marked: %s", c.change, input)
			}
		}
		if n := form.Get("number"); len(n) > 10 && strings.Contains(got.html, n) {
			t.Errorf("the page repeats %s", n)
		}
	}
	if moves := journal(t, s); len(moves) != 0 {
		t.Errorf("something was charged: %+v", moves)
	}
	b.get(cs.URL).wants(t, 200, `role="alert"`, "not been charged") // the last decline, after a reload
	if got := b.do(http.MethodPost, cs.URL, card("5555555555554444")); got.status != 303 {
		t.Errorf("another card: %d", got.status)
	}
	b.get(s.URL+"/_stripe/pay/cs_test_nothing").wants(t, 404, "no such checkout")
	b.get(s.URL+"/_stripe/3ds/pi_nothing").wants(t, 404, "no such payment")
	b.get(s.URL+"/_stripe/pay/").wants(t, 404)
	b.get(s.URL+"/_stripe/pay/%00").wants(t, 404)
	b.do(http.MethodDelete, cs.URL, nil).wants(t, 405)
	b.do(http.MethodPost, cs.URL, url.Values{"name": {strings.Repeat("x", 20<<10)}}).wants(t, 400)
}

func TestHostedPage_AsksTheBank(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	b, cs := newShopper(t), session(t, s, nil)
	bank := b.do(http.MethodPost, cs.URL, card("4000000000003220"))
	if !strings.HasPrefix(bank.location, "/_stripe/3ds/pi_3") {
		t.Fatalf("got %d %s", bank.status, bank.location)
	}
	b.get(s.URL+bank.location).wants(t, 200, "Is it you", "$35.00", "3220", "Complete", "Fail")
	b.get(cs.URL).wants(t, 200, "Your bank waits", bank.location)
	b.do(http.MethodPost, s.URL+bank.location, url.Values{"outcome": {"maybe"}}).wants(t, 200, "Is it you")
	failed := b.do(http.MethodPost, s.URL+bank.location, url.Values{"outcome": {"fail"}})
	if failed.status != 303 || failed.location != "/_stripe/pay/"+cs.ID {
		t.Errorf("failed: %d %s", failed.status, failed.location)
	}
	b.get(cs.URL).wants(t, 200, `role="alert"`, "could not confirm", "not been charged")
	now := reload(t, s, cs.ID)
	if p := now.PaymentIntent; now.Status != "open" || p.Status != "requires_payment_method" || p.LastPaymentError.Code != "payment_intent_authentication_failure" {
		t.Errorf("after the failure: %s", now.LastResponse.RawJSON)
	}
	b.do(http.MethodPost, cs.URL, card("4000002760003184"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if done := b.do(http.MethodPost, s.URL+bank.location, url.Values{"outcome": {"complete"}}); done.location != "http://shop.example/orders/7?cs="+cs.ID {
				t.Errorf("complete: %d %s", done.status, done.location)
			}
		})
	}
	wg.Wait()
	now = reload(t, s, cs.ID)
	if ch := now.PaymentIntent.LatestCharge; now.PaymentStatus != "paid" || ch.PaymentMethodDetails.Card.ThreeDSecure.Result != "authenticated" {
		t.Errorf("after the bank: %s", now.LastResponse.RawJSON)
	}
	declined := session(t, s, nil)
	bank = b.do(http.MethodPost, declined.URL, card("4000008400001629"))
	b.do(http.MethodPost, s.URL+bank.location, url.Values{"outcome": {"complete"}})
	b.get(declined.URL).wants(t, 200, "Your card was declined")
	if moves := journal(t, s); len(moves) != 1 {
		t.Errorf("the journal has %+v", moves)
	}
}

func TestBankPage_ReturnsToTheShopOfAnIntent(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	b := newShopper(t)
	for outcome, want := range map[string]string{"complete": "succeeded", "fail": "failed"} {
		p, err := s.Client().PaymentIntents.New(&stripe.PaymentIntentParams{
			Amount: stripe.Int64(900), Currency: stripe.String("usd"), PaymentMethod: stripe.String("pm_card_authenticationRequired"),
			Confirm: stripe.Bool(true), ReturnURL: stripe.String("http://shop.example/back?a=1"),
		})
		if err != nil {
			t.Fatal(err)
		}
		got := b.do(http.MethodPost, p.NextAction.RedirectToURL.URL, url.Values{"outcome": {outcome}})
		u, err := url.Parse(got.location)
		if err != nil || got.status != 303 || u.Query().Get("redirect_status") != want || u.Query().Get("a") != "1" || u.Query().Get("payment_intent") != p.ID {
			t.Errorf("%s: %d %s", outcome, got.status, got.location)
		}
	}
}

func TestHostedPage_ConcurrentPressesChargeOnce(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	b, cs := newShopper(t), session(t, s, nil)
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			if i%3 == 0 { // another tab, or a test
				s.Do(t, http.MethodPost, "/v1/payment_pages/"+cs.ID+"/confirm", "payment_method=pm_card_visa").OK(t)
				return
			}
			if got := b.do(http.MethodPost, cs.URL, card("4242424242424242")); got.status != 303 {
				t.Errorf("got %d: %s", got.status, got.html)
			}
		})
	}
	wg.Wait()
	events := s.Do(t, http.MethodGet, "/v1/events", "type=checkout.session.completed").OK(t)
	data, _ := events.At("data").([]any)
	if moves := journal(t, s); len(moves) != 1 || len(data) != 1 {
		t.Errorf("%d events, the journal has %+v", len(data), moves)
	}
}

// A session whose time comes without the control path expires on the first look at it.
func TestSessions_ExpireWhenLookedAt(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	b, page, got := newShopper(t), session(t, s, nil), session(t, s, nil)
	s.Clock.Advance(32 * time.Minute)
	b.do(http.MethodPost, page.URL, card("4242424242424242")).wants(t, 410, "expired")
	if now := reload(t, s, got.ID); now.Status != "expired" || now.URL != "" || len(journal(t, s)) != 0 {
		t.Errorf("expired: %s", now.LastResponse.RawJSON)
	}
}

func TestSessions_ExpireByTheClock(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := sandboxtest.Start(t, db, nil)
	b, cs, looked := newShopper(t), session(t, s, nil), session(t, s, nil)
	bank := b.do(http.MethodPost, cs.URL, card("4000000000003220"))
	admin := []string{"Authorization", "Bearer " + sandboxtest.AdminToken}
	clock := s.Do(t, http.MethodPost, "/_sandbox/clock", `{"advance_seconds":1800}`, admin...).OK(t)
	if clock.Int("ahead_seconds") != 1800 || reload(t, s, cs.ID).Status != "open" {
		t.Errorf("after 30 minutes: %s", clock.Raw)
	}
	other := sandboxtest.Start(t, db, nil) // every process sees the clock
	other.Do(t, http.MethodPost, "/_sandbox/clock", `{"advance_seconds":120}`, admin...).OK(t)
	events := s.Do(t, http.MethodGet, "/v1/events", "type=checkout.session.expired").OK(t) // before anybody looks
	if data, _ := events.At("data").([]any); len(data) != 2 {
		t.Errorf("events: %s", events.Raw)
	}
	b.get(looked.URL).wants(t, 410, "expired", "not been charged")
	b.do(http.MethodPost, cs.URL, card("4242424242424242")).wants(t, 410, "expired")
	if late := b.do(http.MethodPost, s.URL+bank.location, url.Values{"outcome": {"complete"}}); late.location != "/_stripe/pay/"+cs.ID {
		t.Errorf("the bank is too late: %d %s", late.status, late.location)
	}
	now := reload(t, s, cs.ID)
	if now.Status != "expired" || now.PaymentIntent.Status != "canceled" || len(journal(t, s)) != 0 {
		t.Errorf("expired: %s", now.LastResponse.RawJSON)
	}
}

func TestSessions_OneKeyOneSession(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	at := stripe.Int64(time.Now().Add(40 * time.Minute).Unix())
	ids := make([]string, 30)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			cs := session(t, s, func(p *stripe.CheckoutSessionParams) {
				p.ExpiresAt = at
				p.SetIdempotencyKey("one")
			})
			ids[i] = cs.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several sessions: %v", ids)
		}
	}
	all := s.Do(t, http.MethodGet, "/v1/checkout/sessions", "").OK(t)
	if data, _ := all.At("data").([]any); len(data) != 1 {
		t.Errorf("sessions: %s", all.Raw)
	}
	newShopper(t).do(http.MethodPost, s.URL+"/_stripe/pay/"+ids[0], card("4242424242424242"))
	if moves := journal(t, s); len(moves) != 1 || moves[0].Key != "one" {
		t.Errorf("the journal does not name the session's key: %+v", moves)
	}
}

func TestHostedPage_LosesItsAnswerAsAsked(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	b, cs := newShopper(t), session(t, s, nil)
	fault := func(json string) { s.Do(t, http.MethodPost, "/_sandbox/faults", json, admin...).OK(t) }
	press := func() error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, cs.URL, strings.NewReader(card("4242424242424242").Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := b.c.Do(r)
		if err == nil {
			err = res.Body.Close()
		}
		return err
	}
	fault(`{"match":{"method":"POST","path":"/_stripe/pay/*"},"action":"drop_before"}`)
	if err := press(); err == nil || len(journal(t, s)) != 0 {
		t.Errorf("dropped before: %v, journal %v", err, journal(t, s))
	}
	fault(`{"match":{"method":"POST","path":"/_stripe/pay/*"},"action":"status","status":503}`)
	b.do(http.MethodPost, cs.URL, card("4242424242424242")).wants(t, 503)
	fault(`{"match":{"method":"POST","path":"/_stripe/pay/*"},"action":"drop_after"}`)
	if err := press(); err == nil || len(journal(t, s)) != 1 {
		t.Errorf("dropped after: %v, journal %v", err, journal(t, s))
	}
	b.get(cs.URL).wants(t, 200, "This checkout is paid") // the shopper reloads
	if again := b.do(http.MethodPost, cs.URL, card("4242424242424242")); again.status != 303 || len(journal(t, s)) != 1 {
		t.Errorf("again: %d, journal %v", again.status, journal(t, s))
	}
}

// Nothing that the sandbox keeps or logs holds a card number.
func TestHostedPage_KeepsNoNumber(t *testing.T) {
	t.Parallel()
	c := config(t)
	var out lockedBuffer
	c.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sb, err := sandbox.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(sb.Handler())
	s := &sandboxtest.Server{URL: front.URL, Sandbox: sb}
	b, cs := newShopper(t), session(t, s, nil)
	for _, number := range []string{"4539578763621486", "4242 4242 4242 4241", "4000000000000002", "4242424242424242"} {
		b.do(http.MethodPost, cs.URL, card(number))
	}
	front.Close() // the log is complete
	kept := out.String()
	own := c.DB.In("stripe_" + testkit.Schema)
	for _, table := range []string{"object", "journal", "reply", "delivery", "endpoint"} {
		var rows string
		if err := own.Get(t.Context(), &rows, "SELECT coalesce(string_agg(x::text, ' '), '') FROM app."+table+" x"); err != nil {
			t.Fatal(err)
		}
		kept += rows
	}
	if !strings.Contains(kept, cs.ID) {
		t.Fatal("the search looks at the wrong place")
	}
	for _, secret := range []string{"4539578763621486", "4242424242424241", "4000000000000002", "4242424242424242", "4242 4242", sandboxtest.SecretKey, "whsec_"} {
		if strings.Contains(kept, secret) {
			t.Errorf("something keeps %s", secret)
		}
	}
}

// lockedBuffer is a log that several requests write.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
