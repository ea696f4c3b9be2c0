package sandbox

import (
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox/api"
	"crema/server/core/payments/sandbox/wire"
)

const (
	tokensPath = "/v1/tokens"
	maxBody    = 1 << 20
	maxKey     = 255
	// runLimit bounds one call. It is ours and not the client's: who hangs up has still sent a request.
	runLimit = 30 * time.Second
)

var versionShape = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(\.[a-z]+)?$`)

// request is one HTTP request while it is answered.
type request struct {
	r       *http.Request
	browser bool // it came through the shop's own origin
	id      string
	key     string // idempotency key of a POST, or empty
	version string
	form    map[string]*wire.Value
	route   api.Route
	object  string // the :id of the path
	plan    plan
	now     time.Time // of the sandbox's clock, as its transaction saw it
}

// answer is what goes back.
type answer struct {
	status   int
	body     []byte
	original string // request id of the first call with this key, or empty
	replayed bool
	code     string // of the error, for the log
}

// serve answers one request of the API.
func (s *Sandbox) serve(w http.ResponseWriter, r *http.Request, browser bool) {
	q := &request{
		r: r, browser: browser, id: wire.NewID("req_", 14), version: r.Header.Get("Stripe-Version"),
	}
	if r.Method == http.MethodPost {
		q.key = r.Header.Get("Idempotency-Key")
	}
	q.headers(w)
	if r.Method == http.MethodOptions && r.URL.Path == tokensPath {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	a, err := s.answer(w, q)
	if err != nil {
		a = s.refusal(err, q)
	}
	s.c.Log.Debug("sandbox call", "method", r.Method, "route", q.route.Path, "status", a.status, "code", a.code,
		"request_id", q.id, "replayed", a.replayed)
	if q.plan.drops(a.replayed) || errors.Is(err, errDropped) {
		cut(w)
		return
	}
	write(w, q, a)
}

// headers sets what every answer carries.
func (q *request) headers(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Request-Id", q.id)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/json")
	h.Set("Stripe-Version", api.Version)
	if versionShape.MatchString(q.version) {
		h.Set("Stripe-Version", q.version)
	}
	if q.r.URL.Path == tokensPath {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Stripe-Version, Idempotency-Key")
		h.Set("Access-Control-Expose-Headers", "Request-Id")
		h.Set("Access-Control-Max-Age", "300")
	}
	if oldNode(q.r.UserAgent()) {
		h.Set("Connection", "close")
	}
}

// oldNode recognizes npm stripe before 8. It writes the body of a request only when the socket connects,
// so on a connection that is kept alive its second request never starts.
func oldNode(agent string) bool {
	_, version, found := strings.Cut(agent, "NodeBindings/")
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return found && err == nil && n < 8
}

// answer reads, checks and runs the request. Its errors are *wire.Error, errDropped or internal.
func (s *Sandbox) answer(w http.ResponseWriter, q *request) (answer, error) {
	if err := q.readForm(w); err != nil {
		return answer{}, err
	}
	if err := s.admit(q); err != nil {
		return answer{}, err
	}
	plan, err := s.faults.next(q)
	if err != nil {
		return answer{}, err
	}
	q.plan = plan
	ctx := context.WithoutCancel(q.r.Context())
	if err := s.wait(ctx, plan.delay); err != nil {
		return answer{}, err
	}
	if plan.dropBefore {
		return answer{}, errDropped
	}
	if plan.status != 0 && plan.status < http.StatusInternalServerError {
		return answer{}, injected(plan.status)
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	return s.execute(ctx, q)
}

func (q *request) readForm(w http.ResponseWriter) error {
	raw := q.r.URL.RawQuery
	body, err := io.ReadAll(http.MaxBytesReader(w, q.r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		e := wire.Invalid("", "The request is larger than %d bytes.", maxBody)
		e.Status = http.StatusRequestEntityTooLarge
		return e
	case err != nil:
		return wire.Invalid("", "The request ended before its body did.")
	case len(body) > 0:
		kind, _, err := mime.ParseMediaType(q.r.Header.Get("Content-Type"))
		if q.r.Header.Get("Content-Type") != "" && (err != nil || kind != "application/x-www-form-urlencoded") {
			return wire.Invalid("", "Invalid request (check that your POST content type is application/x-www-form-urlencoded).")
		}
		raw += "&" + string(body)
	}
	q.form, err = wire.Decode(raw)
	return err
}

// admit checks key, version, route and idempotency key, in Stripe's order.
func (s *Sandbox) admit(q *request) error {
	secret, err := s.authenticate(q)
	if err != nil {
		return err
	}
	var found bool
	q.route, q.object, found = api.Match(s.routes, q.r.Method, q.r.URL.Path)
	switch {
	case !found, !utf8.ValidString(q.object), strings.ContainsRune(q.object, 0):
		e := wire.Invalid("", "Unrecognized request URL (%s: %.200s). The sandbox offers a part of Stripe only.", q.r.Method, q.r.URL.Path)
		e.Status = http.StatusNotFound
		return e
	case !secret && !q.route.Public:
		e := wire.InvalidCode("secret_key_required", "", "This API call cannot be made with a publishable API key. Please use a secret API key, on a server only.")
		e.Status = http.StatusUnauthorized
		return e
	case q.version != "" && !versionShape.MatchString(q.version):
		return wire.Invalid("", "Invalid Stripe API version: %.40s", q.version)
	case len(q.key) > maxKey || !utf8.ValidString(q.key):
		return wire.Invalid("", "The idempotency key must be UTF-8 of at most %d characters.", maxKey)
	}
	return nil
}

// wait delays, unless the sandbox stops.
func (s *Sandbox) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.life.Done():
	case <-ctx.Done():
		return fault.From(ctx.Err())
	}
	return nil
}

// refusal is the answer to an error. What is not Stripe's is logged and hidden.
func (s *Sandbox) refusal(err error, q *request) answer {
	var e *wire.Error
	if !errors.As(err, &e) {
		if !errors.Is(err, errDropped) {
			s.c.Log.Error("sandbox call failed", "route", q.route.Path, "request_id", q.id, "err", err)
		}
		e = injected(http.StatusInternalServerError)
	}
	body, err := e.Body()
	if err != nil {
		s.c.Log.Error("sandbox error body", "err", err)
	}
	return answer{status: e.Status, body: body, code: e.Code}
}

func write(w http.ResponseWriter, q *request, a answer) {
	h := w.Header()
	if q.key != "" {
		h.Set("Idempotency-Key", q.key)
	}
	if a.original != "" {
		h.Set("Original-Request", a.original)
	}
	if a.replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	if a.status == http.StatusConflict {
		h.Set("Stripe-Should-Retry", "true")
	}
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that left does not change what was done
}

// errDropped asks for the connection to be cut instead of an answer.
var errDropped = errors.New("the connection is to be dropped")

// cut breaks the connection in the middle of the status line. A clean end would let Go's transport
// repeat a request with an idempotency key by itself, and the fault would not be seen.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // a recorder in a test
		http.Error(w, "connection dropped by the sandbox", http.StatusBadGateway)
		return
	}
	_, _ = conn.Write([]byte("HTTP/1."))
	_ = conn.Close()
}

func clientIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
}
