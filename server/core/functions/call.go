package functions

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"crema/server/base/deadline"
	"crema/server/base/fault"
	"crema/server/base/jsonfast"
	"crema/server/base/telemetry"
	"crema/server/core/acl"
	"crema/server/lambda"
)

// grace is how long after its deadline a function may still hand over what it has: long enough for
// code that obeys ctx, too short to notice for the caller of code that does not.
const grace = 100 * time.Millisecond

// outcome is how a call ended. One of result and err is set.
type outcome struct {
	result  json.RawMessage
	err     error
	refused bool // the function's code has not started
}

// run is one call that is going on.
type run struct {
	service  *Service
	function *function
	args     json.RawMessage
	start    time.Time
	settle   func(outcome)                // optional; gets the function's own outcome, late or not, before answer does
	answer   func(json.RawMessage, error) // called once, by the first of: the function ends, the deadline passes

	mu       sync.Mutex // held while answering
	answered bool

	// What a call needs is kept here for the sake of a single allocation.
	ctx   deadline.Context
	watch deadline.Entry
	call  lambda.Call
	log   callLog
}

// serve runs f, whose set has counted the call in, on the caller's goroutine. When f outlives its deadline,
// answer is called meanwhile from another one.
func (s *Service) serve(ctx context.Context, f *function, args json.RawMessage, answer func(json.RawMessage, error)) {
	r := &run{service: s, function: f, args: args, start: time.Now(), answer: answer}
	r.ctx.Start(ctx, r.start.Add(f.Timeout))
	defer r.ctx.End()
	s.watch.Add(&r.watch, r.start.Add(f.Timeout+grace), r)
	defer s.watch.Remove(&r.watch)
	r.do(&r.ctx)
}

// Expire implements deadline.Expirer for a call of serve.
func (r *run) Expire() { r.leave(&r.ctx) }

// call runs f on a goroutine of its own and returns at the deadline, or when ctx ends, at the latest.
func (s *Service) call(ctx context.Context, f *function, args json.RawMessage, settle func(outcome)) outcome {
	f, args, err := s.enter(ctx, f, args)
	if err != nil {
		o := outcome{err: err, refused: true}
		if settle != nil {
			settle(o)
		}
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	done := make(chan outcome, 1)
	r := &run{service: s, function: f, args: args, start: time.Now(), settle: settle}
	r.answer = func(result json.RawMessage, err error) { done <- outcome{result: result, err: err} }
	go r.do(ctx)
	select {
	case o := <-done:
		return o
	case <-ctx.Done():
	}
	t := time.AfterFunc(grace, func() { r.leave(ctx) })
	defer t.Stop()
	return <-done
}

func stopped() error {
	return fault.New(fault.Unavailable, "functions.stopped", "the server is stopping; try again in a moment")
}

// do ends with an outcome whatever the function's code does: even runtime.Goexit, which unwinds the
// goroutine without a panic.
func (r *run) do(ctx context.Context) {
	defer r.function.set.calls.leave()
	var o outcome
	returned := false
	defer func() {
		if cause := recover(); !returned {
			slog.New(r.function.log).ErrorContext(ctx, "a function panicked", "panic", cause, "stack", string(debug.Stack()))
			o = outcome{err: fault.New(fault.Internal, "functions.panic", "the function failed unexpectedly")}
		}
		r.deliver(ctx, o)
	}()
	o = r.attempt(ctx)
	returned = true
}

// deliver hands over what the function said, if anybody still waits for it.
func (r *run) deliver(ctx context.Context, o outcome) {
	if r.settle != nil {
		r.settle(o)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.answered {
		r.answered = true
		r.answer(o.result, o.err)
		return
	}
	r.service.abandoned.Add(-1)
	slog.New(r.function.log).WarnContext(ctx, "a function ended after its caller had left", "after", time.Since(r.start).String())
}

// leave answers in the function's place and lets it go on alone.
func (r *run) leave(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered {
		return
	}
	r.answered = true
	r.service.abandoned.Add(1)
	slog.New(r.function.log).WarnContext(ctx, "a function goes on although its ctx has ended")
	r.answer(nil, ended(ctx, r.function, r.start))
}

func (r *run) attempt(ctx context.Context) outcome {
	args, err := r.service.config.Complete(ctx, r.args)
	if err != nil {
		return outcome{err: err, refused: true}
	}
	v, err := r.function.Run(ctx, r.newCall(ctx), args)
	if err != nil {
		return r.failed(ctx, err)
	}
	o := encode(v)
	o.result, _ = r.service.config.Complete(ctx, o.result) // what was done counts more than a URL
	return o
}

func (r *run) newCall(ctx context.Context) *lambda.Call {
	actor := acl.FromContext(ctx)
	c := &r.service.config
	r.log = callLog{r.function.log, telemetry.RequestID(ctx)}
	r.call = lambda.Call{
		Name:      r.function.Name,
		RequestID: r.log.id,
		Actor:     lambda.Actor{UserID: actor.UserID, Roles: actor.Roles, Master: actor.Master(), Key: string(actor.Key)},
		Records:   c.Records(actor),
		Payments:  c.Payments(actor),
		Log:       slog.New(&r.log),
	}
	r.call.DecodeWith(jsonfast.Unmarshal)
	if r.function.AnyArgs {
		r.call.Payload = payload(ctx)
	}
	return &r.call
}

// payloadKey is where ctx keeps what WithPayload gave it.
type payloadKey struct{}

// WithPayload adds the whole body of a request of Skygear's wire, an object. Functions made with lambda.Raw
// get it as Call.Payload: JavaScript functions have always seen all of it, not only "args".
func WithPayload(ctx context.Context, body json.RawMessage) context.Context {
	return context.WithValue(ctx, payloadKey{}, body)
}

func payload(ctx context.Context) json.RawMessage {
	body, _ := ctx.Value(payloadKey{}).(json.RawMessage)
	return body
}

func encode(v any) outcome {
	if text, ok := v.(json.RawMessage); ok {
		return outcome{result: text}
	}
	result, err := json.Marshal(v)
	if err != nil {
		return outcome{err: fault.Wrap(err, fault.Internal, "functions.bad_result", "the function's result cannot be written as JSON")}
	}
	return outcome{result: result}
}

// failed turns what a function returned into a fault.
func (r *run) failed(ctx context.Context, err error) outcome {
	var args *lambda.ArgumentsError
	var said *lambda.Error
	var f *fault.Error
	switch {
	case errors.As(err, &args):
		return outcome{err: wrongType(r.function.In, r.args, args.Err), refused: true}
	case errors.As(err, &said):
		return outcome{err: ofLambda(said)}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return outcome{err: ended(ctx, r.function, r.start)}
	case errors.As(err, &f):
		return outcome{err: err}
	}
	return outcome{err: fault.Wrap(err, fault.Internal, "functions.failed", "the function failed unexpectedly")}
}

// ended says why ctx is over: the deadline, which is the function's or an earlier one of the request, or a caller that went away.
func ended(ctx context.Context, f *function, start time.Time) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		took := min(f.Timeout, time.Since(start).Round(time.Second/10))
		return fault.Wrap(ctx.Err(), fault.Timeout, "functions.timeout", "function %s took longer than %v", f.Name, took)
	}
	return fault.Wrap(ctx.Err(), fault.Unavailable, "functions.canceled", "the call of %s was cancelled", f.Name)
}

// callLog sees to it that what a function logs carries the request's id, with or without a ctx.
type callLog struct {
	slog.Handler
	id string
}

// Handle implements slog.Handler.
func (l *callLog) Handle(ctx context.Context, rec slog.Record) error {
	if telemetry.RequestID(ctx) == "" {
		ctx = telemetry.WithRequestID(ctx, l.id)
	}
	return l.Handler.Handle(ctx, rec)
}

// WithAttrs implements slog.Handler.
func (l *callLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &callLog{l.Handler.WithAttrs(attrs), l.id}
}

// WithGroup implements slog.Handler.
func (l *callLog) WithGroup(name string) slog.Handler {
	return &callLog{l.Handler.WithGroup(name), l.id}
}

// tracker counts the calls that are going on.
type tracker struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // closed once closed and n is 0
}

func newTracker() tracker { return tracker{idle: make(chan struct{})} }

func (t *tracker) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.n++
	}
	return !t.closed
}

func (t *tracker) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.closed && t.n == 0 {
		close(t.idle)
	}
}

func (t *tracker) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}

// close lets nobody in any more and returns a channel that is closed when the last call has left.
func (t *tracker) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed && t.n == 0 {
		close(t.idle)
	}
	t.closed = true
	return t.idle
}
