package deadline

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Context is context.WithDeadline for code that seldom looks at its context. Set it up with Start; it
// may be a field of a larger struct and must not be copied.
type Context struct {
	parent context.Context
	at     time.Time
	mu     sync.Mutex
	ended  bool
	inner  atomic.Pointer[inner] // made by the first Done
}

// inner is the context that ends.
type inner struct {
	context.Context
	cancel context.CancelFunc
}

// Start sets parent and deadline. Call it once, before anything else, and End when the work is over.
func (c *Context) Start(parent context.Context, at time.Time) {
	c.parent, c.at = parent, at
	if earlier, ok := parent.Deadline(); ok && earlier.Before(at) {
		c.at = earlier
	}
}

// End cancels the context for whoever still holds it.
func (c *Context) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	if in := c.inner.Load(); in != nil {
		in.cancel()
	}
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.at, true }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	if in := c.inner.Load(); in != nil {
		return in.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.inner.Load()
	if in == nil {
		in = &inner{}
		in.Context, in.cancel = context.WithDeadline(c.parent, c.at)
		if c.ended {
			in.cancel()
		}
		c.inner.Store(in)
	}
	return in.Done()
}

// Err implements context.Context.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.inner.Load()
	switch {
	case in != nil:
		return in.Err()
	case c.parent.Err() != nil:
		return c.parent.Err()
	case !time.Now().Before(c.at):
		return context.DeadlineExceeded
	case c.ended:
		return context.Canceled
	}
	return nil
}

// Value implements context.Context. Contexts made from this one find the inner one here, which spares
// them a goroutine each.
func (c *Context) Value(key any) any {
	if in := c.inner.Load(); in != nil {
		return in.Value(key)
	}
	return c.parent.Value(key)
}
