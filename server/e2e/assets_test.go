package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crema/server/testkit"
)

// announced is the answer to asset:put.
type announced struct {
	Result struct {
		Asset struct {
			URL string `json:"$url"`
		}
		PostRequest struct{ Action string } `json:"post-request"`
	}
}

func announce(t *testing.T, s *testkit.Server) (a announced) {
	t.Helper()
	r := asked(t, s, "POST", s.URL+"/asset/put", `{"filename":"a.txt","content-type":"text/plain","content-size":9}`)
	if err := json.Unmarshal([]byte(r), &a); err != nil || a.Result.PostRequest.Action == "" {
		t.Fatalf("asset:put: %s", r)
	}
	return a
}

// asked makes a request with the client key and returns the body of the answer.
func asked(t *testing.T, s *testkit.Server, method, target, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"X-Skygear-Api-Key": {s.APIKey}, "Content-Type": {"text/plain"}}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The server is killed in the middle of an upload: nothing can be read, the file can be sent again, and
// what was left behind goes a day later.
func TestAssets_AKillDuringAnUploadLeavesNothingToRead(t *testing.T) {
	t.Parallel()
	dir := testkit.AppDir(t)
	env := "DATABASE_URL=" + testkit.EmptyDatabaseURL(t)
	s := testkit.StartServer(t, dir, env)
	a := announce(t, s)
	action := a.Result.PostRequest.Action
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "PUT "+action+" HTTP/1.1\r\nHost: x\r\nX-Skygear-Api-Key: "+s.APIKey+
		"\r\nContent-Type: text/plain\r\nContent-Length: 9000000\r\n\r\n"+strings.Repeat("x", 100_000)); err != nil {
		t.Fatal(err)
	}
	half := func() bool { return len(drafts(t, dir)) == 1 }
	wait(t, "the upload begins", half)
	s.Kill()

	s = testkit.StartServer(t, dir, env)
	_, name, _ := strings.Cut(a.Result.Asset.URL, "/files/")
	path := "/files/" + name
	if got := asked(t, s, "GET", s.URL+path, ""); !strings.Contains(got, `"code":110`) {
		t.Errorf("after the kill: %s", got)
	}
	if got := asked(t, s, "PUT", s.URL+action, "all of it"); !strings.Contains(got, `"$url"`) {
		t.Errorf("sent again: %s", got)
	}
	if got := asked(t, s, "GET", s.URL+path, ""); got != "all of it" {
		t.Errorf("read: %s", got)
	}
	if !half() {
		t.Errorf("the half file was removed too early: somebody might still be writing it")
	}
	psql(t, s, "update _asset_unused set since = since - interval '25 hours'")
	s.Stop(t)
	s = testkit.StartServer(t, dir, env)
	wait(t, "the half file is removed", func() bool { return len(drafts(t, dir)) == 0 })
	if got := asked(t, s, "GET", s.URL+path, ""); got != "all of it" {
		t.Errorf("read after the cleaning: %s", got)
	}
}

func drafts(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, ".crema", "assetstore", "incoming"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return entries
}

func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not after 30 s: %s", what)
		}
	}
}
