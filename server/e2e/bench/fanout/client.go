package fanout

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
)

// Opcodes of the websocket protocol.
const (
	opText = 1
	opPing = 9
	opPong = 10
)

// dial opens a websocket and subscribes it to a channel. It returns when the server has done so.
func dial(ctx context.Context, addr, path, channel string, number int) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	own := fmt.Sprintf("own-%d", number)
	if err := errors.Join(shake(conn, path), send(conn, `{"action":"sub","channel":"`+channel+`"}`),
		send(conn, `{"action":"sub","channel":"`+own+`"}`), send(conn, `{"action":"pub","channel":"`+own+`","data":0}`)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	want := `{"channel":"` + own + `","data":0}`
	echo, err := firstText(conn)
	if err != nil || echo != want {
		_ = conn.Close()
		return nil, fmt.Errorf("socket %d heard %q of itself: %w", number, echo, err)
	}
	return conn, conn.SetDeadline(noDeadline)
}

// firstText is the first short text that comes. On a busy machine the server may ask before whether anybody is there.
func firstText(conn net.Conn) (string, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return "", err
		}
		text := make([]byte, head[1])
		if _, err := io.ReadFull(conn, text); err != nil {
			return "", err
		}
		if head[0]&15 != opPing {
			return string(text), nil
		}
		if _, err := conn.Write(frame(opPong, text)); err != nil {
			return "", err
		}
	}
}

func shake(conn net.Conn, path string) error {
	_, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if err != nil {
		return err
	}
	var head strings.Builder
	for b := [1]byte{}; !strings.HasSuffix(head.String(), "\r\n\r\n"); head.WriteByte(b[0]) {
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return err
		}
	}
	if !strings.HasPrefix(head.String(), "HTTP/1.1 101 ") {
		return fmt.Errorf("no websocket: %.80q", head.String())
	}
	return nil
}

func send(conn net.Conn, text string) error {
	_, err := conn.Write(frame(opText, []byte(text)))
	return err
}

// frame is masked with zeros, which leaves the text as it is.
func frame(opcode byte, text []byte) []byte {
	b := []byte{0x80 | opcode}
	if len(text) < 126 {
		b = append(b, 0x80|byte(len(text)))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(len(text)))
	}
	return append(append(b, 0, 0, 0, 0), text...)
}

// listener takes frames of a server apart. Only their number matters.
type listener struct {
	head  [4]byte
	have  int // bytes of head
	left  int // of the payload
	short [125]byte
	kept  int // of short: the payload of a control frame
}

// feed reads p and returns how many texts ended in it. Pings are given to pong.
func (l *listener) feed(p []byte, pong func([]byte)) (texts int) {
	for len(p) > 0 {
		if l.left == 0 {
			l.head[l.have] = p[0]
			l.have++
			p = p[1:]
			if !l.begin() || l.left > 0 {
				continue
			}
		} else {
			n := min(l.left, len(p))
			if l.head[0]&8 != 0 {
				l.kept += copy(l.short[l.kept:], p[:n])
			}
			l.left -= n
			p = p[n:]
			if l.left > 0 {
				continue
			}
		}
		switch l.head[0] & 15 {
		case opText:
			texts++
		case opPing:
			pong(l.short[:l.kept])
		}
		l.have, l.kept = 0, 0
	}
	return texts
}

// begin says whether the header is complete; then left is known.
func (l *listener) begin() bool {
	switch {
	case l.have == 2 && l.head[1] < 126:
		l.left = int(l.head[1])
		return true
	case l.have == 4:
		l.left = int(binary.BigEndian.Uint16(l.head[2:]))
		return true
	}
	return false
}

// listen counts texts and answers pings until the connection ends.
func listen(conn net.Conn, size int, heard func(texts int)) error {
	var l listener
	buf := make([]byte, size)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		heard(l.feed(buf[:n], func(p []byte) { _, _ = conn.Write(frame(opPong, p)) }))
	}
}

// open dials n sockets, some at a time.
func open(ctx context.Context, n int, dial func(i int) (net.Conn, error)) ([]net.Conn, error) {
	conns, errs := make([]net.Conn, n), make([]error, n)
	var all sync.WaitGroup
	some := make(chan struct{}, 32)
	for i := range n {
		some <- struct{}{}
		all.Go(func() {
			defer func() { <-some }()
			if ctx.Err() == nil {
				conns[i], errs[i] = dial(i)
			}
		})
	}
	all.Wait()
	return conns, errors.Join(append(errs, ctx.Err())...)
}
