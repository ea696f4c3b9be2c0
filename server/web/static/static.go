package static

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
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

	// Popup is where pages find the popup of old times instead of at Stripe; "" leaves them as they are.
	Popup string
}

// Door serves a folder.
type Door struct {
	log   *slog.Logger
	popup string
	root  *os.Root // nil when there is no folder
	start time.Time

	mu    sync.RWMutex
	files map[string]*File // by name below the folder
	held  int64            // bytes in memory

	loading sync.Mutex // one file is read at a time
	queue   chan *File // waits for compression
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// New opens the folder. It reads no file yet.
func New(c Config) (*Door, error) {
	d := &Door{log: c.Log, popup: c.Popup, start: time.Now(), files: map[string]*File{}, queue: make(chan *File, 1024)}
	root, err := os.OpenRoot(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("there is no folder of static files", "folder", c.Dir)
		return d, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.NotConfigured, "static.unreadable", "cannot read the folder %s; it is static.folder of app.json", c.Dir)
	}
	d.root = root
	return d, nil
}

// Start reads the folder and compresses its files in the background, until Stop or the end of ctx.
// Before it, and until a file's turn has come, files are sent as they are.
func (d *Door) Start(ctx context.Context) {
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
// "static" inside the folder comes first. A folder's path means its index.html; without the slash at
// its end the file is a redirect.
func (d *Door) Lookup(urlPath string) (*File, bool) {
	if d.root == nil || urlPath == "" || urlPath[0] != '/' {
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
	return f, f != nil
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
	if !servable(name) {
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
