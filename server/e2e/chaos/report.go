package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The marks between which a Markdown file takes the table.
const (
	tableStart = "<!-- table -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// report prints lines as they come and keeps those of the table.
type report struct {
	o    options
	out  io.Writer
	text strings.Builder
}

func newReport(o options, out io.Writer) *report { return &report{o: o, out: out} }

func (r *report) line(format string, args ...any) {
	_, _ = fmt.Fprintf(r.out, format+"\n", args...) // the result is still known when nobody reads
}

func (r *report) row(what string, n any) {
	s := fmt.Sprintf("| %-52s | %24v |", what, n)
	r.text.WriteString(s + "\n")
	r.line("%s", s)
}

// table tells what was done and what came of it.
func (r *report) table(w *world, b *books, raged time.Duration, problems int) {
	r.row("run", time.Now().UTC().Format("2006-01-02 15:04 UTC"))
	r.text.WriteString("|---|---:|\n")
	r.row("seed", r.o.seed)
	r.row("machine", fmt.Sprintf("%d cores, %s/%s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH))
	r.row("time with faults", raged.Round(time.Second))
	r.row("time in all", time.Since(w.history.start).Round(time.Second))
	calls, told, codes := 0, map[verdict]int{}, map[string]int{}
	past := w.history.purchases()
	for _, p := range past {
		for _, e := range p.events() {
			if e.verdict == invoked {
				calls++
			}
			told[e.verdict]++
			if e.verdict == failed {
				codes[e.detail]++
			}
		}
	}
	r.row("purchases", len(past))
	r.row("calls of shoppers and operators", calls)
	for _, v := range []verdict{okay, failed, info} {
		r.row("... told "+string(v), told[v])
	}
	r.counts("... fail: ", codes)
	states := map[string]int{}
	for _, p := range b.payments {
		states[p.State]++
	}
	r.row("attempts in the database", len(b.payments))
	r.counts("... ", states)
	moves := map[string]int{}
	for _, m := range b.moves {
		moves[m.Op]++
	}
	r.counts("provider's journal: ", moves)
	r.row("kills of the server", kills(&w.faults))
	r.counts("", w.faults.n)
	r.row("violations of I1 to I8", problems)
}

func kills(c *counter) int {
	n := 0
	for name, count := range c.n {
		if strings.HasPrefix(name, "kill: ") {
			n += count
		}
	}
	return n
}

func (r *report) counts(prefix string, of map[string]int) {
	for _, name := range slices.Sorted(maps.Keys(of)) {
		r.row(prefix+name, of[name])
	}
}

// finish puts the table into a Markdown file, if one is named.
func (r *report) finish(path string) error {
	if path == "" {
		return nil
	}
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), tableStart)
	_, after, ends := strings.Cut(rest, tableEnd)
	if !ok || !ends {
		return fmt.Errorf("%s lacks the marks %s and %s", path, strings.TrimSpace(tableStart), strings.TrimSpace(tableEnd))
	}
	return os.WriteFile(path, []byte(before+tableStart+"\n"+r.text.String()+"\n"+tableEnd+after), 0o644)
}
