package workers

import (
	"bufio"
	"cmp"
	"embed"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"crema/server/base/fault"
	"crema/server/base/proc"
)

// runtimes are what runs inside the interpreters: the packages that functions import, and the code that
// serves calls. They travel to an interpreter in its first message and are never written to a disk.
//
//go:embed all:python all:node
var runtimes embed.FS

// language is what differs between the languages.
type language struct {
	folder  string   // in runtimes
	program string   // the interpreter
	suffix  string   // of its files
	code    []string // suffixes of what its files may load
	entries []string // files that load all others themselves
	tests   []string // files that are no functions, as patterns
}

func (l Language) facts() language {
	if l == JavaScript {
		return language{"node", "node", ".js", []string{".js", ".cjs", ".mjs", ".json"}, []string{"index.js"}, []string{"*.test.js", "*.config.js", "_*", ".*"}}
	}
	return language{"python", "python3", ".py", []string{".py"}, []string{"__init__.py", "plugin.py"}, []string{"test_*", "*_test.py", "setup.py", "_*", ".*"}}
}

// sources returns a language's runtime by file.
func sources(l Language) (map[string]string, error) {
	all := map[string]string{}
	root := l.facts().folder
	err := fs.WalkDir(runtimes, root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := runtimes.ReadFile(name)
		all[strings.TrimPrefix(name, root+"/")] = string(text)
		return err
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "workers.no_runtime", "the %s runtime cannot be read", l)
	}
	return all, nil
}

// interpreter finds the program that runs a language. Whether it is new enough it says itself.
func interpreter(l Language, program string) (string, error) {
	path, err := proc.Find(cmp.Or(program, l.facts().program))
	if err != nil {
		return "", fault.Wrap(err, fault.NotConfigured, "workers.no_interpreter", "%s functions need the program %s, which is not installed",
			l, cmp.Or(program, l.facts().program))
	}
	return path, nil
}

// moduleUse is what a script of a page has not.
var moduleUse = regexp.MustCompile(`\brequire\s*\(|(?m:^\s*import\b)|\bimport\s*\(`)

// PageScript says that the index.js of a project in Python is no file of functions but a page's script, which the old tutorials
// leave beside them: it loads nothing.
func PageScript(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "index.js"))
	return err == nil && !moduleUse.Match(text) && slices.ContainsFunc(Python.facts().entries, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}

// find lists the functions' files of a language in a folder: the one that loads the others, or all unless it is a project.
func find(l Language, dir string, project bool) (load, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return load{}, fault.Wrap(err, fault.NotConfigured, "workers.no_folder", "the folder of the functions cannot be found")
	}
	found := load{Dir: abs}
	facts := l.facts()
	for _, name := range facts.entries {
		if info, err := os.Stat(filepath.Join(abs, name)); err == nil && info.Mode().IsRegular() {
			found.Files, found.Entry = []string{name}, true
			found.Code = codeOf(abs, facts.code)
			return found, nil
		}
	}
	if project {
		return found, nil
	}
	entries, err := os.ReadDir(abs)
	if err != nil && !os.IsNotExist(err) {
		return load{}, fault.Wrap(err, fault.NotConfigured, "workers.no_folder", "the folder of the functions cannot be read")
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), facts.suffix) && !e.IsDir() && !slices.ContainsFunc(facts.tests, func(pattern string) bool {
			match, _ := filepath.Match(pattern, e.Name())
			return match
		}) {
			found.Files = append(found.Files, e.Name())
		}
	}
	found.Code = codeOf(abs, facts.code)
	return found, nil
}

// maxCode is how much code travels to each worker. Who has more gets what the disk has when a worker starts.
const maxCode = 8 << 20

// codeOf reads the code in a folder, by its path below it. Packages are left out, and so are links.
func codeOf(dir string, suffixes []string) map[string][]byte {
	all, size := map[string][]byte{}, 0
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = root.Close() }()
	_ = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case e.IsDir() && name != "." && packagesOrHidden(e.Name()):
			return fs.SkipDir
		case !e.Type().IsRegular() || !slices.Contains(suffixes, filepath.Ext(name)):
			return nil
		}
		if text, err := root.ReadFile(name); err == nil {
			all[name] = text
			size += len(text)
		}
		if size > maxCode {
			all = nil
			return fs.SkipAll
		}
		return nil
	})
	return all
}

func packagesOrHidden(folder string) bool {
	return folder[0] == '.' || folder == "node_modules" || folder == "site-packages" || folder == "__pycache__"
}

// importLine finds what a Python file imports from elsewhere.
var importLine = regexp.MustCompile(`^\s*(?:import\s+([A-Za-z_][\w.]*(?:\s*,\s*[A-Za-z_][\w.]*)*)|from\s+([A-Za-z_][\w.]*)\s+import\b)`)

// preparing finds a line that may change what the imports after it do: the environment, where modules are found,
// what they hold.
var preparing = regexp.MustCompile(`^\s*(?:(?:os\.)?environ(?:\[.*\]\s*=|\.(?:setdefault|update|pop|clear)\()|os\.putenv\(|` +
	`sys\.path(?:\[.*\]\s*=|\s*\+?=|\.\w+\()|sys\.modules\[|[\w.]*\b(?:load_dotenv|addsitedir|patch_all)\()`)

// imports lists the modules that the Python files in the folder and its packages import and that may be imported
// before them: not those of the folder itself, nor those that a file prepares something for.
func imports(files load) []string {
	skip, all := map[string]bool{}, map[string]bool{}
	for path, first := range modules(files.Dir) {
		skip[first] = true
		names, late := importsOf(path)
		for _, name := range names {
			all[name] = true
		}
		for _, name := range late {
			first, _, _ := strings.Cut(name, ".")
			skip[first] = true
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		first, _, _ := strings.Cut(name, ".")
		return skip[first]
	})
}

// maxModules is how many files are read to find out what they import.
const maxModules = 300

// modules lists the Python files of a folder and its packages, with the name that the import of each begins
// with. What cannot be read is left out.
func modules(dir string) map[string]string {
	paths := map[string]string{}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return nil
		case len(paths) == maxModules:
			return fs.SkipAll
		case e.Type().IsRegular() && strings.HasSuffix(path, ".py"):
			name, _ := filepath.Rel(dir, path)
			first, _, _ := strings.Cut(filepath.ToSlash(strings.TrimSuffix(name, ".py")), "/")
			paths[path] = first
		case e.IsDir() && path != dir && (strings.ContainsAny(e.Name()[:1], "._") || e.Name() == "node_modules" || e.Name() == "site-packages"):
			return fs.SkipDir
		}
		return nil
	})
	return paths
}

// importsOf lists what a file imports, and what it imports after a line that prepares something.
func importsOf(path string) (names, late []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil
	}
	defer func() { _ = f.Close() }()
	into := &names
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if preparing.MatchString(lines.Text()) {
			into = &late
		}
		if m := importLine.FindStringSubmatch(lines.Text()); m != nil {
			for name := range strings.SplitSeq(m[1]+m[2], ",") {
				*into = append(*into, strings.TrimSpace(name))
			}
		}
	}
	return names, late
}
