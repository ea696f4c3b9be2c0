package live_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"crema/server/web/live"
)

func TestPage_AddsTheScript(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, want string }{
		{`<!doctype html><html><HEAD lang="x"><title>a</title>`, `<!doctype html><html><HEAD lang="x"><script src="/_dev/reload.js" data-version="V"></script><title>a</title>`},
		{`<!doctype html><header>a`, `<!doctype html><header>a<script src="/_dev/reload.js" data-version="V"></script>`},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("If-None-Match", `"x"`)
		r.Header.Set("Accept-Encoding", "br")
		w := httptest.NewRecorder()
		live.New().Page(w, r, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match")+r.Header.Get("Accept-Encoding") != "" {
				t.Error("the page may be cut or packed")
			}
			w.Header().Set("Etag", `"x"`)
			w.Header().Set("Content-Length", fmt.Sprint(len(c.body)))
			w.WriteHeader(http.StatusOK)
			_, _ = w.Write([]byte(c.body)) // into a buffer
		})
		got := regexp.MustCompile(`version="[^"]+"`).ReplaceAllString(w.Body.String(), `version="V"`)
		if got != c.want || w.Header().Get("Etag") != "" || w.Header().Get("Content-Length") != fmt.Sprint(w.Body.Len()) || r.Header.Get("If-None-Match") == "" {
			t.Errorf("got %s with %v", got, w.Header())
		}
	}
}

func TestEvents_TellChangesAndEnd(t *testing.T) {
	t.Parallel()
	d, r := live.New(), chi.NewRouter()
	d.Register(r)
	s := httptest.NewServer(r)
	defer s.Close()
	resp, err := http.Get(s.URL + "/_dev/reload")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var versions []string
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if versions = append(versions, v); len(versions) < 3 {
				d.Change()
			} else {
				d.Stop()
			}
		}
	}
	if len(versions) != 3 || versions[0] == versions[1] || versions[1] == versions[2] {
		t.Errorf("versions %q, want three that differ", versions)
	}
	d.Change() // after the stop it has no effect
	d.Stop()
}
