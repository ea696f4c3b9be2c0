package push_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/jobs"
	"crema/server/core/acl"
	"crema/server/core/push"
	"crema/server/core/records"
	"crema/server/core/schema"
	"crema/server/testkit"
)

// service stands for a push service: it takes messages, or answers them as it was told to.
type service struct {
	mu      sync.Mutex
	answers []error
	asked   chan struct{} // may be nil
	taken   chan push.Message
}

func (s *service) Send(_ context.Context, m push.Message) error {
	if s.asked != nil {
		s.asked <- struct{}{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.answers) > 0 {
		err := s.answers[0]
		s.answers = s.answers[1:]
		return err
	}
	s.taken <- m
	return nil
}

// post is an app with push services.
type post struct {
	*world
	apple, google *service
	queue         *jobs.Queue
}

func newPost(t *testing.T) *post {
	t.Helper()
	db := testkit.DB(t)
	p := &post{
		world: &world{t: t, db: db, schema: schema.New(db), heard: newHeard()},
		apple: &service{taken: make(chan push.Message, 100)}, google: &service{taken: make(chan push.Message, 100)},
	}
	p.queue = jobs.New(jobs.Config{
		DB: db, Log: slog.New(slog.DiscardHandler), Backoff: func(int) time.Duration { return time.Millisecond },
		Listen: func(ctx context.Context, channel string, heard func()) (func(), error) {
			l, err := db.Listen(ctx, channel, func(string, bool) { heard() })
			if err != nil {
				return nil, err
			}
			return l.Stop, nil
		},
	})
	p.records = records.New(records.Config{DB: db, Schema: p.schema, DevMode: true})
	p.push = push.New(push.Config{
		DB: db, Records: p.records, Publish: p.heard.publish, Jobs: p.queue, Log: slog.New(slog.DiscardHandler),
		Senders: map[string]push.Sender{"ios": p.apple, "android": p.google},
	})
	p.schema.OnCreate(p.push.Created)
	if err := p.queue.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.queue.Stop)
	return p
}

func (p *post) register(user string, r push.Registration) string {
	p.t.Helper()
	p.exec("INSERT INTO app._auth (id) VALUES ($1) ON CONFLICT DO NOTHING", user)
	id, err := p.push.Register(p.as(user), r)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

func (p *post) devices() (n int) {
	p.t.Helper()
	if err := p.db.Get(p.t.Context(), &n, "SELECT count(*) FROM app._device"); err != nil {
		p.t.Fatal(err)
	}
	return n
}

func message(t *testing.T, s *service) push.Message {
	t.Helper()
	select {
	case m := <-s.taken:
		return m
	case <-time.After(limit):
		t.Fatal("no message came")
		panic("unreachable")
	}
}

// idle waits until no job is left that is to be done.
func (p *post) idle() {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		var n int
		if err := p.db.Get(p.t.Context(), &n, "SELECT count(*) FROM app._job WHERE dead_at IS NULL"); err != nil {
			p.t.Fatal(err)
		}
		if n == 0 {
			return
		}
		if time.Now().After(end) {
			p.t.Fatal("jobs keep waiting")
		}
	}
}

var client = acl.Actor{Key: acl.ClientKey}

func (p *post) toUsers(topic string, n push.Notification, ids ...string) []push.Item {
	p.t.Helper()
	items, err := p.push.ToUsers(acl.WithActor(p.t.Context(), client), ids, topic, n)
	if err != nil {
		p.t.Fatal(err)
	}
	return items
}

var both = push.Notification{"apns": json.RawMessage(`{"aps":{"badge":1}}`), "gcm": json.RawMessage(`{"data":{"a":"b"}}`)}

func TestToUsers_ReachesAllTheirDevices(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.register("ann", push.Registration{Type: "ios", Token: "aa", Topic: "shop"})
	p.register("ann", push.Registration{Type: "android", Token: "bb"})
	p.register("ann", push.Registration{Type: "baidu-android", Token: "cc"})
	p.register("ann", push.Registration{Type: "ios"})
	p.register("bob", push.Registration{Type: "ios", Token: "dd", Topic: "game"})
	items := p.toUsers("", both, "ann", "nobody", "bob", "ann")
	for i, want := range []bool{true, false, true, true} {
		if (items[i].Err == nil) != want {
			t.Errorf("%s: %v", items[i].ID, items[i].Err)
		}
	}
	apple := []push.Message{message(t, p.apple), message(t, p.apple)}
	slices.SortFunc(apple, func(a, b push.Message) int { return len(a.Topic) - len(b.Topic) + int(a.Token[0]) - int(b.Token[0]) })
	want := []push.Message{{Token: "aa", Topic: "shop", Payload: json.RawMessage(`{"aps":{"badge":1}}`)}, {Token: "dd", Topic: "game", Payload: json.RawMessage(`{"aps":{"badge":1}}`)}}
	if diff := cmp.Diff(want, apple); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(push.Message{Token: "bb", Payload: json.RawMessage(`{"data":{"a":"b"}}`)}, message(t, p.google)); diff != "" {
		t.Error(diff)
	}
	p.toUsers("game", both, "ann", "bob")
	if m := message(t, p.apple); m.Token != "dd" {
		t.Errorf("got %+v", m)
	}
	p.idle()
	if len(p.apple.taken)+len(p.google.taken) != 0 {
		t.Error("more was sent than asked for")
	}
}

func TestToUsers_Many(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.queue.Stop()
	p.exec("INSERT INTO app._auth (id) SELECT 'u' || i FROM generate_series(1, $1) i", 1200)
	p.exec("INSERT INTO app._device (id, auth_id, type, token, last_registered_at) SELECT 'd' || i, 'u' || i, 'ios', i::text, now() FROM generate_series(1, $1) i", 1200)
	ids := make([]string, 1200)
	for i := range ids {
		ids[i] = fmt.Sprint("u", i+1)
	}
	p.toUsers("", both, ids...)
	var n int
	if err := p.db.Get(t.Context(), &n, "SELECT count(DISTINCT payload ->> 'device') FROM app._job"); err != nil || n != 1200 {
		t.Errorf("%d jobs, %v", n, err)
	}
}

func TestToDevices_Result(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	shop := p.register("ann", push.Registration{Type: "ios", Token: "aa", Topic: "shop"})
	game := p.register("ann", push.Registration{Type: "ios", Token: "bb", Topic: "game"})
	items, err := p.push.ToDevices(t.Context(), []string{shop, "nowhere", game}, "shop", both)
	if err != nil || len(items) != 2 || items[0].ID != shop || items[0].Err != nil || !fault.Is(items[1].Err, "push.no_device") {
		t.Errorf("got %+v, %v", items, err)
	}
	if m := message(t, p.apple); m.Token != "aa" {
		t.Errorf("got %+v", m)
	}
}

func TestDeliver_HeedsTheService(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	for name, c := range map[string]struct {
		answers       []error
		taken         int
		devices, dead int
	}{
		"taken":                     {nil, 1, 1, 0},
		"gone":                      {[]error{&push.SendError{Verdict: push.Gone}}, 0, 0, 0},
		"gone after it registered":  {[]error{&push.SendError{Verdict: push.Gone, Since: now.Add(time.Hour)}}, 0, 0, 0},
		"gone before it registered": {[]error{&push.SendError{Verdict: push.Gone, Since: now.Add(-time.Hour)}}, 0, 1, 1},
		"refused":                   {[]error{&push.SendError{Verdict: push.Refused}}, 0, 1, 1},
		"later":                     {[]error{&push.SendError{Verdict: push.Later}, &push.SendError{Verdict: push.Later}}, 1, 1, 0},
		"unreachable":               {[]error{errors.New("no line"), errors.New("no line")}, 1, 1, 0},
		"unreachable without end":   {slices.Repeat([]error{errors.New("no line")}, 10), 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t)
			p.apple.answers = c.answers
			p.register("ann", push.Registration{Type: "ios", Token: "aa"})
			p.toUsers("", both, "ann")
			p.idle()
			dead, err := p.queue.Dead(t.Context(), 10)
			if err != nil || len(p.apple.taken) != c.taken || p.devices() != c.devices || len(dead) != c.dead {
				t.Errorf("taken %d, devices %d, dead %d, %v", len(p.apple.taken), p.devices(), len(dead), err)
			}
		})
	}
}

// Who registers again while the service says that the token is gone keeps the device.
func TestDeliver_ADeviceThatCameBackStays(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	id := p.register("ann", push.Registration{Type: "ios", Token: "aa"})
	p.apple.asked = make(chan struct{}, 9)
	p.apple.answers = []error{&push.SendError{Verdict: push.Gone}}
	p.apple.mu.Lock()
	p.toUsers("", both, "ann")
	<-p.apple.asked
	p.register("ann", push.Registration{ID: id, Type: "ios", Token: "bb"}) // before the answer
	p.apple.mu.Unlock()
	p.idle()
	if p.devices() != 1 {
		t.Error("the device that came back is gone")
	}
}

func TestDeliver_NothingToADeviceThatLeft(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.queue.Stop()
	id := p.register("ann", push.Registration{Type: "ios", Token: "aa"})
	p.toUsers("", both, "ann")
	if err := p.push.Unregister(p.as("ann"), id); err != nil {
		t.Fatal(err)
	}
	if err := p.queue.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.idle()
	if dead, err := p.queue.Dead(t.Context(), 1); len(p.apple.taken) != 0 || len(dead) != 0 || err != nil {
		t.Errorf("taken %d, dead %v, %v", len(p.apple.taken), dead, err)
	}
}

func TestPush_WhatIsRefused(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	long := push.Notification{"apns": json.RawMessage(`{"x":"` + string(slices.Repeat([]byte("y"), 4096)) + `"}`)}
	for name, c := range map[string]struct {
		ids    []string
		n      push.Notification
		reason string
	}{
		"nobody":               {nil, both, "push.bad_receivers"},
		"too many":             {make([]string, 10001), both, "push.bad_receivers"},
		"a NUL":                {[]string{"\x00"}, both, "push.bad_text"},
		"no notification":      {[]string{"a"}, nil, "push.bad_notification"},
		"for another service":  {[]string{"a"}, push.Notification{"pigeon": json.RawMessage(`{}`)}, "push.bad_notification"},
		"not an object":        {[]string{"a"}, push.Notification{"apns": json.RawMessage(`"hi"`)}, "push.bad_notification"},
		"longer than is taken": {[]string{"a"}, long, "push.bad_notification"},
	} {
		if _, err := p.push.ToUsers(t.Context(), c.ids, "", c.n); !fault.Is(err, c.reason) {
			t.Errorf("users, %s: %v", name, err)
		}
		if _, err := p.push.ToDevices(t.Context(), c.ids, "", c.n); !fault.Is(err, c.reason) {
			t.Errorf("devices, %s: %v", name, err)
		}
	}
}

func TestNotices_PushWhereTheSubscriptionAsks(t *testing.T) {
	t.Parallel()
	p := newPost(t)
	p.start()
	ios := p.register("ann", push.Registration{Type: "ios", Token: "aa"})
	droid := p.register("ann", push.Registration{Type: "android", Token: "bb"})
	subscribe := func(device, info string) {
		t.Helper()
		s := push.Subscription{ID: "s", Type: "query", Query: json.RawMessage(`{"record_type":"note"}`)}
		if info != "" {
			raw := json.RawMessage(info)
			s.Info = &raw
		}
		items, err := p.push.Subscribe(p.as("ann"), push.Target{DeviceID: device}, []push.Subscription{s})
		if err != nil || items[0].Err != nil {
			t.Fatal(items, err)
		}
	}
	n := 0
	change := func() {
		t.Helper()
		n++
		p.save(p.as("ann"), "", `{"_id":"note/`+string(rune('a'+n))+`"}`)
		p.hear(nil)
	}
	check := func(s *service, want string) {
		t.Helper()
		m := message(t, s)
		var got, wanted map[string]any
		if err := errors.Join(json.Unmarshal(m.Payload, &got), json.Unmarshal([]byte(want), &wanted)); err != nil {
			t.Fatal(err)
		}
		for _, place := range []string{"_ourd", "data"} { // numbers of changes are not known
			if o, ok := got[place].(map[string]any); ok {
				if _, ok := o["seq-num"]; !ok {
					t.Errorf("no seq-num in %s", m.Payload)
				}
				delete(o, "seq-num")
			}
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Error(diff)
		}
	}
	subscribe(ios, "")
	change()
	subscribe(ios, `{"aps":{"alert":{"body":"B","loc-key":"K"},"sound":"ding","should-badge":true}}`)
	subscribe(droid, `{"aps":{"alert":{"body":"B"}}}`)
	change()
	check(p.apple, `{"aps":{"alert":{"body":"B","loc-key":"K"},"sound":"ding","badge":1},"_ourd":{"subscription-id":"s"}}`)
	check(p.google, `{"notification":{"body":"B"},"data":{"subscription-id":"s"}}`)
	subscribe(ios, `{}`)
	subscribe(droid, `{"fcm":{"data":{"x":"y"},"priority":"high"}}`)
	change()
	check(p.apple, `{"aps":{"content-available":1},"_ourd":{"subscription-id":"s"}}`)
	check(p.google, `{"data":{"x":"y","subscription-id":"s"},"priority":"high"}`)
	p.idle()
	if len(p.apple.taken)+len(p.google.taken) != 0 {
		t.Error("more was pushed than asked for")
	}
}
