package proc

import (
	"os"
	"strconv"
	"strings"
)

// Limits bound what a child and its children can take. 0 is no limit.
type Limits struct {
	Memory    int64 // bytes for each process: what it can write to
	Group     int64 // bytes for all of them together, where there is a cgroup
	Reserve   int64 // bytes added to Memory: stacks and what a runtime reserves
	Processes int64 // processes and threads; without a cgroup, those of the account beyond what it runs now
	Files     int64 // open files of each process
	FileSize  int64 // bytes of a file that it writes
}

// shell sets the limits. Nobody but the process itself may do that everywhere: not even root can for a
// process of another user, where a container has taken that power away.
const shell = "/bin/sh"

// wrap returns the arguments of a shell that sets the limits and becomes the program. A limit that is
// lower already stays.
func (l Limits) wrap(a *Account, path string, args []string) []string {
	var script strings.Builder
	set := func(n, unit int64, flags ...string) {
		if n <= 0 {
			return
		}
		var tries []string
		for _, f := range flags {
			tries = append(tries, "ulimit "+f+" "+strconv.FormatInt((n+unit-1)/unit, 10)+" 2>/dev/null")
		}
		script.WriteString(strings.Join(tries, " || ") + " || :\n")
	}
	script.WriteString("ulimit -c 0\n")
	if a != nil {
		script.WriteString("umask 022\n") // ours is for our own files
	}
	set(l.Files, 1, "-n")
	set(l.FileSize, 512, "-f")
	if l.Memory > 0 {
		set(l.Memory+l.Reserve, 1024, "-d")
	}
	if l.Processes > 0 {
		set(l.Processes+tasksOf(a.id()), 1, "-u", "-p") // bash, dash
	}
	script.WriteString(`exec "$@"`)
	return append([]string{"-c", script.String(), "sh", path}, args...)
}

// id is the user id that a child of the account has.
func (a *Account) id() int {
	if a == nil {
		return os.Getuid()
	}
	return int(a.uid)
}
