package sandbox_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox"
	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

func config(t *testing.T) sandbox.Config {
	t.Helper()
	return sandbox.Config{DB: testkit.DB(t), SecretKey: sandboxtest.SecretKey, PublishableKey: sandboxtest.PublishableKey}
}

func TestNew_ServersStartTogetherAndStateStays(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	servers := make([]*sandboxtest.Server, 4)
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() { servers[i] = sandboxtest.Start(t, db, nil) })
	}
	wg.Wait()
	first := servers[0].Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t)
	servers[1].Do(t, http.MethodPost, "/v1/refunds", "amount=300&charge="+first.Text("id")).OK(t)
	later := sandboxtest.Start(t, db, nil)
	if a := later.Do(t, http.MethodGet, "/v1/charges/"+first.Text("id"), "").OK(t); a.Int("amount_refunded") != 300 {
		t.Errorf("the state is lost: %s", a.Raw)
	}
	if a := later.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t); !bytes.Equal(a.Raw, first.Raw) {
		t.Errorf("the stored answer is lost: %s", a.Raw)
	}
	if moves := journal(t, later); len(moves) != 2 {
		t.Errorf("the journal has %+v", moves)
	}
}

func TestNew_AppsOnOneDatabaseAreApart(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	one, other := sandboxtest.Start(t, db, nil), sandboxtest.Start(t, db.In("app_other"), nil)
	id := one.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t).Text("id")
	if a := other.Do(t, http.MethodGet, "/v1/charges/"+id, ""); a.Status != 404 {
		t.Errorf("got %d, want 404", a.Status)
	}
	if a := other.Charge(t, "tok_visa", "", "Idempotency-Key", "k").OK(t); a.Text("id") == id {
		t.Error("the key of one app replays in another")
	}
}

func TestNew_RefusesKeysThatAreNotTestKeys(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*sandbox.Config){
		"sandbox.live_key": func(c *sandbox.Config) { c.SecretKey = "sk_live_0123456789" },
		"sandbox.bad_key":  func(c *sandbox.Config) { c.PublishableKey = "sk_test_0123456789" },
	} {
		c := config(t)
		change(&c)
		if _, err := sandbox.New(t.Context(), c); !fault.Is(err, name) || strings.Contains(err.Error(), "0123456789") {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func TestListen_ServesUntilStop(t *testing.T) {
	t.Parallel()
	s, err := sandbox.New(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Listen(t.Context()); !fault.Is(err, "sandbox.listening") {
		t.Errorf("second Listen: %v", err)
	}
	client := &sandboxtest.Server{URL: url, Sandbox: s}
	client.Charge(t, "tok_visa", "").OK(t)
	if a, err := http.Get(url + "/_sandbox/journal"); err != nil || a.StatusCode != 404 { //nolint:noctx,bodyclose // a test
		t.Errorf("control without a token: %v %v", a, err)
	}
	slow := make(chan sandboxtest.Answer, 1)
	started := make(chan struct{})
	go func() {
		close(started)
		slow <- client.Charge(t, "tok_sandbox_slow_50", "")
	}()
	<-started
	client.Do(t, http.MethodGet, "/v1/balance", "").OK(t)
	(<-slow).OK(t)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	client.Fails(t, http.MethodGet, "/v1/balance", "")
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("second Stop: %v", err)
	}
}

func TestBrowser_MakesTokensAndNothingElse(t *testing.T) {
	t.Parallel()
	s, err := sandbox.New(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(s.Browser())
	t.Cleanup(front.Close)
	page := &sandboxtest.Server{URL: front.URL + "/_stripe", Sandbox: s}
	card := "card[number]=4242424242424242&card[exp_month]=12&card[exp_year]=2040&card[cvc]=123"
	a := page.Do(t, http.MethodPost, "/v1/tokens", card+"&key="+sandboxtest.PublishableKey, "Authorization", "").OK(t)
	if !strings.HasPrefix(a.Text("id"), "tok_1") || a.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("token: %v %s", a.Header, a.Raw)
	}
	page.Do(t, http.MethodPost, "/v1/tokens", card).Refused(t, 401, "invalid_request_error", "", "", "") // a secret key in a page
	page.Do(t, http.MethodPost, "/v1/tokens", card, "Authorization", "").Refused(t, 401, "invalid_request_error", "", "", "")
	if a := page.Do(t, http.MethodOptions, "/v1/tokens", ""); a.Status != 204 || a.Header.Get("Access-Control-Allow-Methods") == "" {
		t.Errorf("preflight: %d %v", a.Status, a.Header)
	}
	for _, path := range []string{"/v1/charges", "/v1/tokens/tok_1", "/v1/events", "/_sandbox/journal"} {
		r := httptest.NewRecorder()
		s.Browser().ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/_stripe"+path, nil))
		if r.Code != 404 {
			t.Errorf("%s: got %d, want 404", path, r.Code)
		}
	}
}

func TestAuth_TakesTheFormsOfClients(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	basic := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
	for auth, want := range map[string]int{
		"Bearer " + sandboxtest.SecretKey: 200, "bearer " + sandboxtest.SecretKey: 200, basic(sandboxtest.SecretKey + ":"): 200,
		"Bearer rk_test_sandboxtest0001": 200, "Basic !!": 401, basic("sk_test_other:"): 401, "Digest x": 401,
	} {
		if a := s.Do(t, http.MethodGet, "/v1/balance", "", "Authorization", auth); a.Status != want {
			t.Errorf("%s: got %d, want %d", auth, a.Status, want)
		}
	}
	a := s.Do(t, http.MethodGet, "/v1/balance", "", "Authorization", "Bearer <your-stripe-private-key>")
	if m := a.Text("error.message"); !strings.Contains(m, "sk_test_****0001") || strings.Contains(m, sandboxtest.SecretKey) {
		t.Errorf("the message does not help, or tells too much: %s", m)
	}
}

func TestWire_HeadersAndVersions(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	a := s.Charge(t, "tok_visa", "", "Stripe-Version", "2022-08-01").OK(t)
	if h := a.Header; !strings.HasPrefix(h.Get("Request-Id"), "req_") || h.Get("Stripe-Version") != "2022-08-01" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", h)
	}
	if a.At("refunds.object") != "list" {
		t.Errorf("an old version has no refunds: %s", a.Raw)
	}
	a = s.Do(t, http.MethodGet, "/v1/charges/"+a.Text("id"), "").OK(t)
	if _, has := a.Body["refunds"]; has {
		t.Errorf("a new version has refunds: %s", a.Raw)
	}
	none := s.Do(t, http.MethodGet, "/v1/charges", "", "Stripe-Version", "").OK(t)
	if none.Header.Get("Stripe-Version") != "2023-10-16" || none.At("data.0.refunds.object") != "list" {
		t.Errorf("without a version: %v %s", none.Header, none.Raw)
	}
	if a := s.Do(t, http.MethodPost, "/v1/charges", strings.Repeat("x", 1<<20+1)); a.Status != 413 {
		t.Errorf("a large body: %d", a.Status)
	}
}

func TestLists_TurnPagesBothWays(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	ids := make([]string, 5) // newest first
	for i := range ids {
		ids[len(ids)-1-i] = s.Charge(t, "tok_visa", "").OK(t).Text("id")
	}
	for form, want := range map[string]string{
		"limit=2": "0 1 more", "limit=2&starting_after=" + ids[1]: "2 3 more", "starting_after=" + ids[3]: "4",
		"limit=2&ending_before=" + ids[4]: "2 3 more", "limit=2&ending_before=" + ids[2]: "0 1", "ending_before=" + ids[0]: "",
		"limit=5": "0 1 2 3 4", "created[gte]=1": "0 1 2 3 4", "created[lt]=1": "",
	} {
		a := s.Do(t, http.MethodGet, "/v1/charges", form).OK(t)
		var got []string
		data, _ := a.At("data").([]any)
		for _, item := range data {
			m, _ := item.(map[string]any)
			for i, id := range ids {
				if m["id"] == id {
					got = append(got, string(rune('0'+i)))
				}
			}
		}
		if a.At("has_more") == true {
			got = append(got, "more")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", form, got, want)
		}
	}
}

func TestLog_HoldsNoKeysAndNoCards(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := config(t)
	c.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := sandbox.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(s.API())
	client := &sandboxtest.Server{URL: front.URL, Sandbox: s, Clock: &sandboxtest.Clock{}}
	client.Token(t, "4242424242424242")
	client.Do(t, http.MethodPost, "/v1/tokens", "card[number]=4539578763621486&card[exp_month]=12&card[exp_year]=2040")
	client.Do(t, http.MethodGet, "/v1/tokens/4242424242424242", "")
	client.Do(t, http.MethodGet, "/v1/balance", "", "Authorization", "Bearer sk_live_0123456789")
	front.Close() // the log is complete
	text := out.String()
	if !strings.Contains(text, "/v1/tokens") {
		t.Fatalf("the log is empty: %s", text)
	}
	for _, secret := range []string{"4242424242424242", "4539578763621486", "sk_test_", "pk_test_", "sk_live_"} {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds %s: %s", secret, text)
		}
	}
}

func TestStop_EndsDelays(t *testing.T) {
	t.Parallel()
	s, err := sandbox.New(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(s.API())
	t.Cleanup(front.Close)
	start := time.Now()
	(&sandboxtest.Server{URL: front.URL}).Charge(t, "tok_sandbox_slow_60000", "").OK(t)
	if time.Since(start) > 10*time.Second {
		t.Error("the delay went on after Stop")
	}
}
