package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"crema/server/base/cluster"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/core/deploys"
	"crema/server/core/deploys/archive"
	"crema/server/core/functions"
	"crema/server/core/functions/plugins"
	"crema/server/core/functions/timers"
	"crema/server/core/functions/workers"
	"crema/server/core/users"
	"crema/server/lambda"
	"crema/server/web"
	"crema/server/web/skygear/sdk"
	"crema/server/web/static"
)

// openPools starts the functions of a version in other languages.
func (a *App) openPools(ctx context.Context, v deploys.Version, say func(string)) ([]*workers.Pool, error) {
	if v.Functions == "" {
		return nil, nil
	}
	languages := []workers.Language{workers.Python, workers.JavaScript}
	if v.Project && workers.PageScript(v.Functions) {
		say("index.js is left out: it loads nothing, so it is taken for the script of a page; those belong into public_html")
		languages = languages[:1]
	}
	pools, errs, all := make([]*workers.Pool, len(languages)), make([]error, len(languages)), sync.WaitGroup{}
	for i, l := range languages {
		all.Go(func() { pools[i], errs[i] = a.openPool(context.WithoutCancel(ctx), l, v) })
	}
	all.Wait()
	pools = slices.DeleteFunc(pools, func(p *workers.Pool) bool { return p == nil })
	for i, err := range errs {
		if err == nil {
			continue
		}
		if !v.Lenient {
			stopPools(pools)
			return nil, err
		}
		f := fault.From(err)
		a.log.ErrorContext(ctx, "the functions of a language were left out", "language", string(languages[i]), "reason", f.Reason, "error", f.Message)
	}
	for _, p := range pools {
		if err := a.loaded(ctx, p, v, say); err != nil {
			stopPools(pools)
			return nil, err
		}
	}
	return pools, nil
}

func stopPools(pools []*workers.Pool) {
	for _, p := range pools {
		p.Stop()
	}
}

func (a *App) openPool(ctx context.Context, l workers.Language, v deploys.Version) (*workers.Pool, error) {
	client, err := sdk.CommonJS()
	if err != nil {
		a.log.ErrorContext(ctx, "the client for functions is missing", "error", err)
	}
	env := a.workerEnvironment()
	maps.Copy(env, v.Secrets)
	hide := a.hider(v)
	c := workers.Config{
		Language: l, Client: string(client), Dir: v.Functions, Project: v.Project, Env: env, DevMode: a.c.DevMode, Settings: a.settings, Action: a.action,
		Hide: hide, Log: a.tap.Logger(a.log).With("app", a.c.Name, "version", v.Name),
		Workers: int(a.c.Workers.Count), Memory: a.c.Workers.MemoryBytes, Processes: a.c.Workers.Processes,
	}
	if l == workers.Python {
		c.Program = v.Python
	}
	p, err := workers.Open(ctx, c)
	if err != nil {
		return nil, hidden(hide, err)
	}
	return p, nil
}

// hider hides what functions find in their environment and nobody else may read: they print what they like.
func (a *App) hider(v deploys.Version) telemetry.Hider {
	values := slices.Collect(maps.Values(v.Secrets))
	for _, s := range []config.Secret{a.c.MasterKey, a.c.Assets.Secret, a.c.Users.CustomTokenSecret, a.c.Stripe.SecretKey} {
		values = append(values, s.Reveal())
	}
	if a.c.Assets.S3 != nil {
		values = append(values, a.c.Assets.S3.SecretKey.Reveal())
	}
	if u, err := url.Parse(a.databaseURL()); err == nil {
		password, _ := u.User.Password()
		values = append(values, password, a.databaseURL())
	}
	return telemetry.NewHider(values...)
}

// hidden is an error of functions without what they may not tell.
func hidden(hide telemetry.Hider, err error) error {
	f := *fault.From(err)
	f.Message = hide.Text(f.Message)
	return &f
}

// loaded tells what a pool has loaded. A file that does not load fails a deploy; in the server's own folder it is left out.
func (a *App) loaded(ctx context.Context, p *workers.Pool, v deploys.Version, say func(string)) error {
	r, hide := p.Registered(), a.hider(v)
	for _, problem := range r.Problems {
		if !v.Lenient {
			say(hide.Text(problem.Trace))
			return fault.New(fault.Invalid, "app.not_loaded", "%s does not load: line %d: %s", problem.File, problem.Line, hide.Text(problem.Message))
		}
		a.log.ErrorContext(ctx, "functions were left out, their file does not load", "file", filepath.Join(v.Functions, problem.File),
			"line", problem.Line, "error", hide.Text(problem.Message))
	}
	a.log.LogAttrs(ctx, slog.LevelInfo, "functions are loaded", slog.String("language", string(p.Language())), slog.String("version", r.Version), slog.Int("lambdas", len(r.Ops)))
	return nil
}

// mounts are the folders that functions have declared for files, each once. They must stand beside the functions or in their
// packages: what a function names is public. Others fail a deploy; in the server's own folder they are left out and told.
func (a *App) mounts(ctx context.Context, v deploys.Version, pools []*workers.Pool) (all []static.Mount, err error) {
	for _, p := range pools {
		for _, d := range p.Registered().Static {
			m := static.Mount{Prefix: strings.Trim(d.Prefix, "/")}
			if m.Dir, err = mountable(v, d.Dir); err == nil && m.Prefix != "" && !fs.ValidPath(m.Prefix) {
				err = fault.New(fault.Invalid, "app.bad_static", "static assets cannot stand below /static/%s/", m.Prefix)
			}
			if err != nil && !v.Lenient {
				return nil, err
			}
			if err != nil {
				a.log.ErrorContext(ctx, "static assets of functions were left out", "prefix", m.Prefix, "error", fault.From(err).Message)
				continue
			}
			if !slices.ContainsFunc(all, func(other static.Mount) bool { return other.Prefix == m.Prefix }) {
				all = append(all, m)
			}
		}
	}
	return all, nil
}

// mountable returns a folder that functions have named, without links in its path.
func mountable(v deploys.Version, dir string) (string, error) {
	functions, err := filepath.Abs(v.Functions)
	if err == nil && !filepath.IsAbs(dir) {
		dir = filepath.Join(functions, dir)
	}
	found, missing := filepath.EvalSymlinks(dir)
	root, closed := os.OpenRoot(found)
	if err = errors.Join(err, missing, closed); err != nil {
		return "", fault.Wrap(err, fault.Invalid, "app.bad_static", "the folder of static assets %s is not there, or cannot be read", dir)
	}
	_ = root.Close() // it was only tried
	within := []string{functions, filepath.Join(functions, archive.Packages)}
	if v.Python != "" {
		within = append(within, filepath.Dir(filepath.Dir(v.Python)))
	}
	for _, parent := range within {
		if parent, err = filepath.EvalSymlinks(parent); err != nil {
			continue
		}
		below, err := filepath.Rel(parent, found)
		if err == nil && below != "." && filepath.IsLocal(below) && !strings.HasPrefix(below, ".") && !strings.Contains(below, "/.") {
			return found, nil
		}
	}
	return "", fault.New(fault.Invalid, "app.bad_static",
		"the folder of static assets %s would publish more than files that belong there; name a folder below that of the functions", dir)
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

// openPlugins gets to know the plugins. They hear nothing before startPlugins.
func (a *App) openPlugins(context.Context) error {
	settings, err := json.Marshal(map[string]any{"config": a.pluginSettings()})
	if err != nil {
		return fault.Wrap(err, fault.Internal, "app.plugin_settings", "the settings for plugins cannot be written as JSON")
	}
	a.settings = settings
	c := plugins.Config{Settings: settings, DevMode: a.c.DevMode, Install: a.install, Timeout: a.c.ResponseTimeout, Log: a.log}
	for _, p := range a.c.Plugins {
		c.Plugins = append(c.Plugins, plugins.Plugin{Name: p.Name, URL: p.URL})
	}
	a.plugins, err = plugins.New(c)
	return err
}

// startPlugins comes when requests are answered, because plugins ask the server while they get ready.
func (a *App) startPlugins(context.Context) error {
	none, err := timers.New(timers.Config{DB: a.db, Log: a.log}, nil)
	if err != nil {
		return err
	}
	a.ticking.now, a.ticking.running = none, true
	a.onStop(a.ticking.stop)
	a.plugins.Start()
	a.onStop(func(context.Context) { a.plugins.Stop() })
	return nil
}

// mixture is the functions that are live: those of a version, and what plugins offer beside them.
type mixture struct {
	mu           sync.Mutex
	own, offered []lambda.Function
}

// switchTo makes the functions of a version live, with those of the plugins beside them.
func (a *App) switchTo(own []lambda.Function, alone *functions.Set) (drained func(context.Context) error) {
	a.mixture.mu.Lock()
	defer a.mixture.mu.Unlock()
	a.mixture.own = own
	if set, _, err := a.mix(a.mixture.offered); err == nil {
		alone = set
	} else {
		a.log.Error("the functions of plugins were left out", "error", err)
	}
	return a.rooms.functions.Switch(alone)
}

// mix puts what plugins offer beside the functions of the version, which come first.
func (a *App) mix(offered []lambda.Function) (set *functions.Set, kept []lambda.Function, err error) {
	all, problems := functions.Merge(a.mixture.own, a.told(offered))
	for _, err := range problems {
		a.log.Error("a function of a plugin was left out", "error", fault.From(err).Message)
	}
	set, err = a.rooms.functions.Compile(all...)
	return set, all[len(a.mixture.own):], err
}

// install is plugins.Config.Install.
func (a *App) install(ctx context.Context, offered []lambda.Function) error {
	a.mixture.mu.Lock()
	defer a.mixture.mu.Unlock()
	set, kept, err := a.mix(offered)
	if err != nil {
		return err
	}
	var list []timers.Timer
	for _, f := range kept {
		if f.Schedule != "" {
			list = append(list, timers.Timer{Name: f.Name, Spec: f.Schedule})
		}
	}
	clock, err := timers.New(timers.Config{DB: a.db, Run: a.rooms.functions.RunTimer, Log: a.log}, list)
	if err != nil {
		return err
	}
	a.mixture.offered = offered
	drained := a.rooms.functions.Switch(set)
	a.ticking.set(clock)
	a.ticking.tasks.Go(func() { // they go on beside the new ones
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace)
		defer cancel()
		_ = drained(ctx)
	})
	return nil
}

// provider finds who vouches for people.
func (a *App) provider(name string) (users.Provider, bool) {
	p, ok := a.rooms.functions.Provider(name)
	return p, ok
}

// pluginSettings is what plugins hear of the server. Wire: skygear §4.3.
func (a *App) pluginSettings() map[string]any {
	c := a.c
	store := "fs"
	if c.Assets.S3 != nil {
		store = "s3"
	}
	keys := c.Users.AuthKeys
	if keys == nil {
		keys = [][]string{{"username"}, {"email"}}
	}
	return map[string]any{
		"http": map[string]any{"host": c.Listen},
		"app": map[string]any{
			"name": c.Name, "api_key": c.APIKey.Reveal(), "master_key": c.MasterKey.Reveal(), "access_control": "role", "auth_record_keys": keys,
			"dev_mode": c.DevMode, "cors_host": c.CORSHost, "slave": false, "response_timeout": int64(c.ResponseTimeout.Seconds()),
		},
		"database": map[string]any{"implementation": "pq", "option": a.databaseURL()},
		"auth":     map[string]any{"custom_token_secret": c.Users.CustomTokenSecret.Reveal()},
		"asset_store": map[string]any{
			"implementation": store, "public": c.Assets.Public,
			"fs": map[string]any{"url_prefix": c.Assets.URLPrefix, "secret": c.Assets.Secret.Reveal()}, "s3": map[string]any{}, "cloud": map[string]any{},
		},
		"apns": map[string]any{}, "fcm": map[string]any{}, "baidu": map[string]any{}, "zmq": map[string]any{}, "user_audit": map[string]any{},
		"log": map[string]any{"level": c.Log.Level.String()}, "verification": map[string]any{"required": c.Users.VerifyRequired},
	}
}
