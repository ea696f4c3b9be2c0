package provider

import (
	"sync"
	"time"
)

// Limits of the breaker.
const (
	breakAfter  = 5
	breakWithin = 30 * time.Second
	breakFor    = 20 * time.Second
)

// Breaker refuses new attempts for a while when the provider has not given a clear answer several times
// in a row. It never touches attempts that were sent.
type Breaker struct {
	now func() time.Time
	mu  sync.Mutex
	bad []time.Time
	off time.Time
}

// NewBreaker returns a closed breaker.
func NewBreaker() *Breaker { return &Breaker{now: time.Now} }

// Open says that new attempts should be refused now.
func (b *Breaker) Open() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Before(b.off)
}

// Saw counts an outcome and says whether the breaker opened by it.
func (b *Breaker) Saw(o Outcome) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if o.State != Unknown && !o.Refused {
		b.bad = b.bad[:0]
		return false
	}
	now := b.now()
	b.bad = append(b.bad, now)
	if len(b.bad) > breakAfter {
		b.bad = b.bad[1:]
	}
	if len(b.bad) < breakAfter || now.Sub(b.bad[0]) > breakWithin {
		return false
	}
	b.off, b.bad = now.Add(breakFor), b.bad[:0]
	return true
}
