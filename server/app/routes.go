package app

import (
	"context"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"crema/server/core/functions"
	"crema/server/lambda"
	"crema/server/web"
	"crema/server/web/checkout"
	"crema/server/web/controller"
	"crema/server/web/handlers"
	"crema/server/web/rpc"
	"crema/server/web/skygear"
	"crema/server/web/skygear/files"
	"crema/server/web/static"
)

// handler hangs the doors on the path space. What no door owns by its path is shared: an HTTP handler of the app, a file of the
// site where there is one and the client reads, else the wire.
func (a *App) handler() http.Handler {
	gate := web.NewGate(a.c.APIKey.Reveal(), a.c.MasterKey.Reveal(), a.rooms.users, a.c.TrustedProxies...)
	gate.WaitFor(a.ready)
	wire := skygear.New(skygear.Config{
		Gate: gate, Schema: a.rooms.schema, Records: a.rooms.records, Users: a.rooms.users, Relations: a.rooms.relations, Functions: a.rooms.functions,
		Assets: a.rooms.assets, Push: a.rooms.push, DevMode: a.c.DevMode, MaxBody: a.c.BodyLimit,
	})
	a.wire.Store(wire)
	shop := checkout.New(a.checkout(gate))

	r := chi.NewRouter()
	r.Handle("/healthz", web.Health(a.db.Ping))
	r.Handle("/healthz/payments", web.Report(gate, a.paymentsHealth))
	r.Handle("/metrics", web.MetricsPage(a.metrics, gate))
	rpc.New(a.rooms.functions, gate).Register(r)
	shop.Register(r)
	a.openSockets(gate).Register(r)
	files.New(a.rooms.assets, gate).Register(r)
	a.openController(gate).Register(r)
	r.Mount("/sdk", skygear.SDK())
	serve := (*static.Door).Serve
	if a.dev != nil {
		a.dev.live.Register(r)
		serve = a.dev.servePage
	}
	rest := a.rest(wire, serve, handlers.New(handlers.Config{Functions: a.rooms.functions, Gate: gate, MaxBody: a.c.BodyLimit}))
	a.doors.Store(r)
	a.unreached(a.staged.own, func(line string) { a.log.Warn(line) })
	r.NotFound(rest)
	r.MethodNotAllowed(rest)
	// Around the router and not inside: the router then uses the routing context that the stack has made.
	return web.Stack(web.StackConfig{
		Log: a.log, Metrics: a.metrics, CORSHost: a.c.CORSHost, MaxBody: a.c.BodyLimit,
		Timeout: a.c.ResponseTimeout, Uploads: func(r *http.Request) bool { return files.Uploads(r) || controller.Uploads(r) }, TrustedProxies: a.c.TrustedProxies,
	})(r)
}

// unreached tells of HTTP handlers at paths that doors of the server's own answer.
func (a *App) unreached(fns []lambda.Function, say func(string)) {
	doors := a.doors.Load()
	if doors == nil { // they are opened later, and look themselves
		return
	}
	for _, f := range fns {
		path := functions.HandlerPath(f.Name)
		if slices.ContainsFunc(f.Methods, func(method string) bool { return doors.Match(chi.NewRouteContext(), strings.ToUpper(method), path) }) {
			say("the handler " + path + " is not asked everything: the server itself answers at that path; give it another name")
		}
	}
}

func (a *App) checkout(gate *web.Gate) checkout.Config {
	c := checkout.Config{
		Payments: a.rooms.payments, Gate: gate, Currency: a.c.Shop.Currency, APIKey: a.c.APIKey.Reveal(),
		PublishableKey: a.rooms.keys.publishable, ShopName: a.c.Shop.Name, Contact: a.c.Shop.Contact,
	}
	switch u, err := url.Parse(a.c.Stripe.SandboxURL); {
	case a.rooms.sandbox != nil:
		c.Tokens = a.rooms.sandbox.Browser()
	case a.c.Stripe.SandboxURL != "" && err == nil:
		c.Tokens = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	}
	return c
}

func (a *App) paymentsHealth(ctx context.Context) (body any, well bool, err error) {
	h, err := a.rooms.payments.Health(ctx)
	return h, h.Status == "ok", err
}

func (a *App) rest(wire http.Handler, serve func(*static.Door, http.ResponseWriter, *http.Request, *static.File), own *handlers.Door) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if h, ok := own.Match(r); ok && !a.inSite(r) {
			web.NameRoute(r, "handler")
			h.ServeHTTP(w, r)
			return
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			if r.URL.Path == "/" { // a page or the wire's answer
				w.Header()["Vary"] = []string{"Accept"}
			}
			site := a.site.Load()
			if f, ok := site.Match(r); ok {
				web.NameRoute(r, "static")
				serve(site, w, r, f)
				return
			}
			if strings.HasPrefix(r.URL.Path, "/static/") {
				web.NameRoute(r, "static")
				site.NotFound(w, r)
				return
			}
		}
		web.NameRoute(r, "wire")
		wire.ServeHTTP(w, r)
	}
}

// inSite says that a path below /static/ is a file of the site. Skygear's runtimes take that whole path for
// themselves, with or without files, so the site comes first there.
func (a *App) inSite(r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/static/") || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	_, ok := a.site.Load().Match(r)
	return ok
}
