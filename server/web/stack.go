package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"crema/server/base/telemetry"
)

// StackConfig says how requests are treated before a door sees them.
type StackConfig struct {
	Log            *slog.Logger
	Metrics        *telemetry.Metrics
	CORSHost       string         // Access-Control-Allow-Origin, verbatim; "" switches CORS off
	MaxBody        int64          // bytes; 0 is no limit
	Timeout        time.Duration  // until the first byte of an answer; 0 is no limit
	TrustedProxies []netip.Prefix // whose X-Forwarded-For and X-Request-Id count
}

// Stack returns the middlewares that every request passes, outermost first.
func Stack(c StackConfig) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return next }
}

// NameRoute names the route of a request that no chi pattern matches, for the metrics.
func NameRoute(r *http.Request, name string) {}
