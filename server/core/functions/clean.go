package functions

import (
	"context"
	"sync"
	"time"
)

const (
	cleanEvery = 10 * time.Minute
	cleanBatch = 1000
	// stopLimit is how long Stop waits for calls.
	stopLimit = 10 * time.Second
)

// cleaner is the goroutine that removes stored answers which are too old.
type cleaner struct {
	once sync.Once
	stop context.CancelFunc
	done chan struct{}
}

// Start lets old answers be removed from now on, until Stop.
func (s *Service) Start() {
	if s.config.DB == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.cleaner.stop, s.cleaner.done = stop, make(chan struct{})
	go func() {
		defer close(s.cleaner.done)
		t := time.NewTicker(cleanEvery)
		defer t.Stop()
		for {
			if err := s.clean(ctx); err != nil && ctx.Err() == nil {
				s.config.Log.WarnContext(ctx, "old answers of functions are not removed", "error", err.Error())
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
}

// clean removes what has expired.
func (s *Service) clean(ctx context.Context) error {
	for {
		n, err := s.store.expire(ctx, cleanBatch)
		if err != nil || n < cleanBatch {
			return err
		}
	}
}

// Stop refuses new calls, waits for the running ones until ctx ends or 10 s have passed, and ends what
// Start began. Calls that go on are logged.
func (s *Service) Stop(ctx context.Context) {
	s.cleaner.once.Do(func() {
		if s.cleaner.stop != nil {
			s.cleaner.stop()
			<-s.cleaner.done
		}
	})
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	for _, set := range s.sets() {
		select {
		case <-set.calls.close():
		case <-ctx.Done():
			s.config.Log.WarnContext(ctx, "functions are still running at the stop", "calls", s.Running())
			return
		}
	}
}
