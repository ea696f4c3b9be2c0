package e2e_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crema/server/testkit"
)

// page is what a browser gets.
func page(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// eventually waits for something that another process does.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("it does not happen: " + what)
		}
	}
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeploy_OnTwoServers(t *testing.T) {
	t.Parallel()
	database := "DATABASE_URL=" + testkit.DatabaseURL(t)
	one := testkit.StartServer(t, testkit.AppDir(t), database, "APP_NAME=test")
	two := testkit.StartServer(t, testkit.AppDir(t), database, "APP_NAME=test")
	folder := page(t, one.URL+"/")
	dir := t.TempDir()
	crema := func(args ...string) string {
		t.Helper()
		out, err := one.Run(t, append(args, "--server="+one.URL, "--app=test")...)
		if err != nil {
			t.Fatalf("crema %s: %v\n%s\n%s", strings.Join(args, " "), err, out, one.Log())
		}
		return out
	}
	everywhere := func(want string) {
		t.Helper()
		if got := page(t, one.URL+"/"); got != want {
			t.Errorf("the page is %.60q, not %.60q", got, want)
		}
		eventually(t, "the other server follows", func() bool { return page(t, two.URL+"/") == want })
	}

	write(t, dir, map[string]string{"public_html/index.html": "first", "public_html/same.txt": "same", "lambdas/a.go": "not sent", ".env": "not sent", "public_html/app.3f9a1c2b.js": "of the first"})
	if out := crema("deploy", dir); !strings.Contains(out, "sent 3 of 3 files") || !strings.Contains(out, "live: version 1") {
		t.Error(out)
	}
	everywhere("first")
	write(t, dir, map[string]string{"public_html/index.html": "second"})
	if err := os.Remove(filepath.Join(dir, "public_html", "app.3f9a1c2b.js")); err != nil {
		t.Fatal(err)
	}
	if out := crema("deploy", dir); !strings.Contains(out, "sent 1 of 2 files") {
		t.Error(out)
	}
	everywhere("second")
	for _, s := range []*testkit.Server{one, two} { // for pages that are open
		if got := page(t, s.URL+"/app.3f9a1c2b.js"); got != "of the first" {
			t.Errorf("a file of the version before is %.60q", got)
		}
	}

	write(t, dir, map[string]string{"public_html/key.js": `"sk_live_` + `4eC39HqLyjWDarjtT1zdp7dc"`})
	if out, err := one.Run(t, "deploy", dir, "--server="+one.URL, "--app=test"); err == nil || !strings.Contains(out, "would publish a secret") {
		t.Errorf("a deploy of a secret key: %v\n%s", err, out)
	}
	everywhere("second")

	begun := time.Now()
	crema("rollback")
	t.Logf("rolled back after %v, the start of the command included", time.Since(begun))
	everywhere("first")
	if out, err := one.Run(t, "rollback", "99", "--server="+one.URL, "--app=test"); err == nil || !strings.Contains(out, "no version 99") {
		t.Errorf("%v\n%s", err, out)
	}
	elsewhere := exec.Command(testkit.Binary(t), "versions")
	elsewhere.Dir, elsewhere.Env = t.TempDir(), append(os.Environ(), "CREMA_SERVER="+one.URL, "CREMA_TOKEN="+one.MasterKey)
	if out, err := elsewhere.CombinedOutput(); err != nil || !strings.Contains(string(out), "live") {
		t.Errorf("in a folder that knows no app: %v\n%s", err, out)
	}
	crema("rollback", "0")
	everywhere(folder)
	eventually(t, "the lines of both servers are there", func() bool {
		from := map[string]bool{}
		for line := range strings.Lines(crema("logs")) {
			if _, server, ok := strings.Cut(line, " server="); ok && strings.Contains(line, "a version is live") {
				from[strings.TrimSpace(server)] = true
			}
		}
		return len(from) == 2
	})
}

func TestDeploy_FunctionsGetSecrets(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing")
	}
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"lambdas/mail.js": `
const skygear = require('skygear/cloud');
skygear.op('mail', () => { console.log('a letter leaves', process.env.SMTP_PASSWORD); return process.env.SMTP_PASSWORD || 'none'; });
skygear.provides('auth', 'letters', class extends skygear.BaseAuthProvider {
  async login({auth_data: {name}}) { return {principal_id: name, auth_data: null}; }
});
skygear.event('server-ready', ({config}) => console.log('ready in', config.app.name));
`,
	})
	if out, err := s.Run(t, "deploy", dir, "--server="+s.URL, "--app=test"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	call := func() string { return post(t, s, "/lambda/mail", "{}") }
	if got := call(); !strings.Contains(got, "none") {
		t.Error(got)
	}
	cmd := exec.Command(testkit.Binary(t), "secrets", "set", "SMTP_PASSWORD", "--server="+s.URL, "--app=test", "--token="+s.MasterKey)
	cmd.Dir, cmd.Stdin = s.Dir, strings.NewReader("quite secret\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := call(); !strings.Contains(got, "quite secret") {
		t.Error(got)
	}
	if out, err := s.Run(t, "secrets", "list", "--server="+s.URL, "--app=test"); err != nil || !strings.Contains(out, "SMTP_PASSWORD") || strings.Contains(out, "quite") {
		t.Errorf("%v\n%s", err, out)
	}
	if got := post(t, s, "/auth/login", `{"provider":"letters","provider_auth_data":{"name":"bo"}}`); !strings.Contains(got, `"access_token"`) {
		t.Errorf("log in with a deployed provider: %s", got)
	}
	eventually(t, "the lines are logged", func() bool {
		out, err := s.Run(t, "logs", "--server="+s.URL, "--app=test")
		if err != nil || strings.Contains(out, "quite secret") || strings.Contains(s.Log(), "quite secret") {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.Contains(out, "a letter leaves [redacted]\" app=test version=1") && strings.Contains(out, "ready in test")
	})
}

func TestOperators_FromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	run := func(args ...string) string {
		t.Helper()
		out, err := s.Run(t, args...)
		if err != nil {
			t.Fatalf("crema %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	if password := run("operators", "add", "ann@example.com"); len(password) < 16 {
		t.Errorf("the password is %q", password)
	}
	token := run("operators", "token", "ann@example.com", "--label=ci")
	if out := run("versions", "--server="+s.URL, "--app=test", "--token="+token); out != "" {
		t.Error(out)
	}
	if out := run("operators", "tokens"); !strings.Contains(out, "ci") || strings.Contains(out, token) {
		t.Error(out)
	}
	run("operators", "remove", "ann@example.com")
	if out, err := s.Run(t, "versions", "--server="+s.URL, "--app=test", "--token="+token); err == nil || !strings.Contains(out, "not accepted") {
		t.Errorf("a removed operator's token: %v\n%s", err, out)
	}
}

func post(t *testing.T, s *testkit.Server, path, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Skygear-Api-Key", s.APIKey)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
