package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// target is one side of a case: what is sent where, and how many units of work one request does.
type target struct {
	server *server
	req    request
	units  float64
}

// measurement is what one side did in all its rounds.
type measurement struct {
	perSecond float64 // units, the median of the rounds
	p50, p99  time.Duration
	cpu       time.Duration // of the server's process per request; 0 where that is not known
}

type comparison struct {
	ours, floor measurement
	ratio       float64 // the median of neighbouring rounds
}

// measure runs the rounds of a case in the order ours, floor, floor, ours: a machine that gets slower
// or faster meanwhile favours neither.
func measure(ctx context.Context, c benchCase, connections int, o options) (comparison, error) {
	ours, err := connect(c.ours, connections)
	defer ours.close()
	if err != nil {
		return comparison{}, err
	}
	floor, err := connect(c.floor, connections)
	defer floor.close()
	if err != nil {
		return comparison{}, err
	}
	sides := []*side{ours, floor}
	for i := range 2 * o.rounds {
		for _, s := range sides {
			if err := s.round(ctx, o.round); err != nil {
				return comparison{}, err
			}
		}
		if i == 0 { // the first round of each warms up
			ours.forget()
			floor.forget()
		}
		slices.Reverse(sides)
		if len(ours.rates) >= o.rounds {
			break
		}
	}
	apart := c.apart
	if connections > 1 { // what overlaps cannot be taken off
		apart = 0
	}
	ratios := make([]float64, len(ours.rates))
	for i := range ratios {
		ratios[i] = ratio(ours.rates[i], floor.rates[i], apart.Seconds())
	}
	return comparison{ours: ours.sum(), floor: floor.sum(), ratio: median(ratios)}, nil
}

// ratio compares rates, of which each unit has apart seconds that do not count.
func ratio(ours, floor, apart float64) float64 {
	if apart == 0 {
		return ours / floor
	}
	return (1/floor - apart) / (1/ours - apart)
}

// side is a target with its open connections and what was measured so far.
type side struct {
	target
	workers []*worker
	rates   []float64 // units per second, one per round
	cpu     time.Duration
}

type worker struct {
	client *client
	req    request
	took   []time.Duration
	count  int // of the last round
	err    error
}

func connect(t target, n int) (*side, error) {
	s := &side{target: t}
	for range n {
		c, err := dial(t.server.addr)
		if err != nil {
			return s, err
		}
		s.workers = append(s.workers, &worker{client: c, req: t.req.own(), took: make([]time.Duration, 0, 1<<17/n)})
	}
	return s, nil
}

func (s *side) close() {
	for _, w := range s.workers {
		_ = w.client.conn.Close()
	}
}

func (s *side) forget() {
	s.rates, s.cpu = nil, 0
	for _, w := range s.workers {
		w.took = w.took[:0]
	}
}

// round lets all connections send one request after the other for about d. Requests in flight at the
// end are waited for and count, as the time they take does.
func (s *side) round(ctx context.Context, d time.Duration) error {
	cpu := s.server.cpu()
	start := time.Now()
	var all sync.WaitGroup
	for _, w := range s.workers {
		all.Go(func() { w.run(ctx, start.Add(d)) })
	}
	all.Wait()
	elapsed := time.Since(start)
	s.cpu += s.server.cpu() - cpu
	n, errs := 0, []error{ctx.Err()}
	for _, w := range s.workers {
		n += w.count
		errs = append(errs, w.err)
	}
	s.rates = append(s.rates, float64(n)*s.units/elapsed.Seconds())
	return errors.Join(errs...)
}

func (w *worker) run(ctx context.Context, end time.Time) {
	w.count = 0
	for now := time.Now(); now.Before(end) && ctx.Err() == nil; w.count++ {
		text := w.req.next()
		if w.err = w.client.do(text, nil); w.err != nil {
			return
		}
		then := now
		now = time.Now()
		w.took = append(w.took, now.Sub(then))
	}
}

func (s *side) sum() measurement {
	var took []time.Duration
	for _, w := range s.workers {
		took = append(took, w.took...)
	}
	slices.Sort(took)
	return measurement{
		perSecond: median(s.rates), p50: took[len(took)/2], p99: took[len(took)*99/100],
		cpu: s.cpu / time.Duration(len(took)),
	}
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[n/2] + sorted[(n-1)/2]) / 2
}

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

// measure adds the lines of a case.
func (t *table) measure(ctx context.Context, c benchCase, o options) error {
	if c.run != nil {
		m, err := c.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		t.add(c, 1, m)
		return nil
	}
	for _, n := range o.connections {
		m, err := measure(ctx, c, n, o)
		if err != nil {
			return fmt.Errorf("%s, %d connections: %w", c.name, n, err)
		}
		t.add(c, n, m)
	}
	return nil
}

func (t *table) add(c benchCase, connections int, m comparison) {
	bar, verdict := "", ""
	if c.bar > 0 && connections >= c.barFrom && (c.barUpTo == 0 || connections <= c.barUpTo) {
		bar, verdict = fmt.Sprintf("%.2f", c.bar), "ok"
		if m.ratio < c.bar {
			verdict, t.missed = "MISS", true
		}
	}
	if c.latest > 0 {
		bar, verdict = fmt.Sprintf("%.2f", c.latest.Seconds()*1000), "ok"
		if m.ours.p99 > c.latest {
			verdict, t.missed = "MISS", true
		}
	}
	if c.slower > 0 && connections == 1 {
		bar, verdict = fmt.Sprintf("+%.2f", c.slower.Seconds()*1000), "ok"
		if m.ours.p50 > m.floor.p50+c.slower {
			verdict, t.missed = "MISS", true
		}
	}
	t.line("| %-28s | %5d | %7.0f | %8.0f | %5.2f | %5s | %-4s | %9s | %9s | %9s | %9s | %8.1f | %5.1f |", c.name, connections,
		m.ours.perSecond, m.floor.perSecond, m.ratio, bar, verdict,
		short(m.ours.p50), short(m.floor.p50), short(m.ours.p99), short(m.floor.p99), micros(m.ours.cpu), micros(m.floor.cpu))
}

func micros(d time.Duration) float64 { return d.Seconds() * 1e6 }

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
