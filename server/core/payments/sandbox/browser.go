package sandbox

import (
	"net/http"
	"strings"

	"crema/server/core/payments/sandbox/pages"
)

// browserPrefix begins the paths that pages and shoppers may reach.
const browserPrefix = "/_stripe/"

// maxPageForm is far more than a card form needs.
const maxPageForm = 16 << 10

// Browser answers what a shopper's browser may reach: below any prefix POST v1/tokens with the publishable
// key, for pages of any origin; and the hosted pages /_stripe/pay/:session, /_stripe/3ds/:intent and
// /_stripe/receipts/:charge with their style sheet, which need no JavaScript.
func (s *Sandbox) Browser() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, tokensPath) && (r.Method == http.MethodPost || r.Method == http.MethodOptions) {
			inner := r.Clone(r.Context())
			inner.URL.Path = tokensPath
			s.serve(w, inner, true)
			return
		}
		s.hosted(w, r)
	})
}

func (s *Sandbox) hosted(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == pages.StylePath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		pages.Style(w, r)
		return
	}
	rest, _ := strings.CutPrefix(r.URL.Path, browserPrefix)
	kind, id, _ := strings.Cut(rest, "/")
	show := map[string]func(http.ResponseWriter, *http.Request, string){"pay": s.payPage, "3ds": s.bankPage, "receipts": s.receiptPage}[kind]
	if show == nil || !isID(id) {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, maxPageForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, "The form cannot be read.", http.StatusBadRequest)
			return
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "Use GET or POST.", http.StatusMethodNotAllowed)
		return
	}
	s.faulty(w, r, func(w http.ResponseWriter) { show(w, r, id) })
}

// faulty shows a page as a fault wants it: late, not at all, or done but without an answer.
func (s *Sandbox) faulty(w http.ResponseWriter, r *http.Request, show func(http.ResponseWriter)) {
	p := s.faults.ofPage(r.Method, r.URL.Path)
	if err := s.wait(r.Context(), p.delay); err != nil {
		return
	}
	if p.dropAfter || p.after {
		show(nowhere{http.Header{}})
	}
	switch {
	case p.dropBefore, p.dropAfter:
		cut(w)
	case p.status != 0:
		http.Error(w, "The sandbox was asked to fail.", p.status)
	default:
		show(w)
	}
}

// nowhere is where an answer goes that is not sent.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// isID takes what wire.NewID makes.
func isID(s string) bool {
	return s != "" && len(s) < 100 && strings.Trim(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_") == ""
}

// origin is where browsers find the hosted pages.
func (s *Sandbox) origin(r *http.Request) string {
	if s.c.PublicURL != nil {
		if url := s.c.PublicURL(); url != "" {
			return strings.TrimSuffix(url, "/")
		}
	}
	return "http://" + r.Host
}
