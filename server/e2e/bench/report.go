package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// The marks between which a Markdown file takes the table.
const (
	tableStart = "<!-- table -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// table prints lines as they come and keeps them.
type table struct {
	out    io.Writer
	text   strings.Builder
	missed bool
}

func newTable(ctx context.Context, b *bench, o options, out io.Writer) *table {
	t := &table{out: out}
	t.line("%s, %d cores (%s), %s/%s, %s, PostgreSQL %s,", time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(),
		processor(ctx), runtime.GOOS, runtime.GOARCH, runtime.Version(), b.version)
	t.line("%d rounds of %s for each side.", o.rounds, o.round)
	t.line("")
	t.line("| case                         | conns | ours /s | floor /s | ratio |   bar |      |  p50 ours |     floor |  p99 ours |     floor | cpu ours | floor |")
	t.line("|------------------------------|------:|--------:|---------:|------:|------:|------|----------:|----------:|----------:|----------:|---------:|------:|")
	return t
}

func (t *table) line(format string, args ...any) {
	s := fmt.Sprintf(format, args...) + "\n"
	t.text.WriteString(s)
	_, _ = io.WriteString(t.out, s) // the table is still kept when nobody reads
}

func (t *table) add(c benchCase, connections int, m comparison) {
	bar, verdict := "", ""
	if c.bar > 0 && (c.barUpTo == 0 || connections <= c.barUpTo) {
		bar, verdict = fmt.Sprintf("%.2f", c.bar), "ok"
		if m.ratio < c.bar {
			verdict, t.missed = "MISS", true
		}
	}
	if c.slower > 0 && connections == 1 {
		bar, verdict = fmt.Sprintf("+%.2f", c.slower.Seconds()*1000), "ok"
		if m.ours.p50 > m.floor.p50+c.slower {
			verdict, t.missed = "MISS", true
		}
	}
	t.line("| %-28s | %5d | %7.0f | %8.0f | %5.2f | %5s | %-4s | %9s | %9s | %9s | %9s | %8d | %5d |", c.name, connections,
		m.ours.perSecond, m.floor.perSecond, m.ratio, bar, verdict,
		short(m.ours.p50), short(m.floor.p50), short(m.ours.p99), short(m.floor.p99), m.ours.cpu.Microseconds(), m.floor.cpu.Microseconds())
}

func short(d time.Duration) string { return fmt.Sprintf("%.3f ms", d.Seconds()*1000) }

// finish puts the table into a Markdown file, if one is named.
func (t *table) finish(path string) error {
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
	return os.WriteFile(path, []byte(before+tableStart+"\n"+t.text.String()+"\n"+tableEnd+after), 0o644)
}

// processor names the CPU, where the operating system tells.
func processor(ctx context.Context) string {
	if out, err := exec.CommandContext(ctx, "sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.Trim(name, " :\t\n")
		}
	}
	return "unknown CPU"
}
