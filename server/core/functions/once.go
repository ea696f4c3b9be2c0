package functions

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"crema/server/base/fault"
	"crema/server/core/acl"
)

const (
	keep        = 24 * time.Hour   // how long an answer is replayed
	lease       = 15 * time.Second // how long a run may be silent
	renewal     = lease / 3
	firstPause  = 10 * time.Millisecond
	longPause   = 250 * time.Millisecond
	maxKey      = 255     // of an Idempotency-Key, in bytes
	maxAnswer   = 1 << 20 // of what is kept, in bytes
	settleLimit = 5 * time.Second
)

// Answer is the result of InvokeOnce.
type Answer struct {
	Result   json.RawMessage // nil with an error
	Replayed bool            // it is the stored answer of an earlier call, result or error
}

// InvokeOnce is Invoke that runs the function at most once for a function, caller and key (1 to 255
// printable ASCII characters) and answers later calls with the first answer for 24 h. Callers without
// a user share what their kind of key sees, so their keys must not be guessable. It waits while
// another call with the key runs, on whatever server, and takes over from a server that died.
//
// Beside Invoke's it fails with functions.bad_key, functions.key_reused (other arguments),
// functions.key_busy (the wait took too long) and functions.answer_not_kept.
func (s *Service) InvokeOnce(ctx context.Context, key, name string, args json.RawMessage) (Answer, error) {
	f, args, err := s.admit(ctx, name, args)
	if err != nil {
		return Answer{}, err
	}
	if err := checkKey(key); err != nil {
		return Answer{}, err
	}
	if s.config.DB == nil {
		return Answer{}, fault.New(fault.NotConfigured, "functions.no_database", "an Idempotency-Key needs a database")
	}
	c, err := newClaim(acl.FromContext(ctx), f, key, args)
	if err != nil {
		return Answer{}, err
	}
	answered, err := s.await(ctx, f, c)
	if err != nil {
		return Answer{}, err
	}
	if answered != nil {
		return answered.answer()
	}
	o := s.runOnce(ctx, f, c, args)
	return Answer{Result: o.result}, o.err
}

func checkKey(key string) error {
	ok := key != "" && len(key) <= maxKey
	for i := 0; ok && i < len(key); i++ {
		ok = ' ' <= key[i] && key[i] <= '~'
	}
	if !ok {
		return fault.New(fault.BadRequest, "functions.bad_key", "an Idempotency-Key is 1 to %d printable ASCII characters", maxKey)
	}
	return nil
}

func newClaim(a acl.Actor, f *function, key string, args json.RawMessage) (claim, error) {
	run, err := uuid.NewV7()
	if err != nil {
		return claim{}, fault.Wrap(err, fault.Internal, "functions.no_uuid", "an unexpected error occurred")
	}
	sum, err := fingerprint(args)
	if err != nil {
		return claim{}, err
	}
	return claim{
		function: canonical(f.Name), caller: string(a.Key) + ":" + a.UserID, key: key,
		fingerprint: sum, run: run.String(),
	}, nil
}

// fingerprint is equal for arguments that differ only in space and order.
func fingerprint(args json.RawMessage) ([]byte, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(args))
	d.UseNumber()
	err := d.Decode(&v)
	if err == nil {
		args, err = json.Marshal(v)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.BadRequest, "functions.bad_json", "the arguments are not valid JSON")
	}
	sum := sha256.Sum256(args)
	return sum[:], nil
}

// await returns the stored answer, or nil once the claim holds the key. Waiting is bounded by ctx and
// by the function's own deadline.
func (s *Service) await(ctx context.Context, f *function, c claim) (*row, error) {
	begin := time.Now()
	waiting, cancel := context.WithTimeout(ctx, f.Timeout)
	defer cancel()
	free := true
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		if free {
			if won, err := s.store.claim(waiting, c); won || err != nil {
				return nil, err
			}
		}
		r, err := s.store.read(waiting, c)
		switch {
		case err != nil:
			return nil, err
		case !bytes.Equal(r.Fingerprint, c.fingerprint):
			return nil, fault.New(fault.IdempotencyConflict, "functions.key_reused", "this Idempotency-Key was used with other arguments; use a new key for a new call")
		case r.Result != nil || r.Error != nil:
			return &r, nil
		}
		if free = r.Free; free {
			continue
		}
		if err := sleep(waiting, pause); err != nil {
			return nil, waited(ctx, f, begin)
		}
	}
}

// sleep waits for d, shortened by chance so that those who wait do not come together.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d/2 + rand.N(d/2))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func waited(ctx context.Context, f *function, begin time.Time) error {
	if ctx.Err() != nil {
		return ended(ctx, f, begin)
	}
	return fault.New(fault.Timeout, "functions.key_busy", "another call with this Idempotency-Key is still running; try again with the same key")
}

// answer replays what is stored.
func (r *row) answer() (Answer, error) {
	if r.Result != nil {
		return Answer{Result: json.RawMessage(*r.Result), Replayed: true}, nil
	}
	f, err := thaw(*r.Error)
	if err != nil {
		return Answer{}, err
	}
	return Answer{Replayed: true}, f
}

// runOnce runs the function while it keeps the lease alive, and stores what became of it.
func (s *Service) runOnce(ctx context.Context, f *function, c claim, args json.RawMessage) outcome {
	own := context.WithoutCancel(ctx) // the answer is stored even when its caller has gone
	stop := s.hold(own, f, c, renewal)
	return s.call(ctx, f, args, func(o outcome) {
		stop()
		ctx, cancel := context.WithTimeout(own, settleLimit)
		defer cancel()
		if err := s.settle(ctx, c, o); err != nil {
			slog.New(f.log).ErrorContext(ctx, "the answer for an Idempotency-Key is not stored", "error", err.Error())
		}
	})
}

// hold renews the lease again and again until the returned function is called.
func (s *Service) hold(ctx context.Context, f *function, c claim, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			held, err := s.store.renew(ctx, c)
			if ctx.Err() == nil && (err != nil || !held) {
				slog.New(f.log).WarnContext(ctx, "the lease of a running call was not renewed", "held", held, "error", err)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// settle stores a final answer and gives the key back after anything else.
func (s *Service) settle(ctx context.Context, c claim, o outcome) error {
	if o.refused || o.err != nil && !isFinal(o.err) {
		return s.store.release(ctx, c)
	}
	var result, failure *string
	var err error
	if o.err == nil {
		text := string(o.result)
		result = &text
	} else if failure, err = freeze(fault.From(o.err)); err != nil {
		return err
	}
	if size(result) > maxAnswer || size(failure) > maxAnswer {
		result = nil
		if failure, err = freeze(notKept()); err != nil {
			return err
		}
	}
	held, err := s.store.settle(ctx, c, result, failure)
	if err == nil && !held {
		return fault.New(fault.Internal, "functions.lease_lost", "another run has taken over the key")
	}
	return err
}

func size(s *string) int {
	if s == nil {
		return 0
	}
	return len(*s)
}

func notKept() *fault.Error {
	return fault.New(fault.IdempotencyConflict, "functions.answer_not_kept", "the first call with this Idempotency-Key has succeeded, but its answer was too large to be kept; it is not run again")
}

// isFinal says whether trying again later could not help.
func isFinal(err error) bool {
	switch fault.From(err).Code {
	case fault.Internal, fault.Timeout, fault.Unavailable, fault.UpstreamTimeout, fault.DatabaseUnavailable,
		fault.Initializing, fault.NotConfigured, fault.RateLimited:
		return false
	}
	return true
}

// frozen is a fault as it is stored; its cause is not.
type frozen struct {
	Code    fault.Code     `json:"code"`
	Reason  string         `json:"reason"`
	Message string         `json:"message"`
	Details map[string]any `json:"details,omitempty"`
}

func freeze(f *fault.Error) (*string, error) {
	b, err := json.Marshal(frozen{f.Code, f.Reason, f.Message, f.Details})
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "functions.bad_result", "the function's error cannot be written as JSON")
	}
	text := string(b)
	return &text, nil
}

func thaw(text string) (*fault.Error, error) {
	var z frozen
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&z); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "functions.bad_answer", "a stored answer cannot be read")
	}
	return &fault.Error{Code: z.Code, Reason: z.Reason, Message: z.Message, Details: z.Details}, nil
}

const (
	cleanEvery = 10 * time.Minute
	cleanBatch = 1000
)

// cleaner is the goroutine that removes stored answers which are too old.
type cleaner struct {
	once sync.Once
	stop context.CancelFunc
	done chan struct{}
}

// Start lets old answers be removed from now on, until Stop.
func (s *Service) Start() {
	if s.config.DB == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.cleaner.stop, s.cleaner.done = stop, make(chan struct{})
	go func() {
		defer close(s.cleaner.done)
		t := time.NewTicker(cleanEvery)
		defer t.Stop()
		for {
			if err := s.clean(ctx); err != nil && ctx.Err() == nil {
				s.config.Log.WarnContext(ctx, "old answers of functions are not removed", "error", err.Error())
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
}

// clean removes what has expired.
func (s *Service) clean(ctx context.Context) error {
	for {
		n, err := s.store.expire(ctx, cleanBatch)
		if err != nil || n < cleanBatch {
			return err
		}
	}
}
