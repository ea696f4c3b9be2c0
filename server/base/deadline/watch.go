package deadline

import (
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
	who        Expirer
	prev, next *Entry
	listed     bool
}

// Add watches e: who.Expire is called at the time at, or up to 50 ms later, unless e is removed before.
func (w *Watch) Add(e *Entry, at time.Time, who Expirer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.at, e.who, e.listed = at, who, true
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

func (w *Watch) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for e := w.first; e != nil; {
		next := e.next
		if !now.Before(e.at) {
			w.unlink(e)
			go e.who.Expire() // may write to a client that does not read
		}
		e = next
	}
	if w.awake = w.first != nil; w.awake {
		w.timer.Reset(tick)
	}
}
