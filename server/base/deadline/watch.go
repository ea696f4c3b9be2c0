package deadline

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// tick is how late Expire may be called.
const tick = 50 * time.Millisecond

// Watch tells when time is up. The zero Watch is ready and safe for concurrent use; it needs no
// stopping, since it sleeps while it watches nothing.
type Watch struct {
	near sync.Pool // of *lane: the one that this processor has used last
	mu   sync.Mutex
	all  []*lane
	next int
}

// lane is the part of a watch that one processor uses, mostly. One list for all would have them wait for each other
// twice per entry.
type lane struct {
	mu    sync.Mutex
	first *Entry
	timer *time.Timer
	awake bool
	_     [64]byte // apart from the next one's cache line
}

// Expirer is told once, on a goroutine of its own, that its time is up.
type Expirer interface{ Expire() }

// Entry is a place in a Watch, to be a field of what is watched. It must not be copied.
type Entry struct {
	at         time.Time
	ctx        context.Context // instead of at
	who        Expirer
	lane       *lane // nil until it was added
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
	l, _ := w.near.Get().(*lane)
	if l == nil {
		l = w.any()
	}
	e.lane = l
	l.add(e)
	w.near.Put(l)
}

// any is for a processor whose lane is in use, or was forgotten by the pool.
func (w *Watch) any() *lane {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) < runtime.GOMAXPROCS(0) {
		w.all = append(w.all, &lane{})
	}
	w.next++
	return w.all[w.next%len(w.all)]
}

func (l *lane) add(e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.listed = true
	if e.next = l.first; e.next != nil {
		e.next.prev = e
	}
	l.first = e
	if l.awake {
		return
	}
	l.awake = true
	if l.timer == nil {
		l.timer = time.AfterFunc(tick, l.sweep)
	} else {
		l.timer.Reset(tick)
	}
}

// Remove says whether e was still watched. If not, Expire has been called or is about to be.
func (w *Watch) Remove(e *Entry) bool {
	if e.lane == nil {
		return false
	}
	e.lane.mu.Lock()
	defer e.lane.mu.Unlock()
	return e.lane.unlink(e)
}

func (l *lane) unlink(e *Entry) bool {
	if !e.listed {
		return false
	}
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
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

func (l *lane) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for e := l.first; e != nil; {
		next := e.next
		if e.over(now) {
			l.unlink(e)
			go e.who.Expire() // may write to a client that does not read
		}
		e = next
	}
	if l.awake = l.first != nil; l.awake {
		l.timer.Reset(tick)
	}
}
