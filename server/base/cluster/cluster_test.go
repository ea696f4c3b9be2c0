package cluster_test

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"crema/server/base/cluster"
	"crema/server/base/fault"

	"github.com/google/go-cmp/cmp"
)

func TestStart_FirstAndSecond(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", ".crema")
	begin := time.Now()
	c, err := cluster.Start(t.Context(), cluster.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("first start: %v", time.Since(begin))
	want := map[string]string{
		"current_user || ' ' || current_database()":                              "crema crema",
		"current_setting('fsync')":                                               "on",
		"current_setting('synchronous_commit')":                                  "on",
		"current_setting('full_page_writes')":                                    "on",
		"current_setting('data_checksums')":                                      "on",
		"current_setting('server_encoding')":                                     "UTF8",
		"current_setting('listen_addresses')":                                    "127.0.0.1",
		"current_setting('TimeZone')":                                            "UTC",
		"upper('é')":                                                             "É",
		"(select rolpassword ~ '^SCRAM' from pg_authid where rolname = 'crema')": "t",
	}
	for expr, w := range want {
		if got := query(t, c.URL("crema"), "select "+expr); got != w {
			t.Errorf("%s = %q, want %q", expr, got, w)
		}
	}
	if got := query(t, c.TCPURL("postgres"), "select current_database()"); got != "postgres" {
		t.Errorf("over loopback: %q", got)
	}
	query(t, c.URL("crema"), "create table kept (n int); insert into kept values (7)")
	stop(t, c)
	if err := c.Err(); err != nil {
		t.Errorf("Err after Stop: %v", err)
	}

	begin = time.Now()
	c2 := start(t, cluster.Config{Dir: dir})
	took := time.Since(begin)
	t.Logf("second start: %v", took)
	if took > 3*time.Second {
		t.Errorf("second start took %v", took)
	}
	if got := query(t, c2.URL("crema"), "select n from kept"); got != "7" {
		t.Errorf("kept = %q", got)
	}
	if a, b := port(t, c), port(t, c2); a != b {
		t.Errorf("port %s became %s", a, b)
	}
}

func port(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	u, err := url.Parse(c.TCPURL("crema"))
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

func TestStart_TakesAnotherPortWhenItsOwnIsGone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := start(t, cluster.Config{Dir: dir, Fast: true})
	stop(t, first)
	// The other cluster plays the stranger on the port.
	other := t.TempDir()
	opts := "postgres \"-c\" \"port=" + port(t, first) + "\"\n"
	second := start(t, cluster.Config{Dir: other, Fast: true})
	stop(t, second)
	if err := os.WriteFile(filepath.Join(other, "postgres", "data", "postmaster.opts"), []byte(opts), 0o600); err != nil {
		t.Fatal(err)
	}
	stranger := start(t, cluster.Config{Dir: other, Fast: true})
	again := start(t, cluster.Config{Dir: dir, Fast: true})
	if port(t, stranger) != port(t, first) || port(t, again) == port(t, first) {
		t.Errorf("ports: first %s, stranger %s, again %s", port(t, first), port(t, stranger), port(t, again))
	}
	query(t, again.TCPURL("crema"), "select 1")
}

func TestStart_RefusesASecondServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	_, err := cluster.Start(t.Context(), cluster.Config{Dir: dir})
	if !fault.Is(err, "cluster.in_use") {
		t.Fatalf("second server: %v", err)
	}
	if msg := fault.From(err).Message; !strings.Contains(msg, dir) || !strings.Contains(msg, "process ") {
		t.Errorf("message names neither folder nor process: %s", msg)
	}
	query(t, c.URL("crema"), "select 1")
	stop(t, c)
	start(t, cluster.Config{Dir: dir, Fast: true})
}

func TestStart_RefusesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		make   func(home string) error
		reason string
		says   string
	}{
		"foreign folder": {func(home string) error {
			return errors.Join(os.Mkdir(home, 0o755), os.WriteFile(filepath.Join(home, "thesis.txt"), []byte("x"), 0o644))
		}, "cluster.foreign_folder", "move it away"},
		"a file":            {func(home string) error { return os.WriteFile(home, []byte("x"), 0o644) }, "cluster.foreign_folder", "nothing was changed"},
		"a link to nowhere": {func(home string) error { return os.Symlink("/nonexistent/x", home) }, "cluster.foreign_folder", "is a link"},
		"other major version": {func(home string) error {
			return errors.Join(os.MkdirAll(filepath.Join(home, "data"), 0o700),
				os.WriteFile(filepath.Join(home, "crema-cluster"), nil, 0o600),
				os.WriteFile(filepath.Join(home, "data", "PG_VERSION"), []byte("9\n"), 0o600))
		}, "cluster.version", "made by PostgreSQL 9,"},
		"no version": {func(home string) error {
			return errors.Join(os.MkdirAll(filepath.Join(home, "data"), 0o700),
				os.WriteFile(filepath.Join(home, "crema-cluster"), nil, 0o600))
		}, "cluster.damaged", "PG_VERSION"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			home := filepath.Join(dir, "postgres")
			if err := tt.make(home); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, home)
			_, err := cluster.Start(t.Context(), cluster.Config{Dir: dir})
			if !fault.Is(err, tt.reason) {
				t.Fatalf("got %v, want reason %s", err, tt.reason)
			}
			if msg := fault.From(err).Message; !strings.Contains(msg, tt.says) {
				t.Errorf("message %q does not say %q", msg, tt.says)
			}
			if diff := cmp.Diff(before, snapshot(t, home)); diff != "" {
				t.Errorf("something was touched (-before +after):\n%s", diff)
			}
		})
	}
}

func TestStart_UsesAnEmptyFolderAndClearsAnUnfinishedOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left := filepath.Join(dir, "postgres.new-123", "data")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "postgres"), 0o755), os.MkdirAll(left, 0o700)); err != nil {
		t.Fatal(err)
	}
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	query(t, c.URL("crema"), "select 1")
	if left, _ := filepath.Glob(filepath.Join(dir, "postgres.new-*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestStart_CancelledLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
	defer cancel()
	if c, err := cluster.Start(ctx, cluster.Config{Dir: dir, Fast: true}); err == nil {
		stop(t, c)
		t.Skip("this machine makes a cluster in 60 ms")
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("cancelled start: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "postgres*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	start(t, cluster.Config{Dir: dir, Fast: true})
}

func TestStart_LongPathFallsBackToLoopback(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30), "with space's")
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	if u := c.URL("crema"); !strings.Contains(u, "@127.0.0.1:") {
		t.Errorf("URL = %s", u)
	}
	query(t, c.URL("crema"), "select 1")
	u, _, err := cluster.Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(u, password(t, c)) {
		t.Errorf("the attach URL holds the password: %s", u)
	}
	query(t, u, "select 1")
}

func password(t *testing.T, c *cluster.Cluster) string {
	t.Helper()
	u, err := url.Parse(c.TCPURL("crema"))
	if err != nil {
		t.Fatal(err)
	}
	p, _ := u.User.Password()
	if len(p) < 20 {
		t.Fatalf("password %q is short", p)
	}
	return p
}

func TestStart_MakesANewPasswordWhenItsFileIsLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	old := password(t, c)
	stop(t, c)
	file := filepath.Join(dir, "postgres", "password")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("password file: %v, %v", info, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c = start(t, cluster.Config{Dir: dir, Fast: true})
	if password(t, c) == old {
		t.Error("the password is the old one")
	}
	query(t, c.TCPURL("crema"), "select 1")
}

func TestAttach(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b+c%d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cluster.Attach(dir); !fault.Is(err, "cluster.not_running") {
		t.Errorf("empty folder: %v", err)
	}
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	u, bin, err := cluster.Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	query(t, u, "select 1")
	if u != c.URL("crema") || bin != c.Binaries().Dir {
		t.Errorf("Attach = %s, %s", u, bin)
	}
	stop(t, c)
	if _, _, err := cluster.Attach(dir); !fault.Is(err, "cluster.not_running") {
		t.Errorf("after stop: %v", err)
	}
}

func TestDone_SaysWhyPostgresEnded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	if err := syscall.Kill(postmasterPID(t, dir), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if !fault.Is(c.Err(), "cluster.died") || !strings.Contains(c.Err().Error(), "shut down") {
		t.Errorf("Err = %v", c.Err())
	}
}

func TestStart_FaultHoldsTheLastLines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop(t, start(t, cluster.Config{Dir: dir, Fast: true}))
	conf := filepath.Join(dir, "postgres", "data", "postgresql.conf")
	if err := os.WriteFile(conf, []byte("no_such_setting = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := cluster.Start(t.Context(), cluster.Config{Dir: dir})
	if !fault.Is(err, "cluster.start_failed") || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got %v", err)
	}
}

func TestLog_HasNoStatementTexts(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c := start(t, cluster.Config{Dir: t.TempDir(), Log: log, Fast: true})
	if _, err := psql(t, c.URL("crema"), "select 'secret-4242'::int", nil); err == nil {
		t.Error("the statement did not fail")
	}
	stop(t, c)
	if s := out.String(); !strings.Contains(s, "ready to accept connections") || strings.Contains(s, "secret-4242") {
		t.Errorf("log:\n%s", s)
	}
}

// asUser makes a command run as another user; call only as root.
func asUser(uid, gid uint32) func(*exec.Cmd) {
	return func(c *exec.Cmd) {
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
}
