package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"

	"crema/server/core/payments/sandbox/api"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/render"
	"crema/server/core/payments/sandbox/wire"
)

// execute runs the request in one transaction, or replays what its idempotency key did before.
func (s *Sandbox) execute(ctx context.Context, q *request) (a answer, err error) {
	err = s.ledger.Tx(ctx, func(ctx context.Context, tx *ledger.Tx) (err error) {
		if q.key == "" {
			if q.now, err = s.now(ctx, tx); err == nil {
				a, err = s.run(ctx, tx, q)
			}
			return err
		}
		a, err = s.once(ctx, tx, q)
		return err
	})
	s.nudge()
	return a, err
}

// once runs a request at most once for its key. The reservation of the key ends with the transaction,
// so a crash never leaves a key behind that is taken.
func (s *Sandbox) once(ctx context.Context, tx *ledger.Tx, q *request) (answer, error) {
	sum := sha256.Sum256(wire.Canonical(q.form))
	// Looked up before the key is taken, so that replays do not get in each other's way, and again
	// afterwards: the call that had the key may have ended between the two.
	for _, taken := range []bool{false, true} {
		if taken {
			if err := takeKey(ctx, tx, q.key); err != nil {
				return answer{}, err
			}
		}
		real := s.c.Now()
		stored, ahead, err := tx.Reply(ctx, q.key, real.Add(-keepReplies).Unix())
		if err != nil {
			return answer{}, err
		}
		q.now = real.Add(ahead)
		if stored != nil {
			return replay(stored, q, sum[:])
		}
	}
	a, err := s.run(ctx, tx, q)
	if err != nil {
		return answer{}, err
	}
	a.original = q.id
	return a, tx.SaveReply(ctx, q.key, ledger.Reply{
		Path: q.r.URL.Path, Params: sum[:], Status: a.status, Body: a.body, RequestID: q.id, Created: q.now.Unix(),
	})
}

// takeKey is a 409 when another call with this key runs.
func takeKey(ctx context.Context, tx *ledger.Tx, key string) error {
	got, err := tx.TakeKey(ctx, key)
	if err != nil || got {
		return err
	}
	e := idempotency(http.StatusConflict, "There is currently another in-progress request using this idempotency key. Try again later.")
	e.Code = "idempotency_key_in_use"
	return e
}

func replay(stored *ledger.Reply, q *request, params []byte) (answer, error) {
	switch {
	case stored.Path != q.r.URL.Path:
		return answer{}, idempotency(http.StatusBadRequest, "Keys for idempotent requests can only be used for the same endpoint they were first used for. Use another key for another request.")
	case !bytes.Equal(stored.Params, params):
		return answer{}, idempotency(http.StatusBadRequest, "Keys for idempotent requests can only be used with the same parameters they were first used with. Use another key for another request.")
	}
	return answer{status: stored.Status, body: stored.Body, original: stored.RequestID, replayed: true}, nil
}

func idempotency(status int, message string) *wire.Error {
	return &wire.Error{Status: status, Type: wire.TypeIdempotency, Message: message}
}

// run does the work. An error rolls everything back; an answer, also one of 402 or 500, commits.
func (s *Sandbox) run(ctx context.Context, tx *ledger.Tx, q *request) (answer, error) {
	if q.plan.status != 0 && !q.plan.after {
		return errorAnswer(injected(q.plan.status))
	}
	form := wire.NewParams(q.plan.rewrite(q.form))
	c := &api.Call{
		Tx: tx, Form: form, Expand: form.List("expand"), Path: q.r.URL.Path, ID: q.object, Now: q.now,
		Version: q.version, RequestID: q.id, Key: q.key, ClientIP: clientIP(q.r), Origin: s.origin(q.r), Secret: s.webhookSecret,
	}
	result, err := q.route.Do(ctx, c)
	var e *wire.Error
	if errors.As(err, &e) && e.Keep {
		return errorAnswer(e)
	}
	if err != nil {
		return answer{}, err
	}
	if q.plan.status != 0 {
		return errorAnswer(injected(q.plan.status))
	}
	body, err := (&render.Caller{Tx: tx, Version: q.version, Expand: c.Expand}).JSON(ctx, result)
	return answer{status: http.StatusOK, body: body}, err
}

func errorAnswer(e *wire.Error) (answer, error) {
	body, err := e.Body()
	return answer{status: e.Status, body: body, code: e.Code}, err
}
