package app

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"strings"
	"sync"

	"crema/server/base/cluster"
	"crema/server/base/fault"
	"crema/server/core/functions"
	"crema/server/core/functions/timers"
	"crema/server/core/functions/workers"
	"crema/server/lambda"
	"crema/server/web"
	"crema/server/web/skygear/sdk"
)

// openWorkers starts the functions in other languages and returns them after those in Go. What cannot run
// is left out and told: the shop opens without it.
func (a *App) openWorkers(ctx context.Context, fns []lambda.Function) []lambda.Function {
	languages := []workers.Language{workers.Python, workers.JavaScript}
	pools, all := make([]*workers.Pool, len(languages)), sync.WaitGroup{}
	for i, l := range languages {
		all.Go(func() { pools[i] = a.openPool(ctx, l) })
	}
	all.Wait()
	for _, p := range pools {
		if p == nil {
			continue
		}
		a.onStop(func(context.Context) { p.Stop() })
		var problems []error
		fns, problems = functions.Merge(fns, p.Functions())
		for _, err := range problems {
			a.log.ErrorContext(ctx, "a function was left out", "language", string(p.Language()), "error", fault.From(err).Message)
		}
	}
	return fns
}

func (a *App) openPool(ctx context.Context, l workers.Language) *workers.Pool {
	client, err := sdk.CommonJS()
	if err != nil {
		a.log.ErrorContext(ctx, "the client for functions is missing", "error", err)
	}
	p, err := workers.Open(ctx, workers.Config{
		Language: l, Client: string(client), Dir: a.c.FunctionsDir, Env: a.workerEnvironment(), DevMode: a.c.DevMode, Action: a.action, Log: a.log,
		Workers: int(a.c.Workers.Count), Memory: a.c.Workers.MemoryBytes, Processes: a.c.Workers.Processes,
	})
	if err != nil {
		f := fault.From(err)
		a.log.ErrorContext(ctx, "the functions of a language were left out", "language", string(l), "reason", f.Reason, "error", f.Message)
		return nil
	}
	if p == nil {
		return nil
	}
	r := p.Registered()
	for _, problem := range r.Problems {
		a.log.ErrorContext(ctx, "functions were left out, their file does not load", "file", filepath.Join(a.c.FunctionsDir, problem.File),
			"line", problem.Line, "error", problem.Message)
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "functions are loaded", slog.String("language", string(l)), slog.String("version", r.Version), slog.Int("lambdas", len(r.Ops)))
	return p
}

// startTimers comes last: from then on functions find everything that they may use.
func (a *App) startTimers(context.Context) error {
	clock, err := timers.New(timers.Config{DB: a.db, Run: a.rooms.functions.RunTimer, Log: a.log}, a.rooms.functions.Timers())
	if err != nil {
		return err
	}
	clock.Start()
	a.onStop(clock.Stop)
	return nil
}

// workerEnvironment is what functions find in their environment. Wire: the names that Skygear's plugins read.
func (a *App) workerEnvironment() map[string]string {
	env := map[string]string{
		"APP_NAME": a.c.Name, "API_KEY": a.c.APIKey.Reveal(), "MASTER_KEY": a.c.MasterKey.Reveal(),
		"SKYGEAR_ENDPOINT": a.URL(), "PUBSUB_URL": "ws" + strings.TrimPrefix(a.URL(), "http") + "/pubsub",
		"DATABASE_URL": a.databaseURL(), "LOG_LEVEL": a.c.Log.Level.String(), "STRIPE_SECRET_KEY": a.rooms.keys.secret,
	}
	if a.c.Stripe.Sandbox() {
		env["STRIPE_API_BASE"] = a.rooms.sandboxURL
	}
	maps.Copy(env, a.assetEnvironment())
	return env
}

func (a *App) databaseURL() string {
	if a.cluster != nil {
		return a.cluster.TCPURL(cluster.Database) // functions may run as another user, whom the socket refuses
	}
	return a.c.DatabaseURL.Reveal()
}

// action answers what a function asks of the server, as the wire's door does, without a connection.
func (a *App) action(ctx context.Context, body json.RawMessage) json.RawMessage {
	wire := a.wire.Load()
	if wire == nil {
		return refusal(fault.New(fault.Initializing, "app.starting", "the server is still starting; functions can use it once they are loaded"))
	}
	w := &buffer{header: http.Header{}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	if err != nil {
		return refusal(fault.Wrap(err, fault.Internal, "app.bad_action", "the request could not be made"))
	}
	wire.ServeHTTP(w, r)
	if w.body.Len() == 0 {
		return refusal(fault.New(fault.BadRequest, "app.bad_action", "the request is not understood"))
	}
	return w.body.Bytes()
}

func refusal(err error) json.RawMessage {
	w := &buffer{header: http.Header{}}
	web.WriteJSON(w, http.StatusOK, map[string]any{"error": web.Wire(err)})
	return w.body.Bytes()
}

// buffer is a response that nobody waits for on a connection.
type buffer struct {
	header http.Header
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (b *buffer) Header() http.Header { return b.header }

// WriteHeader implements http.ResponseWriter. The wire tells all in its body.
func (b *buffer) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (b *buffer) Write(p []byte) (int, error) { return b.body.Write(p) }
