package web

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"crema/server/base/telemetry"
)

// exchange is one request and its answer: the only ResponseWriter that the stack puts around net/http's,
// and the request's context in the same allocation.
type exchange struct {
	http.ResponseWriter
	telemetry.RequestContext
	route  *chi.Context
	id     [1]string // in the form of a header value
	path   string
	start  time.Time
	status int // 0 until the header is written
	bytes  int64
	phase  atomic.Int32
	late   sync.WaitGroup // the deadline's answer
	limit  limit
}

// The phases of an exchange. Whoever leaves open first, handler or deadline, answers.
const (
	open int32 = iota
	answering
	timedOut
)

// begin says whether the handler may write.
func (x *exchange) begin() bool {
	return x.phase.Load() == answering || x.phase.CompareAndSwap(open, answering) || x.phase.Load() == answering
}

// sent is the status that the client saw.
func (x *exchange) sent() int {
	switch {
	case x.phase.Load() == timedOut:
		return http.StatusServiceUnavailable
	case x.status == 0:
		return http.StatusOK
	}
	return x.status
}

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if !x.begin() {
		return
	}
	if x.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		x.status = status
		h := x.Header()
		if ct := h["Content-Type"]; len(ct) > 0 && strings.HasPrefix(ct[0], "text/html") {
			pageHeaders(h, x.path)
		}
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if !x.begin() {
		return 0, http.ErrHandlerTimeout
	}
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// ReadFrom implements io.ReaderFrom, so that a file still goes from disk to socket inside the kernel.
func (x *exchange) ReadFrom(r io.Reader) (int64, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if !x.begin() {
		return 0, http.ErrHandlerTimeout
	}
	n, err := io.Copy(x.ResponseWriter, r)
	x.bytes += n
	return n, err
}

// Flush implements http.Flusher.
func (x *exchange) Flush() {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if x.begin() {
		_ = http.NewResponseController(x.ResponseWriter).Flush() // what cannot flush sends later
	}
}

// Hijack implements http.Hijacker.
func (x *exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !x.begin() {
		return nil, nil, http.ErrHandlerTimeout
	}
	if x.status == 0 {
		x.status = http.StatusSwitchingProtocols
	}
	return http.NewResponseController(x.ResponseWriter).Hijack()
}

// Unwrap lets http.ResponseController reach deadlines.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }
