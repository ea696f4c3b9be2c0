package web

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
)

// observe gives a request its id, answers for a panic, and tells log and metrics how it went.
func observe(log *slog.Logger, m *telemetry.Metrics, trusted proxies, next http.Handler) http.Handler {
	routes := sync.Pool{New: func() any { return chi.NewRouteContext() }} // reused as chi reuses its own
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		id := trusted.requestID(r, start)
		x := &exchange{ResponseWriter: w, path: r.URL.Path, start: start, id: [1]string{id}}
		x.RequestContext = telemetry.RequestContext{Context: r.Context(), ID: id}
		x.route, _ = routes.Get().(*chi.Context)
		x.route.Reset()
		defer routes.Put(x.route)
		w.Header()["X-Skygear-Request-Id"] = x.id[:]
		m.Begin()
		defer func() {
			if v := recover(); v != nil {
				x.recovered(log, r, v)
			}
			took := time.Since(start)
			m.Observe(methodLabel(r.Method), x.routeLabel(), x.sent(), took)
			telemetry.LogAccess(x, log, telemetry.Access{
				At: start.Add(took), Method: r.Method, Path: loggedPath(r), Status: x.sent(), Bytes: x.bytes, Took: took, IP: trusted.clientIP(r),
				Quiet: r.URL.Path == "/healthz" || r.URL.Path == "/metrics",
			})
		}()
		next.ServeHTTP(x, r.WithContext(x))
	})
}

// recovered answers for a handler that panicked. One that had started to answer is cut off, so that
// the client does not take half an answer for a whole one.
func (x *exchange) recovered(log *slog.Logger, r *http.Request, v any) {
	if v != http.ErrAbortHandler {
		log.ErrorContext(x, "a handler panicked", "panic", fmt.Sprint(v), "path", loggedPath(r), "stack", string(debug.Stack()))
		if x.status == 0 {
			WriteError(x, r.WithContext(x), fault.New(fault.Internal, "web.panic", "an unexpected error occurred"))
			return
		}
	}
	if x.status == 0 && x.begin() {
		x.status = http.StatusInternalServerError // for the log; the client gets nothing
	}
	if conn, _, err := http.NewResponseController(x.ResponseWriter).Hijack(); err == nil {
		_ = conn.Close() // it is being thrown away
	}
}

// maxLogged bounds what one request can put into the log, in bytes of its path.
const maxLogged = 512

func loggedPath(r *http.Request) string {
	if p := r.URL.Path; len(p) > maxLogged {
		return p[:maxLogged] + "..."
	}
	return r.URL.Path
}

// methodLabel bounds the number of labels that a client can make.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// routeLabel is chi's pattern or the name that NameRoute gave.
func (x *exchange) routeLabel() string {
	if p := x.route.RoutePattern(); p != "" {
		return p
	}
	return "none"
}

// requestID is the id that a trusted proxy gave the request, else a new one.
func (p proxies) requestID(r *http.Request, now time.Time) string {
	if v := r.Header["X-Request-Id"]; len(v) == 1 && saneID(v[0]) && p.direct(r) {
		return v[0]
	}
	return newID(now)
}

// newID makes a UUID of version 7, which sorts by time. It names a request and opens nothing, so the
// runtime's own randomness does, which asks neither the kernel nor the clock.
func newID(now time.Time) string {
	var id uuid.UUID
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint64(id[:8], ms<<16|7<<12|rand.Uint64N(1<<12))
	binary.BigEndian.PutUint64(id[8:], 2<<62|rand.Uint64N(1<<62))
	return id.String()
}

// saneID accepts what ids look like and nothing that could forge a line of the log.
func saneID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return len(id) >= 8 && len(id) <= 64
}

// Value implements context.Context: an exchange is its request's context. It brings chi's routing
// context, so that the pattern can be read here after chi has matched it.
func (x *exchange) Value(key any) any {
	if key == chi.RouteCtxKey {
		return x.route
	}
	return x.RequestContext.Value(key)
}

var _ context.Context = (*exchange)(nil)
