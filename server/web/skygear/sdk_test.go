package skygear_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/web/skygear"
)

func sdkFile(t *testing.T, name string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+name, nil)
	r.Header = header
	w := httptest.NewRecorder()
	skygear.SDK().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSDK_AnyPageMayLoadItAndKeepIt(t *testing.T) {
	t.Parallel()
	for name, contentType := range map[string]string{
		"skygear.js": "text/javascript; charset=utf-8", "skygear.mjs": "text/javascript; charset=utf-8",
		"skygear.d.mts": "text/plain; charset=utf-8", "skygear.d.ts": "text/plain; charset=utf-8",
	} {
		res := sdkFile(t, name, http.Header{})
		got := []string{res.Status, res.Header.Get("Content-Type"), res.Header.Get("Cross-Origin-Resource-Policy"), res.Header.Get("Vary")}
		if diff := cmp.Diff([]string{"200 OK", contentType, "cross-origin", "Accept-Encoding"}, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		etag := res.Header.Get("ETag")
		if again := sdkFile(t, name, http.Header{"If-None-Match": {etag}}); etag == "" || again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: with the tag %q the answer is %s", name, etag, again.Status)
		}
	}
	if res := sdkFile(t, "embed.go", http.Header{}); res.StatusCode != http.StatusNotFound {
		t.Errorf("embed.go: %s", res.Status)
	}
}

func TestSDK_IsPackedForWhoUnpacks(t *testing.T) {
	t.Parallel()
	plain := sdkFile(t, "skygear.js", http.Header{})
	want := body(t, plain.Body)
	if !strings.Contains(want, "class SkygearClient") {
		t.Fatalf("it starts %.80q", want)
	}
	for accept, packed := range map[string]bool{
		"gzip, deflate, br": true, "br;q=1, gzip;q=0.5": true, "GZIP": true, "deflate, gzip ; q=1": true, "gzip;q=0": false, "gzip; q=0.0": false, "": false, "br": false, "gzipped": false,
	} {
		res := sdkFile(t, "skygear.js", http.Header{"Accept-Encoding": {accept}})
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != packed {
			t.Errorf("Accept-Encoding %q: packed %v", accept, got)
			continue
		}
		reader := io.Reader(res.Body)
		if packed {
			unpacked, err := gzip.NewReader(reader)
			if err != nil {
				t.Fatal(err)
			}
			reader = unpacked
			if res.Header.Get("ETag") == plain.Header.Get("ETag") {
				t.Error("one tag for two forms")
			}
		}
		if got := body(t, reader); got != want {
			t.Errorf("Accept-Encoding %q: another text, of %d bytes", accept, len(got))
		}
	}
}
