package proc

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// cgroup is a leaf of the unified hierarchy for one child and its children. A nil one does nothing.
type cgroup struct {
	path string
	dir  *os.File
}

// unified is where cgroup v2 is mounted when it is the only hierarchy.
const unified = "/sys/fs/cgroup"

// newCgroup makes a leaf with the limits below our own group, or returns nil where we may not: on hosts
// with version 1, without delegation, or in a container that mounts it read-only.
func newCgroup(l Limits) *cgroup {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(own)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return leaf(filepath.Join(unified, path), l)
		}
	}
	return nil
}

var leaves atomic.Int64

// leaf makes a group below parent. The parent must hand its controllers down already, as systemd's
// Delegate=yes with DelegateSubgroup= does; to rearrange a host's groups is not our business.
func leaf(parent string, l Limits) *cgroup {
	handed, err := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
	if err != nil || !handsDown(string(handed)) {
		parent = filepath.Dir(parent) // we may sit in a leaf ourselves
		handed, err = os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
	}
	if err != nil || !handsDown(string(handed)) {
		return nil
	}
	removeLeft(parent)
	name := leafPrefix + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(leaves.Add(1), 10)
	path := filepath.Join(parent, name)
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil
	}
	g := &cgroup{path: path}
	if err := g.limit(l); err != nil {
		g.end()
		return nil
	}
	return g
}

// leafPrefix begins the names of groups; the id of the server's process follows.
const leafPrefix = "crema-"

// removeLeft removes the groups of servers that were killed. The kernel keeps those in which something runs.
func removeLeft(parent string) {
	all, err := filepath.Glob(filepath.Join(parent, leafPrefix+"*"))
	if err != nil {
		return
	}
	for _, path := range all {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), leafPrefix), "-")
		if pid, err := strconv.Atoi(number); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.Remove(path)
		}
	}
}

func handsDown(controllers string) bool {
	f := strings.Fields(controllers)
	return slices.Contains(f, "memory") && slices.Contains(f, "pids")
}

func (g *cgroup) limit(l Limits) (err error) {
	set := func(file string, n int64) {
		if n > 0 && err == nil {
			err = os.WriteFile(filepath.Join(g.path, file), []byte(strconv.FormatInt(n, 10)), 0o644)
		}
	}
	set("memory.max", l.Group)
	set("pids.max", l.Processes)
	if err != nil {
		return err
	}
	_ = os.WriteFile(filepath.Join(g.path, "memory.swap.max"), []byte("0"), 0o644) // absent where the host has no swap
	g.dir, err = os.Open(g.path)
	return err
}

// adopt makes the child start inside the group.
func (g *cgroup) adopt(a *syscall.SysProcAttr) {
	if g != nil {
		a.UseCgroupFD, a.CgroupFD = true, int(g.dir.Fd())
	}
}

// kill ends everything in the group, also what has left the process group.
func (g *cgroup) kill() {
	if g != nil {
		_ = os.WriteFile(filepath.Join(g.path, "cgroup.kill"), []byte("1"), 0o644) // since Linux 5.14
	}
}

// end kills what is left and removes the group.
func (g *cgroup) end() {
	if g == nil {
		return
	}
	g.kill()
	if g.dir != nil {
		_ = g.dir.Close()
	}
	_ = os.Remove(g.path) // stays, empty, while the kernel still ends a process
}
