package files_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crema/server/core/assets"
	"crema/server/web/doortest"
)

func TestRead_RangesB14(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	a := s.upload(t, "a.txt", "text/plain", "0123456789")
	tag := s.do(t, "GET", a.Asset.URL, nil, nil).header.Get("Etag")
	for _, c := range []struct {
		ranges, ifRange string
		status          int
		body, content   string
	}{
		{"bytes=2-4", "", 206, "234", "bytes 2-4/10"},
		{"bytes=2-", "", 206, "23456789", "bytes 2-9/10"},
		{"bytes=-3", "", 206, "789", "bytes 7-9/10"},
		{"bytes=8-99", "", 206, "89", "bytes 8-9/10"},
		{"bytes=0-0", tag, 206, "0", "bytes 0-0/10"},
		{"bytes=0-0", `"another"`, 200, "0123456789", ""},
		{"bytes=10-", "", 416, "", "bytes */10"},
		{"bytes=9-2", "", 416, "", ""},
		{"lines=1-2", "", 416, "", ""},
	} {
		h := http.Header{"Range": {c.ranges}}
		if c.ifRange != "" {
			h.Set("If-Range", c.ifRange)
		}
		got := s.do(t, "GET", a.Asset.URL, h, nil)
		if got.status != c.status || c.status != 416 && got.body != c.body || got.header.Get("Content-Range") != c.content {
			t.Errorf("%s %s: %d %q %q", c.ranges, c.ifRange, got.status, got.header.Get("Content-Range"), got.body)
		}
		if c.status == 416 && strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: 416 is text on this wire", c.ranges)
		}
	}
	head := s.do(t, "HEAD", a.Asset.URL, nil, nil)
	if head.status != 200 || head.body != "" || head.header.Get("Content-Length") != "10" {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
	if got := s.do(t, "GET", a.Asset.URL, http.Header{"If-None-Match": {tag}}, nil); got.status != 304 {
		t.Errorf("with the tag: %d", got.status)
	}
}

// Nothing that somebody uploads runs as a page or script of the shop.
func TestRead_WhatBrowsersMayDoWithIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	const sandbox = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
	for _, c := range []struct{ contentType, served, disposition, policy string }{
		{"text/html", "text/html", "attachment; filename=", sandbox},
		{"text/html; charset=utf-8", "text/html; charset=utf-8", "attachment; filename=", sandbox},
		{"TEXT/HTML", "TEXT/HTML", "attachment; filename=", sandbox},
		{"application/xhtml+xml", "application/xhtml+xml", "attachment; filename=", sandbox},
		{"image/svg+xml", "image/svg+xml", "inline; filename=", sandbox},
		{"text/xml", "text/xml", "attachment; filename=", sandbox},
		{"image/png", "image/png", "inline; filename=", sandbox},
		{"video/mp4", "video/mp4", "inline; filename=", sandbox},
		{"text/plain", "text/plain", "inline; filename=", sandbox},
		{"application/pdf", "application/pdf", "inline; filename=", ""},
		{"application/pdf; x=y", "application/pdf; x=y", "inline; filename=", ""},
		{"text/javascript", "text/plain; charset=utf-8", "attachment; filename=", sandbox},
		{"application/x-javascript", "text/plain; charset=utf-8", "attachment; filename=", sandbox},
		{"application/ecmascript", "text/plain; charset=utf-8", "attachment; filename=", sandbox},
		{"text/css", "text/css", "attachment; filename=", sandbox},
		{"application/zip", "application/zip", "attachment; filename=", sandbox},
		{"multipart/x-mixed-replace; boundary=x", "multipart/x-mixed-replace; boundary=x", "attachment; filename=", sandbox},
	} {
		a := s.upload(t, "a.bin", c.contentType, "<script>alert(1)</script>")
		h := s.do(t, "GET", a.Asset.URL, nil, nil).header
		if h.Get("Content-Type") != c.served || !strings.HasPrefix(h.Get("Content-Disposition"), c.disposition) ||
			h.Get("Content-Security-Policy") != c.policy || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", c.contentType, h)
		}
		if !strings.HasPrefix(h.Get("Cache-Control"), "private, max-age=") || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", c.contentType, h)
		}
	}
}

func TestRead_TheNameInContentDispositionIsNoWayOut(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for filename, want := range map[string]string{
		`a".html`: `filename="<uuid>-a\".html"`, "豆.html": `filename*=utf-8''<uuid>-%E8%B1%86.html`, "a;b.html": `filename="<uuid>-a;b.html"`,
	} {
		a := s.upload(t, filename, "text/html", "x")
		got := s.do(t, "GET", a.Asset.URL, nil, nil).header.Get("Content-Disposition")
		if got = uuidText.ReplaceAllString(got, "<uuid>"); got != "attachment; "+want {
			t.Errorf("%q: %s", filename, got)
		}
	}
}

// The files of an old server lie under their names; its folder and its rows are used as they are.
func TestRead_FilesOfAnOldServer(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *assets.Config) { c.Public = true })
	dir := filepath.Join(s.dir, "files", "photos")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "1b4e28ba-a b.txt"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	for id, contentType := range map[string]string{"photos/1b4e28ba-a b.txt": "text/plain", "gone.txt": "text/plain", "odd.txt": "???"} {
		if _, err := s.db.Exec(t.Context(), "INSERT INTO app._asset (id, content_type, size) VALUES ($1, $2, 3)", id, contentType); err != nil {
			t.Fatal(err)
		}
	}
	path := "/files/photos/" + url.PathEscape("1b4e28ba-a b.txt")
	got := s.do(t, "GET", path, nil, nil)
	if got.body != "old" || got.header.Get("Etag") == "" || got.header.Get("Last-Modified") == "" {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	if got := s.do(t, "GET", "/files/gone.txt", nil, nil); got.status != 404 || got.code() != 110 {
		t.Errorf("a row without a file: %d %s", got.status, got.body)
	}
	if got := s.post(t, path, "new"); got.status != 409 {
		t.Errorf("overwritten with the client key: %d %s", got.status, got.body)
	}
	h := keyed(doortest.MasterKey)
	h.Set("Content-Type", "text/plain")
	for _, p := range []string{path, "/files/odd.txt"} {
		if got := s.do(t, "PUT", p, h, strings.NewReader("restored")); got.status != 200 {
			t.Errorf("%s with the master key: %d %s", p, got.status, got.body)
		}
		if got := s.do(t, "GET", p, nil, nil); got.body != "restored" {
			t.Errorf("%s: %d %q", p, got.status, got.body)
		}
	}
	if got := s.do(t, "GET", "/files/odd.txt", nil, nil); got.header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("a content type that is none: %v", got.header)
	}
}
