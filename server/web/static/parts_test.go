package static_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"crema/server/web/static"
)

func TestMounts_StandBehindTheSite(t *testing.T) {
	t.Parallel()
	_, site := newDoor(t, map[string]string{"css/a.css": "of the site", "index.html": "home"})
	_, outer := newDoor(t, map[string]string{"a.css": "outer", "b.css": "outer", "deep/a.css": "outer", "docs/index.html": "docs", ".env": "no"})
	_, inner := newDoor(t, map[string]string{"a.css": script, "index.html": "inner"})
	_, all := newDoor(t, map[string]string{"css/c.css": "all", "d.css": "all"})
	d, err := static.New(static.Config{Dir: site, Log: slog.New(slog.DiscardHandler), Mounts: []static.Mount{
		{Prefix: "", Dir: all}, {Prefix: "css", Dir: outer}, {Prefix: "css/deep", Dir: inner}, {Prefix: "gone", Dir: site + "/nowhere"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	d.Start(t.Context())
	t.Cleanup(d.Stop)
	for path, want := range map[string]string{
		"/static/css/a.css": "of the site", "/css/a.css": "of the site", "/static/css/b.css": "outer", "/static/css/c.css": "all", "/static/d.css": "all",
		"/static/css/deep/a.css": script, "/static/css/deep/": "inner", "/static/css/docs/": "docs", "/static/": "home",
	} {
		if w := get(d, path); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s answers %d %.40s, want %.40s", path, w.Code, w.Body, want)
		}
	}
	for _, path := range []string{"/css/b.css", "/static/cssb.css", "/static/css/.env", "/static/css/../a.css", "/static/gone/a", "/static/css/deep/b", "/d.css"} {
		if w := get(d, path); w.Code != http.StatusNotFound {
			t.Errorf("%s answers %d %.40s", path, w.Code, w.Body)
		}
	}
	for path, want := range map[string]string{"/static/css/docs": "/static/css/docs/", "/static/css/deep": "/static/css/deep/"} {
		if w := get(d, path); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != want {
			t.Errorf("%s answers %d %v", path, w.Code, w.Header())
		}
	}
	compressed(t, d, "/static/css/deep/a.css")
	tag := get(d, "/static/css/deep/a.css").Header().Get("Etag")
	if w := get(d, "/static/css/deep/a.css", "If-None-Match", tag); w.Code != http.StatusNotModified {
		t.Errorf("with its tag the file answers %d", w.Code)
	}
}

// What open pages load later is there until its time has come, and nothing else of the versions before.
func TestBefore_KeepsWhatCarriesAHash(t *testing.T) {
	t.Parallel()
	_, site := newDoor(t, map[string]string{"app.3f9a1c2b.js": "new"})
	_, last := newDoor(t, map[string]string{"app.3f9a1c2b.js": "last", "assets/index-BZ3bXk_w.js": script, "page.html": "last", "assets-3f9a1c2b/a/index.html": "last"})
	_, oldest := newDoor(t, map[string]string{"assets/index-BZ3bXk_w.js": "oldest", "main.0a1b2c3d.chunk.js": "oldest", "a.D-x7Yq_2.css": "oldest", "settings-account.js": "oldest"})
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	day := now
	d, err := static.New(static.Config{
		Dir: site, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Before: []static.Before{{Dir: last, Until: day.Add(24 * time.Hour)}, {Dir: site + "/nowhere", Until: day.Add(24 * time.Hour)}, {Dir: oldest, Until: day.Add(time.Hour)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Stop)
	check := func(want map[string]string) {
		t.Helper()
		for path, want := range want {
			w := get(d, path)
			if got := w.Body.String(); want == "" && w.Code != http.StatusNotFound || want != "" && got != want {
				t.Errorf("at %v %s answers %d %.40s, want %.40s", now, path, w.Code, got, want)
			}
		}
	}
	check(map[string]string{
		"/app.3f9a1c2b.js": "new", "/assets/index-BZ3bXk_w.js": script, "/static/assets/index-BZ3bXk_w.js": script, "/main.0a1b2c3d.chunk.js": "oldest",
		"/a.D-x7Yq_2.css": "oldest", "/page.html": "", "/settings-account.js": "", "/assets-3f9a1c2b/a": "",
	})
	if w := get(d, "/assets/index-BZ3bXk_w.js", "If-None-Match", get(d, "/assets/index-BZ3bXk_w.js").Header().Get("Etag")); w.Code != http.StatusNotModified {
		t.Errorf("with its tag the file answers %d", w.Code)
	}
	now = day.Add(time.Hour)
	check(map[string]string{"/assets/index-BZ3bXk_w.js": script, "/main.0a1b2c3d.chunk.js": ""})
	now = day.Add(24 * time.Hour)
	check(map[string]string{"/assets/index-BZ3bXk_w.js": "", "/app.3f9a1c2b.js": "new"})
}

// Pages load the popup of old times from the sandbox, and Skygear's client from here; other files stay as they are, and so do all without a sandbox.
func TestServe_ScriptsThatHaveMoved(t *testing.T) {
	t.Parallel()
	const page = `<script src="https://checkout.stripe.com/checkout.js"></script><script src='//checkout.stripe.com/v2/checkout.js'></script>`
	const old = `<script src="https://code.skygear.io/js/skygear/latest/skygear.min.js"></script><script src="//code.skygear.io/js/polyfill/latest/polyfill.min.js">`
	files := map[string]string{"index.html": page, "plain.html": "<p>https://checkout.stripe.com/", "page.js": page, "old.html": old}
	_, dir := newDoor(t, files)
	for popup, want := range map[string]string{"": page, "/own.js": `<script src="/own.js"></script><script src='/own.js'></script>`} {
		d, err := static.New(static.Config{Dir: dir, Popup: popup, Client: popup, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		w := get(d, "/index.html")
		if w.Body.String() != want || w.Header().Get("Content-Length") != strconv.Itoa(len(want)) || (w.Header().Get("X-Sandbox-Rewrite") != "") != (popup != "") {
			t.Errorf("with popup %q the page is %s %v", popup, w.Body, w.Header())
		}
		want = old
		if popup != "" {
			want = `<script src="/own.js"></script><script src="//code.skygear.io/js/polyfill/latest/polyfill.min.js">`
		}
		if w := get(d, "/old.html"); w.Body.String() != want || w.Header().Get("X-Sandbox-Rewrite") != "" {
			t.Errorf("with client %q the page is %s %v", popup, w.Body, w.Header())
		}
		for _, name := range []string{"plain.html", "page.js"} {
			if w := get(d, "/"+name); w.Body.String() != files[name] || w.Header().Get("X-Sandbox-Rewrite") != "" {
				t.Errorf("with popup %q %s is %s %v", popup, name, w.Body, w.Header())
			}
		}
	}
}

// Pages that must change are kept in memory when there is no room for others.
func TestServe_ScriptsThatHaveMovedInASiteWithoutRoom(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"old.html": `<script src="https://checkout.stripe.com/checkout.js"></script>`, "large.html": "<p>" + strings.Repeat("x", 9<<20), "new.html": "<p>new",
	}
	for i := range 66 {
		files[fmt.Sprintf("art/%d.png", i)] = strings.Repeat("x", 1<<20)
	}
	_, dir := newDoor(t, files)
	d, err := static.New(static.Config{Dir: dir, Popup: "/own.js", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 66 {
		get(d, fmt.Sprintf("/art/%d.png", i))
	}
	for name, want := range map[string]string{"old.html": `<script src="/own.js"></script>`, "large.html": files["large.html"], "new.html": files["new.html"]} {
		if w := get(d, "/"+name); w.Code != http.StatusOK || w.Body.String() != want {
			t.Errorf("%s answers %d %.60s", name, w.Code, w.Body)
		}
	}
}
