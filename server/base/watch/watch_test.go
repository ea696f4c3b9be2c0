package watch_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"crema/server/base/watch"
)

func TestStart_TellsChanges(t *testing.T) {
	t.Parallel()
	real, links := t.TempDir(), t.TempDir()
	link := filepath.Join(links, "site")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	put := func(name string) {
		t.Helper()
		path := filepath.Join(real, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("old/a.txt")
	type change struct{ folder, name string }
	told := make(chan change, 100)
	w, err := watch.Start(watch.Config{
		Folders: []string{link, filepath.Join(links, "missing")},
		Changed: func(folder string, names []string) {
			for _, name := range names {
				told <- change{folder, name}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	wait := func(name string) {
		t.Helper()
		for {
			select {
			case got := <-told:
				if got.folder != link || got.name == ".a.swp" || got.name == "a.txt~" {
					t.Fatalf("told %+v", got)
				}
				if got.name == name {
					return
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%s was not told", name)
			}
		}
	}
	put(".a.swp")
	put("a.txt~")
	put("old/a.txt")
	wait("old/a.txt")
	put("new/deep/b.txt")
	wait("new/deep/b.txt")
	put("new/deep/b.txt")
	wait("new/deep/b.txt")
	if err := os.Remove(filepath.Join(real, "old", "a.txt")); err != nil {
		t.Fatal(err)
	}
	wait("old/a.txt")
	if err := os.Rename(filepath.Join(real, "a.txt~"), filepath.Join(real, "c.txt")); err != nil { // as editors save
		t.Fatal(err)
	}
	wait("c.txt")
	w.Stop()
	put("late.txt")
	select {
	case got := <-told:
		if got.name == "late.txt" {
			t.Error("told after the stop")
		}
	default:
	}
}
