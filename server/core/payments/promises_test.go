package payments

import (
	"strings"
	"testing"
	"time"

	"crema/server/core/payments/provider"
)

// Shops whose key holds the card token charge twice: the shopper who tries again has another token.
func TestPay_TheProvidersKeyIsTheAttemptsAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	token := s.mint("4242424242424242")
	s.pay(with(kenya(token), "page-key-of-attempt"))
	var a attempt
	if err := s.db.Get(t.Context(), &a, `SELECT id, idempotency_key FROM app._payment`); err != nil {
		t.Fatal(err)
	}
	moves, err := s.sandbox.Journal(t.Context(), 0)
	if err != nil || len(moves) != 1 {
		t.Fatalf("%v %v", moves, err)
	}
	if got := moves[0].Key; got != a.Key || got != "test-pay-"+a.ID || strings.Contains(got, token) {
		t.Errorf("the provider got the key %q for attempt %s", got, a.ID)
	}
}

// A day later the provider has forgotten the key: the same request would be a new charge.
func TestReconcile_NeverPostsWhenTheKeyMayBeForgotten(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.leave(with(kenya("tok_visa"), "page-forgotten-key"))
	s.chargeBehindOurBack(id)
	if err := s.sandbox.Advance(t.Context(), 25*time.Hour); err != nil {
		t.Fatal(err)
	}
	s.expire(id, 25*time.Hour)
	s.reconcile(t.Context())
	if got := s.attempt(id).State; got != provider.Succeeded {
		t.Errorf("the attempt is %s", got)
	}
	s.wantBooks(1, 1)
}

// After an outage more may be open than one look takes: nobody waits for the next look.
func TestReconcile_GoesOnWhileSomethingIsDue(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.c.Limits.DeclinesPerEmail = 1000 // they are all one shopper's
	const open = 40
	for range open {
		s.expire(s.leave(kenya("tok_visa")), time.Minute)
	}
	s.reconcile(t.Context())
	s.wantBooks(open, open)
}

// The price that a browser sends is only compared, also when the catalogue is known by heart.
func TestPay_ThePriceIsTheCatalogues(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.pay(kenya("tok_visa"))
	for _, price := range []int64{1, 0, -1, 999, 1001, 1 << 62} {
		p := kenya("tok_visa")
		p.Price = &price
		if got := s.pay(p); got.Code != "price_changed" {
			t.Errorf("for %d: %+v", price, got)
		}
	}
	s.wantBooks(1, 1)
}

// The provider repeats its notices for days. One that was looked into is done with.
func TestNotice_ARepeatedOneIsNotLookedIntoAgain(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	body, header := signed("whsec_test", strings.ReplaceAll(noticeOf, "CHARGE", a.ChargeID))
	for range 3 {
		if err := s.Receive(t.Context(), body, header); err != nil {
			t.Fatal(err)
		}
		s.readNotices(t.Context())
	}
	if n := s.count(`SELECT tries FROM app._provider_event WHERE processed_at IS NOT NULL`); n != 1 {
		t.Errorf("the notice was looked into %d times", n)
	}
}

// A notice about something that is gone at the provider is tried for days and then an operator's.
func TestNotices_OfWhatIsGoneEndAsABreak(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for id, tries := range map[string]int{"evt_new": 1, "evt_old": noticeTries - 1} {
		if _, err := s.db.Exec(t.Context(), `INSERT INTO app._provider_event (event_id, type, api_version, object, object_id, happened_at, tries)
			VALUES ($1, 'charge.updated', 'v', 'charge', 'ch_gone', now(), $2)`, id, tries); err != nil {
			t.Fatal(err)
		}
	}
	s.readNotices(t.Context())
	if n := s.count(`SELECT count(*) FROM app._provider_event WHERE event_id = 'evt_old' AND processed_at IS NOT NULL`); n != 1 {
		t.Error("the old notice still waits")
	}
	if n := s.count(`SELECT count(*) FROM app._provider_event WHERE event_id = 'evt_new' AND processed_at IS NULL`); n != 1 {
		t.Error("the new notice does not wait")
	}
	breaks, err := s.Breaks(t.Context())
	if err != nil || len(breaks) != 1 || breaks[0].Kind != "unread_notice" || breaks[0].ProviderID != "ch_gone" {
		t.Errorf("breaks %+v, %v", breaks, err)
	}
}
