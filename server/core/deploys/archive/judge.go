package archive

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"

	"crema/server/base/fault"
)

// Names of a version's parts.
const (
	Site     = "public_html"
	Lambdas  = "lambdas"
	Packages = "node_modules"
)

// Functions returns the folder of a version's functions below its own: "." for a project of Skygear v1, lambdas for
// one of ours; ok is false when it has none.
func Functions(paths []string) (dir string, ok bool) {
	for _, entry := range []string{"__init__.py", "plugin.py", "index.js"} {
		if slices.Contains(paths, entry) {
			return ".", true
		}
	}
	return Lambdas, slices.ContainsFunc(paths, func(p string) bool { return path.Dir(p) == Lambdas })
}

// CheckProject refuses files that are no project: a command that was run in the wrong folder. Reason
// archive.no_project.
func CheckProject(paths []string) error {
	if _, ok := Functions(paths); ok || slices.ContainsFunc(paths, func(p string) bool { return strings.HasPrefix(p, Site+"/") }) {
		return nil
	}
	return fault.New(fault.Invalid, "archive.no_project",
		"there is no __init__.py, plugin.py, index.js, lambdas/ or public_html/ here; run the command in the top folder of the project")
}

// keys are secrets that must not be published.
var keys = regexp.MustCompile(`\b(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}|\bwhsec_[0-9A-Za-z+/]{24,}|-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----`)

// Secret returns the beginning of a secret key in a file that everybody can read, "" when there is none. own are
// secrets of the app.
func Secret(body []byte, own ...string) string {
	if found := keys.Find(body); found != nil {
		return string(found[:min(len(found), 11)]) + "..."
	}
	for _, s := range own {
		if len(s) >= 8 && bytes.Contains(body, []byte(s)) {
			return "the master key"
		}
	}
	return ""
}

// left are texts that the author of an example wants to be replaced.
var left = regexp.MustCompile(`(?i)<your[-_ ][a-z0-9][a-z0-9_ -]{0,40}>`)

const maxText = 1 << 20 // larger files are not read for placeholders

// Placeholders returns what is left to be filled in, each once.
func Placeholders(name string, body []byte) (found []string) {
	switch path.Ext(name) {
	case ".py", ".js", ".mjs", ".html", ".htm", ".json", ".ts", ".txt", ".yaml", ".yml":
	default:
		return nil
	}
	if len(body) > maxText {
		return nil
	}
	for _, m := range left.FindAllString(string(body), -1) {
		if !slices.Contains(found, m) {
			found = append(found, m)
		}
	}
	return found
}
