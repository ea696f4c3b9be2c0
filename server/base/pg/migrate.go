package pg

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"crema/server/base/fault"
)

// migrateLock is the key of the transaction-level lock that makes servers migrate one after another.
const migrateLock = 0x6372656d61 // "crema"

// Migrate brings the schema up to date with the files in dir (goose format, token "app." for the
// schema). Servers that start together wait for each other. It returns how many files were applied.
func (db *DB) Migrate(ctx context.Context, dir fs.FS, log *slog.Logger) (int, error) {
	applied := 0
	err := db.Tx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := LockMigrations(ctx, tx); err != nil {
			return err
		}
		// On other connections of the pool: goose wants a transaction for each file.
		n, err := db.migrate(ctx, dir, log)
		applied = n
		return err
	})
	return applied, err
}

// Version returns the migration that the schema has and the newest one in dir, and changes nothing. A
// schema that does not exist has 0.
func (db *DB) Version(ctx context.Context, dir fs.FS) (have, newest int64, err error) {
	names, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return 0, 0, fault.From(err)
	}
	for _, name := range names {
		n, err := goose.NumericComponent(name)
		if err != nil {
			return 0, 0, fault.Wrap(err, fault.Internal, "pg.migrate", "the migrations cannot be read")
		}
		newest = max(newest, n)
	}
	if known, err := db.HasHistory(ctx, db); err != nil || !known {
		return 0, newest, err
	}
	err = db.Get(ctx, &have, "SELECT coalesce(max(version_id), 0) FROM app._migration WHERE is_applied")
	return have, newest, err
}

// About is what an operator may want to know of a database.
type About struct {
	Server  string `db:"server"`  // version of PostgreSQL
	PostGIS bool   `db:"postgis"` // installed, or there to be installed
	Bytes   int64  `db:"bytes"`
}

// About asks the database about itself.
func (db *DB) About(ctx context.Context) (a About, err error) {
	err = db.Get(ctx, &a, `SELECT current_setting('server_version') AS server, pg_database_size(current_database()) AS bytes,
		EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis') AS postgis`)
	return a, err
}

func (db *DB) migrate(ctx context.Context, dir fs.FS, log *slog.Logger) (int, error) {
	if _, err := db.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+db.schema.SQL()); err != nil {
		return 0, err
	}
	store, err := database.NewStore(database.DialectPostgres, string(db.schema)+"._migration")
	if err != nil {
		return 0, Fault(err)
	}
	p, err := goose.NewProvider("", db.pool.DB, boundFS{dir, db.binder},
		goose.WithStore(store), goose.WithDisableGlobalRegistry(true), goose.WithSlog(log))
	if err != nil {
		return 0, fault.Wrap(err, fault.Internal, "pg.migrate", "the migrations cannot be read")
	}
	results, err := p.Up(ctx)
	if err != nil {
		return len(results), migrateFault(err)
	}
	return len(results), nil
}

func migrateFault(err error) error {
	var partial *goose.PartialError
	if errors.As(err, &partial) && partial.Failed != nil {
		return fault.Wrap(err, fault.Internal, "pg.migrate", "migration %s failed", partial.Failed.Source.Path)
	}
	return Fault(err)
}

// boundFS shows migration files with the app's schema filled in.
type boundFS struct {
	fs.FS
	binder *binder
}

// Open implements fs.FS.
func (b boundFS) Open(name string) (fs.File, error) {
	f, err := b.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return f, err
	}
	defer func() { _ = f.Close() }()
	text, err := fs.ReadFile(b.FS, name)
	if err != nil {
		return nil, err
	}
	text = []byte(b.binder.replace(string(text)))
	return &boundFile{Reader: bytes.NewReader(text), info: boundInfo{info, int64(len(text))}}, nil
}

// Glob implements fs.GlobFS, which the embedded FS would otherwise hide.
func (b boundFS) Glob(pattern string) ([]string, error) { return fs.Glob(b.FS, pattern) }

type boundFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *boundFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *boundFile) Close() error               { return nil }

type boundInfo struct {
	fs.FileInfo
	size int64
}

func (i boundInfo) Size() int64 { return i.size }
