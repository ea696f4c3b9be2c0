package assets

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"time"

	"crema/server/base/fault"
)

// Content is an asset's bytes, to be closed by who opened it.
type Content struct {
	io.ReadSeekCloser
	Filename    string // without folders
	ContentType string // as it was announced; may be nonsense in an old database
	Object      string // changes with the bytes; "" where only StoredAt does
	StoredAt    time.Time
	Until       time.Time // when the URL expires; zero in a public store
}

// Open returns the bytes of an asset for whoever shows a valid URL. Reasons: those of a bad proof,
// assets.unknown, and assets.no_bytes while they have not come. Wire: skygear §2.9.
func (s *Service) Open(ctx context.Context, name string, p Proof) (*Content, error) {
	name = CleanName(name)
	c := &Content{Filename: path.Base(name)}
	if !s.c.Public {
		until, err := s.check(name, p)
		if err != nil {
			return nil, err
		}
		c.Until = until
	}
	r, err := s.find(ctx, name)
	if err != nil {
		return nil, err
	}
	c.ContentType, c.Object = r.ContentType, r.Object
	key := r.Object
	if key == "" {
		key = name
	}
	if !r.Awaited {
		c.ReadSeekCloser, c.StoredAt, err = s.c.Store.Open(ctx, key)
	}
	if r.Awaited || errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotFound, "assets.no_bytes", "the bytes of this file have not come yet, or are gone")
	}
	return c, err
}
