package static_test

import (
	"bytes"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"crema/server/web/static"
)

var script = strings.Repeat("export const price = 1000; // cents\n", 100)

// newDoor makes a folder of files and a door that serves it. Every file was changed an hour ago.
func newDoor(t testing.TB, files map[string]string) (*static.Door, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		put(t, dir, name, text)
		age(t, dir, name, time.Hour)
	}
	d, err := static.New(static.Config{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return d, dir
}

func put(t testing.TB, dir, name, text string) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func age(t testing.TB, dir, name string, by time.Duration) {
	t.Helper()
	when := time.Now().Add(-by)
	if err := os.Chtimes(filepath.Join(dir, name), when, when); err != nil {
		t.Fatal(err)
	}
}

func get(d http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	return ask(d, "GET", path, header...)
}

func ask(d http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w
}

// compressed waits until the variants of path are made.
func compressed(t *testing.T, d http.Handler, path string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 10*time.Second; {
		if get(d, path, "Accept-Encoding", "gzip").Header().Get("Content-Encoding") != "" {
			return
		}
	}
	t.Fatalf("%s is never compressed", path)
}

func TestServe_Paths(t *testing.T) {
	t.Parallel()
	d, dir := newDoor(t, map[string]string{
		"index.html": "home", "a.txt": "a", "sub/index.html": "sub", "sub/b c.txt": "b", "empty/x": "x", "static/lit.txt": "lit",
		".env": "secret", "sub/.git/config": "secret", ".well-known/x": "known", ".well-known/.x": "secret", "é.txt": "accent", "404.html": "nowhere",
	})
	outside := filepath.Join(t.TempDir(), "outside.txt")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"out.txt": outside, "up.txt": "../outside.txt", "in.txt": "a.txt", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, "home"},
		{"/index.html", 200, "home"},
		{"/static/", 200, "home"},
		{"/static/index.html", 200, "home"},
		{"/a.txt", 200, "a"},
		{"/static/a.txt", 200, "a"},
		{"/static/lit.txt", 200, "lit"},
		{"/static/static/lit.txt", 200, "lit"},
		{"/sub/", 200, "sub"},
		{"/sub/b%20c.txt", 200, "b"},
		{"/%C3%A9.txt", 200, "accent"},
		{"/in.txt", 200, "a"},
		{"/.well-known/x", 200, "known"},
		{"/sub", 301, "/sub/"},
		{"/static/sub?x=1", 301, "/static/sub/?x=1"},
		{"/static", 301, "/static/"},
		{"/empty", 404, ""},
		{"/empty/", 404, ""},
		{"/nope", 404, ""},
		{"/static/nope", 404, ""},
		{"/a.txt/", 404, ""},
		{"/A.TXT", 404, ""},
		{"/.env", 404, ""},
		{"/static/.env", 404, ""},
		{"/sub/.git/config", 404, ""},
		{"/.well-known/.x", 404, ""},
		{"/sub/..%2f.env", 404, ""},
		{"/out.txt", 404, ""},
		{"/up.txt", 404, ""},
		{"/loop", 404, ""},
		{"/pipe", 404, ""},
		{"//a.txt", 404, ""},
		{"/sub//index.html", 404, ""},
		{"/sub/../a.txt", 404, ""},
		{"/static/../../outside.txt", 404, ""},
		{"/%2e%2e/outside.txt", 404, ""},
		{"/..%5ca.txt", 404, ""},
		{"/a.txt%00", 404, ""},
		{"/staticx/a.txt", 404, ""},
		{"/sub/.", 404, ""},
	} {
		w := get(d, c.path, "Accept", "text/html")
		body := w.Body.String()
		if c.status == 301 {
			body = w.Header().Get("Location")
		}
		if c.status == 404 {
			c.body = "nowhere"
		}
		if w.Code != c.status || body != c.body {
			t.Errorf("%s: %d %q", c.path, w.Code, body)
		}
	}
}

func TestMatch_LeavesTheRestToTheWire(t *testing.T) {
	t.Parallel()
	d, _ := newDoor(t, map[string]string{"index.html": "home", "a.txt": "a"})
	for _, c := range []struct {
		method, path, accept string
		want                 bool
	}{
		{"GET", "/", "text/html,*/*;q=0.8", true},
		{"HEAD", "/", "text/html", true},
		{"GET", "/", "", false},
		{"GET", "/", "*/*", false},
		{"GET", "/", "application/json", false},
		{"GET", "/a.txt", "", true},
		{"POST", "/", "text/html", false},
		{"POST", "/a.txt", "text/html", false},
		{"GET", "/record/query", "text/html", false},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.Header.Set("Accept", c.accept)
		if _, ok := d.Match(r); ok != c.want {
			t.Errorf("%s %s accepting %q: %v", c.method, c.path, c.accept, ok)
		}
	}
	if w := get(d, "/nope"); w.Code != 404 || !strings.Contains(w.Body.String(), `"code":110`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	none, err := static.New(static.Config{Dir: filepath.Join(t.TempDir(), "none"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	none.Start(t.Context())
	defer none.Stop()
	if w := get(none, "/", "Accept", "text/html"); w.Code != 404 {
		t.Errorf("no folder: %d", w.Code)
	}
}

func TestServe_HeadersOfAFile(t *testing.T) {
	t.Parallel()
	d, dir := newDoor(t, map[string]string{
		"app.js": "x", "m.mjs": "x", "a.css": "x", "i.svg": "<svg/>", "w.wasm": "x", "s.webmanifest": "{}", "p.avif": "x", "f.woff2": "x", "h.html": "x",
		"app.3f9a1c2b.js": "x", "app-3f9a1c2b00.css": "x", "notes-20240101.txt": "x", "app-settings.js": "x", "deadbeef": "x", "CNAME": "shop.example", "raw": "\x00\x01",
	})
	for name, want := range map[string]string{
		"app.js": "text/javascript; charset=utf-8", "m.mjs": "text/javascript; charset=utf-8", "a.css": "text/css; charset=utf-8", "i.svg": "image/svg+xml",
		"w.wasm": "application/wasm", "s.webmanifest": "application/manifest+json", "p.avif": "image/avif", "f.woff2": "font/woff2", "h.html": "text/html; charset=utf-8",
		"CNAME": "text/plain; charset=utf-8", "raw": "application/octet-stream",
	} {
		if got := get(d, "/"+name).Header().Get("Content-Type"); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, forever := range map[string]bool{"app.js": false, "app.3f9a1c2b.js": true, "app-3f9a1c2b00.css": true, "notes-20240101.txt": false, "app-settings.js": false, "deadbeef": false} {
		got := get(d, "/"+name).Header().Get("Cache-Control")
		if (got == "public, max-age=31536000, immutable") != forever || (got == "no-cache") == forever {
			t.Errorf("%s: %s", name, got)
		}
	}
	w := ask(d, "HEAD", "/app.js")
	info, err := os.Stat(filepath.Join(dir, "app.js"))
	if err != nil {
		t.Fatal(err)
	}
	if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "1" || w.Header().Get("Last-Modified") != info.ModTime().UTC().Format(http.TimeFormat) {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
}

func TestServe_Compressed(t *testing.T) {
	t.Parallel()
	d, _ := newDoor(t, map[string]string{"app.js": script, "small.js": "x", "noise.png": script})
	if w := get(d, "/app.js", "Accept-Encoding", "gzip, br"); w.Header().Get("Content-Encoding") != "" || w.Body.String() != script {
		t.Errorf("before Start: %v", w.Header())
	}
	d.Start(t.Context())
	defer d.Stop()
	compressed(t, d, "/app.js")
	tags := map[string]bool{}
	for _, c := range []struct{ accept, want string }{
		{"gzip", "gzip"},
		{"zstd", "zstd"},
		{"br", "br"},
		{"BR", "br"},
		{"gzip, deflate, br, zstd", "br"},
		{"br;q=0.1, gzip;q=0.9", "gzip"},
		{"zstd;q=1.000, br;q=0.999", "zstd"},
		{"*", "br"},
		{"gzip;q=0, *", "br"},
		{"br;q=0, zstd;q=0, *;q=0.5", "gzip"},
		{"gzip;q=0.5", "gzip"},
		{"gzip;q=0.5, identity", ""},
		{"identity, gzip", "gzip"},
		{"", ""},
		{"identity", ""},
		{"deflate", ""},
		{"gzip;q=0", ""},
		{"gzip;q=2", ""},
		{"gzip;q=", ""},
		{"gzip;x=1", ""},
		{",,;q=1, gzip ; q=0.3", "gzip"},
		{"*;q=0", ""},
	} {
		w := get(d, "/app.js", "Accept-Encoding", c.accept)
		h := w.Header()
		if got := h.Get("Content-Encoding"); got != c.want || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Length") == "" {
			t.Errorf("%q: %q %v", c.accept, got, h)
		}
		if unpack(t, h.Get("Content-Encoding"), w.Body) != script {
			t.Errorf("%q: another content", c.accept)
		}
		tags[h.Get("ETag")] = true
	}
	if len(tags) != 4 {
		t.Errorf("entity tags: %v", tags)
	}
	for _, name := range []string{"/small.js", "/noise.png"} {
		if w := get(d, name, "Accept-Encoding", "gzip, br"); w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
}

func unpack(t *testing.T, encoding string, r io.Reader) string {
	t.Helper()
	var err error
	switch encoding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "br":
		r = brotli.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestServe_Conditional(t *testing.T) {
	t.Parallel()
	d, _ := newDoor(t, map[string]string{"app.js": script})
	d.Start(t.Context())
	defer d.Stop()
	compressed(t, d, "/app.js")
	first := get(d, "/app.js").Header()
	tag, when := first.Get("ETag"), first.Get("Last-Modified")
	zipped := get(d, "/app.js", "Accept-Encoding", "gzip").Header().Get("ETag")
	early := time.Now().Add(-48 * time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		header []string
		status int
	}{
		{[]string{"If-None-Match", tag}, 304},
		{[]string{"If-None-Match", "W/" + tag}, 304},
		{[]string{"If-None-Match", `"x", ` + tag}, 304},
		{[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-None-Match", `"x"`}, 200},
		{[]string{"If-None-Match", `"x"`, "If-Modified-Since", when}, 200},
		{[]string{"If-None-Match", tag, "If-Modified-Since", early}, 304},
		{[]string{"If-None-Match", zipped}, 200},
		{[]string{"If-None-Match", zipped, "Accept-Encoding", "gzip"}, 304},
		{[]string{"If-None-Match", tag, "Accept-Encoding", "gzip"}, 200},
		{[]string{"If-Modified-Since", when}, 304},
		{[]string{"If-Modified-Since", early}, 200},
		{[]string{"If-Modified-Since", "junk"}, 200},
		{[]string{"If-Match", tag}, 200},
		{[]string{"If-Match", `"x"`}, 412},
		{[]string{"If-Unmodified-Since", early}, 412},
		{[]string{"If-Unmodified-Since", when}, 200},
		{[]string{"Range", "bytes=0-9"}, 206},
		{[]string{"Range", "bytes=-5"}, 206},
		{[]string{"Range", "bytes=99999-"}, 416},
		{[]string{"Range", "lines=1-2"}, 200}, // a unit that is not known
		{[]string{"Range", "bytes=-0"}, 200},
		{[]string{"Range", "bytes=0-9", "If-Range", tag}, 206},
		{[]string{"Range", "bytes=0-9", "If-Range", zipped}, 200},
		{[]string{"Range", "bytes=0-9", "If-Range", when}, 206},
		{[]string{"Range", "bytes=0-9", "If-None-Match", tag}, 304},
		{[]string{"Range", "bytes=0-9", "Accept-Encoding", "gzip"}, 206},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w := ask(d, method, "/app.js", c.header...)
			if w.Code != c.status {
				t.Errorf("%s %v: %d", method, c.header, w.Code)
			}
			if (w.Code == 304 || method == "HEAD" && w.Code != 416) && w.Body.Len() > 0 {
				t.Errorf("%s %v: a body of %d", method, c.header, w.Body.Len())
			}
			if w.Code == 304 && (w.Header().Get("ETag") == "" || w.Header().Get("Cache-Control") == "" || w.Header().Get("Vary") == "") {
				t.Errorf("%v: %v", c.header, w.Header())
			}
		}
	}
	w := get(d, "/app.js", "Range", "bytes=7-11", "Accept-Encoding", "gzip")
	if w.Body.String() != script[7:12] || w.Header().Get("Content-Encoding") != "" || w.Header().Get("ETag") != tag {
		t.Errorf("a range: %q %v", w.Body, w.Header())
	}
	w = get(d, "/app.js", "Range", "bytes=0-1,5-6")
	_, params, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	parts := multipart.NewReader(w.Body, params["boundary"])
	for _, want := range []string{script[0:2], script[5:7]} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := io.ReadAll(part); string(b) != want {
			t.Errorf("part %q", b)
		}
	}
}

func TestServe_LargeFilesComeFromDisk(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("0123456789", 200_000)
	d, dir := newDoor(t, map[string]string{"big.bin": big})
	w := get(d, "/big.bin", "Range", "bytes=1999990-")
	if w.Code != 206 || w.Body.String() != "0123456789" {
		t.Errorf("%d %d bytes", w.Code, w.Body.Len())
	}
	w = get(d, "/big.bin")
	if w.Code != 200 || w.Body.String() != big || w.Header().Get("Content-Length") != "2000000" {
		t.Errorf("%d %d bytes", w.Code, w.Body.Len())
	}
	if again := get(d, "/big.bin", "If-None-Match", w.Header().Get("ETag")); again.Code != 304 {
		t.Errorf("%d", again.Code)
	}
	put(t, dir, "big.bin", big+"x") // at once, because it is read at each request
	if now := get(d, "/big.bin"); now.Body.Len() != len(big)+1 || now.Header().Get("ETag") == w.Header().Get("ETag") {
		t.Errorf("%d bytes", now.Body.Len())
	}
}

// FuzzServe looks for a path that reaches what must not be reached.
func FuzzServe(f *testing.F) {
	_, dir := newDoor(f, map[string]string{"pub/index.html": "page", "pub/a.txt": "public", "pub/.env": "SECRET", "pub/sub/.git/x": "SECRET", "outside.txt": "SECRET", "pub/sub/b.txt": "public"})
	if err := os.Symlink("../outside.txt", filepath.Join(dir, "pub", "link")); err != nil {
		f.Fatal(err)
	}
	site, err := static.New(static.Config{Dir: filepath.Join(dir, "pub"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"/", "/a.txt", "/../outside.txt", "/static/../../outside.txt", "/.env", "/sub/.git/x", "/link", "/sub/../.env", "//outside.txt", "/\\..\\outside.txt", "/a.txt\x00", "/static//.env", "/./.env"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		if bytes.Contains(w.Body.Bytes(), []byte("SECRET")) {
			t.Errorf("%q reaches a secret", path)
		}
		if to := w.Header().Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, "\\") {
			t.Errorf("%q redirects to %q", path, to)
		}
		if w.Code != 200 && w.Code != 301 && w.Code != 404 {
			t.Errorf("%q: %d", path, w.Code)
		}
	})
}
