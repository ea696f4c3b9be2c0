package remote

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"crema/server/base/fault"
)

// File is one file of a deploy.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Mode   uint32 `json:"mode"`
}

// Find lists what a deploy of a folder sends: of a project of Skygear v1 all files, else lambdas/ and public_html/. What
// begins with a dot, node_modules, caches of Python, sources in Go and what .skyignore names stay here.
func Find(dir string) ([]File, error) {
	root := os.DirFS(dir)
	ignored, err := readIgnored(root)
	if err != nil {
		return nil, err
	}
	old := slices.ContainsFunc([]string{"__init__.py", "plugin.py", "index.js"}, func(name string) bool {
		_, err := fs.Stat(root, name)
		return err == nil
	})
	var files []File
	err = fs.WalkDir(root, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		top, _, _ := strings.Cut(name, "/")
		if ours(e) || ignored.match(name) || !old && top != "lambdas" && top != "public_html" {
			if e.IsDir() && !ignored.negated() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := fs.Stat(root, name) // a link is what it leads to
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		f, err := describe(root, name, info)
		files = append(files, f)
		return err
	})
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "cli.unreadable", "the folder %s cannot be read: %v", dir, err)
	}
	return files, nil
}

// ours says what is never sent, whatever .skyignore says.
func ours(e fs.DirEntry) bool {
	name := e.Name()
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "__pycache__" || path.Ext(name) == ".pyc" || !e.IsDir() && path.Ext(name) == ".go"
}

func describe(root fs.FS, name string, info fs.FileInfo) (File, error) {
	f, err := root.Open(name)
	if err != nil {
		return File{}, err
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return File{Path: name, SHA256: hex.EncodeToString(sum.Sum(nil)), Size: n, Mode: uint32(info.Mode().Perm())}, err
}

// Deploy sends the contents that the server lacks and deploys the files. It returns the job.
func (c Client) Deploy(ctx context.Context, dir string, files []File, say io.Writer) (job string, err error) {
	byHash := map[string]File{}
	hashes := []string{}
	for _, f := range files {
		if _, known := byHash[f.SHA256]; !known {
			hashes = append(hashes, f.SHA256)
		}
		byHash[f.SHA256] = f
	}
	var missing struct{ Missing []string }
	if err := c.Do(ctx, http.MethodPost, "/v2/apps/{app}/files/missing", map[string]any{"hashes": hashes}, &missing); err != nil {
		return "", err
	}
	sent := int64(0)
	for _, h := range missing.Missing {
		f := byHash[h]
		body, err := fs.ReadFile(os.DirFS(dir), f.Path)
		if err != nil {
			return "", fault.Wrap(err, fault.Invalid, "cli.unreadable", "%s cannot be read", f.Path)
		}
		if err := c.Do(ctx, http.MethodPut, "/v2/apps/{app}/files/"+h, body, nil); err != nil {
			return "", err
		}
		sent += f.Size
	}
	_, _ = fmt.Fprintf(say, "sent %d of %d files, %d bytes\n", len(missing.Missing), len(files), sent)
	var begun struct{ Job string }
	err = c.Do(ctx, http.MethodPost, "/v2/apps/{app}/deploys", map[string]any{"files": files}, &begun)
	return begun.Job, err
}

// ignored are the lines of .skyignore, in the grammar of .gitignore but without "**".
type ignored []string

func readIgnored(root fs.FS) (lines ignored, err error) {
	f, err := root.Open(".skyignore")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "cli.unreadable", ".skyignore cannot be read")
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// negated says whether something inside an ignored folder may be wanted.
func (i ignored) negated() bool {
	return slices.ContainsFunc(i, func(line string) bool { return line[0] == '!' })
}

// match says whether a file or folder is ignored. The last line that has to do with it decides.
func (i ignored) match(name string) (yes bool) {
	for _, line := range i {
		pattern, again := strings.CutPrefix(line, "!")
		pattern = strings.TrimSuffix(pattern, "/")
		for at := name; at != "."; at = path.Dir(at) {
			subject := at
			if !strings.Contains(pattern, "/") {
				subject = path.Base(at)
			}
			if ok, _ := path.Match(strings.TrimPrefix(pattern, "/"), subject); ok {
				yes = !again
			}
		}
	}
	return yes
}
