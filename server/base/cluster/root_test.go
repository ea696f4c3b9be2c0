package cluster_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"crema/server/base/cluster"
	"crema/server/base/fault"
)

// someone returns the ids of a user who is neither root nor the owner of the cluster.
func someone(t *testing.T) (uid, gid uint32) {
	t.Helper()
	u, err := user.Lookup("daemon")
	if err != nil {
		t.Skip("no user daemon here")
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	g, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return uint32(n), uint32(g)
}

// The data folder of root is usually below /root, where postgres's user cannot go.
func TestRoot_DropsToAnotherUserInAClosedFolder(t *testing.T) {
	t.Parallel()
	skipUnlessRoot(t)
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, ".crema")
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	info, err := os.Stat("/proc/" + strconv.Itoa(postmasterPID(t, dir)))
	if err != nil {
		t.Skip("no /proc here")
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; uid == 0 {
		t.Error("postgres runs as root")
	}
	query(t, c.URL("crema"), "create extension if not exists citext; select pg_reload_conf(); select 1")
	query(t, c.URL("crema"), "alter system set work_mem = '5MB'")
}

func TestOtherUsersNeedThePassword(t *testing.T) {
	t.Parallel()
	skipUnlessRoot(t)
	uid, gid := someone(t)
	dir := t.TempDir()
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	if out, err := psql(t, c.URL("crema"), "select 1", asUser(uid, gid)); err == nil {
		t.Errorf("a stranger came in over the socket: %s", out)
	}
	bare := strings.Replace(c.TCPURL("crema"), ":"+password(t, c)+"@", "@", 1)
	if out, err := psql(t, bare, "select 1", asUser(uid, gid)); err == nil || !strings.Contains(out, "password") {
		t.Errorf("a stranger without a password over loopback: %s, %v", out, err)
	}
	if out, err := psql(t, c.TCPURL("crema"), "select 1", asUser(uid, gid)); err != nil {
		t.Errorf("a stranger with the password: %s, %v", out, err)
	}
	// The account that postgres runs as may enter the folder; peer still keeps it out of the role.
	st, err := os.Stat(filepath.Join(dir, "postgres", "data"))
	if err != nil {
		t.Fatal(err)
	}
	o := st.Sys().(*syscall.Stat_t)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	if out, err := psql(t, c.URL("crema"), "select 1", asUser(o.Uid, o.Gid)); err == nil || !strings.Contains(out, "Peer authentication failed") {
		t.Errorf("the account of postgres over the socket: %s, %v", out, err)
	}
}

// A server of an ordinary user, and root beside it.
func TestOrdinaryUser(t *testing.T) {
	t.Parallel()
	skipUnlessRoot(t)
	uid, gid := someone(t)
	home, err := os.MkdirTemp("/tmp", "crema-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	self := copySelf(t, home)
	dir := filepath.Join(home, ".crema")
	if err := os.Chown(home, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	tune := func(c *exec.Cmd) { c.Path, c.Args = self, []string{self}; asUser(uid, gid)(c) }

	s := startServer(t, dir, tune)
	if strings.HasPrefix(s.url, "error") {
		t.Fatal(s.url)
	}
	for name, as := range map[string]func(*exec.Cmd){"itself": asUser(uid, gid), "root": nil} {
		if out, err := psql(t, s.url, "create table if not exists kept (n int)", as); err != nil {
			t.Errorf("%s: %s, %v", name, out, err)
		}
	}
	s.kill(t)

	// Root serves the cluster of another user as that user.
	c := start(t, cluster.Config{Dir: dir, Fast: true})
	query(t, c.URL("crema"), "select count(*) from kept")
	stop(t, c)
	s = startServer(t, dir, tune)
	if strings.HasPrefix(s.url, "error") {
		t.Errorf("after root used it: %s", s.url)
	}
	s.kill(t)
}

func copySelf(t *testing.T, dir string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(self)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(dir, "server"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// A cluster of another user is refused with the way out.
func TestOrdinaryUser_ClusterOfAnother(t *testing.T) {
	t.Parallel()
	skipUnlessRoot(t)
	uid, gid := someone(t)
	home, err := os.MkdirTemp("/tmp", "crema-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	stop(t, start(t, cluster.Config{Dir: home, Fast: true}))
	self := copySelf(t, home)
	if err := os.Chmod(home, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(home, "lock")); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, home, func(c *exec.Cmd) { c.Path, c.Args = self, []string{self}; asUser(uid, gid)(c) })
	if !strings.Contains(s.url, "cluster.") || !strings.Contains(s.url, "postgres") {
		t.Errorf("got %s", s.url)
	}
}

func TestAttach_NoFolder(t *testing.T) {
	t.Parallel()
	if _, _, err := cluster.Attach(filepath.Join(t.TempDir(), "none")); !fault.Is(err, "cluster.folder") {
		t.Errorf("got %v", err)
	}
}
