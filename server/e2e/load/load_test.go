package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/testkit"
)

const (
	people = 16  // who use the app at the same time
	rate   = 120 // requests a second: two a second, for an hour
)

// How much may be left. Goroutines come and go with connections of the pool and the runtime's own work.
const (
	spareGoroutines = 12
	spareHeap       = 48 << 20 // bytes, of twice what was in use when the memory was last cleaned
	mostMemory      = 2 << 30  // bytes: the detector keeps several times what the server does, and gives nothing back
	settling        = 60 * time.Second
)

// TestLoad plays the traffic twice: a short time, after which every pool and cache is warm, and then the
// rest of the minute. Whatever grew in between is a leak.
func TestLoad(t *testing.T) {
	t.Parallel()
	warm, long := 10*time.Second, 40*time.Second
	if testing.Short() {
		warm, long = 3*time.Second, 5*time.Second
	}
	url := testkit.DatabaseURL(t)
	s := testkit.StartRaced(t, testkit.AppDir(t), "DATABASE_URL="+url, "APP_NAME=test")
	db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: testkit.Schema, MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	w := &world{t: t, s: s, db: db}
	w.prepare()
	w.play(warm)
	before := w.settle(nil)
	took := w.play(long)
	after := w.settle(&before)
	t.Logf("before %+v", before)
	t.Logf("after  %+v", after)
	report(t, took)
	for what, grown := range map[string]float64{
		"goroutines":         after.goroutines - before.goroutines - spareGoroutines,
		"file descriptors":   after.files - before.files - spareGoroutines,
		"sockets":            after.sockets,
		"requests in work":   after.inFlight - 1, // the one that asks
		"connections in use": after.inUse,
		"transactions":       after.transactions,
		"connections":        after.connections - after.pool - 4, // some listen
		"bytes in use":       after.heap - before.heap - spareHeap,
		"bytes of memory":    after.resident - mostMemory,
	} {
		if grown > 0 {
			t.Errorf("%s: %v more than there may be", what, grown)
		}
	}
	if code := s.Signal(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for line := range strings.Lines(s.Log()) {
		if strings.Contains(line, "DATA RACE") || strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "panic") {
			t.Errorf("the log says %s", line)
		}
	}
}

// report prints how long requests took, and fails when there were far too few of them.
func report(t *testing.T, took map[string][]time.Duration) {
	t.Helper()
	var all []time.Duration
	for kind, times := range took {
		all = append(all, times...)
		slices.Sort(times)
		t.Logf("%-10s %6d times, half under %v, 99 of 100 under %v", kind, len(times), times[len(times)/2], times[len(times)*99/100])
	}
	if len(all) < 200 {
		t.Errorf("only %d requests", len(all))
		return
	}
	slices.Sort(all)
	t.Logf("%-10s %6d times, half under %v, 99 of 100 under %v", "all", len(all), all[len(all)/2], all[len(all)*99/100])
}

// play lets everybody use the app for a while, and returns how long each kind of request took.
func (w *world) play(d time.Duration) map[string][]time.Duration {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), d)
	defer cancel()
	tickets := make(chan struct{})
	go func() { // who is late catches up no more than the others let it
		defer close(tickets)
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case <-ctx.Done():
				return
			case tickets <- struct{}{}:
			}
		}
	}()
	took, mu, all := map[string][]time.Duration{}, sync.Mutex{}, sync.WaitGroup{}
	for i, p := range w.people {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), uint64(d)))
			defer p.hear(w)()
			for range tickets {
				a := choose(r)
				start := time.Now()
				if err := a.do(p, r); err != nil {
					w.t.Errorf("%s: %v", a.name, err)
				}
				mu.Lock()
				took[a.name] = append(took[a.name], time.Since(start))
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for _, p := range w.people {
		p.client.CloseIdleConnections()
	}
	return took
}

// state is what may leak.
type state struct {
	goroutines, files, sockets, inFlight, inUse, pool, heap, resident float64
	connections, transactions                                         float64 // as PostgreSQL counts them
}

// settle waits until the server rests: with before, until there is no more of anything than then. When that
// does not happen it returns what there is.
func (w *world) settle(before *state) state {
	w.t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	late := time.After(settling)
	var last state
	for calm := 0; ; {
		now := w.look()
		resting := now.sockets == 0 && now.inFlight <= 1 && now.inUse == 0 && now.transactions == 0
		if before != nil {
			resting = resting && now.goroutines <= before.goroutines+spareGoroutines && now.files <= before.files+spareGoroutines
		} else {
			resting = resting && now.goroutines == last.goroutines
		}
		if calm++; !resting {
			calm = 0
		}
		if last = now; calm == 5 {
			return now
		}
		select {
		case <-late:
			return now
		case <-tick.C:
		}
	}
}

// look reads the metrics page and PostgreSQL's.
func (w *world) look() state {
	w.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	page, err := get(client, w.s.URL+"/metrics", w.s.MasterKey)
	if err != nil {
		w.t.Fatal(err)
	}
	now := state{}
	for name, to := range map[string]*float64{
		"go_goroutines": &now.goroutines, "process_open_fds": &now.files, "process_resident_memory_bytes": &now.resident, "go_memstats_next_gc_bytes": &now.heap, "crema_sockets_open": &now.sockets,
		"crema_http_requests_in_flight": &now.inFlight, "crema_db_connections_in_use": &now.inUse, "crema_db_connections_max": &now.pool,
	} {
		_, rest, found := strings.Cut(page, "\n"+name+" ")
		if _, err := fmt.Sscan(rest, to); !found || err != nil {
			w.t.Fatalf("the metrics have no %s: %v", name, err)
		}
	}
	var idle float64
	_, rest, _ := strings.Cut(page, "\ncrema_db_connections_idle ")
	if _, err := fmt.Sscan(rest, &idle); err != nil {
		w.t.Fatal(err)
	}
	now.files -= idle + now.inUse // the pool keeps what it has
	if err := w.db.Get(w.t.Context(), &now.connections, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		w.t.Fatal(err)
	}
	if err := w.db.Get(w.t.Context(), &now.transactions, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle' AND backend_type = 'client backend'`); err != nil {
		w.t.Fatal(err)
	}
	return now
}
