package pubsub

import (
	"context"

	"crema/server/base/pg"
)

// sendParts notifies the other servers of all parts, in their order and in one piece. A transaction that
// notifies gets a commit record; nothing here has to survive a crash, so nobody waits for the disk. The setting
// ends with the transaction.
const sendParts = `
	WITH quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS off)
	SELECT pg_notify($1, part) FROM quick, unnest($2::text[]) AS part WHERE quick.off = 'off'`

const sendPart = `SELECT pg_notify($1, $2)`

// sendIn notifies all servers when tx commits. How it commits is the business of tx.
func sendIn(ctx context.Context, tx *pg.Tx, channel, part string) error {
	_, err := tx.Exec(ctx, sendPart, channel, part)
	return err
}

func send(ctx context.Context, q pg.Querier, channel string, parts []string) error {
	_, err := q.Exec(ctx, sendParts, channel, pg.Array(parts))
	return err
}
