package sandbox_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox"
	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

// receiver is a shop's webhook: it answers what the test says and hands over what came.
type receiver struct {
	url    string
	answer func(n int) int // of the nth call, from 1
	came   chan letter
}

type letter struct {
	header http.Header
	body   []byte
	event  stripe.Event
}

func receive(t *testing.T, answer func(n int) int) *receiver {
	t.Helper()
	rc := &receiver{answer: answer, came: make(chan letter, 1000)}
	var mu sync.Mutex
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		l := letter{header: r.Header, body: body}
		if err := json.Unmarshal(body, &l.event); err != nil {
			t.Error(err)
		}
		mu.Lock()
		n++
		status := answer(n)
		mu.Unlock()
		if status/100 == 3 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(status)
		rc.came <- l
	}))
	t.Cleanup(server.Close)
	rc.url = server.URL
	return rc
}

func always(status int) func(int) int { return func(int) int { return status } }

// next waits for the next letter.
func (rc *receiver) next(t *testing.T) letter {
	t.Helper()
	select {
	case l := <-rc.came:
		return l
	case <-time.After(20 * time.Second):
		t.Fatal("no webhook came")
	}
	return letter{}
}

// silent fails the test when something came.
func (rc *receiver) silent(t *testing.T) {
	t.Helper()
	select {
	case l := <-rc.came:
		t.Errorf("an unwanted %s came", l.event.Type)
	default:
	}
}

func endpoint(t *testing.T, s *sandboxtest.Server, url string, events ...string) *stripe.WebhookEndpoint {
	t.Helper()
	e, err := s.Client().WebhookEndpoints.New(&stripe.WebhookEndpointParams{
		URL: stripe.String(url), EnabledEvents: stripe.StringSlice(events), APIVersion: stripe.String(stripe.APIVersion),
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(e.Secret, "whsec_") || e.Status != "enabled" {
		t.Errorf("endpoint: %s", e.LastResponse.RawJSON)
	}
	return e
}

var admin = []string{"Authorization", "Bearer " + sandboxtest.AdminToken} //nolint:gochecknoglobals // a constant

// settled waits until nothing is on its way, and returns what became of the deliveries of an event.
func settled(t *testing.T, s *sandboxtest.Server, event string) sandboxtest.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if a := s.Do(t, http.MethodGet, "/_sandbox/deliveries", "event="+event, admin...).OK(t); a.Int("pending") == 0 {
			return a
		}
		select {
		case <-ctx.Done():
			t.Fatal("deliveries do not end")
		case <-tick.C:
		}
	}
}

func TestWebhooks_AreSignedAndSelected(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	all, some := receive(t, always(200)), receive(t, always(204))
	secret := endpoint(t, s, all.url, "*").Secret
	one := endpoint(t, s, some.url, "charge.failed")
	s.Charge(t, "tok_visa", "").OK(t)
	if a := s.Do(t, http.MethodGet, "/v1/events", "delivery_success=false").OK(t); a.Int("data.0.pending_webhooks") != 1 {
		t.Errorf("before the delivery: %s", a.Raw)
	}
	s.Deliver(t)
	l := all.next(t)
	event, err := webhook.ConstructEvent(l.body, l.header.Get("Stripe-Signature"), secret)
	if err != nil || event.Type != "charge.succeeded" || event.APIVersion != stripe.APIVersion || event.PendingWebhooks != 1 {
		t.Errorf("event %+v: %v", event, err)
	}
	if h := l.header; h.Get("Content-Type") != "application/json; charset=utf-8" || h.Get("User-Agent") != "Stripe/1.0 (+https://stripe.com/docs/webhooks)" {
		t.Errorf("headers: %v", h)
	}
	if _, err := webhook.ConstructEvent(append(l.body, ' '), l.header.Get("Stripe-Signature"), secret); err == nil {
		t.Error("a changed body passes")
	}
	settled(t, s, event.ID)
	if a := s.Do(t, http.MethodGet, "/v1/events", "delivery_success=false").OK(t); a.At("data.0") != nil {
		t.Errorf("after the delivery: %s", a.Raw)
	}
	if a := s.Do(t, http.MethodGet, "/v1/events", "delivery_success=true").OK(t); a.Text("data.0.id") != event.ID || a.Int("data.0.pending_webhooks") != 0 {
		t.Errorf("after the delivery: %s", a.Raw)
	}
	s.Charge(t, "tok_chargeDeclined", "")
	if l := some.next(t); l.event.Type != "charge.failed" {
		t.Errorf("got %s", l.event.Type)
	}
	all.next(t)
	if _, err := s.Client().WebhookEndpoints.Update(one.ID, &stripe.WebhookEndpointParams{Disabled: stripe.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Client().WebhookEndpoints.Get(one.ID, nil)
	if err != nil || got.Status != "disabled" || got.Secret != "" {
		t.Errorf("disabled: %+v %v", got, err)
	}
	s.Charge(t, "tok_chargeDeclined", "")
	settled(t, s, "")
	some.silent(t)
	if _, err := s.Client().WebhookEndpoints.Del(one.ID, nil); err != nil {
		t.Error(err)
	}
	left := 0
	for i := s.Client().WebhookEndpoints.List(&stripe.WebhookEndpointListParams{}); i.Next(); left++ {
	}
	if left != 1 {
		t.Errorf("%d endpoints are left", left)
	}
}

func TestWebhooks_AreTriedAgain(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	rc := receive(t, func(n int) int { return []int{500, 302, 200}[min(n, 3)-1] })
	secret := endpoint(t, s, rc.url, "*").Secret
	s.Deliver(t)
	s.Charge(t, "tok_visa", "").OK(t)
	var id string
	for range 3 {
		l := rc.next(t)
		event, err := webhook.ConstructEvent(l.body, l.header.Get("Stripe-Signature"), secret)
		if err != nil || id != "" && event.ID != id {
			t.Errorf("%s after %s: %v", event.ID, id, err)
		}
		id = event.ID
	}
	if a := settled(t, s, id); a.Text("data.0.state") != "delivered" || a.Int("data.0.tries") != 3 || a.Int("data.0.status") != 200 {
		t.Errorf("deliveries: %s", a.Raw)
	}
	rc.silent(t)
}

func TestWebhooks_AreGivenUpAndSentAgain(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	rc := receive(t, func(n int) int {
		if n <= 4 {
			return 503
		}
		return 200
	})
	endpoint(t, s, rc.url, "*")
	s.Deliver(t)
	s.Charge(t, "tok_visa", "").OK(t)
	id := rc.next(t).event.ID
	for range 3 {
		rc.next(t)
	}
	if a := settled(t, s, id); a.Text("data.0.state") != "failed" || a.Int("data.0.tries") != 4 || a.Int("data.0.status") != 503 {
		t.Errorf("deliveries: %s", a.Raw)
	}
	if a := s.Do(t, http.MethodGet, "/v1/events", "delivery_success=false").OK(t); a.Text("data.0.id") != id {
		t.Errorf("undelivered: %s", a.Raw)
	}
	a := s.Do(t, http.MethodPost, "/_sandbox/events/"+id+"/resend", "", admin...).OK(t)
	if a.Int("deliveries") != 1 || rc.next(t).event.ID != id {
		t.Errorf("resent: %s", a.Raw)
	}
	settled(t, s, id)
	if a := s.Do(t, http.MethodGet, "/v1/events", "delivery_success=false").OK(t); a.At("data.0") != nil {
		t.Errorf("undelivered: %s", a.Raw)
	}
	for path, want := range map[string]int{"/_sandbox/events/evt_nothing/resend": 404, "/_sandbox/events/" + id: 404, "/_sandbox/nothing": 404} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(admin[0], admin[1])
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _ = res.Body.Close(); res.StatusCode != want {
			t.Errorf("%s: got %d, want %d", path, res.StatusCode, want)
		}
	}
}

func TestWebhooks_GoWrongAsAsked(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	rc := receive(t, always(200))
	secret := endpoint(t, s, rc.url, "*").Secret
	s.Deliver(t)
	fault := func(json string) {
		t.Helper()
		s.Do(t, http.MethodPost, "/_sandbox/faults", json, admin...).OK(t)
	}
	fault(`{"webhook":"duplicate","match":{"type":"charge.succeeded"}}`)
	s.Charge(t, "tok_visa", "").OK(t)
	if one, two := rc.next(t), rc.next(t); one.event.ID != two.event.ID {
		t.Errorf("no duplicate: %s and %s", one.event.ID, two.event.ID)
	}
	fault(`{"webhook":"reorder","match":{"type":"charge.succeeded"}}`)
	ch := s.Charge(t, "tok_visa", "").OK(t)
	s.Do(t, http.MethodPost, "/v1/refunds", "charge="+ch.Text("id")).OK(t)
	var order []string
	for range 3 {
		order = append(order, string(rc.next(t).event.Type))
	}
	if last := order[2]; last != "charge.succeeded" {
		t.Errorf("the order is %v", order)
	}
	fault(`{"webhook":"delay","delay_ms":150}`)
	start := time.Now()
	s.Charge(t, "tok_visa", "").OK(t)
	if rc.next(t); time.Since(start) < 150*time.Millisecond {
		t.Errorf("the delay took %v", time.Since(start))
	}
	fault(`{"webhook":"bad_signature"}`)
	s.Charge(t, "tok_visa", "").OK(t)
	l := rc.next(t)
	if _, err := webhook.ConstructEvent(l.body, l.header.Get("Stripe-Signature"), secret); err == nil {
		t.Error("the forged signature passes")
	}
	fault(`{"webhook":"wrong_version"}`)
	s.Charge(t, "tok_visa", "").OK(t)
	l = rc.next(t)
	if _, err := webhook.ConstructEvent(l.body, l.header.Get("Stripe-Signature"), secret); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("the wrong version: %v", err)
	}
	if err := webhook.ValidatePayload(l.body, l.header.Get("Stripe-Signature"), secret); err != nil {
		t.Errorf("the wrong version is signed wrongly: %v", err)
	}
	fault(`{"webhook":"drop"}`)
	s.Charge(t, "tok_visa", "").OK(t)
	if a := settled(t, s, ""); a.Text("data.0.state") != "failed" {
		t.Errorf("dropped: %s", a.Raw)
	}
	rc.silent(t)
	for _, bad := range []string{`{"webhook":"explode"}`, `{"webhook":"drop","action":"delay"}`} {
		if a := s.Do(t, http.MethodPost, "/_sandbox/faults", bad, admin...); a.Status != 400 {
			t.Errorf("%s: got %d, want 400", bad, a.Status)
		}
	}
}

// Several servers on one database deliver every event once.
func TestWebhooks_AreSharedByServers(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	rc := receive(t, always(200))
	servers := make([]*sandboxtest.Server, 3)
	for i := range servers {
		servers[i] = sandboxtest.Start(t, db, nil)
		servers[i].Deliver(t)
	}
	secret, err := servers[0].Sandbox.Endpoint(t.Context(), rc.url)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := servers[1].Sandbox.Endpoint(t.Context(), rc.url); err != nil || again != secret {
		t.Errorf("the second server has another secret: %v", err)
	}
	byControl := servers[2].Do(t, http.MethodPost, "/_sandbox/endpoints", `{"url":"`+rc.url+`"}`, admin...).OK(t)
	if byControl.Text("secret") != secret {
		t.Errorf("the control path has another secret: %s", byControl.Raw)
	}
	const n = 60
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { servers[i%3].Charge(t, "tok_visa", "").OK(t) })
	}
	wg.Wait()
	settled(t, servers[0], "")
	seen := map[string]int{}
	for range n {
		l := rc.next(t)
		if _, err := webhook.ConstructEvent(l.body, l.header.Get("Stripe-Signature"), secret); err != nil {
			t.Error(err)
		}
		seen[l.event.ID]++
	}
	rc.silent(t)
	if len(seen) != n {
		t.Errorf("%d events came %d times", len(seen), n)
	}
}

func TestWebhooks_TellAboutSessions(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	rc := receive(t, always(200))
	endpoint(t, s, rc.url, "*")
	cs := session(t, s, nil)
	newShopper(t).do(http.MethodPost, cs.URL, card("4242424242424242"))
	gone := session(t, s, nil)
	s.Do(t, http.MethodPost, "/v1/checkout/sessions/"+gone.ID+"/expire", "").OK(t)
	s.Deliver(t)
	var came []string
	for range 5 {
		l := rc.next(t)
		came = append(came, string(l.event.Type))
		if l.event.Type == "checkout.session.completed" && (l.event.Data.Object["id"] != cs.ID || l.event.Data.Object["payment_status"] != "paid") {
			t.Errorf("completed: %s", l.body)
		}
	}
	slices.Sort(came)
	want := []string{"charge.succeeded", "checkout.session.completed", "checkout.session.expired", "payment_intent.created", "payment_intent.succeeded"}
	if !slices.Equal(came, want) {
		t.Errorf("got %v, want %v", came, want)
	}
}

func TestDisputes_OpenAndClose(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	dispute := func(charge, json string) sandboxtest.Answer {
		return s.Do(t, http.MethodPost, "/_sandbox/disputes/"+charge, json, admin...)
	}
	ch := s.Charge(t, "tok_visa", "").OK(t).Text("id")
	if d := dispute(ch, `{"reason":"product_not_received"}`).OK(t); d.Text("reason") != "product_not_received" || d.Text("status") != "needs_response" {
		t.Errorf("dispute: %s", d.Raw)
	}
	s.Do(t, http.MethodPost, "/v1/refunds", "charge="+ch).Refused(t, 400, "invalid_request_error", "charge_disputed", "", "")
	dispute(ch, ``).Refused(t, 400, "invalid_request_error", "", "", "charge")
	if d := dispute(ch, `{"close":"won"}`).OK(t); d.Text("status") != "won" {
		t.Errorf("won: %s", d.Raw)
	}
	dispute(ch, `{"close":"won"}`).Refused(t, 400, "invalid_request_error", "", "", "")
	lost := s.Charge(t, "tok_createDispute", "").OK(t).Text("id")
	id := s.Do(t, http.MethodGet, "/v1/disputes", "charge="+lost).OK(t).Text("data.0.id")
	if d := s.Do(t, http.MethodPost, "/v1/disputes/"+id+"/close", "").OK(t); d.Text("status") != "lost" {
		t.Errorf("lost: %s", d.Raw)
	}
	for path, want := range map[string]int{"ch_nothing": 404} {
		if a := dispute(path, `{"close":"won"}`); a.Status != want {
			t.Errorf("%s: got %d, want %d", path, a.Status, want)
		}
	}
	var kinds []string
	events := s.Do(t, http.MethodGet, "/v1/events", "type=charge.dispute.*").OK(t)
	data, _ := events.At("data").([]any)
	for _, item := range data {
		m, _ := item.(map[string]any)
		kind, _ := m["type"].(string)
		kinds = append(kinds, strings.TrimPrefix(kind, "charge.dispute."))
	}
	if got := strings.Join(kinds, " "); got != "closed funds_withdrawn created closed funds_reinstated funds_withdrawn created" {
		t.Errorf("events: %s", got)
	}
	var ops []string
	for _, m := range journal(t, s) {
		ops = append(ops, m.Op)
	}
	if got := strings.Join(ops, " "); got != "charge dispute dispute_won charge dispute" {
		t.Errorf("journal: %s", got)
	}
}

func TestReset_ForgetsEverythingButEndpoints(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	rc := receive(t, always(200))
	endpoint(t, s, rc.url, "*")
	ch := s.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t).Text("id")
	s.Do(t, http.MethodPost, "/_sandbox/clock", `{"advance_seconds":60}`, admin...).OK(t)
	s.Do(t, http.MethodPost, "/_sandbox/reset", "", admin...).OK(t)
	clock := s.Do(t, http.MethodGet, "/_sandbox/clock", "", admin...).OK(t)
	if a := s.Do(t, http.MethodGet, "/v1/charges/"+ch, ""); a.Status != 404 || len(journal(t, s)) != 0 || clock.Int("ahead_seconds") != 0 {
		t.Errorf("after the reset: %d, journal %v, %s", a.Status, journal(t, s), clock.Raw)
	}
	s.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t)
	s.Deliver(t)
	rc.next(t)
	for _, bad := range []string{``, `{"advance_seconds":-1}`, `{"now":1}`} {
		if a := s.Do(t, http.MethodPost, "/_sandbox/clock", bad, admin...); a.Status != 400 {
			t.Errorf("%s: got %d, want 400", bad, a.Status)
		}
	}
}

func TestClock_ForgetsKeysForEveryServer(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	one, other := sandboxtest.Start(t, db, nil), sandboxtest.Start(t, db, nil)
	first := one.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t).Text("id")
	one.Do(t, http.MethodPost, "/_sandbox/clock", `{"advance_seconds":90000}`, admin...).OK(t)
	if second := other.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t).Text("id"); second == first {
		t.Error("the key is still known after 25 hours")
	}
}

func TestListenOn_ServesAPIAndPagesAlone(t *testing.T) {
	t.Parallel()
	c := config(t)
	s, err := sandbox.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ListenOn(t.Context(), "127.0.0.1:none"); !fault.Is(err, "sandbox.listen") {
		t.Errorf("a wrong address: %v", err)
	}
	url, err := s.ListenOn(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Start(t.Context())
	client := &sandboxtest.Server{URL: url, Sandbox: s}
	rc := receive(t, always(200))
	if _, err := s.Endpoint(t.Context(), rc.url); err != nil {
		t.Fatal(err)
	}
	cs := session(t, client, nil)
	if !strings.HasPrefix(cs.URL, url+"/_stripe/pay/") {
		t.Errorf("the page is at %s", cs.URL)
	}
	newShopper(t).get(cs.URL).wants(t, 200, "Pay $35.00")
	client.Charge(t, "tok_visa", "").OK(t)
	rc.next(t)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}
