package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crema/server/testkit"
	"crema/server/web/skygear/sdk"
)

const customTokenSecret = "a secret that the other server knows"

// verdict is what a case of skygear/suite.mjs reports.
type verdict struct {
	Name  string
	Error *string
	MS    int
}

// TestNPMSkygear walks every public call of the real skygear@1.7.2 in Node. Each case is a subtest.
func TestNPMSkygear(t *testing.T) {
	t.Parallel()
	runCases(t, "npm")
}

// TestSDK_DoesWhatNPMSkygearDoes runs the same cases with our own client.
func TestSDK_DoesWhatNPMSkygearDoes(t *testing.T) {
	t.Parallel()
	runCases(t, "ours")
}

func runCases(t *testing.T, which string) {
	t.Helper()
	needPackage(t, "skygear", "skygear")
	report(t, verdictsOf(t, startForSkygear(t), which))
}

// report makes a subtest of each case. There are more than a hundred.
func report(t *testing.T, verdicts []verdict) {
	t.Helper()
	if len(verdicts) < 100 {
		t.Errorf("only %d cases were run", len(verdicts))
	}
	for _, v := range verdicts {
		t.Run(v.Name, func(t *testing.T) {
			if v.Error != nil {
				t.Error(*v.Error)
			}
		})
	}
}

// startForSkygear starts a server whose type "ledger" has a column of a type that the server does not know.
func startForSkygear(t *testing.T) *testkit.Server {
	t.Helper()
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.EmptyDatabaseURL(t), "CUSTOM_TOKEN_SECRET="+customTokenSecret)
	createType(t, s, "ledger")
	if out, err := s.Run(t, "psql", "-c", `ALTER TABLE ledger ADD price money DEFAULT 5`); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	createType(t, s, "other") // the server looks at all tables again
	return s
}

func createType(t *testing.T, s *testkit.Server, name string) {
	t.Helper()
	body := `{"api_key":"` + s.MasterKey + `","record_types":{"` + name + `":{"fields":[{"name":"title","type":"string"}]}}}`
	res, err := http.Post(s.URL+"/schema/create", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("schema:create answers %s", res.Status)
	}
}

// verdictsOf runs skygear/node.mjs and returns what each case reported, in order.
func verdictsOf(t *testing.T, s *testkit.Server, which string) []verdict {
	t.Helper()
	watchScripts(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "node.mjs", which)
	cmd.Dir = "skygear"
	cmd.Env = append(os.Environ(), "SETTINGS="+settingsOf(t, s))
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

// settingsOf is what the cases know of a server, as JSON.
func settingsOf(t *testing.T, s *testkit.Server) string {
	t.Helper()
	b, err := json.Marshal(map[string]string{
		"endPoint": s.URL, "apiKey": s.APIKey, "masterKey": s.MasterKey, "customTokenSecret": customTokenSecret,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// watchScripts makes an old result of the calling test stale when a script has changed.
func watchScripts(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"skygear/*.mjs", "skygear/*.html", "skygear/cases/*.mjs"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, name := range names {
			if _, err := os.Stat(name); err != nil {
				t.Fatal(err)
			}
		}
	}
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

// TestSDK_TypesFitPrograms compiles a module and a script against the types that the server hands out.
func TestSDK_TypesFitPrograms(t *testing.T) {
	t.Parallel()
	needPackage(t, "skygear", "typescript")
	dir := t.TempDir()
	for _, from := range []struct {
		files fs.FS
		to    string
	}{{os.DirFS("skygear/types"), dir}, {sdk.FS, filepath.Join(dir, "sdk")}} {
		if err := os.CopyFS(from.to, from.files); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "node", "skygear/node_modules/typescript/bin/tsc", "-p", dir).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
