package hooks

import (
	"context"
	"encoding/json"
	"time"

	"crema/server/base/fault"
)

const (
	asyncLimit  = time.Minute // for one that nobody waits for, once its turn has come. Wire: skygear §4.2
	asyncAtOnce = 4           // of one hook: others and those who wait for functions find workers too
	asyncQueue  = 10_000      // of all hooks that wait for their turn; each keeps a record in memory
)

// later runs a hook beside the request, when its turn comes. It knows who called and nothing else of the request.
func (s *Service) later(ctx context.Context, h Hook, args json.RawMessage) {
	ctx = context.WithoutCancel(ctx)
	if s.pending.Add(1) > asyncQueue {
		s.pending.Add(-1)
		s.lost(ctx, h, fault.New(fault.RateLimited, "hooks.too_many", "more than %d hooks wait already", asyncQueue))
		return
	}
	s.tasks.Go(func() {
		defer s.pending.Add(-1)
		turn := s.turn(h.Name)
		turn <- struct{}{}
		defer func() { <-turn }()
		ctx, cancel := context.WithTimeout(ctx, asyncLimit)
		defer cancel()
		if err := s.patiently(ctx, h, args); err != nil {
			s.lost(ctx, h, err)
		}
	})
}

// turn holds those of a hook that run.
func (s *Service) turn(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turns[name] == nil {
		s.turns[name] = make(chan struct{}, asyncAtOnce)
	}
	return s.turns[name]
}

// patiently runs a hook, again when it has not begun because all workers are busy.
func (s *Service) patiently(ctx context.Context, h Hook, args json.RawMessage) error {
	for {
		_, err := s.to.Load().run(ctx, h.Name, args)
		if !fault.Is(err, "workers.busy") && !fault.Is(err, "workers.down") {
			return err
		}
		t := time.NewTimer(max(fault.From(err).RetryAfter, time.Millisecond))
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
	}
}

func (s *Service) lost(ctx context.Context, h Hook, err error) {
	s.log.ErrorContext(ctx, "a hook failed", "hook", h.Name, "type", h.Type, "trigger", string(h.Trigger), "error", err.Error())
}

// Wait returns when the hooks that nobody waits for have ended, or with ctx: those that go on are lost when the server ends.
func (s *Service) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		s.log.WarnContext(ctx, "hooks that nobody waits for have not ended, and are lost", "hooks", s.pending.Load())
	}
}
