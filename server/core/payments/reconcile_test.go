package payments

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/payments/provider"
	"crema/server/lambda"
)

// A dead server left an attempt at each of its points; the next server finishes it.
func TestReconcile_FinishesWhatADeadServerLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		reached bool // the provider has charged it
		age     time.Duration
		want    provider.State
		charges int
	}{
		{"lost on the way", false, time.Minute, provider.Succeeded, 1},
		{"charged", true, time.Minute, provider.Succeeded, 1},
		{"lost on the way, shopper gone", false, 21 * time.Minute, provider.Voided, 0},
		{"lost on the way, a post may be under way", false, 16 * time.Minute, provider.Unknown, 0},
		{"charged, shopper gone", true, 16 * time.Minute, provider.Succeeded, 1},
		{"charged, key may be pruned", true, 25 * time.Hour, provider.Succeeded, 1},
		{"lost, key may be pruned", false, 25 * time.Hour, provider.Voided, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			id := s.leave(with(kenya("tok_visa"), "page-dead-server"))
			if c.reached {
				s.chargeBehindOurBack(id)
			}
			s.expire(id, c.age)
			next := newService(t, s.db, s.c.URL)
			next.reconcile(t.Context())
			if got := s.attempt(id).State; got != c.want {
				t.Errorf("the attempt is %s, want %s", got, c.want)
			}
			records := 0
			if c.want == provider.Succeeded {
				records = 1
			}
			s.wantBooks(c.charges, records)
		})
	}
}

func (s *shop) chargeBehindOurBack(id string) {
	s.t.Helper()
	a := s.attempt(id)
	var r provider.ChargeRequest
	if err := a.request(&r); err != nil {
		s.t.Fatal(err)
	}
	if o := s.provider.Charge(s.t.Context(), a.Key, "tok_visa", r, false); o.State != provider.Succeeded {
		s.t.Fatalf("%+v", o)
	}
}

func TestReconcile_LeavesALeasedAttemptAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.leave(with(kenya("tok_visa"), "page-leased"))
	next := newService(t, s.db, s.c.URL)
	next.reconcile(t.Context())
	if a := s.attempt(id); a.State != provider.Sent || a.Tries != 1 {
		t.Errorf("another server took a leased attempt: %+v", a)
	}
	s.wantBooks(0, 0)
}

// A server that was given real keys must not decide about the sandbox's attempts, nor the other way round.
func TestReconcile_LeavesOtherModesAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.leave(with(kenya("tok_visa"), "page-other-mode"))
	s.expire(id, 25*time.Hour)
	other := newService(t, s.db, s.c.URL)
	other.c.Mode, other.patience = Test, 50*time.Millisecond
	other.reconcile(t.Context())
	if a := s.attempt(id); a.State != provider.Sent {
		t.Errorf("a server of another mode made the attempt %s", a.State)
	}
	if err := other.Recheck(t.Context(), id, "operator"); !fault.Is(err, "payments.busy") {
		t.Errorf("recheck by a server of another mode: %v", err)
	}
	if got, err := other.PayWithToken(t.Context(), with(kenya("tok_visa"), "page-other-mode")); err != nil || got.Status != lambda.Processing {
		t.Errorf("a shopper at a server of another mode: %+v, %v", got, err)
	}
	if a := s.attempt(id); a.State != provider.Sent {
		t.Errorf("asked to, a server of another mode made the attempt %s", a.State)
	}
	s.paid()
	if found, err := other.Sweep(t.Context(), time.Now()); err != nil || found != 0 {
		t.Errorf("the sweep of another mode found %d, %v", found, err)
	}
}

func TestReconcile_AShopperWhoComesBackFinishesItAtOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p := with(kenya("tok_visa"), "page-comes-back")
	s.expire(s.leave(p), 5*time.Second)
	if got := s.pay(p); got.Status != lambda.Paid {
		t.Errorf("got %+v", got)
	}
	s.wantBooks(1, 1)
}

// The provider keeps a 500 under the key and has no charge: nobody may decide that but an operator.
func TestReconcile_AStoredErrorEndsInReview(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.pay(with(kenya("tok_sandbox_500"), "page-stored-error"))
	var id string
	if err := s.db.Get(t.Context(), &id, `SELECT id FROM app._payment`); err != nil {
		t.Fatal(err)
	}
	s.expire(id, 11*time.Minute)
	s.reconcile(t.Context())
	if a := s.attempt(id); a.State != provider.NeedsReview {
		t.Errorf("the attempt is %s", a.State)
	}
	s.wantBooks(0, 0)
}

// News that come late or twice change nothing.
func TestSettle_OnlyMovesForward(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.pay(with(kenya("tok_visa"), "page-forward"))
	var a attempt
	if err := s.db.Get(t.Context(), &a, `SELECT id, charge_id, currency FROM app._payment`); err != nil {
		t.Fatal(err)
	}
	for _, st := range []provider.State{provider.Failed, provider.Voided, provider.Unknown, provider.Succeeded} {
		if _, err := s.settle(t.Context(), a, provider.Outcome{State: st, Cause: "late", ChargeID: "ch_other"}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.attempt(a.ID); got.State != provider.Succeeded || got.ChargeID != a.ChargeID {
		t.Errorf("late news changed the attempt to %+v", got)
	}
	s.wantBooks(1, 1)
	var states []string
	if err := s.db.Select(t.Context(), &states, `SELECT to_state FROM app._payment_transition ORDER BY seq`); err != nil {
		t.Fatal(err)
	}
	if want := []string{"pending", "sent", "succeeded"}; len(states) != 3 || states[0] != want[0] || states[1] != want[1] || states[2] != want[2] {
		t.Errorf("transitions %v, want %v", states, want)
	}
}

// The last line of defence is in the database itself.
func TestOneOpenAttempt_IsEnforcedByTheDatabase(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	id := s.leave(with(kenya("tok_visa"), "page-one-open"))
	_, err := s.db.Exec(t.Context(), `INSERT INTO app._payment (id, order_id, attempt, mode, kind, idempotency_key, request, state, amount, currency)
		SELECT gen_random_uuid(), order_id, 2, mode, kind, 'other-key', request, 'pending', amount, currency FROM app._payment WHERE id = $1`, id)
	if err == nil {
		t.Fatal("the database let a second open attempt in")
	}
}

// A server that was off for days makes up for each of them, once, and for no day before the first payment.
func TestSweep_MakesUpForDaysThatWereMissed(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	a := s.paid()
	if _, err := s.db.Exec(t.Context(), `UPDATE app._payment SET created_at = created_at - interval '4 days' WHERE id = $1`, a.ID); err != nil {
		t.Fatal(err)
	}
	swept := func() (days []string) {
		t.Helper()
		if err := s.db.Select(t.Context(), &days, `SELECT ((now() AT TIME ZONE 'UTC')::date - day)::text FROM app._sweep WHERE finished_at IS NOT NULL ORDER BY day`); err != nil {
			t.Fatal(err)
		}
		return days
	}
	if _, err := s.db.Exec(t.Context(), `INSERT INTO app._sweep (day, finished_at) VALUES ((now() AT TIME ZONE 'UTC')::date - 3, now())`); err != nil {
		t.Fatal(err)
	}
	s.sweepDue(t.Context())
	if diff := cmp.Diff([]string{"4", "3", "2", "1"}, swept()); diff != "" {
		t.Error("days ago:", diff)
	}
	if _, err := s.db.Exec(t.Context(), `UPDATE app._payment SET created_at = created_at - interval '1 year' WHERE id = $1`, a.ID); err != nil {
		t.Fatal(err)
	}
	s.sweepDue(t.Context())
	if n := len(swept()); n != 31 {
		t.Errorf("%d days were compared, want the last 31", n)
	}
}
