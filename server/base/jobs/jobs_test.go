package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/jobs"
	"crema/server/base/pg"
	"crema/server/testkit"
)

// limit is how long a test waits for what must happen.
const limit = 30 * time.Second

func listen(db *pg.DB) jobs.Listen {
	return func(ctx context.Context, channel string, heard func()) (func(), error) {
		l, err := db.Listen(ctx, channel, func(string, bool) { heard() })
		if err != nil {
			return nil, err
		}
		return l.Stop, nil
	}
}

func queue(db *pg.DB, change ...func(*jobs.Config)) *jobs.Queue {
	c := jobs.Config{
		DB: db, App: "test", Listen: listen(db), Log: slog.New(slog.DiscardHandler),
		Backoff: func(int) time.Duration { return time.Millisecond },
	}
	for _, f := range change {
		f(&c)
	}
	return jobs.New(c)
}

func start(t *testing.T, q *jobs.Queue) {
	t.Helper()
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Stop)
}

func enqueue(t *testing.T, q *jobs.Queue, db jobs.Querier, kind string, payloads ...any) {
	t.Helper()
	if err := q.Enqueue(t.Context(), db, kind, payloads...); err != nil {
		t.Fatal(err)
	}
}

func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// await polls the database for what no channel tells.
func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !is(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

func count(t *testing.T, db *pg.DB) (n int) {
	t.Helper()
	if err := db.Get(t.Context(), &n, "SELECT count(*) FROM app._job"); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEnqueue_BelongsToItsTransaction(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q := queue(db)
	got := make(chan string, 10)
	q.Handle("greet", 3, func(_ context.Context, p json.RawMessage) error {
		got <- string(p)
		return nil
	})
	start(t, q)
	boom := errors.New("boom")
	err := db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error {
		if err := q.Enqueue(ctx, tx, "greet", "never"); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	err = db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error {
		return q.Enqueue(ctx, tx, "greet", map[string]any{"n": 9007199254740993, "s": "\x00"})
	})
	if err != nil {
		t.Fatal(err)
	}
	if p := receive(t, got); p != `{"n":9007199254740993,"s":"\u0000"}` {
		t.Errorf("payload %s", p)
	}
	await(t, "an empty table", func() bool { return count(t, db) == 0 })
	if len(got) != 0 {
		t.Error("the job of a transaction that was rolled back ran")
	}
}

func TestWork_RetriesThenSucceeds(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q := queue(db)
	tries, done := 0, make(chan int, 1)
	q.Handle("flaky", 3, func(context.Context, json.RawMessage) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		done <- tries
		return nil
	})
	start(t, q)
	enqueue(t, q, db, "flaky", 1)
	if n := receive(t, done); n != 3 {
		t.Errorf("done at try %d", n)
	}
	await(t, "an empty table", func() bool { return count(t, db) == 0 })
}

func TestWork_GivesUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run   jobs.Handler
		tries int
		text  string
	}{
		"after the last try": {func(context.Context, json.RawMessage) error { return errors.New("no\x00 way\xff") }, 3, "no way"},
		"at once": {func(context.Context, json.RawMessage) error {
			return jobs.Permanent(errors.New("never"))
		}, 1, "never"},
		"after a panic": {func(_ context.Context, p json.RawMessage) error {
			return []error{}[len(p)-len(`"x"`)]
		}, 3, "jobs.panic: a job of kind doomed panicked: runtime error: index out of range [0] with length 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testkit.DB(t)
			q := queue(db)
			q.Handle("doomed", 3, c.run)
			start(t, q)
			enqueue(t, q, db, "doomed", "x")
			var dead []jobs.Dead
			await(t, "a dead job", func() bool {
				var err error
				dead, err = q.Dead(t.Context(), 10)
				return err == nil && len(dead) == 1
			})
			if dead[0].Tries != c.tries || dead[0].LastError != c.text || dead[0].Kind != "doomed" || string(dead[0].Payload) != `"x"` {
				t.Errorf("got %+v", dead[0])
			}
		})
	}
}

func TestRevive_TriesAgain(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q := queue(db)
	ran := make(chan struct{}, 9)
	q.Handle("doomed", 1, func(context.Context, json.RawMessage) error {
		ran <- struct{}{}
		return errors.New("no")
	})
	start(t, q)
	enqueue(t, q, db, "doomed", 1)
	var id int64
	for range 2 {
		receive(t, ran)
		await(t, "a dead job", func() bool {
			dead, err := q.Dead(t.Context(), 1)
			if len(dead) == 1 {
				id = dead[0].ID
			}
			return err == nil && len(dead) == 1
		})
		if err := q.Revive(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Revive(t.Context(), id+1); !fault.Is(err, "jobs.not_dead") {
		t.Errorf("got %v", err)
	}
}

func TestWork_WaitsAsLongAsTheHandlerSays(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q := queue(db)
	q.Handle("busy", 3, func(context.Context, json.RawMessage) error { return jobs.After(time.Hour, errors.New("slow down")) })
	start(t, q)
	enqueue(t, q, db, "busy", 1)
	await(t, "the next try far away", func() bool {
		var far bool
		err := db.Get(t.Context(), &far, "SELECT due_at > now() + interval '50 minutes' AND last_error = 'slow down' FROM app._job")
		return err == nil && far
	})
}

func TestWork_SeveralServersShare(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	const n = 300
	var mu sync.Mutex
	seen := map[string]int{}
	done := make(chan struct{}, 2*n)
	for range 3 {
		q := queue(db, func(c *jobs.Config) { c.Workers = 4 })
		q.Handle("share", 1, func(_ context.Context, p json.RawMessage) error {
			mu.Lock()
			defer mu.Unlock()
			seen[string(p)]++
			done <- struct{}{}
			return nil
		})
		start(t, q)
	}
	payloads := make([]any, n)
	for i := range payloads {
		payloads[i] = i
	}
	enqueue(t, queue(db), db, "share", payloads...)
	for range n {
		receive(t, done)
	}
	await(t, "an empty table", func() bool { return count(t, db) == 0 })
	mu.Lock()
	defer mu.Unlock()
	for p, times := range seen {
		if times != 1 {
			t.Errorf("job %s ran %d times", p, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d jobs ran", len(seen), n)
	}
}

func TestWork_LeavesUnknownKindsToOthers(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q, ran := queue(db), make(chan struct{}, 1)
	q.Handle("known", 1, func(context.Context, json.RawMessage) error {
		ran <- struct{}{}
		return nil
	})
	start(t, q)
	enqueue(t, q, db, "unknown", 1)
	enqueue(t, q, db, "known", 1)
	receive(t, ran)
	var kinds []string
	await(t, "one job left", func() bool {
		kinds = nil
		err := db.Select(t.Context(), &kinds, "SELECT kind FROM app._job WHERE run = 0")
		return err == nil && cmp.Equal(kinds, []string{"unknown"})
	})
}

func TestStop_GivesTheTryBack(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q, began := queue(db), make(chan struct{})
	q.Handle("long", 1, func(ctx context.Context, _ json.RawMessage) error {
		close(began)
		<-ctx.Done()
		return ctx.Err()
	})
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	enqueue(t, q, db, "long", 1)
	receive(t, began)
	q.Stop()
	other, done := queue(db), make(chan struct{})
	other.Handle("long", 1, func(context.Context, json.RawMessage) error {
		close(done)
		return nil
	})
	start(t, other)
	receive(t, done)
	await(t, "an empty table", func() bool { return count(t, db) == 0 })
}

func TestWork_RenewsItsLease(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q, began, end := queue(db, func(c *jobs.Config) { c.Lease = 6 * time.Second }), make(chan struct{}, 9), make(chan struct{})
	q.Handle("long", 9, func(context.Context, json.RawMessage) error {
		began <- struct{}{}
		<-end
		return nil
	})
	start(t, q)
	enqueue(t, q, db, "long", 1)
	receive(t, began)
	var first time.Time
	if err := db.Get(t.Context(), &first, "SELECT due_at FROM app._job"); err != nil {
		t.Fatal(err)
	}
	await(t, "a later end of the lease", func() bool {
		var later bool
		err := db.Get(t.Context(), &later, "SELECT due_at > $1 FROM app._job", first)
		return err == nil && later
	})
	close(end)
	await(t, "an empty table", func() bool { return count(t, db) == 0 })
}

func TestWork_EndsWhenTheLeaseIsLost(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	q, began, ended := queue(db, func(c *jobs.Config) { c.Lease = 3 * time.Second }), make(chan struct{}, 9), make(chan struct{}, 9)
	q.Handle("long", 9, func(ctx context.Context, _ json.RawMessage) error {
		began <- struct{}{}
		<-ctx.Done()
		ended <- struct{}{}
		return ctx.Err()
	})
	start(t, q)
	enqueue(t, q, db, "long", 1)
	receive(t, began)
	// As another server would after a long silence of this one.
	if _, err := db.Exec(t.Context(), "UPDATE app._job SET run = run + 1, due_at = now() + $1 * interval '1 hour'", 1); err != nil {
		t.Fatal(err)
	}
	receive(t, ended)
	q.Stop() // until the outcome was stored, had it been
	var kept bool
	if err := db.Get(t.Context(), &kept, "SELECT due_at > now() + interval '30 minutes' AND last_error IS NULL FROM app._job"); err != nil || !kept {
		t.Errorf("who lost the lease wrote: %v, %v", kept, err)
	}
}
