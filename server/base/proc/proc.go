package proc

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"crema/server/base/fault"
)

// Config is what a child is started with.
type Config struct {
	Path     string   // the program
	Args     []string // without the program's name
	Dir      string   // working folder; "" is "/"
	Env      []string // all of it, "NAME=value"
	Channels int      // socketpairs, its descriptors from 3 on
	Account  *Account // who it runs as; nil: as we do
	Limits   Limits
	Line     func(Stream, string) // gets every line of its stdout and stderr; may be nil
}

// Process is a child that runs or has ended.
type Process struct {
	cmd    *exec.Cmd
	conns  []*Conn
	output *Output
	group  *cgroup
	done   chan struct{}

	mu     sync.Mutex
	reaped bool // its id may belong to another process now
}

// finishOutput is how long a dead child's pipes are read: others may hold them.
const finishOutput = 250 * time.Millisecond

// Start starts a child. Its limits stand before the program begins. Reason proc.not_started.
func Start(c Config) (*Process, error) {
	if _, err := exec.LookPath(c.Path); err != nil {
		return nil, notStarted(c, err)
	}
	p := &Process{done: make(chan struct{})}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
	}()
	for range c.Channels {
		ours, file, err := Pair()
		if err != nil {
			p.release()
			return nil, err
		}
		p.conns, theirs = append(p.conns, ours), append(theirs, file)
	}
	var err error
	if p.output, err = OpenOutput(c.Line); err != nil {
		p.release()
		return nil, err
	}
	p.group = newCgroup(c.Limits)
	p.cmd = c.command(p, theirs)
	if err := p.start(); err != nil {
		p.release()
		return nil, notStarted(c, err)
	}
	return p, nil
}

func notStarted(c Config, err error) error {
	return fault.Wrap(err, fault.NotConfigured, "proc.not_started", "%s cannot be started (%v)", c.Path, plain(err))
}

func (c Config) command(p *Process, theirs []*os.File) *exec.Cmd {
	cmd := exec.Command(shell, c.Limits.wrap(c.Account, c.Path, c.Args)...)
	cmd.Dir = cmp.Or(c.Dir, "/")
	cmd.Env = append([]string{}, c.Env...) // never nil, which would inherit ours
	cmd.ExtraFiles = theirs
	cmd.Stdout, cmd.Stderr = p.output.theirs[0], p.output.theirs[1]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.Account.credential()}
	p.group.adopt(cmd.SysProcAttr)
	dieWithUs(cmd.SysProcAttr)
	return cmd
}

// start runs the child on a goroutine that is tied to its thread: the kernel kills the child when that
// thread ends, and the thread's promise to gain no privileges goes over to the child. The thread is never
// used for anything else; it ends with the goroutine.
func (p *Process) start() error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		keepOurFiles()
		err := noNewPrivileges()
		if err == nil {
			err = p.cmd.Start()
		}
		p.output.CloseTheirs()
		started <- err
		if err == nil {
			p.wait()
		}
	}()
	return <-started
}

// wait ends what the child leaves behind, while its id is still its own.
func (p *Process) wait() {
	if !awaitExit(p.Pid()) {
		_ = p.cmd.Wait()
	}
	p.mu.Lock()
	_ = KillGroup(p.Pid())
	p.reaped = true
	p.mu.Unlock()
	_ = p.cmd.Wait()
	p.group.end()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.output.Finish(finishOutput)
	close(p.done)
}

func (p *Process) release() {
	for _, c := range p.conns {
		_ = c.Close()
	}
	if p.output != nil {
		p.output.CloseTheirs()
		p.output.Close()
	}
	p.group.end()
}

// Conn returns our end of the child's descriptor 3+i.
func (p *Process) Conn(i int) *Conn { return p.conns[i] }

// Pid is the child's, and the id of its process group.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended and its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the child and all of its process group, and of its cgroup where there is one, at once. Wait for Done.
func (p *Process) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		p.group.kill()
		_ = KillGroup(p.Pid()) // all that can fail is that it has ended
	}
}

// Ended says how a child that has ended did so: "exit status 1", "signal: killed". Call it after Done.
func (p *Process) Ended() string { return p.cmd.ProcessState.String() }

// Last returns the last lines that the child wrote to stderr.
func (p *Process) Last() string { return p.output.Last() }

// KillGroup kills a process group. A group that is gone is no error.
func KillGroup(pid int) error {
	if pid <= 1 {
		return fmt.Errorf("process group %d is not a child's", pid)
	}
	if err := syscall.Kill(-pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill process group %d: %w", pid, err)
	}
	return nil
}

// plain is what went wrong, without names of files.
func plain(err error) error {
	var lookup *exec.Error
	if errors.As(err, &lookup) {
		return lookup.Err
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// Find returns the path of a program: of the PATH when name has no slash. Reason proc.no_program.
func Find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fault.Wrap(err, fault.NotConfigured, "proc.no_program", "there is no program %s", name)
	}
	return path, nil
}
