package pg_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

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

// All listeners of a pool share a connection; each hears its own channel, until it stops.
func TestListen_SharesOneConnection(t *testing.T) {
	t.Parallel()
	db, ctx := testkit.DB(t), t.Context()
	listen := func(db *pg.DB, channel string) (*pg.Listener, chan string) {
		got := make(chan string, 10)
		l, err := db.Listen(ctx, channel, func(p string, again bool) { got <- p })
		if err != nil {
			t.Fatal(err)
		}
		return l, got
	}
	notify := func(channel, payload string) {
		if _, err := db.Exec(ctx, "SELECT pg_notify($1, $2)", channel, payload); err != nil {
			t.Fatal(err)
		}
	}
	beans, gotBeans := listen(db, "beans")
	again, gotAgain := listen(db.In("other"), "beans")
	cups, gotCups := listen(db, "cups")
	var n int
	if err := db.Get(ctx, &n, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"); err != nil || n != 1 {
		t.Errorf("%d connections listen, %v", n, err)
	}
	notify("beans", "kenya")
	notify("cups", "mug")
	if a, b, c := <-gotBeans, <-gotAgain, <-gotCups; a != "kenya" || b != "kenya" || c != "mug" {
		t.Errorf("got %q, %q, %q", a, b, c)
	}
	beans.Stop()
	notify("beans", "peru")
	if b := <-gotAgain; b != "peru" || len(gotBeans) > 0 {
		t.Errorf("got %q, and %d after the end", b, len(gotBeans))
	}
	again.Stop()
	cups.Stop()
	last, gotLast := listen(db, "beans") // over a new connection
	defer last.Stop()
	notify("beans", "java")
	if p := <-gotLast; p != "java" {
		t.Errorf("got %q", p)
	}
}

func TestListen_SaysThatNoticesMayBeMissing(t *testing.T) {
	t.Parallel()
	db, ctx := testkit.DB(t), t.Context()
	got := make(chan string, 10)
	l, err := db.Listen(ctx, "beans", func(p string, again bool) { got <- fmt.Sprint(p, again) })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	if _, err := db.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"); err != nil {
		t.Fatal(err)
	}
	if p := <-got; p != "true" {
		t.Errorf("got %q", p)
	}
	if _, err := db.Exec(ctx, "SELECT pg_notify('beans', 'kenya')"); err != nil {
		t.Fatal(err)
	}
	if p := <-got; p != "kenyafalse" {
		t.Errorf("got %q", p)
	}
}

// A slow listener keeps a bounded number of notices and is told that it missed some. It holds nobody up.
func TestListen_ASlowOneIsTold(t *testing.T) {
	t.Parallel()
	db, ctx := testkit.DB(t), t.Context()
	hold, missed, through := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var toldOnce, throughOnce sync.Once
	slow, err := db.Listen(ctx, "beans", func(_ string, again bool) {
		if <-hold; again {
			toldOnce.Do(func() { close(missed) })
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Stop()
	quick, err := db.Listen(ctx, "beans", func(p string, again bool) {
		if p == "last" || again { // on a busy machine it may be too slow as well
			throughOnce.Do(func() { close(through) })
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer quick.Stop()
	for _, q := range []string{"SELECT pg_notify('beans', i::text) FROM generate_series(1, 10000) i WHERE $1", "SELECT pg_notify('beans', 'last') WHERE $1"} {
		if _, err := db.Exec(ctx, q, true); err != nil {
			t.Fatal(err)
		}
	}
	<-through
	close(hold)
	select {
	case <-missed:
	case <-time.After(30 * time.Second):
		t.Error("it was not told")
	}
}

func TestListen_GivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(t.Context(), pg.Config{URL: testkit.DatabaseURL(t), ListenURL: "postgres://127.0.0.1:1/nobody?sslmode=disable", Schema: testkit.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := db.Listen(ctx, "beans", func(string, bool) {}); !fault.HasCode(err, fault.Timeout) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
}

func TestSearch_IsPlannedForItsArguments(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(t.Context(), pg.Config{URL: testkit.DB(t).URL(), Schema: "app", MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	// It counts the prepared statements that are itself.
	const text = `SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%itself' || $1::text || '%'`
	for range 8 {
		n := -1
		if err := db.Search(t.Context(), text, []any{""}, func(r pg.Row) error { return r.Scan(&n) }); err != nil || n != 0 {
			t.Fatalf("%d, %v", n, err)
		}
	}
}

func TestHasHistory_SeesWhatOthersDidMeanwhile(t *testing.T) {
	t.Parallel()
	url := testkit.DatabaseURL(t)
	open := func() *pg.DB {
		db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: "app", MaxConns: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}
	db, other := open(), open()
	if _, err := other.Exec(t.Context(), "CREATE SCHEMA app"); err != nil {
		t.Fatal(err)
	}
	err := db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error {
		for _, want := range []bool{false, true} {
			if known, err := db.HasHistory(ctx, tx); err != nil || known != want {
				t.Errorf("%v, %v; want %v", known, err, want)
			}
			if !want {
				if _, err := other.Exec(ctx, "CREATE TABLE app._migration ()"); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
