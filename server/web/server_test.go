package web_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/web"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	for name, c := range map[string]struct {
		ping   func(context.Context) error
		status int
	}{
		"up":    {func(context.Context) error { return nil }, 200},
		"down":  {func(context.Context) error { return errors.New("refused") }, 503},
		"hangs": {func(context.Context) error { <-hang; return nil }, 503},
	} {
		w := httptest.NewRecorder()
		web.Health(c.ping).ServeHTTP(w, httptest.NewRequest("GET", "/healthz", nil))
		if w.Code != c.status || (w.Body.String() == "{\"status\":\"ok\"}\n") != (c.status == 200) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestMetricsPage(t *testing.T) {
	t.Parallel()
	page := web.MetricsPage(telemetry.NewMetrics(), web.NewGate("client", "master", nil))
	for _, c := range []struct {
		peer, key, forwarded string
		status               int
	}{
		{"127.0.0.1:5", "", "", 200},
		{"[::1]:5", "", "", 200},
		{"127.0.0.1:5", "", "192.0.2.1", 403},
		{"192.0.2.1:5", "", "", 403},
		{"192.0.2.1:5", "client", "", 403},
		{"192.0.2.1:5", "wrong", "", 401},
		{"192.0.2.1:5", "master", "", 200},
	} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Skygear-Api-Key", c.key)
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		w := httptest.NewRecorder()
		page.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%+v: %d", c, w.Code)
		}
	}
}

// net/http answers "OPTIONS *" by itself unless it is told not to.
func TestNewServer_LeavesOptionsToTheStack(t *testing.T) {
	t.Parallel()
	log := slog.New(slog.DiscardHandler)
	stack := web.Stack(web.StackConfig{Log: log, Metrics: telemetry.NewMetrics(), CORSHost: "*"})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := web.NewServer("", stack(http.NotFoundHandler()), log)
	defer server.Close()
	go func() { _ = server.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestStack_AWordInUpgradeIsNoWayAroundTheDeadline(t *testing.T) {
	t.Parallel()
	s := newSite(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	}), func(c *web.StackConfig) { c.Timeout = 10 * time.Millisecond })
	for _, c := range []struct{ method, upgrade string }{{"POST", "websocket"}, {"GET", "h2c"}, {"GET", "x"}} {
		header := http.Header{"Connection": {"Upgrade"}, "Upgrade": {c.upgrade}}
		start := time.Now()
		if s.do(t, c.method, "/", header, nil); time.Since(start) > 5*time.Second {
			t.Errorf("%+v has no deadline", c)
		}
	}
}

// Serial, because what it looks at is the process's own log.
func TestDescribe_LogsWhatIsBrokenAndNotWhatIsNotThere(t *testing.T) {
	was := slog.Default()
	defer slog.SetDefault(was)
	for code, logged := range map[fault.Code]bool{
		fault.Internal: true, fault.DatabaseUnavailable: true, fault.NotSupported: false, fault.NotImplemented: false, fault.Invalid: false,
	} {
		var out bytes.Buffer
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		web.Describe(httptest.NewRequest("GET", "/", http.NoBody), fault.New(code, "test.reason", "no"))
		if text, _ := io.ReadAll(&out); (len(text) > 0) != logged {
			t.Errorf("%v: the log has %q", code, text)
		}
	}
}

func TestStack_LogsTheBeginningOfALongPath(t *testing.T) {
	t.Parallel()
	s := newSite(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("on purpose") }), nil)
	s.do(t, "GET", "/begin"+strings.Repeat("x", 20_000)+"end", nil, nil)
	if text := s.out.text(s.log); !strings.Contains(text, "/beginxx") || strings.Contains(text, "xend") {
		t.Errorf("the log has %d bytes", len(text))
	}
}
