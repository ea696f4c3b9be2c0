package timers

import (
	"context"
	"time"

	"crema/server/base/pg"
)

const (
	sqlClaim = `
INSERT INTO app._timer_run (name, scheduled_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`

	sqlForget = `
DELETE FROM app._timer_run WHERE scheduled_at < $1`
)

// claim says whether this server is the one to start a tick. Durable on return.
func claim(ctx context.Context, db *pg.DB, name string, tick time.Time) (bool, error) {
	n, err := db.Exec(ctx, sqlClaim, name, tick)
	return n == 1, err
}

// forget removes ticks that no server can try any more.
func forget(ctx context.Context, db *pg.DB, before time.Time) error {
	_, err := db.Exec(ctx, sqlForget, before)
	return err
}
