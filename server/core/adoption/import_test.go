package adoption_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/cluster"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/base/pgdump"
	"crema/server/core/adoption"
	"crema/server/testkit"
)

// program finds one of PostgreSQL's.
func program(t *testing.T, name string) string {
	t.Helper()
	b, err := cluster.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	return b.Path(name)
}

// dump runs pg_dump on db and returns where it has written to.
func dump(t *testing.T, db *pg.DB, options ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dump")
	cmd := exec.Command(program(t, "pg_dump"), append(options, "--file", file, db.URL())...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, out)
	}
	return file
}

// bring imports a dump into db.
func bring(t *testing.T, db *pg.DB, file, app string) (adoption.Summary, error) {
	t.Helper()
	f, err := pgdump.Open(t.Context(), file, nil, func() (string, error) { return program(t, "pg_restore"), nil })
	if err != nil {
		return adoption.Summary{}, err
	}
	defer f.Close()
	return adoption.Import(t.Context(), source(db), adoption.Dump{Script: f, AppName: app})
}

func TestImport_EveryFormat(t *testing.T) {
	t.Parallel()
	from := old(t)
	columns := contents(t, from)
	want := sum(t, from, columns)
	zipped := filepath.Join(t.TempDir(), "dump.gz")
	pack(t, dump(t, from), zipped)
	packed := filepath.Join(t.TempDir(), "dump.gz")
	pack(t, dump(t, from, "-Fc"), packed)
	for name, file := range map[string]string{
		"plain": dump(t, from), "inserts": dump(t, from, "--column-inserts"), "custom": dump(t, from, "-Fc"), "tar": dump(t, from, "-Ft"),
		"directory": dump(t, from, "-Fd"), "plain, zipped": zipped, "custom, zipped": packed, "only the app": dump(t, from, "-n", "app_old", "-e", "citext", "-e", "postgis"),
		"with owners, to be created": dump(t, from, "-C", "--clean", "--if-exists"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := testkit.DB(t)
			got, err := bring(t, to, file, "")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, sum(t, to, columns)); diff != "" {
				t.Errorf("rows differ:\n%s", diff)
			}
			if diff := cmp.Diff(adoption.Summary{
				From: "app_old", Version: "7469be11899e", Users: 4, Roles: 2, Assets: 3, LogInBy: []string{"username", "email"},
				Types: []adoption.TypeCount{{Name: "Note", Rows: 4}, {Name: "category", Rows: 1}, {Name: "payment_record"}, {Name: "user", Rows: 4}},
			}, got); diff != "" {
				t.Errorf("summary:\n%s", diff)
			}
			if got := list(t, to, `SELECT nextval('`+string(to.Schema())+`."Note_number_seq"')::text`); got[0] != "5" {
				t.Errorf("the next number is %s", got)
			}
			if got := list(t, to, `SELECT c.relname || ' ' || t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
				WHERE NOT tgisinternal AND c.relnamespace = $1::regnamespace AND c.relname !~ '^_' ORDER BY 1`, string(to.Schema())); !cmp.Equal(got, []string{"Note _note_record_change"}) {
				t.Errorf("triggers: %q", got)
			}
			if adopted, err := adoption.Adopt(t.Context(), source(to)); err != nil || adopted {
				t.Errorf("the next start adopts again: %v, %v", adopted, err)
			}
		})
	}
}

func pack(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestImport_RefusesAndChangesNothing(t *testing.T) {
	t.Parallel()
	from := old(t, `CREATE SCHEMA app_other; CREATE TABLE app_other.x ()`)
	whole, err := os.ReadFile(dump(t, from))
	if err != nil {
		t.Fatal(err)
	}
	text := string(whole)
	for _, c := range []struct {
		name, script, app, reason, says string
	}{
		{"empty", "", "", "adoption.not_a_dump", "not what pg_dump writes"},
		{"a script", "SELECT 1;", "", "adoption.not_a_dump", "not what pg_dump writes"},
		{"half", text[:len(text)*2/3], "old", "adoption.cut_off", "too early"},
		{"without its end", strings.ReplaceAll(text, "-- PostgreSQL database dump complete", ""), "old", "adoption.cut_off", "too early"},
		{"several apps", text, "", "adoption.many_apps", "old, other"},
		{"no such app", text, "mine", "adoption.no_app", "does not hold the app mine, but: old, other"},
		{"no app at all", "--\n-- Name: x; Type: TABLE; Schema: public; Owner: o\n--\n\nCREATE TABLE public.x ();\n-- PostgreSQL database dump complete\n", "", "adoption.no_app", "no app of Skygear"},
		{"a row that does not fit", strings.Replace(text, "\nu-bob\tmember", "\nu-bob\tmember\textra", 1), "old", "adoption.restore", "table data _auth_role"},
		{"an extension that is not here", strings.ReplaceAll(text, "EXTENSION IF NOT EXISTS postgis WITH", "EXTENSION IF NOT EXISTS postgis_of_old WITH"), "old", "adoption.restore", "left out before: extension postgis: "},
		{"a layout of another time", strings.Replace(text, "    token text,\n", "    tokn text,\n", 1), "old", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			to := testkit.DB(t)
			before := catalogue(t, to)
			_, err := adoption.Import(t.Context(), source(to), adoption.Dump{Script: strings.NewReader(c.script), AppName: c.app})
			if err == nil || c.reason != "" && (!fault.Is(err, c.reason) || !strings.Contains(fault.From(err).Message, c.says)) {
				t.Errorf("got %v, want %s: ... %s", err, c.reason, c.says)
			}
			if diff := cmp.Diff(before, catalogue(t, to)); diff != "" {
				t.Errorf("something was changed:\n%s", diff)
			}
			if got := list(t, to, `SELECT nspname FROM pg_namespace WHERE nspname IN ('app_old', 'app_other')`); len(got) > 0 {
				t.Errorf("left behind: %q", got)
			}
			if sum, err := adoption.Import(t.Context(), source(to), adoption.Dump{Script: strings.NewReader(text), AppName: "OLD"}); err != nil || sum.Users != 4 {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestImport_KeepsWhatIsInUse(t *testing.T) {
	t.Parallel()
	file := dump(t, old(t))
	for name, c := range map[string]struct{ change, says string }{
		"an account":   {`INSERT INTO app_test._auth (id) VALUES ('x')`, "_auth"},
		"a record":     {`INSERT INTO app_test.payment_record (_id, _database_id, _owner_id, _created_at, _updated_at) VALUES ('x', '', '', now(), now())`, "payment_record"},
		"an old app":   {`DROP TABLE app_test._migration`, "did not make"},
		"another app":  {`CREATE SCHEMA app_old`, "app_old"},
		"a price":      {`UPDATE app_test._product SET unit_amount = 999 WHERE id = 'colombia'`, "_product"},
		"a role":       {`INSERT INTO app_test._role (id) VALUES ('x')`, "_role"},
		"a rule":       {`UPDATE app_test._record_field_access SET record_type = '*' WHERE record_field = 'email' AND user_role = '_owner'`, "_record_field_access"},
		"a type":       {`CREATE TABLE app_test.mine (LIKE app_test."user" INCLUDING ALL)`, "mine"},
		"an own table": {`CREATE TABLE app_test.mine AS SELECT 1`, "mine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := testkit.DB(t)
			run(t, to, c.change)
			before := catalogue(t, to)
			if _, err := bring(t, to, file, ""); !fault.Is(err, "adoption.in_use") || !strings.Contains(fault.From(err).Message, c.says) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, catalogue(t, to)); diff != "" {
				t.Errorf("something was changed:\n%s", diff)
			}
		})
	}
}

// TestImport_FromElsewhere has what dumps of real installations have around the app.
func TestImport_FromElsewhere(t *testing.T) {
	t.Parallel()
	from := old(t, `ALTER EXTENSION citext SET SCHEMA app_old`,
		`CREATE SCHEMA tiger; CREATE TABLE tiger.states (id int); CREATE TYPE public.mood AS ENUM ('good', 'bad');
		 CREATE TABLE public.ours AS SELECT 7 AS n; CREATE TABLE public.taken AS SELECT 1 AS n;
		 ALTER TABLE app_old.category ADD COLUMN mood public.mood DEFAULT 'bad'`)
	to := testkit.DB(t)
	run(t, to, `CREATE TABLE public.taken AS SELECT 2 AS n`)
	sum, err := bring(t, to, dump(t, from), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := list(t, to, `SELECT username || ' ' || (SELECT string_agg(n::text, ' ') FROM (TABLE public.ours UNION ALL TABLE public.taken) x)
		FROM app."user" WHERE email = 'ALICE@example.com'`); !cmp.Equal(got, []string{"Alice 7 2"}) {
		t.Errorf("got %q", got)
	}
	if got := list(t, to, `SELECT mood::text FROM app.category`); !cmp.Equal(got, []string{"bad"}) {
		t.Errorf("got %q", got)
	}
	skipped := strings.Join(sum.Skipped, "\n")
	if !strings.Contains(skipped, "schema tiger") || !strings.Contains(skipped, `table taken: relation "taken" already exists`) {
		t.Errorf("skipped:\n%s", skipped)
	}
}

// TestImport_UnderItsOwnName has nothing to rename, and no schema to begin with.
func TestImport_UnderItsOwnName(t *testing.T) {
	t.Parallel()
	file := dump(t, old(t))
	for name, url := range map[string]string{"nothing there": testkit.EmptyDatabaseURL(t), "another app there": testkit.DatabaseURL(t)} {
		to := open(t, url, oldSchema)
		if sum, err := bring(t, to, file, ""); err != nil || sum.Rows() != 9 {
			t.Errorf("%s: %d records, %v", name, sum.Rows(), err)
		}
	}
}

func TestImport_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	to := testkit.DB(t)
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, "--\n-- Name: app_old; Type: SCHEMA; Schema: -; Owner: o\n--\n\nCREATE SCHEMA app_old;\n--\n-- Name: x; Type: TABLE; Schema: app_old; Owner: o\n--\n\nSELECT pg_sleep(60);\n--\n-- Name: y; Type: TABLE; Schema: app_old; Owner: o\n--\n\n")
		cancel()
		_ = w.Close()
	}()
	if _, err := adoption.Import(ctx, source(to), adoption.Dump{Script: r}); err == nil {
		t.Error("it went on")
	}
	if got := list(t, to, `SELECT nspname FROM pg_namespace WHERE nspname = 'app_old'`); len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}
