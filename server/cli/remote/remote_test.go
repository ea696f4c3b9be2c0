package remote_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/cli/remote"
)

func write(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("text\r\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, dir, name, to string) {
	t.Helper()
	if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "public_html/a.html", "public_html/.env", "public_html/.git/config", "public_html/.well-known/apple", "public_html/.well-known/.env",
		"lambdas/a.py", "lambdas/a.go", "lambdas/__pycache__/a.pyc", "lambdas/node_modules/x/index.js", ".env", "secret.txt", "other/.well-known/x")
	link(t, dir, "public_html/b.html", "a.html")
	link(t, dir, "public_html/folder", "../lambdas")
	files, odd, err := remote.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Path)
	}
	if diff := cmp.Diff([]string{"lambdas/a.py", "public_html/.well-known/apple", "public_html/a.html", "public_html/b.html"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"public_html/folder"}, odd); diff != "" {
		t.Error(diff)
	}
}

// A project of somebody else's must not make its operator publish their own files.
func TestFind_LetsNoLinkOut(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	write(t, outside, "id_rsa")
	for _, to := range []string{filepath.Join(outside, "id_rsa"), "../../" + filepath.Base(outside) + "/id_rsa", "nothing"} {
		dir := t.TempDir()
		write(t, dir, "public_html/a.html")
		link(t, dir, "public_html/b.html", to)
		if _, _, err := remote.Find(dir); !fault.Is(err, "cli.link_out") || !strings.Contains(err.Error(), "public_html/b.html") {
			t.Errorf("a link to %s: %v", to, err)
		}
	}
}

func TestFind_RefusesWhatIsTooLargeByItsName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "public_html/a.html")
	if err := os.Truncate(filepath.Join(dir, "public_html/a.html"), 65<<20); err != nil {
		t.Fatal(err)
	}
	if _, _, err := remote.Find(dir); !fault.Is(err, "cli.too_large") || !strings.Contains(err.Error(), "public_html/a.html") {
		t.Error(err)
	}
}

// While a job is under way its server may start anew behind a proxy.
func TestFollow_OutlastsARestart(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1:
			_, _ = io.WriteString(w, `{"state": "running", "log": "one\n"}`)
		case 2:
			w.WriteHeader(http.StatusBadGateway)
		case 3:
			_, _ = io.WriteString(w, `{"state": "run`)
		default:
			_, _ = io.WriteString(w, `{"state": "success", "log": "two\n"}`)
		}
	}))
	defer s.Close()
	var said strings.Builder
	if err := remote.New(s.URL, "coffee", "token").Follow(t.Context(), "job", &said); err != nil || said.String() != "one\ntwo\n" {
		t.Errorf("%q, %v", said.String(), err)
	}
}

func TestFollow_SaysThatTheServerGoesOn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	}))
	defer s.Close()
	if err := remote.New(s.URL, "coffee", "token").Follow(ctx, "job", io.Discard); !fault.Is(err, "cli.interrupted") || !strings.Contains(err.Error(), "goes on") {
		t.Error(err)
	}
}

// The token is for the server that was named.
func TestDo_FollowsNoRedirect(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusMovedPermanently)
	}))
	defer s.Close()
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		err := remote.New(s.URL, "coffee", "token").Do(t.Context(), method, "/v2/apps/", nil, nil)
		if !fault.Is(err, "cli.moved") || !strings.Contains(err.Error(), other.URL) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// Only what the server lacks travels, and not what was changed since it was looked at.
func TestDeploy_SendsWhatIsMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "public_html/a.html", "public_html/b.html")
	if err := os.WriteFile(filepath.Join(dir, "public_html/c.html"), []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	files, _, err := remote.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	var bytes atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/missing"):
			_, _ = fmt.Fprintf(w, `{"missing": [%q]}`, files[2].SHA256)
		case r.Method == http.MethodPut:
			n, _ := io.Copy(io.Discard, r.Body)
			bytes.Add(n)
			w.WriteHeader(http.StatusNoContent)
		default:
			_, _ = io.WriteString(w, `{"job": "j"}`)
		}
	}))
	defer s.Close()
	c := remote.New(s.URL, "coffee", "token")
	if job, err := c.Deploy(t.Context(), dir, files, io.Discard); err != nil || job != "j" || bytes.Load() != 3 {
		t.Errorf("%q, %d bytes, %v", job, bytes.Load(), err)
	}
	write(t, dir, "public_html/c.html")
	if _, err := c.Deploy(t.Context(), dir, files, io.Discard); !fault.Is(err, "cli.changed") || !strings.Contains(err.Error(), "c.html") {
		t.Error(err)
	}
}

func TestFind_KeepsAtHomeWhatIsIgnored(t *testing.T) {
	t.Parallel()
	all := []string{"__init__.py", "a/b/c.key", "a/keys/x", "c.key", "docs/keys", "é.txt", "public_html/a.map", "public_html/index.html", "x[1].txt"}
	for ignore, want := range map[string][]string{
		"*.key\r\n# a remark\r\n\r\n":        {"__init__.py", "a/keys/x", "docs/keys", "public_html/a.map", "public_html/index.html", "x[1].txt", "é.txt"},
		"/c.key\nkeys/":                      {"__init__.py", "a/b/c.key", "docs/keys", "public_html/a.map", "public_html/index.html", "x[1].txt", "é.txt"},
		"**/*.map\na/**":                     {"__init__.py", "c.key", "docs/keys", "public_html/index.html", "x[1].txt", "é.txt"},
		"a/**/c.key\n?.txt\n[c-d]*":          {"__init__.py", "a/keys/x", "public_html/a.map", "public_html/index.html", "x[1].txt"},
		"*\n!public_html/\n!__init__.py":     {"__init__.py", "public_html/a.map", "public_html/index.html"},
		"*\n!*/\n!*.py\n**/*.map\n!x\\[1].*": {"__init__.py", "a/b/c.key", "a/keys/x", "docs/keys", "public_html/index.html", "x[1].txt"},
		"[!_]*":                              {"__init__.py"},
	} {
		dir := t.TempDir()
		write(t, dir, all...)
		if err := os.WriteFile(filepath.Join(dir, ".skyignore"), []byte(ignore), 0o644); err != nil {
			t.Fatal(err)
		}
		files, _, err := remote.Find(dir)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range files {
			got = append(got, f.Path)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q:\n%s", ignore, diff)
		}
	}
	dir := t.TempDir()
	write(t, dir, all...)
	if err := os.WriteFile(filepath.Join(dir, ".skyignore"), []byte("[z-a].key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := remote.Find(dir); !fault.Is(err, "cli.bad_ignore") {
		t.Error(err)
	}
}
