package clients_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crema/server/testkit"
)

// A project of the tutorial's shape: a function in Python with a package from requirements.txt, and a page.
func TestSkycli_InstallsPackages(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("SKIPPED: python3 is missing")
	}
	c := startSkycli(t, map[string]string{
		"requirements.txt": "stripe==1.82.1\n",
		"__init__.py": `import skygear
import stripe

from .prices import price


@skygear.op('price')
def tell(**kwargs):
    return {'price': price(), 'stripe': stripe.version.VERSION}


@skygear.op('process_payment')
def process_payment(**kwargs):
    return 'not the one in Go'
`,
		"prices.py":              "def price():\n    return 1200\n",
		"public_html/index.html": "<h1>beans</h1> <your-api-key>",
	})
	c.logIn(t)
	out, ok := c.run(t, "deploy")
	if strings.Contains(out, "Could not fetch URL") || strings.Contains(out, "No matching distribution") {
		t.Skipf("SKIPPED: the package index is out of reach:\n%s", out)
	}
	if !ok || !strings.Contains(out, "live: version 1") || !strings.Contains(out, "placeholder <your-api-key>") {
		t.Fatalf("deploy: %s\n%s", out, c.server.Log())
	}
	answer, _ := c.call(t, "price").(map[string]any)
	if answer["price"] != 1200.0 || answer["stripe"] != "1.82.1" {
		t.Errorf("the function answers %v", answer)
	}
	if got := c.call(t, "process_payment"); got != "not the one in Go" {
		t.Errorf("the function of the same name answers %v", got)
	}

	c.write(t, map[string]string{"prices.py": "def price():\n    return 1300\n"})
	if out, ok := c.run(t, "deploy"); !ok || !strings.Contains(out, "the packages are there already") {
		t.Errorf("a deploy of code alone: %s", out)
	}
	if answer, _ := c.call(t, "price").(map[string]any); answer["price"] != 1300.0 {
		t.Errorf("the function answers %v", answer)
	}

	c.write(t, map[string]string{"requirements.txt": "stripe==1.82.1\nthere-is-no-such-package-of-crema==1.0\n"})
	if out, _ := c.run(t, "deploy"); !strings.Contains(out, "the packages could not be installed") || !strings.Contains(out, "there-is-no-such-package-of-crema") {
		t.Errorf("a deploy with a package that is nowhere: %s", out)
	}
	if got := c.fetch(t, http.MethodGet, "/", ""); !strings.Contains(got, "beans") {
		t.Errorf("the page is %s", got)
	}
}

// init asks on a terminal only. The app has to be chosen with the down key; platform §0.7.
func TestSkycli_Init(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("SKIPPED: python3, which gives skycli a terminal, is missing")
	}
	c := startSkycli(t, nil)
	if err := os.Remove(filepath.Join(c.dir, "skygear.json")); err != nil {
		t.Fatal(err)
	}
	c.logIn(t)
	answers := `[["Confirm?", "y\r"], ["Use arrow keys", "\u001b[B"], ["❯ test", "\r"], ["static hosting", "y\r"],
		["Project Template", "\u001b[B"], ["❯ Python", "\r"]]`
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	asked := c.command(ctx, "init")
	cmd := exec.CommandContext(ctx, "python3", append([]string{testkit.Root() + "/server/e2e/clients/skycli/keys.py", answers}, asked.Args...)...)
	cmd.Dir, cmd.Env = asked.Dir, asked.Env
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Initialization Completed") {
		t.Fatalf("init: %v\n%s", err, out)
	}
	if text, err := os.ReadFile(filepath.Join(c.dir, "skygear.json")); err != nil || !strings.Contains(string(text), `"app": "test"`) {
		t.Errorf("skygear.json: %s %v", text, err)
	}
	if out, ok := c.run(t, "deploy"); !ok || !strings.Contains(out, "live: version 1") {
		t.Fatalf("deploy: %s", out)
	}
	if got := c.fetch(t, http.MethodGet, "/hello/", ""); !strings.Contains(strings.ToLower(got), "hello") {
		t.Errorf("the template's handler answers %s", got)
	}
}
