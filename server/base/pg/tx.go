package pg

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jmoiron/sqlx"

	"crema/server/base/fault"
)

// Tx is one transaction. It is not safe for concurrent use.
type Tx struct {
	tx     *sqlx.Tx
	binder *binder
	after  []func()
}

// txTries bounds how often a transaction is run again after a deadlock or a serialization failure.
const txTries = 4

// Tx runs fn in one transaction and commits when fn returns nil. After a deadlock or a serialization
// failure fn runs again from the start, so it must not touch anything outside the database.
// When Tx returns nil the changes are durable and the AfterCommit functions have run.
func (db *DB) Tx(ctx context.Context, fn func(context.Context, *Tx) error) error {
	for try := 1; ; try++ {
		err := db.txOnce(ctx, fn)
		if err == nil || try == txTries || !fault.Is(err, "pg.conflict") {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

func (db *DB) txOnce(ctx context.Context, fn func(context.Context, *Tx) error) (err error) {
	sqltx, err := db.pool.BeginTxx(ctx, nil)
	if err != nil {
		return Fault(err)
	}
	defer func() { _ = sqltx.Rollback() }() // after a commit this does nothing
	tx := &Tx{tx: sqltx, binder: db.binder}
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if err := sqltx.Commit(); err != nil {
		return Fault(err)
	}
	for _, f := range tx.after {
		f()
	}
	return nil
}

func pause(ctx context.Context, try int) error {
	t := time.NewTimer(time.Duration(try) * time.Duration(5+rand.IntN(20)) * time.Millisecond)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fault.From(ctx.Err())
	case <-t.C:
		return nil
	}
}

// AfterCommit runs f once the transaction is durable, and never when it is rolled back.
func (tx *Tx) AfterCommit(f func()) { tx.after = append(tx.after, f) }

// Get implements Querier.
func (tx *Tx) Get(ctx context.Context, dst any, q string, args ...any) error {
	return Fault(tx.tx.GetContext(ctx, dst, tx.binder.bind(q), args...))
}

// Select implements Querier.
func (tx *Tx) Select(ctx context.Context, dst any, q string, args ...any) error {
	return Fault(tx.tx.SelectContext(ctx, dst, tx.binder.bind(q), args...))
}

// Exec implements Querier.
func (tx *Tx) Exec(ctx context.Context, q string, args ...any) (int64, error) {
	return affected(tx.tx.ExecContext(ctx, tx.binder.bind(q), args...))
}

// Each implements Querier.
func (tx *Tx) Each(ctx context.Context, q string, args []any, scan func(Row) error) error {
	rows, err := tx.tx.QueryxContext(ctx, tx.binder.bind(q), args...)
	return each(rows, err, scan)
}

// Try runs fn inside a savepoint: its failure undoes only what fn did.
func (tx *Tx) Try(ctx context.Context, fn func(context.Context) error) error {
	if _, err := tx.tx.ExecContext(ctx, "SAVEPOINT try"); err != nil {
		return Fault(err)
	}
	if err := fn(ctx); err != nil {
		if _, rerr := tx.tx.ExecContext(ctx, "ROLLBACK TO SAVEPOINT try"); rerr != nil {
			return Fault(rerr)
		}
		return err
	}
	_, err := tx.tx.ExecContext(ctx, "RELEASE SAVEPOINT try")
	return Fault(err)
}
