package pg

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/lib/pq"

	"crema/server/base/fault"
)

// Detail is what PostgreSQL says about a failed statement.
type Detail struct {
	SQLState   string // five characters
	Message    string // in PostgreSQL's words, for operators
	Constraint string
	Column     string
	Table      string
}

// State returns PostgreSQL's own facts about err; the zero Detail when it did not come from there.
func State(err error) Detail {
	var e *pq.Error
	if !errors.As(err, &e) {
		return Detail{}
	}
	return Detail{SQLState: string(e.Code), Message: e.Message, Constraint: e.Constraint, Column: e.Column, Table: e.Table}
}

// Fault turns an error of the driver into a fault; faults and nil pass as they are.
func Fault(err error) error {
	if err == nil {
		return nil
	}
	return faultOf(err)
}

// faultOf is apart because what it declares is allocated even when there is no error.
func faultOf(err error) error {
	var f *fault.Error
	var e *pq.Error
	switch {
	case errors.As(err, &f):
		return err
	case errors.Is(err, sql.ErrNoRows):
		return fault.Wrap(err, fault.NotFound, "pg.no_rows", "there is no such row")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault.From(err)
	case errors.As(err, &e):
		return ofServer(e)
	case isNetwork(err):
		return fault.Wrap(err, fault.DatabaseUnavailable, "pg.unavailable", "the database cannot be reached")
	}
	return fault.Wrap(err, fault.Internal, "pg.error", "an unexpected database error occurred")
}

// byState maps SQLSTATEs, and classes of them by their first two characters.
var byState = map[string]struct {
	code    fault.Code
	reason  string
	message string
}{
	"23505": {fault.Duplicate, "pg.unique", "this already exists"},
	"23503": {fault.Constraint, "pg.foreign_key", "something refers to this, or this refers to something that does not exist"},
	"23502": {fault.Invalid, "pg.not_null", "a value is missing"},
	"23514": {fault.Invalid, "pg.check", "a value is outside its bounds"},
	"42P01": {fault.Internal, "pg.undefined_table", "an unexpected database error occurred"},
	"42703": {fault.Internal, "pg.undefined_column", "an unexpected database error occurred"},
	"42501": {fault.NotConfigured, "pg.privilege", "the database user lacks a privilege"},
	"57014": {fault.Timeout, "pg.canceled", "the statement took too long"},
	"22":    {fault.Invalid, "pg.bad_value", "a value does not fit its column"},
	"40":    {fault.Unavailable, "pg.conflict", "another change came first; try again"},
	"53":    {fault.DatabaseUnavailable, "pg.unavailable", "the database has no room for more work"},
	"57":    {fault.DatabaseUnavailable, "pg.unavailable", "the database is restarting"},
	"08":    {fault.DatabaseUnavailable, "pg.unavailable", "the database cannot be reached"},
}

func ofServer(e *pq.Error) error {
	code := string(e.Code)
	m, ok := byState[code]
	if !ok && len(code) == 5 {
		m, ok = byState[code[:2]]
	}
	if !ok {
		return fault.Wrap(e, fault.Internal, "pg.error", "an unexpected database error occurred")
	}
	return fault.Wrap(e, m.code, m.reason, "%s", m.message)
}

// isOldPlan says that a prepared statement would now return columns of other types. The code alone is
// used for much else.
func isOldPlan(err error) bool {
	if err == nil {
		return false
	}
	var e *pq.Error
	return errors.As(err, &e) && e.Code == "0A000" && e.Routine == "RevalidateCachedQuery"
}

func isNetwork(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}
