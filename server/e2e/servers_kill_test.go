package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crema/server/base/pg"
	"crema/server/testkit"
)

// node is one of two servers on a database. It is killed and started again.
type node struct {
	*shop // its folders; the versions are the fleet's

	mu    sync.Mutex
	now   *testkit.Server
	up    bool
	kills int
	logs  strings.Builder // of those that were killed
}

// current is the server, whether it is there, and how many were killed before.
func (n *node) current() (s *testkit.Server, up bool, kills int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now, n.up, n.kills
}

// replace kills the server and starts another one.
func (n *node) replace() {
	n.mu.Lock()
	old := n.now
	n.up = false
	n.kills++
	n.mu.Unlock()
	old.Kill()
	next := n.start()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.logs.WriteString(old.Log())
	n.now, n.up = next, true
}

// log is what all servers of the node have said.
func (n *node) log() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.logs.String() + n.now.Log()
}

// fleet is two servers that serve one app, and its shoppers.
type fleet struct {
	*shop
	nodes    [2]*node
	deployed atomic.Int64 // newest version that a deploy has been told to be live

	answered, cut atomic.Int64
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{shop: newShop(t)}
	for i := range f.nodes {
		own := *f.shop
		own.home, own.temp = testkit.AppDir(t), t.TempDir()
		f.nodes[i] = &node{shop: &own, up: true}
		f.nodes[i].now = own.start()
	}
	return f
}

// release deploys the next version through a server. It says whether the version was heard to be live.
func (f *fleet) release(s *testkit.Server) bool {
	f.n++
	write(f.t, f.dir, map[string]string{
		"lambdas/number.js": fmt.Sprintf(`const cloud = require('skygear/cloud');
cloud.op('number', async () => { await new Promise((done) => setTimeout(done, 20)); return %d; });
cloud.every('* * * * * *', () => { console.log('a tick runs'); }, {name: 'each second'});
`, f.n),
		"public_html/index.html": fmt.Sprint(f.n),
	})
	if f.deploy(s) != nil {
		return false
	}
	f.deployed.Store(int64(f.n))
	return true
}

// visit asks one server after the other for the page and the function until over says so. A request may fail only when its
// server is killed meanwhile. No server goes back to an older version.
func (f *fleet) visit(first int, over *atomic.Bool) {
	var last [2]int // also of a server that was killed: what it has answered must be durable
	for at := first; !over.Load(); at++ {
		for _, path := range []string{"/", "/lambda/number"} {
			n := f.nodes[at%2]
			s, up, before := n.current()
			if !up {
				break
			}
			version, err := ask(s, path)
			_, _, after := n.current()
			switch {
			case err == nil && version < last[at%2]:
				f.t.Errorf("%s answers version %d after %d", path, version, last[at%2])
				return
			case err == nil:
				last[at%2] = version
				f.answered.Add(1)
			case after > before:
				f.cut.Add(1)
			default:
				f.t.Errorf("a request is lost: %s: %v", path, err)
				return
			}
		}
	}
}

// ask returns the version that answers.
func ask(s *testkit.Server, path string) (version int, err error) {
	return askWith(http.DefaultClient, s, path)
}

func askWith(c *http.Client, s *testkit.Server, path string) (version int, err error) {
	method, pattern := http.MethodPost, `{"result":%d}`
	if path == "/" {
		method, pattern = http.MethodGet, "%d"
	}
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader("{}"))
	if err != nil {
		return 0, err
	}
	r.Header.Set("X-Skygear-Api-Key", s.APIKey)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/html")
	res, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if _, err := fmt.Sscanf(string(text), pattern, &version); err != nil {
		return 0, fmt.Errorf("status %d: %.200q", res.StatusCode, text)
	}
	return version, nil
}

// Two servers serve, deploy and start timers while now one and now the other is killed. Only what a killed server was at is lost, all
// end on the same version, and each tick is started once. `make chaos ARGS=deploys` does so for minutes.
func TestServers_KilledUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	if !f.release(f.nodes[0].now) {
		t.Fatal(f.nodes[0].now.Log())
	}
	eventually(t, "both have the first version", func() bool {
		version, err := ask(f.nodes[1].now, "/lambda/number")
		return err == nil && version == 1
	})
	begun := time.Now()
	var over atomic.Bool
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() { f.visit(i, &over) })
	}
	work.Go(func() {
		for at := 0; !over.Load(); at++ {
			if s, up, _ := f.nodes[at%2].current(); up {
				f.release(s)
			}
		}
	})
	f.kill(t)
	over.Store(true)
	work.Wait()
	for !t.Failed() && !f.release(f.nodes[0].now) {
		t.Errorf("nothing can be deployed any more:\n%s", f.nodes[0].now.Log())
	}
	for _, n := range f.nodes {
		eventually(t, "both have the newest version", func() bool { version, err := ask(n.now, "/"); return err == nil && version == f.n })
		n.settled(n.now, f.n)
	}
	t.Logf("%d versions, %d kills, %d requests answered, %d cut off with their server, in %v", f.n, f.nodes[0].kills+f.nodes[1].kills, f.answered.Load(), f.cut.Load(), time.Since(begun).Round(time.Second))
	f.checkTicks(t)
}

// kill kills servers by turns: three in the short test, else for as long as CREMA_CHAOS says.
func (f *fleet) kill(t *testing.T) {
	t.Helper()
	wanted, long := 3, time.Duration(0)
	if text := os.Getenv("CREMA_CHAOS"); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	for until := time.Now().Add(long); wanted > 0 && !t.Failed() || time.Now().Before(until) && !t.Failed(); wanted-- {
		enough := f.answered.Load() + rand.Int64N(100) // at some moment
		eventually(t, "requests are answered", func() bool { return t.Failed() || f.answered.Load() > enough })
		f.nodes[rand.IntN(2)].replace()
	}
}

// checkTicks holds what timers promise. A server writes a tick down before it starts it, so what it had just written and was
// running when it was killed may lack.
func (f *fleet) checkTicks(t *testing.T) {
	t.Helper()
	var rows struct{ Ticks, Seconds int }
	for _, n := range f.nodes { // so that no tick is under way
		n.now.Stop(t)
	}
	if err := f.query(func(db *pg.DB) error {
		return db.Get(t.Context(), &rows, `SELECT count(*) AS ticks, coalesce(extract(epoch FROM max(scheduled_at) - min(scheduled_at))::int + 1, 0) AS seconds
			FROM app._timer_run`)
	}); err != nil {
		t.Fatal(err)
	}
	runs, kills := 0, 0
	for _, n := range f.nodes {
		kills += n.kills
		for line := range strings.Lines(n.log()) {
			var entry struct{ Msg string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "function: a tick runs" {
				runs++
			}
		}
	}
	if runs > rows.Ticks || runs < rows.Ticks-2*kills || rows.Ticks < 1 {
		t.Errorf("%d ticks were written down and %d ran, with %d kills", rows.Ticks, runs, kills)
	}
	if rows.Ticks != rows.Seconds {
		t.Errorf("%d of %d ticks were started, though a server was always there", rows.Ticks, rows.Seconds)
	}
	t.Logf("%d ticks, %d ran", rows.Ticks, runs)
}
