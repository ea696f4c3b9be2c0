package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/deploys/archive"
)

type entry struct {
	name, body, link string
	kind             byte
}

func packed(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: 0o644, Size: int64(len(e.body))}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func read(b []byte) (map[string]string, error) {
	got := map[string]string{}
	err := archive.Read(bytes.NewReader(b),
		func(f archive.File, body []byte) error { got[f.Path] = string(body); return nil },
		func(f archive.File, target string) error { got[f.Path] = got[target]; return nil })
	return got, err
}

func TestRead(t *testing.T) {
	t.Parallel()
	got, err := read(packed(t,
		entry{name: "./__init__.py", body: "import stripe"}, entry{name: "public_html/", kind: tar.TypeDir},
		entry{name: "public_html/a.html", body: "a"}, entry{name: "public_html/b.html", link: "a.html", kind: tar.TypeSymlink},
		entry{name: "public_html/c.html", link: "public_html/b.html", kind: tar.TypeLink},
	))
	want := map[string]string{"__init__.py": "import stripe", "public_html/a.html": "a", "public_html/b.html": "a", "public_html/c.html": "a"}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
}

func TestRead_Refuses(t *testing.T) {
	t.Parallel()
	for name, e := range map[string][]entry{
		"absolute":          {{name: "/etc/passwd"}},
		"parent":            {{name: "../a"}},
		"hidden parent":     {{name: "a/../../b"}},
		"backslash":         {{name: `a\..\b`}},
		"control character": {{name: "a\nb"}},
		"link out":          {{name: "a", link: "../../etc/passwd", kind: tar.TypeSymlink}},
		"absolute link":     {{name: "a", link: "/etc/passwd", kind: tar.TypeSymlink}},
		"link to nothing":   {{name: "a", link: "b", kind: tar.TypeSymlink}},
		"circle of links":   {{name: "a", link: "b", kind: tar.TypeSymlink}, {name: "b", link: "a", kind: tar.TypeSymlink}},
		"device":            {{name: "a", kind: tar.TypeChar}},
		"pipe":              {{name: "a", kind: tar.TypeFifo}},
		"twice":             {{name: "a", body: "1"}, {name: "a", body: "2"}},
		"file and folder":   {{name: "a", body: "1"}, {name: "a/b", body: "2"}},
	} {
		if _, err := read(packed(t, e...)); !fault.Is(err, "archive.refused") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRead_TellsAnArchiveThatIsCut(t *testing.T) {
	t.Parallel()
	whole := packed(t, entry{name: "index.js", body: fmt.Sprint(make([]int, 1000))})
	for _, n := range []int{0, 5, 10, len(whole) / 2, len(whole) - 8, len(whole) - 1} {
		if _, err := read(whole[:n]); !fault.Is(err, "archive.incomplete") {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestRead_EndsABomb(t *testing.T) {
	t.Parallel()
	zeros := string(make([]byte, 40<<20))
	var bomb []entry
	for i := range 8 {
		bomb = append(bomb, entry{name: fmt.Sprint(i), body: zeros})
	}
	if _, err := read(packed(t, bomb...)); !fault.Is(err, "archive.too_large") {
		t.Errorf("in all: %v", err)
	}
	if _, err := read(packed(t, entry{name: "a", body: zeros + zeros})); !fault.Is(err, "archive.too_large") {
		t.Errorf("one file: %v", err)
	}
}

func TestCheckProject(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"__init__.py", "plugin.py", "index.js", "public_html/a", "lambdas/a.py"} {
		if err := archive.CheckProject([]string{"x", good}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	if err := archive.CheckProject([]string{"index.html"}); !fault.Is(err, "archive.no_project") {
		t.Error(err)
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	for text, found := range map[string]bool{
		`key = "sk_live_` + `4eC39HqLyjWDarjtT1zdp7dc"`: true, "rk_test_" + "4eC39HqLyjWDarjtT1zdp7dc": true, "-----BEGIN RSA " + "PRIVATE KEY-----": true,
		"own-master-key": true, "pk_live_4eC39HqLyjWDarjtT1zdp7dc": false, "sk_test_...": false, "desk_test_4eC39HqLyjWDarjtT1zdp7dc": false,
	} {
		if got := archive.Secret([]byte(text), "own-master-key", ""); (got != "") != found {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	text := []byte(`key = "<your-stripe-private-key>"; id = '<your-user-id>' or '<your-user-id>'; <b>your</b>`)
	if diff := cmp.Diff([]string{"<your-stripe-private-key>", "<your-user-id>"}, archive.Placeholders("__init__.py", text)); diff != "" {
		t.Error(diff)
	}
}
