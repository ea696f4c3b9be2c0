package schema

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"crema/server/base/pg"
	"crema/server/core/acl"
)

const selectVersion = `SELECT version FROM app._schema_version`

const lockVersion = `SELECT version FROM app._schema_version FOR UPDATE`

const raiseVersion = `
	WITH raised AS (UPDATE app._schema_version SET version = version + 1 RETURNING version)
	SELECT pg_notify($1, version::text) FROM raised`

const selectGeoSchema = `
	SELECT n.nspname FROM pg_catalog.pg_extension e
	  JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
	 WHERE e.extname = 'postgis'`

const selectGeoAvailable = `SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'postgis')`

const createGeo = `CREATE EXTENSION IF NOT EXISTS postgis WITH SCHEMA public`

// selectColumns lists every column of every table that may hold records.
const selectColumns = `
	SELECT c.relname AS "table", a.attname AS name, t.typname AS type,
	       format_type(a.atttypid, a.atttypmod) AS formatted,
	       coalesce((SELECT r.relname FROM pg_catalog.pg_constraint f
	                   JOIN pg_catalog.pg_class r ON r.oid = f.confrelid
	                  WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum]
	                  ORDER BY f.conname LIMIT 1), '') AS target,
	       coalesce((SELECT quote_ident(n.nspname) || '.' || quote_ident(s.relname)
	                   FROM pg_catalog.pg_depend d
	                   JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
	                  WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid
	                    AND d.refobjsubid = a.attnum AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'a'
	                  LIMIT 1), '') AS sequence,
	       a.atthasdef OR a.attgenerated <> '' OR a.attidentity <> '' OR EXISTS (
	         SELECT FROM pg_catalog.pg_trigger g
	          WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgtype & 2 <> 0) AS fills
	  FROM pg_catalog.pg_class c
	  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
	 WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND left(c.relname, 1) <> '_'
	 ORDER BY c.relname, a.attname COLLATE "C"`

const selectCreation = `SELECT record_type, role_id FROM app._record_creation WHERE role_id IS NOT NULL ORDER BY 1, 2`

const selectSealed = `SELECT record_type FROM app._schema_kept WHERE record_field = '*'`

const selectDefaults = `SELECT record_type, default_access FROM app._record_default_access
	 WHERE default_access IS NOT NULL`

const selectFieldAccess = `
	SELECT record_type, record_field, user_role, coalesce(writable, false), coalesce(readable, false),
	       coalesce(comparable, false), coalesce(discoverable, false)
	  FROM app._record_field_access`

// selectKept says whether the server itself works with a field: it is listed, or people log in by it.
const selectKept = `
	SELECT EXISTS (SELECT FROM app._schema_kept WHERE record_type = $2 AND record_field = $3)
	    OR EXISTS (SELECT FROM pg_catalog.pg_constraint k
	                 JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
	                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	                 JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
	                WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3
	                  AND k.conname LIKE 'auth\_record\_keys\_%')`

// selectForeignKeys lists the constraints that bind one column of a table to another table.
const selectForeignKeys = `
	SELECT f.conname FROM pg_catalog.pg_constraint f
	  JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
	  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND f.conkey = ARRAY[a.attnum]
	 WHERE f.contype = 'f' AND n.nspname = $1 AND c.relname = $2 AND a.attname = $3`

// moveRules lets the rules of a field follow it, unless its new name has rules already.
const moveRules = `
	UPDATE app._record_field_access SET record_field = $3
	 WHERE record_type = $1 AND record_field = $2 AND NOT EXISTS (
	   SELECT FROM app._record_field_access WHERE record_type = $1 AND record_field = $3)`

const (
	deleteCreation = `DELETE FROM app._record_creation WHERE record_type = $1`
	insertRoles    = `INSERT INTO app._role (id) SELECT unnest($1::text[]) ON CONFLICT (id) DO NOTHING`
	insertCreation = `INSERT INTO app._record_creation (record_type, role_id) SELECT DISTINCT $1::text, unnest($2::text[])`
	upsertDefault  = `INSERT INTO app._record_default_access (record_type, default_access) VALUES ($1, $2)
	ON CONFLICT (record_type) DO UPDATE SET default_access = excluded.default_access`
	deleteFieldAccess = `DELETE FROM app._record_field_access`
	insertFieldAccess = `INSERT INTO app._record_field_access
	(record_type, record_field, user_role, writable, readable, comparable, discoverable)
	SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::bool[], $6::bool[], $7::bool[])`
)

// catalogColumn is a row of selectColumns.
type catalogColumn struct {
	Table, Name, Type, Formatted, Target, Sequence string

	Fills bool // the database may store something that nobody sent
}

// read returns the picture that q sees. The version is read first: a change in between makes the
// picture newer than its version, which only costs one more reading.
func read(ctx context.Context, q pg.Querier, schema pg.Ident) (*Snapshot, error) {
	s := &Snapshot{types: map[string]*Type{}, Tables: schema.SQL() + "."}
	s.VersionTable = s.Tables + "_schema_version"
	if err := q.Get(ctx, &s.Version, selectVersion); err != nil {
		return nil, err
	}
	geo, err := geoSchema(ctx, q)
	if err != nil {
		return nil, err
	}
	s.GeoPath = geo
	var columns []catalogColumn
	if err := q.Select(ctx, &columns, selectColumns, string(schema)); err != nil {
		return nil, err
	}
	s.addTypes(columns, schema)
	return s, s.readRules(ctx, q)
}

// geoSchema returns the quoted schema of PostGIS with its dot, or "".
func geoSchema(ctx context.Context, q pg.Querier) (string, error) {
	var names []string
	if err := q.Select(ctx, &names, selectGeoSchema); err != nil || len(names) == 0 {
		return "", err
	}
	return pg.Ident(names[0]).SQL() + ".", nil
}

// readRules adds what is stored about types. Rules of a type without a table wait for it.
func (s *Snapshot) readRules(ctx context.Context, q pg.Querier) error {
	var sealed []string
	if err := q.Select(ctx, &sealed, selectSealed); err != nil {
		return err
	}
	for _, name := range sealed {
		if t := s.types[name]; t != nil {
			t.Sealed = true
		}
	}
	err := q.Each(ctx, selectCreation, nil, func(row pg.Row) error {
		var name, role string
		err := row.Scan(&name, &role)
		if t := s.types[name]; t != nil {
			t.CreationRoles = append(t.CreationRoles, role)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = q.Each(ctx, selectDefaults, nil, func(row pg.Row) error {
		var name string
		var raw []byte
		err := row.Scan(&name, &raw)
		if t := s.types[name]; t != nil {
			t.HasDefault, t.DefaultAccess = true, acl.FromColumn(raw)
		}
		return err
	})
	if err != nil {
		return err
	}
	list, err := readFieldRules(ctx, q)
	rules := map[guarded][]acl.FieldRule{}
	for _, r := range list {
		g := guarded{r.Type, r.Field}
		rules[g] = append(rules[g], r.FieldRule)
	}
	s.guard(rules)
	return err
}

// ruleColumns are the arguments of insertFieldAccess.
func ruleColumns(rules []FieldRule) []any {
	var types, fields, viewers []string
	var writable, readable, comparable, discoverable []bool
	for _, r := range rules {
		types, fields, viewers = append(types, r.Type), append(fields, r.Field), append(viewers, r.Viewer)
		writable, readable = append(writable, r.Writable), append(readable, r.Readable)
		comparable, discoverable = append(comparable, r.Comparable), append(discoverable, r.Discoverable)
	}
	return []any{
		pg.Array(types), pg.Array(fields), pg.Array(viewers),
		pg.Array(writable), pg.Array(readable), pg.Array(comparable), pg.Array(discoverable),
	}
}

func readFieldRules(ctx context.Context, q pg.Querier) ([]FieldRule, error) {
	list := []FieldRule{}
	err := q.Each(ctx, selectFieldAccess, nil, func(row pg.Row) error {
		var r FieldRule
		err := row.Scan(&r.Type, &r.Field, &r.Viewer, &r.Writable, &r.Readable, &r.Comparable, &r.Discoverable)
		list = append(list, r)
		return err
	})
	return list, err
}

// createTable returns the statements that make an empty record table.
func createTable(table string) string {
	return "CREATE TABLE " + table + ` (
		_id text UNIQUE, _database_id text, _owner_id text, _access jsonb,
		_created_at timestamp NOT NULL, _created_by text,
		_updated_at timestamp NOT NULL, _updated_by text,
		PRIMARY KEY (_id, _database_id, _owner_id));
	CREATE INDEX ON ` + table + ` (_owner_id);
	CREATE INDEX ON ` + table + ` (_created_at);
	CREATE INDEX ON ` + table + ` USING gin (` + acl.Indexed("") + ` jsonb_path_ops)`
}

// addColumns returns the statement that adds the fields of c to its table.
func (s *Service) addColumns(c Change, geo string) string {
	parts := make([]string, 0, len(c.Fields))
	for _, f := range c.Fields {
		name := pg.Ident(f.Name).SQL()
		part := "ADD COLUMN " + name + " " + columnType(f.Type.Kind, geo)
		if target, column := f.Type.foreign(); target != "" {
			part += ", ADD CONSTRAINT " + pg.Ident(foreignKey(f.Name, target, column)).SQL() +
				" FOREIGN KEY (" + name + ") REFERENCES " + s.table(target) + " (" + pg.Ident(column).SQL() + ")"
		}
		parts = append(parts, part)
	}
	return "ALTER TABLE " + s.table(c.Type) + " " + strings.Join(parts, ", ")
}

// renameColumn returns the statements that give a column of table its new name. A foreign key is named
// after its column, so that errors can tell the field and a new field of the old name can be added.
func renameColumn(table string, c *Column, name string, keys []string) []string {
	alter := "ALTER TABLE " + table
	list := []string{alter + " RENAME COLUMN " + c.SQL + " TO " + pg.Ident(name).SQL()}
	target, column := c.foreign()
	for _, key := range keys {
		if key == foreignKey(c.Name, target, column) {
			list = append(list, alter+" RENAME CONSTRAINT "+pg.Ident(key).SQL()+" TO "+pg.Ident(foreignKey(name, target, column)).SQL())
		}
	}
	return list
}

// foreignKey names a constraint. Wire: skygear §3.4.
func foreignKey(field, target, column string) string {
	return shorten("fk_" + field + "_" + target + "_" + column)
}

func dropColumn(table string, c *Column) string {
	return "ALTER TABLE " + table + " DROP COLUMN " + c.SQL
}

// foreign returns the table and column that values of t point to.
func (c FieldType) foreign() (table, column string) {
	switch c.Kind {
	case Ref:
		return c.Target, "_id"
	case Asset:
		return "_asset", "id"
	}
	return "", ""
}

func columnType(k Kind, geo string) string {
	switch k {
	case Number:
		return "double precision"
	case Integer:
		return "integer"
	case Boolean:
		return "boolean"
	case Datetime:
		return "timestamp"
	case JSON:
		return "jsonb"
	case Sequence:
		return "serial UNIQUE"
	case Location:
		return geo + "geometry(Point)"
	case Geometry:
		return geo + "geometry"
	}
	return "text"
}

// shorten keeps a long name unique where PostgreSQL would cut it.
func shorten(name string) string {
	if len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	cut := maxName - 17
	for !utf8.RuneStart(name[cut]) {
		cut--
	}
	return name[:cut] + "_" + hex.EncodeToString(sum[:8])
}
