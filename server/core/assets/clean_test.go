package assets_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/assets"
	"crema/server/core/records"
)

func (r *room) count(t *testing.T, table string) (n int) {
	t.Helper()
	if err := r.db.Get(t.Context(), &n, "SELECT count(*) FROM app."+table); err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *room) receive(t *testing.T, name, body string) error {
	t.Helper()
	_, err := r.Receive(t.Context(), name, "text/plain", strings.NewReader(body))
	return err
}

func (r *room) clean(t *testing.T, after time.Duration) {
	t.Helper()
	r.now = time.Now().Add(after)
	if err := r.Clean(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What a dead server left is removed after a day: half a file on the disk and an object that nobody has.
func TestClean_RemovesWhatUploadsLeft(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	kept, err := r.Put(t.Context(), announce("kept.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.receive(t, kept.Name, "kept"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"incoming/1b4e28ba", "1b/1b4e28ba"} {
		path := filepath.Join(r.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("half"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.db.Exec(t.Context(), "INSERT INTO app._asset_unused (object, since) VALUES ($1, $2), ('2c/gone', $2)", "1b/1b4e28ba", time.Now().UTC()); err != nil {
		t.Fatal(err)
	}
	r.clean(t, 23*time.Hour)
	if r.stored(t) != 3 || r.count(t, "_asset_unused") != 2 {
		t.Errorf("%d files and %d notes are left too early", r.stored(t), r.count(t, "_asset_unused"))
	}
	r.clean(t, 25*time.Hour)
	if r.stored(t) != 1 || r.count(t, "_asset_unused") != 0 || r.count(t, "_asset") != 1 {
		t.Errorf("%d files, %d notes, %d assets are left", r.stored(t), r.count(t, "_asset_unused"), r.count(t, "_asset"))
	}
}

// Announced files that never came go, unless a record counts on them; files that came stay.
func TestClean_RemovesWhatNeverCame(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	awaited, came, never := s.put(t, "awaited.txt"), s.put(t, "came.txt"), s.put(t, "never.txt")
	s.save(t, `[{"_id":"doc/1","file":{"$type":"asset","$name":"`+awaited+`"}}]`)
	if err := s.receive(t, came, "here"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec(t.Context(), "INSERT INTO app._asset (id, content_type, size) VALUES ('of-an-old-server', 'a/b', $1)", 1); err != nil {
		t.Fatal(err)
	}
	s.clean(t, 23*time.Hour)
	if n := s.count(t, "_asset"); n != 4 {
		t.Errorf("%d assets too early", n)
	}
	s.clean(t, 25*time.Hour)
	known, err := s.Describe(t.Context(), []string{awaited, came, never, "of-an-old-server"})
	if _, there := known[never]; err != nil || len(known) != 3 || there {
		t.Errorf("left are %v, %v", known, err)
	}
	if err := s.receive(t, awaited, "late"); err != nil {
		t.Errorf("the bytes come after all: %v", err)
	}
}

// Who reads a file while it is replaced still gets all of it; its bytes go a day later.
func TestReceive_AReplacedFileGoesADayLater(t *testing.T) {
	t.Parallel()
	r := newRoom(t, func(c *assets.Config) { c.Public = true })
	a, err := r.Put(t.Context(), announce("a.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.receive(t, a.Name, "first"); err != nil {
		t.Fatal(err)
	}
	open, err := r.Open(t.Context(), a.Name, assets.Proof{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	if err := r.receive(t, a.Name, "by a client"); !fault.Is(err, "assets.finished") {
		t.Errorf("a client: %v", err)
	}
	operator := acl.WithActor(t.Context(), acl.Actor{Key: acl.MasterKey})
	if _, err := r.Receive(operator, a.Name, "text/plain", strings.NewReader("second")); err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(open); string(body) != "first" || err != nil {
		t.Errorf("read %q, %v", body, err)
	}
	if r.stored(t) != 2 || r.count(t, "_asset_unused") != 1 {
		t.Errorf("%d files, %d notes", r.stored(t), r.count(t, "_asset_unused"))
	}
	r.clean(t, 25*time.Hour)
	again, err := r.Open(t.Context(), a.Name, assets.Proof{})
	if err != nil || r.stored(t) != 1 {
		t.Fatalf("%d files, %v", r.stored(t), err)
	}
	defer func() { _ = again.Close() }()
	if body, _ := io.ReadAll(again); string(body) != "second" {
		t.Errorf("read %q", body)
	}
}

// An upload that ends after the cleaner gave it up is refused instead of pointing at nothing.
func TestReceive_GivenUpMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRoom(t, nil)
	a, err := r.Put(t.Context(), announce("a.txt"))
	if err != nil {
		t.Fatal(err)
	}
	body := readerFunc(func() {
		if _, err := r.db.Exec(t.Context(), "DELETE FROM app._asset_unused"); err != nil {
			t.Error(err)
		}
	})
	if _, err := r.Receive(t.Context(), a.Name, "text/plain", io.MultiReader(strings.NewReader("x"), body)); !fault.HasCode(err, fault.Duplicate) {
		t.Errorf("got %v", err)
	}
	if r.stored(t) != 0 {
		t.Errorf("%d files", r.stored(t))
	}
	if err := r.receive(t, a.Name, "there"); err != nil {
		t.Fatal(err)
	}
	operator := acl.WithActor(t.Context(), acl.Actor{Key: acl.MasterKey})
	if _, err := r.Receive(operator, a.Name, "text/plain", io.MultiReader(strings.NewReader("x"), body)); !fault.HasCode(err, fault.Duplicate) {
		t.Errorf("a replacement: %v", err)
	}
	if r.stored(t) != 1 || r.count(t, "_asset_unused") != 0 {
		t.Errorf("%d files, %d notes: what was not replaced must stay", r.stored(t), r.count(t, "_asset_unused"))
	}
}

// readerFunc does something at the end of a file.
type readerFunc func()

func (f readerFunc) Read([]byte) (int, error) { f(); return 0, io.EOF }

var _ records.Assets = (*assets.Service)(nil)
