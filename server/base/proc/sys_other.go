//go:build !linux

package proc

import "syscall"

// openFiles lists this process's descriptors.
const openFiles = "/dev/fd"

// dieWithUs does nothing here: a child notices by the end of its sockets.
func dieWithUs(*syscall.SysProcAttr) {}

// awaitExit cannot wait here without reaping.
func awaitExit(int) bool { return false }

func noNewPrivileges() error { return nil }

// tasksOf is not known here; the limit then counts all that the user runs.
func tasksOf(int) int64 { return 0 }

// cgroup does not exist here.
type cgroup struct{}

func newCgroup(Limits) *cgroup { return nil }

func (*cgroup) adopt(*syscall.SysProcAttr) {}
func (*cgroup) kill()                      {}
func (*cgroup) end()                       {}
