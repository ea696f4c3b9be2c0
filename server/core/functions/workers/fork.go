package workers

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/base/proc"
)

// forker lets a warm parent fork workers.
type forker struct {
	*home

	launching sync.Mutex // held while a worker is forked
	preload   []string
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

// start starts a parent that is safe to fork: modules that leave a file, a connection or a thread behind when
// they are imported are left to the workers.
func (f *forker) start() error {
	for restarts := 0; ; restarts++ {
		p, unfit, err := f.warm()
		if err != nil {
			return err
		}
		if len(unfit) == 0 || len(f.preload) == 0 {
			f.parent, f.answers, f.children = p, make(chan child, 1), map[int]*forked{}
			go f.listen(p, f.answers, f.children)
			return nil
		}
		p.Kill()
		<-p.Done()
		f.c.Log.Info("modules are imported by each worker, since they leave something open", "modules", unfit)
		f.preload = slices.DeleteFunc(f.preload, func(name string) bool { return slices.Contains(unfit, name) })
		if restarts == maxRestarts {
			f.preload = nil
		}
	}
}

// maxRestarts is how often a parent is started again for the sake of unfit modules before it imports none.
const maxRestarts = 3

// warm starts a parent and lets it import. It returns the modules that made it unfit.
func (f *forker) warm() (*proc.Process, []string, error) {
	// Compiled code of packages is taken from beside them; what workers compile goes into their own folder.
	p, err := f.home.start(0, "-X", "pycache_prefix=", "-s", "-u", "-c", f.sources["bootstrap.py"])
	if err != nil {
		return nil, nil, err
	}
	r, err := f.exchange(p, frameLoad, hello{Preload: f.preload})
	if err != nil {
		p.Kill()
		<-p.Done()
		return nil, nil, fault.Wrap(err, fault.Unavailable, "workers.not_started", "%s did not import %s (%s): %s",
			f.program, strings.Join(f.preload, ", "), p.Ended(), p.Last())
	}
	return p, r.Unfit, nil
}

// listen hears of the parent's children until it dies; they die with it.
func (f *forker) listen(p *proc.Process, answers chan<- child, children map[int]*forked) {
	var ending sync.WaitGroup
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
			ending.Go(func() { // what a worker leaves may hold its output for a while; others are forked meanwhile
				if one != nil {
					one.end(c.Status)
				}
				_ = p.Conn(0).Write(proc.Frame{Type: frameReap, Body: frame.Body}, time.Now().Add(writeLimit))
			})
		}
	}
	p.Kill()
	<-p.Done()
	close(answers)
	ending.Wait()
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

// endLimit is how long the parent has for killing what its workers have left.
const endLimit = 2 * time.Second

func (f *forker) stop() {
	f.launching.Lock()
	defer f.launching.Unlock()
	late := time.AfterFunc(endLimit, f.parent.Kill)
	defer late.Stop()
	if err := f.parent.Conn(0).Write(proc.Frame{Type: frameEnd}, time.Now().Add(endLimit)); err != nil {
		f.parent.Kill()
	}
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
