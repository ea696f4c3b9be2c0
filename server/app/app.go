// Package app is the only wiring: it opens the database and the rooms, hangs the doors on them, and
// starts and stops everything in order. It decides nothing else.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/cluster"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/base/telemetry"
	"crema/server/core/acl"
	"crema/server/core/assets"
	"crema/server/core/deploys"
	"crema/server/core/deploys/logs"
	"crema/server/core/deploys/operators"
	"crema/server/core/functions"
	"crema/server/core/functions/hooks"
	"crema/server/core/functions/plugins"
	"crema/server/core/payments"
	"crema/server/core/payments/sandbox"
	"crema/server/core/pubsub"
	"crema/server/core/push"
	"crema/server/core/records"
	"crema/server/core/relations"
	"crema/server/core/schema"
	"crema/server/core/users"
	"crema/server/lambda"
	"crema/server/web"
	"crema/server/web/controller"
	"crema/server/web/skygear"
	"crema/server/web/skygear/sockets"
	"crema/server/web/static"
)

// Grace is how long requests in flight, and then each room and the database, may take to end when the
// app stops.
const Grace = 10 * time.Second

// App is a running Crema.
type App struct {
	c          *config.Config
	log        *slog.Logger
	metrics    *telemetry.Metrics
	cluster    *cluster.Cluster // nil with DATABASE_URL
	db         *pg.DB
	rooms      rooms
	dev        *development                // nil unless somebody writes the app
	staged     *staged                     // the live version
	fns        []lambda.Function           // those in Go
	site       atomic.Pointer[static.Door] // of the live version
	sites      sites                       // of versions before
	clock      clock
	plugins    *plugins.Service
	settings   json.RawMessage              // what events of the server's life tell
	begun      atomic.Bool                  // the first version has heard before-plugins-ready
	ticking    clock                        // of the plugins' timers
	mixture    mixture                      // of functions
	tap        *telemetry.Tap               // what functions log, for operators
	logs       *logs.Service                // of all servers
	doors      atomic.Pointer[chi.Mux]      // those of the server's own; nil until it serves
	wire       atomic.Pointer[skygear.Door] // for what functions ask of the server; nil until it serves
	sockets    *sockets.Door
	controller *controller.Door
	server     *http.Server
	listener   net.Listener
	failed     chan error
	closers    []func(context.Context) // run last to first
}

// rooms are the product.
type rooms struct {
	schema    *schema.Service
	records   *records.Service
	relations *relations.Service
	users     *users.Service
	pubsub    *pubsub.Service
	assets    *assets.Service
	push      *push.Service
	payments  *payments.Service
	functions *functions.Service
	operators *operators.Service
	deploys   *deploys.Service
	hooks     *hooks.Service
	sandbox   *sandbox.Sandbox // nil with real keys
	keys      providerKeys

	sandboxURL string // where the sandbox answers; "" with real keys
}

// Start opens everything in order and returns when requests are answered. When it fails, what was
// opened is closed again and the App is not usable. Its errors are faults that name the setting to mend.
func Start(ctx context.Context, c *config.Config, log *slog.Logger, fns []lambda.Function) (*App, error) {
	a := newApp(c, log)
	a.fns = fns
	return a, a.open(ctx, append(a.steps(), a.followSite)...)
}

func (a *App) steps() []func(context.Context) error {
	return []func(context.Context) error{
		a.listen, // first, so that a taken port is told before anything is started
		a.openDatabase,
		a.openPlugins,
		a.openAssets,
		a.openRecords,
		a.openRooms,
		a.openPayments,
		a.startPayments,
		a.openFunctions,
		a.openDeploys,
		a.serve,
		a.begin,
		a.startTimers,
		a.startPlugins,
	}
}

func newApp(c *config.Config, log *slog.Logger) *App {
	return &App{c: c, log: log, tap: telemetry.NewTap(), metrics: telemetry.NewMetrics(), failed: make(chan error, 2)}
}

// open takes the steps in order. When one fails, what was opened is closed again.
func (a *App) open(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
			defer cancel()
			a.Stop(stop)
			return err
		}
	}
	return nil
}

// URL is where the app answers on this machine.
func (a *App) URL() string {
	addr := a.listener.Addr().String()
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && (ip.IsUnspecified() || ip.IsLoopback()) {
		return "http://localhost:" + port
	}
	return "http://" + addr
}

// Failed delivers why the app cannot go on: its database or its listener died.
func (a *App) Failed() <-chan error { return a.failed }

// Stop ends the app in order: no new requests, running ones finish until ctx ends, then the rooms, then
// the database. These have Grace of their own, so that a slow client takes no time from them. Called
// again it does nothing.
func (a *App) Stop(ctx context.Context) {
	if a.server != nil {
		a.endRequests(ctx)
	}
	for _, end := range slices.Backward(a.closers) {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
		end(own)
		cancel()
	}
	a.server, a.closers = nil, nil
	telemetry.Flush(a.log)
}

func (a *App) endRequests(ctx context.Context) {
	if err := a.server.Shutdown(ctx); err != nil {
		a.log.WarnContext(ctx, "requests were cut off", "error", err)
		_ = a.server.Close()
	}
}

func (a *App) onStop(f func(context.Context)) { a.closers = append(a.closers, f) }

func (a *App) listen(ctx context.Context) error {
	if a.listener == nil {
		l, err := Listen(ctx, a.c)
		if err != nil {
			return err
		}
		a.listener = l
	}
	a.onStop(func(context.Context) { _ = a.listener.Close() })
	return nil
}

// Listen opens the configured address. Reason: app.listen.
func Listen(ctx context.Context, c *config.Config) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fault.Wrap(err, fault.NotConfigured, "app.listen", "cannot listen on %s; stop what uses that address, or set HOST to another one", c.Listen)
	}
	return l, nil
}

func (a *App) openRecords(ctx context.Context) error {
	a.rooms.schema = schema.New(a.db)
	if err := a.rooms.schema.Start(ctx); err != nil {
		return err
	}
	a.onStop(func(context.Context) { a.rooms.schema.Stop() })
	a.rooms.schema.OnChange(a.schemaChanged)
	a.rooms.hooks = hooks.New(a.log)
	a.rooms.records = records.New(records.Config{
		Hooks: a.rooms.hooks,
		DB:    a.db, Schema: a.rooms.schema, Assets: a.rooms.assets, DevMode: a.c.DevMode,
	})
	a.rooms.relations = relations.New(a.db, a.rooms.records)
	return nil
}

func (a *App) openFunctions(context.Context) (err error) {
	a.onStop(func(context.Context) { // after the calls have ended, and before what workers use
		if a.rooms.deploys != nil {
			a.rooms.deploys.Stop()
		}
		a.sites.stop()
	})
	a.rooms.functions, err = functions.New(functions.Config{
		DB:       a.db,
		Records:  func(actor acl.Actor) lambda.Records { return records.ForFunctions(a.rooms.records, actor) },
		Payments: func(acl.Actor) lambda.Payments { return a.rooms.payments },
		Complete: a.rooms.assets.Complete,
		Log:      a.tap.Logger(a.log),
		Timeout:  a.c.FunctionTimeout,
	})
	if err != nil {
		return err
	}
	a.rooms.functions.Start()
	a.onStop(a.rooms.functions.Stop)
	a.rooms.hooks.Connect(a.rooms.records, a.rooms.functions.RunHook, a.rooms.functions.Hooks)
	a.onStop(a.rooms.hooks.Wait)
	return nil
}

func (a *App) serve(context.Context) error {
	a.begun.Store(!a.rooms.functions.Listens(beforeReady))
	a.server = web.NewServer(a.c.Listen, a.handler(), a.log)
	a.server.RegisterOnShutdown(a.controller.Stop)
	a.server.RegisterOnShutdown(func() { a.sockets.Stop(context.Background()) }) // it knows nothing of websockets
	if a.dev != nil {
		a.dev.serve(a.server)
	}
	go func() {
		if err := a.server.Serve(web.Patient(a.listener)); err != nil && !errors.Is(err, http.ErrServerClosed) && !a.dev.drains() {
			a.failed <- fault.Wrap(err, fault.Internal, "app.serve", "the server stopped listening")
		}
	}()
	return nil
}
