package sdk_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"crema/server/web/skygear/sdk"
)

// Pages wait for it.
func TestScript_IsSmall(t *testing.T) {
	t.Parallel()
	script, err := sdk.Script()
	if err != nil {
		t.Fatal(err)
	}
	face, err := sdk.FS.ReadFile("skygear.mjs")
	if err != nil {
		t.Fatal(err)
	}
	n := packed(t, script) + packed(t, face)
	if n >= 15_000 {
		t.Errorf("skygear.js and skygear.mjs are %d bytes gzipped, want under 15,000", n)
	}
	t.Logf("%d bytes, %d gzipped", len(script)+len(face), n)
}

func packed(t *testing.T, b []byte) int {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Len()
}

func TestScript_HoldsEveryModule(t *testing.T) {
	t.Parallel()
	script, err := sdk.Script()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"class SkygearError", "class ACL", "class Record", "class QueryResult", "class Pubsub", "class SkygearClient"} {
		if n := strings.Count(string(script), "\n"+name+" "); n != 1 {
			t.Errorf("%s stands there %d times", name, n)
		}
	}
	files, err := fs.Glob(sdk.FS, "*")
	if err != nil || !slices.Equal(files, []string{"skygear.d.mts", "skygear.d.ts", "skygear.mjs"}) {
		t.Errorf("served as they are: %v, %v", files, err)
	}
}
