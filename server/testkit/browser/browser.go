// Package browser gives a test a real Chromium of its own: headless, with an empty profile, gone when the test ends.
package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// candidates are looked up in PATH, in this order, when CHROME does not name a browser.
var candidates = []string{
	"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
	"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
	"/Applications/Chromium.app/Contents/MacOS/Chromium",
}

// limit ends a browser that hangs, and with it the test.
const limit = 5 * time.Minute

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
// most tests do. Each gets a tab of its own. They share cookies, so what sets one must end it; storage and cache
// belong to origins, and each test's server is one. It returns the exit code.
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

// process is a browser, started by whoever needs it first.
type process struct {
	mu      sync.Mutex
	profile string
	ctx     context.Context
	release context.CancelFunc
}

func (p *process) start() (context.Context, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx != nil {
		return p.ctx, nil
	}
	var err error
	if p.profile, err = os.MkdirTemp("", "crema-browser-"); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, p.release = chromedp.NewExecAllocator(context.Background(), flags(Find(), p.profile)...)
	ctx, _ = chromedp.NewContext(ctx) // release ends it
	if err := chromedp.Do(ctx); err != nil {
		return nil, fmt.Errorf("start %s: %w", Find(), err)
	}
	p.ctx = ctx
	return ctx, nil
}

// stop closes the browser and waits for its end, since its helpers write into the profile until then.
func (p *process) stop() {
	if p.ctx != nil {
		_ = chromedp.Cancel(p.ctx) // release kills what did not close
	}
	if p.release != nil {
		p.release()
	}
	_ = os.RemoveAll(p.profile) // of a test; in a folder that is swept
}

func missing(t testing.TB) {
	t.Helper()
	const text = "no Chromium or Chrome found: install chromium, or name one in the variable CHROME"
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
}

func flags(path, profile string) []chromedp.ExecAllocatorOption {
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
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
