package pg

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/lib/pq"
)

// maxQueued is how many notices may wait for one Listener. A slower one is told that it missed some.
const maxQueued = 4096

// listening is the one connection of a pool that listens, on all channels. It is made for the first
// Listener and ends with the last.
type listening struct {
	url  string
	turn chan struct{} // has room for the one who makes conn or opens a channel

	mu      sync.Mutex
	conn    *pq.Listener    // nil: nobody listens
	open    map[string]bool // channels of conn
	members map[string][]*Listener
}

func newListening(url string) *listening {
	return &listening{url: url, turn: make(chan struct{}, 1), members: map[string][]*Listener{}}
}

// Listener hands on what other sessions NOTIFY. Stop ends it.
type Listener struct {
	from    *listening
	channel string
	wake    chan struct{} // has room for one sign
	done    chan struct{}

	mu      sync.Mutex
	queue   []string
	missed  bool
	stopped bool
}

// Listen subscribes to a channel and returns once the subscription stands. notify is called in order, from
// one goroutine of this Listener, with each payload; after a lost connection, and when notify was too slow, it
// is called with again = true, since notices may have been missed. All Listeners of a pool share one connection
// of their own, which goes to Config.ListenURL.
func (db *DB) Listen(ctx context.Context, channel string, notify func(payload string, again bool)) (*Listener, error) {
	l := &Listener{from: db.listening, channel: channel, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run(notify)
	if err := db.listening.add(ctx, l); err != nil {
		l.Stop()
		return nil, Fault(err)
	}
	return l, nil
}

// Stop ends the subscription and waits for a running notify.
func (l *Listener) Stop() {
	l.from.remove(l)
	l.mu.Lock()
	l.stopped, l.queue = true, nil
	l.mu.Unlock()
	l.sign()
	<-l.done
}

func (l *Listener) run(notify func(string, bool)) {
	defer close(l.done)
	for range l.wake {
		queue, missed, stopped := l.take()
		if missed {
			notify("", true)
		}
		for _, payload := range queue {
			notify(payload, false)
		}
		if stopped {
			return
		}
	}
}

func (l *Listener) take() (queue []string, missed, stopped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue, missed = l.queue, l.missed
	l.queue, l.missed = nil, false
	return queue, missed, l.stopped
}

// put queues a payload, or notes that some were missed.
func (l *Listener) put(payload string, missed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.stopped:
	case missed || len(l.queue) >= maxQueued:
		l.queue, l.missed = nil, true
	default:
		l.queue = append(l.queue, payload)
	}
	l.sign()
}

func (l *Listener) sign() {
	select {
	case l.wake <- struct{}{}:
	default: // one waits already
	}
}

// add returns when the channel is listened to. A member is known before, so that it misses nothing.
func (s *listening) add(ctx context.Context, l *Listener) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	s.members[l.channel] = append(s.members[l.channel], l)
	s.mu.Unlock()
	ready := make(chan error, 1)
	go func() { // the driver waits for a connection as long as that takes
		defer func() { <-s.turn }()
		ready <- s.listen(l.channel)
	}()
	select {
	case err := <-ready:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *listening) listen(channel string) error {
	s.mu.Lock()
	if s.conn == nil {
		s.conn, s.open = pq.NewListener(s.url, 100*time.Millisecond, 10*time.Second, nil), map[string]bool{}
		go s.run(s.conn)
	}
	conn, open := s.conn, s.open[channel]
	s.mu.Unlock()
	if open {
		return nil
	}
	err := conn.Listen(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.conn == conn {
		s.open[channel] = true
	}
	return err
}

// run ends when conn is closed; while the database is away the driver may notice that some seconds late.
func (s *listening) run(conn *pq.Listener) {
	for n := range conn.NotificationChannel() {
		s.mu.Lock()
		if n != nil {
			for _, l := range s.members[n.Channel] {
				l.put(n.Extra, false)
			}
		} else { // the driver's sign for "reconnected"
			for _, all := range s.members {
				for _, l := range all {
					l.put("", true)
				}
			}
		}
		s.mu.Unlock()
	}
}

// remove takes l out, and ends the connection after the last one, which ends the waiting of an add that
// was given up too. The channel of one of several stays open until then: what comes is for nobody.
func (s *listening) remove(l *Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := slices.DeleteFunc(s.members[l.channel], func(other *Listener) bool { return other == l })
	if s.members[l.channel] = left; len(left) == 0 {
		delete(s.members, l.channel)
	}
	if len(s.members) == 0 && s.conn != nil {
		_ = s.conn.Close()
		s.conn = nil
	}
}
