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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/base/proc"
	"crema/server/base/scratch"
	"crema/server/base/telemetry"
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
	held    *scratch.Dir // dir, as long as we live
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
	if err = scratch.Sweep(os.TempDir(), homePrefix, nil); err != nil { // of servers that were killed
		c.Log.WarnContext(ctx, "folders of functions are left", "folder", os.TempDir(), "error", err.Error())
	}
	if h.held, err = scratch.Make(os.TempDir(), homePrefix); err == nil {
		h.dir = h.held.Path
		err = h.account.Own(h.dir)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.NotConfigured, "workers.no_folder", "no folder for the functions could be made in %s", os.TempDir())
	}
	return h, nil
}

// homePrefix begins the names of the folders of pools.
const homePrefix = "crema-functions-"

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

func (h *home) stop() { _ = h.held.Remove() }

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
	r, err := h.exchange(p, frameHello, hello{Sources: h.sources})
	if err == nil && r.Error != "" {
		err = fault.New(fault.NotConfigured, "workers.no_interpreter", "%s", r.Error)
	}
	return err
}

// exchange sends a message and waits until the interpreter is ready.
func (h *home) exchange(p *proc.Process, kind byte, content hello) (r ready, err error) {
	body, err := json.Marshal(content)
	if err != nil {
		return r, err
	}
	late := time.AfterFunc(h.c.LoadLimit, p.Kill)
	defer late.Stop()
	if err := p.Conn(0).Write(proc.Frame{Type: kind, Body: body}, time.Now().Add(h.c.LoadLimit)); err != nil {
		return r, err
	}
	f, err := p.Conn(0).Read()
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(f.Body, &r); err != nil || f.Type != frameReady {
		return r, fmt.Errorf("the answer is of type %d: %w", f.Type, err)
	}
	return r, nil
}

// stamp is what a runtime puts before a line.
var stamp = regexp.MustCompile("\x01[0-9]*\x02")

// line logs what a worker prints. A runtime puts the call's id before a line, between two control characters.
func (h *home) line(number int64) func(proc.Stream, string) {
	log := h.c.Log.With("language", string(h.c.Language), "worker", number)
	return func(s proc.Stream, text string) {
		l, ctx := log, context.Background()
		if rest, ok := strings.CutPrefix(text, "\x01"); ok {
			if head, line, ok := strings.Cut(rest, "\x02"); ok {
				if id, err := strconv.ParseUint(head, 10, 64); err == nil {
					l, text = l.With("call", id), line
					ctx = telemetry.WithRequestID(ctx, h.c.requests.of(id))
				}
			}
		}
		l.Log(ctx, slog.LevelInfo, "function: "+text, "stream", string(s))
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
