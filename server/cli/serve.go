package cli

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"crema/server/app"
	"crema/server/base/config"
	"crema/server/base/telemetry"
)

type serveCommand struct{}

// Run serves until SIGINT or SIGTERM. A service manager wants nothing but logs.
func (serveCommand) Run(env *environment) error {
	c, err := env.config()
	if err != nil {
		return err
	}
	log := telemetry.NewLogger(env.errs, c.Log.Level, c.Log.Format)
	return env.serve(c, log, func(a *app.App, ready string) {
		log.Info("ready", "url", a.URL(), "after", ready)
	})
}

// serve starts the app, tells ready once its first page is served, and stops it on a signal or when
// it fails.
func (e *environment) serve(c *config.Config, log *slog.Logger, ready func(a *app.App, after string)) error {
	forgetLibpq()
	// Only what uses a default logger by itself, such as an HTTP server, goes through this one.
	slog.SetDefault(log)
	defer holdHeapRoom()()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a, err := app.Start(ctx, c, log, e.fns)
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
	ready(a, e.sinceStart())
	select {
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
