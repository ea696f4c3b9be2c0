package clients_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/testkit"
)

const (
	operatorEmail    = "ann@example.com"
	operatorPassword = "a good password"
)

// skycli is the command line of Skygear v1 with a home of its own, on a server.
type skycli struct {
	server *testkit.Server
	home   string
	dir    string // of the project
}

func startSkycli(t *testing.T, files map[string]string) *skycli {
	t.Helper()
	needPackage(t, "skycli", "skycli")
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test",
		"OPERATOR_EMAIL="+operatorEmail, "OPERATOR_PASSWORD="+operatorPassword)
	c := &skycli{server: s, home: t.TempDir(), dir: t.TempDir()}
	c.write(t, map[string]string{"skygear.json": `{"version": "1", "app": "test"}`})
	c.write(t, files)
	return c
}

func (c *skycli) write(t *testing.T, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (c *skycli) command(ctx context.Context, args ...string) *exec.Cmd {
	script, err := filepath.Abs("skycli/node_modules/skycli/bin/skycli.js")
	if err != nil {
		script = args[0]
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "HOME="+c.home, "NO_UPDATE_NOTIFIER=1", "SKYCLI_ENVIRONMENTS__PRODUCTION__URL="+c.server.URL+"/v2/")
	return cmd
}

// run returns what a command says and whether it ended well.
func (c *skycli) run(t *testing.T, args ...string) (string, bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	out, err := c.command(ctx, args...).CombinedOutput()
	return string(out), err == nil
}

func (c *skycli) logIn(t *testing.T) {
	t.Helper()
	if out, ok := c.run(t, "login", "--email", operatorEmail, "--password", operatorPassword); !ok {
		t.Fatalf("login: %s", out)
	}
}

// fetch returns what the server answers to a request with the API key.
func (c *skycli) fetch(t *testing.T, method, path, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Skygear-Api-Key", c.server.APIKey)
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

func (c *skycli) call(t *testing.T, name string) (result any) {
	t.Helper()
	var answer struct{ Result any }
	text := c.fetch(t, http.MethodPost, "/", `{"action": "`+name+`", "args": {}}`)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return answer.Result
}

func TestSkycli_Deploys(t *testing.T) {
	t.Parallel()
	c := startSkycli(t, map[string]string{
		"index.js":               "const skygear = require('skygear/cloud');\nskygear.op('greet', () => { console.log('somebody is greeted'); return 'hello'; });\n",
		"public_html/index.html": "<h1>first</h1>",
	})
	if out, ok := c.run(t, "login", "--email", operatorEmail, "--password", "wrong"); ok || !strings.Contains(out, "e-mail address or the password is wrong") {
		t.Errorf("login with a wrong password: %v %s", ok, out)
	}
	c.logIn(t)
	out, ok := c.run(t, "deploy")
	if !ok || !strings.Contains(out, "live: version 1") {
		t.Fatalf("deploy: %s\n%s", out, c.server.Log())
	}
	if got := c.fetch(t, http.MethodGet, "/", ""); got != "<h1>first</h1>" {
		t.Errorf("the page is %s", got)
	}
	if got := c.call(t, "greet"); got != "hello" {
		t.Errorf("the function answers %v", got)
	}

	c.write(t, map[string]string{"index.js": "this is no JavaScript", "public_html/index.html": "<h1>second</h1>"})
	if out, _ := c.run(t, "deploy"); !strings.Contains(out, "index.js does not load") {
		t.Errorf("a broken deploy: %s", out)
	}
	if got := c.fetch(t, http.MethodGet, "/", ""); got != "<h1>first</h1>" || c.call(t, "greet") != "hello" {
		t.Errorf("a deploy that failed has changed something: %s", got)
	}
}

func TestSkycli_StreamsLogs(t *testing.T) {
	t.Parallel()
	c := startSkycli(t, map[string]string{
		"index.js": "const skygear = require('skygear/cloud');\nskygear.op('greet', () => { console.log('somebody is greeted'); return 'hello'; });\n",
	})
	c.logIn(t)
	if out, ok := c.run(t, "deploy"); !ok {
		t.Fatalf("deploy: %s", out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := c.command(ctx, "logs", "--tail", "5")
	heard := &awaited{word: "somebody is greeted", found: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = heard, heard
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c.call(t, "greet") // whether before or after the connection
	select {
	case <-heard.found:
	case <-ctx.Done():
		t.Errorf("logs says: %s", heard.String())
	}
	cancel()
	_ = cmd.Wait()
}

// awaited is output in which a word is looked for.
type awaited struct {
	mu    sync.Mutex
	text  bytes.Buffer
	word  string
	found chan struct{}
	done  bool
}

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.text.Write(p)
	if !a.done && strings.Contains(a.text.String(), a.word) {
		a.done = true
		close(a.found)
	}
	return len(p), nil
}

func (a *awaited) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.text.String()
}

func TestSkycli_InstallsPackagesOfNode(t *testing.T) {
	t.Parallel()
	c := startSkycli(t, map[string]string{
		"package.json": `{"name": "shop", "private": true, "dependencies": {"ms": "2.1.3"}}`,
		"index.js":     "const ms = require('ms');\nrequire('skygear/cloud').op('wait', () => ms('2 days'));\n",
	})
	c.logIn(t)
	out, ok := c.run(t, "deploy")
	if strings.Contains(out, "ENOTFOUND") || strings.Contains(out, "ECONNREFUSED") || strings.Contains(out, "network") {
		t.Skipf("SKIPPED: the registry is out of reach:\n%s", out)
	}
	if !ok || !strings.Contains(out, "live: version 1") {
		t.Fatalf("deploy: %s\n%s", out, c.server.Log())
	}
	if got := c.call(t, "wait"); got != float64(2*24*60*60*1000) {
		t.Errorf("the function answers %v", got)
	}
}
