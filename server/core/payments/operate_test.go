package payments

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/provider"
	"crema/server/lambda"
)

func TestShow_FindsAnOrderByEveryIDOfIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	declined := s.pay(with(kenya("tok_chargeDeclined"), "page-shown-order"))
	paid := s.pay(with(kenya("tok_visa"), "page-shown-order"))
	if paid.Status != lambda.Paid || declined.OrderID != paid.OrderID {
		t.Fatalf("%+v %+v", declined, paid)
	}
	d, err := s.Show(t.Context(), paid.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	a := d.Payment()
	if len(d.Attempts) != 2 || a.Number != 2 || a.State != "succeeded" || a.RequestID == "" || len(d.Items) != 1 || len(d.Transitions) != 6 || d.Link == "" {
		t.Errorf("%+v", d)
	}
	for _, id := range []string{a.ID, d.Attempts[0].ID, a.ChargeID, strings.ToUpper(d.ID)} {
		if got, err := s.Show(t.Context(), id); err != nil || got.ID != d.ID {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"", "ch_nothing", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "'; drop table x"} {
		if _, err := s.Show(t.Context(), id); !fault.Is(err, "payments.no_payment") {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestList_Selects(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.pay(with(kenya("tok_chargeDeclined"), "page-list-one"))
	paid := s.pay(with(kenya("tok_visa"), "page-list-two"))
	lost := s.leave(with(kenya("tok_visa"), "page-list-three"))
	email := kenya("").Email
	for _, c := range []struct {
		f    Filter
		want int
	}{
		{Filter{Limit: 10}, 3},
		{Filter{Limit: 2}, 2},
		{Filter{State: "open", Limit: 10}, 1},
		{Filter{State: "failed", Limit: 10}, 1},
		{Filter{State: "refunded", Limit: 10}, 0},
		{Filter{State: "disputed", Limit: 10}, 0},
		{Filter{Email: strings.ToUpper(email), Limit: 10}, 3},
		{Filter{Email: "nobody@example.com", Limit: 10}, 0},
	} {
		got, err := s.List(t.Context(), c.f)
		if err != nil || len(got) != c.want {
			t.Errorf("%+v: %d rows, want %d, %v", c.f, len(got), c.want, err)
		}
	}
	all, _ := s.List(t.Context(), Filter{Limit: 10})
	if all[0].ID != lost || all[1].OrderID != paid.OrderID || all[1].OrderStatus != "paid" || all[1].ChargeID == "" {
		t.Errorf("%+v", all)
	}
}

func TestRecheck_SettlesWhatIsOpen(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.leave(with(kenya("tok_visa"), "page-recheck"))
	if err := s.Recheck(t.Context(), id, "operator:ada"); !fault.Is(err, "payments.busy") {
		t.Errorf("a payment that a server works on: %v", err)
	}
	s.chargeBehindOurBack(id)
	s.expire(id, time.Hour)
	if err := s.Recheck(t.Context(), id, "operator:ada"); err != nil || s.attempt(id).State != provider.Succeeded {
		t.Errorf("%v, %s", err, s.attempt(id).State)
	}
	s.wantBooks(1, 1)
	if d, err := s.Show(t.Context(), id); err != nil || d.Payment().RequestID == "" {
		t.Errorf("the provider cannot be asked about it: %+v %v", d, err)
	}
	if err := s.Recheck(t.Context(), "6ba7b810-9dad-11d1-80b4-00c04fd430c8", ""); !fault.Is(err, "payments.no_payment") {
		t.Error(err)
	}
}

// What was given up can be looked at again, and what is explained needs nobody any more.
func TestRecheck_OpensWhatNeedsReview(t *testing.T) {
	t.Parallel()
	for _, charged := range []bool{true, false} {
		s := newShop(t)
		id := s.leave(with(kenya("tok_visa"), "page-review"))
		if charged {
			s.chargeBehindOurBack(id)
		}
		s.expire(id, time.Hour)
		if _, err := s.settle(t.Context(), s.attempt(id), provider.Outcome{State: provider.NeedsReview, Cause: "test"}, 0); err != nil {
			t.Fatal(err)
		}
		if h, err := s.Health(t.Context()); err != nil || h.NeedsReview != 1 || h.Breaks != 1 {
			t.Errorf("%+v %v", h, err)
		}
		if err := s.Recheck(t.Context(), id, "operator:ada"); err != nil {
			t.Fatal(err)
		}
		want, records := provider.Voided, 0
		if charged {
			want, records = provider.Succeeded, 1
		}
		if got := s.attempt(id).State; got != want {
			t.Errorf("it is %s, want %s", got, want)
		}
		s.wantBooks(records, records)
		if breaks, err := s.Breaks(t.Context()); err != nil || len(breaks) != 0 {
			t.Errorf("%+v %v", breaks, err)
		}
	}
}

// A refund that somebody makes on the provider's own page is taken over.
func TestRecheck_TakesOverARefundMadeElsewhere(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	paid := s.pay(with(kenya("tok_visa"), "page-refund-elsewhere"))
	d, err := s.Show(t.Context(), paid.OrderID)
	if err != nil {
		t.Fatal(err)
	}
	s.provider.Refund(t.Context(), "elsewhere", provider.RefundRequest{ChargeID: d.Payment().ChargeID, Amount: 300}, false)
	if err := s.Recheck(t.Context(), d.Payment().ID, "operator:ada"); err != nil {
		t.Fatal(err)
	}
	d, err = s.Show(t.Context(), paid.OrderID)
	if err != nil || d.Payment().Refunded != 300 || d.Payment().RefundsSent != 300 || len(d.Refunds) != 1 || d.Status != "partially_refunded" {
		t.Errorf("%v %+v", err, d)
	}
}

func TestCloseBreak(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.report(t.Context(), "orphan_charge", "", "ch_1", "test")
	b, err := s.Breaks(t.Context())
	if err != nil || len(b) != 1 {
		t.Fatal(b, err)
	}
	if err := s.CloseBreak(t.Context(), b[0].ID, "operator:ada"); err != nil {
		t.Error(err)
	}
	if err := s.CloseBreak(t.Context(), b[0].ID, "operator:ada"); !fault.Is(err, "payments.no_break") {
		t.Error(err)
	}
}

func TestAccount_TheSandbox(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const url = "https://shop.example/stripe/webhook"
	id, secret, err := s.CreateWebhook(t.Context(), url, false)
	if err != nil || !strings.HasPrefix(secret, "whsec_") {
		t.Fatal(err)
	}
	if _, _, err := s.CreateWebhook(t.Context(), url, false); !fault.Is(err, "payments.webhook_exists") || strings.Contains(err.Error(), secret) {
		t.Errorf("a second endpoint: %v", err)
	}
	if again, _, err := s.CreateWebhook(t.Context(), url, true); err != nil || again == id {
		t.Errorf("a second endpoint on request: %v", err)
	}
	a, err := s.Account(t.Context())
	if err != nil || !a.Charges || len(a.Rights) != 0 || len(a.Webhooks) != 2 {
		t.Errorf("%+v %v", a, err)
	}
	for _, e := range a.Webhooks {
		if !e.Enabled || !e.Speaks() || len(e.Missing) != 0 || e.URL != url {
			t.Errorf("%+v", e)
		}
	}
	if h, err := s.Health(t.Context()); err != nil || h.Status != "ok" || h.Skew == nil || *h.Skew > 1 || *h.Skew < -1 || h.Key != "sk_test_" {
		t.Errorf("%+v %v", h, err)
	}
}

// A provider that knows the key but gives it few rights, and lives in another hour.
func TestAccount_NamesMissingRightsAndTheClock(t *testing.T) {
	t.Parallel()
	const key = "rk_test_verysecretkey"
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		if strings.HasPrefix(r.URL.Path, "/v1/disputes") || strings.HasPrefix(r.URL.Path, "/v1/webhook") || r.URL.Path == "/v1/account" {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","message":"The provided key '` + key +
				`' does not have the required permissions. Having the 'rak_event_read' permission would allow it."}}`))
			return
		}
		_, _ = w.Write([]byte(`{"object":"list","data":[]}`))
	}))
	t.Cleanup(away.Close)
	s := newService(t, newShop(t).db, away.URL)
	a, err := s.Account(t.Context())
	if err != nil || len(a.Rights) != 2 || a.Rights[0].Name != "Disputes" || !a.Rights[0].Needed || a.Rights[0].Hint != "rak_event_read" ||
		a.Rights[1].Name != "Webhook Endpoints" || a.Rights[1].Needed {
		t.Errorf("%+v %v", a, err)
	}
	if a.Skew < 59*time.Minute || a.Skew > 61*time.Minute {
		t.Errorf("skew %s", a.Skew)
	}
	if h, err := s.Health(t.Context()); err != nil || h.Status != "degraded" || len(h.Why) != 1 {
		t.Errorf("%+v %v", h, err)
	}
}

func TestAccount_AKeyThatIsNotKnown(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	stranger, err := New(Config{DB: s.db, SecretKey: "sk_test_somebodyelse", URL: s.c.URL, Mode: Sandbox})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.Account(t.Context()); !fault.Is(err, "payments.key_refused") || strings.Contains(err.Error(), "somebodyelse") {
		t.Errorf("%v", err)
	}
}
