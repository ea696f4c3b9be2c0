package adoption_test

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"

	"crema/migrations"
	"crema/server/base/pg"
	"crema/server/core/adoption"
	"crema/server/testkit"
)

// oldSchema is where testdata/reference.sql puts the app.
const oldSchema = "app_old"

// old returns a database as Skygear v1 leaves it, changed by more statements.
func old(t *testing.T, more ...string) *pg.DB {
	t.Helper()
	text, err := os.ReadFile("testdata/reference.sql")
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, testkit.CopyURL(t, string(text), func(ctx context.Context, url string) error {
		db, err := pg.Open(ctx, pg.Config{URL: url, Schema: oldSchema, MaxConns: 1})
		if err != nil {
			return err
		}
		defer func() { _ = db.Close() }()
		return load(ctx, db, string(text))
	}), oldSchema)
	run(t, db, more...)
	return db
}

func open(t *testing.T, url, schema string) *pg.DB {
	t.Helper()
	db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: schema, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t *testing.T, db *pg.DB, statements ...string) {
	t.Helper()
	if err := load(t.Context(), db, statements...); err != nil {
		t.Fatal(err)
	}
}

func load(ctx context.Context, db *pg.DB, statements ...string) error {
	return db.Load(ctx, func(ctx context.Context, l *pg.Load) error {
		for _, s := range statements {
			if err := l.Run(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func source(db *pg.DB) adoption.Source {
	return adoption.Source{DB: db, Migrations: migrations.Files, Log: slog.New(slog.DiscardHandler)}
}

// list runs a query that returns one text column.
func list(t *testing.T, db *pg.DB, query string, args ...any) []string {
	t.Helper()
	var all []string
	if err := db.Select(t.Context(), &all, query, args...); err != nil {
		t.Fatal(err)
	}
	return all
}

// contents returns a checksum of the rows of every table, over the columns that it has now.
func contents(t *testing.T, db *pg.DB) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for _, name := range list(t, db, `SELECT c.relname || ' ' || string_agg('t.' || quote_ident(a.attname), ', ' ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') GROUP BY c.relname`, string(db.Schema())) {
		table, columns, _ := strings.Cut(name, " ")
		sums[table] = columns
	}
	return sums
}

// sum adds up the rows of the tables of contents, over its columns.
func sum(t *testing.T, db *pg.DB, columns map[string]string) map[string]string {
	t.Helper()
	sums := map[string]string{}
	for table, c := range columns {
		sums[table] = list(t, db, `SELECT count(*) || ' ' || coalesce(md5(string_agg(ROW(`+c+`)::text, '|' ORDER BY ROW(`+c+`)::text)), '')
			FROM `+db.Schema().SQL()+`."`+table+`" t`)[0]
	}
	return sums
}

// catalogue describes everything in a schema, by a name that does not hold the schema's.
func catalogue(t *testing.T, db *pg.DB) []string {
	t.Helper()
	lines := list(t, db, `
	SELECT 'column ' || c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
	       || a.attidentity::text || a.attgenerated::text || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '')
	  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
	  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
	 WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'v', 'p')
	UNION ALL SELECT 'index ' || pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = $1::regnamespace
	UNION ALL SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = $1::regnamespace
	UNION ALL SELECT 'trigger ' || pg_get_triggerdef(g.oid) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE c.relnamespace = $1::regnamespace AND NOT g.tgisinternal
	UNION ALL SELECT 'function ' || pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = $1::regnamespace AND prokind = 'f' AND NOT EXISTS (
	            SELECT FROM pg_depend e WHERE e.objid = pg_proc.oid AND e.deptype = 'e')
	UNION ALL SELECT 'view ' || c.relname || pg_get_viewdef(c.oid) FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'v'
	UNION ALL SELECT 'sequence ' || c.relname FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'S'
	ORDER BY 1`, string(db.Schema()))
	for i := range lines {
		lines[i] = strings.NewReplacer(string(db.Schema())+".", "", db.Schema().SQL()+".", "").Replace(lines[i])
	}
	return lines
}
