package sandbox_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

func TestRefunds_NeverExceedTheChargeUnderConcurrency(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	ch := s.Charge(t, "tok_visa", "").OK(t).Text("id")
	var wg sync.WaitGroup
	var done, refused atomic.Int64
	for range 24 {
		wg.Go(func() {
			a := s.Do(t, http.MethodPost, "/v1/refunds", "amount=150&charge="+ch)
			if a.Status == 200 {
				done.Add(1)
				return
			}
			a.Refused(t, 400, "invalid_request_error", "", "", "amount")
			refused.Add(1)
		})
	}
	wg.Wait()
	a := s.Do(t, http.MethodGet, "/v1/charges/"+ch, "").OK(t)
	if done.Load() != 6 || refused.Load() != 18 || a.Int("amount_refunded") != 900 {
		t.Errorf("%d done, %d refused, amount_refunded %d", done.Load(), refused.Load(), a.Int("amount_refunded"))
	}
	sumsAgree(t, s)
}

// sumsAgree compares the journal with the objects: money taken, money given back.
func sumsAgree(t *testing.T, s *sandboxtest.Server) {
	t.Helper()
	journaled := map[string]int64{}
	for _, m := range journal(t, s) {
		journaled[m.Op] += m.Amount
	}
	var captured, refunded int64
	for _, ch := range all(t, s, "/v1/charges") {
		captured += ch["amount_captured"]
	}
	for _, r := range all(t, s, "/v1/refunds") {
		refunded += r["amount"]
	}
	if journaled["charge"] != captured || journaled["refund"] != refunded || captured == 0 || refunded == 0 {
		t.Errorf("journal %v; objects: captured %d, refunded %d", journaled, captured, refunded)
	}
}

// all returns the numbers of every object of a list.
func all(t *testing.T, s *sandboxtest.Server, path string) []map[string]int64 {
	t.Helper()
	var out []map[string]int64
	for after := ""; ; {
		page := s.Do(t, http.MethodGet, path, "limit=7"+after).OK(t)
		data, _ := page.At("data").([]any)
		for _, item := range data {
			m, _ := item.(map[string]any)
			numbers := map[string]int64{}
			for k, v := range m {
				if n, ok := v.(json.Number); ok {
					numbers[k], _ = n.Int64()
				}
			}
			out = append(out, numbers)
			id, _ := m["id"].(string)
			after = "&starting_after=" + id
		}
		if page.At("has_more") != true {
			return out
		}
	}
}

func TestJournal_AgreesWithTheObjectsAfterEverything(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	sandboxtest.Outcomes(t, s)
	sandboxtest.Scenario(t, s)
	sumsAgree(t, s)
}

func TestJournal_IsAppendOnly(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := sandboxtest.Start(t, db, nil)
	s.Charge(t, "tok_visa", "").OK(t)
	own := db.In("stripe_" + testkit.Schema)
	for _, q := range []string{"UPDATE app.journal SET amount = 1", "DELETE FROM app.journal", "TRUNCATE app.journal"} {
		if _, err := own.Exec(t.Context(), q); err == nil {
			t.Errorf("%s succeeded", q)
		}
	}
}

func TestTokens_AreChargedOnce(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	token := s.Token(t, "4242424242424242")
	var wg sync.WaitGroup
	var charged atomic.Int64
	for range 12 {
		wg.Go(func() {
			if a := s.Charge(t, token, ""); a.Status == 200 {
				charged.Add(1)
			} else {
				a.Refused(t, 400, "invalid_request_error", "token_already_used", "", "source")
			}
		})
	}
	wg.Wait()
	if charged.Load() != 1 {
		t.Errorf("the token was charged %d times", charged.Load())
	}
	if a := s.Do(t, http.MethodGet, "/v1/tokens/"+token, "").OK(t); a.At("used") != true {
		t.Errorf("the token is not used: %s", a.Raw)
	}
	late := s.Token(t, "4242424242424242")
	s.Clock.Advance(11 * time.Minute)
	s.Charge(t, late, "").Refused(t, 400, "invalid_request_error", "resource_missing", "", "source")
}

func TestCaptures_AndRefundsOfHeldMoney(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	held := s.Charge(t, "tok_visa", "&capture=false").OK(t).Text("id")
	refund := func(more string) sandboxtest.Answer {
		return s.Do(t, http.MethodPost, "/v1/refunds", "charge="+held+more)
	}
	capture := func(more string) sandboxtest.Answer {
		return s.Do(t, http.MethodPost, "/v1/charges/"+held+"/capture", more)
	}
	refund("&amount=100").Refused(t, 400, "invalid_request_error", "", "", "amount")
	capture("amount=1001").Refused(t, 400, "invalid_request_error", "amount_too_large", "", "amount")
	capture("amount=0").Refused(t, 400, "invalid_request_error", "parameter_invalid_integer", "", "amount")
	refund("").OK(t)
	capture("").Refused(t, 400, "invalid_request_error", "charge_already_refunded", "", "")
	if moves := journal(t, s); len(moves) != 0 {
		t.Errorf("releasing held money is no move: %+v", moves)
	}
	failed := s.Charge(t, "tok_chargeDeclined", "").Text("error.charge")
	s.Do(t, http.MethodPost, "/v1/refunds", "charge="+failed).Refused(t, 400, "invalid_request_error", "charge_not_refundable", "", "")
	s.Do(t, http.MethodPost, "/v1/charges/"+failed+"/capture", "").Refused(t, 400, "invalid_request_error", "", "", "")
}

// TestState_HoldsNoCardNumber reads every row that a busy sandbox has stored.
func TestState_HoldsNoCardNumber(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := sandboxtest.Start(t, db, nil)
	sandboxtest.Outcomes(t, s)
	sandboxtest.Refusals(t, s)
	s.Do(t, http.MethodPost, "/v1/charges", "amount=500&currency=usd&source[object]=card&source[number]=4242424242424242&source[exp_month]=1&source[exp_year]=2040").OK(t)
	s.Do(t, http.MethodPost, "/v1/tokens", "card[number]=4539578763621486&card[exp_month]=1&card[exp_year]=2040", "Idempotency-Key", "real-card")
	dump := ""
	s.Do(t, http.MethodPost, "/v1/tokens", "card[number]=4242424242424242&card[exp_month]=1&card[exp_year]=2040", "Idempotency-Key", "token").OK(t)
	for _, q := range []string{
		"SELECT data::text || hidden::text FROM app.object", "SELECT to_jsonb(j)::text FROM app.journal j",
		"SELECT key || path || convert_from(body, 'UTF8') FROM app.reply",
	} {
		if err := db.In("stripe_"+testkit.Schema).Each(t.Context(), q, nil, func(r pg.Row) error {
			var row string
			err := r.Scan(&row)
			dump += row + "\n"
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Count(dump, `"last4": "4242"`) < 2 || !strings.Contains(dump, "token/v1/tokens{") {
		t.Fatal("the dump is empty")
	}
	for _, number := range []string{"4242424242424242", "4000000000000002", "371449635398431", "4539578763621486", "4242 4242", "real-card"} {
		if strings.Contains(dump, number) {
			t.Errorf("%s is stored", number)
		}
	}
}
