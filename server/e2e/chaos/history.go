package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// verdict is what a caller knows after a call.
type verdict string

const (
	invoked verdict = "invoke"
	okay    verdict = "ok"   // paid, or refunded
	failed  verdict = "fail" // for good: no money moved for this call
	info    verdict = "info" // not known
)

// event is a line of an order's history.
type event struct {
	at      time.Duration
	call    int    // pairs an invoke with its end
	what    string // charge, checkout, page, bank, refund
	token   string // or the card
	verdict verdict
	detail  string // the refusal's code, or the reply
}

// purchase is one order as its shopper knows it. The e-mail finds its rows again.
type purchase struct {
	index int
	kind  string
	email string
	key   string // order_key; "" as in the old signature
	mu    sync.Mutex
	calls int
	past  []event
}

// history is what all shoppers did and heard.
type history struct {
	start time.Time
	mu    sync.Mutex
	all   []*purchase
}

func (h *history) open(p *purchase) *purchase {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, p)
	return p
}

func (h *history) purchases() []*purchase {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.all)
}

// begin notes a call and returns what notes its end.
func (p *purchase) begin(h *history, what, token string) func(v verdict, detail string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	e := event{at: time.Since(h.start), call: p.calls, what: what, token: token, verdict: invoked}
	p.past = append(p.past, e)
	return func(v verdict, detail string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		e.at, e.verdict, e.detail = time.Since(h.start), v, detail
		p.past = append(p.past, e)
	}
}

// events are the lines so far.
func (p *purchase) events() []event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.past)
}

// sure says that some call was told v.
func (p *purchase) sure(what string, v verdict) bool {
	return slices.ContainsFunc(p.events(), func(e event) bool { return e.what == what && e.verdict == v })
}

// String is the whole history, for a report.
func (p *purchase) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "order %d (%s) %s key %q\n", p.index, p.kind, p.email, p.key)
	for _, e := range p.events() {
		fmt.Fprintf(&b, "  %9.3fs call %d %-8s %-28s %-6s %s\n", e.at.Seconds(), e.call, e.what, e.token, e.verdict, e.detail)
	}
	return b.String()
}

// reply is what process_payment, create_checkout and errors answer with, as far as a shopper looks.
type reply struct {
	Result struct {
		Result []struct {
			ID          string `json:"_id"`
			AmountMinor int64  `json:"amount_minor"`
			ChargeID    string `json:"charge_id"`
		} `json:"result"`
		Results string     `json:"results"`
		Status  string     `json:"status"`
		URL     string     `json:"url"`
		Error   *replyCode `json:"error"`
	} `json:"result"`
}

type replyCode struct {
	Code string `json:"code"`
}

// judge turns an HTTP answer into what a shopper knows.
func judge(status int, body []byte) (verdict, string, reply) {
	var r reply
	err := json.Unmarshal(body, &r)
	short := strings.TrimSpace(string(body[:min(len(body), 160)]))
	switch {
	case status != 200 || err != nil:
		return info, fmt.Sprintf("HTTP %d %s", status, short), r
	case len(r.Result.Result) == 1:
		return okay, fmt.Sprintf("%s %d %s", r.Result.Result[0].ID, r.Result.Result[0].AmountMinor, r.Result.Result[0].ChargeID), r
	case r.Result.Status == "paid":
		return okay, "paid before", r
	case r.Result.Error != nil && r.Result.Error.Code == "processing", r.Result.URL != "":
		return info, "processing", r
	case r.Result.Error != nil:
		return failed, r.Result.Error.Code, r
	}
	return info, short, r
}
