// Package live reloads pages in browsers while somebody writes the app. It is never part of `crema serve`.
//
// Way in: New, Page around the serving of an HTML file, Change when pages are to be loaded again. A page gets one script
// element with an address of its own origin, so that a Content-Security-Policy with 'self' allows it.
package live

import (
	"bytes"
	_ "embed"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
)

//go:embed reload.js
var script []byte

// Door tells pages of changes.
type Door struct {
	mu      sync.Mutex
	version string
	changed chan struct{} // closed by the next change
	stopped bool
}

// New returns a door. Pages of an earlier one, in a process before this, load again.
func New() *Door {
	return &Door{version: now(), changed: make(chan struct{})}
}

func now() string { return strconv.FormatInt(time.Now().UnixNano(), 36) }

// Register hangs the door's paths on r: the script, and the events that it hears.
func (d *Door) Register(r chi.Router) {
	r.Get("/_dev/reload.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(script) // the browser may be gone
	})
	r.Get("/_dev/reload", d.events)
}

// Change makes all open pages load again.
func (d *Door) Change() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	d.version = now()
	close(d.changed)
	d.changed = make(chan struct{})
}

// Stop ends the connections that wait for changes. Pages connect again, to whoever serves then.
func (d *Door) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.stopped {
		d.stopped = true
		close(d.changed)
	}
}

func (d *Door) now() (version string, changed <-chan struct{}, stopped bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.version, d.changed, d.stopped
}

// events sends the version of the pages, now and with each change.
func (d *Door) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	for out := http.NewResponseController(w); ; {
		version, changed, stopped := d.now()
		if stopped {
			return
		}
		if _, err := fmt.Fprintf(w, "retry: 200\ndata: %s\n\n", version); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// Page lets serve answer r with an HTML page, and adds the script to it.
func (d *Door) Page(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request)) {
	version, _, _ := d.now() // before the page is read: what changes from now on makes it load again
	whole := r.Clone(r.Context())
	for name := range whole.Header {
		if name == "Range" || name == "Accept-Encoding" || strings.HasPrefix(name, "If-") {
			delete(whole.Header, name)
		}
	}
	p := &page{ResponseWriter: w, status: http.StatusOK}
	serve(p, whole)
	body := insert(p.body.Bytes(), fmt.Sprintf(`<script src="/_dev/reload.js" data-version="%s"></script>`, version))
	h := w.Header()
	for _, name := range []string{"Etag", "Last-Modified", "Accept-Ranges"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser may be gone
	}
}

// head is where a page's own elements begin.
var head = regexp.MustCompile(`(?i)<head(\s[^>]*)?>`)

// insert puts the script first, so that a policy in the page does not forbid it; without a head it comes last.
func insert(body []byte, element string) []byte {
	at := len(body)
	if found := head.FindIndex(body); found != nil {
		at = found[1]
	}
	return bytes.Join([][]byte{body[:at], []byte(element), body[at:]}, nil)
}

// page keeps what is written to it.
type page struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader implements http.ResponseWriter.
func (p *page) WriteHeader(status int) { p.status = status }

// Write implements http.ResponseWriter.
func (p *page) Write(b []byte) (int, error) { return p.body.Write(b) }
