package web

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"crema/server/base/deadline"
	"crema/server/base/fault"
)

// grace is what a handler gets beyond the deadline to notice it and answer itself.
const grace = 500 * time.Millisecond

// limitTime ends the request's context after d and, when a handler does not care, answers 503 for it. A
// handler that has begun to answer is left alone: a large file may take as long as it takes. A request
// to upgrade its connection has no deadline.
func limitTime(d time.Duration, common func(http.Header, *http.Request), next http.Handler) http.Handler {
	if d <= 0 {
		return next
	}
	watch := &deadline.Watch{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, ok := w.(*exchange)
		if !ok || upgrades(r) {
			next.ServeHTTP(w, r)
			return
		}
		end := x.start.Add(d)
		x.limit = limit{x: x, r: r, common: common}
		x.limit.Start(x.Context, end)
		defer x.limit.End()
		x.Context = &x.limit // r's context is x, so r needs no copy
		x.late.Add(1)
		watch.Add(&x.limit.Entry, end.Add(grace), &x.limit)
		defer func() {
			watch.Remove(&x.limit.Entry)
			if !x.begin() { // net/http must not get its connection back while it is in use
				x.late.Wait()
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// upgrades says whether r asks for a websocket, which is a GET. Any other word in the header would be a
// way around the deadline.
func upgrades(r *http.Request) bool {
	v := r.Header["Upgrade"]
	return r.Method == http.MethodGet && len(v) == 1 && strings.EqualFold(v[0], "websocket")
}

// limit is the deadline of an exchange.
type limit struct {
	deadline.Context
	deadline.Entry
	x      *exchange
	r      *http.Request
	common func(http.Header, *http.Request)
}

// Expire implements deadline.Expirer.
func (l *limit) Expire() { l.x.giveUp(l.common, l.r) }

// giveUp answers 503 on the bare connection, because the handler may be using the header map. The
// connection cannot serve another request before the handler returns, so it is closed.
func (x *exchange) giveUp(common func(http.Header, *http.Request), r *http.Request) {
	if !x.phase.CompareAndSwap(open, timedOut) {
		return
	}
	defer x.late.Done()
	conn, _, err := http.NewResponseController(x.ResponseWriter).Hijack()
	if err != nil { // not a connection of HTTP/1: the handler's own answer will have to do
		x.phase.Store(open)
		return
	}
	defer conn.Close() //nolint:errcheck // the answer is out or the client is gone
	we := Wire(fault.New(fault.Timeout, "web.deadline", "the request took too long"))
	body, _ := json.Marshal(map[string]WireError{"error": we}) // strings and numbers only
	resp := http.Response{
		StatusCode: we.Status, ProtoMajor: 1, ProtoMinor: 1, Request: r, Close: true,
		Header: http.Header{"Content-Type": {"application/json"}, "X-Skygear-Request-Id": x.id[:]},
		Body:   io.NopCloser(strings.NewReader(string(body) + "\n")), ContentLength: int64(len(body) + 1),
	}
	common(resp.Header, r)
	_ = conn.SetWriteDeadline(time.Now().Add(grace)) // a client that does not read is not waited for
	_ = resp.Write(conn)
}
