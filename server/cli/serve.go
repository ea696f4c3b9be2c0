package cli

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"crema/server/app"
	"crema/server/base/fault"
	"crema/server/base/telemetry"
)

type serveCommand struct{}

// Run serves until one of stopSignals. A service manager wants nothing but logs.
func (serveCommand) Run(env *environment) error {
	c, err := env.config()
	if err != nil {
		return err
	}
	log := telemetry.NewLogger(env.errs, c.Log.Level, c.Log.Format)
	if len(c.Unused) > 0 {
		log.Warn("these settings of Skygear do nothing here", "names", c.Unused)
	}
	return env.serve(log, served{
		start: func(ctx context.Context) (*app.App, error) { return app.Start(ctx, c, log, env.fns) },
		ready: func(a *app.App, after string) { log.Info("ready", "url", a.URL(), "after", after) },
	})
}

// served is an app to serve.
type served struct {
	start func(context.Context) (*app.App, error)
	ready func(a *app.App, after string) // its first page was served
	over  <-chan struct{}                // closed when another process has taken its address over; nil: none does

	orphaned func() bool // after over: no other process has, the parent is gone
}

// serve starts an app, and stops it on a signal, when it is over or when it fails.
func (e *environment) serve(log *slog.Logger, s served) error {
	forgetLibpq()
	// Only what uses a default logger by itself, such as an HTTP server, goes through this one.
	slog.SetDefault(log)
	defer holdHeapRoom()()
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals()...)
	defer stop()
	a, err := s.start(ctx)
	if err != nil {
		telemetry.Flush(log)
		if ctx.Err() != nil { // asked to stop before it was ready
			return nil
		}
		return err
	}
	if err := firstPage(ctx, a.URL()); err != nil {
		log.Warn("the first page was not served", "error", err)
	}
	s.ready(a, e.sinceStart())
	select {
	case <-s.over:
		if !s.orphaned() {
			leave, cancel := context.WithTimeout(ctx, time.Minute)
			a.Drain(leave)
			cancel()
		}
	case <-ctx.Done():
		log.Info("stopping")
	case err = <-a.Failed():
	}
	stop() // a second signal ends the process at once
	grace, cancel := context.WithTimeout(context.Background(), app.Grace)
	defer cancel()
	a.Stop(grace)
	return err
}

// stopSignals ask the server to stop: Ctrl-C, a service manager, a terminal that is closed. Who started it with nohup wants it
// to outlive the terminal.
func stopSignals() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// forgetLibpq drops the variables of PostgreSQL's own client library: the driver would obey them over
// the URL, or refuse to work with them. What only adds to a URL, a password or certificates, stays.
func forgetLibpq() {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "PG") && !strings.HasPrefix(name, "PGPASS") && !strings.HasPrefix(name, "PGSSL") {
			_ = os.Unsetenv(name) // only an impossible name fails
		}
	}
}

// firstPage asks for the first page as a browser would, so that "ready" is measured and not claimed.
func firstPage(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/html")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fault.New(fault.Unavailable, "cli.first_page", "the first page answers %s", resp.Status)
	}
	return nil
}

func (e *environment) sinceStart() string {
	return time.Since(e.started).Round(time.Millisecond).String()
}

// heapRoom is how much the server's heap may grow at least before the garbage collector runs, in bytes.
const heapRoom = 64 << 20

// holdHeapRoom keeps the collector from running all the time. It runs when the heap has doubled, and
// the heap of a small app is a few megabytes, which a busy server makes dozens of times in a second.
// The block counts as heap; nobody ever touches it, so it takes no memory. An operator who sets GOGC or
// GOMEMLIMIT decides instead. The returned function gives the block back.
func holdHeapRoom() (release func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	block := make([]byte, heapRoom)
	return func() { runtime.KeepAlive(block) }
}
