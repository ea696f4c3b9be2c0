package sandbox

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"crema/server/core/payments/sandbox/cards"
	"crema/server/core/payments/sandbox/wire"
)

// maxDelay bounds slow answers.
const maxDelay = time.Minute

// rule is a fault that POST /_sandbox/faults asked for.
type rule struct {
	Match struct {
		Method string `json:"method"` // empty: any
		Path   string `json:"path"`   // a final * matches the rest; empty: any
		Type   string `json:"type"`   // of a webhook's event; a final * matches the rest; empty: any
		Nth    int    `json:"nth"`    // begins with the nth matching call; 0 is 1
	} `json:"match"`
	Action  string `json:"action"`  // drop_before, drop_after, delay, status, status_after: an API call
	Webhook string `json:"webhook"` // duplicate, reorder, delay, drop, bad_signature, wrong_version: a delivery
	Status  int    `json:"status"`  // for status and status_after; 0 is 500
	Delay   int    `json:"delay_ms"`
	Times   int    `json:"times"` // 0 is 1

	wait time.Duration // before a delivery
}

// What can go wrong with a webhook.
const (
	hookDuplicate = "duplicate"     // sent twice
	hookReorder   = "reorder"       // waits until later ones may have overtaken it
	hookDelay     = "delay"         // waits for delay_ms
	hookDrop      = "drop"          // lost for good, until it is sent again by hand
	hookSignature = "bad_signature" // signed with another secret
	hookVersion   = "wrong_version" // in the shape of another API version
)

// plan is what goes wrong with one request. The zero plan is nothing.
type plan struct {
	delay      time.Duration
	dropBefore bool   // cut before anything happens
	dropAfter  bool   // cut after the commit
	token      bool   // asked for by a token: a replay is answered
	status     int    // answer this error
	after      bool   // ... but do the work first
	source     string // charge this token instead of the one sent
}

func (p plan) drops(replayed bool) bool { return p.dropAfter && (!p.token || !replayed) }

// rewrite replaces a chain of tokens by the one whose turn it is.
func (p plan) rewrite(form map[string]*wire.Value) map[string]*wire.Value {
	if p.source == "" {
		return form
	}
	form = maps.Clone(form)
	form["source"] = &wire.Value{Text: p.source}
	return form
}

// faults remembers the rules that are left and how far chains of tokens have come. It forgets with the
// process: faults are for tests.
type faults struct {
	mu     sync.Mutex
	rules  []*rule
	chains map[string]int
	waited map[int64]bool // deliveries that have waited already
}

func newFaults() *faults { return &faults{chains: map[string]int{}, waited: map[int64]bool{}} }

func (f *faults) add(r rule) *wire.Error {
	switch {
	case r.Webhook != "":
		if r.Action != "" || !strings.Contains(" duplicate reorder delay drop bad_signature wrong_version ", " "+r.Webhook+" ") {
			return wire.Invalid("webhook", "webhook must be duplicate, reorder, delay, drop, bad_signature or wrong_version, and action must be absent.")
		}
	case r.Action == "" || !strings.Contains(" drop_before drop_after delay status status_after ", " "+r.Action+" "):
		return wire.Invalid("action", "action must be drop_before, drop_after, delay, status or status_after.")
	}
	if r.Status == 0 {
		r.Status = http.StatusInternalServerError
	}
	if r.Status < 400 || r.Status > 599 || r.Delay < 0 || r.Match.Nth < 0 || r.Times < 0 {
		return wire.Invalid("", "status must be 400 to 599; delay_ms, nth and times must not be negative.")
	}
	r.Times, r.Match.Nth = max(r.Times, 1), max(r.Match.Nth, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules = append(f.rules, &r)
	return nil
}

func (f *faults) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules, f.chains, f.waited = nil, map[string]int{}, map[int64]bool{}
}

// next decides about one request: a rule first, then its token. Both count as used.
func (f *faults) next(q *request) (plan, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if p, hit := r.apply(q.r.Method, q.r.URL.Path); hit {
			return p, nil
		}
	}
	source := q.form["source"]
	if source == nil || source.Text == "" || q.route.Method != http.MethodPost || q.route.Path != "/v1/charges" {
		return plan{}, nil
	}
	return f.ofToken(source.Text)
}

// like compares with a pattern: empty is any, a final * matches the rest.
func like(pattern, s string) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	return pattern == "" || s == pattern || open && strings.HasPrefix(s, prefix)
}

// count says whether it is the rule's turn, now that something matches.
func (r *rule) count() bool {
	if r.Match.Nth > 1 {
		r.Match.Nth--
		return false
	}
	r.Times--
	return true
}

// ofWebhook decides about one try of a delivery. A delivery waits at most once.
func (f *faults) ofWebhook(kind string, delivery int64) rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waited[delivery] {
		return rule{}
	}
	for _, r := range f.rules {
		if r.Webhook == "" || r.Times < 1 || !like(r.Match.Type, kind) || !r.count() {
			continue
		}
		hit := *r
		if r.Webhook == hookReorder || r.Webhook == hookDelay {
			f.waited[delivery] = true
			hit.wait = min(time.Duration(r.Delay)*time.Millisecond, maxDelay)
		}
		if r.Webhook == hookReorder {
			hit.wait = max(hit.wait, reorderWait)
		}
		return hit
	}
	return rule{}
}

// ofPage decides about a hosted page. Only rules that name its path are for it.
func (f *faults) ofPage(method, path string) plan {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if !strings.HasPrefix(r.Match.Path, browserPrefix) {
			continue
		}
		if p, hit := r.apply(method, path); hit {
			return p
		}
	}
	return plan{}
}

func (r *rule) apply(method, path string) (plan, bool) {
	matches := r.Times > 0 && r.Webhook == "" && (r.Match.Method == "" || strings.EqualFold(r.Match.Method, method)) && like(r.Match.Path, path)
	if !matches || !r.count() {
		return plan{}, false
	}
	p := plan{delay: min(time.Duration(r.Delay)*time.Millisecond, maxDelay)}
	switch r.Action {
	case "drop_before":
		p.dropBefore = true
	case "drop_after":
		p.dropAfter = true
	case "status", "status_after":
		p.status, p.after = r.Status, r.Action == "status_after"
	}
	return p, true
}

// ofToken reads tok_sandbox_<fault>, tok_429 and tok_500, and chains of tokens: a|b|c charges a, then b,
// then c from there on.
func (f *faults) ofToken(source string) (plan, error) {
	p := plan{token: true}
	if chain := strings.Split(source, "|"); len(chain) > 1 {
		if len(f.chains) > 10000 {
			f.chains = map[string]int{}
		}
		n := f.chains[source]
		f.chains[source]++
		source = chain[min(n, len(chain)-1)]
		p.source = source
	}
	name, ours := strings.CutPrefix(source, cards.FaultPrefix)
	if source == "tok_429" || source == "tok_500" {
		name, ours = strings.TrimPrefix(source, "tok_"), true
	}
	if !ours {
		return p, nil
	}
	switch name {
	case "429":
		p.status = http.StatusTooManyRequests
	case "500", "500_after":
		p.status, p.after = http.StatusInternalServerError, name == "500_after"
	case "drop_before":
		p.dropBefore = true
	case "drop_after":
		p.dropAfter = true
	default:
		ms, slow := strings.CutPrefix(name, "slow_")
		n, err := strconv.ParseUint(ms, 10, 31)
		if !slow || err != nil {
			return p, wire.NoSuch("token", source, "source")
		}
		p.delay = min(time.Duration(n)*time.Millisecond, maxDelay)
	}
	return p, nil
}

// injected is the body of an error that Stripe itself would be the cause of. Those from 500 on are kept
// under the idempotency key.
func injected(status int) *wire.Error {
	e := &wire.Error{Status: status, Type: wire.TypeAPI, Keep: status >= 500, Message: "An unknown error occurred. The sandbox was asked for it, or it failed."}
	switch status {
	case http.StatusTooManyRequests:
		e.Type, e.Code, e.Message = wire.TypeInvalid, "rate_limit", "Request rate limit exceeded."
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound:
		e.Type, e.Message = wire.TypeInvalid, "The sandbox was asked to refuse this request."
	case http.StatusConflict:
		e.Type, e.Code, e.Message = wire.TypeIdempotency, "idempotency_key_in_use", "The sandbox was asked for a conflict."
	}
	return e
}
