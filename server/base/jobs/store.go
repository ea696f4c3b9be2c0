package jobs

import (
	"encoding/json"
	"time"
)

const insertJobs = `
	WITH made AS (
	  INSERT INTO app._job (kind, payload) SELECT $1::text, p FROM json_array_elements($2::json) p RETURNING id)
	SELECT count(*) FROM made, pg_notify($3::text, '')`

// claimJobs takes what is due. The array makes PostgreSQL choose the rows once.
const claimJobs = `
	UPDATE app._job SET run = run + 1, tries = tries + 1, due_at = now() + $3::bigint * interval '1 millisecond'
	 WHERE id = ANY(ARRAY(
	       SELECT id FROM app._job
	        WHERE dead_at IS NULL AND due_at <= now() AND kind IN (SELECT json_array_elements_text($1::json))
	        ORDER BY due_at, id LIMIT $2 FOR UPDATE SKIP LOCKED))
	RETURNING id, kind, payload, run, tries`

const selectWait = `
	SELECT coalesce(ceil(extract(epoch FROM min(due_at) - clock_timestamp()) * 1000), $2)::bigint FROM app._job
	 WHERE dead_at IS NULL AND kind IN (SELECT json_array_elements_text($1::json))`

const renewLease = `
	UPDATE app._job SET due_at = now() + $3::bigint * interval '1 millisecond'
	 WHERE id = $1 AND run = $2 AND dead_at IS NULL`

const deleteJob = `DELETE FROM app._job WHERE id = $1 AND run = $2 AND dead_at IS NULL`

const retryJob = `
	UPDATE app._job SET due_at = now() + $3::bigint * interval '1 millisecond', last_error = $4
	 WHERE id = $1 AND run = $2 AND dead_at IS NULL`

// releaseJob gives a try back that was cut short because the server stops.
const releaseJob = `
	WITH given AS (
	  UPDATE app._job SET due_at = now(), tries = tries - 1 WHERE id = $1 AND run = $2 AND dead_at IS NULL RETURNING id)
	SELECT count(*) FROM given, pg_notify($3::text, '')`

const buryJob = `
	UPDATE app._job SET dead_at = now(), last_error = $3
	 WHERE id = $1 AND run = $2 AND dead_at IS NULL`

const deleteOldDead = `DELETE FROM app._job WHERE dead_at < now() - interval '30 days'`

const selectDead = `
	SELECT id, kind, payload, tries, coalesce(last_error, '') AS last_error, created_at, dead_at FROM app._job
	 WHERE dead_at IS NOT NULL ORDER BY dead_at DESC, id DESC LIMIT $1`

const reviveJob = `
	WITH revived AS (
	  UPDATE app._job SET dead_at = NULL, due_at = now(), tries = 0 WHERE id = $1 AND dead_at IS NOT NULL RETURNING id)
	SELECT count(*) FROM revived, pg_notify($2::text, '')`

// job is a claimed row.
type job struct {
	ID      int64
	Kind    string
	Payload json.RawMessage
	Run     int
	Tries   int
}

// Dead is a job that was given up.
type Dead struct {
	ID        int64
	Kind      string
	Payload   json.RawMessage
	Tries     int
	LastError string    `db:"last_error"`
	CreatedAt time.Time `db:"created_at"`
	DeadAt    time.Time `db:"dead_at"`
}
