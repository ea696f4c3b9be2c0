package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"strings"
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
		"name too long":     {{name: strings.Repeat("a", 256)}},
		"path too long":     {{name: strings.Repeat("a/", 256) + "a"}},
		"not UTF-8":         {{name: "a\xff"}},
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
	zeros := strings.Repeat("\x00", 1<<20)
	for _, bomb := range []struct {
		want   string // part of the message
		packed []byte
		around int64
	}{
		{"all together", packed(t, entry{name: "a", body: zeros}, entry{name: "b", body: zeros}, entry{name: "c", body: zeros}), 2 << 20},
		{"files and folders", folders(t, 40_001, ""), 64 << 20},
		{"names and folders", folders(t, 5, zeros[:900_000]), 2 << 20},
	} {
		err := archive.ReadBounded(bytes.NewReader(bomb.packed), 2<<20, bomb.around)
		if !fault.Is(err, "archive.too_large") || !strings.Contains(err.Error(), bomb.want) {
			t.Errorf("%s: %v", bomb.want, err)
		}
	}
	var header bytes.Buffer // of a file that says it is larger than files are
	z := gzip.NewWriter(&header)
	if err := errors.Join(tar.NewWriter(z).WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: archive.MaxFile + 1}), z.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := read(header.Bytes()); !fault.Is(err, "archive.too_large") {
		t.Errorf("one file: %v", err)
	}
}

// folders is an archive of a folder n times, with a remark each.
func folders(t *testing.T, n int, remark string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	h := tar.Header{Name: "a/", Typeflag: tar.TypeDir}
	if remark != "" {
		h.PAXRecords = map[string]string{"comment": remark}
	}
	for range n {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
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
	key := "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
	for text, found := range map[string]string{
		`key = "` + key + `"`: "sk_live_4eC...", "rk_test_" + "4eC39HqLyjWDarjtT1zdp7dc": "rk_test_4eC...", "-----BEGIN RSA " + "PRIVATE KEY-----": "-----BEGIN ...",
		"-----BEGIN PGP " + "PRIVATE KEY BLOCK-----": "-----BEGIN ...", "-----BEGIN " + "PRIVATE KEY-----": "-----BEGIN ...", "a own-master-key": "the master key",
		"pk_live_4eC39HqLyjWDarjtT1zdp7dc": "", "sk_test_...": "", "desk_test_4eC39HqLyjWDarjtT1zdp7dc": "", "short": "",
	} {
		forms := map[string][]byte{"as it is": []byte(text), "gzipped": zipped(t, text), "UTF-16": wide(text), "behind other bytes": []byte("\x00\xff\x00\n" + text)}
		for form, body := range forms {
			if got := archive.Secret(body, archive.Own{Name: "the master key", Value: "own-master-key"}, archive.Own{Name: "a short one", Value: "short"}, archive.Own{}); got != found {
				t.Errorf("%s, %s: %q", text, form, got)
			}
		}
	}
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func wide(text string) []byte {
	b := []byte{0xff, 0xfe}
	for _, c := range []byte(text) {
		b = append(b, c, 0)
	}
	return b
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	text := []byte(`key = "<your-stripe-private-key>"; id = '<your-user-id>' or '<your-user-id>'; <b>your</b>`)
	if diff := cmp.Diff([]string{"<your-stripe-private-key>", "<your-user-id>"}, archive.Placeholders("__init__.py", text)); diff != "" {
		t.Error(diff)
	}
}
