package ledger

import (
	"context"
	_ "embed"

	"crema/server/base/pg"
)

// schemaLock is the key of the lock under which the tables are made.
const schemaLock = 0x73616e64626f78 // "sandbox"

//go:embed schema.sql
var schemaSQL string

const (
	takeSchemaLock = `SELECT pg_advisory_xact_lock($1)`
	createSchema   = `CREATE SCHEMA IF NOT EXISTS `
	hasTrigger     = `SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = 'append_only')`
	hasOldCheck    = `SELECT EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass($1)
		AND conname = 'journal_op_check' AND pg_get_constraintdef(oid) NOT LIKE '%dispute_won%')`
	widenCheck = `ALTER TABLE app.journal DROP CONSTRAINT journal_op_check, ADD CONSTRAINT journal_op_check
		CHECK (op IN ('charge', 'refund', 'refund_failed', 'dispute', 'dispute_won'))`
	createTrigger = `CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON app.journal
		FOR EACH STATEMENT EXECUTE FUNCTION app.refuse_change()`
)

// createTables runs schema.sql. Trigger and check are looked for first: making them again would lock the
// journal of a running server.
func createTables(ctx context.Context, tx *pg.Tx, schema pg.Ident) error {
	if _, err := tx.Exec(ctx, takeSchemaLock, int64(schemaLock)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, createSchema+schema.SQL()); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, schemaSQL); err != nil {
		return err
	}
	for _, late := range []struct {
		when    string
		is      bool
		execute string
	}{{hasTrigger, false, createTrigger}, {hasOldCheck, true, widenCheck}} {
		var found bool
		if err := tx.Get(ctx, &found, late.when, schema.SQL()+".journal"); err != nil {
			return err
		}
		if found != late.is {
			continue
		}
		if _, err := tx.Exec(ctx, late.execute); err != nil {
			return err
		}
	}
	return nil
}

const (
	insertObject = `INSERT INTO app.object (id, kind, created, data, hidden) VALUES ($1, $2, $3, $4, $5)`
	updateObject = `UPDATE app.object SET data = $2, hidden = $3 WHERE id = $1`

	selectObject = `SELECT id, seq, kind, created, data, hidden FROM app.object WHERE kind = $1 AND id = $2`
	lockObject   = selectObject + ` FOR UPDATE`

	lockDueObjects = `SELECT id, seq, kind, created, data, hidden FROM app.object
		WHERE kind = $1 AND hidden ? 'due' AND (hidden->>'due')::bigint <= $2 ORDER BY seq FOR UPDATE`

	listWhere = ` FROM app.object
		WHERE kind = $1 AND data @> $2::jsonb
		  AND (cardinality($3::text[]) IS NULL OR cardinality($3::text[]) = 0 OR data->>'type' LIKE ANY ($3))
		  AND created BETWEEN $4 AND $5
		  AND ($8 = 'null' OR NOT data @> $8::jsonb)`
	listNewest = `SELECT id, seq, kind, created, data, hidden` + listWhere + `
		  AND ($6 = '' OR seq < (SELECT e.seq FROM app.object e WHERE e.id = $6))
		ORDER BY seq DESC LIMIT $7`
	listOldest = `SELECT id, seq, kind, created, data, hidden FROM (
		SELECT id, seq, kind, created, data, hidden` + listWhere + `
		  AND seq > (SELECT e.seq FROM app.object e WHERE e.id = $6)
		ORDER BY seq LIMIT $7) page ORDER BY seq DESC`

	insertMove = `INSERT INTO app.journal (at, op, amount, currency, object_id, charge_id, key)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`
	selectMoves = `SELECT seq, at, op, amount, currency, object_id, charge_id, key FROM app.journal
		WHERE seq > $1 ORDER BY seq LIMIT $2`
	selectBalance = `SELECT currency, sum(CASE WHEN op IN ('charge', 'refund_failed', 'dispute_won') THEN amount ELSE -amount END)::bigint
		FROM app.journal GROUP BY currency`

	tryKey = `SELECT pg_try_advisory_xact_lock($1)`
	// The clock comes with it: a call with a key needs both, and one trip is enough.
	selectReply = `SELECT c.ahead, coalesce(r.path, '') AS path, coalesce(r.params, '') AS params, coalesce(r.status, 0) AS status,
			coalesce(r.body, '') AS body, coalesce(r.request_id, '') AS request_id, coalesce(r.created, 0) AS created
		FROM app.clock c LEFT JOIN app.reply r ON r.key = $1 AND r.created > $2 + c.ahead / 1000000`
	upsertReply = `INSERT INTO app.reply (key, path, params, status, body, request_id, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (key) DO UPDATE SET path = $2, params = $3, status = $4, body = $5, request_id = $6, created = $7`
	deleteReplies = `DELETE FROM app.reply WHERE created < $1`

	selectAhead = `SELECT ahead FROM app.clock`
	advance     = `UPDATE app.clock SET ahead = ahead + $1`

	// Which endpoints want an event is decided where it is stored, so that this costs no other round trip.
	insertEvent = `WITH sent AS (
		INSERT INTO app.delivery (event_id, endpoint_id)
		SELECT $1::text, id FROM app.endpoint WHERE '*' = ANY (events) OR $4::text = ANY (events)
		RETURNING 1)
		INSERT INTO app.object (id, kind, created, data)
		SELECT $1, 'event', $2, jsonb_set($3::jsonb, '{pending_webhooks}', to_jsonb((SELECT count(*) FROM sent)))`
	enableEndpoint = `INSERT INTO app.endpoint (id, events) VALUES ($1, $2)
		ON CONFLICT (id) DO UPDATE SET events = $2`
	disableEndpoint = `DELETE FROM app.endpoint WHERE id = $1`

	// tries counts before the call, so that a process which dies over an event cannot do so forever.
	leaseDeliveries = `UPDATE app.delivery d SET tries = d.tries + 1, next_at = now() + $2 * interval '1 millisecond'
		FROM (SELECT id FROM app.delivery WHERE state = 'pending' AND next_at <= now()
			ORDER BY next_at, id LIMIT $1 FOR UPDATE SKIP LOCKED) due
		WHERE d.id = due.id
		RETURNING d.id, d.event_id, d.endpoint_id, d.state, d.tries, d.status`
	endDelivery = `WITH ended AS (
		UPDATE app.delivery SET state = $2, status = $3 WHERE id = $1 AND state = 'pending' RETURNING event_id)
		UPDATE app.object o
		SET data = jsonb_set(data, '{pending_webhooks}', to_jsonb(greatest((data->>'pending_webhooks')::int - 1, 0)))
		FROM ended WHERE o.id = ended.event_id AND $2 = 'delivered'`
	retryDelivery = `UPDATE app.delivery SET status = $2, tries = $3, next_at = now() + $4 * interval '1 millisecond'
		WHERE id = $1 AND state = 'pending'`
	selectDeliveries = `SELECT id, event_id, endpoint_id, state, tries, status FROM app.delivery
		WHERE ($1 = '' OR event_id = $1) ORDER BY id DESC LIMIT $2`
	countPending = `SELECT count(*) FROM app.delivery WHERE state = 'pending'`
	resendEvent  = `UPDATE app.delivery SET state = 'pending', tries = 0, next_at = now()
		WHERE event_id = $1`
	resetPending = `UPDATE app.object
		SET data = jsonb_set(data, '{pending_webhooks}', to_jsonb((SELECT count(*) FROM app.delivery WHERE event_id = $1)))
		WHERE id = $1`
	dropDeliveries = `UPDATE app.delivery SET state = 'failed' WHERE endpoint_id = $1 AND state = 'pending'`
	deleteObject   = `DELETE FROM app.object WHERE kind = $1 AND id = $2`

	allowDeletes  = `ALTER TABLE app.journal DISABLE TRIGGER append_only`
	forbidDeletes = `ALTER TABLE app.journal ENABLE TRIGGER append_only`
)

// reset empties everything but the webhook endpoints, and sets the clock right.
var reset = []string{
	allowDeletes, `DELETE FROM app.journal`, forbidDeletes, `DELETE FROM app.reply`, `DELETE FROM app.delivery`,
	`DELETE FROM app.object WHERE kind <> 'webhook_endpoint'`, `UPDATE app.clock SET ahead = 0`,
}
