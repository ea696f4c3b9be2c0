package deadline

import (
	"context"
	"sync"
	"time"
)

// tick is how late Expire may be called.
const tick = 50 * time.Millisecond

// Watch tells when time is up. The zero Watch is ready and safe for concurrent use; it needs no
// stopping, since it sleeps while it watches nothing.
type Watch struct {
	mu    sync.Mutex
	first *Entry
	timer *time.Timer
	awake bool
}

// Expirer is told once, on a goroutine of its own, that its time is up.
type Expirer interface{ Expire() }

// Entry is a place in a Watch, to be a field of what is watched. It must not be copied.
type Entry struct {
	at         time.Time
	ctx        context.Context // instead of at
	who        Expirer
	prev, next *Entry
	listed     bool
}

// Add watches e: who.Expire is called at the time at, or up to 50 ms later, unless e is removed before.
func (w *Watch) Add(e *Entry, at time.Time, who Expirer) {
	e.at, e.who = at, who
	w.add(e)
}

// AddContext is Add for the end of ctx, by its deadline or before. It does not ask for ctx.Done.
func (w *Watch) AddContext(e *Entry, ctx context.Context, who Expirer) {
	e.ctx, e.who = ctx, who
	w.add(e)
}

func (w *Watch) add(e *Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.listed = true
	if e.next = w.first; e.next != nil {
		e.next.prev = e
	}
	w.first = e
	if w.awake {
		return
	}
	w.awake = true
	if w.timer == nil {
		w.timer = time.AfterFunc(tick, w.sweep)
	} else {
		w.timer.Reset(tick)
	}
}

// Remove says whether e was still watched. If not, Expire has been called or is about to be.
func (w *Watch) Remove(e *Entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unlink(e)
}

func (w *Watch) unlink(e *Entry) bool {
	if !e.listed {
		return false
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		w.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.prev, e.next, e.listed = nil, nil, false
	return true
}

func (e *Entry) over(now time.Time) bool {
	if e.ctx != nil {
		return e.ctx.Err() != nil
	}
	return !now.Before(e.at)
}

func (w *Watch) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for e := w.first; e != nil; {
		next := e.next
		if e.over(now) {
			w.unlink(e)
			go e.who.Expire() // may write to a client that does not read
		}
		e = next
	}
	if w.awake = w.first != nil; w.awake {
		w.timer.Reset(tick)
	}
}
