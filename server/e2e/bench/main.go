// Command bench measures the server beside bare handlers that do the same work with chi, lib/pq and
// net/http alone, and fails when a ratio is under its bar: go run ./server/e2e/bench
//
// It starts a durable PostgreSQL of its own, the server as it is built for production with its log in a
// file, and the bare handlers (the floor) in another process. One client drives both over loopback with
// keep-alive connections, in short rounds that alternate, so that both meet the same noise of the
// machine. A ratio is the median of the ratios of neighbouring rounds.
//
// -payments measures paying instead, -wire what a logged-in user does, -pubsub websockets, -functions functions in
// Python and JavaScript.
//
// Before anything is measured, both sides must give the same answer to the same request.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	root        string // of the repository
	binary      string // of the server; "": it is built
	rounds      int    // of each side, for each case and number of connections
	round       time.Duration
	connections []int
	only        string // part of a case's name
	report      bool   // never fail because of a ratio
	out         string // a Markdown file that takes the table between its marks
	profile     string // a folder for CPU profiles of both sides
	payments    bool   // measure paying instead
	grown       int    // payments of the big shop
	wire        bool   // measure the wire with a user's token instead
	rows        int    // records of the big table
	pubsub      bool   // measure websockets instead
	functions   bool   // measure functions in Python and JavaScript instead
	starts      int    // of Python workers
	crowd       int    // subscribers of one channel
	idle        int    // sockets that do nothing
}

// errMissed says that the measuring worked and that a ratio is under its bar.
var errMissed = errors.New("a ratio is under its bar")

func main() {
	if run := childOf(os.Getenv(roleVariable)); run != nil {
		os.Exit(run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, parse(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() options {
	o := options{connections: []int{1, 8, 32}, grown: 1_000_000, rows: 1_000_000, crowd: 1000, idle: 10_000, starts: 200}
	flag.StringVar(&o.root, "root", ".", "top folder of the repository")
	flag.IntVar(&o.rounds, "rounds", 12, "rounds of each side, for each case and number of connections")
	flag.DurationVar(&o.round, "round", 350*time.Millisecond, "length of a round")
	flag.StringVar(&o.only, "only", "", "measure the cases with this in their names")
	flag.BoolVar(&o.report, "report", false, "report only: a ratio under its bar is no failure")
	flag.Func("connections", "numbers of connections, `1,8,32`", o.setConnections)
	flag.StringVar(&o.out, "out", "", "write the table into this Markdown file, between its marks")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles of both sides into this folder")
	flag.BoolVar(&o.payments, "payments", false, "measure paying instead: beside a floor, and with many payments beside few")
	flag.IntVar(&o.grown, "grown", o.grown, "payments that the big shop has had")
	flag.BoolVar(&o.wire, "wire", false, "measure what a logged-in user does instead, with a large table")
	flag.IntVar(&o.rows, "rows", o.rows, "records of the large table")
	flag.BoolVar(&o.pubsub, "pubsub", false, "measure websockets instead: one message to many subscribers, and sockets that do nothing")
	flag.BoolVar(&o.functions, "functions", false, "measure functions in Python and JavaScript instead: beside Go's, and beside Skygear's own runtimes")
	quick := flag.Bool("quick", false, "a few short rounds: shows that everything works, measures nothing")
	flag.Parse()
	if *quick {
		o = o.quick()
	}
	return o
}

func (o *options) setConnections(list string) error {
	o.connections = nil
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number of connections", text)
		}
		o.connections = append(o.connections, n)
	}
	return nil
}

// quick is for a test: it takes a few seconds and its ratios mean nothing.
func (o options) quick() options {
	o.rounds, o.round, o.connections, o.report, o.grown, o.rows = 2, 30*time.Millisecond, []int{1, 4}, true, 5000, 6000
	o.crowd, o.idle, o.starts = 20, 100, 3
	return o
}

func run(ctx context.Context, o options, out io.Writer) error {
	b, err := start(ctx, o)
	defer b.stop()
	if err != nil {
		return err
	}
	if o.pubsub {
		return b.runPubsub(ctx, o, out)
	}
	prepare := b.prepare
	switch {
	case o.payments:
		prepare = b.preparePayments
	case o.wire:
		prepare = b.prepareWire
	case o.functions:
		prepare = b.prepareFunctions
	}
	cases, err := prepare(ctx, o)
	if err != nil {
		return err
	}
	if err := b.startProfiles(); err != nil {
		return err
	}
	t := newTable(ctx, b, o, out)
	for _, c := range cases {
		if !strings.Contains(c.name, o.only) {
			continue
		}
		if c.before != nil {
			if err := c.before(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		if err := t.measure(ctx, c, o); err != nil {
			return err
		}
	}
	for _, text := range b.skipped {
		t.line("\nSKIPPED: %s", text)
	}
	if b.finish != nil {
		if err := b.finish(ctx); err != nil {
			return err
		}
	}
	if err := t.finish(o.out); err != nil {
		return err
	}
	if t.missed && !o.report {
		return errMissed
	}
	return nil
}
