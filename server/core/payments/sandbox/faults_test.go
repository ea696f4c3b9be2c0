package sandbox_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"crema/server/core/payments/sandbox"
	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

type sandboxMove = sandbox.Move

func TestFaults_TokensDecideWhatIsCharged(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	s.Charge(t, "tok_sandbox_429", "").Refused(t, 429, "invalid_request_error", "rate_limit", "", "")
	s.Charge(t, "tok_sandbox_500", "").Refused(t, 500, "api_error", "", "", "")
	s.Fails(t, http.MethodPost, "/v1/charges", "amount=1000&currency=usd&source=tok_sandbox_drop_before", "Idempotency-Key", "before")
	if moves := journal(t, s); len(moves) != 0 {
		t.Fatalf("something was charged: %+v", moves)
	}
	s.Charge(t, "tok_sandbox_500_after", "").Refused(t, 500, "api_error", "", "", "")
	s.Fails(t, http.MethodPost, "/v1/charges", "amount=1000&currency=usd&source=tok_sandbox_drop_after", "Idempotency-Key", "after")
	if moves := journal(t, s); len(moves) != 2 || moves[1].Key != "after" {
		t.Fatalf("want two charges: %+v", moves)
	}
	replay := s.Charge(t, "tok_sandbox_drop_after", "", "Idempotency-Key", "after").OK(t)
	if replay.Header.Get("Idempotent-Replayed") != "true" || len(journal(t, s)) != 2 {
		t.Errorf("the lost answer does not come back: %s", replay.Raw)
	}
	start := time.Now()
	s.Charge(t, "tok_sandbox_slow_150", "").OK(t)
	if took := time.Since(start); took < 150*time.Millisecond {
		t.Errorf("the slow charge took %v", took)
	}
}

func TestFaults_ChainsTakeTheirTurns(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	const chain = "tok_429|tok_500|tok_chargeDeclined|tok_visa"
	for i, want := range []int{429, 500, 402, 200, 200} {
		if a := s.Charge(t, chain, ""); a.Status != want {
			t.Errorf("turn %d: %d, want %d: %s", i, a.Status, want, a.Raw)
		}
	}
}

func TestFaults_RulesHitTheNthMatchingCall(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	admin := []string{"Authorization", "Bearer " + sandboxtest.AdminToken, "Content-Type", "application/json"}
	rule := func(json string) {
		t.Helper()
		s.Do(t, http.MethodPost, "/_sandbox/faults", json, admin...).OK(t)
	}
	rule(`{"match":{"method":"POST","path":"/v1/refunds","nth":2},"action":"drop_after"}`)
	rule(`{"match":{"path":"/v1/customers*"},"action":"status","status":503,"times":2}`)
	ch := s.Charge(t, "tok_visa", "").OK(t).Text("id")
	s.Do(t, http.MethodPost, "/v1/refunds", "amount=100&charge="+ch).OK(t)
	s.Fails(t, http.MethodPost, "/v1/refunds", "amount=200&charge="+ch)
	s.Do(t, http.MethodPost, "/v1/refunds", "amount=300&charge="+ch).OK(t)
	if a := s.Do(t, http.MethodGet, "/v1/charges/"+ch, "").OK(t); a.Int("amount_refunded") != 600 {
		t.Errorf("the dropped refund is lost: %s", a.Raw)
	}
	for _, want := range []int{503, 503, 404} {
		if a := s.Do(t, http.MethodGet, "/v1/customers/cus_x", ""); a.Status != want {
			t.Errorf("got %d, want %d", a.Status, want)
		}
	}
	rule(`{"action":"delay","delay_ms":50,"times":100}`)
	s.Do(t, http.MethodDelete, "/_sandbox/faults", "", admin...).OK(t)
	for _, bad := range []string{``, `{`, `{"action":"explode"}`, `{"action":"status","status":200}`, `{"action":"delay","who":1}`} {
		if a := s.Do(t, http.MethodPost, "/_sandbox/faults", bad, admin...); a.Status != 400 {
			t.Errorf("%s: got %d, want 400", bad, a.Status)
		}
	}
}

func TestControl_NeedsTheAdminToken(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	s.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t)
	for _, auth := range []string{"", "Bearer wrong", "Bearer " + sandboxtest.SecretKey} {
		if a := s.Do(t, http.MethodGet, "/_sandbox/journal", "", "Authorization", auth); a.Status != 401 {
			t.Errorf("%q: got %d, want 401", auth, a.Status)
		}
	}
	admin := []string{"Authorization", "Bearer " + sandboxtest.AdminToken}
	a := s.Do(t, http.MethodGet, "/_sandbox/journal", "", admin...).OK(t)
	if a.Int("data.0.amount") != 1000 || a.Text("data.0.op") != "charge" || a.Text("data.0.key") != "k" || !strings.HasPrefix(a.Text("data.0.object_id"), "ch_3") {
		t.Errorf("journal: %s", a.Raw)
	}
	if a := s.Do(t, http.MethodGet, "/_sandbox/journal", "after=1", admin...).OK(t); a.At("data.0") != nil {
		t.Errorf("after the last move: %s", a.Raw)
	}
	if a := s.Do(t, http.MethodGet, "/_sandbox/journal", "after=x", admin...); a.Status != 400 {
		t.Errorf("got %d, want 400", a.Status)
	}
}
