package cluster_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"crema/server/base/cluster"
	"crema/server/base/fault"
)

func TestKill_EverythingIsRecovered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, dir, func(c *exec.Cmd) { c.Env = append(c.Env, durableEnv+"=1") })
	query(t, s.url, "create table kept (n int); insert into kept values (1)")
	if err := syscall.Kill(-postmasterPID(t, dir), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.kill(t)
	c := start(t, cluster.Config{Dir: dir})
	if got := query(t, c.URL("crema"), "select n from kept"); got != "1" {
		t.Errorf("kept = %q", got)
	}
}

func TestKill_ServerOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, dir, nil)
	query(t, s.url, "create table kept (n int); insert into kept values (2)")
	pid := postmasterPID(t, dir)
	s.kill(t)
	if runtime.GOOS == "linux" { // the kernel tells postgres, which stops in order
		await(t, "the end of postgres", func() bool {
			_, err := os.Stat(filepath.Join(dir, "postgres", "data", "postmaster.pid"))
			return errors.Is(err, fs.ErrNotExist)
		})
	}
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	if got := query(t, c.URL("crema"), "select n from kept"); got != "2" {
		t.Errorf("kept = %q", got)
	}
	if now := postmasterPID(t, dir); now == pid {
		t.Error("the old postgres still runs")
	}
}

// A new server does not wait for the kernel: it may come while the old postgres still shuts down.
func TestKill_ServerOnlyAndRestartAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, dir, nil)
	query(t, s.url, "create table kept as select 4 as n")
	s.kill(t)
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	if got := query(t, c.URL("crema"), "select n from kept"); got != "4" {
		t.Errorf("kept = %q", got)
	}
}

// An orphan that the kernel did not stop for us, as on macOS: started here by hand.
func TestKill_OrphanIsStopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	query(t, c.URL("crema"), "create table kept (n int); insert into kept values (3)")
	stop(t, c)
	orphan := startOrphan(t, c, dir)

	c = start(t, cluster.Config{Dir: dir, Fast: true})
	if got := query(t, c.URL("crema"), "select n from kept"); got != "3" {
		t.Errorf("kept = %q", got)
	}
	select {
	case <-orphan:
	case <-time.After(10 * time.Second):
		t.Error("the orphan still runs")
	}
}

// startOrphan runs a postgres on the data directory that belongs to no server.
func startOrphan(t *testing.T, c *cluster.Cluster, dir string) <-chan struct{} {
	t.Helper()
	data := filepath.Join(dir, "postgres", "data")
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(c.Binaries().Path("postgres"), "-D", data, "-c", "listen_addresses=", "-k", ".")
	if os.Geteuid() == 0 {
		for _, d := range []string{dir, filepath.Dir(dir)} { // its user must be able to walk there
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		st := info.Sys().(*syscall.Stat_t)
		asUser(st.Uid, st.Gid)(cmd)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	await(t, "the orphan's pid file", func() bool {
		b, _ := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		return strings.Contains(string(b), "ready")
	})
	return gone
}

// await polls a condition of another process.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(15 * time.Second); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

// After a restart of the machine the pid in postmaster.pid is somebody else's.
func TestStart_StalePidOfAStranger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop(t, start(t, cluster.Config{Dir: dir, Fast: true}))
	data := filepath.Join(dir, "postgres", "data")
	stranger := exec.Command("sleep", "60")
	if info, err := os.Stat(data); err != nil {
		t.Fatal(err)
	} else if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 {
		asUser(st.Uid, st.Gid)(stranger)
	}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	pid := strconv.Itoa(stranger.Process.Pid)
	text := pid + "\n" + data + "\n1\n5432\n.\n127.0.0.1\n 1 1\nready   \n"
	if err := os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cluster.Attach(dir); !fault.Is(err, "cluster.not_running") {
		t.Errorf("attach to a stranger: %v", err)
	}
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	query(t, c.URL("crema"), "select 1")
	if err := stranger.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the stranger was hurt: %v", err)
	}
}

func TestKill_DuringInitdbLeavesNoHalfCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "initdb", func() bool {
		found, _ := filepath.Glob(filepath.Join(dir, "postgres.new-*", "data", "base"))
		return len(found) > 0
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
		t.Fatal("a half cluster has its final name")
	}
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	query(t, c.URL("crema"), "select 1")
}

// Ctrl-C in a terminal goes to the whole foreground group. It must reach the server only, which then
// stops postgres in order.
func TestInterruptOfOurGroupDoesNotReachPostgres(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, dir, nil)
	// The helper leads its group and ignores the interrupt.
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	query(t, s.url, "create table kept (n int)")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server after SIGTERM: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres", "data", "postmaster.pid")); err == nil {
		t.Error("postgres was not stopped in order")
	}
}

func TestStop_ImmediateWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	c := start(t, cluster.Config{Dir: t.TempDir(), Fast: true})
	query(t, c.URL("crema"), "create table kept as select 5 as n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Stop(ctx); err == nil {
		t.Skip("the fast shutdown was over at once")
	}
	<-c.Done()
}
