// Package disk keeps objects in a folder. Every object is a file at the path that its key names, which
// never leads out of the folder, not even over a link; an unfinished one is in the folder "incoming".
// The folder is made when the first object is written, so a server that stores nothing needs none.
package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"crema/server/base/fault"
)

// incoming is the folder of files that are being written.
const incoming = "incoming"

// Store is a folder. It is safe for concurrent use, also by several servers that share the folder.
type Store struct {
	dir  string
	room func(dir string) (free, total uint64, err error)
	mu   sync.Mutex
	root *os.Root // nil until the folder is there
}

// New returns the store in dir, which need not exist.
func New(dir string) *Store { return &Store{dir: dir, room: room} }

func (s *Store) open(create bool) (*os.Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root != nil {
		return s.root, nil
	}
	if create {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(s.dir)
	s.root = root
	return root, err
}

// Close gives the folder back. It is called when nobody uses the store any more.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == nil {
		return nil
	}
	root := s.root
	s.root = nil
	return root.Close()
}

// Write implements assets.Store. The bytes and the name are on the disk, not in a cache, on return.
func (s *Store) Write(_ context.Context, key string, r io.Reader) (int64, error) {
	root, err := s.open(true)
	if err != nil {
		return 0, err
	}
	draft := path.Join(incoming, path.Base(key))
	size, err := writeDraft(root, draft, &careful{Reader: r, store: s})
	if err == nil {
		err = publish(root, draft, key)
	}
	if err != nil {
		_ = root.Remove(draft) // else the cleaner does
		return 0, err
	}
	return size, nil
}

func writeDraft(root *os.Root, draft string, r io.Reader) (int64, error) {
	if err := root.MkdirAll(incoming, 0o700); err != nil {
		return 0, err
	}
	f, err := root.OpenFile(draft, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	size, err := io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	return size, errors.Join(err, f.Close())
}

func publish(root *os.Root, draft, key string) error {
	dir := path.Dir(key)
	if err := root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := root.Rename(draft, key); err != nil {
		return err
	}
	for _, d := range []string{dir, "."} { // the folder may be new too
		if err := syncDir(root, d); err != nil {
			return err
		}
	}
	return nil
}

// reserve is what is left of the disk for others that live on it, such as the database: so many bytes, or
// a fiftieth of a small disk.
const reserve = 1 << 30

// between is how many bytes are written between two looks at the disk.
const between = 8 << 20

// careful stops reading when the disk is nearly full: whoever may upload must not be able to stop the
// database. Reason: disk.full.
type careful struct {
	io.Reader
	store *Store
	left  int // bytes until the next look
}

// Read implements io.Reader.
func (c *careful) Read(p []byte) (int, error) {
	if c.left <= 0 {
		free, total, err := c.store.room(c.store.dir)
		if err != nil {
			return 0, err
		}
		if free < min(reserve, total/50) {
			return 0, fault.New(fault.Unavailable, "disk.full", "the server has no room for more files; tell its operator")
		}
		c.left = between
	}
	n, err := c.Reader.Read(p)
	c.left -= n
	return n, err
}

func room(dir string) (free, total uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	block := uint64(st.Bsize) //nolint:unconvert // its type differs between systems
	return st.Bavail * block, st.Blocks * block, nil
}

func syncDir(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Open implements assets.Store. What is no plain file is not there.
func (s *Store) Open(_ context.Context, key string) (io.ReadSeekCloser, time.Time, error) {
	root, err := s.open(false)
	if err != nil {
		return nil, time.Time{}, err
	}
	info, err := root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() || absent(err) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	f, err := root.Open(key)
	if err != nil {
		return nil, time.Time{}, err
	}
	return f, info.ModTime(), nil
}

// absent says that no file can be at a path: it leads out of the folder, or through what is no folder.
func absent(err error) bool {
	var system syscall.Errno
	if err == nil || !errors.As(err, &system) { // the kernel was not asked
		return err != nil
	}
	return system == syscall.ENOTDIR || system == syscall.ENAMETOOLONG || system == syscall.ELOOP || system == syscall.EINVAL
}

// Remove implements assets.Store.
func (s *Store) Remove(_ context.Context, key string) error {
	root, err := s.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range []string{path.Join(incoming, path.Base(key)), key} {
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
