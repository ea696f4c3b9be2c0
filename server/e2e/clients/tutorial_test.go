package clients_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"crema/server/testkit/browser"
)

// The way of the old tutorial, from its files to the row in the table: with the real skycli, the real stripe==1.82.1, the real
// skygear.min.js, and pages in a browser. Nothing of its files changes but the placeholders.
func TestTutorial_TakesPayments(t *testing.T) {
	t.Parallel()
	files := tutorial(t)
	c := startSkycli(t, files)
	c.write(t, map[string]string{"index.js": files["public_html/index.js"]}) // its reader had it there first
	c.logIn(t)
	out := c.deploy(t, 1)
	if !strings.Contains(out, "index.js is left out") || !strings.Contains(out, "in the place of the server's own: function process_payment") {
		t.Errorf("the first deploy: %s", out)
	}
	for _, left := range placeholders(files) {
		if !strings.Contains(out, "still has the placeholder "+left) {
			t.Errorf("nobody is warned of %s:\n%s", left, out)
		}
	}
	secret := c.secretKey(t)
	var shop struct{ Key string }
	if err := json.Unmarshal([]byte(c.fetch(t, http.MethodGet, "/payments/config.json", "")), &shop); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(c.dir, "index.js")); err != nil {
		t.Fatal(err)
	}
	// The same page with the client from Skygear's own address, as the tutorial had it.
	files["public_html/old.html"] = strings.Replace(files["public_html/index.html"], "skygear.min.js", "https://code.skygear.io/js/skygear/latest/skygear.min.js", 1)
	c.write(t, fill(files, map[string]string{
		"<your-stripe-private-key>": secret, "<your-stripe-public-key>": shop.Key, "<your-user-id>": "the-shop",
		"<your-skygear-endpoint>": c.server.URL + "/", "<your-skygear-api-key>": c.server.APIKey,
	}))
	if out = c.deploy(t, 2); !strings.Contains(out, "the packages are there already") || strings.Contains(out, "placeholder") {
		t.Errorf("the second deploy: %s", out)
	}

	if out, err := c.server.Run(t, "versions", "--server="+c.server.URL, "--app=test"); err != nil || strings.Contains(out, "0001-01-01") || strings.Count(out, operatorEmail) != 2 {
		t.Errorf("crema versions: %v\n%s", err, out)
	}

	p := c.open(t, "/static/index.html")
	p.pay("4000000000000002")
	p.wait(`document.getElementById('outcome').textContent === 'Sorry, the card was not accepted.'`)
	if got := c.rows(t); got != "" {
		t.Errorf("a refused card has left %s", got)
	}
	p.shoot("tutorial-declined")
	p.pay("4242424242424242")
	p.wait(`document.getElementById('outcome').textContent === 'Thank you! The beans are on their way to ada@example.com.'`)
	const sale = `House blend|1500|ada@example.com|the-shop|[{"level": "read", "public": true}]`
	if got := c.rows(t); got != sale {
		t.Errorf("the table has %q, want %q", got, sale)
	}
	p.shoot("tutorial-paid")
	p.do(chromedp.Navigate(c.server.URL + "/static/old.html"))
	p.pay("4242424242424242")
	p.wait(`document.getElementById('outcome').textContent === 'Thank you! The beans are on their way to ada@example.com.'`)
	if got := c.rows(t); got != sale+"\n"+sale {
		t.Errorf("the table has %q, want the sale twice", got)
	}

	c.write(t, map[string]string{"requirements.txt": files["requirements.txt"] + "there-is-no-such-package-of-crema==1.0\n"})
	if out, _ := c.run(t, "deploy"); !strings.Contains(out, "the packages could not be installed") || !strings.Contains(out, "there-is-no-such-package-of-crema") {
		t.Errorf("a deploy with a package that is nowhere: %s", out)
	}
	if got := c.fetch(t, http.MethodGet, "/", ""); !strings.Contains(got, "Beans by post") {
		t.Errorf("after a deploy that failed the page is %s", got)
	}
}

// tutorial is the files of the demo, with npm's client beside the page. stripe is the newest one where Python is too new for
// the old one: that cannot be imported from 3.12 on.
func tutorial(t *testing.T) map[string]string {
	t.Helper()
	needPackage(t, "skygear", "skygear")
	python, err := exec.Command("python3", "-c", "import ensurepip, sys; print(sys.version_info >= (3, 12))").Output()
	if err != nil {
		t.Skip("SKIPPED: python3 is missing, or cannot make virtual environments")
	}
	files := map[string]string{}
	top := os.DirFS("testdata/tutorial")
	err = fs.WalkDir(top, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(top, name)
		files[name] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := os.ReadFile("skygear/node_modules/skygear/dist/skygear.min.js")
	if err != nil {
		t.Fatal(err)
	}
	files["public_html/skygear.min.js"] = string(client)
	if strings.HasPrefix(string(python), "True") {
		files["requirements.txt"] = "stripe\n"
	}
	return files
}

// placeholders are what the demo's reader fills in.
func placeholders(files map[string]string) (all []string) {
	for _, name := range []string{"__init__.py", "public_html/index.js"} {
		for _, part := range strings.Split(files[name], "'") {
			if strings.HasPrefix(part, "<your-") && !slices.Contains(all, part) {
				all = append(all, part)
			}
		}
	}
	return all
}

func fill(files, values map[string]string) map[string]string {
	filled := map[string]string{}
	for name, text := range files {
		for left, value := range values {
			text = strings.ReplaceAll(text, left, value)
		}
		filled[name] = text
	}
	return filled
}

// deploy must make a version live. It returns what skycli says. Without a way to the package index the test is skipped.
func (c *skycli) deploy(t *testing.T, version int) string {
	t.Helper()
	out, ok := c.run(t, "deploy")
	if strings.Contains(out, "Could not fetch URL") || strings.Contains(out, "No matching distribution") {
		t.Skipf("SKIPPED: the package index is out of reach:\n%s", out)
	}
	if !ok || !strings.Contains(out, fmt.Sprintf("live: version %d ", version)) {
		t.Fatalf("deploy: %s\n%s", out, c.server.Log())
	}
	return out
}

// rows is what has been sold, read as an operator reads it.
func (c *skycli) rows(t *testing.T) string {
	t.Helper()
	out, err := c.server.Run(t, "psql", "-At", "-c", "select product, amount, receipt_email, _owner_id, _access from payment_record")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// secretKey is the sandbox's, as a newcomer finds it.
func (c *skycli) secretKey(t *testing.T) string {
	t.Helper()
	out, err := c.server.Run(t, "keys")
	key := regexp.MustCompile(`sk_test_\w+`).FindString(out)
	if err != nil || key == "" {
		t.Fatalf("crema keys: %v\n%s", err, out)
	}
	return key
}

// tab is a page of the demo in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context
}

// open opens a page, which may not throw.
func (c *skycli) open(t *testing.T, path string) tab {
	t.Helper()
	p := tab{t, browser.New(t)}
	p.do(chromedp.Navigate(c.server.URL + path))
	return p
}

func (p tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

// wait returns when the condition holds in the page.
func (p tab) wait(condition string) {
	p.t.Helper()
	poll := chromedp.Poll[bool]("Boolean("+condition+")", chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(30*time.Second))
	if _, err := chromedp.Run(p.ctx, poll); err != nil {
		said, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		p.t.Fatalf("waiting for %s: %v\nthe page says: %s", condition, err, said)
	}
}

// pay opens the popup and types a card, as a shopper does.
func (p tab) pay(card string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS("#buy")))
	p.wait(`document.querySelector('iframe.stripe_checkout_app')?.contentDocument?.activeElement?.tagName === 'INPUT'`)
	p.do(chromedp.KeyEvent("ada@example.com" + kb.Tab + card + kb.Tab + "1230" + kb.Tab + "123" + kb.Enter))
}

// shoot keeps pictures of the page, for whoever runs the tests with -artifacts.
func (p tab) shoot(name string) {
	p.t.Helper()
	if kept := flag.Lookup("test.artifacts"); kept == nil || kept.Value.String() != "true" {
		return
	}
	for _, width := range []int64{320, 1280} {
		browser.Resize(p.t, p.ctx, width, 800)
		browser.Screenshot(p.t, p.ctx, fmt.Sprintf("%s-%d.png", name, width))
	}
}
