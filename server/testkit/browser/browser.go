// Package browser gives a test a real Chromium of its own: headless, with an empty profile, gone when the test ends.
package browser

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

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

// New starts a browser with one blank tab and returns the context that chromedp's actions run in. It ends after two minutes.
// Without a browser the test is skipped, but fails where the variable CI is set: there a skip would hide what broke.
func New(t testing.TB) context.Context {
	t.Helper()
	return Within(t, limit)
}

// Within is New with another limit of time.
func Within(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	path := Find()
	if path == "" {
		missing(t)
	}
	ctx, stop := context.WithTimeout(context.Background(), limit)
	ctx, release := chromedp.NewExecAllocator(ctx, flags(path, profile(t))...)
	ctx, closeTab := chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("closing the browser: %v", err)
		}
		closeTab()
		release()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

func missing(t testing.TB) {
	t.Helper()
	const text = "no Chromium or Chrome found: install chromium, or name one in the variable CHROME"
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// profile is not t.TempDir: the browser's helpers may still write into it for a moment, which would fail the test.
func profile(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crema-browser-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Logf("the browser's profile stays behind: %v", err)
		}
	})
	return dir
}

func flags(path, profile string) []chromedp.ExecAllocatorOption {
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(profile),
		chromedp.WindowSize(1280, 900),
		chromedp.DisableGPU,
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
