package schema_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/schema"
	"crema/server/testkit"
)

func field(name, typ string) schema.Field {
	t, _ := schema.ParseFieldType(typ)
	return schema.Field{Name: name, Type: t}
}

func change(typ string, fields ...schema.Field) schema.Change {
	return schema.Change{Type: typ, Fields: fields}
}

func ensure(t *testing.T, s *schema.Service, changes ...schema.Change) *schema.Snapshot {
	t.Helper()
	snap, err := s.Ensure(t.Context(), changes, true)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func described(snap *schema.Snapshot, typ string) string {
	t := snap.Type(typ)
	if t == nil {
		return "none"
	}
	var parts []string
	for _, c := range t.Columns {
		parts = append(parts, c.Name+" "+c.FieldType.String())
	}
	return strings.Join(parts, ", ")
}

func TestEnsure_MakesTypesOfEveryKind(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := schema.New(db)
	snap := ensure(t, s, change("Note's \"x\"", field("s", "string"), field("n", "number"), field("i", "integer"), field("b", "boolean"),
		field("d", "datetime"), field("j", "json"), field("r", "ref(category)"), field("a", "asset"), field("q", "sequence")), change("category"))
	want := "a asset, b boolean, d datetime, i integer, j json, n number, q sequence, r ref(category), s string"
	if got := described(snap, "Note's \"x\""); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := described(snap, "category"); got != "" {
		t.Errorf("category has %q", got)
	}
	if got, want := described(snap, "user"), "email string, last_login_at datetime, username string"; got != want {
		t.Errorf("user: got %q", got)
	}
	if got := described(snap, "payment_record"); !strings.Contains(got, "amount number, amount_minor integer") {
		t.Errorf("payment_record: got %q", got)
	}
	if slices.ContainsFunc(snap.Names(), func(n string) bool { return n[0] == '_' }) {
		t.Errorf("system tables are visible: %v", snap.Names())
	}
}

func TestEnsure_StorageLayout(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	ensure(t, schema.New(db), change("category"), change("note", field("cat", "ref(category)"), field("pic", "asset")))
	var got []string
	if err := db.Select(t.Context(), &got, `
		SELECT conname || ' ' || replace(pg_get_constraintdef(oid), 'app_test.', '') FROM pg_constraint
		 WHERE conrelid = 'app_test.note'::regclass ORDER BY conname COLLATE "C"`); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"fk_cat_category__id FOREIGN KEY (cat) REFERENCES category(_id)",
		"fk_pic__asset_id FOREIGN KEY (pic) REFERENCES _asset(id)",
		"note__id_key UNIQUE (_id)",
		"note_pkey PRIMARY KEY (_id, _database_id, _owner_id)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	if err := db.Select(t.Context(), &got, `SELECT substring(indexdef FROM 'USING .*') AS i FROM pg_indexes WHERE tablename = 'note' ORDER BY 1`); err != nil {
		t.Fatal(err)
	}
	want = []string{"USING btree (_created_at)", "USING btree (_id)", "USING btree (_id, _database_id, _owner_id)", "USING btree (_owner_id)", `USING gin (COALESCE(_access, '[{"level": "write", "public": true}]'::jsonb) jsonb_path_ops)`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEnsure_Refuses(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := schema.New(db)
	ensure(t, s, change("category"), change("other"), change("note", field("s", "string"), field("n", "number"), field("r", "ref(category)")))
	many := make([]schema.Field, 1601)
	for i := range many {
		many[i] = field(fmt.Sprint("f", i), "number")
	}
	for name, c := range map[string]struct {
		changes []schema.Change
		denied  bool
		reason  string
		code    fault.Code
	}{
		"another type":         {[]schema.Change{change("note", field("s", "number"))}, false, "schema.conflict", fault.Incompatible},
		"another target":       {[]schema.Change{change("note", field("r", "ref(other)"))}, false, "schema.conflict", fault.Incompatible},
		"disagreement":         {[]schema.Change{change("note", field("z", "string")), change("note", field("z", "json"))}, false, "schema.conflict", fault.Incompatible},
		"no target":            {[]schema.Change{change("note", field("z", "ref(nowhere)"))}, false, "schema.no_target", fault.Incompatible},
		"no leave for a type":  {[]schema.Change{change("fresh")}, true, "schema.not_allowed", fault.Incompatible},
		"no leave for a field": {[]schema.Change{change("note", field("fresh", "string"))}, true, "schema.not_allowed", fault.Incompatible},
		"system table":         {[]schema.Change{change("_auth", field("x", "string"))}, false, "schema.bad_name", fault.Invalid},
		"long name":            {[]schema.Change{change(strings.Repeat("é", 32))}, false, "schema.bad_name", fault.Invalid},
		"NUL":                  {[]schema.Change{change("note", field("a\x00b", "string"))}, false, "schema.bad_name", fault.Invalid},
		"not UTF-8":            {[]schema.Change{change("note", field("a\xff", "string"))}, false, "schema.bad_name", fault.Invalid},
		"system column":        {[]schema.Change{change("note", field("xmin", "string"))}, false, "schema.bad_name", fault.Invalid},
		"empty name":           {[]schema.Change{change("note", field("", "string"))}, false, "schema.bad_name", fault.Invalid},
		"too many":             {[]schema.Change{change("note", many...)}, false, "schema.too_many_columns", fault.Invalid},
		"taken by an index":    {[]schema.Change{change("note_pkey")}, false, "schema.conflict", fault.Incompatible},
	} {
		_, err := s.Ensure(t.Context(), c.changes, !c.denied)
		if !fault.Is(err, c.reason) || !fault.HasCode(err, c.code) {
			t.Errorf("%s: got %v, want %s", name, err, c.reason)
		}
	}
	snap, err := s.Current(t.Context())
	if err != nil || described(snap, "note") != "n number, r ref(category), s string" {
		t.Errorf("a refusal changed something: %s, %v", described(snap, "note"), err)
	}
}

func TestEnsure_NamesThatWantToEscape(t *testing.T) {
	t.Parallel()
	s := schema.New(testkit.DB(t))
	for _, name := range []string{`a"b`, `x app.y`, `app.`, `a\b app.\0061`, `select`, `a;DROP SCHEMA app_test CASCADE--`, `é 日本`, strings.Repeat("n", 63), "a'b$1"} {
		snap := ensure(t, s, change(name, field(name, "string"), field("r "+name[:min(len(name), 50)], "ref("+name+")")))
		if c := snap.Type(name); c == nil || c.Column(name) == nil || len(c.Columns) != 2 {
			t.Errorf("%q: got %s", name, described(snap, name))
		}
	}
}

func TestEnsure_NumbersGoTogetherT31(t *testing.T) {
	t.Parallel()
	s := schema.New(testkit.DB(t))
	ensure(t, s, change("note", field("i", "integer"), field("n", "number"), field("q", "sequence")))
	snap := ensure(t, s, change("note", field("i", "number"), field("n", "sequence"), field("q", "integer")))
	if got := described(snap, "note"); got != "i integer, n number, q sequence" {
		t.Errorf("something was altered: %s", got)
	}
	snap = ensure(t, s, change("note", field("z", "number")), change("note", field("z", "sequence")))
	if got := snap.Type("note").Column("z").Kind; got != schema.Sequence {
		t.Errorf("got %s", got)
	}
}

func TestEnsure_TwoServersAtOnce(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a, b := schema.New(db), schema.New(db)
	for round := range 5 {
		name := fmt.Sprint("race", round)
		var wg sync.WaitGroup
		for i, s := range []*schema.Service{a, b, a, b} {
			wg.Go(func() {
				snap, err := s.Ensure(context.Background(), []schema.Change{change(name, field("same", "string"), field(fmt.Sprint("own", i), "ref("+name+")"))}, true)
				if err != nil {
					t.Error(err)
				} else if snap.Type(name).Column("same") == nil || snap.Type(name).Column(fmt.Sprint("own", i)) == nil {
					t.Errorf("incomplete picture: %s", described(snap, name))
				}
			})
		}
		wg.Wait()
		snap, err := a.Newer(t.Context(), &schema.Snapshot{})
		if err != nil || len(snap.Type(name).Columns) != 5 {
			t.Errorf("%s, %v", described(snap, name), err)
		}
	}
}

func TestStart_HearsOfOtherServers(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a, b := schema.New(db), schema.New(db)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Stop()
	ensure(t, a, change("fresh"))
	for {
		snap, err := b.Current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if snap.Type("fresh") != nil {
			break
		}
		if _, err := db.Exec(t.Context(), "SELECT pg_sleep($1)", 0.002); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNewer_AsksOnlyForTheVersionWhenNothingChanged(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a, b := schema.New(db), schema.New(db)
	before, err := b.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if same, err := b.Newer(t.Context(), before); err != nil || same != before {
		t.Errorf("got %p, %v; want %p", same, err, before)
	}
	ensure(t, a, change("fresh"))
	after, err := b.Newer(t.Context(), before)
	if err != nil || after.Type("fresh") == nil || after.Version <= before.Version {
		t.Errorf("got %v, %v", after.Names(), err)
	}
}

func TestRaise_MakesRulesKnown(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := schema.New(db)
	before := ensure(t, s, change("note", field("a", "string")))
	if rules := before.Type("user").Column("email").Rules; len(rules) != 2 || !before.Type("user").Guarded || before.Type("note").Guarded {
		t.Errorf("seeded rules: %v", rules)
	}
	err := db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error {
		for _, q := range []string{
			"INSERT INTO app._record_default_access VALUES ('note', '[]')",
			"INSERT INTO app._record_creation VALUES ('note', 'Admin')",
			"INSERT INTO app._record_field_access VALUES ('*', 'a', '_public', true, true, false, false)",
		} {
			if _, err := tx.Exec(ctx, q); err != nil {
				return err
			}
		}
		return s.Raise(ctx, tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Newer(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	note := after.Type("note")
	if !note.HasDefault || note.DefaultAccess == nil || !slices.Equal(note.CreationRoles, []string{"Admin"}) || len(note.Column("a").Rules) != 1 || !note.Guarded {
		t.Errorf("got %+v", note)
	}
}

func TestEnsure_InstallsPostGIS(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	var available bool
	if err := db.Get(t.Context(), &available, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis')"); err != nil || !available {
		t.Skip("PostGIS is not on this machine")
	}
	snap := ensure(t, schema.New(db), change("shop", field("at", "location"), field("area", "geometry")))
	if got := described(snap, "shop"); got != "area geometry, at location" || snap.GeoPath == "" {
		t.Errorf("got %s, path %q", got, snap.GeoPath)
	}
}

func TestEnsure_WithoutPostGISSaysSo(t *testing.T) {
	t.Parallel()
	s := schema.New(plainRole(t))
	for range 2 { // the second time from memory
		_, err := s.Ensure(t.Context(), []schema.Change{change("shop", field("at", "location"))}, true)
		if !fault.HasCode(err, fault.NotSupported) || !strings.Contains(fault.From(err).Message, "PostGIS") {
			t.Errorf("got %v", err)
		}
	}
	if snap := ensure(t, s, change("shop", field("name", "string"))); described(snap, "shop") != "name string" {
		t.Errorf("got %s", described(snap, "shop"))
	}
}

// plainRole connects as a role that may not install extensions.
func plainRole(t *testing.T) *pg.DB {
	t.Helper()
	db := testkit.DB(t)
	var name string
	if err := db.Get(t.Context(), &name, "SELECT 'r' || substr(current_database(), 2)"); err != nil {
		t.Fatal(err)
	}
	role := pg.Ident(name).SQL()
	if _, err := db.Exec(t.Context(), "CREATE ROLE "+role+"; GRANT ALL ON SCHEMA app_test TO "+role+"; GRANT ALL ON ALL TABLES IN SCHEMA app_test TO "+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec(context.Background(), "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", name) // the driver makes it the session's role
	u.RawQuery = q.Encode()
	plain, err := pg.Open(t.Context(), pg.Config{URL: u.String(), Schema: testkit.Schema, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plain.Close() })
	return plain
}
