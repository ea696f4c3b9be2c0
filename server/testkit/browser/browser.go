// Package browser gives a test a real Chromium of its own: headless, with an empty profile, gone when the test ends.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// candidates are looked up in PATH, in this order, when CHROME does not name a browser.
var candidates = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	"/Applications/Chromium.app/Contents/MacOS/Chromium",
}

const (
	limit   = 5 * time.Minute  // ends a tab that hangs, and with it the test
	closing = 10 * time.Second // for a browser to close by itself
)

// Find returns the browser's path, or "" when this machine has none. The variable CHROME overrides the search.
func Find() string {
	if named := os.Getenv("CHROME"); named != "" {
		return named
	}
	for _, name := range candidates {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// shared is the browser of all tests of a process that Main runs.
var shared *process

// Main runs the tests of a package, from its TestMain, with one browser for all of them: to start one costs more than
// most tests do. Each gets a tab of its own. They share cookies, which know no ports, so a test that needs one must not
// be parallel; storage belongs to origins, of which each test's server is one, and goes with the tab. It returns the
// exit code.
func Main(m *testing.M) int {
	shared = &process{}
	defer shared.stop()
	return m.Run()
}

// New opens a blank tab and returns the context that chromedp's actions run in. It ends after limit.
// Without a browser the test is skipped, but fails where the variable CI is set: there a skip would hide what broke.
func New(t testing.TB) context.Context {
	t.Helper()
	return Within(t, limit)
}

// Within is New with another limit of time.
func Within(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	if Find() == "" {
		missing(t)
	}
	p := shared
	if p == nil {
		p = &process{}
		t.Cleanup(p.stop)
	}
	root, err := p.start()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(root, limit)
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithNewWindow(false))
	t.Cleanup(func() {
		forget(ctx)
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("closing the tab: %v", err)
		}
		closeTab()
		stop()
	})
	// Tabs of other tests may be open before this one, and each page shall believe that it is seen and has the focus.
	_, err = chromedp.Call(ctx, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	if err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	return ctx
}

// forget empties the storage of the page's origin: another test's server may get the same port.
func forget(ctx context.Context) {
	origin, err := chromedp.Run(ctx, chromedp.Evaluate[string]("location.origin"))
	if err != nil || !strings.HasPrefix(origin, "http") {
		return
	}
	_, _ = chromedp.Call(ctx, storage.ClearDataForOrigin, storage.ClearDataForOriginParams{Origin: origin, StorageTypes: "all"})
}

// process is a browser, started by whoever needs it first.
type process struct {
	mu      sync.Mutex
	ctx     context.Context
	release context.CancelFunc
}

// start returns the context of the running browser. One that has crashed is replaced.
func (p *process) start() (context.Context, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx != nil && p.ctx.Err() == nil {
		return p.ctx, nil
	}
	p.end()
	ctx, release := chromedp.NewExecAllocator(context.Background(), flags(Find())...)
	ctx, _ = chromedp.NewContext(ctx) // release ends it
	p.ctx, p.release = ctx, release
	if err := chromedp.Do(ctx); err != nil {
		p.end()
		return nil, fmt.Errorf("start %s: %w", Find(), err)
	}
	return ctx, nil
}

func (p *process) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// end closes the browser, kills it when it does not, and has chromedp remove the profile that it made.
func (p *process) end() {
	if p.ctx == nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, closing)
	defer cancel()
	_ = chromedp.Cancel(ctx) // release does what this cannot
	p.release()
	if c := chromedp.FromContext(p.ctx); c != nil && c.Allocator != nil {
		c.Allocator.Wait()
	}
	p.ctx = nil
}

func missing(t testing.TB) {
	t.Helper()
	const text = "no Chromium or Chrome found: install chromium, or name one in the variable CHROME"
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
}

func flags(path string) []chromedp.ExecAllocatorOption {
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.WindowSize(1280, 900),
		chromedp.DisableGPU,
		chromedp.Flag("force-prefers-reduced-motion", true), // a processor draws each frame here
		chromedp.Flag("disable-quic", true),
		// A page that comes back without loading escapes chromedp's sight; tests play its pageshow event instead.
		chromedp.Flag("disable-features", "Translate,BlinkGenPropertyTrees,BackForwardCache"),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("lang", "en-US"),
		chromedp.WSURLReadTimeout(60*time.Second), // a busy machine starts it slowly
	)
	if os.Geteuid() == 0 { // Chromium refuses to run its sandbox as root
		opts = append(opts, chromedp.NoSandbox)
	}
	return opts
}

// Resize makes the tab's viewport width by height CSS pixels.
func Resize(t testing.TB, ctx context.Context, width, height int64) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, height)); err != nil {
		t.Fatal(err)
	}
}

// Screenshot writes what the tab shows as a PNG. A relative path lands in the test's artifact directory, which
// `go test -artifacts` keeps.
func Screenshot(t *testing.T, ctx context.Context, path string) {
	t.Helper()
	shoot(t, ctx, path, chromedp.CaptureScreenshot())
}

// FullScreenshot is Screenshot of the whole page, as far as it scrolls.
func FullScreenshot(t *testing.T, ctx context.Context, path string) {
	t.Helper()
	shoot(t, ctx, path, chromedp.FullScreenshot(100))
}

func shoot(t *testing.T, ctx context.Context, path string, take chromedp.Action[[]byte]) {
	t.Helper()
	if !filepath.IsAbs(path) {
		path = filepath.Join(t.ArtifactDir(), path)
	}
	png, err := chromedp.Run(ctx, take)
	if err == nil {
		err = os.WriteFile(path, png, 0o644)
	}
	if err != nil {
		t.Fatalf("screenshot %s: %v", path, err)
	}
}
