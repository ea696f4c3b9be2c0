package assets

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"crema/server/base/fault"
)

// Collected says what Collect has found.
type Collected struct {
	Copied  int
	There   int      // were in the store already
	Missing []string // names of assets that the folder does not hold
}

// Collect brings the bytes of assets of an old database into the store: in folder they have the names of
// the assets, as Skygear kept them. Called again it goes on where it has stopped. It fails with
// assets.unreadable.
func (s *Service) Collect(ctx context.Context, folder fs.FS) (Collected, error) {
	var c Collected
	for last := ""; ; {
		var names []string
		if err := s.c.DB.Select(ctx, &names, selectOld, last); err != nil || len(names) == 0 {
			return c, err
		}
		for _, name := range names {
			if err := s.collect(ctx, folder, name, &c); err != nil {
				return c, err
			}
		}
		last = names[len(names)-1]
	}
}

func (s *Service) collect(ctx context.Context, folder fs.FS, name string, c *Collected) error {
	// Skygear's names never lead out of its folder; others are of no use.
	if !fs.ValidPath(name) || CleanName(name) != name {
		c.Missing = append(c.Missing, name)
		return nil
	}
	f, err := folder.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		c.Missing = append(c.Missing, name)
		return nil
	}
	if err != nil {
		return unreadable(err, name)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return unreadable(err, name)
	case !info.Mode().IsRegular():
		c.Missing = append(c.Missing, name)
		return nil
	}
	if size, ok := s.stored(ctx, name); ok && size == info.Size() {
		c.There++
		return nil
	}
	if _, err = s.c.Store.Write(ctx, name, f); err != nil {
		return fault.Wrap(err, fault.Unavailable, "assets.not_copied", "file %s cannot be copied into the store", name)
	}
	c.Copied++
	return nil
}

// stored returns the size of what is in the store under name.
func (s *Service) stored(ctx context.Context, name string) (int64, bool) {
	content, _, err := s.c.Store.Open(ctx, name)
	if err != nil {
		return 0, false
	}
	defer func() { _ = content.Close() }()
	size, err := content.Seek(0, io.SeekEnd)
	return size, err == nil
}

func unreadable(err error, name string) error {
	return fault.Wrap(err, fault.BadRequest, "assets.unreadable", "file %s of the folder of assets cannot be read", name)
}
