package disk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
