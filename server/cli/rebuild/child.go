package rebuild

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"crema/server/base/fault"
)

// The descriptors that a child finds, and what its environment says.
const (
	socketFD = 3
	readyFD  = 4 // the child writes when it serves
	holdFD   = 5 // one byte when another has taken over; its end alone when the parent has ended

	variable = "CREMA_DEV_CHILD" // since when its first page is waited for, in nanoseconds; 0: another one serves
)

const (
	readyLimit = time.Minute
	leaveLimit = 2 * time.Minute
	stopLimit  = 30 * time.Second
)

// child is a program that serves.
type child struct {
	cmd    *exec.Cmd
	ready  *os.File
	hold   *os.File
	exited chan struct{}
}

func (s *supervisor) start(exe string, since time.Time) (*child, error) {
	socket, err := shared(s.c.Listener)
	if err != nil {
		return nil, notStarted(err)
	}
	defer func() { _ = socket.Close() }() // the child has it
	ready, theirReady, err := os.Pipe()
	if err != nil {
		return nil, notStarted(err)
	}
	theirHold, hold, err := os.Pipe()
	if err != nil {
		_, _ = ready.Close(), theirReady.Close()
		return nil, notStarted(err)
	}
	defer func() { _, _ = theirReady.Close(), theirHold.Close() }()
	c := &child{cmd: exec.Command(exe, s.c.Args...), ready: ready, hold: hold, exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = os.Stdout, os.Stderr
	c.cmd.ExtraFiles = []*os.File{socket, theirReady, theirHold}
	c.cmd.Env = append(append(os.Environ(), s.c.Env...), variable+"="+strconv.FormatInt(since.UnixNano(), 10))
	ownGroup(c.cmd)
	if err := c.cmd.Start(); err != nil {
		_, _ = ready.Close(), hold.Close()
		return nil, notStarted(err)
	}
	go func() {
		_ = c.cmd.Wait() // code says it
		_ = ready.Close()
		close(c.exited)
	}()
	return c, nil
}

// shared is a copy of a listener's socket for a child. One from TCPListener.File would make the socket block when the child gets
// it, in every program that has it: who accepts then cannot be stopped until somebody connects.
func shared(l *net.TCPListener) (*os.File, error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	failed := raw.Control(func(own uintptr) {
		if fd, err = syscall.Dup(int(own)); err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if err := errors.Join(failed, err); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

func notStarted(err error) error {
	return fault.Wrap(err, fault.Unavailable, "rebuild.not_started", "the program cannot be started (%v)", err)
}

// ownGroup keeps Ctrl-C in a terminal from reaching a program: its parent tells it.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// await returns when the child serves; one that does not is ended.
func (c *child) await(ctx context.Context) error {
	serving := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(c.ready, make([]byte, 1))
		serving <- err
	}()
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	var err error
	select {
	case err = <-serving:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		return nil
	}
	c.stop()
	if errors.Is(err, context.Canceled) {
		return err
	}
	return fault.Wrap(errNotReady, fault.Unavailable, "rebuild.not_ready", "the program ended with code %d before it was ready", c.code())
}

// leave lets the child end what it has begun, until ctx ends.
func (c *child) leave(ctx context.Context) {
	_, _ = c.hold.Write([]byte{1}) // who does not hear it has ended
	_ = c.hold.Close()
	defer context.AfterFunc(ctx, func() { _ = c.cmd.Process.Signal(syscall.SIGTERM) })()
	c.end(leaveLimit)
}

// stop ends the child as a signal in its terminal would.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	c.end(stopLimit)
	_ = c.hold.Close()
}

func (c *child) end(limit time.Duration) {
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-c.exited:
	case <-t.C:
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// code is the exit code of a child that has ended, 1 when a signal ended it.
func (c *child) code() int {
	if code := c.cmd.ProcessState.ExitCode(); code >= 0 {
		return code
	}
	return 1
}

// Inheritance is what a child has from its parent.
type Inheritance struct {
	Listener net.Listener
	First    bool      // nobody served before
	Since    time.Time // of the first: when the parent was started
	ready    *os.File
	hold     *os.File
	orphaned atomic.Bool
}

// Inherited returns what a parent has handed on, nil when there is none. Call it once, before anything is started.
func Inherited() (*Inheritance, error) {
	since, err := strconv.ParseInt(os.Getenv(variable), 10, 64)
	if err != nil { // nobody has set it, or not we
		return nil, nil
	}
	_ = os.Unsetenv(variable) // only an impossible name fails
	for _, fd := range []int{socketFD, readyFD, holdFD} {
		syscall.CloseOnExec(fd)
	}
	socket := os.NewFile(socketFD, "socket")
	defer func() { _ = socket.Close() }() // the listener has a copy
	l, err := net.FileListener(socket)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "rebuild.no_socket", "the parent has left no socket; unset %s", variable)
	}
	return &Inheritance{
		Listener: l, First: since != 0, Since: time.Unix(0, since), ready: os.NewFile(readyFD, "ready"), hold: os.NewFile(holdFD, "hold"),
	}, nil
}

// Ready tells the parent that requests are answered.
func (i *Inheritance) Ready() { _, _ = i.ready.Write([]byte{1}) } // without a parent, over is closed

// Over is closed when another program has taken over, or the parent has ended.
func (i *Inheritance) Over() <-chan struct{} {
	over := make(chan struct{})
	go func() {
		n, _ := i.hold.Read(make([]byte, 1))
		i.orphaned.Store(n == 0)
		close(over)
	}()
	return over
}

// Orphaned says, once Over is closed, that the parent has ended: nobody has taken over.
func (i *Inheritance) Orphaned() bool { return i.orphaned.Load() }
