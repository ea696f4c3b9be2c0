package proc

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFiles lists this process's descriptors.
const openFiles = "/proc/self/fd"

// dieWithUs makes the kernel kill the child when the thread that started it ends.
func dieWithUs(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }

// noNewPrivileges keeps this thread, and what it starts, from gaining privileges by executing programs
// that belong to others. It cannot be taken back.
func noNewPrivileges() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }

// tasksOf counts the processes and threads of a user, as the kernel does for its limit.
func tasksOf(uid int) (sum int64) {
	folders, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0
	}
	for _, f := range folders {
		if owner, n, ok := tasks(f); ok && owner == strconv.Itoa(uid) {
			sum += n
		}
	}
	return sum
}

// tasks returns the user of a process and how many threads it has.
func tasks(folder string) (uid string, n int64, ok bool) {
	status, err := os.ReadFile(filepath.Join(folder, "status"))
	if err != nil {
		return "", 0, false
	}
	for line := range bytes.Lines(status) {
		fields := bytes.Fields(line)
		switch {
		case len(fields) < 2:
		case string(fields[0]) == "Uid:":
			uid = string(fields[1])
		case string(fields[0]) == "Threads:":
			n, err = strconv.ParseInt(string(fields[1]), 10, 64)
		}
	}
	return uid, n, err == nil && uid != ""
}

// awaitExit returns true when the child has ended and is not reaped yet, so that its id is still its own.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
