package workers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/base/proc"
)

// launcher starts workers.
type launcher interface {
	launch(number int64) (process, error)
	stop()
}

func newLauncher(ctx context.Context, c Config, files load) (launcher, error) {
	program, err := interpreter(c.Language, c.Program)
	if err != nil {
		return nil, err
	}
	h, err := newHome(ctx, c, program)
	if err != nil {
		return nil, err
	}
	if c.Language == JavaScript {
		return &spawner{home: h}, nil
	}
	f := &forker{home: h, preload: imports(files)}
	if err := f.start(); err != nil {
		h.stop()
		return nil, err
	}
	return f, nil
}

// home is what all workers of a pool share: who they run as, their environment, and a folder for what they write.
type home struct {
	c       Config
	program string
	dir     string
	account *proc.Account
	sources map[string]string
}

func newHome(ctx context.Context, c Config, program string) (*home, error) {
	h := &home{c: c, program: program}
	if h.account = proc.Unprivileged(); h.account != nil {
		h.unprivileged(ctx)
	}
	var err error
	if h.sources, err = sources(c.Language); err != nil {
		return nil, err
	}
	if c.Language == JavaScript {
		h.sources["sdk.js"] = c.Client
	}
	if h.dir, err = os.MkdirTemp("", "crema-functions-"); err == nil {
		err = h.account.Own(h.dir)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.NotConfigured, "workers.no_folder", "no folder for the functions could be made in %s", os.TempDir())
	}
	return h, nil
}

// unprivileged makes sure that another user than root can work: root's own interpreter may be out of reach
// where the system's is not.
func (h *home) unprivileged(ctx context.Context) {
	candidates := []string{h.program}
	if h.c.Program == "" { // else it has packages that others lack
		name := filepath.Base(h.program)
		candidates = append(candidates, "/usr/local/bin/"+name, "/usr/bin/"+name)
	}
	for _, program := range candidates {
		if proc.Reachable(program, 0o001) && proc.Reachable(h.c.Dir, 0o005) {
			h.program = program
			return
		}
	}
	h.c.Log.WarnContext(ctx, "functions run as root, because no other user can reach their folder or their interpreter; start the server as an ordinary user",
		"language", string(h.c.Language), "folder", h.c.Dir, "interpreter", h.program)
	h.account = nil
}

func (h *home) stop() { _ = os.RemoveAll(h.dir) }

// environment is all that a worker's environment holds.
func (h *home) environment() []string {
	all := map[string]string{
		"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": h.dir, "TMPDIR": h.dir, "LANG": "C.UTF-8", "TZ": "UTC",
		"PYTHONPYCACHEPREFIX": filepath.Join(h.dir, "pycache"), "MALLOC_ARENA_MAX": "2",
	}
	if h.account != nil {
		all["USER"] = h.account.Name
	} else if u, err := user.Current(); err == nil {
		all["USER"] = u.Username
	}
	maps.Copy(all, h.c.Env)
	var list []string
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

// start starts the interpreter with its bootstrap and waits until it is ready.
func (h *home) start(number int64, args ...string) (*proc.Process, error) {
	p, err := proc.Start(proc.Config{
		Path: h.program, Args: args, Dir: h.c.Dir, Env: h.environment(), Channels: 1,
		Account: h.account, Limits: h.c.limits(h.account), Line: h.line(number),
	})
	if err != nil {
		return nil, err
	}
	if err := h.greet(p); err != nil {
		p.Kill()
		<-p.Done()
		var f *fault.Error
		if errors.As(err, &f) {
			return nil, f
		}
		return nil, fault.Wrap(err, fault.Unavailable, "workers.not_started", "%s did not start (%s): %s", h.program, p.Ended(), p.Last())
	}
	return p, nil
}

func (h *home) greet(p *proc.Process) error {
	body, err := json.Marshal(hello{Sources: h.sources})
	if err != nil {
		return err
	}
	late := time.AfterFunc(h.c.LoadLimit, p.Kill)
	defer late.Stop()
	if err := p.Conn(0).Write(proc.Frame{Type: frameHello, Body: body}, time.Now().Add(h.c.LoadLimit)); err != nil {
		return err
	}
	f, err := p.Conn(0).Read()
	if err != nil {
		return err
	}
	var r ready
	if err := json.Unmarshal(f.Body, &r); err != nil || f.Type != frameReady {
		return fmt.Errorf("the first message is of type %d: %w", f.Type, err)
	}
	if r.Error != "" {
		return fault.New(fault.NotConfigured, "workers.no_interpreter", "%s", r.Error)
	}
	return nil
}

// line logs what a worker prints. A runtime puts the call's id before a line, between two control characters.
func (h *home) line(number int64) func(proc.Stream, string) {
	log := h.c.Log.With("language", string(h.c.Language), "worker", number)
	return func(s proc.Stream, text string) {
		l := log
		if rest, ok := strings.CutPrefix(text, "\x01"); ok {
			if id, line, ok := strings.Cut(rest, "\x02"); ok && len(id) <= 20 {
				l, text = l.With("call", id), line
			}
		}
		l.Log(context.Background(), slog.LevelInfo, "function: "+text, "stream", string(s))
	}
}

// spawner starts each worker as a program of its own.
type spawner struct{ *home }

func (s *spawner) launch(number int64) (process, error) {
	heap := fmt.Sprintf("--max-old-space-size=%d", max(32, s.c.Memory/4*3>>20))
	p, err := s.start(number, heap, "-e", s.sources["bootstrap.js"])
	if err != nil {
		return process{}, err
	}
	return process{pid: p.Pid(), conns: []*proc.Conn{p.Conn(0)}, done: p.Done(), kill: p.Kill, ended: p.Ended, last: p.Last}, nil
}

// forker lets a warm parent fork workers.
type forker struct {
	*home
	preload []string

	launching sync.Mutex // held while a worker is forked
	parent    *proc.Process
	answers   chan child // of the parent; closed when it has died

	mu       sync.Mutex
	next     *forked // the worker that is being forked
	children map[int]*forked
}

// forked is a worker that the parent has forked.
type forked struct {
	pid    int
	output *proc.Output
	conns  []*proc.Conn
	done   chan struct{}
	status string

	mu   sync.Mutex
	gone bool // its id may belong to another process
}

// start starts the parent.
func (f *forker) start() error {
	// Compiled code of packages is taken from beside them; what workers compile goes into their own folder.
	p, err := f.home.start(0, "-X", "pycache_prefix=", "-s", "-u", "-c", f.sources["bootstrap.py"])
	if err != nil {
		return err
	}
	body, err := json.Marshal(hello{Preload: f.preload})
	if err != nil {
		return fault.Wrap(err, fault.Internal, "workers.not_started", "the list of imports cannot be written as JSON")
	}
	if err := p.Conn(0).Write(proc.Frame{Type: frameLoad, Body: body}, time.Now().Add(writeLimit)); err != nil {
		p.Kill()
		return fault.Wrap(err, fault.Unavailable, "workers.not_started", "%s does not listen", f.program)
	}
	f.parent, f.answers, f.children = p, make(chan child, 1), map[int]*forked{}
	go f.listen(p, f.answers, f.children)
	return nil
}

// listen hears of the parent's children until it dies; they die with it.
func (f *forker) listen(p *proc.Process, answers chan<- child, children map[int]*forked) {
	for {
		frame, err := p.Conn(0).Read()
		if err != nil {
			break
		}
		var c child
		if err := json.Unmarshal(frame.Body, &c); err != nil {
			break
		}
		switch frame.Type {
		case frameForked:
			f.mu.Lock()
			if f.next.pid = c.Pid; c.Pid != 0 {
				children[c.Pid] = f.next
			}
			f.mu.Unlock()
			answers <- c
		case frameExited:
			f.mu.Lock()
			one := children[c.Pid]
			delete(children, c.Pid)
			f.mu.Unlock()
			if one != nil {
				one.end(c.Status)
			}
			_ = p.Conn(0).Write(proc.Frame{Type: frameReap, Body: frame.Body}, time.Now().Add(writeLimit))
		}
	}
	p.Kill()
	<-p.Done()
	close(answers)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range children {
		one.end("its parent ended: " + p.Ended())
	}
}

// launch forks a worker; a parent that has died is started again.
func (f *forker) launch(number int64) (process, error) {
	f.launching.Lock()
	defer f.launching.Unlock()
	select {
	case <-f.parent.Done():
		if err := f.start(); err != nil {
			return process{}, err
		}
	default:
	}
	one, files, err := f.prepare(number)
	defer func() {
		for _, file := range files {
			_ = file.Close()
		}
	}()
	if err == nil {
		err = f.parent.Conn(0).WriteFiles(proc.Frame{Type: frameFork}, time.Now().Add(writeLimit), append(one.output.Theirs(), files...)...)
	}
	if err != nil {
		one.end("it was not started")
		return process{}, fault.Wrap(err, fault.Unavailable, "workers.not_started", "no worker could be forked")
	}
	one.output.CloseTheirs()
	late := time.AfterFunc(f.c.LoadLimit, f.parent.Kill)
	defer late.Stop()
	if c, ok := <-f.answers; !ok || c.Pid == 0 {
		one.end("it was not started")
		return process{}, fault.New(fault.Unavailable, "workers.not_started", "no worker could be forked (%s): %s", c.Status, f.parent.Last())
	}
	return process{pid: one.pid, conns: one.conns, done: one.done, kill: one.kill, ended: func() string { return one.status }, last: one.output.Last}, nil
}

func (f *forker) prepare(number int64) (one *forked, files []*os.File, err error) {
	one = &forked{done: make(chan struct{})}
	f.mu.Lock()
	f.next = one
	f.mu.Unlock()
	if one.output, err = proc.OpenOutput(f.line(number)); err != nil {
		return one, nil, err
	}
	for range f.c.Slots {
		ours, theirs, err := proc.Pair()
		if err != nil {
			return one, files, err
		}
		one.conns, files = append(one.conns, ours), append(files, theirs)
	}
	return one, files, nil
}

func (f *forker) stop() {
	f.launching.Lock()
	defer f.launching.Unlock()
	f.parent.Kill()
	<-f.parent.Done()
	f.home.stop()
}

func (o *forked) kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.gone && o.pid != 0 {
		_ = proc.KillGroup(o.pid) // all that can fail is that it has ended
	}
}

// finishOutput is how long a dead worker's output is read: others may hold it.
const finishOutput = 100 * time.Millisecond

// end closes what a dead worker leaves, and ends what it has started. The parent has not reaped it yet.
func (o *forked) end(status string) {
	o.kill()
	o.mu.Lock()
	o.gone = true
	o.mu.Unlock()
	for _, c := range o.conns {
		_ = c.Close()
	}
	o.status = status
	if o.output != nil {
		o.output.CloseTheirs()
		o.output.Finish(finishOutput)
	}
	close(o.done)
}
