package proc

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"crema/server/base/fault"
)

const (
	// MaxFrame bounds the body of a frame, in bytes.
	MaxFrame = 16 << 20
	// headerSize is length, type, flags and id.
	headerSize = 4 + 1 + 1 + 8
)

// Frame is one message. Type and Flags mean what the two sides agree on.
type Frame struct {
	Type  byte
	Flags byte
	ID    uint64
	Body  []byte
}

// Conn is our end of a socketpair. Writes may come from many goroutines, reads from one at a time.
type Conn struct {
	conn *net.UnixConn
	r    *bufio.Reader
	mu   sync.Mutex // held while writing
	out  []byte
}

// Pair makes a socketpair: our end, and the file to hand to a child, which the caller closes afterwards.
func Pair() (*Conn, *os.File, error) {
	fds, err := socketpair()
	if err != nil {
		return nil, nil, fault.Wrap(err, fault.Internal, "proc.no_socket", "no socket for a child process could be made")
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	c, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fault.Wrap(err, fault.Internal, "proc.no_socket", "no socket for a child process could be made")
	}
	return newConn(c.(*net.UnixConn)), theirs, nil //nolint:errcheck // a socketpair is a unix socket
}

func newConn(c *net.UnixConn) *Conn { return &Conn{conn: c, r: bufio.NewReaderSize(c, 16<<10)} }

// socketpair makes two connected sockets that no other child inherits.
func socketpair() ([2]int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return fds, err
	}
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
	}
	return fds, syscall.SetNonblock(fds[0], true)
}

// keepOurFiles marks what this process was itself started with, so that children do not inherit it. What
// Go opens is marked already.
func keepOurFiles() {
	entries, err := os.ReadDir(openFiles)
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// Check fails with proc.frame_too_large when the body is over MaxFrame.
func (f Frame) Check() error {
	if len(f.Body) > MaxFrame {
		return fault.New(fault.TooLarge, "proc.frame_too_large", "the message for the function has %d bytes, at most %d are possible", len(f.Body), MaxFrame)
	}
	return nil
}

// Write sends a frame; a child that does not read by the deadline (zero: never) ends it. After an error
// the connection is of no use, since half a frame may have been sent. Reason proc.frame_too_large sends
// nothing.
func (c *Conn) Write(f Frame, deadline time.Time) error {
	_, err := c.WriteAll([]Frame{f}, deadline)
	return err
}

// WriteAll is Write for frames that have come together. After an error sent says how many the child has got whole:
// it may have acted on those, and on no other.
func (c *Conn) WriteAll(frames []Frame, deadline time.Time) (sent int, err error) {
	for _, f := range frames {
		if err := f.Check(); err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for sent < len(frames) {
		b, n := c.out[:0], 0
		for _, f := range frames[sent:] {
			if n > 0 && len(b)+headerSize+len(f.Body) > piece {
				break
			}
			b, n = f.append(b), n+1
		}
		if c.out = b; cap(b) > piece {
			c.out = nil
		}
		written, err := c.send(b, deadline, nil)
		if err != nil {
			return sent + whole(frames[sent:sent+n], written), err
		}
		sent += n
	}
	return sent, nil
}

// piece is how much is sent at a time, in bytes, unless one frame is larger.
const piece = 64 << 10

// whole is how many frames have gone out with the bytes that were written.
func whole(frames []Frame, written int) (n int) {
	for _, f := range frames {
		if written -= headerSize + len(f.Body); written < 0 {
			break
		}
		n++
	}
	return n
}

func (f Frame) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Body))) //nolint:gosec // Check bounds it
	b = append(b, f.Type, f.Flags)
	b = binary.BigEndian.AppendUint64(b, f.ID)
	return append(b, f.Body...)
}

func (c *Conn) send(b []byte, deadline time.Time, rights []byte) (written int, err error) {
	if err = c.conn.SetWriteDeadline(deadline); err == nil && rights != nil {
		written, _, err = c.conn.WriteMsgUnix(b, rights, nil)
	}
	if err == nil && written < len(b) {
		var n int
		n, err = c.conn.Write(b[written:])
		written += n
	}
	if err != nil {
		return written, fmt.Errorf("write to a child process: %w", err)
	}
	return written, nil
}

// WriteFiles is Write that passes open files with the frame. The child gets descriptors of its own.
func (c *Conn) WriteFiles(f Frame, deadline time.Time, files ...*os.File) error {
	if err := f.Check(); err != nil {
		return err
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.send(f.append(nil), deadline, syscall.UnixRights(fds...))
	return err
}

// Read returns the next frame. Its body is the caller's. io.EOF says that the child has closed its end.
func (c *Conn) Read() (Frame, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return Frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > MaxFrame {
		return Frame{}, fault.New(fault.Internal, "proc.bad_frame", "a child process announced a message of %d bytes, at most %d are possible", n, MaxFrame)
	}
	f := Frame{Type: head[4], Flags: head[5], ID: binary.BigEndian.Uint64(head[6:])}
	if n == 0 {
		return f, nil
	}
	body, err := readBody(c.r, int(n))
	f.Body = body
	return f, err
}

// readBody takes memory as bytes arrive: a child that announces much and sends nothing costs nothing.
func readBody(r io.Reader, n int) ([]byte, error) {
	const step = 256 << 10
	body := make([]byte, min(n, step))
	for have := 0; ; {
		if _, err := io.ReadFull(r, body[have:]); err != nil {
			return nil, err
		}
		if have = len(body); have == n {
			return body, nil
		}
		body = append(body, make([]byte, min(n-have, max(step, have)))...)
	}
}

// Close ends the connection; a Read that waits returns.
func (c *Conn) Close() error { return c.conn.Close() }
