package static

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Serve answers r with f. GET and HEAD only.
func (d *Door) Serve(w http.ResponseWriter, r *http.Request, f *File) {
	h := w.Header()
	if f.location != "" {
		h.Set("Cache-Control", "no-cache")
		http.Redirect(w, r, (&url.URL{Path: f.location, RawQuery: r.URL.RawQuery}).String(), http.StatusMovedPermanently)
		return
	}
	h["Content-Type"] = f.contentType
	h["Cache-Control"] = f.cacheControl
	if v := r.Header["Range"]; v != nil && !understood(v) {
		delete(r.Header, "Range")
	}
	if f.body == nil {
		d.serveDisk(w, r, f)
		return
	}
	h["Last-Modified"] = f.lastModified
	if f.popup {
		h["X-Sandbox-Rewrite"] = rewritten
	}
	// A range counts bytes of the file itself, so it is never taken from a compressed variant.
	v := &f.identity
	if f.shrinks {
		h["Vary"] = append(h["Vary"], varies...)
		if r.Header["Range"] == nil {
			v = f.choose(r.Header["Accept-Encoding"])
		}
	}
	h["Etag"] = v.etag
	if v.encoding != nil {
		h["Content-Encoding"] = v.encoding
	}
	if r.Header["Range"] != nil || r.Header["If-Match"] != nil || r.Header["If-Unmodified-Since"] != nil {
		http.ServeContent(w, r, "", f.info.ModTime(), bytes.NewReader(v.body))
		return
	}
	f.serveWhole(w, r, v)
}

// understood says whether a Range header is in bytes. Other units must be ignored (RFC 9110 14.2), where
// net/http refuses them; the last no bytes, which it answers with nonsense, are ignored too.
func understood(ranges []string) bool {
	return len(ranges) == 1 && strings.HasPrefix(ranges[0], "bytes=") && ranges[0] != "bytes=-0"
}

// serveWhole sends v, or 304 when the client has it.
func (f *File) serveWhole(w http.ResponseWriter, r *http.Request, v *variant) {
	h := w.Header()
	if f.unchanged(r, v) {
		delete(h, "Content-Type")
		delete(h, "Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if v.encoding == nil {
		h["Accept-Ranges"] = acceptRanges
	}
	h["Content-Length"] = v.length
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(v.body) // the client may be gone
	}
}

// Header values that never change.
var (
	acceptRanges = []string{"bytes"}
	varies       = []string{"Accept-Encoding"}
	rewritten    = []string{"stripe-checkout"}
)

// unchanged compares what the client has with v, as RFC 9110 13.2.2 orders it.
func (f *File) unchanged(r *http.Request, v *variant) bool {
	if tags := r.Header["If-None-Match"]; tags != nil {
		return matches(strings.Join(tags, ","), v.etag[0])
	}
	since := r.Header["If-Modified-Since"]
	if len(since) == 0 {
		return false
	}
	t, err := http.ParseTime(since[0])
	return err == nil && !f.info.ModTime().Truncate(time.Second).After(t)
}

// matches compares weakly. Our tags hold no comma, so a foreign tag that does cannot be mistaken.
func matches(list, tag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == tag {
			return true
		}
	}
	return false
}

// serveDisk sends a file that is not in memory, as it is at this moment.
func (d *Door) serveDisk(w http.ResponseWriter, r *http.Request, f *File) {
	src, err := f.root.Open(f.name)
	if err != nil { // gone since it was looked up
		w.Header().Del("Cache-Control")
		d.NotFound(w, r)
		return
	}
	defer src.Close() //nolint:errcheck // it was only read
	info, err := src.Stat()
	if err != nil || !info.Mode().IsRegular() {
		w.Header().Del("Cache-Control")
		d.NotFound(w, r)
		return
	}
	w.Header()["Etag"] = []string{diskTag(info)}
	http.ServeContent(w, r, "", info.ModTime(), src)
}

// missing sends f as the answer to a request for something that is not there.
func (f *File) missing(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Content-Type"] = f.contentType
	h["Cache-Control"] = []string{"no-cache"}
	h["Content-Length"] = f.identity.length
	w.WriteHeader(http.StatusNotFound)
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.body) // the client may be gone
	}
}
