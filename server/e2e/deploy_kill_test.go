package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/testkit"
)

// deploySteps are the failpoints of deploys in their order, with what is live when the server has died there.
var deploySteps = []struct {
	point    string
	hits     int  // of a deploy that goes well, and of a start before it
	packages bool // the deploy that meets it installs some
	live     string
}{
	{"deploy-kept", 2, false, "old"},
	{"deploy-listed", 1, false, "old"},
	{"deploy-begun", 1, false, "old"},
	{"deploy-drafted", 1, false, "old"},
	{"deploy-unfolded", 1, false, "old"},
	{"deploy-building", 0, true, "old"},
	{"deploy-built", 0, true, "old"}, // the same ones
	{"deploy-prepared", 1, false, "old"},
	{"deploy-releasing", 1, false, "old"},
	{"deploy-released", 1, false, "new"},
	{"deploy-switched", 1, false, "new"},
	{"deploy-drained", 1, false, "new"},
	{"deploy-told", 1, false, "new"},
	{"deploy-forgotten", 2, false, "new"},
}

// shop is an app of which the page and the function tell the number of the version.
type shop struct {
	t        *testing.T
	home     string
	dir      string
	temp     string
	database string
	n        int
}

func newShop(t *testing.T) *shop {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing")
	}
	return &shop{t: t, home: testkit.AppDir(t), dir: t.TempDir(), temp: t.TempDir(), database: testkit.DatabaseURL(t)}
}

func (p *shop) start(env ...string) *testkit.Server {
	p.t.Helper()
	return testkit.StartServer(p.t, p.home, append(env, "DATABASE_URL="+p.database, "APP_NAME=test", "TMPDIR="+p.temp)...)
}

// next writes the next version into the folder, with packages to install or without.
func (p *shop) next(packages bool) {
	p.t.Helper()
	p.n++
	if packages {
		write(p.t, p.dir, map[string]string{"lambdas/package.json": `{"name": "shop", "version": "1.0.0"}`})
	} else if err := os.RemoveAll(filepath.Join(p.dir, "lambdas/package.json")); err != nil {
		p.t.Fatal(err)
	}
	write(p.t, p.dir, map[string]string{
		"lambdas/number.js":      fmt.Sprintf("require('skygear/cloud').op('number', () => %d);\n", p.n),
		"public_html/index.html": fmt.Sprint(p.n),
	})
}

// deploy sends the folder. It ends when the server does.
func (p *shop) deploy(s *testkit.Server) error {
	ctx, end := context.WithCancel(p.t.Context()) // by itself the command would ask a dead server for some seconds more
	defer end()
	go func() {
		select {
		case <-s.Exited():
			end()
		case <-ctx.Done():
		}
	}()
	cmd := exec.CommandContext(ctx, testkit.Binary(p.t), "deploy", p.dir, "--server="+s.URL, "--app=test", "--token="+s.MasterKey)
	cmd.Dir = s.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// live is the number of the live version. Functions and files must agree.
func (p *shop) live(s *testkit.Server) int {
	p.t.Helper()
	var answer struct{ Result int }
	text := post(p.t, s, "/lambda/number", "{}")
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		p.t.Fatalf("%v: %s", err, text)
	}
	if got := page(p.t, s.URL+"/"); got != fmt.Sprint(answer.Result) {
		p.t.Errorf("the page is of version %.60s, the function of version %d", got, answer.Result)
	}
	return answer.Result
}

// leftovers are the files and processes of functions that no living server needs.
func (p *shop) leftovers() (left []string) {
	p.t.Helper()
	deploys := filepath.Join(p.home, ".crema", "deploys", "test")
	for _, pattern := range []string{filepath.Join(deploys, "versions", ".draft-*"), filepath.Join(p.temp, "crema-version-*")} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			p.t.Fatal(err)
		}
		left = append(left, found...)
	}
	packages, err := filepath.Glob(filepath.Join(deploys, "packages", "*"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, name := range packages {
		if _, err := os.Stat(name + ".complete"); err != nil && !strings.HasSuffix(name, ".complete") {
			left = append(left, name)
		}
	}
	pools, err := filepath.Glob(filepath.Join(p.temp, "crema-functions-*"))
	if err != nil {
		p.t.Fatal(err)
	}
	homes := p.homes()
	for _, dir := range pools {
		if homes[dir] == 0 {
			left = append(left, dir)
		}
	}
	for dir := range homes {
		if _, err := os.Stat(dir); err != nil {
			left = append(left, "a process with the home "+dir)
		}
	}
	return left
}

// homes are the folders that processes of functions have as their home, with the number of the processes.
func (p *shop) homes() map[string]int {
	p.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		p.t.Fatal(err)
	}
	found := map[string]int{}
	for _, name := range all {
		environment, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended, or is somebody else's
		}
		if _, home, ok := strings.Cut(string(environment), "HOME="+p.temp); ok {
			home, _, _ = strings.Cut(home, "\x00")
			found[p.temp+home]++
		}
	}
	return found
}

// A server that is killed at any step of a deploy starts with the old version or with the new one, and nothing of
// the other is left behind. The next deploy works.
func TestDeploy_KilledAtEachStep(t *testing.T) {
	t.Parallel()
	p := newShop(t)
	_, err := exec.LookPath("npm")
	live := 0
	for _, step := range deploySteps {
		if step.packages && err != nil {
			t.Logf("%s is left out, npm is missing", step.point)
			continue
		}
		s := p.start(fmt.Sprintf("CREMA_FAILPOINT=%s:%d", step.point, step.hits+1))
		p.settled(s, live)
		p.next(false)
		if err := p.deploy(s); err != nil {
			t.Fatalf("the deploy before %s: %v\n%s", step.point, err, s.Log())
		}
		live = p.n
		p.settled(s, live)
		p.next(step.packages)
		_ = p.deploy(s) // it may have heard that it is live
		select {
		case <-s.Exited():
		case <-time.After(60 * time.Second):
			t.Fatalf("the server was not killed at %s:\n%s", step.point, s.Log())
		}
		if step.live == "new" {
			live = p.n
		}
		if t.Failed() {
			t.Fatalf("... before %s", step.point)
		}
	}
	s := p.start()
	p.settled(s, live)
	p.next(false)
	if err := errors.Join(p.age(), p.deploy(s)); err != nil {
		t.Fatal(err)
	}
	p.settled(s, p.n)
	eventually(t, "all rows have an end", func() bool { return p.rows() == "0 jobs run, 0 versions and 0 contents are of no use" })
}

// settled checks that a version is live and that nothing is left of servers that were killed.
func (p *shop) settled(s *testkit.Server, live int) {
	p.t.Helper()
	if live == 0 { // nothing has been deployed
		return
	}
	if n := p.live(s); n != live {
		p.t.Errorf("version %d is live, want %d\n%s", n, live, s.Log())
	}
	eventually(p.t, "nothing is left of killed servers", func() bool { return p.leftovers() == nil })
}

func (p *shop) query(fn func(db *pg.DB) error) error {
	db, err := pg.Open(p.t.Context(), pg.Config{URL: p.database, Schema: testkit.Schema, MaxConns: 1})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	return fn(db)
}

// age makes what servers have left in the database and on the disk as old as it must be to be forgotten.
func (p *shop) age() error {
	folders, err := filepath.Glob(filepath.Join(p.home, ".crema", "deploys", "test", "versions", "*"))
	if err != nil {
		return err
	}
	for _, f := range folders {
		old := time.Now().Add(-2 * time.Minute)
		if err := os.Chtimes(f, old, old); err != nil {
			return err
		}
	}
	return p.query(func(db *pg.DB) error {
		for _, sql := range []string{
			`UPDATE app._deploy_job SET beat_at = beat_at - interval '1 minute'`,
			`UPDATE app._deploy_version SET made_at = made_at - interval '2 hours'`,
			`UPDATE app._deploy_blob SET used_at = used_at - interval '2 hours'`,
		} {
			if _, err := db.Exec(context.Background(), sql); err != nil {
				return err
			}
		}
		return nil
	})
}

// rows says what in the database has no use.
func (p *shop) rows() string {
	p.t.Helper()
	var text string
	if err := p.query(func(db *pg.DB) error {
		return db.Get(p.t.Context(), &text, `SELECT concat(
			(SELECT count(*) FROM app._deploy_job WHERE state = 'running'), ' jobs run, ',
			(SELECT count(*) FROM app._deploy_version v WHERE NOT EXISTS (SELECT FROM app._deploy_release r WHERE r.version = v.id)), ' versions and ',
			(SELECT count(*) FROM app._deploy_blob b WHERE NOT EXISTS (SELECT FROM app._deploy_file f WHERE f.hash = b.hash)), ' contents are of no use')`)
	}); err != nil {
		p.t.Fatal(err)
	}
	return strings.TrimSpace(text)
}
