package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/app"
	"crema/server/base/config"
	"crema/server/base/telemetry"
	"crema/server/testkit"
)

// output is a log that is written and read at the same time.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// A client that never ends its request uses up the time of the requests, and nothing of the database's.
func TestStop_ASlowClientDoesNotCostTheDatabaseItsOrderlyEnd(t *testing.T) {
	t.Parallel()
	env := map[string]string{"HOST": "127.0.0.1:0"}
	c, err := config.Open(testkit.AppDir(t), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	var out output
	log := telemetry.NewLogger(&out, slog.LevelInfo, "text")
	a, err := app.Start(context.Background(), c, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get(a.URL() + "/healthz"); err != nil { // by now the first request is being read
		t.Error(err)
	} else {
		_ = resp.Body.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	a.Stop(ctx)
	if text := out.String(); !strings.Contains(text, "requests were cut off") || strings.Contains(text, "did not stop in order") ||
		strings.Contains(text, "still running") {
		t.Errorf("the log says:\n%s", text)
	}
}
