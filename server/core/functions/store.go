package functions

import (
	"context"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// In every statement $4 is the time, NULL for the database's own clock.
const (
	// sqlClaim makes the row, or takes over one that has expired or whose lease has ended.
	sqlClaim = `
INSERT INTO app._function_answer AS a (function, caller, key, fingerprint, run, lease_until, expires_at)
VALUES ($1, $2, $3, $5, $6, coalesce($4::timestamptz, now()) + make_interval(secs => $7),
        coalesce($4::timestamptz, now()) + make_interval(secs => $8))
ON CONFLICT (function, caller, key) DO UPDATE
   SET fingerprint = excluded.fingerprint, run = excluded.run, lease_until = excluded.lease_until,
       expires_at = excluded.expires_at, result = NULL, error = NULL
 WHERE a.expires_at <= coalesce($4::timestamptz, now())
    OR a.lease_until <= coalesce($4::timestamptz, now()) AND a.fingerprint = excluded.fingerprint`

	sqlRead = `
SELECT fingerprint, result, error, coalesce(lease_until <= coalesce($4::timestamptz, now()), false) AS free
  FROM app._function_answer
 WHERE function = $1 AND caller = $2 AND key = $3 AND expires_at > coalesce($4::timestamptz, now())`

	sqlRenew = `
UPDATE app._function_answer SET lease_until = coalesce($4::timestamptz, now()) + make_interval(secs => $6)
 WHERE function = $1 AND caller = $2 AND key = $3 AND run = $5 AND lease_until IS NOT NULL`

	sqlSettle = `
UPDATE app._function_answer SET lease_until = NULL, result = $6, error = $7,
       expires_at = coalesce($4::timestamptz, now()) + make_interval(secs => $8)
 WHERE function = $1 AND caller = $2 AND key = $3 AND run = $5 AND lease_until IS NOT NULL`

	sqlRelease = `
DELETE FROM app._function_answer
 WHERE function = $1 AND caller = $2 AND key = $3 AND run = $4 AND lease_until IS NOT NULL`

	// sqlExpire takes few rows at a time, so that it never holds locks for long.
	sqlExpire = `
DELETE FROM app._function_answer WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM app._function_answer WHERE expires_at <= coalesce($1::timestamptz, now())
   LIMIT $2 FOR UPDATE SKIP LOCKED))`
)

// store holds the room's statements.
type store struct {
	db    *pg.DB
	clock func() time.Time
}

// claim is one run's claim to a key.
type claim struct {
	function, caller, key string
	fingerprint           []byte // of the arguments
	run                   string // UUID
}

// row is what is known about a key.
type row struct {
	Fingerprint []byte
	Result      *string
	Error       *string
	Free        bool // nobody works on it
}

// now returns nil for the database's clock.
func (st store) now() *time.Time {
	if st.clock == nil {
		return nil
	}
	t := st.clock()
	return &t
}

// claim says whether the run got the key, for the time of one lease.
func (st store) claim(ctx context.Context, c claim) (bool, error) {
	n, err := st.db.Exec(ctx, sqlClaim, c.function, c.caller, c.key, st.now(), c.fingerprint, c.run, lease.Seconds(), keep.Seconds())
	return n == 1, err
}

// read returns the state of the claim's key; a row that is not there is free.
func (st store) read(ctx context.Context, c claim) (row, error) {
	var r row
	err := st.db.Get(ctx, &r, sqlRead, c.function, c.caller, c.key, st.now())
	if fault.Is(err, "pg.no_rows") {
		return row{Fingerprint: c.fingerprint, Free: true}, nil
	}
	return r, err
}

// renew says whether the run still holds the key.
func (st store) renew(ctx context.Context, c claim) (bool, error) {
	n, err := st.db.Exec(ctx, sqlRenew, c.function, c.caller, c.key, st.now(), c.run, lease.Seconds())
	return n == 1, err
}

// settle stores an answer, durable on return, and says whether the run still held the key.
func (st store) settle(ctx context.Context, c claim, result, failure *string) (bool, error) {
	n, err := st.db.Exec(ctx, sqlSettle, c.function, c.caller, c.key, st.now(), c.run, result, failure, keep.Seconds())
	return n == 1, err
}

// release gives the key back without an answer.
func (st store) release(ctx context.Context, c claim) error {
	_, err := st.db.Exec(ctx, sqlRelease, c.function, c.caller, c.key, c.run)
	return err
}

// expire removes at most limit rows that are too old and returns how many there were.
func (st store) expire(ctx context.Context, limit int) (int64, error) {
	return st.db.Exec(ctx, sqlExpire, st.now(), limit)
}
