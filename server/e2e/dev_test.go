package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"crema/server/testkit"
	"crema/server/testkit/browser"
)

// devApp is an app folder whose site belongs to the test, with these functions.
func devApp(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := appWith(t, files)
	site := filepath.Join(dir, "public_html")
	if err := errors.Join(os.Remove(site), os.Mkdir(site, 0o755)); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(site, "index.html"), "<!doctype html><html><head><title>one</title></head><body>one</body></html>")
	return dir
}

func save(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// until asks again and again, and returns how long it took.
func until(t *testing.T, s *testkit.Server, what string, ok func() bool) time.Duration {
	t.Helper()
	begin, pause := time.Now(), time.NewTicker(2*time.Millisecond)
	defer pause.Stop()
	for ; !ok(); <-pause.C {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("%s: not after 30 s; the log:\n%s", what, s.Log())
		}
	}
	return time.Since(begin)
}

func TestDev_SavedFunctionsAreLive(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	needProgram(t, "node")
	py := func(text string) string {
		return "import skygear\n\n@skygear.op('py')\ndef py():\n    return '" + text + "'\n"
	}
	js := func(text string) string {
		return "const skygearCloud = require('skygear/cloud');\nskygearCloud.op('js', () => '" + text + "');\n" +
			"skygearCloud.staticAsset('" + text + "', () => __dirname + '/files');\n"
	}
	dir := devApp(t, map[string]string{"one.py": py("first"), "two.js": js("first")})
	lay(t, dir, map[string]string{"lambdas/files/a.txt": "a file"})
	s := testkit.StartDev(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	answers := func(name, text string) func() bool {
		return func() bool {
			r := lambda(t, s, name, `{}`)
			if r.Status != http.StatusOK {
				t.Fatalf("a call was lost: %+v", r)
			}
			return r.Body == `{"result":"`+text+`"}`
		}
	}
	for _, c := range []struct {
		name, file string
		source     func(string) string
		broken     string
		line       string
	}{
		{"py", "one.py", py, "import skygear\n\nif True print(1)\n", `"line":3`},
		{"js", "two.js", js, "const a = 1;\nconst b = ;\n", `"line":2`},
	} {
		path := filepath.Join(dir, "lambdas", c.file)
		until(t, s, c.file, answers(c.name, "first"))
		save(t, path, c.source("second"))
		t.Logf("%s: live %v after it was saved", c.file, until(t, s, c.file, answers(c.name, "second")).Round(time.Millisecond))
		save(t, path, c.broken)
		until(t, s, "the error of "+c.file, func() bool {
			return strings.Contains(s.Log(), c.line) && strings.Contains(s.Log(), `"the functions stay as they were","language":"`+map[string]string{"py": "python", "js": "javascript"}[c.name])
		})
		if !answers(c.name, "second")() {
			t.Errorf("%s: the old version is not live after a mistake", c.file)
		}
		save(t, path, c.source("third"))
		until(t, s, c.file, answers(c.name, "third"))
	}
	served := func(path, want string) { // files follow right after the functions
		t.Helper()
		until(t, s, path, func() bool { got, _ := fetch(t, s.URL+path, ""); return strings.HasPrefix(got, want) })
	}
	served("/static/third/a.txt", "200 a file")
	served("/static/first/a.txt", "404")
	served("/index.html", "200 <!doctype html>") // in the same door, which was opened again
	if log := s.Log(); !strings.Contains(log, `"msg":"call","function":"py","took":`) {
		t.Errorf("calls are not shown:\n%s", log)
	}
	if err := os.Remove(filepath.Join(dir, "lambdas", "two.js")); err != nil {
		t.Fatal(err)
	}
	until(t, s, "a deleted file", func() bool { return lambda(t, s, "js", `{}`).Status == http.StatusNotFound })
	served("/static/third/a.txt", "404")
}

func TestDev_PagesLoadAgain(t *testing.T) {
	t.Parallel()
	dir := devApp(t, nil)
	s := testkit.StartDev(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	page := filepath.Join(dir, "public_html", "index.html")
	save(t, page, `<!doctype html><html><head><meta http-equiv="Content-Security-Policy" content="default-src 'self'"><title>two</title></head><body>two</body></html>`)
	ctx := browser.New(t)
	shows := func(text string) {
		t.Helper()
		until(t, s, "the page with "+text, func() bool { // while it loads again there is nothing to ask
			got, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body ? document.body.textContent : ''"))
			return err == nil && got == text
		})
	}
	if _, err := chromedp.Run(ctx, chromedp.Navigate(s.URL+"/")); err != nil {
		t.Fatal(err)
	}
	shows("two")
	begin := time.Now()
	save(t, page, "<!doctype html><html><body>three</body></html>")
	shows("three")
	t.Logf("the page shows a change after %v", time.Since(begin).Round(time.Millisecond))
	save(t, filepath.Join(dir, "public_html", "style.css"), "body { color: red }")
	save(t, page, "<!doctype html><html><body>four</body></html>")
	shows("four") // a page without a head was loaded again too
	site := filepath.Join(dir, "public_html")
	if err := errors.Join(os.RemoveAll(site), os.Mkdir(site, 0o755)); err != nil { // as tools do that make a site
		t.Fatal(err)
	}
	save(t, page, "<!doctype html><html><body>five</body></html>")
	shows("five")
	save(t, page, "<!doctype html><html><body>six</body></html>")
	shows("six")
}

func TestDev_SaysWhichLanguagesAreLeftOut(t *testing.T) {
	t.Parallel()
	dir := devApp(t, map[string]string{"one.py": "import skygear\n", "two.js": "require('skygear/cloud');\n"})
	s := testkit.StartDev(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test", "PATH="+t.TempDir())
	for _, want := range []string{`"language":"python","reason":"workers.no_interpreter"`, `"language":"javascript","reason":"workers.no_interpreter"`} {
		if !strings.Contains(s.Log(), want) {
			t.Errorf("the log lacks %s:\n%s", want, s.Log())
		}
	}
	if got := get(t, s.URL+"/index.html"); !strings.HasPrefix(got, "200") {
		t.Errorf("the shop is not open: %s", got)
	}
}

func TestServe_AddsNothingToPages(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, devApp(t, nil), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	if got := get(t, s.URL+"/index.html"); strings.Contains(got, "_dev") {
		t.Errorf("a page has a script that it should not have: %s", got)
	}
	if got := get(t, s.URL+"/_dev/reload.js"); strings.Contains(got, "EventSource") {
		t.Errorf("the script is there: %s", got)
	}
}

// TestDev_GoFunctionsAreBuiltAgain edits a function in Go while clients call it.
func TestDev_GoFunctionsAreBuiltAgain(t *testing.T) {
	t.Parallel()
	dir := freshCopy(t)
	for _, name := range []string{"shipping.py", "roasting.js"} { // not needed here
		if err := os.Remove(filepath.Join(dir, "lambdas", name)); err != nil {
			t.Fatal(err)
		}
	}
	s := testkit.StartDev(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	path := filepath.Join(dir, "lambdas", "echo.go")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	calls, load := callAll(ctx, t, s)
	defer load.Wait()
	defer cancel()

	save(t, path, strings.Replace(string(text), "return in, nil", "return in", 1))
	until(t, s, "the mistake", func() bool {
		return strings.Contains(s.Log(), `"file":"lambdas/echo.go","line":`) && strings.Contains(s.Log(), `"the functions stay as they were","language":"go"`)
	})
	before := pageVersion(t, s)
	begin := time.Now()
	save(t, path, strings.Replace(string(text), "return in, nil", `in.Message += "!"; return in, nil`, 1))
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for !strings.Contains(lambda(t, s, "echo", `{"message":"a"}`).Body, `"a!"`) {
		if <-pause.C; time.Since(begin) > 3*time.Minute {
			t.Fatalf("the change is not live after 3 minutes:\n%s", s.Log())
		}
	}
	t.Logf("a function in Go is live %v after it was saved, %d calls meanwhile", time.Since(begin).Round(time.Millisecond), calls.Load())
	after := calls.Load() + 100
	until(t, s, "calls after the change", func() bool { return calls.Load() > after })
	if pageVersion(t, s) == before {
		t.Error("pages of the program before do not load again")
	}
	settings := filepath.Join(dir, "app.json")
	save(t, settings, `{"name": "coffee", "shopp": {}}`)
	until(t, s, "a mistake in app.json", func() bool {
		return strings.Contains(s.Log(), `did you mean "shop"`) && strings.Contains(s.Log(), "everything stays as it was")
	})
	cancel()
	load.Wait()
	if code := s.Signal(t, syscall.SIGHUP); code != 0 { // its terminal was closed
		t.Errorf("it ended with code %d:\n%s", code, s.Log())
	}
}

// pageVersion is the version that a page would load again for.
func pageVersion(t *testing.T, s *testkit.Server) string {
	t.Helper()
	_, version, ok := strings.Cut(get(t, s.URL+"/index.html"), `data-version="`)
	if !ok {
		t.Fatal("the page has no script to load again")
	}
	return version[:strings.IndexByte(version, '"')]
}

// callAll keeps calling until ctx ends. A call that is not answered is an error.
func callAll(ctx context.Context, t *testing.T, s *testkit.Server) (*atomic.Int64, *sync.WaitGroup) {
	t.Helper()
	var calls atomic.Int64
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 1}}
			if i%2 == 0 { // net/http's own would repeat what a closed connection has swallowed
				client.Transport = &loyal{}
			}
			defer client.CloseIdleConnections()
			pause := time.NewTicker(5 * time.Millisecond)
			defer pause.Stop()
			for ; ctx.Err() == nil; <-pause.C {
				resp, err := client.Post(s.URL+"/lambda/echo", "application/json", strings.NewReader(`{"message":"a"}`))
				if err != nil {
					t.Errorf("a call was lost: %v", err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close() // it was read
				if err != nil || resp.StatusCode != http.StatusOK {
					t.Errorf("a call was lost: %s, %v", resp.Status, err)
				}
				calls.Add(1)
			}
		})
	}
	return &calls, &all
}

// loyal is a client that keeps its connection until an answer tells it to leave, and repeats nothing.
type loyal struct {
	conn net.Conn
	in   *bufio.Reader
}

// RoundTrip implements http.RoundTripper.
func (l *loyal) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.conn == nil {
		conn, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.URL.Host)
		if err != nil {
			return nil, err
		}
		l.conn, l.in = conn, bufio.NewReader(conn)
	}
	if err := r.Write(l.conn); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(l.in, r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if resp.Close {
		l.CloseIdleConnections()
	}
	return resp, err
}

// CloseIdleConnections closes the connection, as http.Client asks for.
func (l *loyal) CloseIdleConnections() {
	if l.conn != nil {
		_ = l.conn.Close() // nothing is under way
		l.conn = nil
	}
}

// TestDev_EndsWithItsParent kills the process that holds the address: the server ends by itself, and soon.
func TestDev_EndsWithItsParent(t *testing.T) {
	t.Parallel()
	dir := freshCopy(t)
	if err := os.RemoveAll(filepath.Join(dir, "lambdas", "shipping.py")); err != nil { // its users could not reach the folder
		t.Fatal(err)
	}
	s := testkit.StartDev(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test", "TMPDIR="+t.TempDir())
	begin := time.Now()
	s.Kill() // returns when nobody writes to the log any more
	took := time.Since(begin)
	if took > 9*time.Second { // it takes ten for clients to leave, when somebody has taken over
		t.Errorf("the server went on for %v:\n%s", took, s.Log())
	}
	if _, err := http.Get(s.URL + "/healthz"); err == nil {
		t.Error("somebody answers still")
	}
}

// TestServe_FollowsTheFolderOfTheSite puts another folder in the place of the site's, as scripts do that bring a new one.
func TestServe_FollowsTheFolderOfTheSite(t *testing.T) {
	t.Parallel()
	dir := devApp(t, nil)
	s := testkit.StartServer(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	site, next := filepath.Join(dir, "public_html"), filepath.Join(dir, "next")
	if err := os.Mkdir(next, 0o755); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(next, "index.html"), "the next site")
	if err := errors.Join(os.RemoveAll(site), os.Rename(next, site)); err != nil {
		t.Fatal(err)
	}
	until(t, s, "the next site", func() bool { return get(t, s.URL+"/index.html") == "200 the next site" })
	save(t, filepath.Join(site, "index.html"), "and another page")
	until(t, s, "a change in it", func() bool { return get(t, s.URL+"/index.html") == "200 and another page" })
}
