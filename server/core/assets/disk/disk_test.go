package disk_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crema/server/base/fault"
	"crema/server/core/assets/disk"
	"crema/server/core/assets/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := disk.New(dir)
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Remove(t.Context(), "ab/nothing-yet"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is there before there is anything to keep: %v", err)
	}
	storetest.Run(t, s, func() int {
		drafts, err := os.ReadDir(filepath.Join(dir, "incoming"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(drafts)
	})
}

// Only the server's own user may look at the files.
func TestStore_IsPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "files")
	s := disk.New(dir)
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Write(t.Context(), "ab/x", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Uploads end before the disk is full: the database lives on it too.
func TestStore_LeavesRoomForTheDatabase(t *testing.T) {
	t.Parallel()
	s := disk.New(filepath.Join(t.TempDir(), "files"))
	t.Cleanup(func() { _ = s.Close() })
	free := uint64(1<<30) + 1
	disk.SetRoom(s, func() uint64 { free -= min(free, 4<<20); return free + 4<<20 }, 1<<40)
	if _, err := s.Write(t.Context(), "ab/large", io.LimitReader(zeros{}, 64<<20)); !fault.Is(err, "disk.full") {
		t.Errorf("while it comes: %v", err)
	}
	if _, err := s.Write(t.Context(), "ab/small", strings.NewReader("x")); !fault.Is(err, "disk.full") {
		t.Errorf("from the start: %v", err)
	}
	if _, _, err := s.Open(t.Context(), "ab/large"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it can be read: %v", err)
	}
	disk.SetRoom(s, func() uint64 { return 3 << 20 }, 100<<20) // a small disk
	if _, err := s.Write(t.Context(), "ab/small", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
