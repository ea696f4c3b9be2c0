package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/watch"
	"crema/server/core/deploys"
	"crema/server/core/functions/workers"
	"crema/server/lambda"
	"crema/server/web/live"
	"crema/server/web/static"
)

// development is what an app has while somebody writes it.
type development struct {
	live   *live.Door
	ctx    context.Context // of the work on changes, until the app stops
	cancel context.CancelFunc
	opened chan struct{} // closed when everything is there that changes go to
	watch  *watch.Watcher
	tasks  sync.WaitGroup

	draining atomic.Bool
	mu       sync.Mutex
	loads    map[workers.Language]*load // that go on
	conns    map[net.Conn]bool          // with a request or without
	late     bool                       // connections without one are not waited for
	gone     bool
	empty    chan struct{} // closed when there is nobody to wait for, while draining
}

// Develop is Start for those who write the app: what is saved in the folders of the functions and of the site is live at once,
// pages load again, and each call is logged with its time. Functions in Go stay as they are. l is where to listen; nil: as
// configured.
func Develop(ctx context.Context, c *config.Config, log *slog.Logger, fns []lambda.Function, l net.Listener) (*App, error) {
	a := newApp(c, log)
	a.dev = &development{
		live: live.New(), opened: make(chan struct{}), loads: map[workers.Language]*load{}, conns: map[net.Conn]bool{}, empty: make(chan struct{}),
	}
	a.dev.ctx, a.dev.cancel = context.WithCancel(context.WithoutCancel(ctx))
	a.listener, a.fns = l, fns
	return a, a.open(ctx, slices.Concat([]func(context.Context) error{a.watch}, a.steps(), []func(context.Context) error{a.attend})...)
}

// told logs each call of functions.
func (a *App) told(fns []lambda.Function) []lambda.Function {
	if a.dev == nil {
		return fns
	}
	all := slices.Clone(fns)
	for i, f := range all {
		all[i].Run = func(ctx context.Context, c *lambda.Call, args json.RawMessage) (any, error) {
			begin := time.Now()
			v, err := f.Run(ctx, c, args)
			took := slog.Duration("took", time.Since(begin).Round(time.Microsecond))
			if err != nil {
				a.log.LogAttrs(ctx, slog.LevelError, "call failed", slog.String("function", f.Name), took, slog.String("error", err.Error()))
				return v, err
			}
			a.log.LogAttrs(ctx, slog.LevelInfo, "call", slog.String("function", f.Name), took)
			return v, err
		}
	}
	return all
}

// watch follows the folders until the app stops. It comes first, so that it misses nothing of what is saved meanwhile.
func (a *App) watch(ctx context.Context) (err error) {
	c := watch.Config{Places: []string{a.c.FunctionsDir, a.c.StaticDir}, Log: a.log, Changed: a.changed}
	if a.listener == nil { // else the parent builds the program again
		c.Places = append(c.Places, SettingsFiles()...)
	}
	if a.dev.watch, err = watch.Start(c); err != nil {
		a.log.WarnContext(ctx, "saved files are not noticed; start again to see them", "error", fault.From(err).Message)
		return nil
	}
	a.onStop(a.dev.ignore)
	return nil
}

// SettingsFiles returns the files that are read once, at the start.
func SettingsFiles() []string { return []string{"app.json", ".env"} }

// attend lets changes through. It comes last, so that they end first.
func (a *App) attend(context.Context) error {
	close(a.dev.opened)
	a.onStop(a.dev.ignore)
	return nil
}

// ignore ends the work on changes.
func (d *development) ignore(context.Context) {
	d.cancel()
	if d.watch != nil {
		d.watch.Stop()
	}
	d.tasks.Wait()
}

// changed makes changed files live.
func (a *App) changed(place string, names []string) {
	select {
	case <-a.dev.opened:
	case <-a.dev.ctx.Done():
		return
	}
	if slices.Contains(SettingsFiles(), place) {
		a.log.Warn("the settings have changed; start again to use them", "file", place)
	}
	if place == a.c.StaticDir {
		a.log.Info("the site has changed", "files", names)
		if slices.Contains(names, ".") {
			a.load(siteFolder)
		} else {
			a.site.Load().Reread(names...)
			a.dev.live.Change()
		}
	}
	if place == a.c.FunctionsDir {
		for _, l := range []workers.Language{workers.Python, workers.JavaScript} {
			if slices.ContainsFunc(names, func(name string) bool { return name == "." || languageOf(name) == l }) {
				a.load(l)
			}
		}
	}
}

// siteFolder is loaded like a language when it is another folder.
const siteFolder workers.Language = ""

// load is one that goes on.
type load struct {
	cancel context.CancelFunc
	again  bool // since then there was another change
}

// patience is how long a load may go on when there is another change: one that hangs would keep the mended file waiting.
const patience = 500 * time.Millisecond

// load makes what there is of a language live, beside the caller. What comes while it loads makes it load once more.
func (a *App) load(l workers.Language) {
	a.dev.mu.Lock()
	defer a.dev.mu.Unlock()
	if now := a.dev.loads[l]; now == nil {
		a.dev.tasks.Go(func() {
			for a.loadOnce(l) {
			}
		})
		a.dev.loads[l] = &load{cancel: func() {}, again: true}
	} else if !now.again {
		now.again = true
		time.AfterFunc(patience, now.cancel)
	}
}

// loadOnce says whether there is more to load.
func (a *App) loadOnce(l workers.Language) bool {
	d := a.dev
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	d.mu.Lock()
	now := &load{cancel: cancel}
	d.loads[l] = now
	d.mu.Unlock()
	a.reload(ctx, l)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !now.again {
		delete(d.loads, l)
	}
	return now.again && d.ctx.Err() == nil
}

// languageOf is what a file belongs to. Others may be written by functions, which must not make them load again.
func languageOf(name string) workers.Language {
	switch path.Ext(name) {
	case ".py":
		return workers.Python
	case ".js", ".cjs", ".mjs", ".json":
		return workers.JavaScript
	}
	return ""
}

// reload puts the functions of a language, as they are now, in the place of the live ones. Functions that do not
// load leave the others live.
func (a *App) reload(ctx context.Context, l workers.Language) {
	begin := time.Now()
	err := a.rooms.deploys.Refresh(ctx, func(ctx context.Context, v deploys.Version) (deploys.Ready, error) {
		v.Functions, v.Site = a.c.FunctionsDir, a.c.StaticDir
		return a.refresh(ctx, v, l)
	})
	switch {
	case err != nil && ctx.Err() != nil: // there is a newer change
	case l == siteFolder && fault.Is(err, "deploys.not_folder"): // a deployed site is live
	case err != nil:
		a.log.ErrorContext(ctx, "the functions stay as they were", "language", string(l), "error", fault.From(err).Message)
	case l == siteFolder:
		a.log.InfoContext(ctx, "the folder of the site is another one now; its files are live", "folder", a.c.StaticDir)
	default:
		a.log.InfoContext(ctx, "changed functions are live", "language", string(l), "took", time.Since(begin).Round(time.Millisecond))
	}
}

// refreshed is the server's own folders after a change of one language. The rest is handed on.
type refreshed struct {
	*staged
	before   *staged
	replaced []*workers.Pool
}

// refresh loads the functions of one language anew, or opens the site.
func (a *App) refresh(ctx context.Context, v deploys.Version, l workers.Language) (_ deploys.Ready, err error) {
	before := a.staged
	r := refreshed{staged: &staged{app: a, site: before.site}, before: before}
	for _, p := range before.pools {
		if p.Language() == l {
			r.replaced = append(r.replaced, p)
		} else {
			r.pools = append(r.pools, p)
		}
	}
	if l == siteFolder {
		return r, r.reopen(ctx, v)
	}
	next, err := a.openPool(ctx, l, v)
	if err != nil {
		return nil, err
	}
	if next != nil {
		defer func() {
			if err != nil {
				next.Stop()
			}
		}()
		_ = a.loaded(ctx, next, v, nil) // it is lenient
		if err = newlyBroken(r.replaced, next); err != nil {
			return nil, err
		}
		r.pools = append(r.pools, next)
	}
	var left []string
	if err = r.compile(v, func(line string) { left = append(left, line) }); err == nil && len(left) > 0 {
		err = fault.New(fault.Invalid, "app.not_loaded", "%s", left[0])
	}
	if err != nil {
		return nil, err
	}
	a.unreached(r.own, func(line string) { a.log.WarnContext(ctx, line) })
	if r.mounts, err = a.mounts(ctx, v, r.pools); err == nil && !slices.Equal(r.mounts, before.mounts) {
		err = r.openSite(ctx, v)
	}
	if err == nil {
		a.prepare(ctx, r.staged)
	}
	return r, err
}

// reopen opens the site's folder, which is another one now. The functions are handed on.
func (r refreshed) reopen(ctx context.Context, v deploys.Version) error {
	if err := r.compile(v, func(string) {}); err != nil { // it was told before
		return err
	}
	r.mounts = r.before.mounts
	return r.openSite(ctx, v)
}

// Switch implements deploys.Ready.
func (r refreshed) Switch() (drained func(context.Context) error) {
	r.before.pools = r.replaced
	if r.before.site == r.site {
		r.before.site = nil
	}
	return r.staged.Switch()
}

// newlyBroken tells of a file that does not load any more.
func newlyBroken(old []*workers.Pool, next *workers.Pool) error {
	known := map[string]bool{}
	for _, p := range old {
		for _, problem := range p.Registered().Problems {
			known[problem.File] = true
		}
	}
	for _, p := range next.Registered().Problems {
		if !known[p.File] {
			return fault.New(fault.Invalid, "app.not_loaded", "%s does not load: line %d: %s", p.File, p.Line, p.Message)
		}
	}
	return nil
}

// servePage is how a file of the site is sent while somebody writes it.
func (d *development) servePage(site *static.Door, w http.ResponseWriter, r *http.Request, f *static.File) {
	if !f.Page() {
		site.Serve(w, r, f)
		return
	}
	d.live.Page(w, r, func(w http.ResponseWriter, r *http.Request) { site.Serve(w, r, f) })
}

// settled is how long clients whose connections rest have for another request, once another process has taken over.
const settled = 10 * time.Second

// serve counts the server's connections, and tells clients to leave while it drains.
func (d *development) serve(s *http.Server) {
	s.RegisterOnShutdown(d.live.Stop) // its answers have no end
	next := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
	s.ConnState = func(c net.Conn, state http.ConnState) {
		d.mu.Lock()
		defer d.mu.Unlock()
		switch state {
		case http.StateNew, http.StateIdle:
			d.conns[c] = false
		case http.StateActive:
			d.conns[c] = true
		case http.StateClosed, http.StateHijacked:
			delete(d.conns, c)
		}
		d.check()
	}
}

// check tells that nobody needs this process any more. d.mu is held.
func (d *development) check() {
	for _, active := range d.conns {
		if active || !d.late {
			return
		}
	}
	if d.draining.Load() && !d.gone {
		d.gone = true
		close(d.empty)
	}
}

// drains says whether another process has taken over.
func (d *development) drains() bool { return d != nil && d.draining.Load() }

// Drain leaves the address to another process that listens on the same socket, and waits until ctx ends for requests to be
// answered and clients to leave: each answer tells them to. A client that kept its connection would send its next request
// into a closed one. After 10 seconds those that rest are not waited for.
func (a *App) Drain(ctx context.Context) {
	d := a.dev
	d.draining.Store(true)
	_ = a.listener.Close() // the socket stays open elsewhere
	d.live.Stop()
	look := func(late bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.late = late
		d.check()
	}
	look(false)
	defer time.AfterFunc(settled, func() { look(true) }).Stop()
	select {
	case <-d.empty:
	case <-ctx.Done():
	}
}
