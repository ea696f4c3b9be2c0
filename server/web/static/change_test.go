package static_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestServe_NoticesChanges(t *testing.T) {
	t.Parallel()
	d, dir := newDoor(t, map[string]string{"a.js": script, "b.txt": "b"})
	d.Start(t.Context())
	defer d.Stop()
	compressed(t, d, "/a.js")
	put(t, dir, "a.js", strings.Repeat("changed;", 100))
	eventually(t, func() bool { return strings.HasPrefix(get(d, "/a.js").Body.String(), "changed;") })
	compressed(t, d, "/a.js")
	if got := get(d, "/a.js", "Accept-Encoding", "gzip"); unpack(t, "gzip", got.Body) != strings.Repeat("changed;", 100) {
		t.Error("the compressed variant is the old one")
	}
	get(d, "/b.txt")
	if err := os.Remove(filepath.Join(dir, "b.txt")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return get(d, "/b.txt").Code == 404 })
	if get(d, "/static/a.js").Code != 200 {
		t.Error("no alias")
	}
	put(t, dir, "static/a.js", "the folder static comes first")
	age(t, dir, "static/a.js", time.Hour)
	eventually(t, func() bool { return strings.HasPrefix(get(d, "/static/a.js").Body.String(), "the folder") })
	put(t, dir, "b.txt", "again")
	if get(d, "/b.txt").Body.String() != "again" {
		t.Error("a new file is not seen at once")
	}
}

func TestServe_NoticesAChangeOfTheSameSizeInTheSameInstant(t *testing.T) {
	t.Parallel()
	d, dir := newDoor(t, nil)
	now := time.Now()
	for _, text := range []string{"one", "two"} {
		put(t, dir, "a.txt", text)
		if err := os.Chtimes(filepath.Join(dir, "a.txt"), now, now); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return get(d, "/a.txt").Body.String() == text })
	}
}

func TestServe_KeepsTheOldContentWhileAFileIsWritten(t *testing.T) {
	t.Parallel()
	d, dir := newDoor(t, map[string]string{"a.txt": "whole old content"})
	if get(d, "/a.txt").Code != 200 {
		t.Fatal("no file")
	}
	f, err := os.Create(filepath.Join(dir, "a.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for start := time.Now(); time.Since(start) < 300*time.Millisecond; { // longer than a look at the disk is put off
		if _, err := f.WriteString("half "); err != nil {
			t.Fatal(err)
		}
		written := time.Now()
		got := get(d, "/a.txt").Body.String()
		if time.Since(written) < 100*time.Millisecond && got != "whole old content" { // a longer pause may look like the end
			t.Fatalf("half a file is served: %.40q", got)
		}
	}
	eventually(t, func() bool { return strings.HasPrefix(get(d, "/a.txt").Body.String(), "half half") })
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 5*time.Second; {
		if ok() {
			return
		}
	}
	t.Error("it never happens")
}
