package static

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/web"
)

// Config says what to serve.
type Config struct {
	Dir string // the folder; one that does not exist serves nothing
	Log *slog.Logger

	// Popup and Client are where pages find the popup of old times instead of at Stripe, and Skygear's client instead of at
	// its own address, which is gone; "" leaves them as they are.
	Popup, Client string

	Mounts []Mount // folders beside it

	// Before are the sites of earlier versions, newest first. Of their files those with a hash in their names are still served
	// where this one has none, so that pages that are open find what they load later.
	Before []Before
	Now    func() time.Time // nil: time.Now
}

// Mount is a folder whose files are served below /static/<Prefix>/, where the site has none of that name.
type Mount struct {
	Prefix string // without slashes around it; "" is /static/ itself
	Dir    string
}

// Before is the site of an earlier version.
type Before struct {
	Dir   string
	Until time.Time
}

// Door serves a folder.
type Door struct {
	log   *slog.Logger
	moved []moved
	root  *os.Root // nil when there is no folder
	start time.Time
	now   func() time.Time

	mounts []part // longest prefix first
	before []part // newest first
	light  bool   // nothing is kept in memory

	mu    sync.RWMutex
	files map[string]*File // by name below the folder
	held  int64            // bytes in memory

	loading sync.Mutex // one file is read at a time
	queue   chan *File // waits for compression
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// part is a door that a door has beside its own folder.
type part struct {
	*Door
	prefix string
	until  time.Time
}

// New opens the folders. It reads no file yet.
func New(c Config) (*Door, error) {
	d := &Door{log: c.Log, moved: movedTo(c.Popup, c.Client), now: c.Now, start: time.Now(), files: map[string]*File{}, queue: make(chan *File, 1024)}
	if d.now == nil {
		d.now = time.Now
	}
	if err := errors.Join(d.openFolder(c.Dir), d.openMounts(c.Mounts), d.openBefore(c.Before)); err != nil {
		d.Stop()
		return nil, err
	}
	return d, nil
}

func (d *Door) openFolder(dir string) (err error) {
	d.root, err = os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("there is no folder of static files", "folder", dir)
		return nil
	}
	if err != nil {
		return fault.Wrap(err, fault.NotConfigured, "static.unreadable", "cannot read the folder %s; it is static.folder of app.json", dir)
	}
	return nil
}

func (d *Door) openMounts(mounts []Mount) error {
	for _, m := range mounts {
		opened, err := New(Config{Dir: m.Dir, Log: d.log})
		if err != nil {
			return err
		}
		opened.moved = d.moved
		d.mounts = append(d.mounts, part{Door: opened, prefix: m.Prefix})
	}
	slices.SortStableFunc(d.mounts, func(a, b part) int { return len(b.prefix) - len(a.prefix) })
	return nil
}

// openBefore opens what is there of earlier sites. A version without files has none.
func (d *Door) openBefore(sites []Before) error {
	for _, b := range sites {
		if _, err := os.Stat(b.Dir); err != nil {
			continue
		}
		opened, err := New(Config{Dir: b.Dir, Log: d.log})
		if err != nil {
			return err
		}
		opened.light = true
		d.before = append(d.before, part{Door: opened, until: b.Until})
	}
	return nil
}

// Start reads the folder and compresses its files in the background, until Stop or the end of ctx.
// Before it, and until a file's turn has come, files are sent as they are.
func (d *Door) Start(ctx context.Context) {
	for _, m := range d.mounts {
		m.Start(ctx)
	}
	ctx, d.cancel = context.WithCancel(ctx)
	if d.root == nil {
		return
	}
	d.done.Go(func() { d.compressAll(ctx) })
}

// Stop ends the background work and closes the folder. No request may be under way.
func (d *Door) Stop() {
	if d.cancel != nil {
		d.cancel()
	}
	d.done.Wait()
	if d.root != nil {
		_ = d.root.Close() // it was only read
	}
	for _, p := range slices.Concat(d.mounts, d.before) {
		p.Stop()
	}
}

// Match returns the file that answers r, if one does: the method is GET or HEAD, the folder has a file
// for the path, and for the path "/" the client accepts text/html. False leaves the request to the wire.
func (d *Door) Match(r *http.Request) (*File, bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, false
	}
	if r.URL.Path == "/" && !acceptsPage(r) {
		return nil, false
	}
	return d.Lookup(r.URL.Path)
}

// Lookup returns the file for a decoded URL path: below "/", or below "/static/", where a folder
// "static" inside the folder comes first; then what is mounted, then what earlier versions had. A folder's path
// means its index.html; without the slash at its end the file is a redirect.
func (d *Door) Lookup(urlPath string) (*File, bool) {
	if urlPath == "" || urlPath[0] != '/' {
		return nil, false
	}
	name := urlPath[1:]
	alias, aliased := strings.CutPrefix(name, "static/")
	if f, ok := d.fresh(page(name)); ok { // most requests end here
		return f, true
	}
	if aliased {
		if f, ok := d.fresh(page(alias)); ok {
			return f, true
		}
	}
	f := d.look(urlPath, page(name))
	switch {
	case f == nil && aliased:
		f = d.look(urlPath, page(alias))
	case f == nil && name == "static":
		f = d.redirect(urlPath, ".")
	}
	if f == nil && aliased {
		f = d.mounted(urlPath, alias)
	}
	if f == nil {
		f = d.earlier(name, alias)
	}
	return f, f != nil
}

// find returns the file of the folder alone for a name below it.
func (d *Door) find(urlPath, name string) *File {
	if f, ok := d.fresh(page(name)); ok {
		return f
	}
	return d.look(urlPath, page(name))
}

// mounted returns the file that a mount has for a name below /static/.
func (d *Door) mounted(urlPath, name string) (f *File) {
	for _, m := range d.mounts {
		below, inside := strings.CutPrefix(name, m.prefix+"/")
		switch {
		case m.prefix == "":
			f = m.find(urlPath, name)
		case inside:
			f = m.find(urlPath, below)
		case name == m.prefix:
			f = m.redirect(urlPath, ".")
		}
		if f != nil {
			return f
		}
	}
	return nil
}

// earlier returns a file that an earlier version had under one of the names, while it is kept.
func (d *Door) earlier(names ...string) *File {
	for _, name := range names {
		if !stamped(name) {
			continue
		}
		for _, b := range d.before {
			if !d.now().Before(b.until) {
				continue
			}
			if f := b.find("/"+name, name); f != nil && f.location == "" {
				return f
			}
		}
	}
	return nil
}

// page is the name of the file that a path means.
func page(name string) string {
	if name == "" || strings.HasSuffix(name, "/") {
		return name + "index.html"
	}
	return name
}

// look returns what the disk has for name, nil for nothing.
func (d *Door) look(urlPath, name string) *File {
	if d.root == nil || !servable(name) {
		return nil
	}
	info, err := d.root.Stat(name)
	switch {
	case err == nil && info.Mode().IsRegular():
		return d.load(name)
	case err == nil && info.IsDir():
		return d.redirect(urlPath, name)
	}
	d.forget(name)
	return nil
}

// redirect sends the browser from a folder's name to its path, if the folder has an index.html.
func (d *Door) redirect(urlPath, folder string) *File {
	d.forget(folder)
	if d.root == nil {
		return nil
	}
	if info, err := d.root.Stat(folder + "/index.html"); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	return &File{location: urlPath + "/"}
}

// NotFound answers 404: with the folder's 404.html to a browser, else with the error envelope.
func (d *Door) NotFound(w http.ResponseWriter, r *http.Request) {
	if acceptsPage(r) {
		if f, ok := d.Lookup("/404.html"); ok && f.body != nil {
			f.missing(w, r)
			return
		}
	}
	web.WriteError(w, r, fault.New(fault.NotFound, "static.missing", "there is no file %s", r.URL.Path))
}

// ServeHTTP answers r with its file or 404.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f, ok := d.Match(r); ok {
		d.Serve(w, r, f)
		return
	}
	d.NotFound(w, r)
}

func acceptsPage(r *http.Request) bool {
	for _, v := range r.Header["Accept"] {
		for part := range strings.SplitSeq(v, ",") {
			kind, params, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(kind), "text/html") && !refused(params) {
				return true
			}
		}
	}
	return false
}

// refused says whether the parameters of a media range hold q=0.
func refused(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		name, value, ok := strings.Cut(p, "=")
		if ok && strings.EqualFold(strings.TrimSpace(name), "q") {
			return strings.Trim(strings.TrimSpace(value), "0.") == ""
		}
	}
	return false
}
