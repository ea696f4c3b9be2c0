package workers

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"crema/server/base/fault"
	"crema/server/base/proc"
	"crema/server/base/telemetry"
)

// Call runs one function and returns its result. It fails with what the function raised, with the error of
// ctx at its end, up to 50 ms later, with workers.busy when the queue is full or too slow, workers.crashed, workers.down while
// workers keep dying, workers.too_deep and workers.stopped.
func (p *Pool) Call(ctx context.Context, k Kind, name string, param json.RawMessage, from Caller) (json.RawMessage, error) {
	nested := depth(ctx)
	if nested > maxDepth {
		return nil, tooDeep()
	}
	for range maxSends {
		l, err := p.acquire(ctx, nested > 0)
		if err != nil {
			return nil, err
		}
		c := &call{id: p.ids.Add(1), ctx: ctx, lane: l, done: make(chan reply, 2)}
		p.c.requests.note(c.id, telemetry.RequestID(ctx))
		if err := l.send(c, invocation{Kind: k, Name: name, Param: param, Context: from}); err != nil {
			return nil, err
		}
		if r := p.answered(c); !r.again {
			return r.result, r.err
		}
		select { // it has died in the meantime, and nothing of the call has begun
		case <-l.worker.buried: // only then others find another worker
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, retryAfter(fault.New(fault.Unavailable, "workers.down", "the %s functions keep ending by themselves; try again in a moment", p.c.Language), time.Second)
}

// maxSends is how many workers in a row may turn out to be dead when a call is sent to them.
const maxSends = 5

// answered waits for what comes of a call that was sent.
func (p *Pool) answered(c *call) reply {
	p.watch.AddContext(&c.watch, c.ctx, c)
	defer p.watch.Remove(&c.watch)
	return <-c.done
}

// Expire implements deadline.Expirer for a call whose ctx has ended.
func (c *call) Expire() {
	err, p := c.ctx.Err(), c.lane.worker.pool
	c.done <- reply{err: err}
	if errors.Is(err, context.DeadlineExceeded) {
		p.overdue(c.lane, c)
	} else {
		p.orphan(c.lane, c)
	}
}

// orphan lets a call whose caller has gone away finish by its deadline.
func (p *Pool) orphan(l *lane, c *call) {
	at, ok := c.ctx.Deadline()
	if !ok {
		at = time.Now().Add(time.Minute)
	}
	time.AfterFunc(time.Until(at), func() { p.overdue(l, c) })
}

// overdue takes a worker out of service whose call runs over its deadline.
func (p *Pool) overdue(l *lane, c *call) {
	l.mu.Lock()
	_, running := l.calls[c.id]
	l.mu.Unlock()
	if !running {
		return
	}
	p.c.Log.Warn("a function ran over its deadline; its worker is replaced", "language", string(p.c.Language), "worker", l.worker.number, "call", c.id)
	p.mu.Lock()
	w := l.worker
	others := w.busy > 1
	if w.doomed = true; others && w.drain == nil {
		w.drain = time.AfterFunc(drainLimit, w.process.kill)
	}
	p.remove(w)
	p.replace()
	p.mu.Unlock()
	if !others {
		w.process.kill()
	}
}

// act runs an action of a call and answers it.
func (p *Pool) act(ctx context.Context, l *lane, f proc.Frame) {
	answer := json.RawMessage(`{"error":{"name":"NotSupported","code":111,"message":"functions cannot use the server here"}}`)
	if p.c.Action != nil {
		answer = p.c.Action(context.WithValue(ctx, depthKey{}, depth(ctx)+1), f.Body)
	}
	p.answer(l, f.ID, answer)
}

func (p *Pool) answer(l *lane, id uint64, body json.RawMessage) {
	err := l.conn.Write(proc.Frame{Type: frameAnswer, ID: id, Body: body}, time.Now().Add(writeLimit))
	if fault.Is(err, "proc.frame_too_large") {
		p.answer(l, id, json.RawMessage(`{"error":{"name":"BadRequest","code":107,"message":"the answer is over 16 MiB; ask for less"}}`))
	} else if err != nil {
		l.worker.process.kill()
	}
}
