package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crema/server/testkit"
)

// lay writes files with the folders that they need.
func lay(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		save(t, name, text)
	}
}

// fetch returns status and body of a file, and what a header says.
func fetch(t *testing.T, url, header string, more ...string) (answer, value string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.Status[:3] + " " + string(body), res.Header.Get(header)
}

// Functions name folders of files, which are served like the site: those of the server's own folder and those of a version.
func TestStaticAssets_AreServedBesideTheSite(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	needProgram(t, "node")
	dir := appWith(t, nil)
	lay(t, filepath.Join(dir, "lambdas"), map[string]string{
		"shop.py": `
import os, skygear
from skygear.utils.assets import DictStaticAssetsLoader, relative_assets

@skygear.static_assets(prefix="/looks")
def looks():
    return relative_assets("css")

@skygear.static_assets("looks/notes")
def notes():
    return DictStaticAssetsLoader({"one.txt": b"a note"})

@skygear.static_assets("machine")
def machine():
    return "/etc"

@skygear.static_assets("all")
def everything():
    return os.path.dirname(os.path.abspath(__file__))

@skygear.op("still")
def still():
    return "here"
`,
		"shop.js":       "require('skygear/cloud').staticAsset('/scripts', () => __dirname + '/js');\nrequire('skygear/cloud').staticAsset('/gone', () => { throw new Error('no folder'); });\n",
		"css/a.css":     "a { color: red }",
		"js/index.html": "scripts",
		"js/.env":       "secret",
	})
	s := testkit.StartServer(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	want := func(path, want string) {
		t.Helper()
		if got, _ := fetch(t, s.URL+path, ""); got != want && (len(want) > 3 || got[:3] != want) {
			t.Errorf("%s answers %s, want %s", path, got, want)
		}
	}
	want("/static/looks/a.css", "200 a { color: red }")
	_, tag := fetch(t, s.URL+"/static/looks/a.css", "Etag")
	if again, kind := fetch(t, s.URL+"/static/looks/a.css", "Content-Type", "If-None-Match", tag); again != "304 " {
		t.Errorf("with its tag %s the file is %s %s", tag, again, kind)
	}
	want("/static/looks/notes/one.txt", "200 a note")
	_, tag = fetch(t, s.URL+"/static/looks/notes/one.txt", "Etag")
	if again, _ := fetch(t, s.URL+"/static/looks/notes/one.txt", "", "If-None-Match", tag); tag == "" || again != "304 " {
		t.Errorf("with its tag %s the note is %s", tag, again)
	}
	want("/static/scripts", "200 scripts") // through the redirect
	for _, path := range []string{"/static/looks/notes/two.txt", "/static/scripts/.env", "/static/looks/..%2fshop.py", "/static/machine/passwd", "/static/all/shop.py", "/static/gone/x"} {
		want(path, "404")
	}
	if got := lambda(t, s, "still", "{}"); got.Body != `{"result":"here"}` {
		t.Errorf("the functions of a file with a folder that is not served: %+v", got)
	}

	project := t.TempDir()
	lay(t, project, map[string]string{
		"__init__.py":      "import skygear\n\n@skygear.static_assets('looks')\ndef looks():\n    return skygear.utils.assets.directory_assets('fresh')\n",
		"fresh/a.css":      "a { color: blue }",
		"public_html/a.js": "",
	})
	deploy := func() (string, error) {
		return s.Run(t, "deploy", project, "--server="+s.URL, "--app=test")
	}
	if out, err := deploy(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want("/static/looks/a.css", "200 a { color: blue }")
	want("/static/scripts/", "404")
	save(t, filepath.Join(project, "fresh/key.js"), `"sk_live_`+`4eC39HqLyjWDarjtT1zdp7dc"`)
	if out, err := deploy(); err == nil || !strings.Contains(out, "fresh/key.js would publish a secret") {
		t.Errorf("a deploy that publishes a key: %v\n%s", err, out)
	}
	if err := os.Remove(filepath.Join(project, "fresh/key.js")); err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{"/etc", "..", ".", "nowhere"} {
		save(t, filepath.Join(project, "__init__.py"), "import skygear\nfrom skygear.utils.assets import directory_assets\n\n@skygear.static_assets('looks')\ndef looks():\n    return directory_assets('"+folder+"')\n")
		if out, err := deploy(); err == nil || !strings.Contains(out, "static assets") && !strings.Contains(out, "is no folder") {
			t.Errorf("a deploy that publishes %s: %v\n%s", folder, err, out)
		}
		want("/static/looks/a.css", "200 a { color: blue }")
	}
}
