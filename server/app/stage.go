package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/core/deploys"
	"crema/server/core/deploys/logs"
	"crema/server/core/deploys/operators"
	"crema/server/core/functions"
	"crema/server/core/functions/timers"
	"crema/server/core/functions/workers"
	"crema/server/core/schema"
	"crema/server/lambda"
	"crema/server/web"
	"crema/server/web/checkout"
	"crema/server/web/controller"
	"crema/server/web/static"
)

// openDeploys makes the live version of functions and files live, and follows what is deployed.
func (a *App) openDeploys(ctx context.Context) error {
	a.rooms.operators = operators.New(operators.Config{DB: a.db, MasterKey: a.c.MasterKey.Reveal()})
	if a.c.Operator.Email != "" {
		made, err := a.rooms.operators.AddFirst(ctx, a.c.Operator.Email, a.c.Operator.Password.Reveal())
		if err != nil {
			return err
		}
		if made {
			a.log.InfoContext(ctx, "the first operator was made", "email", a.c.Operator.Email)
		}
	}
	if err := a.letThrough(); err != nil {
		return err
	}
	a.logs = logs.New(logs.Config{Room: a.rooms.pubsub, Tap: a.tap, Server: a.name(), Log: a.log})
	a.logs.Start()
	a.onStop(func(context.Context) { a.logs.Stop() })
	fail, err := failpoint(os.Getenv(failpointVariable), a.rooms.payments.Mode())
	if err != nil {
		return err
	}
	a.rooms.deploys = deploys.New(deploys.Config{
		DB: a.db, Dir: filepath.Join(a.c.DataDir, config.DeploysFolder, a.c.Name), Stage: a, Key: []byte(a.derive("secrets")),
		MasterKey: a.c.MasterKey.Reveal(), BuildEnv: buildEnvironment(), Reserved: a.reserved(), Log: a.tap.Logger(a.log), Failpoint: fail,
	})
	return a.rooms.deploys.Start(ctx)
}

// name is what operators call this server, among those of the app.
func (a *App) name() string {
	host, _ := os.Hostname() // else the port has to do
	_, port, _ := net.SplitHostPort(a.listener.Addr().String())
	return net.JoinHostPort(host, port)
}

// openController opens the door of operators. Its streams end when the server stops.
func (a *App) openController(gate *web.Gate) *controller.Door {
	a.controller = controller.New(controller.Config{
		App: a.c.Name, Deploys: a.rooms.deploys, Operators: a.rooms.operators, Gate: gate, Logs: a.logs,
		PublicURL: a.c.PublicURL, Key: []byte(a.derive("log streams")), MaxBody: a.c.BodyLimit,
	})
	return a.controller
}

// reserved are names in functions' environment that the server sets itself.
func (a *App) reserved() []string {
	return append(slices.Collect(maps.Keys(a.workerEnvironment())), "PATH", "HOME", "TMPDIR", "LANG", "TZ", "USER", "MALLOC_ARENA_MAX", "STRIPE_API_BASE")
}

// letThrough lets other users of the machine pass through the data folder to the deploys, without a look at it, when we
// are root: functions and installers then run as two of them.
func (a *App) letThrough() (err error) {
	for _, below := range []string{"", config.DeploysFolder, filepath.Join(config.DeploysFolder, a.c.Name)} {
		folder := filepath.Join(a.c.DataDir, below)
		if err = errors.Join(err, os.MkdirAll(folder, 0o700)); err == nil && os.Geteuid() == 0 {
			err = os.Chmod(folder, 0o711)
		}
	}
	if err != nil {
		return fault.Wrap(err, fault.NotConfigured, "app.data_folder", "the data folder %s cannot be used; set CREMA_DATA to a folder that you may write to", a.c.DataDir)
	}
	return nil
}

// buildEnvironment is what tells pip and npm where packages come from, and how to get there.
func buildEnvironment() (env []string) {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		switch lower := strings.ToLower(name); {
		case lower == "http_proxy", lower == "https_proxy", lower == "no_proxy", name == "SSL_CERT_FILE", name == "SSL_CERT_DIR",
			name == "REQUESTS_CA_BUNDLE", name == "NODE_EXTRA_CA_CERTS", strings.HasPrefix(name, "PIP_"), lower == "npm_config_registry", lower == "npm_config_cafile":
			env = append(env, kv)
		}
	}
	return env
}

// staged is a version whose workers run and whose files are open.
type staged struct {
	app   *App
	pools []*workers.Pool
	own   []lambda.Function
	set   *functions.Set // of own
	clock *timers.Service
	site  *static.Door // nil when another version has taken it over

	mounts []static.Mount // that functions have declared

	prepared bool // the functions have heard that they are about to become live
}

// Prepare implements deploys.Stage.
func (a *App) Prepare(ctx context.Context, v deploys.Version, say func(string)) (deploys.Ready, error) {
	if v.ID == 0 {
		v.Functions, v.Site = a.c.FunctionsDir, a.c.StaticDir
	}
	begun := time.Now()
	pools, err := a.openPools(ctx, v, say)
	if err != nil {
		return nil, err
	}
	s := &staged{app: a, pools: pools}
	if err := s.compile(v, say); err != nil {
		stopPools(pools)
		return nil, err
	}
	for _, p := range pools {
		say(fmt.Sprintf("%s: loaded %d functions after %v", p.Language(), len(p.Functions()), time.Since(begun).Round(time.Millisecond)))
	}
	a.unreached(s.own, say)
	if s.mounts, err = a.mounts(ctx, v, pools); err == nil {
		err = s.openSite(ctx, v)
	}
	if err != nil {
		stopPools(pools)
		return nil, err
	}
	a.prepare(ctx, s)
	return s, nil
}

// openSite opens the files of a version.
func (s *staged) openSite(ctx context.Context, v deploys.Version) (err error) {
	c := static.Config{Dir: v.Site, Popup: s.app.popup(), Client: "/sdk/skygear.js", Mounts: s.mounts, Log: s.app.log}
	for _, b := range v.Before {
		c.Before = append(c.Before, static.Before{Dir: cmp.Or(b.Site, s.app.c.StaticDir), Until: b.Until})
	}
	if s.site, err = static.New(c); err == nil {
		s.site.Start(context.WithoutCancel(ctx))
	}
	return err
}

// siteLook is how often the folder of the site is looked at.
const siteLook = time.Second

// followSite opens the folder of the site again when another one stands in its place, until the app stops. What changes in the folder
// its door sees by itself.
func (a *App) followSite(ctx context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	opened, _ := os.Stat(a.c.StaticDir) // nil when there is none
	var follow sync.WaitGroup
	follow.Go(func() {
		for look := time.NewTicker(siteLook); ; {
			select {
			case <-ctx.Done():
				look.Stop()
				return
			case <-look.C:
			}
			if now, err := os.Stat(a.c.StaticDir); err == nil && (opened == nil || !os.SameFile(opened, now)) {
				opened = now
				a.reload(ctx, siteFolder)
			}
		}
	})
	a.onStop(func(context.Context) {
		cancel()
		follow.Wait()
	})
	return nil
}

// popup is where pages find the sandbox's popup, "" with real keys.
func (a *App) popup() string {
	if !a.c.Stripe.Sandbox() {
		return ""
	}
	return checkout.Popup
}

// compile puts the functions of all languages together. In the server's own folder those in Go come first; a deployed function
// takes the place of one in Go.
func (s *staged) compile(v deploys.Version, say func(string)) (err error) {
	var others []lambda.Function
	for _, p := range s.pools {
		others = append(others, p.Functions()...)
	}
	all, problems := functions.Merge(s.app.fns, others)
	if v.ID != 0 {
		var twice []error
		all, twice = functions.Merge(nil, others)
		if len(twice) > 0 && !v.Lenient {
			return twice[0]
		}
		all, problems = functions.Merge(all, s.app.fns)
	}
	for _, problem := range problems {
		if v.ID == 0 {
			say("left out: " + fault.From(problem).Message)
		} else {
			say("in the place of the server's own: " + fault.From(problem).Message)
		}
	}
	s.own = s.app.told(all)
	if s.set, err = s.app.rooms.functions.Compile(s.own...); err != nil {
		return err
	}
	s.clock, err = timers.New(timers.Config{DB: s.app.db, Run: s.app.rooms.functions.RunTimer, Log: s.app.log}, s.set.Timers())
	return err
}

// Switch implements deploys.Ready. The functions come first, so that no new page meets old functions.
func (s *staged) Switch() (drained func(context.Context) error) {
	drained = s.app.switchTo(s.own, s.set)
	s.app.site.Store(s.site)
	s.app.clock.set(s.clock)
	s.app.staged = s
	if s.app.begun.Load() {
		events := afterReady
		if !s.prepared { // it was made ready before the server had begun
			events = slices.Concat(untilReady, afterReady)
		}
		s.app.rooms.functions.Announce(context.Background(), s.app.settings, events...)
	}
	if s.app.dev != nil {
		s.app.dev.live.Change()
	}
	return drained
}

// Public implements deploys.Public.
func (s *staged) Public() (folders []string) {
	for _, m := range s.mounts {
		folders = append(folders, m.Dir)
	}
	return folders
}

// Close implements deploys.Ready. A request may just have found a file of the site, so it stays open for some versions more.
func (s *staged) Close() {
	stopPools(s.pools)
	if s.site != nil {
		s.app.sites.retire(s.site)
	}
}

// The events of a version's life, before and after it becomes live. Wire: skygear §4.3. Workers tell themselves of the first two.
const beforeReady = "before-plugins-ready"

var (
	untilReady = []string{"before-config", "after-config", beforeReady}
	afterReady = []string{"after-plugins-ready", "server-ready"}
)

// prepare tells the functions of a version that is about to become live. Those of the first one hear it from begin, when
// they can use the server.
func (a *App) prepare(ctx context.Context, s *staged) {
	if s.prepared = a.begun.Load(); !s.prepared {
		return
	}
	for _, event := range untilReady {
		a.rooms.functions.Tell(ctx, s.set, event, a.settings)
	}
}

// begin tells the functions of the first version of its life. Requests are refused meanwhile, where one listens.
func (a *App) begin(ctx context.Context) error {
	for _, event := range untilReady {
		a.rooms.functions.Tell(ctx, nil, event, a.settings)
	}
	a.begun.Store(true)
	a.rooms.functions.Announce(ctx, a.settings, afterReady...)
	return nil
}

// ready refuses requests until the functions and the plugins have got ready; theirs pass. Wire: skygear §4.3.
func (a *App) ready(master, fromPlugin bool) error {
	if !a.begun.Load() && !(master && fromPlugin) {
		f := fault.New(fault.Initializing, "app.starting", "the functions are getting ready; try again in a moment")
		f.RetryAfter = time.Second
		return f
	}
	return a.plugins.Ready(master, fromPlugin)
}

// schemaChanged tells functions and plugins of the types that there are now. Wire: skygear §4.3; it is told by the server
// that has changed them.
func (a *App) schemaChanged(ctx context.Context, now *schema.Snapshot) {
	const event = "schema-changed"
	if !a.begun.Load() || !a.rooms.functions.Listens(event) && len(a.c.Plugins) == 0 {
		return
	}
	type field struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	types := map[string]map[string][]field{}
	for _, name := range now.Names() {
		fields := []field{}
		for _, c := range now.Type(name).Columns {
			fields = append(fields, field{c.Name, c.FieldType.String()})
		}
		types[name] = map[string][]field{"fields": fields}
	}
	data, err := json.Marshal(types)
	if err != nil {
		a.log.ErrorContext(ctx, "nobody is told that the schema has changed", "error", err)
		return
	}
	a.rooms.functions.Announce(ctx, data, event)
	a.plugins.Announce(event, data)
}

// sites are those of the versions before.
type sites struct {
	mu  sync.Mutex
	old []*static.Door
}

// keptSites is how many sites stay open.
const keptSites = 2

func (o *sites) retire(d *static.Door) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.old = append(o.old, d); len(o.old) > keptSites {
		o.old[0].Stop()
		o.old = o.old[1:]
	}
}

func (o *sites) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, d := range o.old {
		d.Stop()
	}
	o.old = nil
}

// clock is the timers that run.
type clock struct {
	mu      sync.Mutex
	now     *timers.Service
	running bool
	tasks   sync.WaitGroup
}

func (c *clock) set(next *timers.Service) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.now
	c.now = next
	if !c.running {
		return
	}
	next.Succeed(old)
	if old != nil {
		c.tasks.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), Grace)
			defer cancel()
			old.Stop(ctx)
		})
	}
}

// startTimers comes last: from then on functions find everything that they may use.
func (a *App) startTimers(context.Context) error {
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	a.clock.running = true
	a.clock.now.Start()
	a.onStop(a.clock.stop)
	return nil
}

func (c *clock) stop(ctx context.Context) {
	c.mu.Lock()
	now := c.now
	c.running = false
	c.mu.Unlock()
	now.Stop(ctx)
	c.tasks.Wait()
}
