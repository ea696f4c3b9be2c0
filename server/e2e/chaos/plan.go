package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// stream returns the random numbers of one part of the plan. Parts do not disturb each other, so that
// the same seed gives every order the same wishes, whoever serves it.
func stream(seed uint64, part string, index int) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, c := range []byte(part) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h+uint64(index)))
}

// pick takes one of the choices by weight.
func pick[T any](r *rand.Rand, choices []weighted[T]) T {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	at := r.IntN(total)
	for _, c := range choices {
		if at -= c.weight; at < 0 {
			return c.value
		}
	}
	return choices[0].value
}

type weighted[T any] struct {
	weight int
	value  T
}

// kill is one end of the server. Without a point it comes after a while.
type kill struct {
	point string
	nth   int
	after time.Duration // at the latest
}

// failpoints are all that the payments room has.
var failpoints = []string{
	"after-begin", "before-send", "after-reply", "before-settle", "after-settle", "webhook-accepted", "notice-worker", "refund-reply",
}

// killPlan begins with every failpoint once; then they come at random, with random moments between.
func killPlan(seed uint64, index int, short bool) kill {
	r := stream(seed, "kill", index)
	longest, deepest := 6*time.Second, 40
	if short {
		longest, deepest = 4*time.Second, 2
	}
	k := kill{nth: 1 + r.IntN(deepest), after: longest}
	switch {
	case index < len(failpoints)-1: // the last one comes when things settle
		k.point = failpoints[index]
	case r.IntN(4) == 0:
		k.after = time.Duration(r.Int64N(int64(longest / 2)))
	default:
		k.point = failpoints[r.IntN(len(failpoints))]
	}
	if k.point == "webhook-accepted" || k.point == "notice-worker" || k.point == "refund-reply" {
		k.nth = 1 + k.nth/4 // rarer than payments
	}
	return k
}

func (k kill) variable() string {
	if k.point == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", k.point, k.nth)
}

// rule is a fault of the sandbox, as POST /_sandbox/faults takes it.
type rule struct {
	Match struct {
		Method string `json:"method,omitempty"`
		Path   string `json:"path,omitempty"`
	} `json:"match"`
	Action  string `json:"action,omitempty"`
	Webhook string `json:"webhook,omitempty"`
	Status  int    `json:"status,omitempty"`
	Delay   int    `json:"delay_ms,omitempty"`
	Times   int    `json:"times"`
}

// rulePlan is the index-th fault.
func rulePlan(seed uint64, index int) rule {
	r := stream(seed, "fault", index)
	f := rule{Times: pick(r, []weighted[int]{{5, 1}, {1, 2}, {1, 3}})}
	if r.IntN(4) == 0 {
		f.Webhook = pick(r, []weighted[string]{{4, "duplicate"}, {4, "reorder"}, {3, "delay"}, {1, "drop"}, {1, "bad_signature"}, {1, "wrong_version"}})
		f.Delay = r.IntN(1500)
		return f
	}
	f.Match.Path = pick(r, []weighted[string]{{7, "/v1/charges"}, {2, "/v1/refunds"}, {2, "/v1/checkout/sessions*"}, {2, ""}})
	if f.Match.Path == "/v1/charges" && r.IntN(4) > 0 {
		f.Match.Method = "POST"
	}
	f.Action = pick(r, []weighted[string]{{4, "drop_before"}, {5, "drop_after"}, {5, "status"}, {2, "status_after"}, {4, "delay"}})
	f.Status = pick(r, []weighted[int]{{4, 429}, {3, 500}, {3, 409}, {2, 503}})
	f.Delay = 0
	if f.Action == "delay" {
		f.Delay = 20 + r.IntN(900)
	}
	return f
}

// databaseFault is one of what may happen to PostgreSQL.
type databaseFault string

const (
	cutConnections  databaseFault = "connections cut"
	restartDatabase databaseFault = "restarts"
	killDatabase    databaseFault = "kills"
)

func databasePlan(seed uint64, index int) databaseFault {
	r := stream(seed, "database", index)
	if index < 2 { // also a short run has both
		return []databaseFault{killDatabase, cutConnections}[index]
	}
	return pick(r, []weighted[databaseFault]{{3, cutConnections}, {1, restartDatabase}, {1, killDatabase}})
}
