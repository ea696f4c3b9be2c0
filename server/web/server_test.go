package web_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"

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
