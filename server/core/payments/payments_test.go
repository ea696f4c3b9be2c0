package payments

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/core/payments/sandbox"
	"crema/server/lambda"
	"crema/server/testkit"
)

// shop is a payments room on its own database and its own sandbox.
type shop struct {
	*Service
	t       *testing.T
	db      *pg.DB
	sandbox *sandbox.Sandbox
}

func newShop(t *testing.T) *shop {
	t.Helper()
	db := testkit.DB(t)
	sb, err := sandbox.New(t.Context(), sandbox.Config{
		DB: db, SecretKey: "sk_test_shopshop", PublishableKey: "pk_test_shopshop", AdminToken: "admin", WebhookSecret: "whsec_test",
	})
	if err != nil {
		t.Fatal(err)
	}
	url, err := sb.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sb.Stop(context.Background()) })
	return &shop{Service: newService(t, db, url), t: t, db: db, sandbox: sb}
}

// newService is another server on the same database.
func newService(t *testing.T, db *pg.DB, url string) *Service {
	t.Helper()
	s, err := New(Config{
		DB: db, Log: slog.New(slog.DiscardHandler), Install: "test", Mode: Sandbox, SecretKey: "sk_test_shopshop", URL: url,
		PublicURL: "http://shop.test", LinkKey: "link key of the test", TokenPath: true, WebhookSecrets: []string{"whsec_test"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

func (s *shop) pay(p lambda.TokenPayment) lambda.Payment {
	s.t.Helper()
	got, err := s.PayWithToken(s.t.Context(), p)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

// mint makes a single-use token as the card form does.
func (s *shop) mint(number string) string {
	s.t.Helper()
	form := url.Values{"card[number]": {number}, "card[exp_month]": {"12"}, "card[exp_year]": {"2034"}, "card[cvc]": {"123"}, "key": {"pk_test_shopshop"}}
	resp, err := http.PostForm(s.c.URL+"/v1/tokens", form)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var token struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&token); err != nil || token.ID == "" {
		s.t.Fatalf("no token: %v", err)
	}
	return token.ID
}

// charged returns what the sandbox's journal says was taken, and how often.
func (s *shop) charged() (times int, total int64) {
	s.t.Helper()
	moves, err := s.sandbox.Journal(s.t.Context(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range moves {
		if m.Op == "charge" {
			times, total = times+1, total+m.Amount
		}
	}
	return times, total
}

func (s *shop) count(q string, args ...any) (n int) {
	s.t.Helper()
	if err := s.db.Get(s.t.Context(), &n, q, args...); err != nil {
		s.t.Fatal(err)
	}
	return n
}

const countRecords = `SELECT count(*) FROM app.payment_record`

func (s *shop) wantBooks(charges, records int) {
	s.t.Helper()
	if n, _ := s.charged(); n != charges {
		s.t.Errorf("the provider charged %d times, want %d", n, charges)
	}
	if n := s.count(countRecords); n != records {
		s.t.Errorf("there are %d payment records, want %d", n, records)
	}
	if paid, rows := s.count(`SELECT count(*) FROM app._order WHERE status = 'paid'`), s.count(countRecords); paid != rows {
		s.t.Errorf("%d orders are paid but there are %d records", paid, rows)
	}
}

// provider calls the sandbox's API as the given key's holder and returns what it says.
func (s *shop) ask(method, path, key string, form url.Values, body any) map[string]any {
	s.t.Helper()
	var send io.Reader = strings.NewReader(form.Encode())
	kind := "application/x-www-form-urlencoded"
	if body != nil {
		b, _ := json.Marshal(body)
		send, kind = bytes.NewReader(b), "application/json"
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.c.URL+path, send)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		s.t.Fatal(err)
	}
	out["http_status"] = resp.StatusCode
	return out
}

// control turns the sandbox's knobs.
func (s *shop) control(path string, body any) map[string]any {
	s.t.Helper()
	out := s.ask(http.MethodPost, "/_sandbox/"+path, "admin", nil, body)
	if out["http_status"] != http.StatusOK {
		s.t.Fatalf("%s: %v", path, out)
	}
	return out
}

func kenya(token string) lambda.TokenPayment {
	price := int64(1000)
	return lambda.TokenPayment{Product: "Kenya AA", Price: &price, Token: token, Email: "ada@example.com"}
}

func with(p lambda.TokenPayment, key string) lambda.TokenPayment {
	p.OrderKey = key
	return p
}

func TestPay_ChargesOnceAndRecords(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	got := s.pay(kenya("tok_visa"))
	if got.Status != lambda.Paid || got.Record == nil {
		t.Fatalf("got %+v", got)
	}
	f := got.Record.Fields
	if f["amount_minor"] != int64(1000) || f["amount"] != 10.0 || f["currency"] != "usd" || f["product"] != "Kenya AA" ||
		f["receipt_email"] != "ada@example.com" || f["status"] != "succeeded" || !strings.HasPrefix(f["charge_id"].(string), "ch_") {
		t.Errorf("record %+v", f)
	}
	s.wantBooks(1, 1)
	if n := s.count(`SELECT count(*) FROM app.payment_record WHERE _access = '[]' AND _owner_id = '_service' AND _database_id = ''`); n != 1 {
		t.Error("the record is readable by others than owner and operator")
	}
}

func TestPay_RefusalsChargeNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	price := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		change func(*lambda.TokenPayment)
		code   string
	}{
		"lower price":     {func(p *lambda.TokenPayment) { p.Price = price(1) }, "price_changed"},
		"zero price":      {func(p *lambda.TokenPayment) { p.Price = price(0) }, "price_changed"},
		"negative price":  {func(p *lambda.TokenPayment) { p.Price = price(-1000) }, "price_changed"},
		"huge price":      {func(p *lambda.TokenPayment) { p.Price = price(1<<63 - 1) }, "price_changed"},
		"unknown product": {func(p *lambda.TokenPayment) { p.Product = "Tea" }, "product_not_found"},
		"no token":        {func(p *lambda.TokenPayment) { p.Token = "" }, "invalid_token"},
		"a card id":       {func(p *lambda.TokenPayment) { p.Token = "card_123" }, "invalid_token"},
		"a long token":    {func(p *lambda.TokenPayment) { p.Token = "tok_" + strings.Repeat("x", 65) }, "invalid_token"},
		"no e-mail":       {func(p *lambda.TokenPayment) { p.Email = "" }, "invalid_email"},
		"a bare name":     {func(p *lambda.TokenPayment) { p.Email = "ada" }, "invalid_email"},
		"two addresses":   {func(p *lambda.TokenPayment) { p.Email = "a@b.co,c@d.co" }, "invalid_email"},
		"a named address": {func(p *lambda.TokenPayment) { p.Email = "Ada <a@b.co>" }, "invalid_email"},
		"a header":        {func(p *lambda.TokenPayment) { p.Email = "a@b.co\r\nBcc: c@d.co" }, "invalid_email"},
		"a short key":     {func(p *lambda.TokenPayment) { p.OrderKey = "x" }, "invalid_order_key"},
		"a strange key":   {func(p *lambda.TokenPayment) { p.OrderKey = "page key with blanks" }, "invalid_order_key"},
	} {
		p := kenya("tok_visa")
		c.change(&p)
		got := s.pay(p)
		if got.Status != lambda.Declined || got.Code != c.code || got.Message == "" {
			t.Errorf("%s: got %+v, want %s", name, got, c.code)
		}
	}
	s.wantBooks(0, 0)
	if n := s.count(`SELECT count(*) FROM app._order`); n != 0 {
		t.Errorf("refusals left %d orders", n)
	}
}

func TestPay_DeclineIsFinalAndAnotherCardPays(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	key := "page-0001"
	got := s.pay(with(kenya("tok_chargeDeclinedInsufficientFunds"), key))
	if got.Status != lambda.Declined || got.Code != "insufficient_funds" || !got.Retryable || !strings.Contains(got.Message, "not been charged") {
		t.Fatalf("got %+v", got)
	}
	s.wantBooks(0, 0)
	if again := s.pay(with(kenya("tok_chargeDeclinedInsufficientFunds"), key)); again.OrderID != got.OrderID || again.Code != got.Code {
		t.Errorf("the repeated call got %+v", again)
	}
	if n := s.count(`SELECT count(*) FROM app._payment`); n != 1 {
		t.Errorf("repeating a declined call made %d attempts", n)
	}
	if paid := s.pay(with(kenya("tok_visa"), key)); paid.Status != lambda.Paid || paid.OrderID != got.OrderID {
		t.Errorf("the second card got %+v", paid)
	}
	s.wantBooks(1, 1)
}

func TestPay_OutcomesOfCards(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for token, code := range map[string]string{
		"tok_chargeDeclined":                "card_declined",
		"tok_visa_chargeDeclinedLostCard":   "card_declined",
		"tok_visa_chargeDeclinedStolenCard": "card_declined",
		"tok_chargeDeclinedFraudulent":      "card_declined",
		"tok_chargeDeclinedExpiredCard":     "expired_card",
		"tok_chargeDeclinedIncorrectCvc":    "incorrect_cvc",
		"tok_chargeDeclinedProcessingError": "processing_error",
		"tok_threeDSecure2Required":         "authentication_required",
		"tok_1AAAAAAAAAAAAAAAAAAAAAAA":      "token_already_used",
	} {
		got := s.pay(kenya(token))
		if got.Status != lambda.Declined || got.Code != code {
			t.Errorf("%s: got %+v, want %s", token, got, code)
		}
		for _, hint := range []string{"fraud", "lost", "stolen"} {
			if strings.Contains(strings.ToLower(got.Message), hint) {
				t.Errorf("%s: the shopper reads %q", token, got.Message)
			}
		}
	}
	s.wantBooks(0, 0)
}

// Double clicks: the same single-use token, with and without an order key, all at once.
func TestPay_ConcurrentCallsJoinOneAttempt(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{"by token": "", "by order key": "page-double-click"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			p := with(kenya(s.mint("4242424242424242")), key)
			var wg sync.WaitGroup
			orders := make([]string, 30)
			for i := range orders {
				wg.Go(func() {
					got, err := s.PayWithToken(t.Context(), p)
					if err != nil || got.Status != lambda.Paid {
						t.Errorf("call %d: %+v, %v", i, got, err)
					}
					orders[i] = got.OrderID
				})
			}
			wg.Wait()
			for _, o := range orders {
				if o != orders[0] {
					t.Fatalf("calls ended in different orders: %v", orders)
				}
			}
			s.wantBooks(1, 1)
		})
	}
}

func TestPay_TwoTabsWithTwoCardsPayOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var wg sync.WaitGroup
	for range 10 {
		token := s.mint("4242424242424242")
		wg.Go(func() {
			if got, err := s.PayWithToken(t.Context(), with(kenya(token), "page-two-tabs")); err != nil || got.Status != lambda.Paid {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
	wg.Wait()
	s.wantBooks(1, 1)
}

func TestPay_AnOrderKeyIsForOnePurchase(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.pay(with(kenya("tok_visa"), "page-one-purchase"))
	for name, change := range map[string]func(*lambda.TokenPayment){
		"other product": func(p *lambda.TokenPayment) { p.Product = "Colombia" },
		"other e-mail":  func(p *lambda.TokenPayment) { p.Email = "eve@example.com" },
	} {
		p := with(kenya("tok_visa"), "page-one-purchase")
		change(&p)
		if got := s.pay(p); got.Code != "order_conflict" || got.Record != nil {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	s.wantBooks(1, 1)
}

func TestPay_APriceThatChangesAfterwardsDoesNotHideThatItIsPaid(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.pay(with(kenya("tok_visa"), "page-price-later"))
	if _, err := s.db.Exec(t.Context(), `UPDATE app._product SET unit_amount = $1`, 1200); err != nil {
		t.Fatal(err)
	}
	if got := s.pay(with(kenya("tok_visa"), "page-price-later")); got.Status != lambda.Paid {
		t.Errorf("got %+v", got)
	}
	s.wantBooks(1, 1)
}

// The reply is lost after the charge was made: the next try with the same key finds it.
func TestPay_LostRepliesChargeOnce(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"tok_sandbox_drop_after", "tok_sandbox_500_after"} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			got := s.pay(with(kenya(token), "page-lost-reply"))
			if got.Status != lambda.Paid {
				t.Errorf("got %+v", got)
			}
			s.wantBooks(1, 1)
		})
	}
}

// Nothing is known: the shopper must not read "not charged".
func TestPay_AnUnknownOutcomeIsNotAFailure(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.patience = 2 * time.Second
	got := s.pay(with(kenya("tok_sandbox_500"), "page-unknown"))
	if got.Status != lambda.Processing || got.Code != "processing" || !strings.Contains(got.Message, "Do not pay again") {
		t.Fatalf("got %+v", got)
	}
	if again := s.pay(with(kenya("tok_visa"), "page-unknown")); again.Status != lambda.Processing {
		t.Errorf("another card started a second attempt: %+v", again)
	}
	s.wantBooks(0, 0)
}

func TestPay_NoTokenIsStoredInClear(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	token := s.mint("4000000000000002")
	s.pay(kenya(token))
	open := s.leave(with(kenya("tok_visa"), "page-open-row"))
	for _, table := range []string{"_order", "_order_item", "_payment", "_payment_transition", "payment_record"} {
		if n := s.count(`SELECT count(*) FROM app.` + table + ` t WHERE t::text LIKE '%tok\_%' OR t::text LIKE '%4000000000000002%'`); n != 0 {
			t.Errorf("table %s holds a card token or number", table)
		}
	}
	if n := s.count(`SELECT count(*) FROM app._payment WHERE token_sealed IS NOT NULL`); n != 1 {
		t.Errorf("%d sealed tokens are kept, want only that of the open attempt", n)
	}
	if a := s.attempt(open); s.sealer.Open(a.TokenSealed, a.ID) != "tok_visa" {
		t.Error("the sealed token does not open")
	}
	if s.sealer.Open(s.attempt(open).TokenSealed, "another payment") != "" {
		t.Error("a sealed token opens in another row")
	}
}

func (s *shop) attempt(id string) attempt {
	s.t.Helper()
	var a attempt
	if err := s.db.Get(s.t.Context(), &a, selectAttempt, id); err != nil {
		s.t.Fatal(err)
	}
	return a
}

// leave writes an attempt ahead and does nothing more, as a server that was killed there.
func (s *shop) leave(p lambda.TokenPayment) string {
	s.t.Helper()
	b, err := s.begin(s.t.Context(), p)
	if err != nil || !b.fresh {
		s.t.Fatalf("%+v, %v", b, err)
	}
	return b.attempt.ID
}

// expire ends the lease of the dead server and makes the attempt as old as given.
func (s *shop) expire(id string, age time.Duration) {
	s.t.Helper()
	_, err := s.db.Exec(s.t.Context(), `UPDATE app._payment SET lease_until = now() - interval '1 second', next_try_at = now(),
		created_at = now() - $2 * interval '1 second',
		sent_at = CASE WHEN state = 'pending' THEN NULL ELSE now() - $2 * interval '1 second' END WHERE id = $1`, id, age.Seconds())
	if err != nil {
		s.t.Fatal(err)
	}
}
