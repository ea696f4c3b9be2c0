//go:build !linux

package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"crema/server/base/fault"
)

// reachable returns the data directory when the child's user can walk there.
func reachable(_ *exec.Cmd, data string, owner *account) (name string, release func(), err error) {
	if owner != nil {
		for dir := filepath.Dir(filepath.Dir(data)); dir != "/"; dir = filepath.Dir(dir) {
			if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
				return "", nil, fault.New(fault.NotConfigured, "cluster.folder",
					"user %s, whom PostgreSQL runs as, cannot enter %s; set CREMA_DATA to a folder elsewhere, or run: chmod o+x %s", owner.name, dir, dir)
			}
		}
	}
	return data, func() {}, nil
}

// endWithUs has no counterpart here; the next Start stops a postgres that was left behind.
func endWithUs(*syscall.SysProcAttr) {}

// worksIn says whether the process is a postgres that was started with dir as its data directory.
func worksIn(pid int, dir string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), "-D "+dir+" ")
}
