package files_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/core/assets"
	"crema/server/web/doortest"
)

// What is there stays as it is for whoever has the public key; the operator may replace it.
func TestUpload_AFinishedFileIsNotOverwritten(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	a := s.upload(t, "a.txt", "text/plain", "the first")
	for _, path := range []string{a.PostRequest.Action, "/files//" + a.Asset.Name, "/files/.+" + a.Asset.Name, "/files/x/%2e%2e/" + a.Asset.Name} {
		if got := s.post(t, path, "another"); got.status != 409 || got.code() != 109 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	before := s.do(t, "GET", a.Asset.URL, nil, nil)
	if before.body != "the first" || s.size(t, a.Asset.Name) != 9 {
		t.Errorf("it is %q now", before.body)
	}
	h := keyed(doortest.MasterKey)
	h.Set("Content-Type", "text/html")
	if got := s.do(t, "PUT", a.PostRequest.Action, h, strings.NewReader("by the operator")); got.status != 200 {
		t.Fatalf("with the master key: %d %s", got.status, got.body)
	}
	after := s.do(t, "GET", a.Asset.URL, http.Header{"If-None-Match": {before.header.Get("Etag")}}, nil)
	if after.body != "by the operator" || after.header.Get("Content-Type") != "text/plain" || s.size(t, a.Asset.Name) != 15 {
		t.Errorf("%d %v %q", after.status, after.header, after.body)
	}
}

// Of many uploads to one name at the same time, one wins; what is read is all of that one.
func TestUpload_OneOfManyAtOnceWins(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	a := s.announce(t, "a.txt", "text/plain")
	const n = 8
	body := func(i int) string { return strings.Repeat(strconv.Itoa(i), 100_000) }
	got := make([]answer, n)
	var all sync.WaitGroup
	for i := range n {
		h, b := form(t, part{"file", "text/plain", body(i)})
		all.Go(func() {
			r, err := http.NewRequest("POST", s.URL+a.PostRequest.Action, b)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header = h
			resp, err := s.Client().Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			text, _ := io.ReadAll(resp.Body)
			got[i] = answer{resp.StatusCode, resp.Header, string(text)}
		})
	}
	all.Wait()
	winner := -1
	for i, g := range got {
		switch {
		case g.status == 200 && winner < 0:
			winner = i
		case g.status != 409 || g.code() != 109:
			t.Errorf("upload %d: %d %s", i, g.status, g.body)
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	if read := s.do(t, "GET", a.Asset.URL, nil, nil); read.body != body(winner) {
		t.Errorf("%d won and %.1q is read", winner, read.body)
	}
	if left := s.stored(t); len(left) != 1 {
		t.Errorf("stored are %d files", len(left))
	}
}

// dial opens a connection of its own, to send what no client sends.
func (s *site) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// until waits for cond without a guess how long that takes.
func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not %s after 30 s", what)
		}
	}
}

// A client that goes away in the middle leaves nothing, and the file can be sent again.
func TestUpload_BrokenOffLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	a := s.announce(t, "a.txt", "text/plain")
	for _, head := range []string{
		"PUT " + a.PostRequest.Action + " HTTP/1.1\r\nHost: x\r\nX-Skygear-Api-Key: " + doortest.APIKey + "\r\nContent-Type: text/plain\r\nContent-Length: 900000\r\n\r\n",
		"PUT " + a.PostRequest.Action + " HTTP/1.1\r\nHost: x\r\nX-Skygear-Api-Key: " + doortest.APIKey + "\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
		"POST " + a.PostRequest.Action + " HTTP/1.1\r\nHost: x\r\nX-Skygear-Api-Key: " + doortest.APIKey + "\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 900000\r\n\r\n" +
			"--b\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Type: text/plain\r\n\r\n",
	} {
		c := s.dial(t)
		if _, err := io.WriteString(c, head+strings.Repeat("x", 100_000)); err != nil {
			t.Fatal(err)
		}
		until(t, "begun", func() bool { return len(s.stored(t)) == 1 })
		if got := s.do(t, "GET", a.Asset.URL, nil, nil); got.status != 404 {
			t.Errorf("half a file is read: %d", got.status)
		}
		_ = c.Close()
		until(t, "cleaned up", func() bool {
			var n int
			err := s.db.Get(t.Context(), &n, "SELECT count(*) FROM app._asset_unused")
			return err == nil && n == 0 && len(s.stored(t)) == 0
		})
	}
	if got := s.post(t, a.PostRequest.Action, "whole"); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// Who sends too slowly is refused, and keeps nothing occupied.
func TestUpload_ASenderMustKeepUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.door.SetPatience(100 * time.Millisecond)
	a := s.announce(t, "a.txt", "text/plain")
	c := s.dial(t)
	if _, err := io.WriteString(c, "PUT "+a.PostRequest.Action+" HTTP/1.1\r\nHost: x\r\nX-Skygear-Api-Key: "+doortest.APIKey+
		"\r\nContent-Type: text/plain\r\nContent-Length: 900000\r\n\r\nand then nothing"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if got := (answer{body: string(body)}); resp.StatusCode != 400 || got.code() != 107 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if left := s.stored(t); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// 129, whatever the client says of the size beforehand.
func TestUpload_TooLargeIsRefusedWhileItComes(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *assets.Config) { c.MaxSize = 100_000 })
	a := s.announce(t, "a.txt", "text/plain")
	send := func(method string, h http.Header, body io.Reader, length int64) answer {
		r, err := http.NewRequestWithContext(t.Context(), method, s.URL+a.PostRequest.Action, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header, r.ContentLength = h, length
		resp, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, _ := io.ReadAll(resp.Body)
		return answer{resp.StatusCode, resp.Header, string(text)}
	}
	raw := func() http.Header {
		return http.Header{"X-Skygear-Api-Key": {doortest.APIKey}, "Content-Type": {"text/plain"}}
	}
	big := strings.Repeat("x", 100_001)
	if got := send("PUT", raw(), strings.NewReader(big), int64(len(big))); got.status != 500 || got.code() != 129 {
		t.Errorf("declared: %d %s", got.status, got.body)
	}
	if got := send("PUT", raw(), io.MultiReader(strings.NewReader(big)), -1); got.code() != 129 {
		t.Errorf("chunked: %d %s", got.status, got.body)
	}
	if got := s.post(t, a.PostRequest.Action, big); got.code() != 129 {
		t.Errorf("as a form: %d %s", got.status, got.body)
	}
	h, b := form(t, part{"k", "-", strings.Repeat("x", 2<<20)}, part{"file", "text/plain", "x"})
	if got := send("POST", h, b, -1); got.code() != 129 {
		t.Errorf("extra fields without end: %d %s", got.status, got.body)
	}
	if left := s.stored(t); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if got := s.post(t, a.PostRequest.Action, big[:100_000]); got.status != 200 {
		t.Errorf("the largest: %d %s", got.status, got.body)
	}
}

// zeros is a file without end that costs nothing.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// discarding is a store that counts and forgets, so that a gibibyte takes a second.
type discarding struct{ assets.Store }

func (discarding) Write(_ context.Context, _ string, r io.Reader) (int64, error) {
	return io.Copy(io.Discard, r)
}

// A gibibyte passes through without being kept in memory.
func TestUpload_AGibibyteTakesNoMemory(t *testing.T) { //nolint:paralleltest // it looks at the whole process's memory
	const size = 1 << 30
	s := newSite(t, func(c *assets.Config) { c.MaxSize, c.Store = size, discarding{c.Store} })
	a := s.announce(t, "a.bin", "application/octet-stream")
	h := http.Header{"X-Skygear-Api-Key": {doortest.APIKey}, "Content-Type": {"application/octet-stream"}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := s.do(t, "PUT", a.PostRequest.Action, h, io.LimitReader(zeros{}, size))
	runtime.ReadMemStats(&after)
	if got.status != 200 || s.size(t, a.Asset.Name) != size {
		t.Fatalf("%d %s", got.status, got.body)
	}
	// All that was ever allocated, freed or not, here and in the client.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 32<<20 {
		t.Errorf("it took %d MiB", grown>>20)
	}
}

// A form is taken apart as it comes.
func TestUpload_ALargeFormTakesNoMemory(t *testing.T) { //nolint:paralleltest // it looks at the whole process's memory
	const size = 64 << 20
	s := newSite(t, func(c *assets.Config) { c.MaxSize, c.Store = size, discarding{c.Store} })
	a := s.announce(t, "a.bin", "application/octet-stream")
	head := strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"file\"\r\nContent-Type: application/octet-stream\r\n\r\n")
	h := http.Header{"X-Skygear-Api-Key": {doortest.APIKey}, "Content-Type": {"multipart/form-data; boundary=b"}}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got := s.do(t, "POST", a.PostRequest.Action, h, io.MultiReader(head, io.LimitReader(zeros{}, size), strings.NewReader("\r\n--b--\r\n")))
	runtime.ReadMemStats(&after)
	if got.status != 200 || s.size(t, a.Asset.Name) != size {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20 {
		t.Errorf("it took %d MiB", grown>>20)
	}
}

// An upload has more time than other requests, and a body larger than theirs.
func TestUpload_IsNotUnderTheLimitsOfOtherRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	a := s.upload(t, "a.txt", "text/plain", strings.Repeat("x", 1<<17)) // the stack's limit is 1 << 16
	if got := s.do(t, "GET", a.Asset.URL, nil, nil); len(got.body) != 1<<17 {
		t.Errorf("%d bytes", len(got.body))
	}
}

// A client that waits for permission to send is refused before it has sent anything.
func TestUpload_RefusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	a := s.upload(t, "a.txt", "text/plain", "hello")
	for key, want := range map[string]int{"wrong": 401, doortest.APIKey: 409} {
		c := s.dial(t)
		_, err := io.WriteString(c, "PUT "+a.PostRequest.Action+" HTTP/1.1\r\nHost: x\r\nX-Skygear-Api-Key: "+key+
			"\r\nContent-Type: text/plain\r\nContent-Length: 900000\r\nExpect: 100-continue\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d, want %d", resp.StatusCode, want)
		}
	}
}

// No path leads to anything but assets.
func TestRead_PathsDoNotEscape(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *assets.Config) { c.Public = true })
	s.upload(t, "a.txt", "text/plain", "hello")
	uploaded := s.stored(t)[0]
	if err := os.WriteFile(filepath.Join(s.dir, "keys.json"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Rows as a database from elsewhere may have them.
	for _, id := range []string{"../keys.json", "keys.json", "incoming", "incoming/x", "/keys.json", "link", "inner", "folder"} {
		if _, err := s.db.Exec(t.Context(), "INSERT INTO app._asset (id, content_type, size) VALUES ($1, 'text/plain', 6)", id); err != nil {
			t.Fatal(err)
		}
	}
	inner, err := filepath.Rel(filepath.Join(s.dir, "files"), uploaded)
	if err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": "../keys.json", "inner": inner} {
		if err := os.Symlink(to, filepath.Join(s.dir, "files", link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.dir, "files", "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"", "..", "../keys.json", "%2e%2e/keys.json", "..%2fkeys.json", "%2e%2e%2fkeys.json", "x/../../keys.json", ".+./keys.json", "//keys.json", "./keys.json",
		"incoming", "incoming/x", "link", "inner", "folder", "..%5ckeys.json", "%00", "a%00b", "%ff", "....//keys.json",
	} {
		c := s.dial(t)
		if _, err := io.WriteString(c, "GET /files/"+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode < 400 || resp.StatusCode >= 500 || bytes.Contains(body, []byte("secret")) {
			t.Errorf("%q: %d %s", path, resp.StatusCode, body)
		}
	}
}
