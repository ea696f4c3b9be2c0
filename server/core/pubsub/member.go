package pubsub

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"crema/server/base/fault"
)

// Member is one connection to a hub. Next may run beside the other methods; all are safe for
// concurrent use. Leave must be called.
type Member struct {
	s   *Service
	hub Hub

	names sync.Mutex          // held while channels changes
	joins map[string]struct{} // the channels

	mu    sync.Mutex
	queue [][]byte
	spare [][]byte      // the batch that Next gave out last
	taken int           // bytes of that batch: still in memory
	bytes int           // of queue
	ended error         // why nothing more comes
	wake  chan struct{} // has room for one sign
	room  chan struct{} // closed when the queue is taken; nil when nobody waits for that
}

// Join makes a member of a hub, which has no channels yet.
func (s *Service) Join(on Hub) *Member {
	return &Member{s: s, hub: on, wake: make(chan struct{}, 1)}
}

// Subscribe adds a channel. Doing so again changes nothing. Reasons: pubsub.channel, pubsub.channels.
func (m *Member) Subscribe(channel string) error {
	if err := m.s.checkName(channel); err != nil {
		return err
	}
	m.names.Lock()
	defer m.names.Unlock()
	if _, ok := m.joins[channel]; ok {
		return nil
	}
	if len(m.joins) >= m.s.limits.Channels {
		return fault.New(fault.Denied, "pubsub.channels", "one connection can subscribe to %d channels; open another one", m.s.limits.Channels)
	}
	if m.joins == nil {
		m.joins = map[string]struct{}{}
	}
	m.joins[channel] = struct{}{}
	m.s.hubs[m.hub].add(channel, m)
	return nil
}

// Unsubscribe removes a channel. One that was not added is no error. Reason: pubsub.channel.
func (m *Member) Unsubscribe(channel string) error {
	if err := m.s.checkName(channel); err != nil {
		return err
	}
	m.names.Lock()
	defer m.names.Unlock()
	if _, ok := m.joins[channel]; ok {
		delete(m.joins, channel)
		m.s.hubs[m.hub].remove(channel, m)
	}
	return nil
}

// Publish is Service.Publish on the member's hub. The member hears it too if it has subscribed.
func (m *Member) Publish(ctx context.Context, channel string, data json.RawMessage) error {
	return m.s.Publish(ctx, m.hub, channel, data)
}

// Leave takes the member off all channels and ends Next with err.
func (m *Member) Leave(err error) {
	m.names.Lock()
	for name := range m.joins {
		m.s.hubs[m.hub].remove(name, m)
	}
	m.joins = nil
	m.names.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(err)
}

// Tell puts a text of the door's own behind what waits already. A member that is full is cut off.
func (m *Member) Tell(text []byte) { m.put(text, cutOff) }

// Next waits for messages and returns all that wait, the oldest first. Each is the JSON text that goes to
// the subscriber: {"channel":...,"data":...}. They are shared and must not be changed; the slice is good until
// the next call. When nothing more comes, the error is Leave's, or a fault pubsub.slow when the member
// was cut off, which drops what waited.
func (m *Member) Next(ctx context.Context) ([][]byte, error) {
	for {
		if batch, err := m.take(); len(batch) > 0 || err != nil {
			return batch, err
		}
		select {
		case <-m.wake:
		case <-ctx.Done():
			return nil, fault.From(ctx.Err())
		}
	}
}

// keptQueue is how many places an empty queue may keep.
const keptQueue = 16

func (m *Member) take() ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.spare) // so that nothing holds what has been sent
	if m.spare, m.taken = m.spare[:0], 0; cap(m.spare) > keptQueue {
		m.spare = nil
	}
	if len(m.queue) == 0 {
		m.makeRoom()
		return nil, m.ended
	}
	batch := m.queue
	m.queue, m.spare = m.spare, batch
	m.taken, m.bytes = m.bytes, 0
	m.makeRoom()
	return batch, nil
}

func (m *Member) makeRoom() {
	if m.room != nil {
		close(m.room)
		m.room = nil
	}
}

// onFull is what put does with a member that is full.
type onFull int

const (
	keep    onFull = iota // somebody waits until there is room
	cutOff                // nobody does any more
	hurried               // nobody does; but the member gets more room before it is cut off
)

// hurry says by how much more may wait for a member when messages come that nobody can hold up.
const hurry = 8

// put queues text. For a member that is full and kept it returns what is closed when there is room.
func (m *Member) put(text []byte, do onFull) (room <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.ended != nil:
	case !m.full(len(text), do):
		m.queue = append(m.queue, text)
		m.bytes += len(text)
		m.sign()
	case do != keep:
		m.queue, m.bytes = nil, 0
		m.end(fault.New(fault.RateLimited, "pubsub.slow", "messages came faster than they were read"))
	default:
		if m.room == nil {
			m.room = make(chan struct{})
		}
		return m.room
	}
	return nil
}

func (m *Member) full(more int, do onFull) bool {
	times := 1
	if do == hurried {
		times = hurry
	}
	n := len(m.queue) + len(m.spare)
	return n > 0 && (n >= times*m.s.limits.QueueLength || m.bytes+m.taken+more > times*m.s.limits.QueueBytes)
}

func (m *Member) end(err error) {
	if m.ended == nil {
		m.ended = err
	}
	m.makeRoom()
	m.sign()
}

func (m *Member) sign() {
	select {
	case m.wake <- struct{}{}:
	default: // one waits already
	}
}

// wait puts text as soon as there is room. When end comes, it cuts the member off and sets late.
func (m *Member) wait(ctx context.Context, text []byte, end <-chan time.Time, late *bool) error {
	for room := m.put(text, keep); room != nil; room = m.put(text, keep) {
		select {
		case <-room:
		case <-end:
			*late = true
			m.put(text, cutOff)
			return nil
		case <-ctx.Done():
			return fault.From(ctx.Err())
		}
	}
	return nil
}
