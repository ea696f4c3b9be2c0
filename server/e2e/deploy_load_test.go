package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crema/server/testkit"
)

// load is clients that ask while versions come.
type load struct {
	t     *testing.T
	s     *testkit.Server
	live  atomic.Int64 // the newest version that is live for certain
	over  atomic.Bool
	calls atomic.Int64
}

// big is the size of a file that no buffer between server and client holds whole.
const big = 12 << 20

// shoppers ask for a page and then for the function, which must not be older: a page comes after its functions. Each second one
// makes a connection for each request.
func (l *load) shopper(keep bool) {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: !keep}}
	defer c.CloseIdleConnections()
	for last := 0; !l.over.Load(); {
		seen, err := askWith(c, l.s, "/")
		if err != nil || seen < last {
			l.t.Errorf("after %d the page is %d, %v", last, seen, err)
			return
		}
		n, err := askWith(c, l.s, "/lambda/number")
		if err != nil || n < seen {
			l.t.Errorf("after the page %d the function answers %d, %v", seen, n, err)
			return
		}
		last = n - 1
		l.calls.Add(2)
	}
}

// waiter makes calls that take longer than a deploy, so that versions come while they run.
func (l *load) waiter() {
	for !l.over.Load() {
		before := int(l.live.Load())
		if n, err := ask(l.s, "/lambda/slow"); err != nil || n < before {
			l.t.Errorf("a long call that began with version %d live answers %d, %v", before, n, err)
			return
		}
		l.calls.Add(1)
	}
}

// reader takes in half of a file and the rest of it some versions later.
func (l *load) reader() {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for !l.over.Load() {
		res, err := c.Get(l.s.URL + "/big.bin")
		if err != nil {
			l.t.Errorf("a large file: %v", err)
			return
		}
		half, err := io.CopyN(io.Discard, res.Body, 64<<10)
		tick := time.NewTicker(10 * time.Millisecond)
		for until := l.live.Load() + 4; l.live.Load() < until && !l.over.Load(); {
			<-tick.C
		}
		tick.Stop()
		rest, failed := io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if err = errors.Join(err, failed); err != nil || half+rest != big {
			l.t.Errorf("%d of %d bytes of a large file have come, %v", half+rest, big, err)
			return
		}
		l.calls.Add(1)
	}
}

// Calls and pages go on while versions come: none fails, and none meets an older version than one before.
func TestDeploy_UnderLoadLosesNoRequest(t *testing.T) {
	t.Parallel()
	p := newShop(t)
	l := load{t: t, s: p.start()}
	write(t, p.dir, map[string]string{"public_html/big.bin": strings.Repeat("x", big)})
	deploy := func() {
		t.Helper()
		p.n++
		write(t, p.dir, map[string]string{
			"lambdas/number.js": fmt.Sprintf(`const cloud = require('skygear/cloud');
const after = (time) => async () => { await new Promise((done) => setTimeout(done, time)); return %d; };
cloud.op('number', after(20));
cloud.op('slow', after(1500));
`, p.n),
			"public_html/index.html": fmt.Sprint(p.n),
		})
		if err := p.deploy(l.s); err != nil {
			t.Fatalf("%v\n%s", err, l.s.Log())
		}
		l.live.Store(int64(p.n))
	}
	deploy()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() { l.shopper(i%2 == 0) })
		wg.Go(l.waiter)
	}
	wg.Go(l.reader)
	for range 8 {
		deploy()
	}
	l.over.Store(true)
	wg.Wait()
	t.Logf("%d requests while 8 versions came", l.calls.Load())
	for _, word := range []string{"calls of the version before were cut off", `"level":"ERROR"`} {
		if strings.Contains(l.s.Log(), word) {
			t.Errorf("the log has %s:\n%s", word, l.s.Log())
		}
	}
}

// A rollback is live in less than a second, on a server that is asked and on another one, and no call is lost on the way.
func TestRollback_IsQuickOnTwoServers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	both := func(version int) {
		t.Helper()
		for _, n := range f.nodes {
			eventually(t, "both follow", func() bool { got, err := ask(n.now, "/lambda/number"); return err == nil && got == version })
		}
	}
	for range 2 {
		if !f.release(f.nodes[0].now) {
			t.Fatal(f.nodes[0].now.Log())
		}
	}
	both(2)
	var over atomic.Bool
	var calls sync.WaitGroup
	for _, n := range f.nodes {
		calls.Go(func() {
			for !over.Load() {
				if _, err := ask(n.now, "/lambda/number"); err != nil {
					t.Errorf("a call is lost: %v", err)
					return
				}
			}
		})
	}
	quickest := time.Hour
	for i := 0; i < 4 || quickest > time.Second && i < 16; i++ { // a machine with much else to do gets more chances
		version := 1 + i%2
		s := f.nodes[i/2%2].now // by turns
		out, err := s.Run(t, "rollback", fmt.Sprint(version), "--server="+s.URL, "--app=test")
		_, after, ok := strings.Cut(out, fmt.Sprintf("live: version %d after ", version))
		took, bad := time.ParseDuration(strings.TrimSpace(after))
		if err != nil || bad != nil || !ok {
			t.Fatalf("%v, %v\n%s", err, bad, out)
		}
		quickest = min(quickest, took)
		both(version)
	}
	over.Store(true)
	calls.Wait()
	t.Logf("rolled back in %v", quickest)
	if quickest > time.Second {
		t.Errorf("the quickest rollback took %v", quickest)
	}
}
