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
		Places: []string{link, filepath.Join(links, "missing")},
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

// TestStart_FollowsWhatIsReplaced does what tools do that make a site again, what editors do to a file and what git does.
func TestStart_FollowsWhatIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	site, settings := filepath.Join(dir, "site"), filepath.Join(dir, "app.json")
	told := make(chan string, 1000)
	w, err := watch.Start(watch.Config{Places: []string{site, settings}, Changed: func(place string, names []string) {
		for _, name := range names {
			told <- filepath.Base(place) + " " + name
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	do := func(what string, errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		limit := time.After(30 * time.Second)
		for {
			select {
			case got := <-told:
				if got == what {
					return
				}
				if got == "site app.json" || got == "app.json other.txt" || got == "site ../old/a.txt" {
					t.Fatalf("told %s", got)
				}
			case <-limit:
				t.Fatalf("%q was not told", what)
			}
		}
	}
	put := func(name string) error {
		return os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(name), 0o644)
	}
	do("site a.txt", os.Mkdir(site, 0o755), put("site/a.txt"))
	do("site a.txt", put("site/a.txt"))
	do("site .", os.RemoveAll(site))
	do("site a.txt", os.MkdirAll(filepath.Join(site, "deep"), 0o755), put("site/a.txt"))
	do("site deep/b.txt", put("site/deep/b.txt"))
	do("site .", os.Rename(site, filepath.Join(dir, "old")), os.Mkdir(site, 0o755))
	do("site c.txt", put("old/a.txt"), put("site/c.txt"))
	do("app.json .", put("other.txt"), put("app.json"))
	do("app.json .", put("new.tmp"), os.Rename(filepath.Join(dir, "new.tmp"), settings))
	do("app.json .", put("app.json"))
	for _, version := range []string{"v1", "v2"} { // a link that is switched
		do("site "+version, os.Mkdir(filepath.Join(dir, version), 0o755), put(version+"/"+version),
			os.Symlink(version, filepath.Join(dir, "next")), os.RemoveAll(site), os.Rename(filepath.Join(dir, "next"), site))
		do("site more", put(version+"/more"))
	}
}

// TestStart_WaitsForWhatIsEmpty saves as some editors do: they empty a file before they write it.
func TestStart_WaitsForWhatIsEmpty(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "a.py")
	told := make(chan time.Time, 100)
	w, err := watch.Start(watch.Config{Places: []string{dir}, Quiet: time.Millisecond, Changed: func(string, []string) { told <- time.Now() }})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	begin := time.Now()
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	select {
	case at := <-told:
		if at.Sub(begin) < 200*time.Millisecond {
			t.Errorf("an empty file is told after %v", at.Sub(begin))
		}
	case <-time.After(30 * time.Second):
		t.Error("an empty file is never told")
	}
}
