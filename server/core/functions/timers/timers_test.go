package timers_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/functions/timers"
	"crema/server/testkit"
)

func TestParse(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ spec, after, want string }{
		{"0 30 6 * * *", "2026-11-22T06:30:00Z", "2026-11-23T06:30:00Z"},
		{"0 30 6 * *", "2026-11-22T06:29:59Z", "2026-11-22T06:30:00Z"}, // seconds first, no weekday
		{"*/15 * * * * 1", "2026-11-22T23:59:50Z", "2026-11-23T00:00:00Z"},
		{"@daily", "2026-11-22T12:00:00+02:00", "2026-11-23T00:00:00Z"},
		{"@every 30.0s", "2026-11-22T12:00:01Z", "2026-11-22T12:00:30Z"},
		{"@every 1m30s", "2026-11-22T12:00:00Z", "2026-11-22T12:01:30Z"},
	} {
		s, err := timers.Parse(c.spec)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := s.Next(at(c.after)); !got.Equal(at(c.want)) {
			t.Errorf("%s after %s: %s, want %s", c.spec, c.after, got, c.want)
		}
	}
	for _, bad := range []string{"", "often", "61 * * * * *", "* * * *", "@every soon"} {
		if _, err := timers.Parse(bad); !fault.Is(err, "timers.bad_schedule") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := timers.New(timers.Config{}, []timers.Timer{{Name: "a", Spec: "@daily"}, {Name: "b", Spec: "x"}, {Name: "c", Spec: "y"}}); !fault.Is(err, "timers.bad_schedule") {
		t.Error(err)
	}
}

// clock is a machine's clock that tests turn forward; a service that sleeps finds out by itself.
type clock struct {
	mu    sync.Mutex
	shift time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.shift)
}

func start(t *testing.T, db *pg.DB, list []timers.Timer, now func() time.Time, run func(name string) error) *timers.Service {
	t.Helper()
	s, err := timers.New(timers.Config{
		DB: db, Log: slog.New(slog.DiscardHandler), Now: now, Run: func(_ context.Context, name string) error { return run(name) },
	}, list)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

// Three servers whose clocks differ tick each second; each tick is started once.
func TestService_OneStartForEachTick(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	list := []timers.Timer{{Name: "quick", Spec: "@every 1s"}, {Name: "fails", Spec: "* * * * * *"}, {Name: "never", Spec: "0 0 0 30 2 *"}}
	ran := make(chan string, 1000)
	var all []*timers.Service
	for i := range 3 {
		c := clock{shift: time.Duration(i) * 300 * time.Millisecond}
		all = append(all, start(t, db, list, c.now, func(name string) error {
			ran <- name
			if name == "fails" {
				return errors.New("as ever")
			}
			return nil
		}))
	}
	count := map[string]int{}
	for count["quick"] < 3 || count["fails"] < 3 {
		select {
		case name := <-ran:
			count[name]++
		case <-time.After(60 * time.Second):
			t.Fatalf("the timers stand still: %v", count)
		}
	}
	for _, s := range all {
		s.Stop(t.Context())
	}
	close(ran)
	for name := range ran {
		count[name]++
	}
	rows := map[string]int{}
	var list2 []struct {
		Name  string
		Count int
	}
	if err := db.Select(t.Context(), &list2, `SELECT name, count(*) AS count FROM app._timer_run GROUP BY name`); err != nil {
		t.Fatal(err)
	}
	for _, r := range list2 {
		rows[r.Name] = r.Count
	}
	if diff := cmp.Diff(rows, count); diff != "" {
		t.Errorf("ticks and starts differ: %s", diff)
	}
}

// A tick that comes while one version takes over from another is started, by one of the two; a timer that is new has no past.
func TestSucceed_LosesNoTick(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	var now atomic.Pointer[time.Time]
	set := func(text string) {
		v, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Error(err)
		}
		now.Store(&v)
	}
	ran, looks := make(chan string, 10), make(chan struct{}, 100)
	open := func(list ...timers.Timer) *timers.Service {
		s, err := timers.New(timers.Config{
			DB: db, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { defer func() { looks <- struct{}{} }(); return *now.Load() },
			Run: func(_ context.Context, name string) error { ran <- name; return nil },
		}, list)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	set("2026-11-22T12:00:30.5Z")
	hourly := timers.Timer{Name: "both", Spec: "0 1 * * * *"}
	old := open(hourly)
	old.Start()
	for range 2 { // then it sleeps for half a minute
		<-looks
	}
	set("2026-11-22T12:01:00Z")
	next := open(timers.Timer{Name: "new", Spec: "*/10 * * * * *"}, hourly)
	next.Succeed(old)
	old.Stop(t.Context())
	select {
	case name := <-ran:
		if name != "both" {
			t.Errorf("%s ran", name)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the tick is lost")
	}
	next.Stop(t.Context())
	if len(ran) > 0 {
		t.Errorf("%s ran too", <-ran)
	}
}

// lines is a log of which a test reads line by line.
type lines chan string

// Write implements io.Writer.
func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// A tick that comes while the database is away is started when it is back.
func TestService_OutlastsTheDatabase(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	rename := func(from, to string) {
		t.Helper()
		if _, err := db.Exec(t.Context(), "ALTER TABLE app."+from+" RENAME TO "+to); err != nil {
			t.Fatal(err)
		}
	}
	rename("_timer_run", "away")
	log, ran := make(lines, 1000), make(chan string, 100)
	s, err := timers.New(timers.Config{
		DB: db, Log: slog.New(slog.NewTextHandler(log, nil)), Run: func(_ context.Context, name string) error { ran <- name; return nil },
	}, []timers.Timer{{Name: "quick", Spec: "@every 1s"}})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Stop(context.Background()) })
	deadline := time.After(60 * time.Second)
	var tick string
	for tick == "" {
		select {
		case line := <-log:
			if _, after, ok := strings.Cut(line, "it is tried again"); ok {
				_, tick, _ = strings.Cut(after, "tick=")
				tick, _, _ = strings.Cut(tick, " ")
			}
		case <-deadline:
			t.Fatal("nothing is tried again")
		}
	}
	rename("away", "_timer_run")
	for {
		select {
		case <-ran:
		case <-deadline:
			t.Fatalf("the tick of %s is lost", tick)
		}
		var there bool
		if err := db.Get(t.Context(), &there, "SELECT EXISTS (SELECT FROM app._timer_run WHERE scheduled_at = $1::timestamptz)", tick); err != nil {
			t.Fatal(err)
		}
		if there {
			return
		}
	}
}

func TestService_OldTicksAreForgotten(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	for _, when := range []string{"25 hours", "1 hour"} {
		if _, err := db.Exec(t.Context(), `INSERT INTO app._timer_run (name, scheduled_at) VALUES ('old', now() - $1::interval)`, when); err != nil {
			t.Fatal(err)
		}
	}
	ran := make(chan string, 100)
	start(t, db, []timers.Timer{{Name: "quick", Spec: "@every 1s"}}, nil, func(name string) error { ran <- name; return nil })
	select {
	case <-ran: // after the first look
	case <-time.After(60 * time.Second):
		t.Fatal("the timer stands still")
	}
	var left int
	if err := db.Get(t.Context(), &left, `SELECT count(*) FROM app._timer_run WHERE name = 'old'`); err != nil || left != 1 {
		t.Errorf("%d old ticks are left, %v", left, err)
	}
}
