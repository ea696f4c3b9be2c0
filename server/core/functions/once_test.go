package functions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/lambda"
	"crema/server/testkit"
)

// counter is a function that counts its runs. hold, when it is set, keeps it running.
type counter struct {
	runs    atomic.Int64
	started chan struct{} // gets one value a run
	hold    chan struct{}
	answer  func(n int64, in counterIn) (any, error)
}

type counterIn struct {
	N int `json:"n" lambda:"optional"`
	M int `json:"m" lambda:"optional"`
}

func newCounter() *counter { return &counter{started: make(chan struct{}, 100)} }

func (c *counter) run(ctx context.Context, _ *lambda.Call, in counterIn) (any, error) {
	n := c.runs.Add(1)
	c.started <- struct{}{}
	if c.hold != nil {
		select {
		case <-c.hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if c.answer != nil {
		return c.answer(n, in)
	}
	return map[string]int64{"run": n}, nil
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func onceService(t *testing.T, db *pg.DB, now func() time.Time, c *counter) *Service {
	t.Helper()
	return newService(t, Config{DB: db, Now: now}, lambda.Op("count", c.run), lambda.Op("other", c.run))
}

func expectAnswer(t *testing.T, what string, a Answer, err error, result string, replayed bool) {
	t.Helper()
	if err != nil || string(a.Result) != result || a.Replayed != replayed {
		t.Errorf("%s: %s, replayed %v, %v; want %s, %v", what, a.Result, a.Replayed, err, result, replayed)
	}
}

func TestInvokeOnce_ThirtyCallsOnTwoServersRunOnce(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	c := newCounter()
	c.hold = make(chan struct{})
	servers := []*Service{onceService(t, db, nil, c), onceService(t, db, nil, c)}
	const calls = 30
	answers := make([]Answer, calls)
	errs := make([]error, calls)
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			answers[i], errs[i] = servers[i%2].InvokeOnce(t.Context(), "key", "count", json.RawMessage(`{"n":1,"m":2}`))
		})
	}
	<-c.started
	close(c.hold)
	all.Wait()
	fresh := 0
	for i, a := range answers {
		if errs[i] != nil || string(a.Result) != `{"run":1}` {
			t.Fatalf("call %d: %s, %v", i, a.Result, errs[i])
		}
		if !a.Replayed {
			fresh++
		}
	}
	if n := c.runs.Load(); n != 1 || fresh != 1 {
		t.Errorf("%d runs, %d answers that are not replays; want one", n, fresh)
	}
}

func TestInvokeOnce_Scope(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	c := newCounter()
	s := onceService(t, db, nil, c)
	ann := acl.WithActor(t.Context(), acl.Actor{UserID: "ann", Key: acl.ClientKey})
	call := func(ctx context.Context, key, name, args string) (Answer, error) {
		return s.InvokeOnce(ctx, key, name, json.RawMessage(args))
	}
	a, err := call(ann, "k", "count", `{"n":1,"m":2}`)
	expectAnswer(t, "first", a, err, `{"run":1}`, false)
	a, err = call(ann, "k", "count", ` {"m":2, "n":1} `)
	expectAnswer(t, "same arguments in another order", a, err, `{"run":1}`, true)
	_, err = call(ann, "k", "count", `{"n":1,"m":3}`)
	if !fault.Is(err, "functions.key_reused") || !fault.HasCode(err, fault.IdempotencyConflict) {
		t.Errorf("other arguments: %v, want functions.key_reused", err)
	}
	others := []struct {
		what  string
		actor acl.Actor
		key   string
		name  string
	}{
		{"another user", acl.Actor{UserID: "bob", Key: acl.ClientKey}, "k", "count"},
		{"the master key for the same user", acl.Actor{UserID: "ann", Key: acl.MasterKey}, "k", "count"},
		{"nobody", acl.Actor{}, "k", "count"},
		{"the client key alone", acl.Actor{Key: acl.ClientKey}, "k", "count"},
		{"another key", acl.Actor{UserID: "ann", Key: acl.ClientKey}, "K", "count"},
		{"another function", acl.Actor{UserID: "ann", Key: acl.ClientKey}, "k", "other"},
	}
	for i, o := range others {
		a, err = call(acl.WithActor(t.Context(), o.actor), o.key, o.name, `{"n":9}`)
		expectAnswer(t, o.what, a, err, fmt.Sprintf(`{"run":%d}`, i+2), false)
	}
}

func TestInvokeOnce_AnswersLastADay(t *testing.T) {
	t.Parallel()
	c, now := newCounter(), newClock()
	s := onceService(t, testkit.DB(t), now.now, c)
	for _, step := range []struct {
		after    time.Duration
		args     string
		result   string
		replayed bool
	}{
		{0, `{}`, `{"run":1}`, false},
		{keep - time.Second, `{}`, `{"run":1}`, true},
		{time.Second, `{"n":5}`, `{"run":2}`, false},
		{0, `{"n":5}`, `{"run":2}`, true},
	} {
		now.advance(step.after)
		a, err := s.InvokeOnce(t.Context(), "k", "count", json.RawMessage(step.args))
		expectAnswer(t, "after "+step.after.String(), a, err, step.result, step.replayed)
	}
}

func TestInvokeOnce_RefusalsAreAnswersToo(t *testing.T) {
	t.Parallel()
	c := newCounter()
	c.answer = func(n int64, _ counterIn) (any, error) {
		return nil, &lambda.Error{Kind: lambda.Conflict, Message: fmt.Sprintf("sold out at %d", n), Info: map[string]any{"left": 0, "list": []string{"a"}}}
	}
	s := onceService(t, testkit.DB(t), nil, c)
	var seen []string
	for range 2 {
		a, err := s.InvokeOnce(t.Context(), "k", "count", nil)
		f := fault.From(err)
		if a.Result != nil || f.Code != fault.Duplicate || f.Reason != "functions.conflict" {
			t.Fatalf("%+v, %v", a, err)
		}
		details, err := json.Marshal(f.Details)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, fmt.Sprint(f.Message, string(details), a.Replayed))
	}
	want := []string{`sold out at 1{"left":0,"list":["a"]}false`, `sold out at 1{"left":0,"list":["a"]}true`}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestInvokeOnce_FailuresOfOursAreNotStored(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	for name, err := range map[string]error{
		"internal": errors.New("broken"),
		"busy":     &lambda.Error{Kind: lambda.Busy, Message: "later"},
		"timeout":  fault.New(fault.UpstreamTimeout, "x.y", "slow"),
		"database": fault.New(fault.DatabaseUnavailable, "pg.unavailable", "gone"),
	} {
		t.Run(name, func(t *testing.T) {
			c := newCounter()
			c.answer = func(n int64, _ counterIn) (any, error) {
				if n == 1 {
					return nil, err
				}
				return n, nil
			}
			s := onceService(t, db, nil, c)
			if _, err := s.InvokeOnce(t.Context(), name, "count", nil); err == nil {
				t.Fatal("the first call succeeded")
			}
			a, err := s.InvokeOnce(t.Context(), name, "count", nil)
			expectAnswer(t, "second", a, err, "2", false)
		})
	}
}

func TestInvokeOnce_PanicAndBadArgumentsLeaveTheKeyFree(t *testing.T) {
	t.Parallel()
	c := newCounter()
	c.answer = func(n int64, _ counterIn) (any, error) {
		if n == 1 {
			panic("once")
		}
		return n, nil
	}
	s := onceService(t, testkit.DB(t), nil, c)
	for _, args := range []string{`{"x":1}`, `{"n":"1"}`, `{"n":1.5}`, `{`} {
		if _, err := s.InvokeOnce(t.Context(), "k", "count", json.RawMessage(args)); err == nil {
			t.Errorf("%s is taken", args)
		}
	}
	if _, err := s.InvokeOnce(t.Context(), "k", "count", nil); !fault.Is(err, "functions.panic") {
		t.Errorf("%v, want functions.panic", err)
	}
	a, err := s.InvokeOnce(t.Context(), "k", "count", json.RawMessage(`{"n":3}`))
	expectAnswer(t, "after all", a, err, "2", false)
}

func TestInvokeOnce_CallerThatLeavesFreesTheKey(t *testing.T) {
	t.Parallel()
	c := newCounter()
	c.hold = make(chan struct{})
	s := onceService(t, testkit.DB(t), nil, c)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-c.started
		leave()
	}()
	if _, err := s.InvokeOnce(ctx, "k", "count", nil); !fault.Is(err, "functions.canceled") {
		t.Errorf("%v, want functions.canceled", err)
	}
	close(c.hold)
	a, err := s.InvokeOnce(t.Context(), "k", "count", nil)
	expectAnswer(t, "second", a, err, `{"run":2}`, false)
}

func TestInvokeOnce_LateAnswerIsKeptForTheNextCall(t *testing.T) {
	t.Parallel()
	finish := make(chan struct{})
	runs := 0
	s := newService(t, Config{DB: testkit.DB(t)}, does("slow", func(context.Context, *lambda.Call) (any, error) {
		runs++
		<-finish // whatever ctx says
		return runs, nil
	}, lambda.Timeout(20*time.Millisecond)))
	if _, err := s.InvokeOnce(t.Context(), "k", "slow", nil); !fault.Is(err, "functions.timeout") {
		t.Fatalf("%v, want functions.timeout", err)
	}
	if _, err := s.InvokeOnce(t.Context(), "k", "slow", nil); !fault.HasCode(err, fault.Timeout) {
		t.Fatalf("%v while the first goes on, want a timeout", err)
	}
	close(finish)
	s.Stop(t.Context())
	later := newService(t, Config{DB: s.config.DB}, op[none]("slow"))
	a, err := later.InvokeOnce(t.Context(), "k", "slow", nil)
	expectAnswer(t, "third", a, err, "1", true)
}

func TestInvokeOnce_WaitEndsWithCtx(t *testing.T) {
	t.Parallel()
	c := newCounter()
	c.hold = make(chan struct{})
	s := onceService(t, testkit.DB(t), nil, c)
	var first sync.WaitGroup
	first.Go(func() { _, _ = s.InvokeOnce(t.Context(), "k", "count", nil) })
	<-c.started
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := s.InvokeOnce(ctx, "k", "count", nil); !fault.HasCode(err, fault.Timeout) {
		t.Errorf("%v, want a timeout", err)
	}
	close(c.hold)
	first.Wait()
	if n := c.runs.Load(); n != 1 {
		t.Errorf("%d runs", n)
	}
}

// dead leaves the lease of a server that died while it ran the function.
func dead(t *testing.T, s *Service, key, args string) claim {
	t.Helper()
	f, err := s.find("count")
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClaim(acl.Actor{}, f, key, json.RawMessage(args))
	if err != nil {
		t.Fatal(err)
	}
	if won, err := s.store.claim(t.Context(), c); !won || err != nil {
		t.Fatalf("claim: %v, %v", won, err)
	}
	return c
}

func TestInvokeOnce_TakesOverFromDeadServer(t *testing.T) {
	t.Parallel()
	c, now := newCounter(), newClock()
	s := onceService(t, testkit.DB(t), now.now, c)
	lost := dead(t, s, "k", `{"n":1}`)
	now.advance(lease - time.Millisecond)
	waiting, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := s.InvokeOnce(waiting, "k", "count", json.RawMessage(`{"n":1}`)); !fault.HasCode(err, fault.Timeout) {
		t.Errorf("during the lease: %v, want a timeout", err)
	}
	now.advance(time.Millisecond)
	if _, err := s.InvokeOnce(t.Context(), "k", "count", json.RawMessage(`{"n":2}`)); !fault.Is(err, "functions.key_reused") {
		t.Errorf("other arguments after the lease: %v, want functions.key_reused", err)
	}
	a, err := s.InvokeOnce(t.Context(), "k", "count", json.RawMessage(`{"n":1}`))
	expectAnswer(t, "after the lease", a, err, `{"run":1}`, false)

	// The first one was only slow: it must not overwrite the answer that others have got.
	result := `"late"`
	if held, err := s.store.settle(t.Context(), lost, &result, nil); held || err != nil {
		t.Errorf("the late run settles: %v, %v", held, err)
	}
	if held, err := s.store.renew(t.Context(), lost); held || err != nil {
		t.Errorf("the late run renews: %v, %v", held, err)
	}
	if err := s.store.release(t.Context(), lost); err != nil {
		t.Error(err)
	}
	a, err = s.InvokeOnce(t.Context(), "k", "count", json.RawMessage(`{"n":1}`))
	expectAnswer(t, "after the late run", a, err, `{"run":1}`, true)
}

func TestInvokeOnce_RenewKeepsOthersOut(t *testing.T) {
	t.Parallel()
	c, now := newCounter(), newClock()
	s := onceService(t, testkit.DB(t), now.now, c)
	held := dead(t, s, "k", `{}`)
	now.advance(lease - time.Second)
	if ok, err := s.store.renew(t.Context(), held); !ok || err != nil {
		t.Fatalf("renew: %v, %v", ok, err)
	}
	now.advance(lease - time.Second)
	rival := held
	rival.run = "00000000-0000-7000-8000-000000000000"
	if won, err := s.store.claim(t.Context(), rival); won || err != nil {
		t.Errorf("claim of a renewed lease: %v, %v", won, err)
	}
	now.advance(time.Second)
	if won, err := s.store.claim(t.Context(), rival); !won || err != nil {
		t.Errorf("claim of an ended lease: %v, %v", won, err)
	}
}

func TestHold_RenewsUntilStopped(t *testing.T) {
	t.Parallel()
	now := newClock()
	s := onceService(t, testkit.DB(t), now.now, newCounter())
	c := dead(t, s, "k", `{}`)
	now.advance(lease)
	f, err := s.find("count")
	if err != nil {
		t.Fatal(err)
	}
	stop := s.hold(t.Context(), f, c, time.Millisecond)
	defer stop()
	for deadline := time.After(10 * time.Second); ; {
		r, err := s.store.read(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Free {
			return
		}
		select {
		case <-deadline:
			t.Fatal("the lease was not renewed")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestInvokeOnce_LargeAnswerIsGivenOnceAndNotRunAgain(t *testing.T) {
	t.Parallel()
	c := newCounter()
	c.answer = func(int64, counterIn) (any, error) { return strings.Repeat("x", maxAnswer), nil }
	s := onceService(t, testkit.DB(t), nil, c)
	a, err := s.InvokeOnce(t.Context(), "k", "count", nil)
	if err != nil || len(a.Result) != maxAnswer+2 {
		t.Fatalf("%d bytes, %v", len(a.Result), err)
	}
	a, err = s.InvokeOnce(t.Context(), "k", "count", nil)
	if !fault.Is(err, "functions.answer_not_kept") || !a.Replayed || c.runs.Load() != 1 {
		t.Errorf("%v after %d runs, want functions.answer_not_kept after one", err, c.runs.Load())
	}
}

func TestInvokeOnce_RefusesBadKeys(t *testing.T) {
	t.Parallel()
	c := newCounter()
	s := onceService(t, testkit.DB(t), nil, c)
	for _, key := range []string{"", strings.Repeat("k", 256), "a\nb", "a\x00", "schlüssel", "\x7f"} {
		if _, err := s.InvokeOnce(t.Context(), key, "count", nil); !fault.Is(err, "functions.bad_key") {
			t.Errorf("%.20q: %v, want functions.bad_key", key, err)
		}
	}
	for i, key := range []string{"k", strings.Repeat("k", 255), " a'\"\\;~ "} {
		a, err := s.InvokeOnce(t.Context(), key, "count", nil)
		expectAnswer(t, key, a, err, fmt.Sprintf(`{"run":%d}`, i+1), false)
	}
	without := newService(t, Config{}, op[none]("f"))
	if _, err := without.InvokeOnce(t.Context(), "k", "f", nil); !fault.HasCode(err, fault.NotConfigured) {
		t.Errorf("without a database: %v", err)
	}
}

func TestInvokeOnce_NullIsAnAnswer(t *testing.T) {
	t.Parallel()
	s := newService(t, Config{DB: testkit.DB(t)}, op[none]("f"))
	for _, replayed := range []bool{false, true} {
		a, err := s.InvokeOnce(t.Context(), "k", "f", nil)
		expectAnswer(t, "null", a, err, "null", replayed)
	}
}

func TestInvokeOnce_WithoutDatabaseNothingRuns(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	c := newCounter()
	s := onceService(t, db, nil, c)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.InvokeOnce(t.Context(), "k", "count", nil); err == nil || c.runs.Load() != 0 {
		t.Errorf("%v after %d runs, want an error and none", err, c.runs.Load())
	}
}

func TestClean_RemovesWhatHasExpired(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	c, now := newCounter(), newClock()
	s := onceService(t, db, now.now, c)
	rows := func() (n int) {
		t.Helper()
		if err := db.Get(t.Context(), &n, "SELECT count(*) FROM app._function_answer"); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 3 {
		if i == 2 {
			now.advance(keep)
		}
		if _, err := s.InvokeOnce(t.Context(), fmt.Sprint(i), "count", nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.store.expire(t.Context(), 1); n != 1 || err != nil || rows() != 2 {
		t.Errorf("removed %d, %v, %d left", n, err, rows())
	}
	if err := s.clean(t.Context()); err != nil || rows() != 1 {
		t.Errorf("%v, %d left, want one", err, rows())
	}
	s.Start()
	s.Stop(t.Context())
}
