package assets_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/core/assets"
	"crema/server/core/assets/disk"
	"crema/server/testkit"
)

// room is the assets room on a disk and a database of the test's own.
type room struct {
	*assets.Service
	db  *pg.DB
	dir string
	now time.Time // moved by tests; zero: the real time
}

func newRoom(t *testing.T, change func(*assets.Config)) *room {
	t.Helper()
	r := &room{db: testkit.DB(t), dir: filepath.Join(t.TempDir(), "files")}
	store := disk.New(r.dir)
	t.Cleanup(func() { _ = store.Close() })
	c := assets.Config{
		DB: r.db, Store: store, Secret: "s", URLPrefix: func() string { return "http://shop/files" }, MaxSize: 1 << 20,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time {
			if r.now.IsZero() {
				return time.Now()
			}
			return r.now
		},
	}
	if change != nil {
		change(&c)
	}
	r.Service = assets.New(c)
	return r
}

// stored counts the files on the disk.
func (r *room) stored(t *testing.T) (n int) {
	t.Helper()
	err := filepath.WalkDir(r.dir, func(_ string, e os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if err == nil && !e.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func announce(filename string) assets.Announcement {
	return assets.Announcement{Filename: filename, ContentType: "text/plain", Size: 1}
}
