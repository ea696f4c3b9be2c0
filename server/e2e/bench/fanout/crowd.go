package fanout

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

var noDeadline time.Time

const (
	patience  = 30 * time.Second // for anything that should happen at once
	ringSize  = 256              // more messages than are ever on their way
	bufferFor = 4 << 10
)

// Crowd is one publisher and its subscribers.
type Crowd struct {
	publisher net.Conn
	members   []net.Conn
	text      []byte
	sent      int
	sentAt    [ringSize]time.Time
	heardBy   [ringSize]atomic.Int32
	complete  chan int // messages that all have heard
	failed    chan error
	surplus   atomic.Int64 // messages heard that nobody waits for
	ended     atomic.Bool
	running   sync.WaitGroup
}

// Gather opens n subscribers on one server and a publisher on another one, or the same. Data is what the
// publisher will say, as JSON. A Crowd must be closed.
func Gather(ctx context.Context, from, to, path string, n int, data string) (*Crowd, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// A channel of its own: servers may still be telling each other what was said before.
	channel := fmt.Sprintf("room-%d", time.Now().UnixNano())
	c := &Crowd{
		text:     frame(opText, []byte(`{"action":"pub","channel":"`+channel+`","data":`+data+`}`)),
		complete: make(chan int, ringSize), failed: make(chan error, n),
	}
	var err error
	if c.publisher, err = dial(ctx, from, path, "unused", n); err != nil {
		return nil, err
	}
	c.members, err = open(ctx, n, func(i int) (net.Conn, error) { return dial(ctx, to, path, channel, i) })
	if err != nil {
		c.Close()
		return nil, err
	}
	for _, conn := range c.members {
		c.running.Go(func() { c.hear(conn) })
	}
	return c, nil
}

// hear counts for one member. Whoever is the last to hear a message says so.
func (c *Crowd) hear(conn net.Conn) {
	k := 0
	err := listen(conn, bufferFor, func(texts int) {
		for ; texts > 0; texts-- {
			if at := &c.heardBy[k%ringSize]; int(at.Add(1)) == len(c.members) {
				at.Store(0)
				select {
				case c.complete <- k:
				default: // more was heard than was said
					c.surplus.Add(1)
				}
			}
			k++
		}
	})
	if !c.ended.Load() {
		c.failed <- fmt.Errorf("a subscriber ended after %d messages: %w", k, err)
	}
}

// Round publishes for about d with window messages on their way, and returns how long each took to
// reach all members.
func (c *Crowd) Round(ctx context.Context, d time.Duration, window int) ([]time.Duration, error) {
	var took []time.Duration
	flying := 0
	for end := time.Now().Add(d); flying > 0 || time.Now().Before(end); {
		for ; flying < window && time.Now().Before(end); flying++ {
			c.sentAt[c.sent%ringSize] = time.Now()
			c.sent++
			if _, err := c.publisher.Write(c.text); err != nil {
				return nil, err
			}
		}
		if flying == 0 {
			break
		}
		if c.surplus.Load() > 0 {
			return nil, errors.New("more was heard than was said")
		}
		select {
		case k := <-c.complete:
			took = append(took, time.Since(c.sentAt[k%ringSize]))
			flying--
		case err := <-c.failed:
			return nil, err
		case <-time.After(patience):
			return nil, errors.New("a message did not reach everybody")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return took, nil
}

// Close ends all sockets.
func (c *Crowd) Close() {
	c.ended.Store(true)
	for _, conn := range append(c.members, c.publisher) {
		if conn != nil {
			_ = conn.Close()
		}
	}
	c.running.Wait()
}

// Quiet is sockets that do nothing but answer pings.
type Quiet struct {
	conns   []net.Conn
	ended   atomic.Int64
	running sync.WaitGroup
}

// Idle opens n sockets, each with two channels, and leaves them alone. A Quiet must be closed.
func Idle(ctx context.Context, addr string, n int, paths ...string) (*Quiet, error) {
	q := &Quiet{}
	var err error
	q.conns, err = open(ctx, n, func(i int) (net.Conn, error) {
		one, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		return dial(one, addr, paths[i%len(paths)], fmt.Sprintf("room-%d", i/10), i)
	})
	if err != nil {
		q.Close()
		return nil, err
	}
	for _, conn := range q.conns {
		q.running.Go(func() {
			_ = listen(conn, 256, func(int) {})
			q.ended.Add(1)
		})
	}
	return q, nil
}

// Ended is how many sockets the server has ended.
func (q *Quiet) Ended() int { return int(q.ended.Load()) }

// Close ends all sockets.
func (q *Quiet) Close() {
	for _, conn := range q.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
	q.running.Wait()
}
