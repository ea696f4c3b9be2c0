package pubsub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

var errLeft = errors.New("left")

// join makes a member with channels that leaves when the test ends.
func join(t *testing.T, s *pubsub.Service, on pubsub.Hub, channels ...string) *pubsub.Member {
	t.Helper()
	m := s.Join(on)
	t.Cleanup(func() { m.Leave(errLeft) })
	for _, c := range channels {
		if err := m.Subscribe(c); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// take returns the next n messages of a member.
func take(t *testing.T, m *pubsub.Member, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []string
	for len(got) < n {
		batch, err := m.Next(ctx)
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(got), n, err)
		}
		for _, text := range batch {
			got = append(got, string(text))
		}
	}
	return got
}

func publish(t *testing.T, s *pubsub.Service, on pubsub.Hub, channel, data string) {
	t.Helper()
	if err := s.Publish(t.Context(), on, channel, json.RawMessage(data)); err != nil {
		t.Fatal(err)
	}
}

func TestPublish_ReachesSubscribersOfTheChannelAndHubOnly(t *testing.T) {
	t.Parallel()
	s := pubsub.New(pubsub.Config{})
	room, twice := join(t, s, pubsub.Public, "room"), join(t, s, pubsub.Public, "room", "room", "other")
	internal := join(t, s, pubsub.Internal, "room")
	publish(t, s, pubsub.Public, "room", ` {"x": 1.0} `)
	publish(t, s, pubsub.Public, "other", `"o"`)
	publish(t, s, pubsub.Internal, "room", `2`)
	const first = `{"channel":"room","data":{"x": 1.0}}` // verbatim
	if diff := cmp.Diff([]string{first}, take(t, room, 1)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{first, `{"channel":"other","data":"o"}`}, take(t, twice, 2)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{`{"channel":"room","data":2}`}, take(t, internal, 1)); diff != "" {
		t.Error(diff)
	}
}

func TestUnsubscribe_NothingMoreComes(t *testing.T) {
	t.Parallel()
	s := pubsub.New(pubsub.Config{})
	m := join(t, s, pubsub.Public, "a", "b")
	for _, name := range []string{"a", "a", "never"} {
		if err := m.Unsubscribe(name); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, s, pubsub.Public, "a", `1`)
	publish(t, s, pubsub.Public, "b", `2`)
	if diff := cmp.Diff([]string{`{"channel":"b","data":2}`}, take(t, m, 1)); diff != "" {
		t.Error(diff)
	}
}

func TestPublish_RefusesWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	s := pubsub.New(pubsub.Config{Limits: pubsub.Limits{MessageBytes: 100, Channels: 1}})
	for _, c := range []struct{ channel, data, reason string }{
		{"", `1`, "pubsub.channel"},
		{strings.Repeat("n", 257), `1`, "pubsub.channel"},
		{"\xff", `1`, "pubsub.channel"},
		{"c", ``, "pubsub.data"},
		{"c", ` null `, "pubsub.data"},
		{"c", `{"x"`, "pubsub.data"},
		{"c", `1 2`, "pubsub.data"},
		{"c", "\"\xff\"", "pubsub.data"},
		{"c", `"` + strings.Repeat("x", 100) + `"`, "pubsub.data"},
		{"c\x00<ü", `false`, ""},
	} {
		if err := s.Publish(t.Context(), pubsub.Public, c.channel, json.RawMessage(c.data)); c.reason == "" && err != nil || c.reason != "" && !fault.Is(err, c.reason) {
			t.Errorf("%q, %q: %v, want %q", c.channel, c.data, err, c.reason)
		}
	}
	m := join(t, s, pubsub.Public, "one", "one")
	if err := m.Subscribe("two"); !fault.Is(err, "pubsub.channels") {
		t.Errorf("a second channel: %v", err)
	}
}

func TestPublish_AllSubscribersSeeOneOrder(t *testing.T) {
	t.Parallel()
	const publishers, n = 4, 1000
	s := pubsub.New(pubsub.Config{Limits: pubsub.Limits{QueueLength: publishers * n, QueueBytes: 1 << 20}})
	a, b := join(t, s, pubsub.Public, "c"), join(t, s, pubsub.Public, "c")
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range n {
				if err := s.Publish(t.Context(), pubsub.Public, "c", json.RawMessage(fmt.Sprintf("[%d,%d]", p, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if diff := cmp.Diff(take(t, a, publishers*n), take(t, b, publishers*n)); diff != "" {
		t.Errorf("two orders: %.500s", diff)
	}
}

// A publisher waits for a reader that is full, and goes on when there is room: nothing is lost.
func TestPublish_WaitsForAReaderThatKeepsReading(t *testing.T) {
	t.Parallel()
	s := pubsub.New(pubsub.Config{Limits: pubsub.Limits{QueueLength: 4, Patience: time.Minute}})
	m := join(t, s, pubsub.Public, "c")
	const n = 500
	var all sync.WaitGroup
	all.Go(func() {
		for i := range n {
			if err := s.Publish(t.Context(), pubsub.Public, "c", json.RawMessage(fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		}
	})
	for i, got := range take(t, m, n) {
		if want := fmt.Sprintf(`{"channel":"c","data":%d}`, i); got != want {
			t.Fatalf("message %d is %s", i, got)
		}
	}
	all.Wait()
}

func TestPublish_CutsOffAReaderThatDoesNotRead(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]pubsub.Limits{
		"by count": {QueueLength: 3, Patience: time.Millisecond},
		"by bytes": {QueueBytes: 100, Patience: time.Millisecond},
	} {
		s := pubsub.New(pubsub.Config{Limits: limits})
		slow, good := join(t, s, pubsub.Public, "c"), join(t, s, pubsub.Public, "c")
		for i := range 10 {
			publish(t, s, pubsub.Public, "c", fmt.Sprint(i))
			if got := take(t, good, 1); got[0] != fmt.Sprintf(`{"channel":"c","data":%d}`, i) {
				t.Errorf("%s: the good reader gets %v", name, got)
			}
		}
		if batch, err := slow.Next(t.Context()); !fault.Is(err, "pubsub.slow") {
			t.Errorf("%s: the slow reader gets %d messages, %v", name, len(batch), err)
		}
	}
}

// One message is always taken, however large, when nothing else waits.
func TestPublish_AMessageLargerThanTheQueueIsDelivered(t *testing.T) {
	t.Parallel()
	s := pubsub.New(pubsub.Config{Limits: pubsub.Limits{QueueBytes: 10}})
	m := join(t, s, pubsub.Public, "c")
	for range 3 {
		publish(t, s, pubsub.Public, "c", `"more than ten bytes"`)
		take(t, m, 1)
		if _, err := m.Next(canceled()); err == nil { // says that the batch is done with
			t.Error("a message that nobody sent")
		}
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestPublish_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := pubsub.New(pubsub.Config{Limits: pubsub.Limits{QueueLength: 1, Patience: time.Hour}})
	join(t, s, pubsub.Public, "c")
	publish(t, s, pubsub.Public, "c", `1`)
	if err := s.Publish(canceled(), pubsub.Public, "c", json.RawMessage(`2`)); !fault.HasCode(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}

func TestLeave_GivesOutWhatWaitsAndThenItsReason(t *testing.T) {
	t.Parallel()
	s := pubsub.New(pubsub.Config{})
	m := join(t, s, pubsub.Public, "c")
	publish(t, s, pubsub.Public, "c", `1`)
	m.Tell([]byte("bye"))
	m.Leave(errLeft)
	m.Leave(errors.New("again"))
	publish(t, s, pubsub.Public, "c", `2`)
	if diff := cmp.Diff([]string{`{"channel":"c","data":1}`, "bye"}, take(t, m, 2)); diff != "" {
		t.Error(diff)
	}
	if _, err := m.Next(t.Context()); !errors.Is(err, errLeft) {
		t.Errorf("got %v", err)
	}
}

func TestPublishOnCommit_OnlyWhatIsCommitted(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := pubsub.New(pubsub.Config{DB: db})
	m := join(t, s, pubsub.Internal, "_sub_d1")
	refused := errors.New("no")
	for _, outcome := range []error{refused, nil} {
		err := db.Tx(t.Context(), func(_ context.Context, tx *pg.Tx) error {
			data := json.RawMessage(fmt.Sprintf(`{"committed":%t}`, outcome == nil))
			return errors.Join(s.PublishOnCommit(tx, pubsub.Internal, "_sub_d1", data), outcome)
		})
		if !errors.Is(err, outcome) {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{`{"channel":"_sub_d1","data":{"committed":true}}`}, take(t, m, 1)); diff != "" {
		t.Error(diff)
	}
}
