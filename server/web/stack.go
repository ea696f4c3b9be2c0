package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/telemetry"
)

// StackConfig says how requests are treated before a door sees them.
type StackConfig struct {
	Log            *slog.Logger
	Metrics        *telemetry.Metrics
	CORSHost       string                   // Access-Control-Allow-Origin, verbatim; "" switches CORS off
	MaxBody        int64                    // bytes; 0 is no limit
	Timeout        time.Duration            // until an answer starts; 0 is no limit
	Uploads        func(*http.Request) bool // whose handler bounds the body and its time itself; nil: none
	TrustedProxies []netip.Prefix           // whose X-Forwarded-For and X-Request-Id count
}

// Stack returns what every request passes, outermost first: observe (request id, access log, metrics,
// panics), headers (those of every answer, CORS), limitBody, deadline. Uploads pass the first two only.
func Stack(c StackConfig) func(http.Handler) http.Handler {
	proxies := proxies(c.TrustedProxies)
	common := commonHeaders(c.CORSHost)
	return func(next http.Handler) http.Handler {
		next = uploads(c.Uploads, next, limitBody(c.MaxBody, limitTime(c.Timeout, common, next)))
		next = headers(common, c.CORSHost != "", next)
		return observe(c.Log, c.Metrics, proxies, next)
	}
}

// NameRoute names the route of a request that no chi pattern matches, for the metrics. The name must
// not depend on what the client sent.
func NameRoute(r *http.Request, name string) {
	if route := chi.RouteContext(r.Context()); route != nil {
		route.RoutePatterns = append(route.RoutePatterns, name)
	}
}

// commonHeaders returns the function that sets what every answer carries, errors and preflights too.
// CORS is verbatim what Skygear v1 sends (skygear.md 1.7).
func commonHeaders(corsHost string) func(h http.Header, r *http.Request) {
	server, nosniff, host, yes := []string{"Crema"}, []string{"nosniff"}, []string{corsHost}, []string{"true"}
	return func(h http.Header, r *http.Request) {
		h["Server"] = server
		h["X-Content-Type-Options"] = nosniff
		if corsHost == "" {
			return
		}
		h["Access-Control-Allow-Origin"] = host
		h["Access-Control-Allow-Credentials"] = yes
		if v := r.Header["Access-Control-Request-Method"]; len(v) > 0 {
			h["Access-Control-Allow-Methods"] = v[:1:1]
		}
		if v := r.Header["Access-Control-Request-Headers"]; len(v) > 0 {
			h["Access-Control-Allow-Headers"] = v[:1:1]
		}
	}
}

// headers sets the common headers and, where CORS is on, answers every OPTIONS request.
func headers(common func(http.Header, *http.Request), cors bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		common(w.Header(), r)
		if cors && r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// pageHeaders adds what a page needs to the headers of an HTML answer: no framing by other sites, and
// no paths in referrers, unless it says so itself. A page with a Content-Security-Policy of its own decides about frames,
// and the pages of the card popup are framed by whoever sells.
func pageHeaders(h http.Header, path string) {
	if h["Referrer-Policy"] == nil {
		h["Referrer-Policy"] = []string{"strict-origin-when-cross-origin"}
	}
	if h["Content-Security-Policy"] == nil && !strings.HasPrefix(path, "/_stripe/") && !strings.HasPrefix(path, "/stripe/") {
		h["Content-Security-Policy"] = []string{"frame-ancestors 'self'"}
	}
}
