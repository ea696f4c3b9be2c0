package assets

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/records"
)

// Store keeps objects under keys, each written once. It is safe for concurrent use.
type Store interface {
	// Write stores all of r and returns its size. What it has stored is durable; when r or the store
	// fails, nothing can be opened under key. An error of r comes back inside the error.
	Write(ctx context.Context, key string, r io.Reader) (size int64, err error)
	// Open returns an object and when it was stored. One that is not there is fs.ErrNotExist.
	Open(ctx context.Context, key string) (io.ReadSeekCloser, time.Time, error)
	// Remove removes an object, or what an unfinished Write left of it. It may be gone already.
	Remove(ctx context.Context, key string) error
}

// Config is what a Service needs.
type Config struct {
	DB        *pg.DB
	Store     Store
	Secret    string           // signs URLs
	URLPrefix func() string    // where the files are reached, without a slash at its end
	Public    bool             // URLs need no signature
	MaxSize   int64            // of a file, bytes
	Log       *slog.Logger     // nil: the default logger
	Now       func() time.Time // nil: time.Now
}

// Service keeps the files of one app. It is safe for concurrent use.
type Service struct {
	c       Config
	cleaner cleaner
}

// New returns a Service.
func New(c Config) *Service {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{c: c}
}

// MaxSize is the largest file that is taken, in bytes.
func (s *Service) MaxSize() int64 { return s.c.MaxSize }

// Asset is a file as clients see it.
type Asset struct {
	Name        string
	ContentType string
	URL         string // signed for Lifetime, unless the store is public
}

// MarshalJSON writes the typed value of the wire. Wire: skygear §3.2.
func (a Asset) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Type        string `json:"$type"`
		Name        string `json:"$name"`
		ContentType string `json:"$content_type,omitempty"`
		URL         string `json:"$url,omitempty"`
	}{"asset", a.Name, a.ContentType, a.URL})
}

// asset is the Asset for a row.
func (s *Service) asset(name, contentType string) Asset {
	return Asset{Name: name, ContentType: contentType, URL: s.url(name)}
}

// Announcement says which file is going to come.
type Announcement struct {
	Filename    string // what the client calls it; may have folders
	ContentType string
	Size        int64 // bytes, as far as the client knows
}

// Put makes an asset whose bytes are still to come, with a name of its own. Records may refer to it from
// now on; if nothing comes and no record refers to it, it is removed after a day. Reasons:
// assets.bad_name, assets.bad_content_type, assets.bad_size, assets.too_large.
func (s *Service) Put(ctx context.Context, a Announcement) (Asset, error) {
	name, err := newName(a.Filename)
	if err != nil {
		return Asset{}, err
	}
	if err := checkContentType(a.ContentType); err != nil {
		return Asset{}, err
	}
	if a.Size < 0 {
		return Asset{}, fault.Argument("assets.bad_size", "content-size", "content-size must be the number of bytes of the file, from 0")
	}
	if err := s.Fits(a.Size); err != nil {
		return Asset{}, err
	}
	_, err = s.c.DB.Exec(ctx, insertAwaited, name, a.ContentType, a.Size, s.now())
	return s.asset(name, a.ContentType), err
}

// Fits refuses a file of this many bytes that is larger than MaxSize: assets.too_large.
func (s *Service) Fits(size int64) error {
	if size <= s.c.MaxSize {
		return nil
	}
	return fault.New(fault.AssetTooLarge, "assets.too_large", "the file is larger than %d bytes, which is what this server takes", s.c.MaxSize).
		With("max_bytes", s.c.MaxSize)
}

func (s *Service) now() time.Time { return s.c.Now().UTC().Truncate(time.Microsecond) }

// Describe implements records.Assets in one statement.
func (s *Service) Describe(ctx context.Context, names []string) (map[string]records.Asset, error) {
	found := make(map[string]records.Asset, len(names))
	err := s.c.DB.Each(ctx, selectTypes, []any{pg.Array(names)}, func(row pg.Row) error {
		var a records.Asset
		err := row.Scan(&a.Name, &a.ContentType)
		a.URL = s.url(a.Name)
		found[a.Name] = a
		return err
	})
	return found, err
}
