package proc

import (
	"math/rand/v2"
	"time"
)

const (
	firstPause = 100 * time.Millisecond
	longPause  = 30 * time.Second
)

// Backoff says how long to wait before a child that keeps ending is started again: not at all the first
// time, then 0.1 s, doubled up to 30 s, shortened by chance. It is not safe for concurrent use.
type Backoff struct{ failures int }

// Failed notes that a child ended by itself and returns the pause before the next start.
func (b *Backoff) Failed() time.Duration {
	b.failures++
	if b.failures == 1 {
		return 0
	}
	d := longPause
	if shift := b.failures - 2; shift < 9 {
		d = min(firstPause<<shift, longPause)
	}
	return d/2 + rand.N(d/2)
}

// Well notes that a child works.
func (b *Backoff) Well() { b.failures = 0 }
