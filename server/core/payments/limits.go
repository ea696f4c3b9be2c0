package payments

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"crema/server/core/acl"
)

// Limits keep bots from trying stolen cards at an open checkout. Refused cards count, not attempts: many
// real shoppers may stand behind one address. They are counted in PostgreSQL, so servers share them.
type Limits struct {
	DeclinesPerAddress int           // in an hour
	DeclinesPerEmail   int           // in an hour
	AttemptsPerOrder   int           // ever
	RateWindow         time.Duration // over which the share of refused cards is taken
	RateAtLeast        int           // finished attempts in the window, below which the share says nothing
	RatePercent        int           // at this share new attempts close until the window has moved on
}

// DefaultLimits are meant for a shop of any size.
func DefaultLimits() Limits {
	return Limits{
		DeclinesPerAddress: 30, DeclinesPerEmail: 10, AttemptsPerOrder: 10,
		RateWindow: 10 * time.Minute, RateAtLeast: 40, RatePercent: 70,
	}
}

// asker is who wants to pay, as the limits see it. The database holds only keyed hashes.
type asker struct{ client, email []byte }

func (s *Service) asker(ctx context.Context, email string) asker {
	var a asker
	if address := acl.FromContext(ctx).Address; address != "" {
		a.client = s.hash("address " + address)
	}
	if email != "" {
		a.email = s.hash("email " + strings.ToLower(email))
	}
	return a
}

func (s *Service) hash(text string) []byte {
	mac := hmac.New(sha256.New, []byte(s.c.LinkKey))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// over returns the code why an attempt may not begin, from what was counted, "" when it may.
func (l Limits) over(counted sold) string {
	if counted.ByClient >= l.DeclinesPerAddress || counted.ByEmail >= l.DeclinesPerEmail {
		return "too_many_attempts"
	}
	return ""
}

// alarm remembers for a moment whether too many cards are being refused.
type alarm struct {
	mu   sync.Mutex
	seen time.Time
	shut bool
}

// alarmEvery is how long an answer is good: the question reads all attempts of the window.
const alarmEvery = 2 * time.Second

// closed says that so many cards are refused that new attempts are closed for a while.
func (s *Service) closed(ctx context.Context) (bool, error) {
	s.alarm.mu.Lock()
	defer s.alarm.mu.Unlock()
	if time.Since(s.alarm.seen) < alarmEvery {
		return s.alarm.shut, nil
	}
	var n struct {
		Finished int `db:"finished"`
		Declined int `db:"declined"`
	}
	l := s.c.Limits
	if err := s.db.Get(ctx, &n, declineRate, l.RateWindow.Seconds()); err != nil {
		return false, err
	}
	shut := n.Finished >= l.RateAtLeast && n.Declined*100 >= l.RatePercent*n.Finished
	if shut && !s.alarm.shut {
		s.c.Log.ErrorContext(ctx, "so many cards are declined that new payments are closed for a while: somebody may be testing stolen cards",
			"declined", n.Declined, "finished", n.Finished, "window", l.RateWindow.String())
		s.report(ctx, "card_testing", "", "", "so many cards were declined that new payments were closed for a while")
	}
	s.alarm.seen, s.alarm.shut = time.Now(), shut
	return shut, nil
}

// report opens a break for the operator, unless the same one is open already.
func (s *Service) report(ctx context.Context, kind, paymentID, providerID, detail string) {
	if _, err := s.db.Exec(ctx, openBreak, kind, paymentID, providerID, detail); err != nil {
		s.c.Log.ErrorContext(ctx, "a difference could not be noted", "kind", kind, "payment_id", paymentID, "provider_id", providerID, "error", err)
	}
}
