// Package rebuild builds the program again when its functions in Go, its migrations or its settings have changed, and lets the
// new one take over from the running one: both accept on one socket, the old one ends what it has begun, no request is lost.
//
// Way in: Program says whether there is something to build, Run is the parent, Inherited what it has started. The parent serves
// nobody. It holds what must outlive a change, the socket and the private PostgreSQL of its caller.
package rebuild

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/base/watch"
)

// Config says what to build and what the programs get.
type Config struct {
	Program  string           // the main package
	Places   []string         // folders of sources and of migrations, and files that the program reads at its start
	Args     []string         // of the program
	Env      []string         // "NAME=value", beside the parent's
	Since    time.Time        // when the parent was started
	Listener *net.TCPListener // nobody else accepts on it
	Broken   <-chan error     // ends everything; nil: nothing does
	Log      *slog.Logger
}

// Program returns the main package of the running program if its module is in the current folder and Go is installed,
// else "".
func Program() string {
	info, ok := debug.ReadBuildInfo()
	if _, err := exec.LookPath("go"); !ok || err != nil {
		return ""
	}
	text, err := os.ReadFile("go.mod")
	if err != nil || !slices.Contains(strings.Split(string(text), "\n"), "module "+info.Main.Path) {
		return ""
	}
	return info.Path
}

// supervisor is the parent at work.
type supervisor struct {
	c        Config
	dir      string // of what was built
	builds   int
	leaving  sync.WaitGroup // programs that others have taken over from
	building sync.WaitGroup
}

// Run starts the running program's file as a child, and what is built after it, until ctx ends or the child does. It returns
// the exit code of a child that ended by itself.
func Run(ctx context.Context, c Config) (code int, err error) {
	dir, err := os.MkdirTemp("", "crema-dev-")
	if err != nil {
		return 0, fault.Wrap(err, fault.NotConfigured, "rebuild.no_folder", "no folder for the built program could be made in %s", os.TempDir())
	}
	defer func() { _ = os.RemoveAll(dir) }()
	exe, err := os.Executable()
	if err != nil {
		return 0, fault.Wrap(err, fault.Internal, "rebuild.no_program", "the program cannot find itself")
	}
	s := &supervisor{c: c, dir: dir}
	live, err := s.start(exe, c.Since)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer s.leaving.Wait()
	defer s.building.Wait()
	defer cancel()
	saved := make(chan struct{}, 1)
	w, err := watch.Start(watch.Config{Places: c.Places, Log: c.Log, Changed: func(_ string, names []string) {
		if slices.ContainsFunc(names, source) {
			select {
			case saved <- struct{}{}:
			default:
			}
		}
	}})
	if err == nil {
		defer w.Stop()
	} // else the child says so
	return s.run(ctx, live, saved)
}

// source says whether a file is part of the program, or of what it reads at its start.
func source(name string) bool {
	ext := path.Ext(name)
	return name == "." || ext == ".sql" || ext == ".go" && !strings.HasSuffix(name, "_test.go")
}

func (s *supervisor) run(ctx context.Context, live *child, saved <-chan struct{}) (code int, err error) {
	built, abort := make(chan *child, 1), func() {}
	defer func() {
		abort()
		s.building.Wait()
		select {
		case late := <-built:
			late.stop()
		default:
		}
	}()
	for {
		select {
		case <-ctx.Done():
			live.stop()
			return live.code(), nil
		case err := <-s.c.Broken:
			live.stop()
			return 0, err
		case <-live.exited:
			return live.code(), nil
		case <-saved:
			abort() // what is being compiled is old already
			s.building.Wait()
			select {
			case next := <-built: // clients know it
				live = s.replace(ctx, live, next)
			default:
			}
			compiling, cancel := context.WithCancel(ctx)
			abort = cancel
			s.building.Go(func() { s.build(ctx, compiling, built) })
		case next := <-built:
			live = s.replace(ctx, live, next)
		}
	}
}

func (s *supervisor) replace(ctx context.Context, old, next *child) *child {
	s.leaving.Go(func() { old.leave(ctx) })
	return next
}

// build makes the program again, starts it and hands it over when it serves. What fails is told.
func (s *supervisor) build(ctx, compiling context.Context, built chan<- *child) {
	begin := time.Now()
	s.c.Log.InfoContext(ctx, "sources in Go, migrations or settings have changed; building")
	s.builds++
	exe := filepath.Join(s.dir, "crema-"+strconv.Itoa(s.builds))
	cmd := exec.CommandContext(compiling, "go", "build", "-trimpath", "-o", exe, s.c.Program)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	ownGroup(cmd)
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if compiling.Err() == nil {
			s.tell(ctx, said.String(), err)
		}
		return
	}
	next, err := s.start(exe, time.Unix(0, 0))
	if err == nil {
		err = next.await(ctx)
		_ = os.Remove(exe) // it runs, or never will
	}
	if err != nil {
		if ctx.Err() == nil {
			s.c.Log.ErrorContext(ctx, "the changed program did not start; everything stays as it was", "error", fault.From(err).Message)
		}
		return
	}
	s.c.Log.InfoContext(ctx, "changed functions are live", "language", "go", "took", time.Since(begin).Round(time.Millisecond))
	built <- next
}

// place is how the compiler begins a line about a mistake.
var place = regexp.MustCompile(`^(.+\.go):(\d+)(?::\d+)?: (.*)$`)

func (s *supervisor) tell(ctx context.Context, said string, cause error) {
	for line := range strings.SplitSeq(strings.TrimSpace(said), "\n") {
		if m := place.FindStringSubmatch(line); m != nil {
			at, _ := strconv.Atoi(m[2]) // the pattern has digits only
			s.c.Log.ErrorContext(ctx, "the functions in Go do not build", "file", m[1], "line", at, "error", m[3])
		} else if line != "" && !strings.HasPrefix(line, "#") {
			s.c.Log.ErrorContext(ctx, "the functions in Go do not build", "error", line)
		}
	}
	s.c.Log.ErrorContext(ctx, "the functions stay as they were", "language", "go", "error", cause.Error())
	telemetry.Flush(s.c.Log)
}

// errNotReady is what a program gets that ended before it served.
var errNotReady = errors.New("it ended before it was ready")
