package deploys

import (
	"context"
	"strings"
	"sync"
	"time"
)

// report writes what a job says to the database, where every server reads it.
type report struct {
	s    *Service
	id   string
	done chan struct{}
	once sync.Once

	mu      sync.Mutex
	pending strings.Builder
	left    int // of maxLog
	wake    chan struct{}
	ended   sync.WaitGroup
}

const (
	maxLine  = 2 << 10
	maxLog   = 1 << 20 // bytes that a job says; only conclude gets beyond
	endLimit = 10 * time.Second
)

func (s *Service) report(id string) *report {
	r := &report{s: s, id: id, done: make(chan struct{}), wake: make(chan struct{}, 1), left: maxLog}
	r.ended.Go(r.run)
	return r
}

// say notes a text, unless the job has said too much. It never waits for the database.
func (r *report) say(text string) {
	for line := range strings.Lines(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "?")) {
		r.mu.Lock()
		switch line = shortened(line); {
		case r.left > len(line):
			r.left -= len(line)
			r.pending.WriteString(line)
		case r.left > 0:
			r.left = 0
			r.pending.WriteString("(the rest is left out)\n")
		}
		r.mu.Unlock()
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// conclude notes how the job ended, however much it has said.
func (r *report) conclude(text string) {
	r.mu.Lock()
	r.left = max(r.left, 2*len(text))
	r.mu.Unlock()
	r.say(text)
}

func shortened(line string) string {
	line = strings.TrimSuffix(line, "\n")
	return strings.ToValidUTF8(line[:min(len(line), maxLine)], "?") + "\n"
}

// run writes what is new, and a sign of life where nothing is.
func (r *report) run() {
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		r.flush(r.s.ctx)
		select {
		case <-r.done:
			return
		case <-r.wake:
		case <-t.C:
		}
	}
}

func (r *report) flush(ctx context.Context) {
	r.mu.Lock()
	text := r.pending.String()
	r.pending.Reset()
	r.mu.Unlock()
	if _, err := r.s.c.DB.Exec(ctx, sqlSay, r.id, text); err != nil && ctx.Err() == nil {
		r.s.c.Log.WarnContext(ctx, "the log of a deploy is not written", "job", r.id, "error", err.Error())
	}
}

// end writes how the job ended; Running leaves it to others to find out. It does so at the server's stop too.
func (r *report) end(state State) {
	r.once.Do(func() { close(r.done) })
	r.ended.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.s.ctx), endLimit)
	defer cancel()
	r.flush(ctx)
	if _, err := r.s.c.DB.Exec(ctx, sqlEnd, r.id, string(state)); err != nil {
		r.s.c.Log.WarnContext(ctx, "the end of a deploy is not written", "job", r.id, "error", err.Error())
	}
}
