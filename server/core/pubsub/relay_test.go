package pubsub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/pubsub"
	"crema/server/testkit"
)

// server is a room with a pool of its own, as a process has it.
func server(t *testing.T, url string, limits pubsub.Limits, log *slog.Logger) *pubsub.Service {
	t.Helper()
	db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: testkit.Schema, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	s := pubsub.New(pubsub.Config{DB: db, Limits: limits, Log: log})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		s.Stop(ctx)
		_ = db.Close()
	})
	return s
}

func TestServers_HearEachOtherOnceAndInOrder(t *testing.T) {
	t.Parallel()
	url := testkit.DatabaseURL(t)
	servers := []*pubsub.Service{server(t, url, pubsub.Limits{}, nil), server(t, url, pubsub.Limits{}, nil), server(t, url, pubsub.Limits{}, nil)}
	var members []*pubsub.Member
	for _, s := range servers {
		members = append(members, join(t, s, pubsub.Public, "room"), join(t, s, pubsub.Internal, "room"))
	}
	const n = 500
	var all sync.WaitGroup
	for from, s := range servers {
		all.Go(func() {
			for i := range n {
				hub := pubsub.Public
				if i%5 == 0 {
					hub = pubsub.Internal
				}
				if err := s.Publish(t.Context(), hub, "room", json.RawMessage(fmt.Sprintf(`{"from":%d,"n":%d}`, from, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i, m := range members {
		all.Go(func() {
			want := n * len(servers) * 4 / 5
			if i%2 == 1 {
				want = n * len(servers) / 5
			}
			last := [3]int{-1, -1, -1}
			for _, text := range take(t, m, want) {
				var got struct {
					Channel string
					Data    struct{ From, N int }
				}
				if err := json.Unmarshal([]byte(text), &got); err != nil || got.Channel != "room" {
					t.Errorf("%s: %v", text, err)
				}
				if got.Data.N <= last[got.Data.From] {
					t.Errorf("member %d: %d of server %d after %d", i, got.Data.N, got.Data.From, last[got.Data.From])
				}
				last[got.Data.From] = got.Data.N
			}
		})
	}
	all.Wait()
	for _, m := range members { // each in turn is the last to hear this, so nothing came twice
		if batch, err := m.Next(canceled()); err == nil {
			t.Errorf("%d messages too many", len(batch))
		}
	}
}

// Data of any size and script passes, cut where notices end.
func TestServers_LargeAndStrangeMessages(t *testing.T) {
	t.Parallel()
	url := testkit.DatabaseURL(t)
	limits := pubsub.Limits{MessageBytes: 1 << 20, QueueBytes: 4 << 20}
	a, b := server(t, url, limits, nil), server(t, url, limits, nil)
	const name = "a \"b\" \x00\n<ü>\u2028"
	m, here := join(t, b, pubsub.Public, name), join(t, a, pubsub.Public, name)
	for _, data := range []string{
		`{ "a" : [1.00, 1e3] }`, `"` + strings.Repeat("€", 100_000) + `"`, `"` + strings.Repeat("x", 7900) + `"`,
		`"` + strings.Repeat("𝄞ab", 50_000) + `"`, `"\u0000\ud834\n"`, `0`, `false`,
	} {
		publish(t, a, pubsub.Public, name, data)
		if diff := cmp.Diff(take(t, here, 1), take(t, m, 1)); diff != "" {
			t.Errorf("%.20s: %s", data, diff)
		}
	}
}

func TestServers_OnCommit(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a, b := pubsub.New(pubsub.Config{DB: db}), server(t, db.URL(), pubsub.Limits{}, nil)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Stop(context.Background()) })
	m := join(t, b, pubsub.Internal, "_sub_d")
	refused := errors.New("no")
	for i, outcome := range []error{refused, nil} {
		err := db.Tx(t.Context(), func(_ context.Context, tx *pg.Tx) error {
			return errors.Join(a.PublishOnCommit(tx, pubsub.Internal, "_sub_d", json.RawMessage(fmt.Sprint(i))), outcome)
		})
		if !errors.Is(err, outcome) {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{`{"channel":"_sub_d","data":1}`}, take(t, m, 1)); diff != "" {
		t.Error(diff)
	}
}

// While the database is away, subscribers of the same server are served. What was published meanwhile
// reaches the others once it is back.
func TestServers_ALostConnectionLosesNothingThatWaits(t *testing.T) {
	t.Parallel()
	url := testkit.DatabaseURL(t)
	a, b := server(t, url, pubsub.Limits{}, nil), server(t, url, pubsub.Limits{}, nil)
	here, there := join(t, a, pubsub.Public, "c"), join(t, b, pubsub.Public, "c")
	publish(t, a, pubsub.Public, "c", `0`)
	take(t, here, 1)
	take(t, there, 1)
	admin, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: testkit.Schema, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	for i := range 20 {
		// Only those that send: what is sent while a listener is away is lost, and told in the log.
		if _, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query NOT LIKE 'LISTEN%'"); err != nil {
			t.Fatal(err)
		}
		publish(t, a, pubsub.Public, "c", fmt.Sprint(i))
		want := []string{fmt.Sprintf(`{"channel":"c","data":%d}`, i)}
		if diff := cmp.Diff(want, take(t, here, 1)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(want, take(t, there, 1)); diff != "" {
			t.Error(diff)
		}
	}
}

// Nobody can hold up what other servers say: a member that does not read is cut off, later than here.
func TestServers_ASlowReaderOfAnotherServerIsCutOff(t *testing.T) {
	t.Parallel()
	url := testkit.DatabaseURL(t)
	a, b := server(t, url, pubsub.Limits{}, nil), server(t, url, pubsub.Limits{QueueLength: 4, Patience: time.Hour}, nil)
	slow, good := join(t, b, pubsub.Public, "c"), join(t, b, pubsub.Public, "c")
	const n = 100
	for i := range n {
		publish(t, a, pubsub.Public, "c", fmt.Sprint(i))
		if got := take(t, good, 1); got[0] != fmt.Sprintf(`{"channel":"c","data":%d}`, i) {
			t.Errorf("the good reader gets %v", got)
		}
	}
	if batch, err := slow.Next(t.Context()); !fault.Is(err, "pubsub.slow") {
		t.Errorf("the slow reader gets %d messages, %v", len(batch), err)
	}
}

// lines is a log that is written and read at the same time.
type lines struct {
	mu  sync.Mutex
	buf strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// A server that has lost its listening connection says so, hears again, and hears nothing twice.
func TestServers_ALostListenerIsToldAndComesBack(t *testing.T) {
	t.Parallel()
	url := testkit.DatabaseURL(t)
	var log lines
	a, b := server(t, url, pubsub.Limits{}, nil), server(t, url, pubsub.Limits{}, slog.New(slog.NewTextHandler(&log, nil)))
	m := join(t, b, pubsub.Public, "c")
	publish(t, a, pubsub.Public, "c", `-1`)
	take(t, m, 1)
	admin, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: testkit.Schema, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close() }()
	if _, err := admin.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	heard := make(chan []string, 1)
	go func() {
		var all []string
		for len(all) < 3 {
			batch, err := m.Next(ctx)
			if err != nil {
				t.Error(err)
				break
			}
			for _, text := range batch {
				all = append(all, string(text))
			}
		}
		heard <- all
	}()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for i := 0; ; i++ {
		select {
		case <-again.C:
			publish(t, a, pubsub.Public, "c", fmt.Sprint(i))
			continue
		case all := <-heard:
			last := -1
			for _, text := range all {
				var got struct{ Data int }
				if err := json.Unmarshal([]byte(text), &got); err != nil || got.Data <= last {
					t.Errorf("%s after %d, %v", text, last, err)
				}
				last = got.Data
			}
		}
		break
	}
	if !strings.Contains(log.String(), "may be missing") {
		t.Errorf("log:\n%s", log.String())
	}
}

// A server that dies leaves the others as they were, and another one takes its place.
func TestServers_OneMoreAndOneLess(t *testing.T) {
	t.Parallel()
	url := testkit.DatabaseURL(t)
	a := server(t, url, pubsub.Limits{}, nil)
	m := join(t, a, pubsub.Public, "c")
	for i := range 5 {
		db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: testkit.Schema, MaxConns: 2})
		if err != nil {
			t.Fatal(err)
		}
		b := pubsub.New(pubsub.Config{DB: db})
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		publish(t, b, pubsub.Public, "c", fmt.Sprint(i))
		b.Stop(t.Context()) // sends what waits
		_ = db.Close()
		if diff := cmp.Diff([]string{fmt.Sprintf(`{"channel":"c","data":%d}`, i)}, take(t, m, 1)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestStart_FailsWhenNobodyCanListen(t *testing.T) {
	t.Parallel()
	db, err := pg.Open(t.Context(), pg.Config{URL: testkit.DatabaseURL(t), ListenURL: "postgres://127.0.0.1:1/x?sslmode=disable", Schema: testkit.Schema})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s := pubsub.New(pubsub.Config{DB: db})
	if err := s.Start(ctx); !fault.HasCode(err, fault.Timeout) {
		t.Errorf("got %v", err)
	}
	s.Stop(ctx)
}

func TestPublishIn_ReachesAllServersWhenItCommits(t *testing.T) {
	t.Parallel()
	url := testkit.DatabaseURL(t)
	log := slog.New(slog.DiscardHandler)
	one, two := server(t, url, pubsub.Limits{}, log), server(t, url, pubsub.Limits{}, log)
	members := []*pubsub.Member{join(t, one, pubsub.Internal, "room"), join(t, two, pubsub.Internal, "room")}
	db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: testkit.Schema, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	publish := func(data string, end error) {
		t.Helper()
		err := db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error {
			if err := one.PublishIn(ctx, tx, pubsub.Internal, "room", json.RawMessage(data)); err != nil {
				return err
			}
			return end
		})
		if !errors.Is(err, end) {
			t.Fatal(err)
		}
	}
	publish(`1`, errors.New("rolled back"))
	publish(`2`, nil)
	publish(`{"n":3}`, nil)
	for _, m := range members {
		want := []string{`{"channel":"room","data":2}`, `{"channel":"room","data":{"n":3}}`}
		if diff := cmp.Diff(want, take(t, m, 2)); diff != "" {
			t.Error(diff)
		}
	}
	err = db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error {
		return one.PublishIn(ctx, tx, pubsub.Internal, "room", json.RawMessage(`"`+strings.Repeat("x", 8000)+`"`))
	})
	if !fault.Is(err, "pubsub.data") {
		t.Errorf("a message that is too long: %v", err)
	}
}
