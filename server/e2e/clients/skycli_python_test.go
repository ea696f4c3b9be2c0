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
