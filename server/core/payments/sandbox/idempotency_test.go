package sandbox_test

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

func TestIdempotency_ThirtyEqualCallsMakeOneCharge(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	sc := s.Client()
	ids := make([]string, 30)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			p := &stripe.ChargeParams{Amount: stripe.Int64(1000), Currency: stripe.String("usd")}
			_ = p.SetSource("tok_visa")
			p.SetIdempotencyKey("one")
			ch, err := sc.Charges.New(p) // repeats after a 409
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = ch.ID
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("two charges: %s and %s", id, ids[0])
		}
	}
	if moves := journal(t, s); len(moves) != 1 || moves[0].Key != "one" || moves[0].ObjectID != ids[0] {
		t.Errorf("the journal has %+v", moves)
	}
}

func journal(t *testing.T, s *sandboxtest.Server) []sandboxMove {
	t.Helper()
	moves, err := s.Sandbox.Journal(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return moves
}

func TestIdempotency_SecondCallWhileTheFirstRunsIsAConflict(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	// Of many calls at once without retries, each is the one, a replay, or a conflict.
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[string]int{}
	for range 40 {
		wg.Go(func() {
			a := s.Charge(t, "tok_visa", "", "Idempotency-Key", "busy")
			mu.Lock()
			defer mu.Unlock()
			seen[fmt.Sprint(a.Status, a.Header.Get("Idempotent-Replayed"), a.Text("error.code"), a.Header.Get("Stripe-Should-Retry"))]++
		})
	}
	wg.Wait()
	if seen["200"] != 1 || seen["200"]+seen["200true"]+seen["409idempotency_key_in_usetrue"] != 40 {
		t.Errorf("answers: %v", seen)
	}
}

func TestIdempotency_ReplaysTheSameBytes(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	for name, form := range map[string]string{
		"charge": "tok_visa", "decline": "tok_chargeDeclined", "stored 500": "tok_sandbox_500", "500 after": "tok_sandbox_500_after",
	} {
		first := s.Charge(t, form, "&metadata[a]=1", "Idempotency-Key", name)
		again := s.Charge(t, form, "&metadata%5Ba%5D=1", "Idempotency-Key", name)
		if first.Status != again.Status || !bytes.Equal(first.Raw, again.Raw) {
			t.Errorf("%s: %d %s became %d %s", name, first.Status, first.Raw, again.Status, again.Raw)
		}
		if first.Header.Get("Idempotent-Replayed") != "" || again.Header.Get("Idempotent-Replayed") != "true" ||
			again.Header.Get("Original-Request") != first.Header.Get("Request-Id") || again.Header.Get("Idempotency-Key") != name ||
			again.Header.Get("Request-Id") == first.Header.Get("Request-Id") {
			t.Errorf("%s: headers %v, then %v", name, first.Header, again.Header)
		}
	}
	if moves := journal(t, s); len(moves) != 2 { // the charge, and the one before the 500
		t.Errorf("the journal has %+v", moves)
	}
}

func TestIdempotency_KeyIsForOneRequestOnly(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	s.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t)
	for _, more := range []string{"&description=x", "&expand[]=customer"} {
		s.Charge(t, "tok_visa", more, "Idempotency-Key", "k").Refused(t, 400, "idempotency_error", "", "", "")
	}
	s.Do(t, http.MethodPost, "/v1/customers", "", "Idempotency-Key", "k").Refused(t, 400, "idempotency_error", "", "", "")
	one, other := s.Charge(t, "tok_visa", "&capture=false").Text("id"), s.Charge(t, "tok_visa", "&capture=false").Text("id")
	s.Do(t, http.MethodPost, "/v1/charges/"+one+"/capture", "", "Idempotency-Key", "capture").OK(t)
	s.Do(t, http.MethodPost, "/v1/charges/"+other+"/capture", "", "Idempotency-Key", "capture").Refused(t, 400, "idempotency_error", "", "", "")
	a := s.Do(t, http.MethodGet, "/v1/charges", "", "Idempotency-Key", "k").OK(t)
	if a.Header.Get("Idempotency-Key") != "" {
		t.Error("a GET took notice of the key")
	}
}

func TestIdempotency_WhatDidNotRunIsNotKept(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	key := []string{"Idempotency-Key", "later"}
	s.Charge(t, "tok_sandbox_429", "", key...).Refused(t, 429, "invalid_request_error", "rate_limit", "", "")
	s.Charge(t, "tok_visa", "&colour=red", key...).Refused(t, 400, "invalid_request_error", "parameter_unknown", "", "colour")
	s.Charge(t, "tok_1nothing", "", key...).Refused(t, 400, "invalid_request_error", "resource_missing", "", "source")
	s.Charge(t, "tok_visa", "", append(key, "Authorization", "Bearer sk_test_wrong")...).Refused(t, 401, "invalid_request_error", "", "", "")
	s.Do(t, http.MethodPost, "/v1/charges/ch_nothing/capture", "", key...).Refused(t, 404, "invalid_request_error", "resource_missing", "", "charge")
	s.Charge(t, "tok_visa", "", key...).OK(t)
}

func TestIdempotency_AfterADayTheKeyIsNew(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	first := s.Charge(t, "tok_visa", "", "Idempotency-Key", "day").OK(t)
	s.Clock.Advance(23*time.Hour + 59*time.Minute)
	if again := s.Charge(t, "tok_visa", "", "Idempotency-Key", "day").OK(t); again.Text("id") != first.Text("id") {
		t.Error("the key was forgotten within the day")
	}
	s.Clock.Advance(2 * time.Minute)
	second := s.Charge(t, "tok_visa", "", "Idempotency-Key", "day").OK(t)
	if second.Text("id") == first.Text("id") || second.Header.Get("Idempotent-Replayed") != "" {
		t.Error("after a day the old answer came back")
	}
	if again := s.Charge(t, "tok_visa", "", "Idempotency-Key", "day").OK(t); again.Text("id") != second.Text("id") {
		t.Error("the new answer is not kept")
	}
}
