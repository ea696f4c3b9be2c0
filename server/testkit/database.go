package testkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"crema/migrations"
	"crema/server/base/cluster"
	"crema/server/base/fault"
	"crema/server/base/pg"
)

// Schema is the app schema of test databases.
const Schema = "app_test"

// server is the PostgreSQL that all tests of this process share.
var server = sync.OnceValues(findServer)

// template is the name of the migrated database that others are copied from.
var template = sync.OnceValues(makeTemplate)

// making is held while a template is made.
var making sync.Mutex

// DB returns a migrated database of the test's own. It is dropped when the test ends.
func DB(t testing.TB) *pg.DB {
	t.Helper()
	db, err := pg.Open(t.Context(), pg.Config{URL: DatabaseURL(t), Schema: Schema, MaxConns: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// DatabaseURL makes a migrated database of the test's own and returns its URL, for a server that is
// started as a process.
func DatabaseURL(t testing.TB) string {
	t.Helper()
	name, err := template()
	if err != nil {
		t.Fatal(err)
	}
	return create(t, " TEMPLATE "+name)
}

// CopyURL makes a copy of a database that fill makes when the first test asks for key, and returns its
// URL. The key must change with what fill does. It is for what takes too long to be made for every test.
func CopyURL(t testing.TB, key string, fill func(ctx context.Context, url string) error) string {
	t.Helper()
	sum := sha256.Sum256([]byte(key))
	name := "template_" + hex.EncodeToString(sum[:8])
	if err := ensureTemplate(name, fill); err != nil {
		t.Fatal(err)
	}
	return create(t, " TEMPLATE "+name)
}

// EmptyDatabaseURL makes a database without any table and returns its URL.
func EmptyDatabaseURL(t testing.TB) string {
	t.Helper()
	return create(t, "")
}

func create(t testing.TB, options string) string {
	t.Helper()
	name := "t_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := administer(func(ctx context.Context, db *pg.DB) error {
		_, err := db.Exec(ctx, "CREATE DATABASE "+name+options)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := administer(func(ctx context.Context, db *pg.DB) error {
			_, err := db.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
			return err
		}); err != nil {
			t.Error(err)
		}
	})
	u, err := server()
	if err != nil {
		t.Fatal(err)
	}
	return named(u, name)
}

// findServer uses CREMA_TEST_DATABASE_URL, which `make test` sets, or starts a cluster that ends with
// the process.
func findServer() (string, error) {
	if u := os.Getenv("CREMA_TEST_DATABASE_URL"); u != "" {
		return u, nil
	}
	dir, err := scratch("cluster")
	if err != nil {
		return "", err
	}
	c, err := cluster.Start(context.Background(), cluster.Config{Dir: dir, Fast: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	return c.URL("postgres"), nil
}

// administrator is the connection that makes and drops databases. It stays, since PostgreSQL takes longer to accept
// one than to answer, and ends with the process.
var administrator struct {
	mu sync.Mutex
	db *pg.DB
}

func administer(fn func(context.Context, *pg.DB) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	db, err := administration(ctx)
	if err != nil {
		return err
	}
	return fn(ctx, db)
}

func administration(ctx context.Context) (*pg.DB, error) {
	u, err := server()
	if err != nil {
		return nil, err
	}
	a := &administrator
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.db == nil {
		a.db, err = pg.Open(ctx, pg.Config{URL: u, Schema: "public", MaxConns: 2})
	}
	return a.db, err
}

func makeTemplate() (string, error) {
	name, err := templateName()
	if err != nil {
		return "", err
	}
	return name, ensureTemplate(name, Migrate)
}

// ensureTemplate builds a template under a temporary name and renames it, so that test processes which
// start together never copy a half-made one. Tests of one process make it once.
func ensureTemplate(name string, fill func(ctx context.Context, url string) error) error {
	making.Lock()
	defer making.Unlock()
	return administer(func(ctx context.Context, db *pg.DB) error {
		var known bool
		if err := db.Get(ctx, &known, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name); err != nil || known {
			return err
		}
		draft := "draft_" + strings.ReplaceAll(uuid.NewString(), "-", "")
		if _, err := db.Exec(ctx, "CREATE DATABASE "+draft); err != nil {
			return err
		}
		if err := fill(ctx, named(db.URL(), draft)); err != nil {
			return err
		}
		_, err := db.Exec(ctx, "ALTER DATABASE "+draft+" RENAME TO "+name)
		if state := pg.State(err).SQLState; state == "42P04" || state == "23505" { // another process was quicker, or as quick
			_, err = db.Exec(ctx, "DROP DATABASE "+draft)
		}
		return err
	})
}

// Migrate brings the database at url up to date.
func Migrate(ctx context.Context, url string) error {
	db, err := pg.Open(ctx, pg.Config{URL: url, Schema: Schema, MaxConns: 4})
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Migrate(ctx, migrations.Files, slog.New(slog.DiscardHandler)); err != nil {
		return fmt.Errorf("template: %w", err)
	}
	return nil
}

// templateName changes with the migrations.
func templateName() (string, error) {
	sum := sha256.New()
	files, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		return "", err
	}
	for _, f := range files {
		text, err := fs.ReadFile(migrations.Files, f)
		if err != nil {
			return "", fault.From(err)
		}
		fmt.Fprintf(sum, "%s\n%s\n", f, text)
	}
	return "template_" + hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

func named(raw, database string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	u.Path = "/" + database
	return u.String()
}
