package sandbox

import (
	"net/http"
	"strings"
)

// browserPrefix begins the paths that pages and shoppers may reach.
const browserPrefix = "/_stripe/"

// Browser answers what a shopper's browser may reach, below /_stripe/: POST v1/tokens with the publishable
// key, for pages of any origin, and the hosted pages pay/:session and 3ds/:intent.
func (s *Sandbox) Browser() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, tokensPath) || r.Method != http.MethodPost && r.Method != http.MethodOptions {
			http.NotFound(w, r)
			return
		}
		inner := r.Clone(r.Context())
		inner.URL.Path = tokensPath
		s.serve(w, inner, true)
	})
}

// origin is where browsers find the hosted pages.
func (s *Sandbox) origin(r *http.Request) string {
	if s.c.PublicURL != nil {
		if url := s.c.PublicURL(); url != "" {
			return url
		}
	}
	return "http://" + r.Host
}
