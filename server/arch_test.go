package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rules of the house that a machine can hold. A failure says the rule and what to do about it.

const module = "crema/"

// Sizes. The hard ones have no exceptions; a file or function that needs one needs splitting.
const (
	maxFileLines     = 500
	maxFunctionLines = 60
	maxPackageFiles  = 12
	medianLines      = 12
	ninetiethLines   = 40
)

// rooms are in the order in which they may know each other: each one only those before it.
var rooms = []string{"acl", "schema", "records", "relations", "users", "assets", "pubsub", "push", "functions", "payments", "deploys", "adoption"}

// topLevel is what stands at the root of the repository; the owner fixed it.
var topLevel = []string{
	"server", "lambdas", "public_html", "migrations", "go.mod", "go.sum", "app.json", "README.md", "LICENSE", "Makefile", ".gitignore", ".ci",
}

// notOurs stands at the root of a working copy and is in no commit.
var notOurs = []string{".git", ".crema", "crema", "node_modules", ".env"}

// fences say where a library may be imported, tests included.
var fences = []struct {
	path  string
	where func(f *source) bool
	rule  string
}{
	{"github.com/lib/pq", under("server/base/pg", "server/e2e"), "lib/pq only in base/pg; use pg.DB"}, // e2e measures against it
	{"github.com/jmoiron/sqlx", func(f *source) bool { return under("server/base/pg")(f) || f.base() == "store.go" }, "sqlx only in base/pg and files named store.go"},
	{"github.com/stripe/stripe-go", under("server/core/payments", "server/e2e"), "stripe-go only in core/payments and its tests"},
	{"github.com/minio", in("server/core/assets/s3"), "the S3 client only in core/assets/s3"},
	{"github.com/coder/websocket", under("server/web", "server/e2e"), "websocket only under web/"},
	{"github.com/go-chi", under("server/web", "server/app", "server/e2e"), "chi only under web/ and in app"},
	{"github.com/go-json-experiment", in("server/base/jsonfast"), "use base/jsonfast, or encoding/json"},
	{"github.com/fsnotify", in("server/base/watch"), "fsnotify only in base/watch"},
	{"github.com/sideshow/apns2", in("server/core/push/apns"), "apns2 only in core/push/apns; use push.Sender"},
	{"golang.org/x/oauth2", in("server/core/push/fcm"), "oauth2 only in core/push/fcm; use push.Sender"},
	{"github.com/alecthomas/kong", in("server/cli"), "kong only in cli"},
	{"github.com/prometheus", in("server/base/telemetry"), "prometheus only in base/telemetry; use telemetry.Metrics"},
	{"github.com/chromedp", under("server/testkit", "server/e2e", "server/web/checkout"), "chromedp only in testkit and tests of pages"},
	{"github.com/google/go-cmp", func(f *source) bool { return f.support() }, "go-cmp only in tests"},
	{"crema/server/testkit", func(f *source) bool { return f.support() }, "testkit only in tests"},
}

type source struct {
	name  string // from the root, with slashes
	dir   string
	test  bool
	lines int
	file  *ast.File
}

func (f *source) base() string { return path.Base(f.name) }

// support says that a file serves tests only.
func (f *source) support() bool {
	return f.test || under("server/testkit", "server/e2e", "server/web/doortest", "server/core/payments/sandbox/sandboxtest", "server/core/assets/storetest")(f)
}

func (f *source) imports() []string {
	var all []string
	for _, spec := range f.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			all = append(all, p)
		}
	}
	return all
}

func in(dir string) func(*source) bool { return func(f *source) bool { return f.dir == dir } }

func under(dirs ...string) func(*source) bool {
	return func(f *source) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return f.dir == d || strings.HasPrefix(f.dir, d+"/") })
	}
}

func TestArchitecture(t *testing.T) {
	t.Parallel()
	fset := token.NewFileSet()
	files := parse(t, fset)
	at := func(f *source, n ast.Node) string { return fmt.Sprintf("%s:%d", f.name, fset.Position(n.Pos()).Line) }
	for _, f := range files {
		checkImports(t, f)
		checkFences(t, f)
		checkNames(t, f, at)
		if !f.test {
			checkCalls(t, f, at)
			checkSQL(t, f, at)
			checkDocs(t, f, at)
		}
	}
	checkPackages(t, files)
	checkSizes(t, fset, files)
}

func parse(t *testing.T, fset *token.FileSet) []*source {
	t.Helper()
	var files []*source
	err := fs.WalkDir(os.DirFS(".."), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (slices.Contains(notOurs, e.Name()) || e.Name() == ".ci" || e.Name() == "testdata"):
			return fs.SkipDir
		case e.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		file, err := parser.ParseFile(fset, filepath.Join("..", name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, &source{
			name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), file: file, lines: fset.File(file.Pos()).LineCount(),
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("found %d Go files: the test looks in the wrong place", len(files))
	}
	return files
}

// checkImports holds the table "in | may import | never" of the design.
func checkImports(t *testing.T, f *source) {
	t.Helper()
	if f.support() {
		return
	}
	for _, imported := range f.imports() {
		if why := refused(f.dir, imported); why != "" {
			t.Errorf("%s imports %s: %s", f.name, imported, why)
		}
	}
}

// refused says why a package in dir may not import another, "" when it may.
func refused(dir, imported string) string {
	ours, isOurs := strings.CutPrefix(imported, module)
	first, rest, _ := strings.Cut(strings.TrimPrefix(dir, "server/"), "/")
	switch {
	case dir == "migrations" || dir == "server/lambda":
		if isOurs || strings.Contains(strings.Split(imported, "/")[0], ".") {
			return "it may import the standard library only"
		}
	case dir == "lambdas" && isOurs && ours != "server/lambda":
		return "functions may import server/lambda, and nothing else of the server"
	case dir == "server" && isOurs && ours != "server/cli" && ours != "lambdas":
		return "main only starts cli; put it there"
	case first == "base" && isOurs && ours != "server/base/fault":
		return "base knows nothing above it; of ours it may import base/fault only"
	case first == "core":
		return refusedInCore(rest, ours, imported)
	case first == "web":
		return refusedInWeb(dir, ours, imported)
	case first == "app" && ours == "server/cli":
		return "app is below cli"
	}
	return ""
}

func refusedInCore(self, ours, imported string) string {
	room, _, _ := strings.Cut(self, "/")
	if imported == "os/exec" || imported == "net/http/httptest" {
		return "rooms start no processes and no test servers"
	}
	if strings.HasPrefix(ours, "server/web") || ours == "server/app" || ours == "server/cli" || ours == "lambdas" {
		return "core is below web, app and cli; declare the interface you call and let app connect it"
	}
	other, isRoom := strings.CutPrefix(ours, "server/core/")
	other, _, _ = strings.Cut(other, "/")
	if isRoom && other != room && slices.Index(rooms, other) > slices.Index(rooms, room) {
		return "the order of the rooms is " + strings.Join(rooms, " ") + "; declare the interface you call and let app connect it"
	}
	return ""
}

func refusedInWeb(dir, ours, imported string) string {
	switch {
	case slices.Contains([]string{"database/sql", "github.com/jmoiron/sqlx", "github.com/lib/pq", "os/exec"}, imported):
		return "a door is HTTP only; call a room"
	case ours == "" || ours == "server/web" || strings.HasPrefix(ours, "server/core/") || ours == "server/base/fault" || ours == "server/base/telemetry" || ours == "server/base/deadline":
		return ""
	case strings.HasPrefix(ours, "server/web/"):
		door, _, _ := strings.Cut(strings.TrimPrefix(ours, "server/web/"), "/")
		if own := "server/web/" + door; dir == own || strings.HasPrefix(dir, own+"/") {
			return ""
		}
		return "doors do not know each other; put what they share into web"
	case ours == imported: // not in this module
		return ""
	}
	return "web may import core, base/deadline, base/fault, base/telemetry and web"
}

func checkFences(t *testing.T, f *source) {
	t.Helper()
	for _, imported := range f.imports() {
		for _, fence := range fences {
			if (imported == fence.path || strings.HasPrefix(imported, fence.path+"/")) && !fence.where(f) {
				t.Errorf("%s imports %s: %s", f.name, imported, fence.rule)
			}
		}
	}
}

// checkNames refuses names and comments that promise work or say nothing.
func checkNames(t *testing.T, f *source, at func(*source, ast.Node) string) {
	t.Helper()
	if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "model", "models", "misc"}, f.file.Name.Name) {
		t.Errorf("%s: package %s: name a package by what it provides", f.name, f.file.Name.Name)
	}
	for _, group := range f.file.Comments {
		for _, word := range []string{"TO" + "DO", "FIX" + "ME", "X" + "XX"} {
			if strings.Contains(group.Text(), word) {
				t.Errorf("%s: %s: do it, or open an issue", at(f, group), word)
			}
		}
	}
}

// checkCalls refuses init, panic, the environment in rooms, and servers in rooms.
func checkCalls(t *testing.T, f *source, at func(*source, ast.Node) string) {
	t.Helper()
	core := under("server/core")(f)
	environment, servers := []string{"os.Getenv", "os.LookupEnv", "os.Environ"}, []string{"http.ListenAndServe", "http.Serve", "http.Server"}
	ast.Inspect(f.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s: init: make it a constructor that somebody calls", at(f, n))
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && id.Name == "panic" {
				t.Errorf("%s: panic: return an error", at(f, n))
			}
		case *ast.SelectorExpr:
			name := selector(n)
			if core && slices.Contains(environment, name) {
				t.Errorf("%s: %s: rooms do not read the environment; take it as an argument from app", at(f, n), name)
			}
			if core && slices.Contains(servers, name) && !under("server/core/payments/sandbox")(f) {
				t.Errorf("%s: %s: rooms do not serve HTTP; a door does", at(f, n), name)
			}
		}
		return true
	})
}

func selector(n *ast.SelectorExpr) string {
	if x, ok := n.X.(*ast.Ident); ok {
		return x.Name + "." + n.Sel.Name
	}
	return ""
}

// statement recognizes SQL at the start of a string literal.
var statement = regexp.MustCompile(`(?is)^\s*(select\s.*\sfrom\s|insert\s+into\s|update\s+\S+\s+(\w+\s+)?set\s|delete\s+from\s|create\s+(unique\s+)?(table|index|schema|extension)\s|alter\s+table\s|drop\s+(table|schema|index)\s|with\s+(recursive\s+)?\w+\s*(\([^)]*\)\s*)?as\s*\()`)

func checkSQL(t *testing.T, f *source, at func(*source, ast.Node) string) {
	t.Helper()
	if f.base() == "store.go" || f.support() || under("server/base/pg", "server/base/cluster")(f) {
		return
	}
	ast.Inspect(f.file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil && statement.MatchString(text) {
				t.Errorf("%s: SQL outside store.go: %.60q; move it into the store.go of its room", at(f, lit), text)
			}
		}
		return true
	})
}

// checkDocs wants a comment on every exported name.
func checkDocs(t *testing.T, f *source, at func(*source, ast.Node) string) {
	t.Helper()
	for _, decl := range f.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
				t.Errorf("%s: %s has no comment: say what a caller cannot see", at(f, d), d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if name := undocumented(d, spec); name != "" {
					t.Errorf("%s: %s has no comment: say what a caller cannot see", at(f, spec), name)
				}
			}
		}
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	id, ok := typ.(*ast.Ident)
	return !ok || id.IsExported()
}

func undocumented(d *ast.GenDecl, spec ast.Spec) string {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
			return s.Name.Name
		}
	case *ast.ValueSpec:
		if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
			return s.Names[0].Name
		}
	}
	return ""
}

// checkPackages wants a comment on every package and not too many files in it.
func checkPackages(t *testing.T, files []*source) {
	t.Helper()
	count, doc := map[string]int{}, map[string]bool{}
	for _, f := range files {
		if !f.test {
			count[f.dir]++
			doc[f.dir] = doc[f.dir] || f.file.Doc != nil
		}
	}
	for dir, n := range count {
		if !doc[dir] {
			t.Errorf("%s has no package comment: add doc.go saying what it is for and its way in", dir)
		}
		if n > maxPackageFiles {
			t.Errorf("%s has %d files, at most %d: split it into two packages", dir, n, maxPackageFiles)
		}
	}
}

func checkSizes(t *testing.T, fset *token.FileSet, files []*source) {
	t.Helper()
	var lengths []int
	for _, f := range files {
		if f.lines > maxFileLines {
			t.Errorf("%s has %d lines, at most %d: split it by topic", f.name, f.lines, maxFileLines)
		}
		for _, decl := range f.file.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok || f.test {
				continue
			}
			n := fset.Position(d.End()).Line - fset.Position(d.Pos()).Line + 1
			if lengths = append(lengths, n); n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, at most %d: give its parts names", f.name, d.Name.Name, n, maxFunctionLines)
			}
		}
	}
	slices.Sort(lengths)
	if m := lengths[len(lengths)/2]; m > medianLines {
		t.Errorf("half of the functions have more than %d lines (%d)", medianLines, m)
	}
	if n := lengths[len(lengths)*9/10]; n > ninetiethLines {
		t.Errorf("a tenth of the functions have more than %d lines (%d)", ninetiethLines, n)
	}
}

// TestArchitecture_RulesRefuse proves that the rules can fail.
func TestArchitecture_RulesRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dir, imports string
		refused      bool
	}{
		{"server/base/pg", "crema/server/base/fault", false},
		{"server/base/pg", "crema/server/base/config", true},
		{"server/base/pg", "crema/server/core/acl", true},
		{"server/base/fault", "errors", false},
		{"server/core/records", "crema/server/core/acl", false},
		{"server/core/acl", "crema/server/core/records", true},
		{"server/core/payments/sandbox", "crema/server/core/payments/sandbox/wire", false},
		{"server/core/users", "crema/server/core/payments/sandbox", true},
		{"server/core/users", "crema/server/web", true},
		{"server/core/users", "os/exec", true},
		{"server/web/rpc", "crema/server/core/functions", false},
		{"server/web/rpc", "crema/server/web/skygear", true},
		{"server/web/skygear", "crema/server/web/skygear/sdk", false},
		{"server/web", "crema/server/web/rpc", true},
		{"server/web/rpc", "crema/server/base/pg", true},
		{"server/web/rpc", "database/sql", true},
		{"server/web/rpc", "github.com/go-chi/chi/v5", false},
		{"server/app", "crema/server/web/rpc", false},
		{"server/app", "crema/server/cli", true},
		{"server", "crema/server/app", true},
		{"server", "crema/server/cli", false},
		{"lambdas", "crema/server/lambda", false},
		{"lambdas", "crema/server/core/records", true},
		{"lambdas", "github.com/google/uuid", false},
		{"server/lambda", "github.com/google/uuid", true},
		{"server/lambda", "crema/server/base/fault", true},
		{"server/lambda", "context", false},
	} {
		if why := refused(c.dir, c.imports); (why != "") != c.refused {
			t.Errorf("%s importing %s: %q", c.dir, c.imports, why)
		}
	}
	for text, sql := range map[string]bool{
		"SELECT a FROM app.t": true, "\n\tinsert into app.t (a) values ($1)": true, "update app.t set a = 1": true, "WITH x AS (select 1)": true,
		"delete from app.t": true, "create table x ()": true, "alter table app.t add x text": true,
		"select a product": false, "update the page": false, "with care": false, "delete": false,
	} {
		if statement.MatchString(text) != sql {
			t.Errorf("%q: SQL is not told from text", text)
		}
	}
}

func TestArchitecture_TopLevel(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, e := range entries {
		found[e.Name()] = true
		if !slices.Contains(topLevel, e.Name()) && !slices.Contains(notOurs, e.Name()) {
			t.Errorf("%s at the root: the owner fixed what stands there; put it below server/", e.Name())
		}
	}
	for _, name := range topLevel {
		if !found[name] {
			t.Errorf("%s is missing at the root", name)
		}
	}
}
