package files_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/pg"
	"crema/server/base/telemetry"
	"crema/server/core/assets"
	"crema/server/core/assets/disk"
	"crema/server/core/functions"
	"crema/server/testkit"
	"crema/server/web"
	"crema/server/web/doortest"
	"crema/server/web/skygear"
	"crema/server/web/skygear/files"
)

const secret = "asset-secret"

// site is the two doors of files behind the whole stack.
type site struct {
	*httptest.Server
	db   *pg.DB
	dir  string
	room *assets.Service
	door *files.Door
}

func newSite(t *testing.T, change func(*assets.Config)) *site {
	t.Helper()
	s := &site{db: testkit.DB(t), dir: t.TempDir()}
	store := disk.New(filepath.Join(s.dir, "files"))
	t.Cleanup(func() { _ = store.Close() })
	c := assets.Config{
		DB: s.db, Store: store, Secret: secret, MaxSize: 1 << 20,
		URLPrefix: func() string { return s.URL + "/files" }, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&c)
	}
	s.room = assets.New(c)
	gate, _ := doortest.New(t)
	fns, err := functions.New(functions.Config{Log: c.Log})
	if err != nil {
		t.Fatal(err)
	}
	r := chi.NewRouter()
	s.door = files.New(s.room, gate)
	s.door.Register(r)
	r.NotFound(skygear.New(skygear.Config{Gate: gate, Functions: fns, Assets: s.room, MaxBody: 1 << 16}).ServeHTTP)
	s.Server = httptest.NewServer(web.Stack(web.StackConfig{
		Log: c.Log, Metrics: telemetry.NewMetrics(), MaxBody: 1 << 16, Timeout: time.Minute, Uploads: files.Uploads,
	})(r))
	t.Cleanup(s.Close)
	return s
}

// answer is a response with its body.
type answer struct {
	status int
	header http.Header
	body   string
}

// code is the wire's number of the error; 0 with none.
func (a answer) code() int {
	var e struct{ Error struct{ Code int } }
	_ = json.Unmarshal([]byte(a.body), &e)
	return e.Error.Code
}

func (s *site) do(t *testing.T, method, target string, header http.Header, body io.Reader) answer {
	t.Helper()
	if strings.HasPrefix(target, "/") {
		target = s.URL + target
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func keyed(key string) http.Header { return http.Header{"X-Skygear-Api-Key": {key}} }

// announced is the result of asset:put.
type announced struct {
	Asset struct {
		Type        string `json:"$type"`
		Name        string `json:"$name"`
		ContentType string `json:"$content_type"`
		URL         string `json:"$url"`
	}
	PostRequest struct{ Action string } `json:"post-request"`
}

func (s *site) announce(t *testing.T, filename, contentType string) announced {
	t.Helper()
	params, err := json.Marshal(map[string]any{"filename": filename, "content-type": contentType, "content-size": 5})
	if err != nil {
		t.Fatal(err)
	}
	a := s.do(t, "POST", "/asset/put", keyed(doortest.APIKey), bytes.NewReader(params))
	var out struct{ Result announced }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || a.status != 200 {
		t.Fatalf("asset:put %q: %d %s", filename, a.status, a.body)
	}
	return out.Result
}

// part is the file of a form; "-" leaves a header out.
type part struct{ name, contentType, body string }

func form(t *testing.T, parts ...part) (http.Header, io.Reader) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="%s"; filename="x"`, p.name)}}
		if p.contentType != "-" {
			h.Set("Content-Type", p.contentType)
		}
		f, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(f, p.body)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	h := keyed(doortest.APIKey)
	h.Set("Content-Type", w.FormDataContentType())
	return h, &b
}

func (s *site) post(t *testing.T, action, body string) answer {
	t.Helper()
	h, b := form(t, part{"k", "-", "extra"}, part{"file", "text/plain", body})
	return s.do(t, "POST", action, h, b)
}

// upload announces a file and sends it, and returns where it is read.
func (s *site) upload(t *testing.T, filename, contentType, body string) announced {
	t.Helper()
	a := s.announce(t, filename, contentType)
	if got := s.post(t, a.PostRequest.Action, body); got.status != 200 {
		t.Fatalf("upload of %q: %d %s", filename, got.status, got.body)
	}
	return a
}

func (s *site) size(t *testing.T, name string) (size int64) {
	t.Helper()
	if err := s.db.Get(t.Context(), &size, "SELECT size FROM app._asset WHERE id = $1", name); err != nil {
		t.Fatal(err)
	}
	return size
}

// stored lists the files of the store.
func (s *site) stored(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(s.dir, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
