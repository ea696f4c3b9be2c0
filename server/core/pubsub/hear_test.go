package pubsub

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/testkit"
)

// ear collects what a server hears.
type ear struct {
	hearing
	got []string
	log bytes.Buffer
}

func newEar() *ear {
	e := &ear{}
	e.hearing = hearing{
		self: "me", nodes: map[string]*node{}, echo: func() { e.got = append(e.got, "echo") }, other: func(string) {},
		deliver: func(m message) { e.got = append(e.got, string(m.hub)+" "+string(m.text)) },
		log:     slog.New(slog.NewTextHandler(&e.log, nil)),
	}
	return e
}

// batchOf is the text of messages with numbers as data.
func batchOf(data ...string) string {
	var b []byte
	for _, d := range data {
		b = newMessage(Public, "c", []byte(`"c"`), []byte(d)).appendTo(b)
	}
	return string(b)
}

func heard(data ...string) []string {
	var all []string
	for _, d := range data {
		all = append(all, `public {"channel":"c","data":`+d+`}`)
	}
	return all
}

func TestHear_RepeatsGapsAndHalves(t *testing.T) {
	t.Parallel()
	long := `"` + strings.Repeat("x", 3*maxPart) + `"`
	parts := cut("a", 9, batchOf(long, "9"))
	if len(parts) != 4 {
		t.Fatalf("%d parts", len(parts))
	}
	one := func(node string, batch uint64, data ...string) string {
		return cut(node, batch, batchOf(data...))[0]
	}
	for name, c := range map[string]struct {
		payloads []string
		want     []string
		missed   bool
	}{
		"in order":             {[]string{one("a", 1, "1", "2"), one("a", 2, "3")}, heard("1", "2", "3"), false},
		"from the middle":      {[]string{one("a", 7, "7"), one("a", 8, "8")}, heard("7", "8"), false},
		"sent twice":           {[]string{one("a", 1, "1"), one("a", 1, "1"), one("a", 2, "2"), one("a", 1, "1")}, heard("1", "2"), false},
		"two servers":          {[]string{one("a", 5, "1"), one("b", 1, "2"), one("a", 6, "3")}, heard("1", "2", "3"), false},
		"a gap":                {[]string{one("a", 1, "1"), one("a", 3, "3")}, heard("1", "3"), true},
		"own":                  {[]string{one("me", 1, "1")}, []string{"echo"}, false},
		"empty":                {[]string{cut("a", 1, "")[0], one("a", 2, "2")}, heard("2"), false},
		"parts":                {parts, heard(long, "9"), false},
		"parts sent twice":     {append(slices.Clone(parts[:2]), parts...), heard(long, "9"), false},
		"all parts twice":      {append(slices.Clone(parts), parts...), heard(long, "9"), false},
		"parts between others": {[]string{parts[0], one("b", 1, "b"), parts[1], parts[2], one("b", 2, "b"), parts[3]}, heard("b", "b", long, "9"), false},
		"no beginning":         {append(slices.Clone(parts[1:]), one("a", 10, "10")), heard("10"), true},
		"a hole":               {[]string{parts[0], parts[2], parts[3], one("a", 10, "10")}, heard("10"), true},
		"no end":               {append(slices.Clone(parts[:3]), one("a", 10, "10")), heard("10"), true},
		"nonsense":             {[]string{"", "x", "1 a 1 1 1", "2 a 1 1 1\n", "1 a 0 1 1\n", "1 a 1 2 1\n", "1 a x 1 1\n", "1  1 1 1\n", "1 a 1 1 99999999\n", one("a", 1, "1")}, heard("1"), false},
		"a broken batch":       {[]string{"1 a 1 1 1\np 3 900\n\"c\"1", one("a", 2, "2")}, heard("2"), false},
		"a hub of the future":  {[]string{cut("a", 1, "z 3 1\n\"c\"1"+batchOf("2"))[0]}, heard("2"), false},
	} {
		e := newEar()
		for _, p := range c.payloads {
			e.hear(p, false)
		}
		if diff := cmp.Diff(c.want, e.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if missed := strings.Contains(e.log.String(), "messages of another server are missing"); missed != c.missed {
			t.Errorf("%s: log %q", name, e.log.String())
		}
	}
}

func TestHear_TellsOfALostLine(t *testing.T) {
	t.Parallel()
	e := newEar()
	e.hear("", true)
	if !strings.Contains(e.log.String(), "may be missing") {
		t.Errorf("log %q", e.log.String())
	}
}

func FuzzHear(f *testing.F) {
	f.Add(cut("a", 1, batchOf("1", `{"x":2}`))[0])
	f.Add("1 a 1 1 2\np 3 900\n\"c\"1")
	f.Add("1 a 1 1 1\np -3 9\n\"c\"1")
	f.Add("1 a 1 1 1\nz 0 0\n")
	f.Fuzz(func(t *testing.T, payload string) {
		e := newEar()
		e.hear(payload, false)
		e.hear(cut("b", 1, batchOf("1"))[0], false)
		if want := heard("1")[0]; len(e.got) == 0 || e.got[len(e.got)-1] != want {
			t.Errorf("after %q: %q", payload, e.got)
		}
	})
}

func FuzzCut(f *testing.F) {
	f.Add("c", `{"x":1}`)
	f.Add("\x00ü", strings.Repeat("€", 9000))
	f.Fuzz(func(t *testing.T, channel, data string) {
		s := New(Config{})
		m, err := s.message(Internal, channel, []byte(data))
		if err != nil {
			return
		}
		e := newEar()
		for _, p := range cut("a", 1, string(m.appendTo(nil))) {
			if len(p) >= 8000 {
				t.Errorf("a part of %d bytes", len(p))
			}
			e.hear(p, false)
		}
		if diff := cmp.Diff([]string{"internal " + string(m.text)}, e.got); diff != "" {
			t.Error(diff)
		}
	})
}

// Whoever may have company sends everything; only one that surely hears nobody does not.
func TestAlone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		echoed, others time.Duration // ago; negative: never
		want           bool
	}{
		"just begun":          {-1, 0, false},
		"deaf":                {-1, time.Hour, false},
		"deaf since a while":  {2 * time.Minute, time.Hour, false},
		"in company":          {time.Second, 50 * time.Second, false},
		"alone":               {9 * time.Second, 61 * time.Second, true},
		"alone for long":      {time.Second, 24 * time.Hour, true},
		"a neighbour returns": {time.Second, time.Second, false},
	} {
		r := &relay{}
		if c.echoed >= 0 {
			r.echoed.Store(now.Add(-c.echoed).UnixNano())
		}
		r.others.Store(now.Add(-c.others).UnixNano())
		if got := r.alone(now); got != c.want {
			t.Errorf("%s: alone %v", name, got)
		}
	}
}

// A server that has had nobody else for long hears the newcomer and sends to it from then on.
func TestAlone_EndsWithANeighbour(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a := New(Config{DB: db})
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer a.Stop(context.Background())
	soon := func(what string, is func() bool) {
		t.Helper()
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for end := time.Now().Add(30 * time.Second); !is(); <-look.C {
			if time.Now().After(end) {
				t.Fatalf("%s: never", what)
			}
		}
	}
	soon("it hears itself", func() bool { return a.relay.echoed.Load() != 0 })
	a.relay.others.Store(0)
	if !a.relay.alone(time.Now()) {
		t.Fatal("it is not alone")
	}
	full := func(by int) {
		a.relay.mu.Lock()
		defer a.relay.mu.Unlock()
		a.relay.bytes += by
	}
	full(maxWaiting) // nothing more can be sent
	ended, end := context.WithCancel(t.Context())
	end()
	if err := a.Publish(ended, Public, "c", []byte("1")); err != nil {
		t.Errorf("it waits to send: %v", err)
	}
	full(-maxWaiting)
	b := New(Config{DB: db})
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer b.Stop(context.Background())
	m := b.Join(Public)
	defer m.Leave(nil)
	if err := m.Subscribe("c"); err != nil {
		t.Fatal(err)
	}
	soon("it hears the newcomer", func() bool { return !a.relay.alone(time.Now()) })
	if err := a.Publish(t.Context(), Public, "c", []byte("2")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if batch, err := m.Next(ctx); err != nil || len(batch) != 1 || string(batch[0]) != `{"channel":"c","data":2}` {
		t.Errorf("%q, %v", batch, err)
	}
}
