package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"crema/server/testkit"
)

// HEAD tells what GET would, whichever door owns the path.
func TestPaths_HeadIsGetWithoutABody(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t))
	for _, path := range []string{
		"/", "/style.css", "/static/style.css", "/sdk/skygear.js", "/sdk/skygear.mjs", "/payments/config.json",
		"/stripe/checkout.js", "/_stripe/checkout/frame", "/_stripe/checkout/frame.css", "/healthz", "/record/query", "/nowhere",
	} {
		got, want := ask(t, http.MethodHead, s.URL+path, "*/*"), ask(t, http.MethodGet, s.URL+path, "*/*")
		for _, h := range []string{"Content-Type", "Content-Length", "ETag", "Content-Security-Policy"} {
			if got.StatusCode != want.StatusCode || got.Header.Get(h) != want.Header.Get(h) {
				t.Errorf("HEAD %s: %d, %s %q; GET says %d, %q", path, got.StatusCode, h, got.Header.Get(h), want.StatusCode, want.Header.Get(h))
			}
		}
	}
}

// A cache between must not give the page to a client of the wire, nor the other way round.
func TestPaths_TheFirstPathVariesByAccept(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t))
	for accept, kind := range map[string]string{
		"text/html,application/xhtml+xml,*/*;q=0.8": "text/html",
		"TEXT/HTML; charset=utf-8":                  "text/html",
		"text/html;q=0, application/json":           "application/json",
		"text/html ; q=0.000":                       "application/json",
		"*/*":                                       "application/json",
		"":                                          "application/json",
	} {
		resp := ask(t, http.MethodGet, s.URL+"/", accept)
		if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, kind) {
			t.Errorf("Accept %q is answered with %s", accept, got)
		}
		if vary := resp.Header.Values("Vary"); !slices.Contains(vary, "Accept") {
			t.Errorf("Accept %q: Vary is %q", accept, vary)
		}
	}
}

func ask(t *testing.T, method, url, accept string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp
}
