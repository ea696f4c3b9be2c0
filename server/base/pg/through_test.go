package pg_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/testkit"
)

const insertCup = "INSERT INTO app.cup SELECT $1::text"

// lockedCups returns a pool of four connections and a table that another pool holds a lock on until release.
func lockedCups(t *testing.T) (db *pg.DB, release func()) {
	t.Helper()
	holder, ctx := testkit.DB(t), t.Context()
	db, err := pg.Open(ctx, pg.Config{URL: holder.URL(), Schema: testkit.Schema, MaxConns: 4})
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

// insertFour takes all connections of db, each with an INSERT that waits for the lock, and returns what becomes of them.
func insertFour(t *testing.T, db *pg.DB, insert func(name string) (int64, error)) <-chan error {
	t.Helper()
	errs := make(chan error, 4)
	for _, name := range []string{"a", "b", "c", "d"} {
		go func() {
			n, err := insert(name)
			if err == nil && n != 1 {
				err = fmt.Errorf("%d rows", n)
			}
			errs <- err
		}()
	}
	for end := time.Now().Add(10 * time.Second); db.Stats().InUse < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the statements do not begin")
		}
	}
	return errs
}

func TestExecThrough_EndsWhatHasBegunOnHalfOfTheConnections(t *testing.T) {
	t.Parallel()
	db, release := lockedCups(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := insertFour(t, db, func(name string) (int64, error) { return db.ExecThrough(ctx, insertCup, name) })
	cancel()
	for range 2 { // while the lock is held
		if err := <-errs; err == nil {
			t.Error("one of the other half is stored")
		}
	}
	release()
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("begun before the end of its context: %v", err)
		}
	}
	if _, err := db.ExecThrough(ctx, insertCup, "too late"); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
	if got := cups(t, db); len(got) != 2 {
		t.Errorf("stored: %q", got)
	}
	if n, err := db.ExecThrough(t.Context(), insertCup, "afterwards"); n != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestExecThrough_WaitsForAConnectionNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	db, release := lockedCups(t)
	errs := insertFour(t, db, func(name string) (int64, error) { return db.Exec(t.Context(), insertCup, name) })
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := db.ExecThrough(short, insertCup, "no connection is free"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a free connection: %v", err)
	}
	release()
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := cups(t, db); len(got) != 4 {
		t.Errorf("stored: %q", got)
	}
}
