package pubsub

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
		self: "me", nodes: map[string]*node{}, echo: func() { e.got = append(e.got, "echo") },
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
