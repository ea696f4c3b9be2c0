package payments

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

	"crema/server/base/fault"
	"crema/server/core/payments/provider"
)

// paid takes one payment and returns its attempt.
func (s *shop) paid() attempt {
	s.t.Helper()
	return s.last(s.pay(kenya("tok_visa")).OrderID)
}

func (s *shop) refund(id string, amount int64) (Refunded, error) {
	return s.Refund(s.t.Context(), RefundRequest{PaymentID: id, Amount: amount, Reason: "requested_by_customer", By: "operator"})
}

func (s *shop) statuses(a attempt) string {
	s.t.Helper()
	var order, record string
	if err := s.db.Get(s.t.Context(), &order, `SELECT status FROM app._order WHERE id = $1`, a.OrderID); err != nil {
		s.t.Fatal(err)
	}
	if err := s.db.Get(s.t.Context(), &record, `SELECT status FROM app.payment_record WHERE _id = $1`, a.ID); err != nil {
		s.t.Fatal(err)
	}
	return order + "/" + record
}

func (s *shop) wantStatuses(a attempt, want string) {
	s.t.Helper()
	if got := s.statuses(a); got != want {
		s.t.Errorf("order/record are %s, want %s", got, want)
	}
}

// refundedThere is what the sandbox says it gave back.
func (s *shop) refundedThere() (total int64) {
	s.t.Helper()
	moves, err := s.sandbox.Journal(s.t.Context(), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, m := range moves {
		if m.Op == "refund" {
			total += m.Amount
		}
	}
	return total
}

func TestRefund_PartsAndTheRest(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	got, err := s.refund(a.ID, 300)
	if err != nil || got.State != "succeeded" || got.Left.Minor != 700 {
		t.Fatalf("%+v, %v", got, err)
	}
	s.wantStatuses(a, "partially_refunded/partially_refunded")
	if got, err = s.refund(a.ID, 0); err != nil || got.Amount.Minor != 700 || got.Left.Minor != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	s.wantStatuses(a, "refunded/refunded")
	if _, err = s.refund(a.ID, 0); !fault.Is(err, "payments.refund_too_much") {
		t.Errorf("a third refund: %v", err)
	}
	if total := s.refundedThere(); total != 1000 {
		t.Errorf("%d were given back", total)
	}
}

func TestRefund_IsRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	declined := s.last(s.pay(kenya("tok_chargeDeclined")).OrderID)
	stale := int64(500)
	for name, c := range map[string]struct {
		r      RefundRequest
		reason string
	}{
		"no reason":        {RefundRequest{PaymentID: a.ID}, "payments.refund_reason"},
		"unknown payment":  {RefundRequest{PaymentID: "11111111-1111-1111-1111-111111111111", Reason: "duplicate"}, "payments.no_payment"},
		"no id":            {RefundRequest{PaymentID: "x", Reason: "duplicate"}, "payments.no_payment"},
		"a declined one":   {RefundRequest{PaymentID: declined.ID, Reason: "duplicate"}, "payments.not_paid"},
		"more than paid":   {RefundRequest{PaymentID: a.ID, Amount: 1001, Reason: "duplicate"}, "payments.refund_too_much"},
		"a negative part":  {RefundRequest{PaymentID: a.ID, Amount: -1, Reason: "duplicate"}, "payments.refund_too_much"},
		"from an old page": {RefundRequest{PaymentID: a.ID, Amount: 1, Reason: "duplicate", ExpectedRefunded: &stale}, "payments.refund_stale"},
	} {
		if _, err := s.Refund(t.Context(), c.r); !fault.Is(err, c.reason) {
			t.Errorf("%s: got %v, want %s", name, err, c.reason)
		}
	}
	if total := s.refundedThere(); total != 0 {
		t.Errorf("%d were given back", total)
	}
}

func TestRefund_ConcurrentOnesNeverGiveBackMoreThanWasTaken(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() { _, _ = s.refund(a.ID, 300) })
	}
	all.Wait()
	if total := s.refundedThere(); total != 900 {
		t.Errorf("%d were given back, want 3 times 300", total)
	}
	if a = s.attempt(a.ID); a.Refunded != 900 {
		t.Errorf("the ledger says %d", a.Refunded)
	}
}

// A lost reply: the replay under the refund's own key gives the stored answer and not a second refund.
func TestRefund_ALostReplyRefundsOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	s.control("faults", map[string]any{"match": map[string]any{"method": "POST", "path": "/v1/refunds"}, "action": "drop_after", "times": 2})
	if got, err := s.refund(a.ID, 400); err != nil || got.State != "succeeded" {
		t.Fatalf("%+v, %v", got, err)
	}
	if total := s.refundedThere(); total != 400 {
		t.Errorf("%d were given back", total)
	}
}

// The server died between writing the refund and hearing of it.
func TestRefund_AnotherServerFinishesIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	id, _, err := s.beginRefund(t.Context(), RefundRequest{PaymentID: a.ID, Amount: 250, Reason: "duplicate", By: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.refund(a.ID, 800); !fault.Is(err, "payments.refund_too_much") {
		t.Errorf("money that may have left was given out again: %v", err)
	}
	if _, err := s.db.Exec(t.Context(), `UPDATE app._refund SET lease_until = now(), next_try_at = now() WHERE id = $1`, id); err != nil {
		t.Fatal(err)
	}
	newService(t, s.db, s.c.URL).reconcile(t.Context())
	if total := s.refundedThere(); total != 250 {
		t.Errorf("%d were given back", total)
	}
	s.wantStatuses(a, "partially_refunded/partially_refunded")
}

func TestRefund_MadeAtTheProviderIsAdopted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	s.ask(http.MethodPost, "/v1/refunds", "sk_test_shopshop", url.Values{"charge": {a.ChargeID}, "amount": {"600"}}, nil)
	for range 2 { // told twice
		if err := s.follow(t.Context(), event{Object: "charge", ObjectID: a.ChargeID}); err != nil {
			t.Fatal(err)
		}
	}
	if a = s.attempt(a.ID); a.Refunded != 600 {
		t.Errorf("the ledger says %d", a.Refunded)
	}
	s.wantStatuses(a, "partially_refunded/partially_refunded")
	if _, err := s.refund(a.ID, 500); !fault.Is(err, "payments.refund_too_much") {
		t.Errorf("got %v", err)
	}
}

// A refund that fails afterwards puts the money back with us: the order is paid again and somebody is told.
func TestRefund_ThatFailsLaterReopensTheOrder(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	got, err := s.refund(a.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.wantStatuses(a, "refunded/refunded")
	var row refund
	if err := s.db.Get(t.Context(), &row, selectRefund, got.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.settleRefund(t.Context(), row, provider.Refund{ID: row.ProviderID, State: provider.RefundFailed, Cause: "lost_or_stolen_card"}); err != nil {
		t.Fatal(err)
	}
	s.wantStatuses(a, "paid/succeeded")
	if breaks, err := s.Breaks(t.Context()); err != nil || len(breaks) != 1 || breaks[0].Kind != "refund_failed" {
		t.Errorf("%+v, %v", breaks, err)
	}
}

// A server that read a refund's or a dispute's state long ago must not write it over newer news.
func TestRefund_OldNewsChangesNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	if _, err := s.refund(a.ID, 300); err != nil {
		t.Fatal(err)
	}
	state := func() (state string) {
		t.Helper()
		if err := s.db.Get(t.Context(), &state, `SELECT state FROM app._refund WHERE payment_id = $1`, a.ID); err != nil {
			t.Fatal(err)
		}
		return state
	}
	var row refund
	if err := s.db.Get(t.Context(), &row, selectRefunds, a.ID); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		says provider.RefundState
		want string
	}{
		{provider.RefundUnknown, "succeeded"},
		{provider.RefundPending, "succeeded"},
		{provider.RefundFailed, "failed"},
		{provider.RefundSucceeded, "failed"},
		{provider.RefundUnknown, "failed"},
	} {
		if err := s.settleRefund(t.Context(), row, provider.Refund{ID: row.ProviderID, State: step.says}); err != nil {
			t.Fatal(err)
		}
		if got := state(); got != step.want {
			t.Errorf("after %q the refund is %s, want %s", step.says, got, step.want)
		}
	}
	for _, step := range []struct{ id, says, want string }{
		{"dp_1", "needs_response", "needs_response"},
		{"dp_1", "won", "won"},
		{"dp_1", "needs_response", "won"},
		{"dp_2", "needs_response", "needs_response"},
	} {
		if err := s.settleDispute(t.Context(), a, provider.Dispute{ID: step.id, Status: step.says}); err != nil {
			t.Fatal(err)
		}
		if got := s.attempt(a.ID).Dispute; got != step.want {
			t.Errorf("after %s of %s the dispute is %s, want %s", step.says, step.id, got, step.want)
		}
	}
}

// When all refunds have failed, the provider's charge says that nothing was refunded.
func TestRefund_NewsOfALateFailureReopensTheOrder(t *testing.T) {
	t.Parallel()
	for name, hear := range map[string]func(*Service, attempt) error{
		"notice": func(s *Service, a attempt) error {
			return s.follow(t.Context(), event{Object: "refund", ObjectID: "re_1", ChargeID: a.ChargeID})
		},
		"recheck": func(s *Service, a attempt) error { return s.Recheck(t.Context(), a.ID, "operator") },
	} {
		s := newShop(t)
		a := s.paid()
		got, err := s.refund(a.ID, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.wantStatuses(a, "refunded/refunded")
		later := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/refunds" {
				_, _ = fmt.Fprintf(w, `{"object":"list","data":[{"id":"re_1","amount":1000,"status":"failed","metadata":{"refund_id":"%s"}}]}`, got.ID)
				return
			}
			_, _ = fmt.Fprintf(w, `{"id":"%s","amount":1000,"amount_refunded":0,"currency":"usd","status":"succeeded"}`, a.ChargeID)
		}))
		t.Cleanup(later.Close)
		if err := hear(newService(t, s.db, later.URL), a); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := s.statuses(a); got != "paid/succeeded" {
			t.Errorf("after a %s the order is %s", name, got)
		}
	}
}

func TestDispute_FreezesRefundsUntilItIsWon(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	d := s.control("disputes/"+a.ChargeID, map[string]any{"reason": "fraudulent"})
	told := event{Object: "dispute", ObjectID: d["id"].(string)}
	if err := s.follow(t.Context(), told); err != nil {
		t.Fatal(err)
	}
	s.wantStatuses(a, "disputed/disputed")
	if _, err := s.refund(a.ID, 100); !fault.Is(err, "payments.disputed") {
		t.Errorf("got %v", err)
	}
	s.control("disputes/"+a.ChargeID, map[string]any{"close": "won"})
	if err := s.follow(t.Context(), told); err != nil {
		t.Fatal(err)
	}
	s.wantStatuses(a, "paid/succeeded")
}

// signed is a notice as the provider sends it.
func signed(secret, body string) (payload []byte, header string) {
	p := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(body), Secret: secret, Timestamp: time.Now()})
	return p.Payload, p.Header
}

const noticeOf = `{"id":"evt_1","object":"event","type":"charge.succeeded","api_version":"2026-10-28.endive","livemode":false,"created":1700000000,
	"data":{"object":{"id":"CHARGE","object":"charge","receipt_email":"ada@example.com","payment_intent":{"client_secret":"pi_1_secret_x"}}}}`

func TestNotice_IsStoredOnceAndTellsNoSecret(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	body, header := signed("whsec_test", strings.ReplaceAll(noticeOf, "CHARGE", a.ChargeID))
	for range 5 {
		if err := s.Receive(t.Context(), body, header); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.count(`SELECT count(*) FROM app._provider_event`); n != 1 {
		t.Errorf("the notice is stored %d times", n)
	}
	if n := s.count(`SELECT count(*) FROM app._provider_event e WHERE e::text LIKE '%secret%' OR e::text LIKE '%@%'`); n != 0 {
		t.Error("the notice's secrets are stored")
	}
	s.readNotices(t.Context())
	if n := s.count(`SELECT count(*) FROM app._provider_event WHERE processed_at IS NOT NULL`); n != 1 {
		t.Error("a notice of another API version is not looked into")
	}
	s.wantBooks(1, 1)
}

func TestNotice_ForgedOldOrOfAnotherModeDoesNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	good, header := signed("whsec_test", noticeOf)
	forged, forgedHeader := signed("whsec_guess", noticeOf)
	old := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: good, Secret: "whsec_test", Timestamp: time.Now().Add(-time.Hour)})
	for name, c := range map[string]struct {
		body   []byte
		header string
	}{
		"another secret": {forged, forgedHeader}, "no header": {good, ""}, "rubbish": {good, "t=1,v1=zz"},
		"changed": {append([]byte(" "), good...), header}, "replayed after an hour": {old.Payload, old.Header},
	} {
		if err := s.Receive(t.Context(), c.body, c.header); !fault.Is(err, "payments.signature") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	live, liveHeader := signed("whsec_test", strings.Replace(noticeOf, `"livemode":false`, `"livemode":true`, 1))
	broken, brokenHeader := signed("whsec_test", `{"id":`)
	for name, err := range map[string]error{"live": s.Receive(t.Context(), live, liveHeader), "broken": s.Receive(t.Context(), broken, brokenHeader)} {
		if err != nil {
			t.Errorf("%s: the provider would repeat it for days: %v", name, err)
		}
	}
	if n := s.count(`SELECT count(*) FROM app._provider_event`); n != 0 {
		t.Errorf("%d notices are stored", n)
	}
}

// The sandbox delivers to a real address, twice each and out of order.
func TestNotice_DuplicatesAndDisorderSettleOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := s.Receive(r.Context(), body, r.Header.Get("Stripe-Signature")); err != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(door.Close)
	if _, err := s.sandbox.Endpoint(t.Context(), door.URL); err != nil {
		t.Fatal(err)
	}
	for _, way := range []string{"duplicate", "reorder"} {
		s.control("faults", map[string]any{"match": map[string]any{"type": "*"}, "webhook": way, "times": 3})
	}
	s.sandbox.Start(t.Context())
	_, a := s.atPage(basket("page-by-notice", 1, 0))
	s.payAtPage(a, "pm_card_visa")
	for end := time.Now().Add(20 * time.Second); s.attempt(a.ID).State != provider.Succeeded && time.Now().Before(end); {
		s.readNotices(t.Context())
	}
	if got := s.attempt(a.ID).State; got != provider.Succeeded {
		t.Fatalf("the notices settled nothing: %s", got)
	}
	s.wantBooks(1, 1)
}

// One attempt, two charges: nobody hears of it but the operator.
func TestNotice_OfASecondChargeIsReported(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	second := url.Values{"amount": {"1000"}, "currency": {"usd"}, "source": {"tok_visa"}, "metadata[install]": {"test"}, "metadata[payment_id]": {a.ID}}
	ch := s.ask(http.MethodPost, "/v1/charges", "sk_test_shopshop", second, nil)
	if err := s.follow(t.Context(), event{Object: "charge", ObjectID: ch["id"].(string)}); err != nil {
		t.Fatal(err)
	}
	if breaks, err := s.Breaks(t.Context()); err != nil || len(breaks) != 1 || breaks[0].Kind != "second_charge" {
		t.Errorf("%+v, %v", breaks, err)
	}
}

// A refund of an old charge, whose notice was lost.
func TestSweep_TakesOverRefundsOfOldCharges(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	s.control("clock", map[string]any{"advance_seconds": 72 * 3600})
	s.ask(http.MethodPost, "/v1/refunds", "sk_test_shopshop", url.Values{"charge": {a.ChargeID}, "amount": {"400"}}, nil)
	if _, err := s.Sweep(t.Context(), time.Now().UTC().Add(72*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if a = s.attempt(a.ID); a.Refunded != 400 {
		t.Errorf("the ledger says %d", a.Refunded)
	}
}

// The daily sweep notes what the books do not explain, once.
func TestSweep_NotesEveryDifferenceOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	today := time.Now().UTC()
	s.paid()
	if found, err := s.Sweep(t.Context(), today); err != nil || found != 0 {
		t.Fatalf("equal books differ: %d, %v", found, err)
	}
	orphan := url.Values{"amount": {"500"}, "currency": {"usd"}, "source": {"tok_visa"}, "metadata[install]": {"test"}}
	foreign := url.Values{"amount": {"700"}, "currency": {"usd"}, "source": {"tok_visa"}}
	s.ask(http.MethodPost, "/v1/charges", "sk_test_shopshop", orphan, nil)
	s.ask(http.MethodPost, "/v1/charges", "sk_test_shopshop", foreign, nil)
	lost := s.paid() // its real charge is the second orphan
	if _, err := s.db.Exec(t.Context(), `UPDATE app._payment SET charge_id = 'ch_gone' WHERE id = $1`, lost.ID); err != nil {
		t.Fatal(err)
	}
	elsewhere := s.paid()
	s.ask(http.MethodPost, "/v1/refunds", "sk_test_shopshop", url.Values{"charge": {elsewhere.ChargeID}, "amount": {"100"}}, nil)
	for range 2 {
		if _, err := s.Sweep(t.Context(), today); err != nil {
			t.Fatal(err)
		}
	}
	breaks, err := s.Breaks(t.Context())
	kinds := map[string]int{}
	for _, b := range breaks {
		kinds[b.Kind]++
	}
	if err != nil || kinds["orphan_charge"] != 2 || kinds["missing_charge"] != 1 || kinds["second_charge"] != 1 || len(breaks) != 4 {
		t.Errorf("breaks %v, %v", kinds, err)
	}
	if a := s.attempt(elsewhere.ID); a.Refunded != 100 {
		t.Errorf("a refund made elsewhere was not taken over: %d", a.Refunded)
	}
}
