package payments

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"crema/server/base/fault"
)

// The reconciler's limits. A replay under the same key is safe while the provider keeps the key, but
// after a quarter of an hour the shopper has left, so nothing is charged any more: only looked up.
const (
	voidUnsent   = time.Minute
	replayWithin = 15 * time.Minute
	reviewAfter  = 10 * time.Minute // when the provider keeps answering with its own error
	sendTries    = 3
)

// reconcile works on everything that is open, due and not leased to somebody.
func (s *Service) reconcile(ctx context.Context) {
	var ids []string
	if err := s.db.Select(ctx, &ids, claimDue, s.owner, lease.Seconds()); err != nil {
		if ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "open payments cannot be read", "error", err)
		}
		return
	}
	for _, id := range ids {
		s.drive(context.WithoutCancel(ctx), id, false)
	}
}

// drive takes an attempt that is leased to us as far as it goes now. shopper says that somebody is
// waiting for it.
func (s *Service) drive(ctx context.Context, id string, shopper bool) {
	ctx, cancel := context.WithTimeout(ctx, sendBudget)
	defer cancel()
	s.work.Go(func() { s.keepLease(ctx, id) })
	log := s.c.Log.With("payment_id", id)
	o, err := s.advance(ctx, log, id, shopper)
	if err != nil {
		log.ErrorContext(ctx, "payment stays open", "error", err)
		return
	}
	var tries int
	if o.state == unknown {
		tries = o.tries
	}
	// The budget is for calls; storing what they told must not fail for lack of time.
	store, cancelStore := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancelStore()
	if err := s.settle(store, id, o.outcome, backoff(tries)); err != nil {
		log.ErrorContext(ctx, "payment outcome is not stored yet", "state", string(o.state), "error", err)
		return
	}
	log.InfoContext(ctx, "payment", "state", string(o.state), "cause", o.cause)
}

type progress struct {
	outcome
	tries int
}

// advance decides by state and age what may be done, and does it.
func (s *Service) advance(ctx context.Context, log *slog.Logger, id string, shopper bool) (progress, error) {
	var a attempt
	if err := s.db.Get(ctx, &a, selectAttempt, id); err != nil {
		return progress{}, err
	}
	r, err := a.request()
	if err != nil {
		return progress{}, err
	}
	token := s.sealer.open(a.TokenSealed, id)
	switch {
	case a.State == pending && (!shopper || token == ""):
		if a.age() < voidUnsent {
			return progress{outcome{state: pending, cause: "not sent yet"}, 0}, nil
		}
		return progress{outcome{state: voided, cause: "never sent"}, 0}, nil
	case a.age() < replayWithin && token != "" && !a.ErrorStored:
		return s.send(ctx, log, a, token, r)
	}
	o, err := s.lookUp(ctx, a, r)
	return progress{o, a.Tries + 1}, err
}

// send posts the charge under the attempt's key until the outcome is known or the tries are used up.
func (s *Service) send(ctx context.Context, log *slog.Logger, a attempt, token string, r chargeRequest) (progress, error) {
	if a.State == pending {
		if err := s.markSent(ctx, a.ID); err != nil {
			return progress{}, err
		}
	}
	ambiguous := a.Ambiguous || a.State != pending // a server that died may have sent it
	var o outcome
	for try := range sendTries {
		// Stored before the call: should we die in it, the next server knows.
		if _, err := s.db.Exec(ctx, markTry, a.ID, ambiguous); err != nil {
			return progress{}, err
		}
		c, err := s.provider.charge(ctx, a.Key, token, r)
		if err == nil {
			return progress{ofCharge(c, r), 0}, nil
		}
		o = ofError(err, ambiguous)
		log.WarnContext(ctx, "charge was refused or not answered", append(logAttrs(err), "try", try+1, "state", string(o.state))...)
		ambiguous = ambiguous || o.ambiguous
		if o.state != unknown || o.storedError || !pause(ctx, time.Duration(try+1)*500*time.Millisecond) {
			break
		}
	}
	if o.state != unknown {
		return progress{o, 0}, nil
	}
	found, err := s.lookUp(ctx, a, r)
	if err != nil || found.state == unknown || found.state == voided {
		o.ambiguous = ambiguous
		return progress{o, a.Tries + sendTries}, nil
	}
	return progress{found, 0}, nil
}

func (s *Service) markSent(ctx context.Context, id string) error {
	n, err := s.db.Exec(ctx, markSent, id)
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.New(fault.Unavailable, "payments.taken", "another server works on this payment")
	}
	_, err = s.db.Exec(ctx, insertTransition, id, string(pending), string(sent), "sending", "server")
	return err
}

// lookUp asks the provider what it has for this attempt. Finding nothing is final only when a reply
// under way could have arrived long since.
func (s *Service) lookUp(ctx context.Context, a attempt, r chargeRequest) (outcome, error) {
	c, err := s.provider.find(ctx, r.Group)
	switch {
	case err != nil:
		return outcome{state: unknown, cause: "the provider does not answer"}, nil
	case c != nil:
		return ofCharge(c, r), nil
	case a.ErrorStored && a.age() >= reviewAfter:
		return outcome{state: needsReview, cause: "the provider answers with an error and shows no charge"}, nil
	case !a.ErrorStored && a.age() >= replayWithin:
		return outcome{state: voided, cause: "the provider has no such charge"}, nil
	}
	return outcome{state: unknown, cause: "the provider shows no charge yet"}, nil
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

// backoff grows from 5 s to an hour, with jitter.
func backoff(tries int) time.Duration {
	steps := []time.Duration{5 * time.Second, 15 * time.Second, 45 * time.Second, 2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour}
	d := steps[min(max(tries/sendTries-1, 0), len(steps)-1)]
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
