package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"crema/server/testkit"
)

// Calls and pages go on while versions come: none fails, and none meets an older version than one before.
func TestDeploy_UnderLoadLosesNoRequest(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing")
	}
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	dir := t.TempDir()
	deploy := func(n int) {
		t.Helper()
		write(t, dir, map[string]string{
			"lambdas/number.js":      fmt.Sprintf("require('skygear/cloud').op('number', async () => { await new Promise((done) => setTimeout(done, 20)); return %d; });\n", n),
			"public_html/index.html": fmt.Sprint(n),
		})
		if out, err := s.Run(t, "deploy", dir, "--server="+s.URL, "--app=test"); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, s.Log())
		}
	}
	deploy(1)
	var over atomic.Bool
	var calls atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for last := 0; !over.Load(); {
				var seen, n int
				text := page(t, s.URL+"/")
				if _, err := fmt.Sscan(text, &seen); err != nil || seen < last {
					t.Errorf("after %d the page is %.100q", last, text)
					return
				}
				answer := post(t, s, "/lambda/number", "{}")
				if _, err := fmt.Sscanf(answer, `{"result":%d}`, &n); err != nil || n < seen {
					t.Errorf("after the page %d the function answers %.200q", seen, answer)
					return
				}
				last = n - 1 // the page comes after the functions
				calls.Add(1)
			}
		})
	}
	for n := 2; n <= 6; n++ {
		deploy(n)
	}
	over.Store(true)
	wg.Wait()
	t.Logf("%d calls while 5 versions came", calls.Load())
	for _, word := range []string{"calls of the version before were cut off", `"level":"ERROR"`} {
		if strings.Contains(s.Log(), word) {
			t.Errorf("the log has %s:\n%s", word, s.Log())
		}
	}
	if kept, err := filepath.Glob(filepath.Join(s.Dir, ".crema", "deploys", "test", "versions", "*")); err != nil || len(kept) == 0 || len(kept) > 6 {
		t.Errorf("%d folders of versions: %v", len(kept), err)
	}
}

// A server that is killed while a version's functions load starts with the version before.
func TestDeploy_KilledServerKeepsTheLiveVersion(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing")
	}
	database, home := "DATABASE_URL="+testkit.DatabaseURL(t), testkit.AppDir(t)
	s := testkit.StartServer(t, home, database, "APP_NAME=test")
	dir := t.TempDir()
	number := "require('skygear/cloud').op('number', () => %d);\n"
	write(t, dir, map[string]string{"lambdas/number.js": fmt.Sprintf(number, 1), "public_html/index.html": "1"})
	if out, err := s.Run(t, "deploy", dir, "--server="+s.URL, "--app=test"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	write(t, dir, map[string]string{"lambdas/number.js": "console.log('the new version loads'); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 8000);\n" + fmt.Sprintf(number, 2), "public_html/index.html": "2"})
	failed := make(chan string, 1)
	go func() {
		out, err := s.Run(t, "deploy", dir, "--server="+s.URL, "--app=test")
		failed <- fmt.Sprint(out, err)
	}()
	eventually(t, "the new version loads", func() bool { return strings.Contains(s.Log(), "the new version loads") })
	s.Kill()
	if out := <-failed; !strings.Contains(out, "does not answer") || !strings.Contains(out, "exit status") {
		t.Errorf("the command says: %s", out)
	}
	s = testkit.StartServer(t, home, database, "APP_NAME=test")
	if got := page(t, s.URL+"/"); got != "1" {
		t.Errorf("the page is %.60q", got)
	}
	if got := post(t, s, "/lambda/number", "{}"); !strings.Contains(got, "1") {
		t.Errorf("the function answers %s", got)
	}
}
