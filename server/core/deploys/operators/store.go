package operators

import (
	"context"
	"time"

	"crema/server/base/pg"
)

const (
	sqlAdd = `INSERT INTO app._operator (email, password) VALUES ($1, $2)`

	sqlAddFirst = `
INSERT INTO app._operator (email, password) SELECT $1, $2
WHERE NOT EXISTS (SELECT FROM app._operator) ON CONFLICT DO NOTHING`

	sqlRemove = `DELETE FROM app._operator WHERE email = $1`

	sqlList = `SELECT email, created_at FROM app._operator ORDER BY email`

	sqlPassword = `SELECT password FROM app._operator WHERE email = $1`

	sqlAny = `SELECT EXISTS (SELECT FROM app._operator)`

	sqlFailures = `
SELECT count(*) FILTER (WHERE subject = $1) AS pair, count(*) FILTER (WHERE subject = $2) AS address,
  count(*) FILTER (WHERE subject = $3) AS account
FROM app._operator_failure WHERE subject IN ($1, $2, $3) AND at > now() - $4 * interval '1 second'`

	sqlFail = `INSERT INTO app._operator_failure (subject) VALUES ($1), ($2), ($3)`

	sqlForget = `DELETE FROM app._operator_failure WHERE at < now() - $1 * interval '1 second'`

	sqlAddToken = `
INSERT INTO app._operator_token (hash, id, email, label, expires_at) VALUES ($1, $2, $3, $4, now() + $5 * interval '1 second')`

	sqlWho = `
SELECT email FROM app._operator_token WHERE hash = $1 AND (expires_at IS NULL OR expires_at > now())`

	sqlTokens = `
SELECT id, email, label, created_at, expires_at FROM app._operator_token
WHERE expires_at IS NULL OR expires_at > now() ORDER BY created_at, id`

	sqlRevoke = `DELETE FROM app._operator_token WHERE id = $1`

	sqlExpire = `DELETE FROM app._operator_token WHERE expires_at < now()`
)

// failures are refused log-ins in the window.
type failures struct {
	Pair    int `db:"pair"`
	Address int `db:"address"`
	Account int `db:"account"`
}

type store struct{ db *pg.DB }

func (s store) failures(ctx context.Context, c counted) (f failures, err error) {
	return f, s.db.Get(ctx, &f, sqlFailures, c.pair, c.address, c.account, int(window/time.Second))
}

// fail counts a refused log-in, and forgets those that are too old to count.
func (s store) fail(ctx context.Context, c counted) error {
	if _, err := s.db.Exec(ctx, sqlForget, int(window/time.Second)); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, sqlFail, c.pair, c.address, c.account)
	return err
}

// addToken stores a token; nil seconds never expire.
func (s store) addToken(ctx context.Context, hash []byte, id, email, label string, seconds *int64) error {
	if _, err := s.db.Exec(ctx, sqlExpire); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, sqlAddToken, hash, id, email, label, seconds)
	return err
}
