package cluster

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// reachable returns the name of the data directory for the child. A child of another user may not be
// able to walk there (a data folder under /root), so root opens it and hands the descriptor on.
func reachable(cmd *exec.Cmd, data string, owner *account) (name string, release func(), err error) {
	if owner == nil {
		return data, func() {}, nil
	}
	f, err := os.Open(data)
	if err != nil {
		return "", nil, err
	}
	cmd.ExtraFiles = []*os.File{f} // descriptor 3 in the child
	return "/proc/self/fd/3", func() { _ = f.Close() }, nil
}

// endWithUs makes the kernel ask the child for a fast shutdown when the thread that started it ends.
func endWithUs(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGINT }

// worksIn says whether the process has dir as its working directory, as a postmaster has.
func worksIn(pid int, dir string) bool {
	cwd, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
	return err == nil && cwd == dir
}
