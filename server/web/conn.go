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

	mu    sync.Mutex // before a conn's
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
	if tcp, ok := raw.(*net.TCPConn); ok && err == nil {
		return &conn{TCPConn: tcp, home: l}, nil
	}
	return raw, err
}

func (l *listener) add(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	if !l.awake {
		l.awake = true
		time.AfterFunc(l.every, l.sweep)
	}
}

// sweep keeps only connections with an end: one that a websocket has taken over is nobody's business here.
func (l *listener) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for c := range l.conns {
		if !c.expire(now) {
			delete(l.conns, c)
		}
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
	end   time.Time // of reads, while it is left to the sweep
	swept bool      // the sweep knows it, or is about to
	armed bool      // the connection itself has a deadline
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error {
	add, err := c.setReadDeadline(t)
	if add {
		c.home.add(c)
	}
	return err
}

// setReadDeadline says whether the sweep must be told.
func (c *conn) setReadDeadline(t time.Time) (add bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = time.Time{}
	if t.IsZero() || time.Until(t) >= c.home.far {
		c.end = t
		add = !t.IsZero() && !c.swept
		c.swept = c.swept || add
		if !c.armed {
			return add, nil
		}
		t = time.Time{}
	}
	c.armed = !t.IsZero()
	return add, c.TCPConn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// expire ends the read if it is time, and says whether there is an end to wait for.
func (c *conn) expire(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end.IsZero() {
		c.swept = false
		return false
	}
	if !now.Before(c.end) {
		c.armed = true
		_ = c.TCPConn.SetReadDeadline(c.end) // fails only on a closed connection
		c.end = time.Time{}
	}
	return true
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.home.mu.Lock()
	delete(c.home.conns, c)
	c.home.mu.Unlock()
	return c.TCPConn.Close()
}
