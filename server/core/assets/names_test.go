package assets_test

import (
	"net/url"
	"path"
	"strings"
	"testing"
	"unicode/utf8"

	"crema/server/core/assets"
)

// Whatever a path says, its name stays below the folder, and says the same when it comes back in a URL.
func FuzzCleanName(f *testing.F) {
	for _, seed := range []string{
		"a.txt", "dir/a.txt", "/abs", "../../etc/passwd", ".+./x", "a+b", "....//x", "..+..", "x/..", "./.", "//", "a//b", "..\\x", "%2e%2e", "\x00", "豆/..豆", ". ./x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p string) {
		name := assets.CleanName(p)
		if again := assets.CleanName(name); again != name {
			t.Errorf("%q is %q, and that is %q", p, name, again)
		}
		if strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") || strings.Contains(name, "..") || strings.Contains(name, "+") {
			t.Errorf("%q is %q", p, name)
		}
		if name != "" && path.Join("/files", name) != "/files/"+name {
			t.Errorf("%q is %q, which is not clean", p, name)
		}
		if !utf8.ValidString(name) {
			return
		}
		u, err := url.Parse("http://shop/files/" + (&url.URL{Path: name}).EscapedPath())
		if err != nil || u.Path != "/files/"+name || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%q becomes %v, %v", name, u, err)
		}
	})
}
