package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"crema/server/testkit"
)

var webhookSecret = regexp.MustCompile(`whsec_\w+`)

// forbidden is what must stand nowhere: what Stripe makes, and what looks like a card.
var forbidden = map[string]*regexp.Regexp{
	"a secret key":     regexp.MustCompile(`(?:sk|rk)_(?:test|live)_\w+`),
	"a webhook secret": webhookSecret,
	"a client secret":  regexp.MustCompile(`\w+_secret_\w+`),
	"a card token":     regexp.MustCompile(`tok_1\w+`),
	"a card number":    regexp.MustCompile(`(?:^|[^\w.-])(\d{13,19}|\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{1,7})(?:$|[^\w-])`),
}

// What the test itself sends and must never see again.
const (
	theMasterKey = "M4sterKeyOfTheSecretsTest"
	theBearer    = "BearerOfTheSecretsTest"
	theSignature = "0123456789abcdef0123456789abcdefSignature"
	strayKey     = "sk_live_51StrayKeyThatAClientSends"
)

// leaks lists what a text gives away, but for what is excused.
func leaks(text string, excused ...string) []string {
	var found []string
	for what, form := range forbidden {
		for _, m := range form.FindAllStringSubmatch(text, -1) {
			if hit := m[len(m)-1]; what != "a card number" || luhn(hit) {
				found = append(found, what+": "+hit)
			}
		}
	}
	for what, value := range map[string]string{"the master key": theMasterKey, "a bearer": theBearer, "a signature": theSignature} {
		if strings.Contains(text, value) {
			found = append(found, what)
		}
	}
	return remove(found, excused)
}

func remove(found, excused []string) []string {
	var left []string
	for _, f := range found {
		good := false
		for _, e := range excused {
			good = good || strings.HasPrefix(f, e)
		}
		if !good {
			left = append(left, f)
		}
	}
	return left
}

func luhn(number string) bool {
	sum, double := 0, false
	for i := len(number) - 1; i >= 0; i-- {
		n := int(number[i] - '0')
		if n < 0 || n > 9 {
			continue // a blank or a dash
		}
		if double {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum, double = sum+n, !double
	}
	return sum%10 == 0
}

func TestLeaks_FindsWhatItLooksFor(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"sk_test_abc", "rk_live_abc", "x whsec_abc", "pi_3A_secret_b", "tok_1Abc", "4242424242424242", "card 4000 0000 0000 0002.", "4242-4242-4242-4242",
		theMasterKey, theBearer, theSignature,
	} {
		if len(leaks("x\n"+text+" y")) == 0 {
			t.Errorf("%q is not found", text)
		}
	}
	for _, text := range []string{"sk_test_", "webhook_secrets", "4242424242424243", "2026-11-21 22:04:04", "1.8446744073709552e+19"} {
		if got := leaks(text); len(got) > 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// spy keeps every answer of the shop's own server. What the sandbox answers below /_stripe/ is another
// company's: a browser is sent tokens there, and the page names the published test cards.
type spy struct {
	t    *testing.T
	url  string
	seen bytes.Buffer
}

func (s *spy) do(method, path, contentType, body string, headers ...string) (int, string) {
	s.t.Helper()
	target := path
	if strings.HasPrefix(path, "/") {
		target = s.url + path
	}
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := stay.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.HasPrefix(req.URL.Path, "/_stripe/") {
		fmt.Fprintf(&s.seen, "%d %v\n%s\n", resp.StatusCode, resp.Header, b)
	}
	if resp.StatusCode == http.StatusSeeOther {
		return resp.StatusCode, resp.Header.Get("Location")
	}
	return resp.StatusCode, string(b)
}

func (s *spy) rpc(function, body string, headers ...string) string {
	_, answer := s.do(http.MethodPost, "/lambda/"+function, "application/json", body, append(headers, "X-Skygear-Api-Key", "test-api-key")...)
	return answer
}

// mint makes a card token as the card form does.
func (s *spy) mint(number string) string {
	s.t.Helper()
	_, conf := s.do(http.MethodGet, "/payments/config.json", "", "")
	var c struct{ Key string }
	if err := json.Unmarshal([]byte(conf), &c); err != nil {
		s.t.Fatal(err)
	}
	form := url.Values{"card[number]": {number}, "card[exp_month]": {"12"}, "card[exp_year]": {"2034"}, "card[cvc]": {"123"}, "key": {c.Key}}
	_, body := s.do(http.MethodPost, "/_stripe/v1/tokens", "application/x-www-form-urlencoded", form.Encode())
	var token struct{ ID string }
	if err := json.Unmarshal([]byte(body), &token); err != nil || !strings.HasPrefix(token.ID, "tok_1") {
		s.t.Fatalf("no token: %s", body)
	}
	return token.ID
}

// No key, token, card number, client secret or header of ours shows in a log, an answer, a command's output
// or the database, whatever is done with the shop.
func TestSecrets_ShowNowhere(t *testing.T) {
	t.Parallel()
	database := testkit.EmptyDatabaseURL(t)
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+database, "MASTER_KEY="+theMasterKey, "LOG_LEVEL=debug")
	shop := &spy{t: t, url: s.URL}
	paidOrder := payByToken(t, shop)
	payHosted(t, shop)
	abuse(shop)
	eventually(t, s, `select count(*) > 0 and bool_and(processed_at is not null) from _provider_event`, "t")

	var commands strings.Builder
	for _, args := range [][]string{
		{"payments", "list"},
		{"payments", "list", "--json"},
		{"payments", "list", "--csv"},
		{"payments", "refund", paidOrder, "--amount", "1.00", "--reason", "duplicate", "--yes"},
		{"payments", "refund", paidOrder, "--reason", "requested_by_customer", "--yes"},
		{"payments", "show", paidOrder},
		{"payments", "show", paidOrder, "--json"},
		{"payments", "show", strayKey},
		{"payments", "recheck", paidOrder},
		{"payments", "sweep"},
		{"payments", "breaks"},
		{"payments", "webhook", "create"},
		{"doctor"},
	} {
		out, _ := s.Run(t, args...)
		commands.WriteString(out + "\n")
	}
	for where, text := range map[string]string{
		"the log": s.Log(), "an answer": shop.seen.String(), "a command": commands.String(), "the app's tables": dump(t, database, "app_coffee"),
	} {
		if len(text) < 500 {
			t.Errorf("%s was not looked at: %q", where, text)
		}
		for _, leak := range leaks(text) {
			t.Errorf("%s shows %s", where, leak)
		}
	}
	// The sandbox is the other company: its tokens are objects that it keeps, and intents have their client
	// secret. Keys, signing secrets and card numbers it must not keep either.
	books := dump(t, database, "stripe_app_coffee")
	for _, leak := range leaks(books, "a card token", "a client secret") {
		t.Errorf("the sandbox's tables show %s", leak)
	}
	if !strings.Contains(books, "tok_1") || !strings.Contains(books, "_secret_") {
		t.Error("nothing secret was made: the test looks at nothing")
	}
}

// payByToken pays, is declined, and repeats itself, and returns a paid order.
func payByToken(t *testing.T, shop *spy) (order string) {
	t.Helper()
	good, bad := shop.mint("4242424242424242"), shop.mint("4000000000000002")
	var p payment
	if err := json.Unmarshal([]byte(shop.rpc("process_payment", payBody(good, ""))), &p); err != nil || len(p.Result.Result) != 1 {
		t.Fatalf("not paid: %+v", p)
	}
	shop.rpc("process_payment", payBody(good, ""))
	shop.rpc("process_payment", payBody(good, "secrets-other-order")) // the token is used up
	shop.rpc("process_payment", payBody(bad, "secrets-declined"))
	for _, token := range []string{"4242424242424242", strayKey, "tok_sandbox_slow_300", "tok_1" + strings.Repeat("x", 30), `tok_1"}`} {
		shop.rpc("process_payment", payBody(token, ""))
	}
	order, _ = p.Result.Result[0]["order_id"].(string)
	return order
}

// payHosted goes to the hosted page, is declined there, pays, and comes back.
func payHosted(t *testing.T, shop *spy) {
	t.Helper()
	_, conf := shop.do(http.MethodGet, "/payments/config.json", "", "")
	var c struct{ Products []struct{ ID string } }
	if err := json.Unmarshal([]byte(conf), &c); err != nil || len(c.Products) == 0 {
		t.Fatalf("no products: %s", conf)
	}
	var opened struct {
		Result struct {
			URL string
		}
	}
	answer := shop.rpc("create_checkout", `{"items":[{"product_id":"`+c.Products[0].ID+`","quantity":2}],"order_key":"secrets-hosted-order","email":"ada@example.com"}`)
	if err := json.Unmarshal([]byte(answer), &opened); err != nil || opened.Result.URL == "" {
		t.Fatalf("no checkout: %s", answer)
	}
	shop.do(http.MethodGet, opened.Result.URL, "", "")
	for _, card := range []string{"4000000000000002", "4242424242424242"} {
		form := url.Values{"number": {card}, "expiry": {"12 / 34"}, "cvc": {"123"}}
		status, location := shop.do(http.MethodPost, opened.Result.URL, "application/x-www-form-urlencoded", form.Encode())
		if card == "4242424242424242" && status != http.StatusSeeOther {
			t.Fatalf("the hosted page answers %d", status)
		} else if status == http.StatusSeeOther {
			shop.do(http.MethodGet, location, "", "")
		}
	}
	shop.rpc("create_checkout", `{"items":[{"product_id":"4242424242424242","quantity":1}],"order_key":"`+strayKey+`"}`)
}

// abuse sends secrets where they do not belong, and asks for pages that tell much.
func abuse(shop *spy) {
	notice := `{"id":"evt_1","type":"charge.succeeded","data":{"object":{"id":"ch_1","client_secret":"pi_3A_secret_forged"}},"key":"whsec_forged"}`
	shop.do(http.MethodPost, "/stripe/webhook", "application/json", notice, "Stripe-Signature", "t=1,v1="+theSignature)
	shop.do(http.MethodPost, "/stripe/webhook", "application/json", notice, "Authorization", "Bearer "+theBearer)
	for _, path := range []string{"/metrics", "/healthz", "/healthz/payments", "/", "/sdk/skygear.js", "/nowhere"} {
		shop.do(http.MethodGet, path, "", "", "X-Skygear-Api-Key", theMasterKey, "Authorization", "Bearer "+theBearer)
		shop.do(http.MethodGet, path, "", "", "X-Skygear-Api-Key", strayKey, "X-Forwarded-For", "203.0.113.7")
	}
	shop.do(http.MethodGet, "/orders/"+strayKey+"?t=tok_1abcdefgh", "", "")
	shop.do(http.MethodGet, "/record/query?api_key="+theMasterKey, "", "")
	shop.do(http.MethodGet, "/"+strayKey, "", "")
	shop.do(http.MethodPost, "/", "application/json", `{"action":"process_payment","api_key":"`+strayKey+`","args":["4242424242424242"]}`)
	shop.do(http.MethodPost, "/_stripe/v1/tokens", "application/x-www-form-urlencoded", "card[number]=4242424242424242&key="+strayKey)
}

// A provider that refuses the key is told of in the log, the key is not.
func TestSecrets_ARefusedKeyIsNotShown(t *testing.T) {
	t.Parallel()
	dir, database := testkit.AppDir(t), testkit.EmptyDatabaseURL(t)
	env := []string{"DATABASE_URL=" + database, "API_KEY=test-api-key", "MASTER_KEY=" + theMasterKey}
	box := startSandbox(t, dir, append(env, "STRIPE_SECRET_KEY=sk_test_theRightKeyOfTheBox", "STRIPE_PUBLISHABLE_KEY=pk_test_theRightKeyOfTheBox")...)
	env = append(env, "STRIPE_SANDBOX_URL="+box, "STRIPE_SECRET_KEY=sk_test_theWrongKeyOfTheShop", "STRIPE_PUBLISHABLE_KEY=pk_test_theWrongKeyOfTheShop")
	s := testkit.StartServer(t, dir, append(env, "LOG_LEVEL=debug")...)
	shop := &spy{t: t, url: s.URL}
	if answer := shop.rpc("process_payment", payBody("tok_visa", "secrets-refused-key")); !strings.Contains(answer, "payments_unavailable") {
		t.Errorf("the shopper reads %s", answer)
	}
	out, err := s.Run(t, "doctor")
	if err == nil || !strings.Contains(out, "the provider refuses the key") {
		t.Errorf("the doctor says\n%s", out)
	}
	for where, text := range map[string]string{"the log": s.Log(), "an answer": shop.seen.String(), "the doctor": out, "the tables": dump(t, database, "app_coffee")} {
		for _, leak := range leaks(text) {
			t.Errorf("%s shows %s", where, leak)
		}
	}
}

func dump(t *testing.T, database, schema string) string {
	t.Helper()
	out, err := exec.Command("pg_dump", "--dbname="+database, "--schema="+schema, "--inserts").Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	return string(out)
}
