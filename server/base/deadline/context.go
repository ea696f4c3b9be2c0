package deadline

import (
	"context"
	"sync"
	"time"
)

// Context is context.WithDeadline for code that seldom looks at its context. Set it up with Start; it
// may be a field of a larger struct and must not be copied.
type Context struct {
	parent context.Context
	at     time.Time
	mu     sync.Mutex
	ended  bool
	inner  context.Context // made by the first Done
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
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline implements context.Context.
func (c *Context) Deadline() (time.Time, bool) { return c.at, true }

// Done implements context.Context.
func (c *Context) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithDeadline(c.parent, c.at)
		if c.ended {
			c.cancel()
		}
	}
	return c.inner.Done()
}

// Err implements context.Context.
func (c *Context) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inner != nil:
		return c.inner.Err()
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
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.parent.Value(key)
}
