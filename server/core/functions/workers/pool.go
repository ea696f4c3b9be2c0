package workers

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"crema/server/base/deadline"
	"crema/server/base/fault"
	"crema/server/base/proc"
)

// Pool is the workers of one folder in one language. It is safe for concurrent use.
type Pool struct {
	c        Config
	launcher launcher
	files    load
	ids      atomic.Uint64
	watch    deadline.Watch // of calls whose callers wait
	numbers  atomic.Int64
	tasks    sync.WaitGroup
	stop     chan struct{}

	mu         sync.Mutex
	registered Registered
	workers    []*worker
	starting   int
	waiting    []*waiter
	backoff    proc.Backoff
	closed     bool
	notBefore  time.Time // when the next worker may be started after crashes
}

// waiter is a call that waits for a lane. It holds one; nil says that none will come.
type waiter struct {
	lane   chan *lane
	nested bool
}

const (
	idleLimit = time.Minute      // a worker beside the first one is kept this long without work
	idleLook  = 10 * time.Second // how often that is looked at
	overflow  = maxDepth + 1     // workers with nested calls, for each worker that is allowed without
)

// Open starts a pool and its first worker, and returns when the functions are loaded, or when ctx ends before. A folder without
// files of the language gives a nil Pool. Reasons: workers.no_interpreter, workers.not_loaded.
func Open(ctx context.Context, c Config) (*Pool, error) {
	c = c.withDefaults()
	files, err := find(c.Language, c.Dir, c.Project)
	if err != nil || len(files.Files) == 0 {
		return nil, err
	}
	files.Settings = c.Settings
	p := &Pool{c: c, files: files, stop: make(chan struct{})}
	if p.launcher, err = newLauncher(ctx, c, files); err != nil {
		return nil, err
	}
	w, r, err := p.launch(ctx)
	if err != nil {
		p.launcher.stop()
		return nil, err
	}
	p.registered = r
	p.join(w)
	p.tasks.Go(p.tend)
	return p, nil
}

// Registered is what the functions declared when they were loaded.
func (p *Pool) Registered() Registered {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.registered
}

// Language is what the pool's functions are written in.
func (p *Pool) Language() Language { return p.c.Language }

// remove takes a worker out of service: it gets no new calls.
func (p *Pool) remove(w *worker) {
	w.retired = true
	p.workers = slices.DeleteFunc(p.workers, func(other *worker) bool { return other == w })
}

// retire lets a worker that asks for it finish its calls and end.
func (p *Pool) retire(w *worker) {
	p.mu.Lock()
	p.remove(w)
	p.replace()
	idle := w.busy == 0
	p.mu.Unlock()
	p.c.Log.Info("a worker is replaced, since it was out of memory", "language", string(p.c.Language), "worker", w.number)
	if idle {
		w.process.kill()
	}
}

// replace starts a worker when there is none.
func (p *Pool) replace() {
	if len(p.workers)+p.starting == 0 && !p.closed {
		p.grow()
	}
}

// acquire finds a lane for a call. The caller gives it back with release, through finish.
func (p *Pool) acquire(ctx context.Context, nested bool) (*lane, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, stopped()
	}
	if l := p.pick(nested); l != nil {
		p.mu.Unlock()
		return l, nil
	}
	if err := p.admit(nested); err != nil {
		p.mu.Unlock()
		return nil, err
	}
	me := &waiter{lane: make(chan *lane, 1), nested: nested}
	if nested { // it goes first, and has no limit of its own: its callers have theirs
		p.waiting = append([]*waiter{me}, p.waiting...)
	} else {
		p.waiting = append(p.waiting, me)
	}
	limit := p.c.Wait
	if len(p.workers) == 0 || nested {
		limit = p.c.LoadLimit
	}
	p.mu.Unlock()
	return p.await(ctx, me, limit)
}

// admit makes room for one more call that waits, or refuses it.
func (p *Pool) admit(nested bool) error {
	now := time.Now()
	if len(p.workers) == 0 && now.Add(p.c.Wait).Before(p.notBefore) {
		return retryAfter(fault.New(fault.Unavailable, "workers.down", "the %s functions keep ending by themselves; they are started again in %v",
			p.c.Language, p.notBefore.Sub(now).Round(time.Second/10)), p.notBefore.Sub(now))
	}
	if p.asking(now) {
		time.AfterFunc(patience, p.wake)
	} else {
		p.widen(nested, len(p.waiting)+1)
	}
	if !nested && len(p.waiting) >= p.c.Queue {
		return retryAfter(fault.New(fault.RateLimited, "workers.busy", "too many calls of %s functions wait already; try again in a moment", p.c.Language), time.Second)
	}
	return nil
}

// patience is how long calls wait for a worker that was asked whether it listens, before another one is started.
const patience = 50 * time.Millisecond

// asking says that a worker has just been asked.
func (p *Pool) asking(now time.Time) bool {
	return slices.ContainsFunc(p.workers, func(w *worker) bool {
		asked := w.asked.Load()
		return asked != 0 && now.UnixNano()-asked < int64(patience)
	})
}

// widen starts a worker when so many calls wait that those which start already are not enough.
func (p *Pool) widen(nested bool, waiting int) {
	allowed := p.c.Workers
	if nested {
		allowed *= overflow
	}
	if len(p.workers)+p.starting < allowed && waiting > p.starting*p.c.Slots {
		p.grow()
	}
}

// wake serves the calls that wait, by workers that listen again or else by another one.
func (p *Pool) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.waiting) > 0 && !p.closed {
		next := p.waiting[0]
		l := p.pick(next.nested)
		if l == nil {
			if !p.asking(time.Now()) {
				p.widen(next.nested, len(p.waiting))
			}
			return
		}
		p.waiting = p.waiting[1:]
		next.lane <- l
	}
}

func retryAfter(e *fault.Error, d time.Duration) error {
	e.RetryAfter = max(d, time.Second)
	return e
}

func (p *Pool) await(ctx context.Context, me *waiter, limit time.Duration) (*lane, error) {
	t := time.NewTimer(limit)
	defer t.Stop()
	var err error
	select {
	case l := <-me.lane:
		if l == nil {
			return nil, stopped()
		}
		return l, nil
	case <-t.C:
		err = retryAfter(fault.New(fault.Unavailable, "workers.busy", "all %s workers are busy; try again in a moment", p.c.Language), time.Second)
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.mu.Lock()
	i := slices.Index(p.waiting, me)
	if i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	}
	p.mu.Unlock()
	if i < 0 {
		if l := <-me.lane; l != nil { // it came at the last moment
			return l, nil
		}
	}
	return nil, err
}

// pick takes a lane of the worker that has the least to do, of those that listen.
func (p *Pool) pick(nested bool) *lane {
	now := time.Now()
	var best *worker
	for _, w := range p.workers {
		full := w.busy >= w.capacity && !(nested && w.shared)
		if full || best != nil && w.busy >= best.busy || w.silent(now) {
			continue
		}
		best = w
	}
	if best == nil {
		return nil
	}
	return best.take()
}

func (w *worker) take() *lane {
	if w.busy == 0 {
		w.heard.Store(time.Now().UnixNano())
	}
	w.busy++
	for _, l := range w.lanes {
		if l.free {
			l.free = w.shared
			return l
		}
	}
	return w.lanes[0]
}

// release gives a lane back, or hands it on to a call that waits.
func (p *Pool) release(l *lane) {
	p.mu.Lock()
	w := l.worker
	if len(p.waiting) > 0 && !w.retired && !p.closed {
		next := p.waiting[0]
		p.waiting = p.waiting[1:]
		next.lane <- l
		p.mu.Unlock()
		return
	}
	l.free = true
	w.busy--
	w.idle = time.Now()
	finished := w.retired && (w.busy == 0 || w.doomed && w.busy == 1) && !w.dead
	p.mu.Unlock()
	if finished {
		w.process.kill()
	}
}

// grow starts one more worker, for whoever waits.
func (p *Pool) grow() {
	p.starting++
	pause := time.Until(p.notBefore)
	p.tasks.Go(func() {
		if !p.pause(pause) {
			return
		}
		w, _, err := p.launch(context.Background())
		if err == nil {
			p.join(w)
			return
		}
		p.failed("a worker could not be started", slog.String("error", err.Error()))
		p.mu.Lock()
		defer p.mu.Unlock()
		p.starting--
		p.replace()
	})
}

// pause waits and says whether the pool is still open.
func (p *Pool) pause(d time.Duration) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-p.stop:
		return false
	case <-t.C:
		return true
	}
}

// launch starts a worker and loads the functions.
func (p *Pool) launch(ctx context.Context) (*worker, Registered, error) {
	begin, number := time.Now(), p.numbers.Add(1)
	started, err := p.launcher.launch(number)
	if err != nil {
		return nil, Registered{}, err
	}
	w := newWorker(p, number, started)
	r, err := w.load(ctx, p.files, p.c.LoadLimit)
	if err != nil {
		w.process.kill()
	}
	p.c.Log.Debug("a worker has started", "language", string(p.c.Language), "worker", number, "took", time.Since(begin))
	return w, r, err
}

// join puts a loaded worker into service and serves those who wait.
func (p *Pool) join(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting = max(0, p.starting-1)
	if p.closed {
		w.retired = true
		w.process.kill()
		return
	}
	p.workers = append(p.workers, w)
	for _, l := range w.lanes {
		p.tasks.Go(l.read)
	}
	for len(p.waiting) > 0 && w.busy < w.capacity {
		p.waiting[0].lane <- w.take()
		p.waiting = p.waiting[1:]
	}
}

// lost buries a worker whose connection ended: its calls fail, and another one takes its place.
func (p *Pool) lost(w *worker, cause error) {
	p.mu.Lock()
	again := w.dead // another lane has told; this one may have got a call since
	expected := w.dead || w.retired || p.closed
	w.dead = true
	p.remove(w)
	err := crashed(cause, w)
	calls := w.abandon(err)
	p.mu.Unlock()
	w.process.kill()
	<-w.process.done
	if !expected {
		p.crashed(w, len(calls))
	}
	for _, c := range calls {
		c.done <- reply{err: err}
	}
	if again {
		return
	}
	close(w.buried)
	p.mu.Lock()
	p.replace()
	p.mu.Unlock()
}

// steady is how long a worker must have run for its end to count as the first one again.
const steady = 10 * time.Second

func (p *Pool) crashed(w *worker, calls int) {
	if time.Since(w.started) > steady {
		p.mu.Lock()
		p.backoff.Well()
		p.mu.Unlock()
	}
	p.failed("a worker ended by itself", slog.Int64("worker", w.number), slog.Int("calls", calls),
		slog.String("end", w.process.ended()), slog.String("last_lines", stamp.ReplaceAllString(w.process.last(), "")))
}

// abandon takes the calls away from a dead worker.
func (w *worker) abandon(why error) (calls []*call) {
	for _, l := range w.lanes {
		calls = append(calls, l.abandon(why)...)
	}
	return calls
}

// failed notes a crash and when the next worker may start.
func (p *Pool) failed(what string, why ...slog.Attr) {
	p.mu.Lock()
	pause := p.backoff.Failed()
	p.notBefore = time.Now().Add(pause)
	p.mu.Unlock()
	why = append(why, slog.String("language", string(p.c.Language)), slog.Duration("next_start_in", pause))
	p.c.Log.LogAttrs(context.Background(), slog.LevelError, what, why...)
}

func stopped() error {
	return fault.New(fault.Unavailable, "workers.stopped", "the server is stopping; try again in a moment")
}

// tend ends workers beside the first one that have had nothing to do.
func (p *Pool) tend() {
	t := time.NewTicker(idleLook)
	defer t.Stop()
	for {
		select {
		case <-p.stop:
			return
		case now := <-t.C:
			p.shrink(now.Add(-idleLimit))
		}
	}
}

func (p *Pool) shrink(before time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range slices.Clone(p.workers) {
		if len(p.workers) > 1 && w.busy == 0 && w.idle.Before(before) {
			p.remove(w)
			w.process.kill()
		}
	}
}

// Stop ends all workers at once, and the calls that they run. Let calls end before.
func (p *Pool) Stop() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	close(p.stop)
	for _, w := range p.waiting {
		w.lane <- nil
	}
	p.waiting = nil
	for _, w := range p.workers {
		w.process.kill()
	}
	p.mu.Unlock()
	p.tasks.Wait()
	p.launcher.stop()
}
