package remote

import (
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
	"crema/server/core/deploys/archive"
)

// File is one file of a deploy.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Mode   uint32 `json:"mode"`
}

// Find lists what a deploy of a folder sends: of a project of Skygear v1 all files, else lambdas/ and public_html/. What
// begins with a dot (.well-known of the site excepted), node_modules, caches of Python, sources in Go and what .skyignore
// names stay here. odd are names that are no files, such as links to folders, which stay here too. Reasons:
// cli.link_out, cli.too_large, cli.unreadable.
func Find(dir string) (files []File, odd []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, unreadable(dir, err)
	}
	defer func() { _ = root.Close() }()
	f := finder{root: root.FS()}
	if f.ignored, err = readIgnored(f.root); err != nil {
		return nil, nil, err
	}
	f.old = slices.ContainsFunc([]string{"__init__.py", "plugin.py", "index.js"}, func(name string) bool {
		_, err := fs.Stat(f.root, name)
		return err == nil
	})
	err = fs.WalkDir(f.root, ".", f.look)
	var known *fault.Error
	if err != nil && !errors.As(err, &known) {
		err = unreadable(dir, err)
	}
	return f.files, f.odd, err
}

func unreadable(dir string, err error) error {
	return fault.Wrap(err, fault.Invalid, "cli.unreadable", "the folder %s cannot be read: %v", dir, err)
}

// finder is a search for files. What links lead to is read through the root, which lets none out.
type finder struct {
	root    fs.FS
	ignored ignored
	old     bool // a project of Skygear v1
	files   []File
	odd     []string
}

func (f *finder) look(name string, e fs.DirEntry, err error) error {
	if err != nil || name == "." {
		return err
	}
	top, _, _ := strings.Cut(name, "/")
	if ours(name, e) || f.ignored.match(name, e.IsDir()) || !f.old && top != "lambdas" && top != "public_html" {
		if e.IsDir() && !f.ignored.negated() {
			return fs.SkipDir
		}
		return nil
	}
	info, err := fs.Stat(f.root, name) // a link is what it leads to
	switch {
	case err != nil && e.Type()&fs.ModeSymlink != 0:
		return fault.Wrap(err, fault.Invalid, "cli.link_out", "the link %s leads out of the project or to nothing; put the file itself there", name)
	case err != nil:
		return err
	case e.IsDir():
		return nil
	case !info.Mode().IsRegular():
		f.odd = append(f.odd, name)
		return nil
	case info.Size() > archive.MaxFile:
		return fault.New(fault.TooLarge, "cli.too_large", "%s has %d MB; a file has at most %d MB", name, info.Size()>>20, archive.MaxFile>>20)
	}
	one, err := describe(f.root, name, info)
	f.files = append(f.files, one)
	return err
}

// wellKnown is what others look for in a site by its name: RFC 8615.
const wellKnown = archive.Site + "/.well-known"

// ours says what is never sent, whatever .skyignore says.
func ours(at string, e fs.DirEntry) bool {
	name := e.Name()
	return strings.HasPrefix(name, ".") && at != wellKnown || name == "node_modules" || name == "__pycache__" || path.Ext(name) == ".pyc" || !e.IsDir() && path.Ext(name) == ".go"
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
	sent, err := c.keep(ctx, dir, missing.Missing, byHash)
	if err != nil {
		return "", err
	}
	_, _ = fmt.Fprintf(say, "sent %d of %d files, %d bytes\n", len(missing.Missing), len(files), sent)
	var begun struct{ Job string }
	err = c.Do(ctx, http.MethodPost, "/v2/apps/{app}/deploys", map[string]any{"files": files}, &begun)
	return begun.Job, err
}

// keep sends contents and returns how many bytes they had.
func (c Client) keep(ctx context.Context, dir string, hashes []string, files map[string]File) (sent int64, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, unreadable(dir, err)
	}
	defer func() { _ = root.Close() }()
	for _, h := range hashes {
		f := files[h]
		body, err := fs.ReadFile(root.FS(), f.Path)
		if err != nil {
			return 0, fault.Wrap(err, fault.Invalid, "cli.unreadable", "%s cannot be read", f.Path)
		}
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != h {
			return 0, fault.New(fault.Invalid, "cli.changed", "%s has just been changed; run the same command again", f.Path)
		}
		if err := c.Do(ctx, http.MethodPut, "/v2/apps/{app}/files/"+h, body, nil); err != nil {
			return 0, err
		}
		sent += f.Size
	}
	return sent, nil
}
