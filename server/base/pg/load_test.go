package pg_test

import (
	"context"
	"errors"
	"testing"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/testkit"
)

// rows returns a source of COPY that ends with err.
func rows(lines []string, err error) func() (string, bool, error) {
	return func() (string, bool, error) {
		if len(lines) == 0 {
			return "", false, err
		}
		line := lines[0]
		lines = lines[1:]
		return line, true, nil
	}
}

func TestLoad_TakesStatementsAndRowsAsTheyAre(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(t.Context(), pg.Config{URL: testkit.DatabaseURL(t), Schema: testkit.Schema, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	const copyRoles = `COPY app_test._role (id, by_default, is_admin) FROM stdin`
	err = db.Load(t.Context(), func(ctx context.Context, l *pg.Load) error {
		if err := l.Run(ctx, `SET search_path TO pg_catalog; INSERT INTO app_test._role (id) VALUES ('see app.example')`); err != nil {
			return err
		}
		n, err := l.Copy(ctx, copyRoles, rows([]string{`a\tb` + "\tt\tf", "Zoë\tf\tf"}, nil))
		if n != 2 {
			t.Errorf("%d rows", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var got, path string
	if err := db.Get(t.Context(), &got, `SELECT string_agg(id, '|' ORDER BY id COLLATE "C") FROM app._role WHERE id <> 'Admin'`); err != nil || got != "Zoë|a\tb|see app.example" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := db.Get(t.Context(), &path, `SELECT current_setting('search_path')`); err != nil || path == "pg_catalog" {
		t.Errorf("the pool's connections have a search path of the load: %q, %v", path, err)
	}
}

func TestLoad_LeavesNothingOfAFailure(t *testing.T) {
	t.Parallel()
	db, lost := testkit.DB(t), errors.New("lost")
	for name, c := range map[string]struct {
		lines []string
		err   error
		is    func(error) bool
	}{
		"a source that ends": {[]string{"x\tf\tf"}, lost, func(err error) bool { return errors.Is(err, lost) }},
		"a bad row":          {[]string{"x\tf\tf", "y"}, nil, func(err error) bool { return pg.State(err).SQLState == "22P04" }},
		"the same row twice": {[]string{"x\tf\tf", "x\tf\tf"}, nil, func(err error) bool { return fault.Is(err, "pg.unique") }},
	} {
		err := db.Load(t.Context(), func(ctx context.Context, l *pg.Load) error {
			_, err := l.Copy(ctx, `COPY app_test._role (id, by_default, is_admin) FROM stdin`, rows(c.lines, c.err))
			return err
		})
		if !c.is(err) {
			t.Errorf("%s: %v", name, err)
		}
		var n int
		if err := db.Get(t.Context(), &n, `SELECT count(*) FROM app._role`); err != nil || n != 1 {
			t.Errorf("%s: %d roles, %v", name, n, err)
		}
	}
	err := db.Load(t.Context(), func(ctx context.Context, l *pg.Load) error {
		_, err := l.Copy(ctx, `SELECT 1`, rows(nil, nil))
		return err
	})
	if !fault.Is(err, "pg.copy") {
		t.Errorf("no COPY: %v", err)
	}
}
