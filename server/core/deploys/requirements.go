package deploys

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
)

const (
	requirementsFile = "requirements.txt"
	maxRequirements  = 50 // files; a circle ends before
)

// includes finds the files that a file of requirements reads too.
var includes = regexp.MustCompile(`(?m)^[ \t]*(?:-r|-c|--requirement|--constraint)[ \t=]*([^\s#]+)`)

// requirements reads requirements.txt of a folder and the files of the project that it includes, by their names there; none
// when there is no such file. What is not in the project is left to pip, which says so.
func requirements(dir string) (map[string][]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, disk(err, dir)
	}
	defer func() { _ = root.Close() }()
	found := map[string][]byte{}
	for next := []string{requirementsFile}; len(next) > 0 && len(found) < maxRequirements; next = next[1:] {
		name := next[0]
		if _, known := found[name]; known || !filepath.IsLocal(name) {
			continue
		}
		text, err := root.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, disk(err, dir)
		}
		found[name] = text
		for _, m := range includes.FindAllSubmatch(text, -1) {
			next = append(next, path.Join(path.Dir(name), string(m[1])))
		}
	}
	return found, nil
}

// together is what tells one set of files from another: of a single one its content.
func together(files map[string][]byte) []byte {
	if len(files) == 1 {
		return files[requirementsFile]
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		_, _ = fmt.Fprintf(sum, "%q %q\n", name, files[name])
	}
	return sum.Sum(nil)
}
