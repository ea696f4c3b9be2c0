package web

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
)

// Handler answers a request or says why not. What it returns becomes an error envelope, so it must
// not have written anything when it fails.
type Handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		WriteError(w, r, err)
	}
}

// WriteError sends {"error": {...}} with the status of the error's code. An error that is our fault is
// logged with its cause; the client gets the request's id instead.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	we := Describe(r, err)
	if after := fault.From(err).RetryAfter; after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
	}
	WriteJSON(w, we.Status, map[string]WireError{"error": we})
}

// Describe is Wire plus the log entry and the request's id that an error of ours deserves.
func Describe(r *http.Request, err error) WireError {
	we := Wire(err)
	f := fault.From(err)
	if we.Status < 500 || we.Status == http.StatusNotImplemented || f.Code == fault.AssetTooLarge || f.Code == fault.PolicyViolated { // nothing is broken
		return we
	}
	id := telemetry.RequestID(r.Context())
	if f.Code == fault.Internal {
		we.Info = map[string]any{"request_id": id}
	}
	slog.ErrorContext(r.Context(), "request failed", "reason", f.Reason, "error", err.Error(), "path", loggedPath(r))
	return we
}

// WriteJSON sends v and a newline as one JSON object.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"name":"UnexpectedError","code":10000,"message":"the answer cannot be written as JSON"}}`)
	}
	WriteRaw(w, status, append(body, '\n'))
}

// WriteRaw sends JSON text that is already encoded. It is not flushed: that would spare a lone client
// the log line's time and cost many at once a tenth of the throughput.
func WriteRaw(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	v := []string{"application/json", strconv.Itoa(len(body))} // one allocation for both
	h["Content-Type"], h["Content-Length"] = v[:1:1], v[1:]
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone; nobody else cares
}

// ReadBody reads at most limit bytes and refuses more with web.body_too_large.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	body, size := io.Reader(r.Body), r.ContentLength+1
	if r.ContentLength < 0 { // else net/http ends the body where it said
		body, size = http.MaxBytesReader(w, r.Body, limit), 512
	}
	buf := make([]byte, 0, size)
	for {
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return nil, readFault(err, limit)
		case int64(len(buf)) > limit: // a body that somebody has unpacked
			return nil, tooLarge(limit)
		case len(buf) == cap(buf):
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

func readFault(err error, limit int64) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return tooLarge(limit)
	}
	return fault.Wrap(err, fault.BadRequest, "web.body_broken", "the request's body ended too early or came too slowly")
}

func tooLarge(limit int64) error {
	return fault.New(fault.TooLarge, "web.body_too_large", "the request's body is larger than %d bytes; send less at once", limit)
}
