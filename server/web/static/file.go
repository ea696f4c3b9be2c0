package static

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Limits of what is kept in memory. What shrinks is worth more memory than what does not.
const (
	maxPlain      = 1 << 20
	maxShrinkable = 8 << 20
	maxHeld       = 64 << 20
)

const (
	recheck = 100 * time.Millisecond // a file's state on disk is this old at most
	settle  = 150 * time.Millisecond // a file changed more recently may still be being written
)

// File is something that the folder has for a path. It does not change; a changed file is a new File.
type File struct {
	root     *os.Root // where it is
	name     string   // below root
	location string   // where to go instead, for a folder without its slash
	info     fs.FileInfo
	body     []byte // nil when it is sent from disk
	shrinks  bool
	popup    bool // its popup is ours
	reread   bool // it was read so soon after a change that another change may look the same

	// Header values, shared by all answers.
	contentType, cacheControl, lastModified []string

	identity variant
	variants atomic.Pointer[[]variant] // compressed, smallest first; nil until made
	queued   atomic.Bool
	checked  atomic.Int64 // when the disk was asked last, since the door's start
}

// variant is one way to send a file, with its header values.
type variant struct {
	body                   []byte
	etag, length, encoding []string
}

func newVariant(body []byte, hash, encoding string) variant {
	v := variant{body: body, etag: []string{`"` + hash + `"`}, length: []string{strconv.Itoa(len(body))}}
	if encoding != "" {
		v.etag = []string{`"` + hash + "-" + encoding + `"`}
		v.encoding = []string{encoding}
	}
	return v
}

// fresh returns the file in memory when the disk need not be asked. Of many requests at once one asks.
func (d *Door) fresh(name string) (*File, bool) {
	d.mu.RLock()
	f := d.files[name]
	d.mu.RUnlock()
	if f == nil {
		return nil, false
	}
	now, last := int64(time.Since(d.start)), f.checked.Load()
	return f, now-last < int64(recheck) || !f.checked.CompareAndSwap(last, now)
}

// load returns the file as it is on disk, from memory if it has not changed. While a change is being
// written the old content is served.
func (d *Door) load(name string) *File {
	d.loading.Lock()
	defer d.loading.Unlock()
	d.mu.RLock()
	old := d.files[name]
	d.mu.RUnlock()
	info, err := d.root.Stat(name) // again, because another request may have been before us
	if err != nil {
		return old
	}
	if old != nil && (old.same(info) || settling(info)) {
		d.enqueue(old)
		return old
	}
	f, err := d.read(name)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			d.log.Warn("a static file cannot be read", "file", name, "error", err)
		}
		return old
	}
	if old != nil && old.body != nil && old.identity.etag[0] == f.identity.etag[0] { // touched, not changed
		f.variants.Store(old.variants.Load())
		f.queued.Store(f.variants.Load() != nil)
	}
	d.put(name, f)
	d.enqueue(f)
	return f
}

func (f *File) same(info fs.FileInfo) bool {
	return !f.reread && f.info.Size() == info.Size() && f.info.ModTime().Equal(info.ModTime())
}

// settling says that the file changed a moment ago. A time in the future says nothing.
func settling(info fs.FileInfo) bool {
	age := time.Since(info.ModTime())
	return age >= 0 && age < settle
}

// forget removes what is no longer on disk from memory.
func (d *Door) forget(name string) {
	d.mu.RLock()
	known := d.files[name] != nil
	d.mu.RUnlock()
	if known {
		d.put(name, nil)
	}
}

// Reread forgets files that have changed, so that the next request for one reads it without waiting for further changes.
func (d *Door) Reread(names ...string) {
	for _, name := range names {
		d.forget(name)
	}
}

// Page says whether f is an HTML page.
func (f *File) Page() bool {
	return len(f.contentType) > 0 && strings.HasPrefix(f.contentType[0], "text/html")
}

// put keeps f under name in memory, or nothing when f is nil.
func (d *Door) put(name string, f *File) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.files[name]; old != nil {
		d.held -= old.weight()
		delete(d.files, name)
	}
	if f != nil {
		d.held += f.weight()
		f.checked.Store(int64(time.Since(d.start)))
		d.files[name] = f
	}
}

func (f *File) weight() int64 {
	n := int64(len(f.body))
	if vs := f.variants.Load(); vs != nil {
		for _, v := range *vs {
			n += int64(len(v.body))
		}
	}
	return n
}

// read makes a File of what is on disk now.
func (d *Door) read(name string) (*File, error) {
	src, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer src.Close() //nolint:errcheck // it was only read
	info, err := src.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f := &File{root: d.root, name: name, info: info, reread: settling(info), cacheControl: []string{"no-cache"}}
	f.shrinks = compressible(contentType(name, nil))
	if fits := d.fits(f); fits || d.moves(f) {
		if f.body, err = io.ReadAll(io.LimitReader(src, info.Size()+1)); err != nil {
			return nil, err
		}
		if after, err := src.Stat(); err != nil || int64(len(f.body)) != info.Size() || !after.ModTime().Equal(info.ModTime()) {
			f.reread = true // it changes under our eyes; the next look will tell
		}
		if changed := d.redirectScripts(f); !changed && !fits {
			f.body = nil
		}
	}
	f.describe()
	return f, nil
}

// moved is a script that pages of old times load from elsewhere.
type moved struct {
	from  *regexp.Regexp
	to    string
	popup bool // it is the one of Stripe
}

// movedTo lists what has a place here. Wire: skygear §5.4, stripe §7.4.
func movedTo(popup, client string) (all []moved) {
	if popup != "" {
		all = append(all, moved{regexp.MustCompile(`(?:https?:)?//checkout\.stripe\.com/(?:v[23]/)?checkout\.js`), popup, true})
	}
	if client != "" {
		all = append(all, moved{regexp.MustCompile(`(?:https?:)?//code\.skygear\.io/js/skygear/[\w.-]+/skygear(?:\.min)?\.js`), client, false})
	}
	return all
}

// moves says whether a file may have to change, and so must be in memory, whatever room there is: it is a page.
func (d *Door) moves(f *File) bool {
	return len(d.moved) > 0 && f.info.Size() <= maxShrinkable && strings.HasPrefix(contentType(f.name, nil), "text/html")
}

// redirectScripts lets a page load from us what has moved, and says whether it does. With the sandbox's keys the popup of
// Stripe could only ask real shoppers for real cards, and who owns Skygear's address one day could put anything into a shop.
func (d *Door) redirectScripts(f *File) (changed bool) {
	if !d.moves(f) {
		return false
	}
	for _, m := range d.moved {
		if m.from.Match(f.body) {
			f.body, f.popup, changed = m.from.ReplaceAllLiteral(f.body, []byte(m.to)), f.popup || m.popup, true
			d.log.Info("a page of old times loads a script from this server", "file", f.name, "script", m.to)
		}
	}
	return changed
}

// fits says whether the file is kept in memory.
func (d *Door) fits(f *File) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	size := f.info.Size()
	if d.light {
		return false
	}
	return size <= maxPlain && d.held+size <= maxHeld || f.shrinks && size <= maxShrinkable && d.held+size <= maxHeld
}

// describe fills the header values.
func (f *File) describe() {
	ct := contentType(f.name, f.body[:min(512, len(f.body))])
	f.shrinks = compressible(ct)
	f.contentType = []string{ct}
	f.lastModified = []string{f.info.ModTime().UTC().Format(http.TimeFormat)}
	if hashed(f.name) {
		f.cacheControl = []string{"public, max-age=31536000, immutable"}
	}
	if f.body == nil {
		f.identity.etag = []string{diskTag(f.info)}
		return
	}
	sum := sha256.Sum256(f.body)
	f.identity = newVariant(f.body, hex.EncodeToString(sum[:12]), "")
}

// diskTag is the entity tag of a file too large to hash.
func diskTag(info fs.FileInfo) string {
	return `"` + strconv.FormatInt(info.ModTime().UnixNano(), 36) + "-" + strconv.FormatInt(info.Size(), 36) + `"`
}
