package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"crema/server/base/pg"
	"crema/server/e2e/bench/fanout"
)

const (
	socketPath = "/pubsub?api_key=" + apiKey
	hiddenPath = "/_/pubsub?api_key=" + apiKey
	idleTime   = 60 * time.Second // longer than two pings are apart
	maxIdle    = 400 << 20        // bytes of memory that the idle sockets may take, the server itself included
	saying     = `{"order":"two bags of Kenya AA, please","count":2,"at":"2024-05-06T07:08:09.123456Z"}`
)

// runBareHub serves the floor of the websockets until it is killed.
func runBareHub() int {
	if err := http.ListenAndServe(os.Getenv(addrVariable), fanout.Floor()); err != nil {
		fmt.Fprintln(os.Stderr, "sockets:", err)
	}
	return 1
}

// fanOut is one line of the table: a publisher on one server, a crowd on the same or another one.
type fanOut struct {
	name      string
	bar       float64
	window    int // messages on their way
	crowd     int
	from, to  *server // ours
	floor     *server
	floorFrom *server
}

// runPubsub measures idle sockets first, on servers that have done nothing yet.
func (b *bench) runPubsub(ctx context.Context, o options, out io.Writer) error {
	if err := b.startSockets(ctx, o); err != nil {
		return err
	}
	second := b.more[len(b.more)-1]
	idle, err := b.idle(ctx, o)
	if err != nil {
		return err
	}
	t := newTable(ctx, b, o, out)
	t.missed = idle.missed
	for _, c := range []fanOut{
		{fmt.Sprintf("1 to %d, 1 on its way", o.crowd), 0.8, 1, o.crowd, b.ours, b.ours, b.floor, b.floor},
		{fmt.Sprintf("1 to %d, 8 on their way", o.crowd), 0.8, 8, o.crowd, b.ours, b.ours, b.floor, b.floor},
		{"1 to 1, 1 on its way", 0, 1, 1, b.ours, b.ours, b.floor, b.floor},
		{"1 to 1, 32 on their way", 0, 32, 1, b.ours, b.ours, b.floor, b.floor},
		{"... from another server", 0, 32, 1, b.ours, second, b.floor, b.floor},
	} {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		m, err := c.measure(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		t.add(benchCase{name: c.name, bar: c.bar}, c.crowd, m)
	}
	t.line("")
	t.line("%s", idle)
	if err := t.finish(o.out); err != nil {
		return err
	}
	if t.missed && !o.report {
		return errMissed
	}
	return nil
}

// startSockets starts two of our servers on one database, and the bare hub.
func (b *bench) startSockets(ctx context.Context, o options) error {
	if err := b.startServer(ctx, o.root); err != nil {
		return fmt.Errorf("the server: %w", err)
	}
	second := &server{cmd: exec.Command(b.ours.cmd.Path, "serve")}
	b.floor = &server{}
	b.more = append(b.more, second)
	var errs [4]error
	second.addr, errs[0] = freeAddress()
	b.floor.addr, errs[1] = freeAddress()
	b.floor.cmd, errs[2] = b.self("sockets")
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if b.profile != "" {
		second.cmd, errs[3] = b.self("server")
		second.cmd.Env = second.cmd.Env[:1] // one profile of one server
	}
	env := []string{"DATABASE_URL=" + b.url, "HOST=" + second.addr, "API_KEY=" + apiKey, "MASTER_KEY=" + masterKey, "APP_NAME=bench"}
	if err := errors.Join(errs[3], b.launch(ctx, "second", second, env), b.launch(ctx, "floor", b.floor, []string{addrVariable + "=" + b.floor.addr})); err != nil {
		return err
	}
	db, err := pg.Open(ctx, pg.Config{URL: b.url, Schema: "app_bench", MaxConns: 1})
	if err != nil {
		return err
	}
	return errors.Join(db.Get(ctx, &b.version, "SELECT current_setting('server_version')"), db.Close(), b.startProfiles())
}

// audience is one side of a fanOut with what was measured so far.
type audience struct {
	server *server // whose CPU time counts
	crowd  *fanout.Crowd
	rates  []float64 // messages heard per second, one per round
	took   []time.Duration
	cpu    time.Duration
	count  int // messages heard
}

func (c fanOut) measure(ctx context.Context, o options) (comparison, error) {
	ours, floor := &audience{server: c.from}, &audience{server: c.floor}
	var err error
	if ours.crowd, err = fanout.Gather(ctx, c.from.addr, c.to.addr, socketPath, c.crowd, saying); err != nil {
		return comparison{}, fmt.Errorf("the server: %w", err)
	}
	defer ours.crowd.Close()
	if floor.crowd, err = fanout.Gather(ctx, c.floorFrom.addr, c.floor.addr, socketPath, c.crowd, saying); err != nil {
		return comparison{}, fmt.Errorf("the floor: %w", err)
	}
	defer floor.crowd.Close()
	sides := []*audience{ours, floor}
	for i := range o.rounds + 1 {
		for _, a := range sides {
			if err := a.round(ctx, c, o.round); err != nil {
				return comparison{}, err
			}
		}
		if i == 0 { // the first round of each warms up
			*ours, *floor = audience{server: ours.server, crowd: ours.crowd}, audience{server: floor.server, crowd: floor.crowd}
		}
		slices.Reverse(sides)
	}
	ratios := make([]float64, len(ours.rates))
	for i := range ratios {
		ratios[i] = ours.rates[i] / floor.rates[i]
	}
	return comparison{ours: ours.sum(), floor: floor.sum(), ratio: median(ratios)}, nil
}

func (a *audience) round(ctx context.Context, c fanOut, d time.Duration) error {
	cpu, start := a.server.cpu(), time.Now()
	took, err := a.crowd.Round(ctx, d, c.window)
	if err != nil {
		return err
	}
	a.rates = append(a.rates, float64(len(took)*c.crowd)/time.Since(start).Seconds())
	a.cpu += a.server.cpu() - cpu
	a.count += len(took) * c.crowd
	a.took = append(a.took, took...)
	return nil
}

func (a *audience) sum() measurement {
	slices.Sort(a.took)
	return measurement{
		perSecond: median(a.rates), p50: a.took[len(a.took)/2], p99: a.took[len(a.took)*99/100], cpu: a.cpu / time.Duration(a.count),
	}
}

// idling is what sockets that do nothing take of the memory of the server's process, in bytes.
type idling struct {
	sockets             int
	before, after, peak [2]int64 // ours, floor
	missed              bool
}

// idle opens sockets on servers that have done nothing yet and looks at their memory after a while.
func (b *bench) idle(ctx context.Context, o options) (idling, error) {
	m := idling{sockets: o.idle}
	for i, s := range []*server{b.more[len(b.more)-1], b.floor} {
		m.before[i] = s.memory("VmRSS:")
		if err := s.holdIdle(ctx, o.idle, []string{socketPath, hiddenPath}[:2-i]...); err != nil {
			return m, err
		}
		m.after[i], m.peak[i] = s.memory("VmRSS:"), s.memory("VmHWM:")
	}
	m.missed = m.peak[0] > maxIdle
	return m, nil
}

// holdIdle opens sockets and closes them after a while.
func (s *server) holdIdle(ctx context.Context, n int, paths ...string) error {
	q, err := fanout.Idle(ctx, s.addr, n, paths...)
	if err != nil {
		return err
	}
	defer q.Close()
	wait := idleTime
	if n < 1000 {
		wait = 0
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	if ended := q.Ended(); ended > 0 {
		return fmt.Errorf("%d of %d idle sockets were ended", ended, n)
	}
	return nil
}

// String is for the report.
func (m idling) String() string {
	verdict := "ok"
	if m.missed {
		verdict = "MISS"
	}
	mb := func(n int64) string { return fmt.Sprintf("%d MB", n>>20) }
	each := func(i int) string {
		return fmt.Sprintf("%.1f KB", float64(m.after[i]-m.before[i])/1024/float64(m.sockets))
	}
	return fmt.Sprintf("%d idle sockets take the server from %s to %s (%s each; at most %s; the floor from %s to %s, %s each). Bar: %s, %s.",
		m.sockets, mb(m.before[0]), mb(m.after[0]), each(0), mb(m.peak[0]), mb(m.before[1]), mb(m.after[1]), each(1), mb(maxIdle), verdict)
}

// memory returns a line of what Linux knows of the memory of the process, in bytes: VmRSS is in use, VmHWM was once.
func (s *server) memory(line string) int64 {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(s.cmd.Process.Pid) + "/status")
	_, rest, _ := strings.Cut(string(text), line)
	kb, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseInt(kb, 10, 64)
	return n << 10
}
