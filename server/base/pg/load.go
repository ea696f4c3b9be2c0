package pg

import (
	"context"
	"database/sql/driver"

	"github.com/jmoiron/sqlx"

	"crema/server/base/fault"
)

// Load is a transaction that takes over what somebody else's program wrote down: its statements are used
// as they are, the token included, and rows come in PostgreSQL's own text format.
type Load struct {
	*Tx
	conn *sqlx.Conn
}

// Load runs fn in one transaction on a connection of its own, which is closed afterwards: the statements
// may change its settings. It is not run again after a conflict.
func (db *DB) Load(ctx context.Context, fn func(context.Context, *Load) error) error {
	conn, err := db.pool.Connx(ctx)
	if err != nil {
		return Fault(err)
	}
	defer func() {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // not back into the pool
		_ = conn.Close()
	}()
	sqltx, err := conn.BeginTxx(ctx, nil)
	if err != nil {
		return Fault(err)
	}
	defer func() { _ = sqltx.Rollback() }() // after a commit this does nothing
	l := &Load{Tx: &Tx{tx: sqltx, binder: db.binder}, conn: conn}
	if err := fn(ctx, l); err != nil {
		return err
	}
	if err := sqltx.Commit(); err != nil {
		return Fault(err)
	}
	for _, f := range l.after {
		f()
	}
	return nil
}

// Run runs statements as they are.
func (l *Load) Run(ctx context.Context, statements string) error {
	_, err := l.tx.ExecContext(ctx, statements)
	return Fault(err)
}

// Copy runs a statement COPY ... FROM stdin with the lines that next returns, without their ends, until
// it says that there are no more. It returns the number of rows.
func (l *Load) Copy(ctx context.Context, statement string, next func() (line string, more bool, err error)) (rows int64, err error) {
	err = l.conn.Raw(func(c any) error {
		preparer, ok := c.(driver.ConnPrepareContext)
		if !ok {
			return fault.New(fault.Internal, "pg.copy", "the driver does not copy")
		}
		stmt, err := preparer.PrepareContext(ctx, statement)
		if err != nil {
			return Fault(err)
		}
		rows, err = feed(ctx, stmt, next)
		return err
	})
	return rows, err
}

// feed ends the copying in every case: nothing else can use the connection before.
func feed(ctx context.Context, stmt driver.Stmt, next func() (string, bool, error)) (int64, error) {
	defer func() { _ = stmt.Close() }()
	in, ok := stmt.(interface {
		CopyData(ctx context.Context, line string) (driver.Result, error)
	})
	if !ok {
		return 0, fault.New(fault.Internal, "pg.copy", "this is not a COPY ... FROM stdin")
	}
	for still := context.WithoutCancel(ctx); ; { // the driver would start a goroutine for every line
		line, more, err := next()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		if _, err := in.CopyData(still, line); err != nil {
			return 0, Fault(err)
		}
	}
	end, err := stmt.Exec(nil) //lint:ignore SA1019 how the driver is told that it was the last line
	if err != nil {
		return 0, Fault(err)
	}
	n, err := end.RowsAffected()
	return n, Fault(err)
}
