// Command chaos proves that no payment is doubled and none is lost: go run ./server/e2e/chaos
//
// It starts a durable PostgreSQL, the sandbox in a process of its own and the real server. Shoppers buy,
// double-click, open two tabs, close them, use bad cards, go through the hosted checkout and 3-D Secure,
// and get refunds. Meanwhile the server is killed with SIGKILL at every failpoint and at random moments,
// PostgreSQL is killed and restarted, its connections are cut, and the sandbox loses replies, answers
// with errors, delays, and repeats and reorders its webhooks. What each shopper asked and heard is
// written down as in Jepsen's histories: invoke, then ok, fail (for good) or info (not known).
//
// Then the faults stop, everything that is open must settle, and the invariants I1 to I8 (check.go) are
// checked against the sandbox's journal and the database. A violation prints its order's history.
//
// The seed decides what the shoppers do, and which faults and kills come in which order. Their timing
// against each other is the machine's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	root     string // of the repository
	binary   string // of the server; "": built from root
	seed     uint64
	orders   int           // at least so many purchases
	kills    int           // at least so many kills of the server
	atMost   time.Duration // then the faults end, whatever was reached
	shoppers int           // at the same time
	patience time.Duration // of a shopper who waits for one answer
	pause    time.Duration // of a shopper between two purchases, at most
	tries    int           // of a shopper who wants to be sure
	calm     time.Duration // between two faults of the sandbox, on average
	database time.Duration // between two faults of PostgreSQL, on average
	out      string        // a Markdown file that takes the table between its marks
	keep     bool          // the folder with the logs
}

// errViolated says that the run worked and that an invariant does not hold.
var errViolated = errors.New("an invariant is violated")

func main() {
	if run := childOf(os.Getenv(roleVariable)); run != nil {
		os.Exit(run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, parse(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func parse() options {
	o := long()
	flag.StringVar(&o.root, "root", ".", "top folder of the repository")
	flag.StringVar(&o.binary, "binary", "", "the server to test; built from -root when empty")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "what shoppers and faults do; the same seed is the same plan")
	flag.IntVar(&o.orders, "payments", o.orders, "at least so many purchases")
	flag.IntVar(&o.kills, "kills", o.kills, "at least so many kills of the server")
	flag.DurationVar(&o.atMost, "duration", o.atMost, "at most so long, before things settle")
	flag.IntVar(&o.shoppers, "shoppers", o.shoppers, "at the same time")
	flag.StringVar(&o.out, "out", "", "write the table into this Markdown file, between its marks")
	flag.BoolVar(&o.keep, "keep", false, "keep the folder with the logs and print its name")
	short := flag.Bool("short", false, "the run of the test: some seconds, every failpoint once")
	flag.Parse()
	if *short {
		s := o.short()
		s.out, s.keep = o.out, o.keep
		return s
	}
	return o
}

func long() options {
	return options{
		orders: 10_000, kills: 200, atMost: 40 * time.Minute, shoppers: 32, patience: 6 * time.Second, tries: 5,
		calm: 400 * time.Millisecond, database: 25 * time.Second,
	}
}

// short is for a test.
func (o options) short() options {
	o.orders, o.kills, o.atMost, o.shoppers, o.tries, o.pause = 250, 10, 55*time.Second, 20, 2, 600*time.Millisecond
	o.patience, o.calm, o.database = time.Second, 250*time.Millisecond, 3*time.Second
	return o
}

func run(ctx context.Context, o options, out io.Writer) error {
	w, err := openWorld(ctx, o)
	defer w.close()
	if err != nil {
		return err
	}
	r := newReport(o, out)
	if err := w.rage(ctx); err != nil {
		return err
	}
	raged := time.Since(w.history.start)
	r.line("the faults have ended after %s; now everything must settle", raged.Round(time.Millisecond))
	if err := w.settle(ctx); err != nil {
		return fmt.Errorf("settling: %w\n%s", err, w.tail())
	}
	books, err := w.readBooks(ctx)
	if err != nil {
		return fmt.Errorf("reading the books: %w", err)
	}
	problems := w.check(ctx, books)
	for _, p := range problems {
		r.line("%s", p)
	}
	r.table(w, books, raged, len(problems))
	if err := r.finish(o.out); err != nil {
		return err
	}
	if len(problems) > 0 {
		return errViolated
	}
	return nil
}
