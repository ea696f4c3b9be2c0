package pg_test

import (
	"context"
	"errors"
	"testing"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/testkit"
)

func TestTx_RollsBackAndRunsAfterCommitOnlyOnSuccess(t *testing.T) {
	t.Parallel()
	db, ctx := testkit.DB(t), t.Context()
	ran := false
	boom := errors.New("boom")
	err := db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		tx.AfterCommit(func() { ran = true })
		if _, err := tx.Exec(ctx, "INSERT INTO app._role (id) VALUES ($1)", "barista"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) || ran {
		t.Fatalf("err %v, after-commit ran %v", err, ran)
	}
	var n int
	if err := db.Get(ctx, &n, "SELECT count(*) FROM app._role WHERE id = $1", "barista"); err != nil || n != 0 {
		t.Fatalf("rolled back row is there: %d, %v", n, err)
	}
	if err := db.Tx(ctx, func(_ context.Context, tx *pg.Tx) error {
		tx.AfterCommit(func() { ran = true })
		return nil
	}); err != nil || !ran {
		t.Fatalf("err %v, after-commit ran %v", err, ran)
	}
}

func TestTx_TryUndoesOnlyItsOwnWork(t *testing.T) {
	t.Parallel()
	db, ctx := testkit.DB(t), t.Context()
	insert := "INSERT INTO app._role (id) VALUES ($1)"
	err := db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if _, err := tx.Exec(ctx, insert, "a"); err != nil {
			return err
		}
		err := tx.Try(ctx, func(ctx context.Context) error {
			_, err := tx.Exec(ctx, insert, "a")
			return err
		})
		if !fault.Is(err, "pg.unique") {
			t.Errorf("got %v, want pg.unique", err)
		}
		_, err = tx.Exec(ctx, insert, "b")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	if err := db.Select(ctx, &ids, "SELECT id FROM app._role WHERE id IN ('a','b') ORDER BY id"); err != nil || len(ids) != 2 {
		t.Fatalf("got %v, %v", ids, err)
	}
}

func TestFault_Reasons(t *testing.T) {
	t.Parallel()
	db, ctx := testkit.DB(t), t.Context()
	for q, reason := range map[string]string{
		"SELECT x FROM app.nowhere WHERE 1 = $1":                  "pg.undefined_table",
		"SELECT nothing FROM app._role WHERE by_default = ($1=1)": "pg.undefined_column",
		"SELECT id FROM app._role WHERE 1 = 0 AND $1 = 1":         "pg.no_rows",
		"SELECT 1/($1::int - 1)":                                  "pg.bad_value",
	} {
		var v any
		if err := db.Get(ctx, &v, q, 1); !fault.Is(err, reason) {
			t.Errorf("%s: got %v, want %s", q, err, reason)
		}
	}
}

func TestMigrate_ServersThatStartTogetherAgree(t *testing.T) {
	t.Parallel()
	url := testkit.EmptyDatabaseURL(t)
	errs := make(chan error, 4)
	for range 4 {
		go func() { errs <- testkit.Migrate(t.Context(), url) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestListen_HearsOtherConnections(t *testing.T) {
	t.Parallel()
	db, ctx := testkit.DB(t), t.Context()
	got := make(chan string, 1)
	l, err := db.Listen(ctx, "beans", func(p string, again bool) { got <- p })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	if _, err := db.Exec(ctx, "SELECT pg_notify('beans', $1)", "kenya"); err != nil {
		t.Fatal(err)
	}
	if p := <-got; p != "kenya" {
		t.Errorf("got %q", p)
	}
}

func TestSelect_PreparesAgainWhenAColumnGotAnotherType(t *testing.T) {
	t.Parallel()
	db, ctx := testkit.DB(t), t.Context()
	alter := func(statement string) {
		t.Helper()
		if _, err := db.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	alter("CREATE TABLE app.thing (id text, v text); INSERT INTO app.thing VALUES ('a', '1')")
	read := func() (v any) {
		t.Helper()
		err := db.Each(ctx, "SELECT v FROM app.thing WHERE id = $1", []any{"a"}, func(r pg.Row) error { return r.Scan(&v) })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := read(); v != "1" {
		t.Fatalf("got %v", v)
	}
	for range 3 {
		alter("ALTER TABLE app.thing ALTER v TYPE float8 USING v::float8")
		if v := read(); v != 1.0 {
			t.Fatalf("got %v", v)
		}
		alter("ALTER TABLE app.thing ALTER v TYPE text")
		if v := read(); v != "1" {
			t.Fatalf("got %v", v)
		}
	}
}
