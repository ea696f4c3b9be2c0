package adoption_test

import (
	"context"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"crema/migrations"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/adoption"
	"crema/server/testkit"
)

func TestAdopt_ChangesNoRow(t *testing.T) {
	t.Parallel()
	db := old(t)
	columns := contents(t, db)
	before := sum(t, db, columns)
	if n := len(before); n < 18 {
		t.Fatalf("only %d tables are looked at", n)
	}
	adopted, err := adoption.Adopt(t.Context(), source(db))
	if err != nil || !adopted {
		t.Fatalf("adopted: %v, %v", adopted, err)
	}
	if diff := cmp.Diff(before, sum(t, db, columns)); diff != "" {
		t.Errorf("rows changed:\n%s", diff)
	}
	if adopted, err = adoption.Adopt(t.Context(), source(db)); err != nil || adopted {
		t.Errorf("again: %v, %v", adopted, err)
	}
	if n, err := db.Migrate(t.Context(), migrations.Files, slog.New(slog.DiscardHandler)); err != nil || n != 0 {
		t.Errorf("%d migrations were left over: %v", n, err)
	}
}

// TestAdopt_LacksNothing holds for migrations that come later too: one that an adopted database does not
// get, or that cannot run on it, fails here.
func TestAdopt_LacksNothing(t *testing.T) {
	t.Parallel()
	db := old(t)
	if _, err := adoption.Adopt(t.Context(), source(db)); err != nil {
		t.Fatal(err)
	}
	have, different := map[string]bool{}, []string{}
	for _, line := range catalogue(t, db) {
		have[line] = true
	}
	for _, line := range catalogue(t, testkit.DB(t)) {
		if !have[line] {
			different = append(different, line)
		}
	}
	want := []string{ // what the old layout says in its own way
		"column _role.by_default boolean not null default false",
		"column _role.is_admin boolean not null default false",
		"constraint _follow _follow_left_id_fkey FOREIGN KEY (left_id) REFERENCES _auth(id)",
		"constraint _friend _friend_left_id_fkey FOREIGN KEY (left_id) REFERENCES _auth(id)",
	}
	different = slices.DeleteFunc(different, func(line string) bool { return slices.Contains(want, line) })
	if len(different) > 0 {
		t.Errorf("a new database has, and an adopted one has not:\n%s", strings.Join(different, "\n"))
	}
}

// TestMigrations_SameAsFirst proves that the files which were changed for adoptions still make the same
// new database as those that servers of before have run.
func TestMigrations_SameAsFirst(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{}
	names, err := fs.Glob(migrations.Files, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	first := 0
	for _, name := range names {
		text, err := os.ReadFile(path.Join("testdata/first", name))
		if err == nil {
			first++
		} else if text, err = fs.ReadFile(migrations.Files, name); err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	if first != 4 {
		t.Fatalf("%d first files", first)
	}
	before, after := open(t, testkit.EmptyDatabaseURL(t), testkit.Schema), testkit.DB(t)
	if _, err := before.Migrate(t.Context(), files, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(catalogue(t, before), catalogue(t, after)); diff != "" {
		t.Errorf("a new database is another:\n%s", diff)
	}
	columns := contents(t, before)
	delete(columns, "_migration") // has times
	if diff := cmp.Diff(sum(t, before, columns), sum(t, after, columns)); diff != "" {
		t.Errorf("a new database holds something else:\n%s", diff)
	}
}

func TestAdopt_RefusesWhatDiffers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, change, says string }{
		{"no version", `DROP TABLE app_old._version`, "there is no table _version"},
		{"accounts of before 1.0", `DROP VIEW app_old._user; CREATE TABLE app_old._user (id text)`, "_user is a table"},
		{"column gone", `ALTER TABLE app_old._device DROP COLUMN token CASCADE`, "_device has no column token"},
		{"column of another type", `ALTER TABLE app_old._record_default_access ALTER COLUMN default_access TYPE json`, "_record_default_access.default_access is of type json and should be jsonb"},
		{"record table of another type", `ALTER TABLE app_old."Note" ALTER COLUMN _created_at TYPE timestamptz`, "Note._created_at is of type timestamptz and should be timestamp"},
		{"record table without owner", `ALTER TABLE app_old.category DROP COLUMN _owner_id`, "category has no column _owner_id"},
		{"a name that is taken", `CREATE TABLE app_old._order (x int)`, `relation "_order" already exists`},
		{"no unique id", `ALTER TABLE app_old.category DROP CONSTRAINT category__id_key CASCADE`, "category has no unique key of its own on _id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := old(t, c.change)
			before := catalogue(t, db)
			adopted, err := adoption.Adopt(t.Context(), source(db))
			if !fault.Is(err, "adoption.layout") || adopted || !strings.Contains(fault.From(err).Message, c.says) {
				t.Errorf("adopted: %v, %v", adopted, err)
			}
			if diff := cmp.Diff(before, catalogue(t, db)); diff != "" {
				t.Errorf("something was changed:\n%s", diff)
			}
		})
	}
}

// TestAdopt_Accepts what is not as the last Skygear had it, but does no harm.
func TestAdopt_Accepts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, change, check, want string }{
		{
			"an earlier version", `DROP TABLE app_old._verify_code, app_old._sso_oauth; ALTER TABLE app_old._auth DROP COLUMN disabled, DROP COLUMN disabled_message, DROP COLUMN disabled_expiry`,
			`SELECT disabled::text || (SELECT count(*) FROM app._sso_oauth) FROM app._auth WHERE id = 'u-dave'`, "false0",
		},
		{
			"another view", `CREATE OR REPLACE VIEW app_old._user AS SELECT a.id, a.password, u.username, u.email, a.provider_info AS auth, a.token_valid_since, u.last_login_at, a.last_seen_at, 1 AS one FROM app_old._auth a JOIN app_old."user" u ON u._id = a.id`,
			`UPDATE app._user SET password = 'x' WHERE id = 'u-bob' RETURNING password`, "x",
		},
		{
			"citext beside the tables", `ALTER EXTENSION citext SET SCHEMA app_old`,
			`SELECT _id FROM app."user" WHERE username = 'aLICE'`, "u-alice",
		},
		{
			"rules about fields that were removed", `DELETE FROM app_old._record_field_access`,
			`SELECT count(*)::text FROM app._record_field_access`, "0",
		},
		{
			"a table of the shop", `CREATE TABLE app_old.payment_record (LIKE app_old.category INCLUDING ALL); ALTER TABLE app_old.payment_record ADD receipt_email text, ADD amount double precision;
			 INSERT INTO app_old.payment_record (_id, _database_id, _owner_id, _created_at, _updated_at, receipt_email) VALUES ('p', '', '', now(), now(), 'a@b.c')`,
			`SELECT receipt_email || coalesce(charge_id, '-') FROM app.payment_record`, "a@b.c-",
		},
		{
			"a type without the trigger", `DROP TRIGGER trigger_notify_record_change ON app_old."Note"`,
			`SELECT tgname FROM pg_trigger WHERE tgrelid = 'app_old."Note"'::regclass AND NOT tgisinternal`, "_note_record_change",
		},
		{
			"an index that is there", `CREATE INDEX mine ON app_old."Note" (_owner_id, title)`,
			`SELECT count(*)::text FROM pg_indexes WHERE schemaname = 'app_old' AND indexdef LIKE '%Note"% (_owner_id%'`, "1",
		},
		{
			"tables without indexes", ``,
			`SELECT string_agg(tablename || regexp_replace(indexdef, '.* USING', ''), ', ' ORDER BY tablename, indexdef) FROM pg_indexes
			  WHERE schemaname = 'app_old' AND tablename IN ('Note', 'category') AND indexdef NOT LIKE '%UNIQUE%'`,
			"Note btree (_created_at), Note btree (_owner_id), " + `Note gin (COALESCE(_access, '[{"level": "write", "public": true}]'::jsonb) jsonb_path_ops), ` +
				"category btree (_created_at), category btree (_owner_id), " + `category gin (COALESCE(_access, '[{"level": "write", "public": true}]'::jsonb) jsonb_path_ops)`,
		},
		{"nothing", ``, `SELECT username::text FROM app._user WHERE email = 'carol@example.COM' OR username = 'ALICE' ORDER BY 1 LIMIT 1`, "Alice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := old(t, c.change)
			if adopted, err := adoption.Adopt(t.Context(), source(db)); err != nil || !adopted {
				t.Fatalf("adopted: %v, %v", adopted, err)
			}
			if got := list(t, db, c.check); len(got) != 1 || got[0] != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAdopt_FailureLeavesNothing(t *testing.T) {
	t.Parallel()
	db := old(t)
	files := fstest.MapFS{"99999_broken.sql": {Data: []byte("-- +goose Up\nCREATE TABLE app._x (); SELECT 1/0;")}}
	names, _ := fs.Glob(migrations.Files, "*.sql")
	for _, name := range names {
		text, err := fs.ReadFile(migrations.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	before := catalogue(t, db)
	s := source(db)
	s.Migrations = files
	if adopted, err := adoption.Adopt(t.Context(), s); !fault.Is(err, "pg.migrate") || adopted {
		t.Fatalf("adopted: %v, %v", adopted, err)
	}
	if diff := cmp.Diff(before, catalogue(t, db)); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
	if adopted, err := adoption.Adopt(t.Context(), source(db)); err != nil || !adopted {
		t.Errorf("afterwards: %v, %v", adopted, err)
	}
}

// TestAdopt_NotTheOwner says what to do where DATABASE_URL has a user without rights.
func TestAdopt_NotTheOwner(t *testing.T) {
	t.Parallel()
	db := old(t)
	role := "r_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	run(t, db, "CREATE ROLE "+role+"; GRANT ALL ON SCHEMA app_old TO "+role+"; GRANT ALL ON ALL TABLES IN SCHEMA app_old TO "+role)
	t.Cleanup(func() { // the test's context has ended
		if _, err := db.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	_, err = adoption.Adopt(t.Context(), source(open(t, u.String(), oldSchema)))
	if !fault.Is(err, "adoption.privilege") || !strings.Contains(fault.From(err).Message, "must be owner") {
		t.Errorf("got %v", err)
	}
}

func TestAdopt_OneOfManyServers(t *testing.T) {
	t.Parallel()
	first := old(t)
	var servers sync.WaitGroup
	adopted := make([]bool, 4)
	for i := range adopted {
		db := open(t, first.URL(), oldSchema)
		servers.Go(func() {
			var err error
			if adopted[i], err = adoption.Adopt(t.Context(), source(db)); err != nil {
				t.Error(err)
			}
			if _, err := db.Migrate(t.Context(), migrations.Files, slog.New(slog.DiscardHandler)); err != nil {
				t.Error(err)
			}
		})
	}
	servers.Wait()
	if n := len(slices.DeleteFunc(adopted, func(b bool) bool { return !b })); n != 1 {
		t.Errorf("%d servers did it", n)
	}
}

func TestAdopt_LeavesOthersAlone(t *testing.T) {
	t.Parallel()
	for name, db := range map[string]*pg.DB{
		"ours": testkit.DB(t), "none": open(t, testkit.EmptyDatabaseURL(t), "app_new"), "another app's": open(t, old(t).URL(), "app_new"),
	} {
		if adopted, err := adoption.Adopt(t.Context(), source(db)); err != nil || adopted {
			t.Errorf("%s: %v, %v", name, adopted, err)
		}
	}
}
