package timers

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

const (
	keep   = 24 * time.Hour   // how long started ticks are remembered
	tidyUp = time.Hour        // how often the others are forgotten
	late   = time.Minute      // a tick that is noticed later than this is left out
	limit  = 10 * time.Second // for writing down a tick

	firstPause = 100 * time.Millisecond // before a tick is written down again; doubled
	longPause  = 5 * time.Second
)

// Timer is one function that runs by the clock.
type Timer struct {
	Name string
	Spec string // see Parse
}

// Config is what the service works with.
type Config struct {
	DB  *pg.DB
	Run func(ctx context.Context, name string) error // runs a timer's function; it has a deadline of its own
	Log *slog.Logger                                 // nil: the default logger
	Now func() time.Time                             // nil: this machine's clock
}

// Service starts timers between Start and Stop.
type Service struct {
	c      Config
	timers []timer
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	looped chan struct{} // closed when no more ticks are noticed
}

type timer struct {
	Timer
	schedule Schedule
	next     time.Time
}

// New checks the timers. All bad schedules are reported together, reason timers.bad_schedule.
func New(c Config, list []Timer) (*Service, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{c: c}
	var faults []string
	for _, t := range list {
		schedule, err := Parse(t.Spec)
		if err != nil {
			faults = append(faults, t.Name+": "+fault.From(err).Message)
		}
		s.timers = append(s.timers, timer{Timer: t, schedule: schedule})
	}
	if faults != nil {
		return nil, fault.New(fault.NotConfigured, "timers.bad_schedule", "%s", strings.Join(faults, "; "))
	}
	return s, nil
}

// Start begins to start timers. Without any it does nothing.
func (s *Service) Start() { s.Succeed(nil) }

// Succeed is Start in the place of another service, nil for none, which notices no more ticks from then on. A timer that
// both have loses no tick between the two. The other one is still to be stopped.
func (s *Service) Succeed(other *Service) {
	now, due := s.c.Now(), other.halt()
	for i, t := range s.timers {
		next, both := due[t.Timer]
		if !both {
			next = t.schedule.Next(now)
		}
		s.timers[i].next = next
	}
	if len(s.timers) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.looped = cancel, make(chan struct{})
	s.tasks.Go(func() {
		defer close(s.looped)
		s.loop(ctx)
	})
}

// halt ends the noticing of ticks and returns the next one of each timer.
func (s *Service) halt() map[Timer]time.Time {
	if s == nil || s.cancel == nil {
		return nil
	}
	s.cancel()
	<-s.looped
	due := map[Timer]time.Time{}
	for _, t := range s.timers {
		due[t.Timer] = t.next
	}
	return due
}

// Stop starts no more timers, and waits for those that run until ctx ends; then they are told to end.
func (s *Service) Stop(ctx context.Context) {
	if s.cancel == nil {
		return
	}
	s.cancel()
	done := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.c.Log.WarnContext(ctx, "timers are still running at the stop")
	}
}

// loop sleeps from tick to tick. It looks at the clock at least every minute, since clocks are set and
// machines sleep.
func (s *Service) loop(ctx context.Context) {
	tidied := time.Time{}
	for {
		now := s.c.Now()
		if now.Sub(tidied) >= tidyUp {
			s.tidy(ctx, now)
			tidied = now
		}
		t := time.NewTimer(min(s.due(ctx, now).Sub(now), time.Minute))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

// due starts what is due and returns when the next one is.
func (s *Service) due(ctx context.Context, now time.Time) time.Time {
	first := now.Add(time.Minute)
	for i := range s.timers {
		t := &s.timers[i]
		for !t.next.IsZero() && !t.next.After(now) {
			tick := t.next
			if t.next = t.schedule.Next(tick); t.next.Before(now.Add(-late)) {
				t.next = t.schedule.Next(now.Add(-late)) // after a sleep there may be very many
			}
			if now.Sub(tick) > late {
				s.c.Log.WarnContext(ctx, "a timer's tick was left out, it was noticed too late", "timer", t.Name, "tick", tick)
				continue
			}
			s.tasks.Go(func() { s.start(ctx, t.Name, tick) })
		}
		if !t.next.IsZero() {
			first = slices.MinFunc([]time.Time{first, t.next}, time.Time.Compare)
		}
	}
	return first
}

// start runs a tick if no other server does. What it writes down is durable before the function begins.
func (s *Service) start(ctx context.Context, name string, tick time.Time) {
	mine, err := s.claim(ctx, name, tick)
	if err != nil {
		s.c.Log.ErrorContext(ctx, "a timer was not started", "timer", name, "tick", tick, "error", err.Error())
		return
	}
	if !mine {
		return
	}
	begin := time.Now()
	err = s.c.Run(context.WithoutCancel(ctx), name)
	if err != nil {
		s.c.Log.ErrorContext(ctx, "a timer failed", "timer", name, "tick", tick, "error", err.Error())
		return
	}
	s.c.Log.DebugContext(ctx, "a timer ran", "timer", name, "tick", tick, "took", time.Since(begin))
}

// claim says whether this server is the one to start a tick. While the database is away it asks again, until the tick is too
// late or a stop begins.
func (s *Service) claim(ctx context.Context, name string, tick time.Time) (mine bool, err error) {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		claiming, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit) // a stop must not part the row from its run
		mine, err = claim(claiming, s.c.DB, name, tick)
		cancel()
		if err == nil || s.c.Now().Add(pause).Sub(tick) > late {
			return mine, err
		}
		s.c.Log.WarnContext(ctx, "a timer's tick cannot be written down; it is tried again", "timer", name, "tick", tick, "error", err.Error())
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return false, err
		}
	}
}

func (s *Service) tidy(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := forget(ctx, s.c.DB, now.Add(-keep)); err != nil && ctx.Err() == nil {
		s.c.Log.WarnContext(ctx, "old ticks of timers are not forgotten", "error", err.Error())
	}
}
