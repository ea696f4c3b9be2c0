package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"crema/server/testkit"
)

const countRecords = `select count(*) from payment_record`

func TestServe_SellsAndTheOperatorSeesTheRow(t *testing.T) {
	t.Parallel()
	for name, env := range map[string][]string{
		"private cluster": nil,
		"DATABASE_URL":    {"DATABASE_URL=" + testkit.EmptyDatabaseURL(t)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.StartServer(t, testkit.AppDir(t), env...)
			if p := pay(t, s, "tok_visa", "e2e-first-order"); len(p.Result.Result) != 1 || p.Result.Result[0]["product"] != "Kenya AA" {
				t.Errorf("got %+v", p)
			}
			if p := pay(t, s, "tok_chargeDeclined", "e2e-second-order"); p.Result.Results != "failed" || p.Result.Error.Code != "card_declined" {
				t.Errorf("got %+v", p)
			}
			got := psql(t, s, `select product, amount, amount_minor, currency, receipt_email, status from payment_record`)
			if want := "Kenya AA|10|1000|usd|ada@example.com|succeeded"; got != want {
				t.Errorf("psql shows %q, want %q", got, want)
			}
			if code := s.Signal(t, syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d\n%s", code, s.Log())
			}
			if log := s.Log(); strings.Contains(log, "tok_visa") || strings.Contains(log, "ada@example.com") {
				t.Error("the log holds the token or names the shopper")
			}
		})
	}
}

// A buyer who is logged in owns the record of the purchase, and still must not change what was paid, remove it, or make one up.
func TestServe_ABuyerCannotWritePaymentRecords(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.EmptyDatabaseURL(t))
	call := func(body string) string {
		t.Helper()
		response, err := http.Post(s.URL+"/", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var buyer struct {
		Result struct {
			Token string `json:"access_token"`
		}
	}
	signed := call(`{"action":"auth:signup","api_key":"` + s.APIKey + `","auth_data":{"username":"ada"},"password":"a long password"}`)
	if err := json.Unmarshal([]byte(signed), &buyer); err != nil || buyer.Result.Token == "" {
		t.Fatal(signed, err)
	}
	as := `"api_key":"` + s.APIKey + `","access_token":"` + buyer.Result.Token + `",`
	call(`{"action":"process_payment",` + as + `"args":{"product_name":"Kenya AA","product_price":1000,"stripe_token":"tok_visa","user_email":"ada@example.com"}}`)
	const see = "select _id, amount, status, _owner_id <> '_service' from payment_record"
	before := psql(t, s, see)
	key, _, _ := strings.Cut(before, "|")
	if strings.Count(before, "succeeded|t") != 1 {
		t.Fatal(before)
	}
	for _, body := range []string{
		`"action":"record:save","records":[{"_id":"payment_record/` + key + `","amount":1,"status":"refunded"}]`,
		`"action":"record:save","atomic":true,"records":[{"_id":"payment_record/` + key + `","amount":1}]`,
		`"action":"record:delete","ids":["payment_record/` + key + `"]`,
		`"action":"record:save","records":[{"_id":"payment_record/forged","amount":1000,"status":"succeeded"}]`,
		`"action":"record:save","database_id":"_private","records":[{"_id":"payment_record/forged","amount":1000,"status":"succeeded"}]`,
		`"action":"schema:delete","record_type":"payment_record","item_name":"amount"`,
		`"action":"schema:rename","record_type":"payment_record","item_name":"amount","new_name":"sum"`,
	} {
		if answer := call(`{` + as + body + `}`); !strings.Contains(answer, "PermissionDenied") && !strings.HasPrefix(answer, `{"error":`) {
			t.Errorf("%s: %s", body, answer)
		}
	}
	if after := psql(t, s, see); after != before {
		t.Errorf("psql shows %s; before: %s", after, before)
	}
	if answer := call(`{"action":"record:fetch",` + as + `"ids":["payment_record/` + key + `"]}`); !strings.Contains(answer, "ada@example.com") {
		t.Errorf("the buyer does not see the purchase: %s", answer)
	}
}

// The server is killed while the provider is charging; the next one finishes the payment, once.
func TestServe_AKillDuringTheChargeLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	dir := testkit.AppDir(t)
	s := testkit.StartServer(t, dir)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = tryPost(s.URL+"/lambda/process_payment", s.APIKey, payBody("tok_sandbox_slow_4000", "e2e-killed-order"))
	}()
	eventually(t, s, `select state from _payment`, "sent")
	s.Kill()
	<-done
	s = testkit.StartServer(t, dir)
	eventually(t, s, countRecords, "1")
	if p := pay(t, s, "tok_sandbox_slow_4000", "e2e-killed-order"); len(p.Result.Result) != 1 {
		t.Errorf("the shopper who comes back gets %+v", p)
	}
	if n := psql(t, s, countRecords); n != "1" {
		t.Errorf("%s records", n)
	}
	if n := psql(t, s, `select count(*) from stripe_app_coffee.journal where op = 'charge'`); n != "1" {
		t.Errorf("%s charges", n)
	}
}

func TestServe_SayWhatIsWrongAndExit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		app  string
		env  []string
		args []string
		code int
		says string
	}{
		"unknown key":     {app: `{"name":"coffee","shpo":{}}`, args: []string{"serve"}, code: 3, says: `did you mean "shop"`},
		"broken app.json": {app: "{\n\"name\": coffee}", args: []string{"serve"}, code: 3, says: "line 2"},
		"equal keys":      {env: []string{"API_KEY=same", "MASTER_KEY=same"}, args: []string{"serve"}, code: 3, says: "MASTER_KEY"},
		"publishable key in the secret slot": {
			env:  []string{"STRIPE_SECRET_KEY=pk_test_abcdefghijklmnop"},
			args: []string{"serve"}, code: 3, says: "STRIPE_SECRET_KEY",
		},
		"no such database": {
			env:  []string{"DATABASE_URL=postgres://nobody:secret-pw@127.0.0.1:1/none"},
			args: []string{"serve"}, code: 4, says: "database of DATABASE_URL",
		},
		"psql in a folder without a database": {args: []string{"psql", "-c", "select 1"}, code: 3, says: "there is no database in .crema"},
		"unknown command":                     {args: []string{"sevre"}, code: 2, says: "sevre"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := testkit.AppDir(t)
			if c.app != "" {
				if err := os.WriteFile(filepath.Join(dir, "app.json"), []byte(c.app), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out, code := testkit.Run(t, dir, append(c.env, "HOST=127.0.0.1:0"), c.args...)
			if code != c.code || !strings.Contains(out, c.says) {
				t.Errorf("exit code %d, want %d; it says:\n%s", code, c.code, out)
			}
			if _, err := os.Stat(filepath.Join(dir, ".crema")); err == nil && c.args[0] == "psql" {
				t.Error("a data folder was made")
			}
			if strings.Contains(out, "secret-pw") || strings.Contains(out, "abcdefghijklmnop") {
				t.Errorf("a secret is shown:\n%s", out)
			}
		})
	}
}

// A wrong CREMA_DATA must not put a single file among somebody's own.
func TestServe_AFolderThatIsNotOursIsRefused(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]string{nil, {"API_KEY=a", "MASTER_KEY=b"}} { // keys of our own are made before the cluster
		home := t.TempDir()
		if err := os.WriteFile(filepath.Join(home, "thesis.txt"), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		out, code := testkit.Run(t, testkit.AppDir(t), append(keys, "HOST=127.0.0.1:0", "CREMA_DATA="+home), "serve")
		if entries, err := os.ReadDir(home); err != nil || len(entries) != 1 {
			t.Errorf("the folder was touched: %v, %v", entries, err)
		}
		if code == 0 || code == 1 || !strings.Contains(out, home) || !strings.Contains(out, "CREMA_DATA") {
			t.Errorf("exit code %d: %s", code, out)
		}
	}
}

func TestServe_ASecondServerOnTheSameFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := testkit.AppDir(t)
	s := testkit.StartServer(t, dir)
	out, code := testkit.Run(t, dir, []string{"HOST=127.0.0.1:0"}, "serve")
	if code != 4 || !strings.Contains(out, dir) {
		t.Errorf("exit code %d: %s", code, out)
	}
	if r, err := http.Get(s.URL + "/healthz"); err != nil || r.StatusCode != http.StatusOK {
		t.Errorf("the first server suffers: %v %v", r, err)
	}
}

func TestPsql_WorksWhileNoServerRuns(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t))
	s.Stop(t)
	if n := psql(t, s, countRecords); n != "0" {
		t.Errorf("got %q", n)
	}
	if _, err := s.Run(t, "psql", "-At", "-v", "ON_ERROR_STOP=1", "-c", "select nonsense"); err == nil {
		t.Error("psql's exit code is lost")
	}
}

// What a developer's shell says for other databases is no business of this server.
func TestServe_VariablesOfLibpqDoNotLeadItAstray(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t), "PGHOSTADDR=192.0.2.1", "PGSERVICE=elsewhere", "PGHOST=elsewhere", "PGDATABASE=other",
		"PGOPTIONS=-csearch_path=elsewhere", "PGDATESTYLE=German", "PGCLIENTENCODING=LATIN1", "PGPASSWORD=other", "PGPORT=1")
	if n := psql(t, s, countRecords); n != "0" {
		t.Errorf("got %q", n)
	}
}
