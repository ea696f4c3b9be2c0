// Package scratch makes folders for work that is under way. A folder that a dead process has left is told from one in
// use, so that the next process can remove it at once.
//
// The sign is a lock on the folder itself, which the kernel ends with the process. Where a file system knows no such
// locks, folders are never taken for left.
package scratch

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Dir is a folder that this process holds until Keep, Remove or its end.
type Dir struct {
	Path string
	lock *os.File
}

// Make makes a new folder in parent, of which the name begins with prefix. Only we may enter it.
func Make(parent, prefix string) (*Dir, error) {
	for {
		path, err := os.MkdirTemp(parent, prefix)
		if err != nil {
			return nil, err
		}
		lock, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // Sweep of another process came before our lock
		}
		if err != nil {
			return nil, err
		}
		_ = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if _, err := os.Stat(path); err == nil {
			return &Dir{Path: path, lock: lock}, nil
		}
		_ = lock.Close()
	}
}

// Keep lets go of the folder and leaves it where it is. Closing alone would not: a child that is just being started
// shares the lock until it executes its program.
func (d *Dir) Keep() error {
	_ = syscall.Flock(int(d.lock.Fd()), syscall.LOCK_UN)
	return d.lock.Close()
}

// Remove removes the folder and lets go of it.
func (d *Dir) Remove() error { return errors.Join(os.RemoveAll(d.Path), d.lock.Close()) }

// Sweep removes the folders in parent that Make has made with prefix and that nobody holds any more. Those of which
// keep is true stay; it may be nil.
func Sweep(parent, prefix string, keep func(path string) bool) error {
	entries, err := os.ReadDir(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		path := filepath.Join(parent, e.Name())
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) && (keep == nil || !keep(path)) {
			err = errors.Join(err, sweep(path))
		}
	}
	return err
}

// sweep removes a folder if it can be locked. The lock is held until it has gone.
func sweep(path string) error {
	lock, err := os.Open(path)
	if err != nil {
		return nil // it has gone, or is another user's
	}
	defer func() { _ = lock.Close() }()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil
	}
	return os.RemoveAll(path)
}
