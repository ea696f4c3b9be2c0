package archive

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"crema/server/base/fault"
)

// Limits of a version. MaxArchive bounds what travels.
const (
	MaxArchive = 100 << 20
	MaxTotal   = 256 << 20
	MaxFile    = 64 << 20
	MaxFiles   = 20_000
	maxEntries = 2 * MaxFiles // folders and links counted
	maxPath    = 512
	maxName    = 255      // of a file or folder, in bytes: what disks take
	maxAround  = 64 << 20 // of what stands between the files: names, folders
	maxLinks   = 8        // from link to link
)

// File is one file of a version.
type File struct {
	Path string      // below the version's folder, with slashes
	Mode fs.FileMode // 0755 where it may be executed, else 0644
}

// Mode is what is kept of a file's mode.
func Mode(m fs.FileMode) fs.FileMode {
	if m&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// Read hands every file of a tar.gz to keep, in order; link gets the files that are links, with the one
// that each leads to. Reasons: archive.incomplete for one that ends too early, archive.refused for what must not be
// there, archive.too_large.
func Read(from io.Reader, keep func(File, []byte) error, link func(f File, target string) error) error {
	return read(from, bounds{files: MaxTotal, around: maxAround}, keep, link)
}

// bounds are how many bytes an archive may have when it is unpacked.
type bounds struct{ files, around int64 }

func read(from io.Reader, most bounds, keep func(File, []byte) error, link func(f File, target string) error) error {
	packed := &bounded{from: from, left: MaxArchive}
	zip, err := gzip.NewReader(packed)
	unpacked := &bounded{from: zip, left: most.files + most.around}
	if err != nil {
		return broken(packed, unpacked, err)
	}
	r := &reader{tar: tar.NewReader(unpacked), most: most.files, links: map[string]string{}, keep: keep}
	for {
		h, err := r.tar.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = r.entry(h)
		}
		if err != nil {
			return broken(packed, unpacked, err)
		}
	}
	if err := r.drain(unpacked); err != nil { // the checksum stands at the end
		return broken(packed, unpacked, err)
	}
	if err := CheckPaths(r.paths); err != nil {
		return err
	}
	return r.resolve(link)
}

// broken tells faults of ours from an archive that did not arrive whole.
func broken(packed, unpacked *bounded, err error) error {
	var f *fault.Error
	switch {
	case unpacked.left < 0:
		return fault.New(fault.TooLarge, "archive.too_large", "the archive holds more than %d MB of names and folders beside its files", maxAround>>20)
	case packed.left < 0:
		return fault.New(fault.TooLarge, "archive.too_large", "the archive is larger than %d MB; leave out what the app does not need, with .skyignore", MaxArchive>>20)
	case errors.As(err, &f):
		return err
	}
	return fault.Wrap(err, fault.BadRequest, "archive.incomplete", "the archive did not arrive whole; run the same command again")
}

// bounded ends what is too long.
type bounded struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

type reader struct {
	tar     *tar.Reader
	keep    func(File, []byte) error
	entries int
	paths   []string
	links   map[string]string // from a link to what it leads to
	total   int64
	most    int64 // of total
}

func (r *reader) entry(h *tar.Header) error {
	if r.entries++; r.entries > maxEntries {
		return fault.New(fault.TooLarge, "archive.too_large", "there are more than %d files and folders; leave out what the app does not need", maxEntries)
	}
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeReg, tar.TypeSymlink, tar.TypeLink:
	default:
		return refused("%.200q is neither a file nor a folder", h.Name)
	}
	if len(r.paths) >= MaxFiles {
		return fault.New(fault.TooLarge, "archive.too_large", "there are more than %d files; leave out what the app does not need, such as node_modules", MaxFiles)
	}
	name := strings.TrimPrefix(h.Name, "./")
	if err := checkPath(name); err != nil {
		return err
	}
	r.paths = append(r.paths, name)
	if h.Typeflag != tar.TypeReg {
		return r.link(name, h)
	}
	r.total += h.Size
	if h.Size > MaxFile || r.total > r.most {
		return tooLarge(name)
	}
	body := make([]byte, 0, min(h.Size, 1<<20)) // what it claims is not believed
	body, err := readAll(r.tar, body, h.Size)
	if err != nil {
		return err
	}
	return r.keep(File{Path: name, Mode: Mode(h.FileInfo().Mode())}, body)
}

func readAll(from io.Reader, body []byte, size int64) ([]byte, error) {
	for int64(len(body)) < size {
		if len(body) == cap(body) {
			body = slices.Grow(body, len(body))
		}
		n, err := from.Read(body[len(body):min(int64(cap(body)), size)])
		body = body[:len(body)+n]
		if err != nil && (!errors.Is(err, io.EOF) || int64(len(body)) < size) {
			return nil, io.ErrUnexpectedEOF
		}
	}
	return body, nil
}

func tooLarge(name string) error {
	return fault.New(fault.TooLarge, "archive.too_large", "%.200q is too much: a file has at most %d MB, and all together have %d MB", name, MaxFile>>20, MaxTotal>>20)
}

// link notes where a link leads. A hard link's target counts from the top.
func (r *reader) link(name string, h *tar.Header) error {
	target := h.Linkname
	if h.Typeflag == tar.TypeSymlink && !path.IsAbs(target) {
		target = path.Join(path.Dir(name), target)
	}
	target = path.Clean(target)
	if checkPath(target) != nil {
		return refused("the link %.200q leads out of the project, to %.200q", name, h.Linkname)
	}
	r.links[name] = target
	return nil
}

// resolve hands on the links.
func (r *reader) resolve(link func(File, string) error) error {
	files := map[string]bool{}
	for _, p := range r.paths {
		files[p] = true
	}
	for _, name := range r.paths {
		target, ok := r.links[name]
		if !ok {
			continue
		}
		for range maxLinks {
			next, more := r.links[target]
			if !more {
				break
			}
			target = next
		}
		if _, still := r.links[target]; still || !files[target] {
			return refused("the link %.200q leads to %.200q, which is no file of the project", name, target)
		}
		if err := link(File{Path: name}, target); err != nil {
			return err
		}
	}
	return nil
}

// drain reads to the end, where a bomb may wait behind the last file.
func (r *reader) drain(from io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(from, 1<<20))
	if err == nil && n == 1<<20 {
		return refused("something follows the last file")
	}
	return err
}

func refused(format string, args ...any) error {
	return fault.New(fault.Invalid, "archive.refused", format, args...)
}

func checkPath(name string) error {
	bad := !fs.ValidPath(name) || name == "." || len(name) > maxPath || longest(name) > maxName || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == '\\' || c == 0x7f || c == 0xfffd })
	if bad {
		return refused("%.200q is no name of a file inside the project", name)
	}
	return nil
}

func longest(name string) (n int) {
	for part := range strings.SplitSeq(name, "/") {
		n = max(n, len(part))
	}
	return n
}

// CheckPaths refuses names that lead out of a folder, that are there twice, and files that are folders too.
func CheckPaths(paths []string) error {
	if len(paths) > MaxFiles {
		return fault.New(fault.TooLarge, "archive.too_large", "there are more than %d files", MaxFiles)
	}
	files := make(map[string]bool, len(paths))
	for _, p := range paths {
		if err := checkPath(p); err != nil {
			return err
		}
		if files[p] {
			return refused("%.200q is there twice", p)
		}
		files[p] = true
	}
	for p := range files {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if files[dir] {
				return refused("%.200q is a file and a folder", dir)
			}
		}
	}
	return nil
}
