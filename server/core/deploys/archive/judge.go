package archive

import (
	"bytes"
	"compress/gzip"
	"io"
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
var keys = regexp.MustCompile(`\b(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}|\bwhsec_[0-9A-Za-z+/]{24,}|-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----`)

// Own is a secret of the app.
type Own struct{ Name, Value string }

const minOwn = 8 // shorter values stand in files by chance

// Secret says which secret key is in a file that everybody can read, "" when there is none: the beginning of a
// key of Stripe's, or the name of one of the app's own. Text in UTF-16 and gzipped files are read too.
func Secret(body []byte, own ...Own) string {
	for _, text := range readings(body) {
		if found := find(text); found != "" {
			return found
		}
		for _, s := range own {
			if len(s.Value) >= minOwn && bytes.Contains(text, []byte(s.Value)) {
				return s.Name
			}
		}
	}
	return ""
}

// find looks for keys. Most files have no mark of any, which is seen quickly.
func find(text []byte) string {
	for _, mark := range []string{"_live_", "_test_", "whsec_", "PRIVATE KEY"} {
		if !bytes.Contains(text, []byte(mark)) {
			continue
		}
		if found := keys.Find(text); found != nil {
			return string(found[:min(len(found), 11)]) + "..."
		}
		return ""
	}
	return ""
}

// readings are what clients may take a content for.
func readings(body []byte) [][]byte {
	all := [][]byte{body}
	if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
		text, _ := io.ReadAll(io.LimitReader(z, MaxFile)) // of a broken file what can be read
		all = append(all, text)
	}
	for _, text := range all {
		if bytes.IndexByte(text, 0) >= 0 { // UTF-16, of which these texts are every second byte
			all = append(all, bytes.ReplaceAll(text, []byte{0}, nil))
		}
	}
	return all
}

// left are texts that the author of an example wants to be replaced.
var left = regexp.MustCompile(`(?i)<your[-_ ][a-z0-9][a-z0-9_ -]{0,40}>`)

const (
	maxText = 1 << 20 // larger files are not read for placeholders
	maxLeft = 20      // of a file are told
)

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
		if len(found) < maxLeft && !slices.Contains(found, m) {
			found = append(found, m)
		}
	}
	return found
}
