package telemetry

import (
	"context"
	"log/slog"
	"strings"
	"sync"
)

// Tap keeps the last lines of a log and gives new ones to those who listen. It is safe for concurrent use.
type Tap struct {
	own *slog.Logger

	mu        sync.Mutex
	lines     []string // oldest first
	listeners map[chan string]bool
}

const (
	tapKept   = 1000
	tapQueued = 1000 // lines that a listener may be behind
)

// NewTap returns a tap that nothing goes to yet.
func NewTap() *Tap {
	t := &Tap{listeners: map[chan string]bool{}}
	t.own = NewLogger(t, slog.LevelInfo, "text")
	return t
}

// Logger returns a logger whose lines go to l and to the tap.
func (t *Tap) Logger(l *slog.Logger) *slog.Logger {
	return slog.New(both{l.Handler(), t.own.Handler()})
}

// Write implements io.Writer for whole lines. It never waits for a listener: one that is too slow is ended.
func (t *Tap) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if len(t.lines) == 2*tapKept {
			t.lines = append([]string{}, t.lines[tapKept:]...)
		}
		t.lines = append(t.lines, line)
		for c := range t.listeners {
			select {
			case c <- line:
			default:
				close(c)
				delete(t.listeners, c)
			}
		}
	}
	return len(text), nil
}

// Listen returns the last lines, at most 1000, and a channel with those that follow. The channel is closed by
// stop, and when its reader falls behind.
func (t *Tap) Listen(tail int) (last []string, more <-chan string, stop func()) {
	Flush(t.own)
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(max(tail, 0), len(t.lines), tapKept)
	c := make(chan string, tapQueued)
	t.listeners[c] = true
	return append([]string{}, t.lines[len(t.lines)-n:]...), c, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.listeners[c] {
			close(c)
			delete(t.listeners, c)
		}
	}
}

// both is a handler for two.
type both struct{ one, other slog.Handler }

// Enabled implements slog.Handler.
func (b both) Enabled(ctx context.Context, l slog.Level) bool {
	return b.one.Enabled(ctx, l) || b.other.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (b both) Handle(ctx context.Context, r slog.Record) error {
	if b.other.Enabled(ctx, r.Level) {
		_ = b.other.Handle(ctx, r.Clone()) // the log itself counts more
	}
	if !b.one.Enabled(ctx, r.Level) {
		return nil
	}
	return b.one.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (b both) WithAttrs(attrs []slog.Attr) slog.Handler {
	return both{b.one.WithAttrs(attrs), b.other.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (b both) WithGroup(name string) slog.Handler {
	return both{b.one.WithGroup(name), b.other.WithGroup(name)}
}
