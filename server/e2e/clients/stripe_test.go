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

	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

func TestNPMStripe_TellsTheScenario(t *testing.T) {
	t.Parallel()
	needPackages(t, "stripe", "stripe4")
	for _, which := range []string{"stripe4", "cjs", "esm"} {
		t.Run(which, func(t *testing.T) {
			t.Parallel()
			s := sandboxtest.Start(t, testkit.DB(t), nil)
			node(t, "stripe.mjs", s.URL, sandboxtest.SecretKey, which)
		})
	}
}

// Without "Connection: close" the second request of npm stripe 4 never starts, so the test above would
// wait for its deadline. This one says why.
func TestNPMStripe4_GetsItsConnectionClosed(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	for agent, want := range map[string]bool{
		"Stripe/v1 NodeBindings/4.25.0": true, "Stripe/v1 NodeBindings/7.0.0": true,
		"Stripe/v1 NodeBindings/8.0.0": false, "Stripe/v1 NodeBindings/23.1.0": false, "Stripe/v1 GoBindings/76": false,
	} {
		if got := closes(t, s.URL, agent); got != want {
			t.Errorf("%s: the connection is closed: %v, want %v", agent, got, want)
		}
	}
}

func closes(t *testing.T, url, agent string) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/balance", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+sandboxtest.SecretKey)
	r.Header.Set("User-Agent", agent)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	return res.Close
}

// needPackages skips the test where npm packages of this folder are missing, and fails it where CI is set.
func needPackages(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		needPackage(t, ".", name)
	}
}

// needPackage is needPackages for one package of a folder.
func needPackage(t *testing.T, dir, name string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, "node_modules", name)); err == nil {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("npm package %s is missing: run `npm ci` in %s", name, filepath.Join("server/e2e/clients", dir))
	}
	t.Skipf("SKIPPED: npm package %s is missing: run `npm ci` in %s", name, filepath.Join("server/e2e/clients", dir))
}

// node runs a script of this folder.
func node(t *testing.T, args ...string) {
	t.Helper()
	run(t, "node", args...)
}

// run returns what a script of this folder says. It must end well within a minute and say "ok".
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := os.Stat(args[0]); err != nil { // so that a changed script makes an old result of this test stale
		t.Fatal(err)
	}
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "ok ") {
		t.Errorf("%s %s: %v\n%s", program, args[0], err, out)
	}
	return string(out)
}
