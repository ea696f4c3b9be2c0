package proc

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The files of a host's groups cannot be had in tests; a folder that looks like them shows what is written.
func TestLeaf_WritesLimitsWhereControllersAreHandedDown(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	own := filepath.Join(root, "crema.service")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if g := leaf(own, Limits{Group: 1000}); g != nil {
		t.Fatal("a group was made where no controllers are handed down")
	}
	if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("cpu memory pids\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	dead, ours := filepath.Join(root, "crema-4194305-1"), filepath.Join(root, "crema-"+strconv.Itoa(os.Getpid())+"-1000") // beyond the highest process id
	for _, dir := range []string{dead, ours} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	g := leaf(own, Limits{Group: 1000, Processes: 20}) // beside us: we sit in a leaf
	if _, err := os.Stat(dead); err == nil {
		t.Error("the group of a server that was killed stays")
	}
	if _, err := os.Stat(ours); err != nil {
		t.Error("a group of our own has gone")
	}
	if g == nil {
		t.Fatal("no group was made")
	}
	for file, want := range map[string]string{"memory.max": "1000", "pids.max": "20", "memory.swap.max": "0"} {
		if got, err := os.ReadFile(filepath.Join(g.path, file)); err != nil || string(got) != want {
			t.Errorf("%s is %q, want %s (%v)", file, got, want, err)
		}
	}
	if filepath.Dir(g.path) != root || !strings.HasPrefix(filepath.Base(g.path), "crema-") {
		t.Errorf("the group is %s", g.path)
	}
	g.end()
	if got, err := os.ReadFile(filepath.Join(g.path, "cgroup.kill")); err != nil || string(got) != "1" {
		t.Errorf("the group was not killed: %q, %v", got, err)
	}
}
