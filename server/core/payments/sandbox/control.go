package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"

	"crema/server/core/payments/sandbox/wire"
)

// controlPrefix begins the paths that only tests use.
const controlPrefix = "/_sandbox/"

// control answers the admin: GET journal?after=<seq>, POST and DELETE faults.
func (s *Sandbox) control(w http.ResponseWriter, r *http.Request) {
	if s.c.AdminToken == "" {
		http.NotFound(w, r)
		return
	}
	if !equal(r.Header.Get("Authorization"), "Bearer "+s.c.AdminToken) {
		reply(w, http.StatusUnauthorized, refuse("Send the sandbox's admin token as a bearer token."))
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET " + controlPrefix + "journal":
		s.showJournal(w, r)
	case "POST " + controlPrefix + "faults":
		s.addFault(w, r)
	case "DELETE " + controlPrefix + "faults":
		s.faults.clear()
		reply(w, http.StatusOK, map[string]any{"ok": true})
	default:
		http.NotFound(w, r)
	}
}

func (s *Sandbox) showJournal(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	if err != nil && r.URL.Query().Has("after") {
		reply(w, http.StatusBadRequest, wire.Invalid("after", "after must be a whole number."))
		return
	}
	moves, err := s.Journal(r.Context(), after)
	if err != nil {
		s.c.Log.Error("sandbox journal", "err", err)
		reply(w, http.StatusInternalServerError, injected(http.StatusInternalServerError))
		return
	}
	reply(w, http.StatusOK, map[string]any{"data": moves})
}

func (s *Sandbox) addFault(w http.ResponseWriter, r *http.Request) {
	var f rule
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		reply(w, http.StatusBadRequest, wire.Invalid("", "Send JSON: {\"match\": {\"method\", \"path\", \"nth\"}, \"action\", \"status\", \"delay_ms\", \"times\"}."))
		return
	}
	if err := s.faults.add(f); err != nil {
		reply(w, http.StatusBadRequest, err)
		return
	}
	reply(w, http.StatusOK, map[string]any{"ok": true})
}

func reply(w http.ResponseWriter, status int, v any) {
	if e, ok := v.(*wire.Error); ok {
		v = map[string]any{"error": e}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that left does not matter
}
