package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"crema/server/base/fault"
)

// patience bounds a statement that must not be lost because the server stops.
const patience = 10 * time.Second

// purgeEvery is how often jobs that died long ago are removed.
const purgeEvery = time.Hour

// dispatch gives due jobs to free workers.
func (q *Queue) dispatch(ctx context.Context) {
	defer close(q.done)
	var purged time.Time
	for ctx.Err() == nil {
		if time.Since(purged) > purgeEvery {
			purged = time.Now()
			if _, err := q.c.DB.Exec(ctx, deleteOldDead); err != nil {
				q.c.Log.WarnContext(ctx, "dead jobs were not cleared away", "error", err)
			}
		}
		free := q.reserve(ctx)
		if free == 0 {
			return
		}
		claimed, err := q.claim(ctx, free)
		if err != nil && ctx.Err() == nil {
			q.c.Log.WarnContext(ctx, "jobs cannot be read; trying again", "error", err)
		}
		for range free - len(claimed) {
			<-q.slots
		}
		for _, j := range claimed {
			q.running.Add(1)
			go q.work(ctx, j)
		}
		if len(claimed) < free {
			q.rest(ctx, err)
		}
	}
}

// reserve waits for a free worker and takes all that are; 0 when ctx ends.
func (q *Queue) reserve(ctx context.Context) int {
	select {
	case <-ctx.Done():
		return 0
	case q.slots <- struct{}{}:
	}
	for n := 1; ; n++ {
		select {
		case q.slots <- struct{}{}:
		default:
			return n
		}
	}
}

func (q *Queue) claim(ctx context.Context, n int) ([]job, error) {
	var claimed []job
	err := q.c.DB.Select(ctx, &claimed, claimJobs, q.kinds, n, q.c.Lease.Milliseconds())
	return claimed, err
}

// rest waits for a notice, for the next job that comes due, or a while after an error.
func (q *Queue) rest(ctx context.Context, err error) {
	wait := q.c.Poll
	if err == nil {
		var ms int64
		if err = q.c.DB.Get(ctx, &ms, selectWait, q.kinds, wait.Milliseconds()); err == nil {
			if ms <= 0 { // somebody else has a lock on it
				ms = 200
			}
			wait = min(wait, time.Duration(ms)*time.Millisecond)
		}
	}
	if err != nil {
		wait = min(wait, time.Second)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-q.wake:
	case <-t.C:
	}
}

// work runs one job and writes down how it went.
func (q *Queue) work(ctx context.Context, j job) {
	defer q.running.Done()
	defer func() { <-q.slots }()
	h := q.handlers[j.Kind]
	lease, cancel := context.WithCancel(ctx)
	var err error
	if j.Tries > h.maxTries { // the last try ended with its server
		err = Permanent(errDied)
	} else {
		renewing := make(chan struct{})
		go func() {
			defer close(renewing)
			q.renew(lease, cancel, j)
		}()
		err = call(lease, h.run, j)
		cancel()
		<-renewing
	}
	cancel()
	if serr := q.settle(ctx, j, h, err); serr != nil {
		q.c.Log.WarnContext(ctx, "how a job went could not be stored; it will run again", "job", j.ID, "kind", j.Kind, "error", serr)
	}
}

// call turns a panic into an error: one bad payload must not take the server with it.
func call(ctx context.Context, run Handler, j job) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, "jobs.panic", "a job of kind %s panicked: %v", j.Kind, p)
		}
	}()
	return run(ctx, j.Payload)
}

// renew keeps the lease until ctx ends. When somebody else has the job, or nobody can tell for a whole
// lease, it cancels the handler.
func (q *Queue) renew(ctx context.Context, cancel context.CancelFunc, j job) {
	t := time.NewTicker(q.c.Lease / 3)
	defer t.Stop()
	held := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		began := time.Now()
		n, err := q.c.DB.Exec(ctx, renewLease, j.ID, j.Run, q.c.Lease.Milliseconds())
		switch {
		case err == nil && n == 1:
			held = began
		case err == nil || time.Since(held) > q.c.Lease:
			cancel()
			return
		}
	}
}

// settle stores the outcome, unless the lease is somebody else's by now.
func (q *Queue) settle(ctx context.Context, j job, h handling, err error) error {
	stopping := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	switch {
	case err == nil:
		_, err = q.c.DB.Exec(ctx, deleteJob, j.ID, j.Run)
		return err
	case isPermanent(err) || j.Tries >= h.maxTries && !stopping:
		q.c.Log.ErrorContext(ctx, "a job was given up", "job", j.ID, "kind", j.Kind, "tries", j.Tries, "error", err)
		_, err = q.c.DB.Exec(ctx, buryJob, j.ID, j.Run, errorText(err))
		return err
	case stopping:
		var n int
		return q.c.DB.Get(ctx, &n, releaseJob, j.ID, j.Run, q.channel)
	}
	wait := q.c.Backoff(j.Tries)
	var d delayed
	if errors.As(err, &d) {
		wait = max(wait, d.wait)
	}
	q.c.Log.InfoContext(ctx, "a job failed and is tried again", "job", j.ID, "kind", j.Kind, "tries", j.Tries, "in", wait, "error", err)
	_, err = q.c.DB.Exec(ctx, retryJob, j.ID, j.Run, wait.Milliseconds(), errorText(err))
	q.nudge() // the dispatcher may mean to rest for longer
	return err
}

var errDied = fault.New(fault.Unavailable, "jobs.died", "the server died during the last try")

// errorText is what the row keeps of an error.
func errorText(err error) string {
	return fmt.Sprintf("%.2000s", strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), ""))
}
