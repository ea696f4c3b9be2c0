package workers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"crema/server/base/deadline"
	"crema/server/base/fault"
	"crema/server/base/jsonfast"
	"crema/server/base/proc"
)

// drainLimit is how long a worker may go on with other calls when one has run over its deadline.
const drainLimit = 5 * time.Second

// writeLimit is how long a worker may leave a message unread.
const writeLimit = 5 * time.Second

// process is a started interpreter, forked or not.
type process struct {
	pid   int
	conns []*proc.Conn
	done  <-chan struct{}
	kill  func()
	ended func() string // how it ended; after done
	last  func() string // its last lines
}

// worker is one process that runs calls.
type worker struct {
	pool     *Pool
	number   int64
	process  process
	lanes    []*lane
	capacity int
	shared   bool // its one lane takes many calls
	started  time.Time
	buried   chan struct{} // closed when it is dead and out of the pool, which knows by then when the next one may start
	actions  atomic.Int64  // that go on
	heard    atomic.Int64  // when a message came last, or a call to the idle worker began; in nanoseconds
	asked    atomic.Int64  // when it was asked whether it listens, as long as it has not answered; 0: it was not

	// Guarded by the pool's mutex.
	busy    int
	retired bool // takes no new calls
	dead    bool
	doomed  bool // is killed when the last call has gone, at the latest by drain
	idle    time.Time
	drain   *time.Timer
}

// lane is one connection of a worker: a thread in Python, everything in JavaScript.
type lane struct {
	worker *worker
	conn   *proc.Conn
	free   bool // of a worker with several lanes; guarded by the pool's mutex

	mu     sync.Mutex
	calls  map[uint64]*call
	unsent []proc.Frame // of calls that are sent next, together
	ended  error        // what calls get from now on that were sent, since the worker is dead
}

// call is one that a worker runs.
type call struct {
	id    uint64
	ctx   context.Context // of its caller
	lane  *lane
	sent  bool           // the worker may have begun it; guarded by the lane's mutex
	done  chan reply     // holds two: the worker's, and that of the end of ctx
	watch deadline.Entry // for the end of ctx
}

type reply struct {
	result json.RawMessage
	err    error
	again  bool // the worker has not begun the call and never will: it is dead or dies
}

func newWorker(p *Pool, number int64, started process) *worker {
	w := &worker{pool: p, number: number, process: started, capacity: p.c.Slots, shared: p.c.Language == JavaScript, started: time.Now(), idle: time.Now(), buried: make(chan struct{})}
	for _, c := range started.conns {
		w.lanes = append(w.lanes, &lane{worker: w, conn: c, free: true, calls: map[uint64]*call{}})
	}
	return w
}

// load makes the worker load its functions. It reads the lane by itself, before read does.
func (w *worker) load(ctx context.Context, l load, limit time.Duration) (Registered, error) {
	var r Registered
	first := w.lanes[0]
	body, err := json.Marshal(l)
	if err != nil {
		return r, fault.Wrap(err, fault.Internal, "workers.not_loaded", "the list of files cannot be written as JSON")
	}
	late := time.AfterFunc(limit, w.process.kill)
	defer late.Stop()
	defer context.AfterFunc(ctx, w.process.kill)() // nobody waits for it any more
	if err := first.conn.Write(proc.Frame{Type: frameLoad, Body: body}, time.Now().Add(limit)); err != nil {
		return r, w.notLoaded(err, limit)
	}
	for {
		f, err := first.conn.Read()
		if err != nil {
			return r, w.notLoaded(err, limit)
		}
		switch f.Type {
		case frameAction: // a function's file may use the server while it loads
			w.pool.tasks.Go(func() { w.pool.act(context.Background(), first, f) })
		case frameRegister:
			if err := json.Unmarshal(f.Body, &r); err != nil {
				return r, fault.Wrap(err, fault.Internal, "workers.not_loaded", "the functions cannot be understood")
			}
			return r, nil
		}
	}
}

// notLoaded says why the functions did not load.
func (w *worker) notLoaded(cause error, limit time.Duration) error {
	w.process.kill()
	<-w.process.done
	return fault.Wrap(cause, fault.Unavailable, "workers.not_loaded", "the %s functions did not load within %v (%s): %s",
		w.pool.c.Language, limit, w.process.ended(), w.process.last())
}

// read hands over what the worker sends on a lane until it dies.
func (l *lane) read() {
	for {
		f, err := l.conn.Read()
		if err != nil {
			l.worker.pool.lost(l.worker, err)
			return
		}
		l.worker.hear()
		switch f.Type {
		case frameResult:
			l.finish(f.ID, checked(f.Body))
		case frameError:
			l.finish(f.ID, reply{err: l.raised(f)})
		case frameAction:
			l.action(f)
		case frameRetire:
			l.worker.pool.retire(l.worker)
		}
	}
}

// checked refuses results that are no JSON: clients would get them as they are.
func checked(result []byte) reply {
	if !jsonfast.Valid(result) {
		return reply{err: fault.New(fault.Internal, "workers.bad_result", "the function's result is no JSON")}
	}
	return reply{result: result}
}

// raised is the error of a call.
func (l *lane) raised(f proc.Frame) error {
	var e failure
	if err := json.Unmarshal(f.Body, &e); err != nil {
		return fault.Wrap(err, fault.Internal, "workers.bad_error", "the function failed unexpectedly")
	}
	said := e.fault(l.worker.pool.c.DevMode)
	if text := said.Error(); l.worker.pool.c.Hide.Text(text) != text {
		return discreet{said, l.worker.pool.c.Hide.Text(text)}
	}
	return said
}

// discreet is an error whose text for the log hides what its message, which is the function's own, tells its caller.
type discreet struct {
	fault *fault.Error
	text  string
}

// Error implements error.
func (d discreet) Error() string { return d.text }

// Unwrap returns the error with its message.
func (d discreet) Unwrap() error { return d.fault }

// finish ends a call. One that the worker made up is ignored.
func (l *lane) finish(id uint64, r reply) {
	l.mu.Lock()
	c := l.calls[id]
	delete(l.calls, id)
	l.mu.Unlock()
	if c == nil {
		return
	}
	c.done <- r
	l.worker.pool.release(l)
}

// action lets the server do what a call asks for, beside the call.
func (l *lane) action(f proc.Frame) {
	l.mu.Lock()
	c := l.calls[f.ID>>actionBits]
	l.mu.Unlock()
	ctx := context.Background() // of a thread that has outlived its call
	if c != nil {
		ctx = c.ctx
	}
	w := l.worker
	if w.actions.Add(1) > maxActions {
		w.actions.Add(-1)
		w.pool.answer(l, f.ID, json.RawMessage(`{"error":{"name":"PluginUnavailable","code":118,"message":"the functions ask for too much at once"}}`))
		return
	}
	w.pool.tasks.Go(func() {
		defer w.actions.Add(-1)
		w.pool.act(ctx, l, f)
	})
}

// maxActions is how much a worker may ask of the server at a time.
const maxActions = 256

// send starts a call. Exactly one reply comes, unless it fails. Calls that come at the same time are sent together: that costs
// the server and the worker half as much.
func (l *lane) send(c *call, in invocation) error {
	body, err := in.json()
	frame := proc.Frame{Type: frameCall, ID: c.id, Body: body}
	if err = cmp.Or(err, frame.Check()); err != nil {
		l.worker.pool.release(l)
		return err
	}
	l.mu.Lock()
	l.calls[c.id] = c
	l.unsent = append(l.unsent, frame)
	n, all := len(l.unsent), len(l.calls)
	l.mu.Unlock()
	if n == 1 && l.worker.shared {
		runtime.Gosched() // others may have a call too
	}
	if n == 1 || n >= someCalls && 2*n >= all {
		l.flush()
	}
	return nil
}

// someCalls are enough to be sent when half of the calls wait for it: else the server and the worker would take turns, where they
// could work side by side.
const someCalls = 4

// flush sends the calls that have come together. Those that the worker may have got before it died are over.
func (l *lane) flush() {
	l.mu.Lock()
	frames := l.unsent
	l.unsent = nil
	l.mu.Unlock()
	if len(frames) == 0 { // somebody else has sent them
		return
	}
	n, err := l.conn.WriteAll(frames, time.Now().Add(writeLimit))
	if err != nil {
		l.worker.process.kill() // half of a message may have arrived
	}
	l.mu.Lock()
	for _, f := range frames[:n] {
		if c := l.calls[f.ID]; c != nil {
			c.sent = true
		}
	}
	ended := l.ended
	l.mu.Unlock()
	for _, f := range frames[n:] {
		l.finish(f.ID, reply{again: true})
	}
	if ended != nil {
		for _, f := range frames[:n] {
			l.finish(f.ID, reply{err: ended})
		}
	}
}

// abandon takes the calls away that were sent, once the worker is dead. Those that are being sent flush ends.
func (l *lane) abandon(why error) (calls []*call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = why
	for id, c := range l.calls {
		if c.sent {
			calls = append(calls, c)
			delete(l.calls, id)
		}
	}
	return calls
}

// crashed is what the calls of a dead worker get. They may have done half of their work.
func crashed(cause error, w *worker) error {
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	return fault.Wrap(cause, fault.Internal, "workers.crashed", "the process of the function ended while it ran (worker %d)", w.number)
}

// hear notes that the worker listens. Calls that wait for that are served.
func (w *worker) hear() {
	w.heard.Store(time.Now().UnixNano())
	if w.asked.Load() != 0 && w.asked.Swap(0) != 0 {
		w.pool.wake()
	}
}

// quiet is how long a worker with calls may be silent before it is asked whether it listens.
const quiet = 20 * time.Millisecond

// silent says that a worker which runs calls may not listen: a loop in JavaScript and a regular expression in Python keep all of
// it from going on, so that another call would be lost there. It is asked, and hear tells when it listens. The pool's mutex is held.
func (w *worker) silent(now time.Time) bool {
	if w.busy == 0 || now.UnixNano()-w.heard.Load() < int64(quiet) {
		return false
	}
	if w.asked.CompareAndSwap(0, now.UnixNano()) {
		l := w.lanes[0]
		for _, other := range w.lanes {
			if other.free {
				l = other
			}
		}
		go func() { _ = l.conn.Write(proc.Frame{Type: framePing}, time.Now().Add(writeLimit)) }() // who cannot take it does not answer
	}
	return true
}
