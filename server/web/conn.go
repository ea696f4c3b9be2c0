package web

import (
	"net"
	"sync"
	"time"
)

// listener accepts connections whose far read deadlines are looked after by one sweep. net/http sets four for each
// request, seconds or minutes away, and hardly any comes due; each costs the runtime a timer.
type listener struct {
	net.Listener
	far   time.Duration // how far away the end of a read must be to be left to the sweep
	every time.Duration // how late such a read may end
	mu    sync.Mutex
	conns map[*conn]struct{}
	awake bool
}

// Patient returns l with connections that end a read at its deadline, or up to half a second later where that was
// five seconds away or more.
func Patient(l net.Listener) net.Listener { return patient(l, 5*time.Second, 500*time.Millisecond) }

func patient(l net.Listener, far, every time.Duration) *listener {
	return &listener{Listener: l, far: far, every: every, conns: map[*conn]struct{}{}}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	tcp, ok := raw.(*net.TCPConn)
	if !ok {
		return raw, nil
	}
	c := &conn{TCPConn: tcp, home: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	if !l.awake {
		l.awake = true
		time.AfterFunc(l.every, l.sweep)
	}
	return c, nil
}

func (l *listener) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for c := range l.conns {
		c.expire(now)
	}
	if l.awake = len(l.conns) > 0; l.awake {
		time.AfterFunc(l.every, l.sweep)
	}
}

// conn is a connection of a listener. What it embeds keeps the ways of the kernel: sendfile, for one.
type conn struct {
	*net.TCPConn
	home *listener

	mu    sync.Mutex
	end   time.Time // of reads, while the sweep looks after it
	armed bool      // the kernel's side of the connection has a deadline
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = time.Time{}
	if t.IsZero() || time.Until(t) >= c.home.far {
		c.end = t
		if !c.armed {
			return nil
		}
		t = time.Time{}
	}
	c.armed = !t.IsZero()
	return c.TCPConn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

func (c *conn) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.IsZero() || now.Before(c.end) {
		return
	}
	c.armed = true
	_ = c.TCPConn.SetReadDeadline(c.end) // fails only on a closed connection
	c.end = time.Time{}
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.home.mu.Lock()
	delete(c.home.conns, c)
	c.home.mu.Unlock()
	return c.TCPConn.Close()
}
