package main

import (
	"os"
	"strings"
	"testing"

	"crema/server/testkit"
)

func TestMain(m *testing.M) {
	if run := childOf(os.Getenv(roleVariable)); run != nil {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

// The program must not rot. Its numbers are for a machine that does nothing else.
func TestRun_Quick(t *testing.T) {
	t.Parallel()
	o := options{root: testkit.Root(), binary: testkit.Binary(t)}.quick()
	var out strings.Builder
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"function echo, 0.5", "save 1 record", "query 50", "file of 100 KiB", "save 100", "the same, a flush"} {
		if got := strings.Count(out.String(), "| "+name); got != len(o.connections) {
			t.Errorf("%d lines for %q, want %d:\n%s", got, name, len(o.connections), out.String())
		}
	}
}

func TestRun_QuickPayments(t *testing.T) {
	t.Parallel()
	o := options{root: testkit.Root(), binary: testkit.Binary(t), payments: true}.quick()
	var out strings.Builder
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "| process_payment ") + strings.Count(out.String(), "| ... at 5000 beside 1000"); got != 2*len(o.connections) {
		t.Errorf("%d lines:\n%s", got, out.String())
	}
}

func TestRun_QuickWire(t *testing.T) {
	t.Parallel()
	o := options{root: testkit.Root(), binary: testkit.Binary(t), wire: true}.quick()
	var out strings.Builder
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"save 1 record as a user", "query 50 of 6000 as a user", "fetch 1 record as a user", "log in", "... beside the master", "... beside one of 1200"} {
		if got := strings.Count(out.String(), "| "+name); got != len(o.connections) {
			t.Errorf("%d lines for %q, want %d:\n%s", got, name, len(o.connections), out.String())
		}
	}
}

func TestRun_QuickPubsub(t *testing.T) {
	t.Parallel()
	o := options{root: testkit.Root(), binary: testkit.Binary(t), pubsub: true}.quick()
	var out strings.Builder
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"| 1 to 20, 1 on its way", "| 1 to 20, 8 on their way", "| ... from another server", "100 idle sockets take"} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("no line %q:\n%s", text, out.String())
		}
	}
}

func TestRun_QuickFunctions(t *testing.T) {
	t.Parallel()
	o := options{root: testkit.Root(), binary: testkit.Binary(t), functions: true}.quick()
	var out strings.Builder
	if err := run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	for text, lines := range map[string]int{
		"| python3 cold start, stripe": 1, "| python3 beside Go's": len(o.connections), "| node beside Go's": len(o.connections),
		"| python3 beside py-skygear": len(o.connections), "| node beside skygear-node": len(o.connections),
	} {
		if got := strings.Count(out.String(), text); got != lines && !strings.Contains(out.String(), "SKIPPED: ") {
			t.Errorf("%d lines for %q, want %d:\n%s", got, text, lines, out.String())
		}
	}
	if at := strings.Index(out.String(), "SKIPPED: "); at >= 0 {
		t.Skip(out.String()[at:])
	}
}

func TestTable_TakesItsPlaceInTheFile(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/bench.md"
	if err := os.WriteFile(path, []byte("before\n"+tableStart+"old\n"+tableEnd+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tab := &table{out: &strings.Builder{}}
	tab.add(benchCase{name: "slow", bar: 0.9}, 8, comparison{ratio: 0.5})
	if !tab.missed {
		t.Error("0.5 under a bar of 0.9 is not missed")
	}
	if err := tab.finish(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n" + tableStart + "\n" + tab.text.String() + "\n" + tableEnd + "after\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestNewRequest_FillsEveryPlace(t *testing.T) {
	t.Parallel()
	r := newRequest("POST", "/", "", `["`+keyMark+`","`+keyMark+`"]`, keyMark, randomKey).own()
	first := string(r.next())
	second := string(r.next())
	if strings.Contains(first, keyMark) || first == second || len(first) != len(second) {
		t.Errorf("requests are not distinct:\n%s\n%s", first, second)
	}
}
