package pubsub

import (
	"context"
	"slices"
	"sync"
	"time"
)

// hub is a set of channels that have subscribers.
type hub struct {
	mu       sync.RWMutex
	channels map[string]*channel
}

// channel keeps its own lock while it hands a message out, so that all its subscribers see one order.
type channel struct {
	name    string
	mu      sync.Mutex
	members []*Member
}

func newHub() *hub { return &hub{channels: map[string]*channel{}} }

func (h *hub) add(name string, m *Member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[name]
	if c == nil {
		c = &channel{name: name}
		h.channels[name] = c
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(c.members, m)
}

func (h *hub) remove(name string, m *Member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.channels[name]
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.members, m); i >= 0 {
		last := len(c.members) - 1
		c.members[i], c.members[last] = c.members[last], nil
		c.members = c.members[:last]
	}
	if len(c.members) == 0 {
		delete(h.channels, name)
	}
}

// deliver puts text into the queue of every subscriber. Those that are full get until the end of patience
// to make room and are cut off then; only an ended ctx leaves one of them without the message.
func (h *hub) deliver(ctx context.Context, name string, text []byte, patience time.Duration) error {
	h.mu.RLock()
	c := h.channels[name]
	h.mu.RUnlock()
	if c == nil {
		return nil
	}
	full := c.handOut(text, patience > 0)
	if len(full) == 0 {
		return nil
	}
	end := time.NewTimer(patience)
	defer end.Stop()
	late := false
	for _, m := range full {
		if late {
			m.put(text, cutOff)
		} else if err := m.wait(ctx, text, end.C, &late); err != nil {
			return err
		}
	}
	return nil
}

// handOut returns the members that are full, if somebody waits for them; else it cuts them off.
func (c *channel) handOut(text []byte, waits bool) (full []*Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		switch {
		case !waits:
			m.put(text, hurried)
		case m.put(text, keep) != nil:
			full = append(full, m)
		}
	}
	return full
}
