package static

import (
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
)

// servable says whether a name may be looked for in the folder: relative, clean, without a part that
// begins with a dot. The one exception is .well-known, which RFC 8615 gives to sites.
func servable(name string) bool {
	if !fs.ValidPath(name) || strings.ContainsAny(name, "\\\x00") {
		return false
	}
	first := true
	for part := range strings.SplitSeq(name, "/") {
		if part[0] == '.' && (!first || part != ".well-known") {
			return false
		}
		first = false
	}
	return true
}

// types are the types that a site needs, so that they do not depend on what the machine has installed.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".mjs": "text/javascript; charset=utf-8", ".cjs": "text/javascript; charset=utf-8",
	".txt": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".csv": "text/csv; charset=utf-8",
	".xml": "text/xml; charset=utf-8", ".vtt": "text/vtt; charset=utf-8", ".ics": "text/calendar; charset=utf-8",
	".json": "application/json", ".map": "application/json", ".geojson": "application/geo+json", ".jsonld": "application/ld+json",
	".webmanifest": "application/manifest+json", ".rss": "application/rss+xml", ".atom": "application/atom+xml",
	".wasm": "application/wasm", ".pdf": "application/pdf", ".zip": "application/zip", ".gz": "application/gzip",
	".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif",
	".webp": "image/webp", ".avif": "image/avif", ".ico": "image/x-icon", ".bmp": "image/bmp",
	".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".otf": "font/otf",
	".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".wav": "audio/wav", ".m4a": "audio/mp4",
	".mp4": "video/mp4", ".webm": "video/webm",
}

// contentType goes by the extension; a file without one is text when its first bytes look like it.
func contentType(name string, head []byte) string {
	ext := strings.ToLower(path.Ext(name))
	if t, ok := types[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	if t := http.DetectContentType(head); strings.HasPrefix(t, "text/plain") && len(head) > 0 {
		return t
	}
	return "application/octet-stream"
}

// compressible says whether a type shrinks.
func compressible(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	switch t {
	case "application/json", "application/wasm", "image/svg+xml", "image/x-icon", "image/bmp", "font/ttf", "font/otf":
		return true
	}
	return strings.HasPrefix(t, "text/") || strings.HasSuffix(t, "+json") || strings.HasSuffix(t, "+xml")
}

// hashed says whether a name carries a hash of its content, as bundlers write it: app.3f9a1c2b.js or
// app-3f9a1c2b.js, at least eight hexadecimal digits with a letter and a figure among them.
func hashed(name string) bool {
	base := path.Base(name)
	stem := strings.TrimSuffix(base, path.Ext(base))
	hash := stem[strings.LastIndexAny(stem, ".-")+1:]
	if len(hash) < 8 || len(hash) == len(stem) {
		return false
	}
	letter, figure := false, false
	for _, c := range []byte(hash) {
		switch {
		case '0' <= c && c <= '9':
			figure = true
		case 'a' <= c && c <= 'f':
			letter = true
		default:
			return false
		}
	}
	return letter && figure
}

// stamped says whether a name may carry a hash of its content, or be in a folder that does, in whatever way bundlers write it: a
// part of at least eight letters and figures that is no plain word, as in index-BZ3bXk_w.js or main.3f9a1c2b.chunk.js. It takes
// some words for hashes, which does no harm to files that nobody has any more.
func stamped(name string) bool {
	return slices.ContainsFunc(strings.Split(strings.TrimSuffix(name, path.Ext(name)), "/"), func(stem string) bool {
		if n := len(stem) - 8; n > 0 && strings.ContainsRune(".-", rune(stem[n-1])) && mixed(stem[n:]) { // a hash may have - in it
			return true
		}
		return slices.ContainsFunc(strings.FieldsFunc(stem, func(c rune) bool { return c == '.' || c == '-' }), mixed)
	})
}

// mixed says that a text has figures and letters, or letters of both sizes.
func mixed(part string) bool {
	lower, upper, figure := false, false, false
	for _, c := range part {
		lower, upper, figure = lower || 'a' <= c && c <= 'z', upper || 'A' <= c && c <= 'Z', figure || '0' <= c && c <= '9'
	}
	return len(part) >= 8 && (figure && (lower || upper) || lower && upper)
}
