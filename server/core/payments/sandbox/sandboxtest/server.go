package sandboxtest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/core/payments/sandbox"
)

// The keys of every sandbox that Start makes.
const (
	SecretKey      = "sk_test_sandboxtest0001"
	PublishableKey = "pk_test_sandboxtest0001"
	AdminToken     = "admin-of-the-sandbox"
)

// Server is a sandbox that listens.
type Server struct {
	URL     string
	Sandbox *sandbox.Sandbox
	Clock   *Clock
}

// Clock is the sandbox's clock: the real time and what Advance added.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
}

// Now returns the sandbox's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Advance moves the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// Start opens a sandbox on db, serves it, and stops it when the test ends. wrap, around the API without
// the pages, may be nil. Webhooks are written down, and delivered after Deliver.
func Start(t testing.TB, db *pg.DB, wrap func(http.Handler) http.Handler) *Server {
	t.Helper()
	clock := &Clock{}
	s, err := sandbox.New(t.Context(), sandbox.Config{
		DB: db, Now: clock.Now, SecretKey: SecretKey, PublishableKey: PublishableKey, AdminToken: AdminToken,
		Retries: []time.Duration{20 * time.Millisecond, 40 * time.Millisecond, 60 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := s.API()
	if wrap != nil {
		h = wrap(h)
	}
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.Handle("/_stripe/", s.Browser())
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return &Server{URL: server.URL, Sandbox: s, Clock: clock}
}

// Deliver starts the courier until the test ends.
func (s *Server) Deliver(t testing.TB) {
	t.Helper()
	s.Sandbox.Start(t.Context())
	t.Cleanup(func() { _ = s.Sandbox.Stop(context.Background()) }) // the test's own context has ended
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Raw    []byte
	Body   map[string]any
}

// Do sends one request. The form goes to the body of a POST and else to the query. Headers are pairs;
// "Authorization" replaces the secret key.
func (s *Server) Do(t testing.TB, method, path, form string, headers ...string) Answer {
	t.Helper()
	a, err := s.try(t, method, path, form, headers)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Fails sends one request whose connection must be cut.
func (s *Server) Fails(t testing.TB, method, path, form string, headers ...string) {
	t.Helper()
	if a, err := s.try(t, method, path, form, headers); err == nil {
		t.Errorf("%s %s: got %d, want a broken connection", method, path, a.Status)
	}
}

func (s *Server) try(t testing.TB, method, path, form string, headers []string) (Answer, error) {
	t.Helper()
	url, body := s.URL+path, ""
	if method == http.MethodPost {
		body = form
	} else if form != "" {
		url += "?" + form
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+SecretKey)
	r.Header.Set("Stripe-Version", "2023-10-16")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	a := Answer{Status: res.StatusCode, Header: res.Header}
	if a.Raw, err = io.ReadAll(res.Body); err != nil {
		return a, err
	}
	d := json.NewDecoder(strings.NewReader(string(a.Raw)))
	d.UseNumber()
	if err := d.Decode(&a.Body); err != nil && res.StatusCode != http.StatusNoContent {
		t.Errorf("%s %s: the answer is not JSON: %.200s", method, path, a.Raw)
	}
	return a, nil
}

// At follows a dotted path ("error.code", "data.0.id"); nil when it leads nowhere.
func (a Answer) At(path string) any {
	var v any = a.Body
	for part := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[part]
		case []any:
			v = nil
			if i := int(part[0] - '0'); i < len(node) {
				v = node[i]
			}
		default:
			return nil
		}
	}
	return v
}

// Text is At as a text; "" for everything else.
func (a Answer) Text(path string) string {
	s, _ := a.At(path).(string)
	return s
}

// Int is At as a whole number; -1 for everything else.
func (a Answer) Int(path string) int64 {
	n, ok := a.At(path).(json.Number)
	i, err := n.Int64()
	if !ok || err != nil {
		return -1
	}
	return i
}

// OK fails the test unless the status is 200.
func (a Answer) OK(t testing.TB) Answer {
	t.Helper()
	if a.Status != http.StatusOK {
		t.Fatalf("got %d, want 200: %s", a.Status, a.Raw)
	}
	return a
}

// Refused fails the test unless the answer is this error.
func (a Answer) Refused(t testing.TB, status int, kind, code, decline, param string) Answer {
	t.Helper()
	got := [4]string{a.Text("error.type"), a.Text("error.code"), a.Text("error.decline_code"), a.Text("error.param")}
	want := [4]string{kind, code, decline, param}
	if a.Status != status || got != want {
		t.Errorf("got %d %q, want %d %q: %s", a.Status, got, status, want, a.Raw)
	}
	if a.Text("error.message") == "" {
		t.Errorf("the error has no message: %s", a.Raw)
	}
	return a
}

// Charge makes a charge of 1000 usd cents, and of further parameters ("&capture=false").
func (s *Server) Charge(t testing.TB, source, more string, headers ...string) Answer {
	t.Helper()
	return s.Do(t, http.MethodPost, "/v1/charges", "amount=1000&currency=usd&source="+source+more, headers...)
}
