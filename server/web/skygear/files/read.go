package files

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"crema/server/core/assets"
)

// read serves the bytes, with ranges and conditions.
func (d *Door) read(w http.ResponseWriter, r *http.Request, name string) error {
	q := r.URL.Query()
	c, err := d.assets.Open(r.Context(), name, assets.Proof{ExpiredAt: q.Get("expiredAt"), Signature: q.Get("signature")})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it was only read
	describe(w.Header(), c)
	http.ServeContent(w, r, "", c.StoredAt, c.ReadSeekCloser) // itself, so that a file goes through the kernel
	return nil
}

func describe(h http.Header, c *assets.Content) {
	contentType, disposition, csp := present(c.ContentType)
	h["Content-Type"] = []string{contentType}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Content-Disposition"] = []string{mime.FormatMediaType(disposition, map[string]string{"filename": c.Filename})}
	if csp != "" {
		h["Content-Security-Policy"] = []string{csp}
	}
	h["Referrer-Policy"] = []string{"no-referrer"} // the URL is a key
	h["Cache-Control"] = []string{freshness(c.Until)}
	h["Etag"] = []string{tag(c)}
}

// sandbox keeps what a file holds from acting as a page of the shop: no scripts, no forms, an origin of
// its own.
const sandbox = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

// present decides how a browser gets a media type: what it only shows is shown, scripts are text, and
// the rest is saved. What cannot be read is bytes. PDF viewers do not work in the sandbox, and a PDF's
// scripts do not reach the page's origin.
func present(contentType string) (served, disposition, csp string) {
	mediaType, _, err := mime.ParseMediaType(contentType)
	kind, sub, _ := strings.Cut(mediaType, "/")
	switch {
	case err != nil || sub == "":
		return "application/octet-stream", "attachment", sandbox
	case strings.Contains(sub, "javascript") || strings.Contains(sub, "ecmascript"):
		return "text/plain; charset=utf-8", "attachment", sandbox
	case mediaType == "application/pdf":
		return contentType, "inline", ""
	case kind == "image" || kind == "audio" || kind == "video" || mediaType == "text/plain":
		return contentType, "inline", sandbox
	}
	return contentType, "attachment", sandbox
}

// publicAge is how long a cache may take a file of a public store for fresh, in seconds.
const publicAge = "300"

func freshness(until time.Time) string {
	if until.IsZero() {
		return "public, max-age=" + publicAge
	}
	left := max(0, time.Until(until))
	return "private, max-age=" + strconv.Itoa(int(left/time.Second))
}

// tag is a strong one: an object never changes, and an old file changes only with its time.
func tag(c *assets.Content) string {
	if c.Object != "" {
		return `"` + c.Object + `"`
	}
	return `"` + strconv.FormatInt(c.StoredAt.UnixNano(), 36) + `"`
}
