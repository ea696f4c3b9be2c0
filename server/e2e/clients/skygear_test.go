package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"crema/server/testkit"
)

// verdict is what a case of skygear/suite.mjs reports.
type verdict struct {
	Name  string
	Error *string
	MS    int
}

// TestNPMSkygear walks every public call of the real skygear@1.7.2 in Node. Each case is a subtest.
func TestNPMSkygear(t *testing.T) {
	t.Parallel()
	needPackage(t, "skygear", "skygear")
	s := startForSkygear(t)
	for _, v := range runCases(t, s, "npm") {
		t.Run(v.Name, func(t *testing.T) {
			if v.Error != nil {
				t.Error(*v.Error)
			}
		})
	}
}

func startForSkygear(t *testing.T) *testkit.Server {
	t.Helper()
	return testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.EmptyDatabaseURL(t))
}

// runCases runs skygear/node.mjs and returns what each case reported, in order.
func runCases(t *testing.T, s *testkit.Server, which string) []verdict {
	t.Helper()
	settings, err := json.Marshal(map[string]string{"endPoint": s.URL, "apiKey": s.APIKey, "masterKey": s.MasterKey})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "node.mjs", which)
	cmd.Dir = "skygear"
	cmd.Env = append(os.Environ(), "SETTINGS="+string(settings))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	verdicts, done := readVerdicts(t, bufio.NewScanner(out))
	if err := cmd.Wait(); err != nil || !done {
		t.Errorf("node did not reach the end: %v\n%s", err, s.Log())
	}
	return verdicts
}

func readVerdicts(t *testing.T, lines *bufio.Scanner) (verdicts []verdict, done bool) {
	t.Helper()
	for lines.Scan() {
		var line struct {
			Case *verdict
			Done bool
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("node said %q", lines.Text())
			continue
		}
		if line.Case != nil {
			verdicts = append(verdicts, *line.Case)
		}
		done = done || line.Done
	}
	return verdicts, done
}
