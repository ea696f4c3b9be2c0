package clients_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

func TestPythonStripe_TellsTheScenario(t *testing.T) {
	t.Parallel()
	for which, version := range map[string]string{"old": "1.82.1", "new": "16.1.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			python := needVenv(t, which)
			s := sandboxtest.Start(t, testkit.DB(t), nil)
			if out := run(t, python, "stripe_scenario.py", s.URL, sandboxtest.SecretKey); !strings.Contains(out, version) {
				t.Errorf("this is not stripe %s: %s", version, out)
			}
		})
	}
}

// needVenv returns the Python of a virtual environment that `.ci/needs.sh test` made. Without it the test
// is skipped, except where CI is set and this machine's Python can run what is missing. The old packages of
// plugins are not to be had everywhere.
func needVenv(t *testing.T, which string) string {
	t.Helper()
	python := ".venv-" + which + "/bin/python"
	if _, err := os.Stat(python); err == nil {
		return "./" + python
	}
	if why := unfit(which); why != "" {
		t.Skipf("SKIPPED: %s", why)
	}
	if os.Getenv("CI") != "" && which != "plugin" {
		t.Fatalf("%s is missing: run `.ci/needs.sh test`", python)
	}
	t.Skipf("SKIPPED: %s is missing: run `.ci/needs.sh test`", python)
	return ""
}

// unfit says why no Python here can run a client. .ci/needs.sh decides it in the same way.
func unfit(which string) string {
	fit := "(3, 10) <= v"
	if which != "new" {
		fit = "(3, 10) <= v < (3, 12)"
	}
	for _, name := range []string{"python3.11", "python3.10", "python3"} {
		if exec.Command(name, "-c", "import ensurepip, sys, venv; v = sys.version_info; sys.exit(not ("+fit+"))").Run() == nil {
			return ""
		}
	}
	return "there is no Python here for requirements-" + which + ".txt: it must be " + fit
}
