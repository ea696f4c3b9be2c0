package payments

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/provider"
	"crema/server/lambda"
)

// The reconciler's limits. A replay under the same key is safe while the provider keeps the key, but
// after a quarter of an hour the shopper has left, so nothing is charged any more: only looked up.
const (
	replayWithin = 15 * time.Minute
	voidAfter    = 20 * time.Minute // a post that began just before replayWithin has long been answered
	reviewAfter  = 10 * time.Minute // when the provider keeps answering with its own error
	keyKept      = 23 * time.Hour   // a little less than the provider keeps idempotency keys
	sendTries    = 3
)

// reconcile works on everything that is open, due and not leased to somebody.
func (s *Service) reconcile(ctx context.Context) {
	for _, work := range []struct {
		claim string
		drive func(context.Context, string)
	}{{claimDue, s.drive}, {claimRefunds, s.driveRefund}} {
		for s.reconcileSome(ctx, work.claim, work.drive) { // what stays open is not due again at once
		}
	}
}

// reconcileSome takes what is due, few at a time, and says whether there was any.
func (s *Service) reconcileSome(ctx context.Context, claim string, drive func(context.Context, string)) bool {
	var ids []string
	if err := s.db.Select(ctx, &ids, claim, s.owner, lease.Seconds(), string(s.c.Mode)); err != nil {
		if ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "open payments cannot be read", "error", err)
		}
		return false
	}
	var all sync.WaitGroup // of few: the statement takes 16 at a time
	for _, id := range ids {
		all.Go(func() { drive(context.WithoutCancel(ctx), id) })
	}
	all.Wait()
	return len(ids) > 0 && ctx.Err() == nil
}

// Recheck brings a payment up to date with the provider now: one that is open or was given up, its
// refunds and its dispute. Money is only looked up, except that a charge younger than a quarter of an hour
// is sent again under its key, as the reconciler does. by names who asks.
func (s *Service) Recheck(ctx context.Context, paymentID, by string) error {
	var a attempt
	if err := s.db.Get(ctx, &a, selectAttempt, paymentID); err != nil {
		if fault.Is(err, "pg.no_rows") || fault.Is(err, "pg.bad_value") {
			err = noPayment()
		}
		return err
	}
	claim, args := claimAttempt, []any{a.ID, s.owner, lease.Seconds(), string(s.c.Mode)}
	if a.State == provider.NeedsReview {
		claim, args = reopen, append(args, by)
	}
	if !a.State.Final() || a.State == provider.NeedsReview {
		n, err := s.db.Exec(ctx, claim, args...)
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.New(fault.Unavailable, "payments.busy", "a server is working on this payment just now, or it was made in another mode than %s; look again in a moment", s.c.Mode)
		}
		s.drive(context.WithoutCancel(ctx), a.ID)
		return s.closeReview(ctx, a.ID, by)
	}
	return s.recheckEnded(ctx, a)
}

// closeReview closes the break of a payment that needs nobody any more.
func (s *Service) closeReview(ctx context.Context, id, by string) error {
	var a attempt
	err := s.db.Get(ctx, &a, selectAttempt, id)
	if err == nil && a.State.Final() && a.State != provider.NeedsReview {
		_, err = s.db.Exec(ctx, closeBreak, "needs_review", id, by)
	}
	return err
}

// recheckEnded looks whether a payment that is over has changed at the provider.
func (s *Service) recheckEnded(ctx context.Context, a attempt) error {
	if a.State != provider.Succeeded {
		return s.followLate(ctx, a)
	}
	var refunds []string
	if err := s.db.Select(ctx, &refunds, claimRefundsOf, a.ID, s.owner, lease.Seconds()); err != nil {
		return err
	}
	for _, id := range refunds {
		s.driveRefund(context.WithoutCancel(ctx), id)
	}
	if err := s.followCharge(ctx, a.ChargeID); err != nil || a.DisputeID == "" {
		return err
	}
	return s.followDispute(ctx, a.DisputeID)
}

// followLate looks for money that was taken for an attempt that had ended without.
func (s *Service) followLate(ctx context.Context, a attempt) error {
	if a.Kind == kindSession {
		return nil // its page is closed, and a charge would have told
	}
	var r provider.ChargeRequest
	if err := a.request(&r); err != nil {
		return err
	}
	o := s.lookUp(ctx, a, r)
	if o.State == provider.Succeeded {
		return s.followCharge(ctx, o.ChargeID)
	}
	return nil
}

// drive takes an attempt that is leased to us as far as it goes now.
func (s *Service) drive(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, sendBudget)
	defer cancel()
	s.work.Go(func() { s.keepLease(ctx, id) })
	var a attempt
	err := s.db.Get(ctx, &a, selectAttempt, id)
	if err == nil && !a.State.Final() {
		var o provider.Outcome
		if o, err = s.advance(ctx, a); err == nil {
			_, err = s.settle(ctx, a, o, s.later(a, o))
		}
	}
	if err != nil {
		s.c.Log.ErrorContext(ctx, "payment stays open", "payment_id", id, "error", err)
	}
}

// advance decides by kind, state and age what may be done, and does it.
func (s *Service) advance(ctx context.Context, a attempt) (provider.Outcome, error) {
	if a.Kind == kindSession {
		return s.advanceSession(ctx, a)
	}
	var r provider.ChargeRequest
	if err := a.request(&r); err != nil {
		return provider.Outcome{}, err
	}
	token := s.sealer.Open(a.TokenSealed, a.ID)
	if a.age() < replayWithin && token != "" && !a.ErrorStored {
		// A server that died may have sent it: nothing but a stored answer proves a refusal.
		return s.send(ctx, a, token, r, true), nil
	}
	return s.lookUp(ctx, a, r), nil
}

// sendFresh sends an attempt that was just made, and tells how it ended when that is settled.
func (s *Service) sendFresh(ctx context.Context, a attempt, token string) (lambda.Payment, bool) {
	ctx, cancel := context.WithTimeout(ctx, sendBudget)
	defer cancel()
	s.work.Go(func() { s.keepLease(ctx, a.ID) })
	s.c.Failpoint("before-send")
	var r provider.ChargeRequest
	if err := a.request(&r); err != nil {
		return lambda.Payment{}, false
	}
	o := s.send(ctx, a, token, r, false)
	s.c.Failpoint("after-reply")
	rec, err := s.settle(ctx, a, o, s.later(a, o))
	if err != nil || o.State == provider.Succeeded && rec == nil { // somebody else settled it
		return lambda.Payment{}, false
	}
	a.State, a.FailureCode = o.State, o.FailureCode
	return s.told(a, rec), true
}

// send posts the charge under the attempt's key until the outcome is known or the tries are used up. The
// first try was written with the attempt, or counted when it was claimed.
func (s *Service) send(ctx context.Context, a attempt, token string, r provider.ChargeRequest, ambiguous bool) provider.Outcome {
	var o provider.Outcome
	for try := range sendTries {
		if try > 0 || ambiguous {
			// Stored before the call: should we die in it, the next server knows.
			if _, err := s.db.Exec(ctx, markTry, a.ID, ambiguous); err != nil {
				break
			}
		}
		o = s.provider.Charge(ctx, a.Key, token, r, ambiguous)
		if s.breaker.Saw(o) {
			s.c.Log.ErrorContext(ctx, "the provider does not answer clearly; new payments are closed for a moment")
		}
		ambiguous = ambiguous || o.Ambiguous
		if o.State != provider.Unknown || o.Stored || !pause(ctx, time.Duration(try+1)*500*time.Millisecond) {
			break
		}
	}
	if o.State != provider.Unknown && o.State != "" {
		return o
	}
	found := s.lookUp(ctx, a, r)
	if found.State == provider.Succeeded || found.State == provider.Failed || found.State == provider.NeedsReview {
		return found
	}
	if o.State == "" {
		o = provider.Outcome{State: provider.Unknown, Cause: "not sent: our database does not answer"}
	}
	o.Ambiguous = ambiguous
	return o
}

// lookUp asks the provider what it has for this attempt. Finding nothing is final only when a reply
// under way would have arrived long since.
func (s *Service) lookUp(ctx context.Context, a attempt, r provider.ChargeRequest) provider.Outcome {
	o, ok, err := s.provider.FindCharge(ctx, r.Group, r.Amount, r.Currency)
	switch {
	case err != nil:
		return provider.Outcome{State: provider.Unknown, Cause: "the provider does not answer"}
	case ok:
		return o
	case a.ErrorStored && a.age() >= reviewAfter:
		return provider.Outcome{State: provider.NeedsReview, Cause: "the provider answers with an error and shows no charge"}
	case !a.ErrorStored && a.age() >= voidAfter:
		return provider.Outcome{State: provider.Voided, Cause: "the provider has no such charge"}
	}
	return provider.Outcome{State: provider.Unknown, Cause: "the provider shows no charge yet"}
}

func (s *Service) keepLease(ctx context.Context, id string) {
	tick := time.NewTicker(lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, err := s.db.Exec(ctx, renewLease, id, s.owner, lease.Seconds()); err != nil && ctx.Err() == nil {
				s.c.Log.WarnContext(ctx, "lease of a payment cannot be renewed", "payment_id", id, "error", err)
			}
		}
	}
}

// later says when an attempt that is still open is looked at again.
func (s *Service) later(a attempt, o provider.Outcome) time.Duration {
	if o.State == provider.RequiresAction {
		return s.sessionLater(a)
	}
	return backoff(a.Tries)
}

// backoff grows from 5 s to an hour, with jitter.
func backoff(tries int) time.Duration {
	steps := []time.Duration{5 * time.Second, 15 * time.Second, 45 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}
	d := steps[min(max(tries/sendTries, 0), len(steps)-1)]
	return d - time.Duration(rand.Int64N(int64(d)/5+1))
}

// pause waits and says whether ctx still runs.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
