package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"crema/server/base/fault"
)

// Querier is what the queue needs of a database or a transaction; pg.DB and pg.Tx have it.
type Querier interface {
	// Get reads exactly one row.
	Get(ctx context.Context, dst any, q string, args ...any) error
	// Select reads all rows.
	Select(ctx context.Context, dst any, q string, args ...any) error
	// Exec returns the number of rows touched.
	Exec(ctx context.Context, q string, args ...any) (int64, error)
}

// Listen subscribes to a channel of the database: heard is called for every notice, and after a lost
// connection. stop ends it.
type Listen func(ctx context.Context, channel string, heard func()) (stop func(), err error)

// Config is what a Queue needs.
type Config struct {
	DB      Querier
	App     string // whose jobs: servers with the same one hear of each other's
	Listen  Listen // nil: only the looks every Poll find what other servers put in
	Log     *slog.Logger
	Workers int                           // jobs at once; 0: 8
	Lease   time.Duration                 // 0: a minute. How long a dead server's jobs wait
	Poll    time.Duration                 // 0: half a minute
	Backoff func(tries int) time.Duration // nil: a second, doubled with every try, to ten minutes
}

// Handler does one job; payload is the JSON that was put in. It must bear being run twice and return
// soon after ctx ends. Its error is stored and logged, so it must hold no secret.
type Handler func(ctx context.Context, payload json.RawMessage) error

// Queue puts jobs in and works on them. It is safe for concurrent use.
type Queue struct {
	c        Config
	channel  string // of the notices about new jobs; a hash, because names of channels are short
	handlers map[string]handling
	kinds    string // their names as a JSON array
	slots    chan struct{}
	wake     chan struct{}
	running  sync.WaitGroup
	done     chan struct{}
	cancel   context.CancelFunc
	deafen   func()
}

type handling struct {
	run      Handler
	maxTries int
}

// New returns a Queue. Enqueue works at once; jobs are worked on between Start and Stop.
func New(c Config) *Queue {
	if c.Workers == 0 {
		c.Workers = 8
	}
	if c.Lease == 0 {
		c.Lease = time.Minute
	}
	if c.Poll == 0 {
		c.Poll = 30 * time.Second
	}
	if c.Backoff == nil {
		c.Backoff = backoff
	}
	sum := sha256.Sum256([]byte(c.App))
	return &Queue{
		c: c, channel: "crema_jobs_" + hex.EncodeToString(sum[:8]), handlers: map[string]handling{}, slots: make(chan struct{}, c.Workers), wake: make(chan struct{}, 1),
		cancel: func() {}, deafen: func() {},
	}
}

// backoff spreads what failed together by a fifth.
func backoff(tries int) time.Duration {
	d := min(time.Second<<min(tries-1, 20), 10*time.Minute)
	return d + time.Duration(rand.Int64N(int64(d)/5))
}

// Handle says who does the jobs of a kind, and how often a job is tried. Call it before Start; jobs of
// kinds that a server does not know wait for one that does.
func (q *Queue) Handle(kind string, maxTries int, h Handler) {
	q.handlers[kind] = handling{h, maxTries}
}

// Enqueue puts one job per payload into the queue. They can begin when tx commits and never exist when it
// does not.
func (q *Queue) Enqueue(ctx context.Context, tx Querier, kind string, payloads ...any) error {
	if len(payloads) == 0 {
		return nil
	}
	list, err := json.Marshal(payloads)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "jobs.bad_payload", "a job could not be written down")
	}
	var n int
	return tx.Get(ctx, &n, insertJobs, kind, string(list), q.channel)
}

// Start works on jobs until Stop.
func (q *Queue) Start(ctx context.Context) error {
	kinds := make([]string, 0, len(q.handlers))
	for kind := range q.handlers {
		kinds = append(kinds, kind)
	}
	list, err := json.Marshal(kinds)
	if err != nil {
		return fault.From(err)
	}
	q.kinds = string(list)
	if q.c.Listen != nil {
		if q.deafen, err = q.c.Listen(ctx, q.channel, q.nudge); err != nil {
			q.deafen = func() {}
			return err
		}
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	q.cancel, q.done = cancel, make(chan struct{})
	go q.dispatch(life)
	return nil
}

// Stop ends the work: running handlers see their context end, and what they leave undone goes back into
// the queue for others. It returns when they have returned.
func (q *Queue) Stop() {
	q.deafen()
	q.cancel()
	if q.done != nil {
		<-q.done
	}
	q.running.Wait()
}

func (q *Queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Dead returns the jobs that were given up, the latest first.
func (q *Queue) Dead(ctx context.Context, limit int) ([]Dead, error) {
	var dead []Dead
	err := q.c.DB.Select(ctx, &dead, selectDead, limit)
	return dead, err
}

// Revive gives a dead job all its tries again. Reason jobs.not_dead.
func (q *Queue) Revive(ctx context.Context, id int64) error {
	var n int
	if err := q.c.DB.Get(ctx, &n, reviveJob, id, q.channel); err != nil || n == 1 {
		return err
	}
	return fault.New(fault.NotFound, "jobs.not_dead", "there is no dead job %d", id)
}

// permanent is a failure that no other try can mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent marks an error of a handler: the job is dead at once.
func Permanent(err error) error { return permanent{err} }

// delayed is a failure with the time to wait before the next try.
type delayed struct {
	error
	wait time.Duration
}

func (d delayed) Unwrap() error { return d.error }

// After marks an error of a handler: the next try, if there is one left, comes no sooner than in wait.
func After(wait time.Duration, err error) error { return delayed{err, wait} }

func isPermanent(err error) bool {
	var p permanent
	return errors.As(err, &p)
}
