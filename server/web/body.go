package web

import (
	"io"
	"net/http"
	"time"
)

const (
	drainBytes = 32 << 20
	drainTime  = 5 * time.Second
)

// limitBody refuses bodies over limit bytes: at once where the length is declared, else when a handler
// has read so much. What a refused client still sends is read and thrown away within bounds, because
// many clients read the answer only when they have sent everything.
func limitBody(limit int64, next http.Handler) http.Handler {
	if limit <= 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := r.Body
		if r.ContentLength > limit {
			WriteError(w, r, tooLarge(limit))
		} else {
			if r.ContentLength < 0 { // else net/http ends the body where it said
				r.Body = http.MaxBytesReader(w, body, limit)
			}
			next.ServeHTTP(w, r)
		}
		if x, ok := w.(*exchange); ok && x.status == http.StatusRequestEntityTooLarge && len(r.Header["Expect"]) == 0 {
			drain(w, body)
		}
	})
}

// uploads lets requests that bring a file past the limits of others. What a refused client still sends is
// thrown away as limitBody does.
func uploads(are func(*http.Request) bool, next, limited http.Handler) http.Handler {
	if are == nil {
		return limited
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !are(r) {
			limited.ServeHTTP(w, r)
			return
		}
		body := r.Body
		next.ServeHTTP(w, r)
		if x, ok := w.(*exchange); ok && x.status >= http.StatusBadRequest && len(r.Header["Expect"]) == 0 {
			drain(w, body)
		}
	})
}

// drain reads what a refused client still sends, after the answer is on its way.
func drain(w http.ResponseWriter, body io.Reader) {
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	_ = rc.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, body, drainBytes) // it is being thrown away
}
