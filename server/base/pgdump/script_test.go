package pgdump_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/pgdump"
)

const end = "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict k\n"

func head(typ string) string { return "--\n-- Name: n; Type: " + typ + "; Schema: s; Owner: o\n--\n\n" }

// read returns "TYPE kind text" of every piece, and the rows.
func read(t *testing.T, text string) ([]string, error) {
	t.Helper()
	r := pgdump.NewReader(strings.NewReader(text))
	var got []string
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		got = append(got, p.Type+" "+[]string{"run", "set", "copy"}[p.Kind]+" "+strings.TrimSpace(p.Text))
		for p.Kind == pgdump.Copy {
			row, more, err := r.Row()
			if err != nil {
				return got, err
			}
			if !more {
				break
			}
			got = append(got, "row "+row)
		}
	}
}

func TestReader_Pieces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a section", head("TABLE") + "CREATE TABLE s.n (\n  a int\n);\n", []string{"TABLE run CREATE TABLE s.n (\n  a int\n);"}},
		{"owners go", head("TABLE") + "A;\n\n\nALTER TABLE s.n OWNER TO o;\n", []string{"TABLE run A;"}},
		{
			"settings", "SET statement_timeout = 0;\nSET client_encoding = 'UTF8';\nSELECT pg_catalog.set_config('search_path', '', false);\n" + head("TABLE") +
				"A;\nSET default_with_oids = false;\nSET search_path = s, pg_catalog;\n" + head("VIEW") + "B;\n",
			[]string{" set SET client_encoding = 'UTF8';", " set SELECT pg_catalog.set_config('search_path', '', false);", "TABLE run A;", "TABLE set SET search_path = s, pg_catalog;", "VIEW run B;"},
		},
		{
			"rows", head("TABLE DATA") + "COPY s.n (a, b) FROM stdin;\n1\t\\N\n-- Name: x; Type: ACL; Schema: s; Owner: o\n\\\\.\n\\.\n\nB;\n",
			[]string{"TABLE DATA copy COPY s.n (a, b) FROM stdin;", "row 1\t\\N", "row -- Name: x; Type: ACL; Schema: s; Owner: o", `row \\.`, "TABLE DATA run B;"},
		},
		{"no rows", head("TABLE DATA") + "COPY s.n (a) FROM stdin;\n\\.\n", []string{"TABLE DATA copy COPY s.n (a) FROM stdin;"}},
		{
			"texts", head("TABLE DATA") + "INSERT INTO s.n VALUES ('it''s\n-- Name: x; Type: ACL; Schema: s; Owner: o\n\\! reboot\nSET a = 1;\n\\', \"a;\n\");\n",
			[]string{"TABLE DATA run INSERT INTO s.n VALUES ('it''s\n-- Name: x; Type: ACL; Schema: s; Owner: o\n\\! reboot\nSET a = 1;\n\\', \"a;\n\");"},
		},
		{
			"functions", head("FUNCTION") + "CREATE FUNCTION s.f() AS $_$\n  don't $1; $$\n-- Name: x; Type: ACL; Schema: s; Owner: o\n$_$;\n" + head("ACL") + "GRANT;\n",
			[]string{"FUNCTION run CREATE FUNCTION s.f() AS $_$\n  don't $1; $$\n-- Name: x; Type: ACL; Schema: s; Owner: o\n$_$;", "ACL run GRANT;"},
		},
		{"comments", head("VIEW") + "A /* ' */ -- '\n;\nALTER VIEW s.n OWNER TO o;\n", []string{"VIEW run A /* ' */ -- '\n;"}},
		{"commands of psql", "\\restrict k\n" + head("SCHEMA") + "\\! reboot\nA;\n\\connect x\n", []string{"SCHEMA run A;"}},
		{"a dollar in a name", head("VIEW") + "A a$b$c;\nALTER VIEW s.n OWNER TO o;\n", []string{"VIEW run A a$b$c;"}},
		{"lines of Windows", strings.ReplaceAll(head("TABLE")+"A;\n", "\n", "\r\n"), []string{"TABLE run A;"}},
	} {
		got, err := read(t, c.text+end)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", c.name, diff)
		}
	}
}

func TestReader_PartsWhatIsLong(t *testing.T) {
	t.Parallel()
	row := "INSERT INTO s.n VALUES ('" + strings.Repeat("x", 1000) + "\n;');\n"
	got, err := read(t, head("TABLE DATA")+strings.Repeat(row, 1000)+end)
	if err != nil || len(got) < 3 || len(got) > 10 {
		t.Fatalf("%d pieces, %v", len(got), err)
	}
	for _, p := range got {
		if !strings.HasPrefix(p, "TABLE DATA run INSERT") || !strings.HasSuffix(p, ";');") {
			t.Errorf("a piece is not whole: %.40s ... %s", p, p[len(p)-40:])
		}
	}
}

func TestReader_Refuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"nothing", "", pgdump.ErrNotDump},
		{"a script", "CREATE TABLE x ();\n", pgdump.ErrNotDump},
		{"a lost end", head("TABLE") + "A;\n", pgdump.ErrCut},
		{"half a statement", head("TABLE") + "A '" + end, pgdump.ErrCut},
		{"half a table", head("TABLE DATA") + "COPY s.n (a) FROM stdin;\n1\n2", pgdump.ErrCut},
		{"half a row", head("TABLE DATA") + "COPY s.n (a) FROM stdin;\n1\n", pgdump.ErrCut},
	} {
		if _, err := read(t, c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// FuzzReader_KeepsTexts writes a row as pg_dump does: whatever it holds, it stays one text, unchanged.
func FuzzReader_KeepsTexts(f *testing.F) {
	for _, text := range []string{
		"", "it's", "a\r\nb", "\n-- Name: x; Type: ACL; Schema: s; Owner: o\n", "\n\\! reboot\n", "$$\n;", "\"\n/*\n", "\nCOPY s.n (a) FROM stdin;\n", "\n-- PostgreSQL database dump complete\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
		for _, statement := range []string{"INSERT INTO s.n VALUES (" + quoted + ");", "DO $x$ " + strings.ReplaceAll(text, "$", "") + "$x$;", `COMMENT ON TABLE s."` + strings.ReplaceAll(text, `"`, `""`) + `" IS NULL;`} {
			got, err := read(t, head("TABLE DATA")+statement+"\n"+head("ACL")+"GRANT;\n"+end)
			if diff := cmp.Diff([]string{"TABLE DATA run " + statement, "ACL run GRANT;"}, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		}
	})
}
