package assets

import (
	"context"
	"time"

	"crema/server/base/fault"
)

const (
	cleanEvery = time.Hour
	// abandoned is how old an object that no asset has, or an asset without bytes, is when it is
	// removed. No upload may take so long.
	abandoned = 24 * time.Hour
)

// cleaner is the goroutine of Start.
type cleaner struct {
	stop context.CancelFunc
	done chan struct{}
}

// Start removes once an hour what uploads left behind that did not end: objects that no asset has, and
// announced assets whose bytes never came and which no record refers to.
func (s *Service) Start(ctx context.Context) {
	ctx, s.cleaner.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.cleaner.done = make(chan struct{})
	go func() {
		defer close(s.cleaner.done)
		t := time.NewTicker(cleanEvery)
		defer t.Stop()
		for {
			if err := s.Clean(ctx); err != nil && ctx.Err() == nil {
				s.c.Log.WarnContext(ctx, "what uploads left behind is not removed", "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
}

// Stop ends what Start began.
func (s *Service) Stop() {
	if s.cleaner.stop != nil {
		s.cleaner.stop()
		<-s.cleaner.done
	}
}

// Clean removes what is a day old and of no use. What cannot be removed is tried again the next time.
func (s *Service) Clean(ctx context.Context) error {
	before := s.now().Add(-abandoned)
	if err := s.eachPage(ctx, selectUnused, before, s.remove); err != nil {
		return err
	}
	return s.eachPage(ctx, selectGivenUp, before, func(ctx context.Context, name string) error {
		_, err := s.c.DB.Exec(ctx, deleteGivenUp, name, before)
		if fault.HasCode(err, fault.Constraint) { // a record refers to it and waits for the bytes
			return nil
		}
		return err
	})
}

// eachPage calls fn for every text that a statement selects, and logs what fails.
func (s *Service) eachPage(ctx context.Context, statement string, before time.Time, fn func(context.Context, string) error) error {
	last := ""
	for {
		var page []string
		if err := s.c.DB.Select(ctx, &page, statement, before, last); err != nil || len(page) == 0 {
			return err
		}
		for _, last = range page {
			if err := fn(ctx, last); err != nil {
				if ctx.Err() != nil {
					return err
				}
				s.c.Log.WarnContext(ctx, "something that an upload left behind cannot be removed", "name", last, "error", err)
			}
		}
	}
}

// remove removes an object that no asset has: the bytes first, so that they are never forgotten.
func (s *Service) remove(ctx context.Context, key string) error {
	if err := s.c.Store.Remove(ctx, key); err != nil {
		return err
	}
	_, err := s.c.DB.Exec(ctx, deleteUnused, key)
	return err
}
