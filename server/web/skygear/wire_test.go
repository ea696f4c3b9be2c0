package skygear_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"crema/server/base/pg"
	"crema/server/core/functions"
	"crema/server/core/records"
	"crema/server/core/relations"
	"crema/server/core/schema"
	"crema/server/core/users"
	"crema/server/testkit"
	"crema/server/web"
	"crema/server/web/skygear"
)

const (
	apiKey    = "client-key"
	masterKey = "master-key"
)

// server is one server of an app on a database of the test's own.
type server struct {
	t      testing.TB
	db     *pg.DB
	people *people
	url    string
}

// people are accounts whose access token is their id.
type people struct {
	db    *pg.DB
	mu    sync.Mutex
	roles map[string][]string
}

func (p *people) Ensure(ctx context.Context, id string) error {
	_, err := p.db.Exec(ctx, "INSERT INTO app._auth (id) VALUES ($1) ON CONFLICT DO NOTHING", id)
	return err
}

func (p *people) Session(ctx context.Context, token string) (users.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	roles := p.roles[token]
	return users.Session{UserID: token, Roles: roles, Admin: slices.Contains(roles, "Admin")}, p.Ensure(ctx, token)
}

func (p *people) CheckUser(context.Context, string) error   { return nil }
func (p *people) RequireUser(context.Context, string) error { return nil }

// give says which roles an account has.
func (s *server) give(id string, roles ...string) {
	s.people.mu.Lock()
	defer s.people.mu.Unlock()
	s.people.roles[id] = roles
}

func newServer(t testing.TB) *server { return serverOn(t, testkit.DB(t), true) }

func serverOn(t testing.TB, db *pg.DB, devMode bool) *server {
	t.Helper()
	fns, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	own := schema.New(db)
	recs := records.New(records.Config{DB: db, Schema: own, DevMode: devMode})
	s := &server{t: t, db: db, people: &people{db: db, roles: map[string][]string{}}}
	h := httptest.NewServer(skygear.New(skygear.Config{
		Gate: web.NewGate(apiKey, masterKey, s.people), Schema: own, Functions: fns, DevMode: devMode, MaxBody: 1 << 20,
		Records: recs, Relations: relations.New(db, recs),
		Users: users.New(users.Config{DB: db, Records: recs, Schema: own, HashCost: 4}),
	}))
	t.Cleanup(h.Close)
	s.url = h.URL
	return s
}

// credentials puts into a body what who shows: "none" no key, "nobody" the client key, "master" the
// master key, "master as X" the same for a user, "keyless X" a token alone, else a user's token.
func credentials(who string, body map[string]any) {
	if _, ok := body["api_key"]; !ok && who != "none" && !strings.HasPrefix(who, "keyless ") {
		body["api_key"] = apiKey
	}
	user, isMaster := strings.CutPrefix(who, "master as ")
	switch {
	case who == "none" || who == "nobody":
	case who == "master":
		body["api_key"] = masterKey
	case isMaster:
		body["api_key"], body["_user_id"] = masterKey, user
	default:
		body["access_token"] = strings.TrimPrefix(who, "keyless ")
	}
}

// ask sends an action and returns the status and the text of the answer.
func (s *server) ask(who, action, params string) (int, string) {
	s.t.Helper()
	body := map[string]any{}
	if err := json.Unmarshal([]byte("{"+params+"}"), &body); err != nil {
		s.t.Fatalf("%s: %v", params, err)
	}
	credentials(who, body)
	raw, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	path := "/" + strings.ReplaceAll(action, ":", "/")
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if got := res.Header.Get("Content-Type"); got != "application/json" {
		s.t.Errorf("%s: content type %q", action, got)
	}
	return res.StatusCode, string(answer)
}

// want compares an answer. In the wanted JSON the text "…" stands for any value, the key "…" for any
// further keys, and numbers of the form "~1234" for values within one percent.
func (s *server) want(who, action, params string, status int, want string) {
	s.t.Helper()
	gotStatus, got := s.ask(who, action, params)
	if gotStatus != status || !alike(s.t, got, want) {
		s.t.Errorf("%s %s {%s}\ngot %d %s\nwant %d %s", who, action, params, gotStatus, got, status, want)
	}
}

// do is want for preparations: no part of the answer may be an error.
func (s *server) do(who, action, params string) {
	s.t.Helper()
	if status, got := s.ask(who, action, params); status != http.StatusOK || strings.Contains(got, `"error"`) {
		s.t.Fatalf("%s %s {%s}\ngot %d %s", who, action, params, status, got)
	}
}

// errorOf is an error envelope with these facts.
func errorOf(name string, code int, info string) string {
	if info != "" {
		info = `,"info":` + info
	}
	return fmt.Sprintf(`{"error":{"name":%q,"code":%d,"message":"…"%s}}`, name, code, info)
}

// arguments is the error envelope of a wrong argument.
func arguments(names ...string) string {
	list, _ := json.Marshal(names)
	return errorOf("InvalidArgument", 108, `{"arguments":`+string(list)+`}`)
}

func alike(t testing.TB, got, want string) bool {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Errorf("the answer is not JSON: %q", got)
		return false
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	return matches(g, w)
}

func matches(got, want any) bool {
	switch w := want.(type) {
	case string:
		if near, ok := strings.CutPrefix(w, "~"); ok {
			return isNear(got, near)
		}
		return w == "…" && got != nil || got == want
	case []any:
		g, ok := got.([]any)
		return ok && slices.EqualFunc(g, w, matches)
	case map[string]any:
		g, ok := got.(map[string]any)
		w = maps.Clone(w)
		_, open := w["…"]
		delete(w, "…")
		for key, v := range w {
			if _, there := g[key]; !there || !matches(g[key], v) {
				return false
			}
		}
		return ok && (open || len(g) == len(w))
	}
	return got == want
}

func isNear(got any, want string) bool {
	var w float64
	_, err := fmt.Sscan(want, &w)
	g, ok := got.(float64)
	return err == nil && ok && g >= w*0.99 && g <= w*1.01
}

// TestGolden plays the transcripts of testdata/golden: exchanges with an empty line between them, each a
// line "who action", the parameters, a line "< status" and the wanted answer.
func TestGolden(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			s := newServer(t)
			s.give("A1", "Admin")
			if strings.Contains(string(text), `"geo"`) {
				s.needPostGIS()
			}
			for exchange := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
				s.play(exchange)
			}
		})
	}
}

// play runs one exchange of a transcript.
func (s *server) play(exchange string) {
	s.t.Helper()
	exchange = strings.TrimSpace(exchange)
	for strings.HasPrefix(exchange, "#") { // comments
		_, exchange, _ = strings.Cut(exchange, "\n")
	}
	if exchange == "" {
		return
	}
	head, rest, _ := strings.Cut(exchange, "\n")
	i := strings.LastIndex(head, " ")
	who, action := head[:i], head[i+1:]
	params, answer, found := strings.Cut(rest, "\n< ")
	if !found {
		s.t.Fatalf("no answer in %q", exchange)
	}
	params = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(params), "{"), "}")
	statusText, want, _ := strings.Cut(answer, "\n")
	var status int
	if _, err := fmt.Sscan(statusText, &status); err != nil {
		s.t.Fatalf("no status in %q", exchange)
	}
	s.want(who, action, params, status, want)
}
