package pg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"

	"crema/server/base/fault"
)

// LockMigrations makes servers that want to migrate wait until tx ends.
func LockMigrations(ctx context.Context, tx *Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrateLock))
	return err
}

// HasHistory says whether migrations have run on the app's schema, or have begun to. It reads the catalogue as the statement sees
// it: to_regclass may answer from what the connection knew before it waited for LockMigrations.
func (db *DB) HasHistory(ctx context.Context, q Querier) (known bool, err error) {
	err = q.Get(ctx, &known, `SELECT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = '_migration')`, string(db.schema))
	return known, err
}

// MigrateIn runs all files of dir inside tx, for a schema that has no history: either all of them happen,
// together with what else tx does, or nothing does. LockMigrations comes first. It returns how many there
// were.
func (db *DB) MigrateIn(ctx context.Context, tx *Tx, dir fs.FS) (int, error) {
	store, err := database.NewStore(database.DialectPostgres, string(db.schema)+"._migration")
	if err != nil {
		return 0, Fault(err)
	}
	if err := store.CreateVersionTable(ctx, tx.tx); err != nil {
		return 0, Fault(err)
	}
	if err := store.Insert(ctx, tx.tx, database.InsertRequest{Version: 0}); err != nil {
		return 0, Fault(err)
	}
	names, err := fs.Glob(dir, "*.sql")
	if err != nil {
		return 0, fault.From(err)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(number(a), number(b)) })
	for _, name := range names {
		if err := migrateFile(ctx, tx, store, dir, name); err != nil {
			return 0, fault.Wrap(err, fault.Internal, "pg.migrate", "migration %s failed", path.Base(name))
		}
	}
	return len(names), nil
}

func migrateFile(ctx context.Context, tx *Tx, store database.Store, dir fs.FS, name string) error {
	text, err := upOf(dir, name)
	if err != nil {
		return err
	}
	if _, err := tx.tx.ExecContext(ctx, tx.binder.replace(text)); err != nil {
		return Fault(err)
	}
	return Fault(store.Insert(ctx, tx.tx, database.InsertRequest{Version: number(name)}))
}

// number is the version that a file name starts with, 0 for one that goose would not take.
func number(name string) int64 {
	n, err := goose.NumericComponent(name)
	if err != nil {
		return 0
	}
	return n
}

// upOf reads what a file does on the way up. Its other notes to goose are comments to PostgreSQL, which
// takes several statements at once.
func upOf(dir fs.FS, name string) (string, error) {
	text, err := fs.ReadFile(dir, name)
	if err != nil {
		return "", err
	}
	if bytes.Contains(text, []byte("+goose NO TRANSACTION")) || number(name) == 0 {
		return "", errors.New("it cannot run inside a transaction with others")
	}
	up, _, _ := bytes.Cut(text, []byte("-- +goose Down"))
	return string(up), nil
}
