package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox/api"
	"crema/server/core/payments/sandbox/wire"
)

// controlPrefix begins the paths that only tests use.
const controlPrefix = "/_sandbox/"

// control answers the admin. Bodies and answers are JSON.
func (s *Sandbox) control(w http.ResponseWriter, r *http.Request) {
	if s.c.AdminToken == "" {
		http.NotFound(w, r)
		return
	}
	if !equal(r.Header.Get("Authorization"), "Bearer "+s.c.AdminToken) {
		reply(w, http.StatusUnauthorized, refuse("Send the sandbox's admin token as a bearer token."))
		return
	}
	name, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, controlPrefix), "/")
	if do := s.controls()[r.Method+" "+name]; do != nil && (id != "") == (name == "events" || name == "disputes") {
		do(w, r, id)
		return
	}
	http.NotFound(w, r)
}

// controls are the paths below controlPrefix; what follows a name is its id.
func (s *Sandbox) controls() map[string]func(w http.ResponseWriter, r *http.Request, id string) {
	return map[string]func(w http.ResponseWriter, r *http.Request, id string){
		"GET journal":    s.showJournal,
		"POST faults":    s.addFault,
		"DELETE faults":  s.clearFaults,
		"GET clock":      s.showClock,
		"POST clock":     s.advanceClock,
		"GET deliveries": s.showDeliveries,
		"POST endpoints": s.ensureEndpoint,
		"POST events":    s.resend,
		"POST disputes":  s.dispute,
		"POST reset":     s.reset,
	}
}

func (s *Sandbox) clearFaults(w http.ResponseWriter, _ *http.Request, _ string) {
	s.faults.clear()
	done(w)
}

func done(w http.ResponseWriter) { reply(w, http.StatusOK, map[string]any{"ok": true}) }

// failed answers with an error of Stripe's, or hides what is not one.
func (s *Sandbox) failed(w http.ResponseWriter, err error) {
	var e *wire.Error
	if !errors.As(err, &e) {
		s.c.Log.Error("sandbox control", "err", err)
		e = injected(http.StatusInternalServerError)
	}
	reply(w, e.Status, e)
}

// readJSON reads the body into v; an empty one leaves it as it is. Unknown names are refused with usage.
func readJSON(w http.ResponseWriter, r *http.Request, v any, usage string) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		reply(w, http.StatusBadRequest, wire.Invalid("", "Send JSON: %s.", usage))
		return false
	}
	return true
}

func (s *Sandbox) showClock(w http.ResponseWriter, r *http.Request, _ string) {
	now, err := s.Now(r.Context())
	if err != nil {
		s.failed(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"now": now.Unix(), "ahead_seconds": int64(now.Sub(s.c.Now()).Round(time.Second).Seconds())})
}

func (s *Sandbox) advanceClock(w http.ResponseWriter, r *http.Request, _ string) {
	var in struct {
		Seconds int64 `json:"advance_seconds"`
	}
	if !readJSON(w, r, &in, `{"advance_seconds": 90000}`) {
		return
	}
	if in.Seconds < 1 || in.Seconds > 366*24*60*60 {
		reply(w, http.StatusBadRequest, wire.Invalid("advance_seconds", "advance_seconds must be 1 to 366 days."))
		return
	}
	if err := s.Advance(r.Context(), time.Duration(in.Seconds)*time.Second); err != nil {
		s.failed(w, err)
		return
	}
	s.showClock(w, r, "")
}

func (s *Sandbox) showDeliveries(w http.ResponseWriter, r *http.Request, _ string) {
	list, pending, err := s.ledger.Deliveries(r.Context(), r.URL.Query().Get("event"), 100)
	if err != nil {
		s.failed(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"pending": pending, "data": list})
}

func (s *Sandbox) ensureEndpoint(w http.ResponseWriter, r *http.Request, _ string) {
	var in struct {
		URL string `json:"url"`
	}
	if !readJSON(w, r, &in, `{"url": "https://..."}`) {
		return
	}
	if u, err := url.Parse(in.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		reply(w, http.StatusBadRequest, wire.InvalidCode("url_invalid", "url", "url must begin with http:// or https://."))
		return
	}
	secret, err := s.Endpoint(r.Context(), in.URL)
	if err != nil {
		s.failed(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"url": in.URL, "secret": secret})
}

// resend answers POST events/:id/resend.
func (s *Sandbox) resend(w http.ResponseWriter, r *http.Request, path string) {
	id, ok := strings.CutSuffix(path, "/resend")
	if !ok {
		http.NotFound(w, r)
		return
	}
	var n int64
	err := s.call(r.Context(), func(ctx context.Context, c *api.Call) (err error) {
		if _, err = c.Tx.Find(ctx, "event", id); fault.Is(err, "pg.no_rows") {
			return wire.NoSuch("event", id, "id").Path()
		}
		if err == nil {
			n, err = c.Tx.Resend(ctx, id)
		}
		return err
	})
	if err != nil {
		s.failed(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"ok": true, "deliveries": n})
}

// dispute answers POST disputes/:charge: it opens a dispute, or closes the one there is.
func (s *Sandbox) dispute(w http.ResponseWriter, r *http.Request, charge string) {
	var in struct {
		Reason  string `json:"reason"`
		Inquiry bool   `json:"inquiry"`
		Close   string `json:"close"`
	}
	if !readJSON(w, r, &in, `{"reason": "fraudulent", "inquiry": false} or {"close": "won"}`) {
		return
	}
	if in.Close != "" && in.Close != "won" && in.Close != "lost" {
		reply(w, http.StatusBadRequest, wire.Invalid("close", "close must be won or lost."))
		return
	}
	var d any
	err := s.call(r.Context(), func(ctx context.Context, c *api.Call) (err error) {
		c.ID = charge
		if in.Close != "" {
			d, err = c.CloseDispute(ctx, in.Close == "won")
			return err
		}
		d, err = c.Dispute(ctx, in.Reason, in.Inquiry)
		return err
	})
	if err != nil {
		s.failed(w, err)
		return
	}
	reply(w, http.StatusOK, d)
}

func (s *Sandbox) reset(w http.ResponseWriter, r *http.Request, _ string) {
	s.faults.clear()
	if err := s.ledger.Reset(r.Context()); err != nil {
		s.failed(w, err)
		return
	}
	done(w)
}

func (s *Sandbox) showJournal(w http.ResponseWriter, r *http.Request, _ string) {
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if err != nil && r.URL.Query().Has("after") {
		reply(w, http.StatusBadRequest, wire.Invalid("after", "after must be a whole number."))
		return
	}
	moves, err := s.Journal(r.Context(), after)
	if err != nil {
		s.failed(w, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"data": moves})
}

func (s *Sandbox) addFault(w http.ResponseWriter, r *http.Request, _ string) {
	var f rule
	if !readJSON(w, r, &f, `{"match": {"method", "path", "type", "nth"}, "action" or "webhook", "status", "delay_ms", "times"}`) {
		return
	}
	if err := s.faults.add(f); err != nil {
		reply(w, http.StatusBadRequest, err)
		return
	}
	done(w)
}

func reply(w http.ResponseWriter, status int, v any) {
	if e, ok := v.(*wire.Error); ok {
		v = map[string]any{"error": e}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left does not matter
}
