package s3test

import (
	"bytes"
	"crema/server/testkit"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// shop is the built server with the gateway behind it.
type shop struct {
	*testkit.Server
	t *testing.T
}

func open(t *testing.T, g *gateway) shop {
	t.Helper()
	env := append(g.env(bucket, secretKey), "DATABASE_URL="+testkit.EmptyDatabaseURL(t), "ASSET_STORE_MAX=33554432")
	return shop{testkit.StartServer(t, testkit.AppDir(t), env...), t}
}

func (s shop) do(method, path string, header http.Header, body io.Reader) (int, http.Header, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("X-Skygear-Api-Key", s.APIKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

// announce returns where a new file goes and where it is read.
func (s shop) announce() (action, read string) {
	s.t.Helper()
	var a struct {
		Result struct {
			Asset struct {
				URL string `json:"$url"`
			}
			PostRequest struct{ Action string } `json:"post-request"`
		}
	}
	_, _, text := s.do("POST", "/asset/put", nil, strings.NewReader(`{"filename":"a b.bin","content-type":"image/png","content-size":1}`))
	if err := json.Unmarshal([]byte(text), &a); err != nil || a.Result.Asset.URL == "" {
		s.t.Fatal(text)
	}
	_, name, _ := strings.Cut(a.Result.Asset.URL, "/files/")
	return a.Result.PostRequest.Action, "/files/" + name
}

func (s shop) put(action string, body []byte) (int, string) {
	s.t.Helper()
	status, _, text := s.do("PUT", action, http.Header{"Content-Type": {"image/png"}}, bytes.NewReader(body))
	return status, text
}

func TestServer_FilesGoUpAndDown(t *testing.T) {
	t.Parallel()
	g := start(t)
	s := open(t, g)
	body := bytes.Repeat([]byte("0123456789"), 2<<20) // three parts
	action, read := s.announce()
	if status, _, _ := s.do("GET", read, nil, nil); status != 404 {
		t.Errorf("before the upload: %d", status)
	}
	if status, text := s.put(action, body); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	status, h, got := s.do("GET", read, nil, nil)
	if status != 200 || got != string(body) || h.Get("Content-Type") != "image/png" || h.Get("Last-Modified") == "" {
		t.Errorf("%d %v, %d bytes", status, h, len(got))
	}
	status, h, got = s.do("GET", read, http.Header{"Range": {"bytes=15-24"}}, nil)
	if status != 206 || got != "5678901234" || h.Get("Content-Range") != "bytes 15-24/20971520" {
		t.Errorf("%d %v %q", status, h, got)
	}
	if status, _, got = s.do("GET", read, http.Header{"Range": {"bytes=-3"}}, nil); status != 206 || got != "789" {
		t.Errorf("%d %q", status, got)
	}
	if status, _, _ = s.do("GET", read, http.Header{"If-None-Match": {h.Get("Etag")}}, nil); status != 304 {
		t.Errorf("with the tag: %d", status)
	}
	if status, text := s.put(action, []byte("again")); status != 409 {
		t.Errorf("a second upload: %d %s", status, text)
	}
}

func TestServer_UploadsThatDoNotEndLeaveNothing(t *testing.T) {
	t.Parallel()
	g := start(t)
	s := open(t, g)
	action, read := s.announce()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	head := "PUT " + action + " HTTP/1.1\r\nHost: x\r\nX-Skygear-Api-Key: " + s.APIKey + "\r\nContent-Type: image/png\r\nContent-Length: 30000000\r\n\r\n"
	if _, err := c.Write(append([]byte(head), make([]byte, 10<<20)...)); err != nil { // the first part and some of the second
		t.Fatal(err)
	}
	wait(t, "the first part is stored", func() bool { return g.unfinished(t) > 0 })
	_ = c.Close()
	wait(t, "the upload is gone", func() bool { return g.unfinished(t) == 0 })
	if status, text := s.put(action, make([]byte, 33<<20)); status != 500 || !strings.Contains(text, "129") {
		t.Errorf("too large: %d %s", status, text)
	}
	wait(t, "that one is gone too", func() bool { return g.unfinished(t) == 0 })
	if status, _, _ := s.do("GET", read, nil, nil); status != 404 {
		t.Errorf("something can be read: %d", status)
	}
	if status, text := s.put(action, []byte("all of it")); status != 200 {
		t.Errorf("%d %s", status, text)
	}
}

func TestServer_LivesWithoutTheStoreAndRefusesAWrongOne(t *testing.T) {
	t.Parallel()
	g := start(t)
	s := open(t, g)
	action, _ := s.announce()
	g.exit()
	if status, text := s.put(action, []byte("x")); status != 503 {
		t.Errorf("the store is away: %d %s", status, text)
	}
	if s = open(t, g); !strings.Contains(s.Log(), "the store of files does not answer") {
		t.Errorf("the log says nothing of it:\n%s", s.Log())
	}
	g = start(t)
	for says, env := range map[string][]string{"ASSET_STORE_BUCKET": g.env("another", secretKey), "refuses our keys": g.env(bucket, "another")} {
		env = append(env, "HOST=127.0.0.1:0", "DATABASE_URL="+testkit.EmptyDatabaseURL(t))
		if out, code := testkit.Run(t, testkit.AppDir(t), env, "serve"); code == 0 || !strings.Contains(out, says) || strings.Contains(out, secretKey) {
			t.Errorf("exit code %d: %s", code, out)
		}
	}
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
