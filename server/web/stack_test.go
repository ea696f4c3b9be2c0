package web_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/web"
)

// logged is a log that a test can read.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) text(log *slog.Logger) string {
	telemetry.Flush(log)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

type site struct {
	*httptest.Server
	out     logged
	log     *slog.Logger
	metrics *telemetry.Metrics
}

// newSite serves h behind the stack; change edits the configuration first.
func newSite(t *testing.T, h http.Handler, change func(*web.StackConfig)) *site {
	t.Helper()
	s := &site{metrics: telemetry.NewMetrics()}
	s.log = telemetry.NewLogger(&s.out, slog.LevelDebug, "text")
	c := web.StackConfig{Log: s.log, Metrics: s.metrics, CORSHost: "*", MaxBody: 1 << 20, Timeout: time.Minute}
	if change != nil {
		change(&c)
	}
	s.Server = httptest.NewServer(web.Stack(c)(h))
	t.Cleanup(s.Close)
	return s
}

func (s *site) do(t *testing.T, method, path string, header http.Header, body io.Reader) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func text(s string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
}

func TestStack_GivesEveryRequestAnID(t *testing.T) {
	t.Parallel()
	var seen string
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = telemetry.RequestID(r.Context()) })
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	uuid := regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	for _, c := range []struct {
		name, given string
		proxies     []netip.Prefix
		honoured    bool
	}{
		{"none", "", loopback, false},
		{"from a client", "given-id-1", nil, false},
		{"from a proxy", "given-id-1", loopback, true},
		{"forged line", "given-id-1 level=ERROR", loopback, false},
		{"too long", strings.Repeat("a", 65), loopback, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, h, func(sc *web.StackConfig) { sc.TrustedProxies = c.proxies })
			resp, _ := s.do(t, "GET", "/", http.Header{"X-Request-Id": {c.given}}, nil)
			got := resp.Header.Get("X-Skygear-Request-Id")
			if got != seen || (got == c.given) != c.honoured || (!c.honoured && !uuid.MatchString(got)) {
				t.Errorf("given %q, sent %q, context %q", c.given, got, seen)
			}
		})
	}
}

func TestStack_CORS(t *testing.T) {
	t.Parallel()
	refuse := web.Handler(func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.NotFound, "test.missing", "nothing here")
	})
	s := newSite(t, refuse, func(c *web.StackConfig) { c.CORSHost = "https://shop.example" })
	ask := http.Header{"Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"x-skygear-api-key, content-type"}}
	for _, c := range []struct {
		method string
		status int
		body   bool
	}{{"GET", 404, true}, {"OPTIONS", 200, false}} {
		resp, body := s.do(t, c.method, "/any/path", ask, nil)
		h := resp.Header
		if resp.StatusCode != c.status || (body != "") != c.body {
			t.Errorf("%s: %d %q", c.method, resp.StatusCode, body)
		}
		for k, want := range map[string]string{
			"Access-Control-Allow-Origin": "https://shop.example", "Access-Control-Allow-Credentials": "true",
			"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "x-skygear-api-key, content-type",
		} {
			if h.Get(k) != want {
				t.Errorf("%s: %s = %q", c.method, k, h.Get(k))
			}
		}
	}
	off := newSite(t, refuse, func(c *web.StackConfig) { c.CORSHost = "" })
	if resp, _ := off.do(t, "OPTIONS", "/", ask, nil); resp.StatusCode != 404 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("switched off: %d %v", resp.StatusCode, resp.Header)
	}
}

func TestStack_AnswersForAPanic(t *testing.T) {
	t.Parallel()
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/late" {
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
		}
		if r.URL.Path == "/abort" {
			panic(http.ErrAbortHandler)
		}
		panic("boom sk_test_secretsecret")
	}), nil)
	resp, body := s.do(t, "GET", "/early", nil, nil)
	if resp.StatusCode != 500 || !strings.Contains(body, `"code":10000`) || !strings.Contains(body, resp.Header.Get("X-Skygear-Request-Id")) || strings.Contains(body, "boom") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if log := s.out.text(s.log); !strings.Contains(log, "stack_test.go") || !strings.Contains(log, "boom") || strings.Contains(log, "secretsecret") {
		t.Errorf("log: %s", log)
	}
	for _, path := range []string{"/late", "/abort"} {
		resp, err := s.Client().Get(s.URL + path)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: the client takes a cut answer for a whole one", path)
		}
	}
	if resp, _ := s.do(t, "GET", "/early", nil, nil); resp.StatusCode != 500 {
		t.Errorf("the server is gone: %d", resp.StatusCode)
	}
}

func TestStack_DeadlineAnswersForAHandlerThatDoesNot(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/minds":
			<-r.Context().Done()
			web.WriteError(w, r, r.Context().Err())
		case "/deaf": // and busy with the header map all the while
			for i := 0; ; i++ {
				select {
				case <-stop:
					_, err := io.WriteString(w, "too late")
					if !errors.Is(err, http.ErrHandlerTimeout) {
						t.Errorf("a late write: %v", err)
					}
					return
				default:
					w.Header().Set("X-Busy", fmt.Sprint(i))
				}
			}
		case "/streams":
			_, _ = io.WriteString(w, "first,")
			<-r.Context().Done()
			<-time.After(600 * time.Millisecond)
			_, _ = io.WriteString(w, "last")
		}
	}), func(c *web.StackConfig) { c.Timeout = 50 * time.Millisecond })
	t.Run("all", func(t *testing.T) {
		for path, want := range map[string]string{"/minds": `"code":122`, "/deaf": `"code":122`, "/streams": "first,last"} {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				resp, body := s.do(t, "GET", path, nil, nil)
				if !strings.Contains(body, want) {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				if path != "/streams" && (resp.StatusCode != 503 || resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Content-Type") != "application/json") {
					t.Errorf("%d %v", resp.StatusCode, resp.Header)
				}
			})
		}
	})
	close(stop)
}

func TestStack_DeadlineAndHandlerAtTheSameMoment(t *testing.T) {
	t.Parallel()
	const timeout, grace = 10 * time.Millisecond, 500 * time.Millisecond
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(timeout + grace)
		w.Header().Set("X-Late", "1")
	}), func(c *web.StackConfig) { c.Timeout = timeout })
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			resp, err := s.Client().Get(s.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || (resp.StatusCode == 200) != (len(body) == 0) || (resp.StatusCode != 200 && resp.StatusCode != 503) {
				t.Errorf("%d %q %v", resp.StatusCode, body, err)
			}
		})
	}
	wg.Wait()
}

func TestStack_NoDeadlineForAnUpgradedConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		select {
		case <-r.Context().Done():
			fmt.Fprint(rw, "cut off")
		case <-time.After(600 * time.Millisecond): // the deadline and its grace
			fmt.Fprint(rw, "still here")
		}
		_ = rw.Flush()
	}), func(c *web.StackConfig) { c.Timeout = 10 * time.Millisecond })
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if got, err := io.ReadAll(conn); err != nil || string(got) != "still here" {
		t.Errorf("%q %v", got, err)
	}
}

func TestStack_RefusesLargeBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t, web.Handler(func(w http.ResponseWriter, r *http.Request) error {
		b, err := web.ReadBody(w, r, 4<<20)
		if err == nil {
			web.WriteJSON(w, 200, len(b))
		}
		return err
	}), nil)
	big := bytes.Repeat([]byte("x"), 10<<20)
	for name, body := range map[string]io.Reader{
		"declared": bytes.NewReader(big),
		"chunked":  io.MultiReader(bytes.NewReader(big)),
	} {
		resp, got := s.do(t, "POST", "/", nil, body)
		if resp.StatusCode != 413 || !strings.Contains(got, `"code":107`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, got)
		}
	}
	if resp, got := s.do(t, "POST", "/", nil, strings.NewReader("small")); resp.StatusCode != 200 || got != "5\n" {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	// A client that reads only after it has sent everything, as Python's does.
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", len(big))
	if _, err := conn.Write(big); err != nil {
		t.Fatalf("sending: %v", err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 413 {
		t.Errorf("%v %v", resp, err)
	}
}

func TestStack_TellsLogAndMetrics(t *testing.T) {
	t.Parallel()
	r := chi.NewRouter()
	r.Route("/lambda", func(r chi.Router) { r.Post("/{name}", text("ok").ServeHTTP) })
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/lambda") {
			r.ServeHTTP(w, req)
			return
		}
		web.NameRoute(req, "static")
		http.NotFound(w, req)
	})
	s := newSite(t, h, nil)
	s.do(t, "POST", "/lambda/echo?api_key=topsecret", nil, strings.NewReader("{}"))
	s.do(t, "GET", "/nothing", nil, nil)
	s.do(t, "BREW", "/nothing", nil, nil)
	log := s.out.text(s.log)
	if !strings.Contains(log, "method=POST path=/lambda/echo status=200 bytes=2 ") || !strings.Contains(log, "ip=127.0.0.1") ||
		!strings.Contains(log, "request_id=") || strings.Contains(log, "topsecret") {
		t.Errorf("log: %s", log)
	}
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{
		`crema_http_requests_total{method="POST",route="/lambda/{name}",status="200"} 1`,
		`crema_http_requests_total{method="GET",route="static",status="404"} 1`,
		`crema_http_requests_total{method="other",route="static",status="404"} 1`,
		`crema_http_requests_in_flight 0`, `crema_http_request_duration_seconds_count{method="POST",route="/lambda/{name}"} 1`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestStack_ClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct {
		peer, forwarded, want string
		proxies               []netip.Prefix
	}{
		{"192.0.2.1:99", "198.51.100.7", "192.0.2.1", trusted},
		{"10.0.0.1:99", "198.51.100.7", "198.51.100.7", trusted},
		{"10.0.0.1:99", "1.1.1.1, 198.51.100.7, 10.0.0.2", "198.51.100.7", trusted},
		{"10.0.0.1:99", "1.1.1.1, junk, 10.0.0.2", "10.0.0.2", trusted},
		{"[::ffff:10.0.0.1]:99", "198.51.100.7", "198.51.100.7", trusted},
		{"[::1]:99", "2001:db8::1", "2001:db8::1", trusted},
		{"10.0.0.1:99", "", "10.0.0.1", trusted},
		{"10.0.0.1:99", "198.51.100.7", "10.0.0.1", nil},
		{"[2001:db8::9]:1", "", "2001:db8::9", nil},
	} {
		var out bytes.Buffer
		log := telemetry.NewLogger(&out, slog.LevelInfo, "text")
		h := web.Stack(web.StackConfig{Log: log, Metrics: telemetry.NewMetrics(), TrustedProxies: c.proxies})(text("ok"))
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		h.ServeHTTP(httptest.NewRecorder(), r)
		telemetry.Flush(log)
		if !strings.Contains(out.String(), "ip="+c.want+" ") {
			t.Errorf("%s forwarding %q: %s, want %s", c.peer, c.forwarded, out.String(), c.want)
		}
	}
}

func TestStack_PagesMayNotBeFramed(t *testing.T) {
	t.Parallel()
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		if csp := r.URL.Query().Get("csp"); csp != "" {
			w.Header().Set("Content-Security-Policy", csp)
		}
		_, _ = io.WriteString(w, "x")
	}), nil)
	for path, want := range map[string]string{
		"/?type=text/html": "frame-ancestors 'self'", "/?type=text/html&csp=default-src": "default-src",
		"/_stripe/checkout/frame?type=text/html": "", "/?type=image/png": "",
	} {
		resp, _ := s.do(t, "GET", path, nil, nil)
		if got := resp.Header.Get("Content-Security-Policy"); got != want {
			t.Errorf("%s: %q", path, got)
		}
		if resp.Header.Get("X-Content-Type-Options") != "nosniff" || (resp.Header.Get("Referrer-Policy") == "") == strings.Contains(path, "html") {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
}

// fromFile notes whether a copy reaches net/http as a file.
type fromFile struct {
	*httptest.ResponseRecorder
	file bool
}

func (f *fromFile) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		_, f.file = l.R.(*os.File)
	}
	return io.Copy(f.ResponseRecorder, r)
}

func TestStack_LeavesFilesToTheKernel(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.bin")
	if err := os.WriteFile(name, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) })
	f := &fromFile{ResponseRecorder: httptest.NewRecorder()}
	log := slog.New(slog.DiscardHandler)
	web.Stack(web.StackConfig{Log: log, Metrics: telemetry.NewMetrics(), Timeout: time.Minute})(h).ServeHTTP(f, httptest.NewRequest("GET", "/", nil))
	if !f.file || f.Body.String() != "abc" {
		t.Errorf("file %v, body %q", f.file, f.Body)
	}
}

// BenchmarkStack measures what the stack costs a request beyond a bare chi router.
func BenchmarkStack(b *testing.B) {
	router := chi.NewRouter()
	router.Post("/lambda/{name}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	log := telemetry.NewLogger(io.Discard, slog.LevelInfo, "text")
	full := web.StackConfig{Log: log, Metrics: telemetry.NewMetrics(), CORSHost: "*", MaxBody: 1 << 20, Timeout: time.Minute}
	for name, h := range map[string]http.Handler{"bare": router, "stack": web.Stack(full)(router)} {
		b.Run(name, func(b *testing.B) {
			r := httptest.NewRequest("POST", "/lambda/echo", http.NoBody)
			r.ContentLength = 0
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(blank{http.Header{}}, r)
			}
		})
	}
}

type blank struct{ h http.Header }

func (b blank) Header() http.Header         { return b.h }
func (b blank) Write(p []byte) (int, error) { return len(p), nil }
func (b blank) WriteHeader(int)             {}
