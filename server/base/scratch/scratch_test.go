package scratch_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"crema/server/base/scratch"
)

// TestMain lets the test binary be a process that holds a folder.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "hold" {
		d, err := scratch.Make(os.Args[2], "work-")
		fmt.Println(d, err)
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func count(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestSweep_RemovesWhatTheDeadHaveLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	own, err := scratch.Make(dir, "work-")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"work-done/file", "other-left/file"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0], "hold", dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("the other process says nothing")
	}
	done := func(path string) bool { return filepath.Base(path) == "work-done" }
	for _, c := range []struct {
		keep func(string) bool
		left int
	}{{done, 4}, {nil, 3}} { // ours, the other process's, the one of another prefix
		if err := scratch.Sweep(dir, "work-", c.keep); err != nil {
			t.Fatal(err)
		}
		if n := count(t, dir); n != c.left {
			t.Fatalf("%d folders are left, want %d", n, c.left)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err := scratch.Sweep(dir, "work-", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(own.Path); err != nil || count(t, dir) != 2 {
		t.Fatalf("%d folders are left after the death, %v", count(t, dir), err)
	}
	if err := own.Keep(); err != nil {
		t.Fatal(err)
	}
	if err := scratch.Sweep(dir, "work-", nil); err != nil || count(t, dir) != 1 {
		t.Fatalf("a folder that nobody holds stays: %v", err)
	}
	if err := scratch.Sweep(filepath.Join(dir, "no such"), "work-", nil); err != nil {
		t.Error(err)
	}
}

// A folder that Make has returned is never swept, whenever the other looks.
func TestMake_AgainstSweeps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 100 {
				d, err := scratch.Make(dir, "work-")
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(d.Path, "file"), nil, 0o644); err != nil {
					t.Error(err)
				}
				if err := d.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
		all.Go(func() {
			for range 100 {
				if err := scratch.Sweep(dir, "work-", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
