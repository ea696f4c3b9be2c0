package web

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/core/acl"
)

const (
	headerTimeout  = 10 * time.Second
	requestTimeout = 2 * time.Minute
	idleTimeout    = 2 * time.Minute
	pingTimeout    = time.Second
	maxHeaderBytes = 64 << 10
)

// NewServer returns a server whose limits keep slow and huge requests from holding it. Answers have no
// time limit, because a large file may take long; StackConfig.Timeout bounds the wait for their start.
func NewServer(addr string, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Addr: addr, Handler: h,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, DisableGeneralOptionsHandler: true, // "OPTIONS *" gets our headers too
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// Health answers 200 {"status":"ok"} when ping succeeds within a second, else 503
// {"status":"unavailable"}. It needs no credentials and says nothing more.
func Health(ping func(context.Context) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- ping(ctx) }() // a ping that ignores its context must not hold the answer
		var err error
		select {
		case err = <-done:
		case <-ctx.Done():
			err = ctx.Err()
		}
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			slog.WarnContext(r.Context(), "the database does not answer", "error", err)
			WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "unavailable"})
			return
		}
		WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
}

// MetricsPage serves m to a direct connection from this machine and to the master key; others get 403.
func MetricsPage(m *telemetry.Metrics, g *Gate) http.Handler {
	page := m.Handler()
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		if err := g.operator(r); err != nil {
			return err
		}
		page.ServeHTTP(w, r)
		return nil
	})
}

// Report answers with what report returns as JSON, 200 when all is well and 503 when not, to a direct
// connection from this machine and to the master key; others get 403.
func Report(g *Gate, report func(context.Context) (body any, well bool, err error)) http.Handler {
	return Handler(func(w http.ResponseWriter, r *http.Request) error {
		if err := g.operator(r); err != nil {
			return err
		}
		body, well, err := report(r.Context())
		if err != nil {
			return err
		}
		status := http.StatusOK
		if !well {
			status = http.StatusServiceUnavailable
		}
		w.Header().Set("Cache-Control", "no-store")
		WriteJSON(w, status, body)
		return nil
	})
}

// operator refuses whoever is neither on this machine nor holds the master key.
func (g *Gate) operator(r *http.Request) error {
	if local(r) {
		return nil
	}
	kind, err := g.Key(g.Credentials(r))
	if err == nil && kind != acl.MasterKey {
		err = fault.New(fault.Denied, "web.operator_only", "this page is for this machine and for the master key in X-Skygear-Api-Key")
	}
	return err
}
