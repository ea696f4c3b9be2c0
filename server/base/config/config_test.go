package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/config"
	"crema/server/base/fault"
)

func env(pairs ...string) config.Env {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

var plain = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestLoad_Defaults(t *testing.T) {
	t.Parallel()
	got, err := config.Load(env(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Name: "myapp", Listen: "127.0.0.1:3000", PublicURL: "http://localhost:3000", DataDir: ".crema", DevMode: true, CORSHost: "*",
		ResponseTimeout: time.Minute, Log: config.Log{Format: "text"}, Shop: config.Shop{Name: "Crema", Currency: "usd"},
		FunctionTimeout: time.Minute, FunctionsDir: "lambdas", BodyLimit: 4 << 20, StaticDir: "public_html", Assets: config.Assets{MaxBytes: 100 << 20},
	}
	if diff := cmp.Diff(want, got, plain); diff != "" {
		t.Error(diff)
	}
	if !got.Stripe.Sandbox() || got.Stripe.Live() {
		t.Error("no keys are not the sandbox")
	}
}

func TestLoad_ReadsEverything(t *testing.T) {
	t.Parallel()
	doc := `{"name": "beans", "shop": {"name": "Beans", "currency": "eur", "contact": "hi@beans.example"}, "functions": {"timeout_seconds": 5,
		"folder": "code", "workers": 3, "memory_megabytes": 100, "processes": 20},
		"limits": {"body_bytes": 2048}, "static": {"folder": "site/out"}, "payments": {"token_path": true, "live": true, "limits":
		{"declines_per_address": 1, "declines_per_email": 2, "attempts_per_order": 3, "rate_window_seconds": 40, "rate_at_least": 5, "rate_percent": 6}},
		"log_in": {"limits": {"failures_per_account": 7, "failures_per_address": 8, "window_seconds": 9}}}`
	got, err := config.Load(env("HOST", ":8080", "DEV_MODE", "no", "CORS_HOST", "", "RESPONSE_TIMEOUT", "7", "CREMA_DATA", "/d",
		"PUBLIC_URL", "https://beans.example/", "TRUSTED_PROXIES", "10.0.0.0/8, ::1", "LOG_LEVEL", "warn", "LOG_FORMAT", "json",
		"API_KEY", "a", "MASTER_KEY", "m", "DATABASE_URL", "postgres://u:p@h/d", "STRIPE_SECRET_KEY", "rk_live_abc",
		"AUTH_RECORD_KEYS", "username, (email,phone) ,(nick)", "TOKEN_STORE_EXPIRY", "3600", "CUSTOM_TOKEN_SECRET", "c", "VERIFY_REQUIRED", "yes",
		"USER_AUDIT_PW_MIN_LENGTH", "8", "USER_AUDIT_PW_UPPERCASE_REQUIRED", "1", "USER_AUDIT_PW_LOWERCASE_REQUIRED", "y", "USER_AUDIT_PW_DIGIT_REQUIRED", "true",
		"USER_AUDIT_PW_SYMBOL_REQUIRED", "yes", "USER_AUDIT_PW_MIN_GUESSABLE_LEVEL", "3", "USER_AUDIT_PW_EXCLUDED_KEYWORDS", "a, b",
		"USER_AUDIT_PW_EXCLUDED_FIELDS", "email", "USER_AUDIT_PW_HISTORY_SIZE", "5", "USER_AUDIT_PW_HISTORY_DAYS", "30", "USER_AUDIT_PW_EXPIRY_DAYS", "90",
		"STRIPE_PUBLISHABLE_KEY", "pk_live_abc", "STRIPE_WEBHOOK_SECRET", "whsec_abc, whsec_old/+=,",
		"ASSET_STORE", "s3", "ASSET_STORE_PATH", "/f", "ASSET_STORE_PUBLIC", "yes", "ASSET_STORE_URL_PREFIX", "https://cdn.example/files/",
		"ASSET_STORE_SECRET", "s", "ASSET_STORE_MAX", "1024", "ASSET_STORE_S3_ENDPOINT", "http://127.0.0.1:9000", "ASSET_STORE_REGION", "eu-west-1",
		"ASSET_STORE_BUCKET", "beans", "ASSET_STORE_ACCESS_KEY", "k", "ASSET_STORE_SECRET_KEY", "x"), []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Name: "beans", Listen: ":8080", PublicURL: "https://beans.example", PublicURLGiven: true, DataDir: "/d", ResponseTimeout: 7 * time.Second,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		APIKey:         "a", MasterKey: "m", DatabaseURL: "postgres://u:p@h/d",
		Stripe: config.Stripe{SecretKey: "rk_live_abc", PublishableKey: "pk_live_abc", WebhookSecrets: []config.Secret{"whsec_abc", "whsec_old/+="}},
		Payments: config.Payments{TokenPath: true, Live: true, Limits: config.PaymentLimits{
			DeclinesPerAddress: 1, DeclinesPerEmail: 2, AttemptsPerOrder: 3, RateWindowSeconds: 40, RateAtLeast: 5, RatePercent: 6,
		}},
		Users: config.Users{
			AuthKeys: [][]string{{"username"}, {"email", "phone"}, {"nick"}}, TokenLife: time.Hour, CustomTokenSecret: "c", VerifyRequired: true,
			Passwords: config.Passwords{
				MinLength: 8, MinGuessable: 3, HistorySize: 5, HistoryDays: 30, ExpiryDays: 90, Uppercase: true, Lowercase: true, Digit: true, Symbol: true,
				ExcludedKeywords: []string{"a", "b"}, ExcludedFields: []string{"email"},
			},
			Limits: config.LogInLimits{FailuresPerAccount: 7, FailuresPerAddress: 8, WindowSeconds: 9},
		},
		Log: config.Log{Level: slog.LevelWarn, Format: "json"}, Shop: config.Shop{Name: "Beans", Currency: "eur", Contact: "hi@beans.example"},
		FunctionTimeout: 5 * time.Second, FunctionsDir: "code", Workers: config.Workers{Count: 3, MemoryBytes: 100 << 20, Processes: 20}, BodyLimit: 2048, StaticDir: "site/out",
		Assets: config.Assets{
			Dir: "/f", Public: true, URLPrefix: "https://cdn.example/files", Secret: "s", MaxBytes: 1024,
			S3: &config.S3{Endpoint: "http://127.0.0.1:9000", Region: "eu-west-1", Bucket: "beans", AccessKey: "k", SecretKey: "x"},
		},
	}
	if diff := cmp.Diff(want, got, plain); diff != "" {
		t.Error(diff)
	}
	if got.Stripe.Sandbox() || !got.Stripe.Live() {
		t.Error("a live key is not live")
	}
}

func TestLoad_Address(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ host, port, want, url string }{
		{"", "", "127.0.0.1:3000", "http://localhost:3000"},
		{"", "8080", ":8080", "http://localhost:8080"},
		{":3001", "8080", ":3001", "http://localhost:3001"},
		{"0.0.0.0", "", "0.0.0.0:3000", "http://localhost:3000"},
		{"0.0.0.0", "9", "0.0.0.0:9", "http://localhost:9"},
		{"[::1]:5", "", "[::1]:5", "http://localhost:5"},
	} {
		got, err := config.Load(env("HOST", c.host, "PORT", c.port), nil)
		if err != nil || got.Listen != c.want || got.PublicURL != c.url {
			t.Errorf("HOST=%q PORT=%q: %v %v", c.host, c.port, got, err)
		}
	}
}

func TestLoad_LogLevelsOfSkygear(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]slog.Level{
		"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "warn": slog.LevelWarn, "warning": slog.LevelWarn,
		"error": slog.LevelError, "fatal": slog.LevelError, "Panic": slog.LevelError,
	} {
		got, err := config.Load(env("LOG_LEVEL", name), nil)
		if err != nil || got.Log.Level != want {
			t.Errorf("LOG_LEVEL=%s: %v %v, want %v", name, got.Log.Level, err, want)
		}
	}
}

func TestLoad_OldSettingsNeverStopIt(t *testing.T) {
	t.Parallel()
	old := []string{
		"DB_IMPL_NAME", "pq", "ACCESS_CONRTOL", "role", "TOKEN_STORE", "redis", "TOKEN_STORE_PATH", "redis://localhost", "TOKEN_STORE_PREFIX", "x",
		"TOKEN_STORE_SECRET", "hush", "TOKEN_STORE_EXPIRY", "0", "ASSET_STORE", "fs", "ASSET_STORE_PUBLIC", "NO", "CLOUD_ASSET_HOST", "", "ASSET_STORE_S3_URL_PREFIX", "https://cdn.example",
		"APNS_ENABLE", "NO", "APNS_ENV", "sandbox", "APNS_CERTIFICATE_PATH", "./c.pem", "GCM_ENABLE", "NO", "GCM_APIKEY", "x", "FCM_ENABLE", "NO",
		"FCM_TYPE", "server_key", "BAIDU_ENABLE", "NO", "ZMQ_TIMEOUT", "30", "ZMQ_MAX_BOUNCE", "10", "SLAVE", "yes", "LOG_LEVEL", "warning",
		"LOG_LEVEL_PLUGIN", "debug", "LOG_FORMATTER", "json", "SENTRY_DSN", "https://a:b@sentry.example/1", "SENTRY_LEVEL", "error",
		"USER_AUDIT_ENABLED", "true", "USER_AUDIT_TRAIL_HANDLER_URL", "file:///var/log/audit", "DEV_MODE", "YES", "HOST", ":3000",
	}
	got, err := config.Load(env(old...), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"TOKEN_STORE", "TOKEN_STORE_PATH", "TOKEN_STORE_PREFIX", "TOKEN_STORE_SECRET", "USER_AUDIT_TRAIL_HANDLER_URL", "SENTRY_DSN", "ASSET_STORE_S3_URL_PREFIX", "SLAVE"}
	if diff := cmp.Diff(want, got.Unused); diff != "" {
		t.Error(diff)
	}
	if got, err = config.Load(env("SLAVE", "false"), nil); err != nil || got.Unused != nil {
		t.Errorf("SLAVE=false: %v %v", got.Unused, err)
	}
}

func TestLoad_Faults(t *testing.T) {
	t.Parallel()
	const secret = "abcdefghijklmnop"
	for _, c := range []struct {
		name, doc string
		env       []string
		want      string
	}{
		{"typo", "{\n\n  \"shop\": {\n    \"curency\": \"usd\"\n  }\n}", nil, `app.json line 4: there is no key "shop.curency"; did you mean "shop.currency"?`},
		{"section typo", `{"limit": {"body_bytes": 1}}`, nil, `no key "limit"; did you mean "limits"?`},
		{"unknown", `{"zebra": [1]}`, nil, `no key "zebra"; the keys are functions, functions.folder, functions.memory_megabytes,`},
		{"capitals", `{"Name": "x"}`, nil, `no key "Name"; did you mean "name"?`},
		{"syntax", "{\n  \"name\": \"x\",\n  oops\n}", nil, "app.json line 3: invalid character 'o'"},
		{"comma", "{\n  \"name\": \"x\",\n}", nil, "app.json line 3: invalid character '}'"},
		{"nested syntax", "{\n  \"shop\": {\n    \"name\": nope\n}}", nil, "app.json line 3: invalid character"},
		{"cut", `{"name": "x"`, nil, "ends too early"},
		{"cut in text", `{"name": "x`, nil, "ends too early"},
		{"array", `[]`, nil, "the document must be an object"},
		{"trailing", `{} {}`, nil, "text after the closing }"},
		{"twice", "{\"name\": \"x\",\n\"name\": \"y\"}", nil, "line 2: name is given twice"},
		{"wrong section", `{"shop": 5}`, nil, "shop must be an object"},
		{"wrong type", `{"name": 5}`, nil, "name must be 1 to 50 lower-case"},
		{"null", `{"name": null}`, nil, "name must be"},
		{"fraction", `{"limits": {"body_bytes": 1.5}}`, nil, "limits.body_bytes must be a whole number from 1024"},
		{"null number", `{"limits": {"body_bytes": null}}`, nil, "limits.body_bytes must be"},
		{"outside", `{"static": {"folder": "../x"}}`, nil, "static.folder must be a folder below"},
		{"app name", "", []string{"APP_NAME", "My-App"}, `APP_NAME is "My-App"`},
		{"host", "", []string{"HOST", "1.2.3.4:http:"}, "HOST is"},
		{"port", "", []string{"PORT", "99999"}, "PORT is"},
		{"bool", "", []string{"DEV_MODE", "maybe"}, "DEV_MODE is"},
		{"timeout", "", []string{"RESPONSE_TIMEOUT", "60s"}, "RESPONSE_TIMEOUT is"},
		{"a life of tokens", "", []string{"TOKEN_STORE_EXPIRY", "1h"}, "TOKEN_STORE_EXPIRY is \"1h\""},
		{"auth keys left open", "", []string{"AUTH_RECORD_KEYS", "(username"}, "AUTH_RECORD_KEYS is"},
		{"a reserved auth key", "", []string{"AUTH_RECORD_KEYS", "_id"}, "AUTH_RECORD_KEYS is"},
		{"an auth key twice", "", []string{"AUTH_RECORD_KEYS", "(a,a)"}, "AUTH_RECORD_KEYS is"},
		{"an empty set of auth keys", "", []string{"AUTH_RECORD_KEYS", "username,()"}, "AUTH_RECORD_KEYS is"},
		{"a level of zxcvbn", "", []string{"USER_AUDIT_PW_MIN_GUESSABLE_LEVEL", "6"}, "a whole number from 0 to 5"},
		{"a limit of log-ins", `{"log_in":{"limits":{"failures_per_account":0}}}`, nil, "log_in.limits.failures_per_account must be"},
		{"database", "", []string{"DATABASE_URL", "mysql://u:" + secret + "@h"}, "DATABASE_URL must look like"},
		{"listen", "", []string{"DATABASE_URL", "postgres://u:p@h/d", "DATABASE_LISTEN_URL", "mysql://u:" + secret + "@h"}, "DATABASE_LISTEN_URL must look like"},
		{"listen alone", "", []string{"DATABASE_LISTEN_URL", "postgres://u:p@h/d"}, "give DATABASE_URL too"},
		{"database escape", "", []string{"DATABASE_URL", "postgres://u:" + secret + "%zz@h"}, "DATABASE_URL must look like"},
		{"sandbox url", "", []string{"STRIPE_SANDBOX_URL", "127.0.0.1:1"}, "STRIPE_SANDBOX_URL must be"},
		{"sandbox without port", "", []string{"STRIPE_SANDBOX_URL", "http://127.0.0.1"}, "STRIPE_SANDBOX_URL must be"},
		{"sandbox with path", "", []string{"STRIPE_SANDBOX_URL", "http://127.0.0.1:1/v1"}, "STRIPE_SANDBOX_URL must be"},
		{"sandbox far away", "", []string{"STRIPE_SANDBOX_URL", "http://10.0.0.1:1"}, "names 10.0.0.1"},
		{"sandbox by name", "", []string{"STRIPE_SANDBOX_URL", "http://localhost.evil.example:1"}, "names localhost.evil.example"},
		{"sandbox and half the keys", "", []string{"STRIPE_SANDBOX_URL", "http://127.0.0.1:1", "STRIPE_SECRET_KEY", "sk_test_abc"}, "the same as the sandbox has, or neither"},
		{"sandbox and live key", "", []string{"STRIPE_SANDBOX_URL", "http://127.0.0.1:1", "STRIPE_SECRET_KEY", "sk_live_" + secret}, "must never reach a sandbox"},
		{"public url", "", []string{"PUBLIC_URL", "shop.example"}, "PUBLIC_URL must"},
		{"proxies", "", []string{"TRUSTED_PROXIES", "10.0.0.0/8,all"}, `"all" is neither`},
		{"level", "", []string{"LOG_LEVEL", "loud"}, "LOG_LEVEL is"},
		{"format", "", []string{"LOG_FORMAT", "xml"}, "LOG_FORMAT is"},
		{"cors", "", []string{"CORS_HOST", "a\r\nb"}, "CORS_HOST must"},
		{"same keys", "", []string{"API_KEY", secret, "MASTER_KEY", secret}, "are the same"},
		{"both", "", []string{"API_KEY", secret, "API_KEY_FILE", "/x"}, "API_KEY and API_KEY_FILE are both given"},
		{"no file", "", []string{"MASTER_KEY_FILE", "/does/not/exist"}, "MASTER_KEY_FILE: cannot read /does/not/exist"},
		{"publishable as secret", "", []string{"STRIPE_SECRET_KEY", "pk_test_" + secret}, "publishable key"},
		{"secret as publishable", "", []string{"STRIPE_SECRET_KEY", "sk_test_x1", "STRIPE_PUBLISHABLE_KEY", "sk_test_" + secret}, "sent to every browser"},
		{"no key", "", []string{"STRIPE_SECRET_KEY", secret}, `STRIPE_SECRET_KEY begins with "abcdefgh"`},
		{"webhook", "", []string{"STRIPE_SECRET_KEY", "sk_test_x1", "STRIPE_WEBHOOK_SECRET", secret}, "STRIPE_WEBHOOK_SECRET begins"},
		{"modes", "", []string{"STRIPE_SECRET_KEY", "sk_live_" + secret, "STRIPE_PUBLISHABLE_KEY", "pk_test_" + secret}, "is a live key and STRIPE_PUBLISHABLE_KEY a test key"},
		{"live key", "", []string{"STRIPE_SECRET_KEY", "sk_live_" + secret, "PUBLIC_URL", "https://x.example"}, `"payments": {"live": true}`},
		{"live key of less rights", "", []string{"STRIPE_SECRET_KEY", "rk_live_" + secret, "PUBLIC_URL", "https://x.example"}, `"payments": {"live": true}`},
		{"live without address", `{"payments": {"live": true}}`, []string{"STRIPE_SECRET_KEY", "sk_live_" + secret}, "needs PUBLIC_URL"},
		{"live without TLS", `{"payments": {"live": true}}`, []string{"STRIPE_SECRET_KEY", "sk_live_" + secret, "PUBLIC_URL", "http://x.example"}, "must begin with https://"},
		{"tokens without a key", `{"payments": {"token_path": true}}`, []string{"STRIPE_SECRET_KEY", "sk_test_" + secret}, "STRIPE_PUBLISHABLE_KEY is missing"},
		{"second webhook secret", "", []string{"STRIPE_SECRET_KEY", "sk_test_x1", "STRIPE_WEBHOOK_SECRET", "whsec_a," + secret}, "STRIPE_WEBHOOK_SECRET begins"},
		{"webhook id", "", []string{"STRIPE_SECRET_KEY", "sk_test_x1", "STRIPE_WEBHOOK_SECRET", "we_1" + secret}, "the id of the endpoint"},
		{"token_path", `{"payments": {"token_path": 1}}`, nil, "payments.token_path must be true or false"},
		{"live null", `{"payments": {"live": null}}`, nil, "payments.live must be true or false"},
		{"percent", `{"payments": {"limits": {"rate_percent": 101}}}`, nil, "rate_percent must be a whole number from 1 to 100"},
		{"limit misspelt", `{"payments": {"limits": {"rate_percnt": 50}}}`, nil, `did you mean "payments.limits.rate_percent"?`},
		{"half", "", []string{"STRIPE_PUBLISHABLE_KEY", "pk_test_" + secret}, "without STRIPE_SECRET_KEY"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(env(c.env...), []byte(c.doc))
			if err == nil || !strings.Contains(err.Error(), c.want) || !fault.Is(err, "config.invalid") || !fault.HasCode(err, fault.NotConfigured) {
				t.Fatalf("got %v\nwant %s", err, c.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the message shows a secret: %v", err)
			}
		})
	}
}

func TestLoad_ReportsAllFaultsTogether(t *testing.T) {
	t.Parallel()
	_, err := config.Load(env("APP_NAME", "A", "PORT", "x", "LOG_LEVEL", "y", "DEV_MODE", "z"), []byte(`{"nam": "x", "shop": {"currency": "Dollar"}}`))
	problems, _ := fault.From(err).Details["problems"].([]string)
	if len(problems) != 6 {
		t.Errorf("%d problems: %v", len(problems), err)
	}
}

// Everything that keeps a shop from going live is told in one go.
func TestLoad_TellsAllFaultsOfALiveKeyTogether(t *testing.T) {
	t.Parallel()
	_, err := config.Load(env("STRIPE_SECRET_KEY", "sk_live_abcdefghijklmnop", "STRIPE_PUBLISHABLE_KEY", "pk_test_abcdefghijklmnop",
		"STRIPE_WEBHOOK_SECRET", "we_1234567890abcdef", "STRIPE_SANDBOX_URL", "http://127.0.0.1:4242", "PUBLIC_URL", "http://shop.example"), nil)
	problems, _ := fault.From(err).Details["problems"].([]string)
	if len(problems) != 5 {
		t.Errorf("%d problems: %v", len(problems), err)
	}
	for _, secret := range []string{"abcdefgh", "12345678"} {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("a key is shown: %v", err)
		}
	}
}

func TestLoad_SandboxWithTestKeys(t *testing.T) {
	t.Parallel()
	c, err := config.Load(env("STRIPE_SANDBOX_URL", "http://localhost:4242/", "STRIPE_SECRET_KEY", "sk_test_abc",
		"STRIPE_PUBLISHABLE_KEY", "pk_test_abc", "STRIPE_WEBHOOK_SECRET", "whsec_abc"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !c.Stripe.Sandbox() || c.Stripe.Live() || c.Stripe.SandboxURL != "http://localhost:4242" {
		t.Errorf("%+v", c.Stripe)
	}
}

func TestOpen_LayersFilesAndMakesKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "app.json", `{"name": "beans"}`)
	write(t, dir, "secret", "whsec_fromfile\n")
	write(t, dir, ".env", "# ours\nexport PORT=4000\r\nCORS_HOST = \"https://a.example\" # quoted\nLOG_LEVEL=debug # loud\n\nAPP_NAME='other'\n"+
		"STRIPE_SECRET_KEY=sk_test_abc\nSTRIPE_WEBHOOK_SECRET_FILE="+filepath.Join(dir, "secret")+"\n")
	c, err := config.Open(dir, env("APP_NAME", "winner"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "winner" || c.Listen != ":4000" || c.CORSHost != "https://a.example" || c.Log.Level != slog.LevelDebug || !slices.Equal(c.Stripe.WebhookSecrets, []config.Secret{"whsec_fromfile"}) {
		t.Errorf("%+v", c)
	}
	if c.DataDir != filepath.Join(dir, ".crema") || c.StaticDir != filepath.Join(dir, "public_html") {
		t.Errorf("folders: %s %s", c.DataDir, c.StaticDir)
	}
	info, err := os.Stat(filepath.Join(c.DataDir, "keys.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("keys.json: %v %v", info, err)
	}
	again, err := config.Open(dir, env("API_KEY", "mine"))
	if err != nil || again.MasterKey != c.MasterKey || again.APIKey != "mine" || len(c.MasterKey) < 20 || c.APIKey == c.MasterKey {
		t.Errorf("keys change: %v", err)
	}
	if _, err := config.Open(dir, env("API_KEY", c.MasterKey.Reveal())); err == nil {
		t.Error("an API key that is the kept master key is accepted")
	}
	write(t, dir, ".env", "PORT=1\nsecret words here\nX=\"open\n")
	if _, err := config.Open(dir, env()); err == nil || !strings.Contains(err.Error(), ".env line 2") || !strings.Contains(err.Error(), ".env line 3") || strings.Contains(err.Error(), "words") {
		t.Errorf("a broken .env: %v", err)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestEnsureKeys_ManyProcessesAgree(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "data")
	got := make([]config.Keys, 32)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = config.EnsureKeys(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range got {
		if k != got[0] || k.APIKey == "" {
			t.Fatalf("keys differ")
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
}

func TestEnsureKeys_KeepsADamagedFileAndClosesAnOpenOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, text := range []string{"", "{", `{"api_key":"a"}`, `{"api_key":"a","master_key":"a"}`} {
		write(t, dir, "keys.json", text)
		if _, err := config.EnsureKeys(dir); !fault.Is(err, "config.keys_damaged") {
			t.Errorf("%q: %v", text, err)
		}
		if b, _ := os.ReadFile(filepath.Join(dir, "keys.json")); string(b) != text {
			t.Errorf("%q was changed", text)
		}
	}
	write(t, dir, "keys.json", `{"api_key":"a","master_key":"b"}`)
	if _, err := config.EnsureKeys(dir); err != nil {
		t.Error(err)
	}
	if info, _ := os.Stat(filepath.Join(dir, "keys.json")); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestSecret_DoesNotPrint(t *testing.T) {
	t.Parallel()
	const text = "hunter2secret"
	c := config.Config{APIKey: text, Stripe: config.Stripe{SecretKey: text}}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "c", c, "p", &c, "k", c.APIKey)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "c", c, "p", &c, "k", c.APIKey)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+verb+verb+"\n", c, &c, c.APIKey)
	}
	b, err := json.Marshal([]any{c.APIKey, &c})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	if s := out.String(); strings.Contains(s, text) || strings.Contains(s, fmt.Sprintf("%x", text)) || !strings.Contains(s, "[redacted]") {
		t.Error(s)
	}
	if c.APIKey.Reveal() != text || config.Secret("").String() != "" {
		t.Error("Reveal or the empty secret")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(`{"name":"x","shop":{"currency":"usd"}}`, "HOST", ":3000")
	f.Add(`{"shop":{"a":{"b":[{}]}},"static":{"folder":"a"}}`, "DATABASE_URL", "postgres://u:p@h/d")
	f.Add("{\"name\":\"\\u0000\"", "STRIPE_SECRET_KEY", "sk_test_1")
	f.Fuzz(func(t *testing.T, doc, name, value string) {
		c, err := config.Load(env(name, value), []byte(doc))
		if err == nil && (c.Name == "" || c.BodyLimit <= 0 || c.ResponseTimeout <= 0 || c.FunctionTimeout <= 0) {
			t.Errorf("accepted %+v", c)
		}
		if err != nil && !fault.HasCode(err, fault.NotConfigured) {
			t.Errorf("%v", err)
		}
	})
}
