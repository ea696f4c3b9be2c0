package adoption

import (
	"context"
	"strings"

	"crema/server/base/pg"
)

// selectColumns lists what tables and views the schema has. A table without columns does not count.
const selectColumns = `
	SELECT c.relname AS "table", c.relkind NOT IN ('r', 'p') AS view, a.attname AS name, t.typname AS type
	  FROM pg_catalog.pg_class c
	  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
	 ORDER BY c.relname COLLATE "C", a.attnum`

// selectIndexes lists indexes that cover all rows: the columns of unique ones, sorted, and which column
// stands first.
const selectIndexes = `
	SELECT c.relname AS "table", i.indisunique AS is_unique, m.amname || ' ' || f.attname AS first,
	       (SELECT string_agg(a.attname, ' ' ORDER BY a.attname COLLATE "C") FROM pg_catalog.pg_attribute a
	         WHERE a.attrelid = c.oid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])) AS columns
	  FROM pg_catalog.pg_index i
	  JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
	  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
	  JOIN pg_catalog.pg_am m ON m.oid = x.relam
	  JOIN pg_catalog.pg_attribute f ON f.attrelid = c.oid AND f.attnum = i.indkey[0]
	 WHERE n.nspname = $1 AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL`

// selectVersion reads how far Skygear's own migrations had come.
const selectVersion = `SELECT coalesce(max(version_num), '') FROM app._version`

// selectHidden tells where citext is when a statement does not find it by itself, "" when it does.
const selectHidden = `
	SELECT coalesce(max(n.nspname), '') FROM pg_catalog.pg_extension e
	  JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
	  JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname = 'citext'
	 WHERE e.extname = 'citext' AND NOT pg_catalog.pg_type_is_visible(t.oid)`

const showCitext = `ALTER EXTENSION citext SET SCHEMA public`

const dropView = `DROP VIEW app._user`

const countFieldRules = `SELECT count(*) FROM app._record_field_access`

const deleteFieldRules = `DELETE FROM app._record_field_access`

// unhurried lets the transaction take its time, and sort more in memory.
const unhurried = `SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true),
	set_config('idle_in_transaction_session_timeout', '0', true), set_config('maintenance_work_mem', '256MB', true)`

// selectUnwatched lists record types with subscriptions whose table nothing notes the changes of: its
// trigger stayed behind with a function that the dump did not hold.
const selectUnwatched = `
	SELECT c.relname FROM pg_catalog.pg_class c
	  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
	   AND EXISTS (SELECT FROM app._subscription s WHERE s.query ->> 'record_type' = c.relname)
	   AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal
	         AND t.tgname IN ('_note_record_change', 'trigger_notify_record_change'))
	 ORDER BY c.relname COLLATE "C"`

// watch returns the statement that notes the changes of a table.
func watch(schema pg.Ident, name string) string {
	return "CREATE TRIGGER _note_record_change AFTER INSERT OR UPDATE OR DELETE ON " + qualified(schema, name) +
		" FOR EACH ROW EXECUTE FUNCTION " + schema.SQL() + "._note_record_change()"
}

func addColumn(schema pg.Ident, m missing) string {
	return "ALTER TABLE " + qualified(schema, m.table) + " ADD COLUMN " + pg.Ident(m.name).SQL() + " " + m.add
}

func createIndex(schema pg.Ident, name, definition string) string {
	return "CREATE INDEX ON " + qualified(schema, name) + " " + definition
}

func qualified(schema pg.Ident, name string) string { return schema.SQL() + "." + pg.Ident(name).SQL() }

// look reads what the schema holds.
func look(ctx context.Context, q pg.Querier, schema pg.Ident) (picture, error) {
	p := picture{tables: map[string]*found{}}
	var columns []struct {
		Table, Name, Type string
		View              bool
	}
	if err := q.Select(ctx, &columns, selectColumns, string(schema)); err != nil {
		return p, err
	}
	for _, c := range columns {
		if p.tables[c.Table] == nil {
			p.tables[c.Table] = &found{name: c.Table, view: c.View}
		}
		f := p.tables[c.Table]
		f.columns = append(f.columns, foundColumn{c.Name, c.Type})
	}
	var indexes []struct {
		Table, First, Columns string
		IsUnique              bool `db:"is_unique"`
	}
	err := q.Select(ctx, &indexes, selectIndexes, string(schema))
	for _, i := range indexes {
		if f := p.tables[i.Table]; f != nil {
			f.indexed = append(f.indexed, i.First)
			if i.IsUnique {
				f.keys = append(f.keys, i.Columns)
			}
		}
	}
	return p, err
}

// names lists the columns of f.
func (f *found) names() string {
	var list []string
	for _, c := range f.columns {
		list = append(list, c.name)
	}
	return strings.Join(list, " ")
}

// holdsRows says whether a table has a row.
func holdsRows(schema pg.Ident, name string) string {
	return "SELECT EXISTS (SELECT FROM " + qualified(schema, name) + ")"
}

const (
	hasOtherRoles      = `SELECT EXISTS (SELECT FROM app._role WHERE id <> 'Admin' OR by_default OR NOT is_admin)`
	hasOtherFieldRules = `SELECT count(*) <> 4 OR bool_or(record_type <> 'user' OR record_field NOT IN ('username', 'email')) FROM app._record_field_access`
)

// rowsDiffer says whether a table is not the same in two schemas.
func rowsDiffer(one, other pg.Ident, name string) string {
	a, b := "TABLE "+qualified(one, name), "TABLE "+qualified(other, name)
	return "SELECT EXISTS ((" + a + " EXCEPT " + b + ") UNION ALL (" + b + " EXCEPT " + a + "))"
}

// analyze lets the planner know a table before the first query comes.
func analyze(schema pg.Ident, name string) string { return "ANALYZE " + qualified(schema, name) }

const schemaExists = `SELECT to_regnamespace(quote_ident($1)) IS NOT NULL`

func dropSchema(schema pg.Ident) string { return "DROP SCHEMA " + schema.SQL() + " CASCADE" }

func renameSchema(from, to pg.Ident) string {
	return "ALTER SCHEMA " + from.SQL() + " RENAME TO " + to.SQL()
}

// moveCitext moves the type to where a dump, whose words these are, expects it.
func moveCitext(where string) string { return "ALTER EXTENSION citext SET SCHEMA " + where }

// afterRestore forgets how the dump wanted to be read.
const afterRestore = `RESET search_path; RESET check_function_bodies; RESET xmloption; SET standard_conforming_strings = on; SET client_encoding = 'UTF8'`

const (
	countUsers  = `SELECT count(*) FROM app."user"`
	countRoles  = `SELECT count(*) FROM app._role`
	countAssets = `SELECT count(*) FROM app._asset`
)

// selectLogInBy lists the fields of users that log-in relied on. Wire: skygear §3.4.
const selectLogInBy = `
	SELECT string_agg(a.attname, ',' ORDER BY a.attname) FROM pg_catalog.pg_constraint k
	  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
	  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
	 WHERE n.nspname = $1 AND c.relname = 'user' AND k.contype = 'u' AND starts_with(k.conname, 'auth_record_keys_user_')
	 GROUP BY k.conname ORDER BY k.conname DESC`

func countRows(schema pg.Ident, name string) string {
	return "SELECT count(*) FROM " + qualified(schema, name)
}

// count looks at what has come, and lets the planner look at it too.
func (sum *Summary) count(ctx context.Context, q pg.Querier, schema pg.Ident) error {
	for statement, dst := range map[string]any{
		countUsers: &sum.Users, countRoles: &sum.Roles, countAssets: &sum.Assets, selectVersion: &sum.Version,
	} {
		if err := q.Get(ctx, dst, statement); err != nil {
			return err
		}
	}
	if err := q.Select(ctx, &sum.LogInBy, selectLogInBy, string(schema)); err != nil {
		return err
	}
	p, err := look(ctx, q, schema)
	if err != nil {
		return err
	}
	for _, f := range p.sorted() {
		if !f.holdsRecords() {
			continue
		}
		t := TypeCount{Name: f.name}
		if err := q.Get(ctx, &t.Rows, countRows(schema, f.name)); err != nil {
			return err
		}
		sum.Types = append(sum.Types, t)
		if _, err := q.Exec(ctx, analyze(schema, f.name)); err != nil {
			return err
		}
	}
	return nil
}
