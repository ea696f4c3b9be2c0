package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"crema/server/base/fault"
)

// command is one of PostgreSQL's programs and the data directory that it works on.
type command struct {
	bin   string
	first string // an argument that must come before the data directory
	data  string
	owner *account // nil: runs as we do
	args  []string
	stdin string
	log   *slog.Logger
}

// build prepares the child: its own process group, so that Ctrl-C in a terminal reaches only us;
// the other user where we are root; a small environment, since PG* variables and a service manager's
// sockets are not meant for it.
func (c command) build(ctx context.Context) (*exec.Cmd, func(), error) {
	cmd := exec.CommandContext(ctx, c.bin)
	dir, release, err := reachable(cmd, c.data, c.owner)
	if err != nil {
		return nil, nil, err
	}
	if c.first != "" {
		cmd.Args = append(cmd.Args, c.first)
	}
	cmd.Args = append(append(cmd.Args, "-D", dir), c.args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	if v, ok := os.LookupEnv("LD_LIBRARY_PATH"); ok {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+v)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.owner.credential()}
	endWithUs(cmd.SysProcAttr)
	cmd.WaitDelay = 5 * time.Second
	return cmd, release, nil
}

// run executes a program to its end and returns what it printed.
func run(ctx context.Context, c command) (string, error) {
	cmd, release, err := c.build(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stdin = strings.NewReader(c.stdin)
	// A child that is to end with us ends with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// process is a running postgres.
type process struct {
	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when it has ended and been waited for
}

// startProcess starts postgres. One goroutine, tied to its thread, starts it and waits for it, so
// that the thread lives as long as the child.
func startProcess(c command) (*process, error) {
	cmd, release, err := c.build(context.Background())
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, log: &tail{log: c.log}, done: make(chan struct{})}
	cmd.Stderr = p.log
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		release()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait()
		p.log.flush()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fault.Wrap(err, fault.DatabaseUnavailable, "cluster.start_failed", "cannot execute %s (%v)", cmd.Path, plain(err))
	}
	return p, nil
}

func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.log.log.Warn("cannot signal PostgreSQL", "signal", s.String(), "error", err)
	}
}

// failure says that a postgres has ended, with its exit and its last lines. Call it after done.
func (p *process) failure(reason, what string) error {
	return fault.New(fault.DatabaseUnavailable, reason, "%s (%s); its last lines: %s", what, p.cmd.ProcessState, p.log.last())
}

// tail passes PostgreSQL's log lines on and keeps the last ones.
type tail struct {
	mu    sync.Mutex
	log   *slog.Logger
	rest  []byte
	lines []string
}

var _ io.Writer = (*tail)(nil)

// Write takes a piece of the log. A line without an end is cut at 8 KiB.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rest = append(t.rest, b...)
	for {
		line, rest, found := strings.Cut(string(t.rest), "\n")
		if !found && len(t.rest) < 8<<10 {
			return len(b), nil
		}
		t.rest = []byte(rest)
		t.emit(line)
	}
}

func (t *tail) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.rest) > 0 {
		t.emit(string(t.rest))
		t.rest = nil
	}
}

func (t *tail) emit(line string) {
	const keep = 12
	t.lines = append(t.lines, line)
	if len(t.lines) > keep {
		t.lines = t.lines[len(t.lines)-keep:]
	}
	level, text := grade(line)
	t.log.Log(context.Background(), level, "postgres: "+text)
}

// grade splits "FATAL:  text" into the level of our log and the text.
func grade(line string) (slog.Level, string) {
	word, text, found := strings.Cut(line, ":  ")
	if !found {
		return slog.LevelDebug, line
	}
	switch {
	case word == "PANIC":
		return slog.LevelError, text
	case word == "FATAL" || word == "WARNING" || word == "ERROR":
		return slog.LevelWarn, text
	case strings.Contains(text, "automatic recovery"):
		return slog.LevelInfo, text
	}
	return slog.LevelDebug, text
}

func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, " | ")
}

// passing says whether the failure goes away: somebody took the port, or processes of a killed
// postgres have not yet noticed that it is gone.
func (t *tail) passing() bool {
	s := t.last()
	return strings.Contains(s, "could not create any TCP/IP sockets") ||
		strings.Contains(s, "could not bind") ||
		strings.Contains(s, "is still in use")
}

// lastLines returns the last n non-empty lines of a text on one line.
func lastLines(text string, n int) string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}

// ended formats the state of a child that ended before it was ready.
func (p *process) ended() error {
	return p.failure("cluster.start_failed", fmt.Sprintf("PostgreSQL (%s) did not start", p.cmd.Path))
}
