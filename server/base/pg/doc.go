// Package pg is the only way to PostgreSQL: pool, transactions, LISTEN, migrations and the one
// place where a driver error becomes a fault.
//
// Statements write the app's schema as the token "app." (app._order); a DB replaces it by its own
// schema and keeps the result prepared. Nothing depends on the state of a session, so several servers
// and a pooler that understands prepared statements can stand between.
//
// Every error is a *fault.Error: pg.no_rows, pg.unique, pg.foreign_key, pg.not_null, pg.check,
// pg.bad_value, pg.undefined_table, pg.undefined_column, pg.privilege, pg.conflict, pg.unavailable
// or pg.error. State tells the SQLSTATE and the constraint.
package pg
