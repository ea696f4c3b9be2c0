package deploys

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a file of requirements includes is part of what its packages are known by; what is not of the project stays outside.
func TestRequirements(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "lambdas")
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	read := func(want ...string) []byte {
		t.Helper()
		files, err := requirements(dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(files))); diff != "" {
			t.Error(diff)
		}
		return together(files)
	}
	write("a.py", "")
	read()
	write("requirements.txt", "stripe\n")
	if got := read("requirements.txt"); string(got) != "stripe\n" {
		t.Errorf("%q", got)
	}
	write("../outside.txt", "outside")
	write("requirements.txt", "# -r remark.txt\n-r more/base.txt  # the rest\r\n-c../outside.txt\n -r /etc/hostname\n-r missing.txt\nstripe -r no.txt\n")
	write("more/base.txt", "--constraint=limits.txt\n--requirement ../requirements.txt\n") // a circle
	for _, name := range []string{"remark.txt", "no.txt", "limits.txt"} {
		write(name, "")
	}
	write("more/limits.txt", "stripe<2")
	all := []string{"more/base.txt", "more/limits.txt", "requirements.txt"}
	first := read(all...)
	write("more/limits.txt", "stripe<3")
	if bytes.Equal(first, read(all...)) {
		t.Error("another limit, the same packages")
	}
	if err := os.Symlink("../outside.txt", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	write("requirements.txt", "-r link.txt\n")
	if _, err := requirements(dir); err == nil {
		t.Error("a link led out of the project")
	}
}
