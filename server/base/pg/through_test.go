package pg_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/testkit"
)

const insertCup = "INSERT INTO app.cup SELECT $1::text"

// lockedCups returns a pool of two connections and a table that another pool holds a lock on until release.
func lockedCups(t *testing.T) (db *pg.DB, release func()) {
	t.Helper()
	holder, ctx := testkit.DB(t), t.Context()
	db, err := pg.Open(ctx, pg.Config{URL: holder.URL(), Schema: testkit.Schema, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(ctx, "CREATE TABLE app.cup (name text)"); err != nil {
		t.Fatal(err)
	}
	locked, done, over := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		over <- holder.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
			_, err := tx.Exec(ctx, "LOCK TABLE app.cup IN ACCESS EXCLUSIVE MODE")
			close(locked)
			<-done
			return err
		})
	}()
	<-locked
	return db, func() {
		close(done)
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
}

func cups(t *testing.T, db *pg.DB) (names []string) {
	t.Helper()
	if err := db.Select(t.Context(), &names, "SELECT name FROM app.cup ORDER BY name"); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestExecThrough_EndsWhatHasBegunAndBeginsNothingLate(t *testing.T) {
	t.Parallel()
	db, release := lockedCups(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type result struct {
		n   int64
		err error
	}
	results := make(chan result, 2)
	for _, name := range []string{"a", "b"} { // they take both connections and wait for the lock
		go func() {
			n, err := db.ExecThrough(ctx, insertCup, name)
			results <- result{n, err}
		}()
	}
	for end := time.Now().Add(10 * time.Second); db.Stats().InUse < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the statements do not begin")
		}
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := db.ExecThrough(short, insertCup, "no connection is free"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a free connection: %v", err)
	}
	cancel()
	release()
	for range 2 {
		if r := <-results; r.n != 1 || r.err != nil {
			t.Errorf("begun before the end of its context: %d, %v", r.n, r.err)
		}
	}
	if _, err := db.ExecThrough(ctx, insertCup, "too late"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
	if got := cups(t, db); len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("stored: %q", got)
	}
}
