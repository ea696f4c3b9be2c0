package assets

import (
	"context"
	"errors"
	"io"
	"time"

	"crema/server/base/fault"
	"crema/server/core/acl"
)

// Receive takes the bytes of an asset; they are durable and can be read on return, and when it fails
// nothing can. An asset that is there is replaced with the master key only. A name that nobody announced
// is the start of a new asset's, as old clients expect. What the client says of the content type counts
// only then. Reasons: assets.bad_name, assets.bad_content_type, assets.finished, assets.empty,
// assets.too_large. Wire: skygear §2.9.
func (s *Service) Receive(ctx context.Context, path, contentType string, body io.Reader) (Asset, error) {
	name := CleanName(path)
	if err := checkContentType(contentType); err != nil {
		return Asset{}, err
	}
	replace := acl.FromContext(ctx).Master()
	known, err := s.find(ctx, name)
	switch {
	case fault.Is(err, "assets.unknown"):
		return s.adopt(ctx, name, contentType, body)
	case err != nil:
		return Asset{}, err
	case !known.Awaited && !replace:
		return Asset{}, finished(name)
	}
	err = s.upload(ctx, body, func(key string, size int64) (int64, error) {
		return s.c.DB.Exec(ctx, giveObject, key, name, size, replace, s.now())
	})
	if errors.Is(err, errNotTaken) {
		err = finished(name)
	}
	return s.asset(name, known.ContentType), err
}

func finished(name string) error {
	return fault.New(fault.Duplicate, "assets.finished", "the bytes of %s have come already; announce a new file with asset:put", name)
}

// adopt stores a file that nobody announced.
func (s *Service) adopt(ctx context.Context, path, contentType string, body io.Reader) (Asset, error) {
	name, err := newName(path)
	if err != nil {
		return Asset{}, err
	}
	err = s.upload(ctx, body, func(key string, size int64) (int64, error) {
		return s.c.DB.Exec(ctx, insertGiven, key, name, contentType, size)
	})
	return s.asset(name, contentType), err
}

// row is what is stored about an asset.
type row struct {
	ContentType string `db:"content_type"`
	Object      string // "" where the bytes lie under the asset's name
	Awaited     bool
}

// find reads the row of a clean name. Reason: assets.unknown.
func (s *Service) find(ctx context.Context, name string) (row, error) {
	var r row
	if storable(name) {
		if err := s.c.DB.Get(ctx, &r, selectAsset, name); !fault.Is(err, "pg.no_rows") {
			return r, err
		}
	}
	return r, fault.New(fault.NotFound, "assets.unknown", "there is no such file")
}

// errNotTaken says that an upload was not wanted any more when it was complete.
var errNotTaken = fault.New(fault.Duplicate, "assets.not_taken", "the file was uploaded at the same time by somebody else, or took too long")

// upload stores body as a new object, which take then makes an asset's. Unless one row is touched by
// that, the object is removed.
func (s *Service) upload(ctx context.Context, body io.Reader, take func(key string, size int64) (int64, error)) error {
	key := newKey()
	if _, err := s.c.DB.Exec(ctx, insertUnused, key, s.now()); err != nil {
		return err
	}
	size, err := s.c.Store.Write(ctx, key, &measured{Reader: body, service: s})
	if err != nil {
		s.discard(ctx, key)
		return err
	}
	n, err := take(key, size)
	if err != nil {
		return err // whether it was taken is not known; the cleaner finds out
	}
	if n == 0 {
		s.discard(ctx, key)
		return errNotTaken
	}
	return nil
}

// discardTime bounds how long a refused client waits for its upload to be removed.
const discardTime = 10 * time.Second

// discard removes an object now. What fails is left for the cleaner.
func (s *Service) discard(ctx context.Context, key string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), discardTime)
	defer cancel()
	if err := s.remove(ctx, key); err != nil {
		s.c.Log.WarnContext(ctx, "an upload is removed later", "object", key, "error", err)
	}
}

// measured refuses a file that is empty or too large as soon as that is clear.
type measured struct {
	io.Reader
	service *Service
	size    int64
}

// Read implements io.Reader.
func (m *measured) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.size += int64(n)
	if fits := m.service.Fits(m.size); fits != nil {
		return n, fits
	}
	if m.size == 0 && errors.Is(err, io.EOF) {
		return 0, fault.Argument("assets.empty", "file", "the file is empty")
	}
	return n, err
}
