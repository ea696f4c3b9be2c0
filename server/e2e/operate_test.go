package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"crema/server/testkit"
)

// must runs a command of the binary and returns what it prints.
func must(t *testing.T, s *testkit.Server, args ...string) string {
	t.Helper()
	out, err := s.Run(t, args...)
	if err != nil {
		t.Fatalf("crema %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs a command that must fail and say why.
func refused(t *testing.T, s *testkit.Server, code int, says string, args ...string) {
	t.Helper()
	out, err := s.Run(t, args...)
	exit, ok := err.(*exec.ExitError)
	if !ok || exit.ExitCode() != code || !strings.Contains(out, says) {
		t.Errorf("crema %s: %v, want exit code %d and %q\n%s", strings.Join(args, " "), err, code, says, out)
	}
}

// The operator's commands work while the server runs and when it does not.
func TestPayments_TheOperatorsCommands(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"private cluster": nil,
		"DATABASE_URL":    {"DATABASE_URL=" + testkit.EmptyDatabaseURL(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.StartServer(t, testkit.AppDir(t), env...)
			order := pay(t, s, "tok_visa", "e2e-operator-order").Result.Result[0]["order_id"].(string)
			pay(t, s, "tok_chargeDeclined", "e2e-operator-declined")

			out := must(t, s, "payments", "refund", order, "--amount", "2.50", "--reason", "requested_by_customer", "--note", "torn bag", "--yes")
			if !strings.Contains(out, "2.50 USD, succeeded; 7.50 USD can still be refunded") {
				t.Errorf("refund says %s", out)
			}
			refused(t, s, 1, "refunded already", "payments", "refund", order, "--amount", "2.50", "--reason", "duplicate", "--expected-refunded", "0.00", "--yes")
			refused(t, s, 1, "can be refunded at most", "payments", "refund", order, "--amount", "7.51", "--reason", "duplicate", "--yes")
			refused(t, s, 2, "--amount is", "payments", "refund", order, "--amount", "2.5", "--reason", "duplicate", "--yes")
			refused(t, s, 2, "give a reason", "payments", "refund", order, "--reason", "bored", "--yes")
			refused(t, s, 1, "there is no such payment", "payments", "show", "ch_nothing")
			refused(t, s, 2, "--state must be", "payments", "list", "--state", "lost")
			refused(t, s, 3, "no Stripe account is configured", "payments", "webhook", "create", "--url", "https://x.example/stripe/webhook")

			s.Stop(t)
			out = must(t, s, "payments", "refund", order, "--reason", "duplicate", "--yes")
			if !strings.Contains(out, "7.50 USD, succeeded; 0.00 USD") {
				t.Errorf("the rest: %s", out)
			}
			wantBooks(t, s, order)
		})
	}
}

// wantBooks looks at a refunded order through every command that tells about it.
func wantBooks(t *testing.T, s *testkit.Server, order string) {
	t.Helper()
	var d struct {
		Status   string
		Attempts []struct {
			Refunded int64 `json:"amount_refunded"`
		}
		Transitions, Refunds []map[string]any
	}
	if err := json.Unmarshal([]byte(must(t, s, "payments", "show", order, "--json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.Status != "refunded" || len(d.Attempts) != 1 || d.Attempts[0].Refunded != 1000 ||
		len(d.Refunds) != 2 || len(d.Transitions) != 3 || d.Refunds[0]["note"] != "torn bag" {
		t.Errorf("show tells %+v", d)
	}
	if out := must(t, s, "payments", "show", order); !strings.Contains(out, "torn bag") || !strings.Contains(out, "1 x Kenya AA") {
		t.Errorf("show prints\n%s", out)
	}
	if out := must(t, s, "payments", "list", "--csv", "--email", "ADA@example.com"); strings.Count(out, "\n") != 2 || !strings.Contains(out, ",1000,1000,usd,") {
		t.Errorf("list prints\n%s", out)
	}
	if out := must(t, s, "payments", "list", "--state", "failed", "--json"); strings.Count(out, "card_declined") != 1 {
		t.Errorf("list prints\n%s", out)
	}
	if out := must(t, s, "payments", "recheck", order); !strings.Contains(out, "was succeeded and is succeeded") {
		t.Errorf("recheck says %s", out)
	}
	if out := must(t, s, "payments", "sweep", "--day", time.Now().UTC().Format(time.DateOnly)); !strings.Contains(out, ": 0 differences") {
		t.Errorf("sweep says %s", out)
	}
	refused(t, s, 1, "no open break", "payments", "breaks", "--close", "7")
	if n := psql(t, s, `select sum(amount) from stripe_app_coffee.journal where op = 'refund'`); n != "1000" {
		t.Errorf("the provider gave back %s", n)
	}
	if n := psql(t, s, `select status from payment_record`); n != "refunded" {
		t.Errorf("the record is %s", n)
	}
}

// A charge that nobody here knows is found by the sweep and closed by the operator.
func TestPayments_SweepFindsWhatOnlyTheProviderHas(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.EmptyDatabaseURL(t))
	order := pay(t, s, "tok_visa", "e2e-orphan-order").Result.Result[0]["order_id"].(string)
	eventually(t, s, `select count(*) from _provider_event where processed_at is null`, "0")
	s.Stop(t)
	psql(t, s, `begin; delete from payment_record; delete from _payment_transition; delete from _payment; delete from _order_item; delete from _order; commit`)
	today := time.Now().UTC().Format(time.DateOnly)
	if out := must(t, s, "payments", "sweep", "--day", today); !strings.Contains(out, ": 1 differences") || !strings.Contains(out, "orphan_charge") {
		t.Errorf("sweep says %s", out)
	}
	refused(t, s, 1, "1 differences with the provider are open", "doctor")
	id := strings.TrimSpace(psql(t, s, `select id from _reconciliation_break`))
	must(t, s, "payments", "breaks", "--close", id)
	if out := must(t, s, "payments", "breaks", "--json"); out != "[]" {
		t.Errorf("breaks says %s", out)
	}
	refused(t, s, 1, "there is no such payment", "payments", "show", order)
}

// startSandbox runs `crema sandbox` and returns its URL.
func startSandbox(t *testing.T, dir string, env ...string) (url string) {
	t.Helper()
	cmd := exec.Command(testkit.Binary(t), "sandbox", "--listen", "127.0.0.1:0")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the sandbox ends with %v", err)
		}
	})
	line := make([]byte, 200)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(line[:n]))
}

// A server, the sandbox in a process of its own, a webhook endpoint made by the command: what a real
// account looks like, without one.
func TestSandbox_InAProcessOfItsOwn(t *testing.T) {
	t.Parallel()
	const secret, public = "sk_test_e2ee2ee2ee2e", "pk_test_e2ee2ee2ee2e"
	dir, port := testkit.AppDir(t), freePort(t)
	env := []string{
		"DATABASE_URL=" + testkit.EmptyDatabaseURL(t), "STRIPE_SECRET_KEY=" + secret, "STRIPE_PUBLISHABLE_KEY=" + public,
		"API_KEY=test-api-key", "MASTER_KEY=test-master-key",
	}
	env = append(env, "STRIPE_SANDBOX_URL="+startSandbox(t, dir, env...), "HOST=127.0.0.1:"+port, "PUBLIC_URL=http://127.0.0.1:"+port)
	out, code := testkit.Run(t, dir, env, "payments", "webhook", "create")
	made := webhookSecret.FindString(out)
	if code != 0 || made == "" || strings.Count(out, made) != 1 {
		t.Fatalf("webhook create: exit code %d\n%s", code, out)
	}
	if out, code := testkit.Run(t, dir, env, "payments", "webhook", "create"); code != 1 || strings.Contains(out, made) || !strings.Contains(out, "already") {
		t.Errorf("a second endpoint: exit code %d\n%s", code, out)
	}
	s := testkit.StartServer(t, dir, append(env, "STRIPE_WEBHOOK_SECRET=whsec_anolderone,"+made)...)
	if p := pay(t, s, "tok_visa", "e2e-far-sandbox"); len(p.Result.Result) != 1 {
		t.Errorf("%+v", p)
	}
	eventually(t, s, `select count(*) > 0 and bool_and(processed_at is not null) from _provider_event`, "t")
	if out := must(t, s, "doctor"); strings.Contains(out, "fault") {
		t.Errorf("the doctor says\n%s", out)
	}
	if strings.Contains(s.Log(), made) || strings.Contains(s.Log(), secret) {
		t.Error("the log holds a secret")
	}
}

// The built-in sandbox sends its notices to the server that runs it, over restarts to one endpoint.
func TestSandbox_NotifiesItsOwnServer(t *testing.T) {
	t.Parallel()
	dir, env := testkit.AppDir(t), []string{"DATABASE_URL=" + testkit.EmptyDatabaseURL(t), "HOST=127.0.0.1:" + freePort(t)}
	for _, key := range []string{"e2e-notice-first", "e2e-notice-second"} {
		s := testkit.StartServer(t, dir, env...)
		pay(t, s, "tok_visa", key)
		eventually(t, s, `select count(*) filter (where processed_at is not null) = count(*) and
			count(*) filter (where type = 'charge.succeeded') = (select count(*) from payment_record) from _provider_event`, "t")
		if n := psql(t, s, `select count(*) from stripe_app_coffee.object where kind = 'webhook_endpoint'`); n != "1" {
			t.Errorf("%s endpoints", n)
		}
		s.Stop(t)
	}
}

// Everything that keeps a shop from going live is told at once, before anything listens.
func TestServe_RefusesToGoLiveHalfway(t *testing.T) {
	t.Parallel()
	out, code := testkit.Run(t, testkit.AppDir(t), []string{
		"HOST=127.0.0.1:0", "STRIPE_SECRET_KEY=sk_live_abcdefghijklmnop", "STRIPE_PUBLISHABLE_KEY=pk_test_abcdefghijklmnop",
		"STRIPE_WEBHOOK_SECRET=we_abcdefghijklmnop", "PUBLIC_URL=http://shop.example",
	}, "serve")
	for _, says := range []string{"a live key and STRIPE_PUBLISHABLE_KEY a test key", "the id of the endpoint", `"live": true`, "must begin with https://"} {
		if code != 3 || !strings.Contains(out, says) {
			t.Errorf("exit code %d, %q is not said:\n%s", code, says, out)
		}
	}
	if strings.Contains(out, "abcdefgh") {
		t.Errorf("a key is shown:\n%s", out)
	}
}

func TestServe_TakesTheLimitsOfAppJSON(t *testing.T) {
	t.Parallel()
	dir := testkit.AppDir(t)
	write(t, filepath.Join(dir, "app.json"), `{"name": "coffee", "payments": {"limits": {"declines_per_email": 1}}}`)
	s := testkit.StartServer(t, dir, "DATABASE_URL="+testkit.EmptyDatabaseURL(t))
	pay(t, s, "tok_chargeDeclined", "e2e-limit-first")
	if p := pay(t, s, "tok_visa", "e2e-limit-second"); p.Result.Error.Code != "too_many_attempts" {
		t.Errorf("got %+v", p)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDoctor_FindsASecretKeyOnAPage(t *testing.T) {
	t.Parallel()
	dir := testkit.AppDir(t)
	if err := os.Remove(filepath.Join(dir, "public_html")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "public_html", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "public_html", "deep", "a.js"), `const key = "sk_test_abcdefghijklmnop";`)
	write(t, filepath.Join(dir, "public_html", "b.js"), `const key = "pk_test_abcdefghijklmnop"; // not sk_test_...`)
	write(t, filepath.Join(dir, ".env"), "LOG_LEVEL=info\n")
	out, code := testkit.Run(t, dir, []string{"HOST=127.0.0.1:0"}, "doctor")
	if !strings.Contains(out, "chmod 600 .env") {
		t.Errorf("others may read .env, and nobody says so:\n%s", out)
	}
	if code != 1 || strings.Count(out, "everybody can read it") != 1 || !strings.Contains(out, filepath.Join("deep", "a.js")) || strings.Contains(out, "abcdefgh") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

func TestDoctor_NamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  []string
		code int
		says []string
	}{
		"fresh folder": {code: 0, says: []string{"warning  keys", "warning  database", "built-in sandbox"}},
		"wrong slot":   {env: []string{"STRIPE_SECRET_KEY=pk_test_abcdefghijklmnop", "LOG_LEVEL=loud"}, code: 1, says: []string{"that is a publishable key", "LOG_LEVEL is"}},
		"no database": {
			env: []string{"DATABASE_URL=postgres://nobody:secret-pw@127.0.0.1:1/none"}, code: 1,
			says: []string{"fault    database", "the database of DATABASE_URL cannot be opened"},
		},
		"empty database": {
			env: []string{"API_KEY=a", "MASTER_KEY=m", "DATABASE_URL=" + testkit.EmptyDatabaseURL(t)}, code: 1,
			says: []string{"fault    tables", "start the server once"},
		},
		"a provider that does not answer": {
			env: []string{
				"API_KEY=a", "MASTER_KEY=m", "DATABASE_URL=" + migrated(t), "STRIPE_SANDBOX_URL=http://127.0.0.1:1",
				"STRIPE_SECRET_KEY=sk_test_abcdefghijklmnop", "STRIPE_PUBLISHABLE_KEY=pk_test_abcdefghijklmnop",
			}, code: 1,
			says: []string{"fault    provider"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := testkit.AppDir(t)
			out, code := testkit.Run(t, dir, append(c.env, "HOST=127.0.0.1:0"), "doctor")
			for _, says := range c.says {
				if !strings.Contains(out, says) {
					t.Errorf("%q is not said", says)
				}
			}
			if code != c.code || strings.Contains(out, "secret-pw") || strings.Contains(out, "abcdefgh") {
				t.Errorf("exit code %d\n%s", code, out)
			}
			if _, err := os.Stat(filepath.Join(dir, ".crema")); err == nil {
				t.Error("a data folder was made")
			}
		})
	}
}

// migrated is a database whose tables the schema of the coffee shop has.
func migrated(t *testing.T) string {
	t.Helper()
	url := testkit.EmptyDatabaseURL(t)
	testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+url).Stop(t)
	return url
}

func TestPaymentsHealth_IsForOperators(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.EmptyDatabaseURL(t))
	pay(t, s, "tok_visa", "e2e-health-order")
	for _, c := range []struct {
		forwarded, key string
		want           []int
	}{
		{"", "", []int{http.StatusOK}},
		{"203.0.113.5", "", []int{http.StatusUnauthorized, http.StatusForbidden}},
		{"203.0.113.5", s.APIKey, []int{http.StatusForbidden}},
		{"203.0.113.5", s.MasterKey, []int{http.StatusOK}},
	} {
		req, err := http.NewRequest(http.MethodGet, s.URL+"/healthz/payments", nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.forwarded != "" {
			req.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if c.key != "" {
			req.Header.Set("X-Skygear-Api-Key", c.key)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		_, _ = body.ReadFrom(resp.Body)
		_ = resp.Body.Close()
		if !slices.Contains(c.want, resp.StatusCode) {
			t.Errorf("%+v: %d %s", c, resp.StatusCode, body.String())
		}
		if ok := resp.StatusCode == http.StatusOK; ok != strings.Contains(body.String(), `"mode":"sandbox"`) || ok && !strings.Contains(body.String(), `"status":"ok"`) {
			t.Errorf("%+v: %s", c, body.String())
		}
	}
}
