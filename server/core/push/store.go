package push

import (
	"encoding/json"
	"time"
)

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999") }

// lockToken keeps others from registering the same token until the transaction ends.
const lockToken = `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`

const deleteOtherDevices = `DELETE FROM app._device WHERE token = $1 AND id <> $2`

const insertDevice = `
	INSERT INTO app._device (id, auth_id, type, token, topic, last_registered_at)
	VALUES ($1, $2, $3, nullif($4, ''), nullif($5, ''), $6)`

const updateDevice = `
	UPDATE app._device SET type = $3, token = nullif($4, ''), topic = nullif($5, ''), last_registered_at = $6
	 WHERE id = $1 AND auth_id = $2`

const deleteDevice = `DELETE FROM app._device WHERE id = $1 AND (auth_id = $2 OR $3)`

// selectOwner finds the owner of a device that the user may work with.
const selectOwner = `
	SELECT coalesce(d.auth_id, '') AS owner,
	       (SELECT coalesce(json_agg(r.role_id), '[]') FROM app._auth_role r WHERE r.auth_id = d.auth_id) AS roles
	  FROM app._device d WHERE d.id = $1 AND (d.auth_id = $2 OR $3)`

// lockDevice keeps such a device from going away.
const lockDevice = `SELECT id FROM app._device WHERE id = $1 AND (auth_id = $2 OR $3) FOR KEY SHARE`

// lockSchema keeps record types from being made, and triggers from being attached, until the transaction
// ends.
const lockSchema = `SELECT version FROM app._schema_version FOR UPDATE`

// bePatient bounds how long a transaction waits for a table that somebody works on: whoever comes later
// waits behind it.
const bePatient = `SELECT set_config('lock_timeout', '3s', true)`

// selectWatch says whether a record type has a table, and whether something notes its changes. Old
// databases bring a trigger of their own.
const selectWatch = `
	SELECT count(*) > 0 AS made, count(*) FILTER (WHERE EXISTS (
	         SELECT FROM pg_catalog.pg_trigger t
	          WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'D'
	            AND t.tgname IN ('_note_record_change', 'trigger_notify_record_change'))) > 0 AS watched
	  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	 WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`

// attachTrigger returns the statement that notes the changes of a table.
func attachTrigger(schema, table string) string {
	return "CREATE TRIGGER _note_record_change AFTER INSERT OR UPDATE OR DELETE ON " + table +
		" FOR EACH ROW EXECUTE FUNCTION " + schema + "._note_record_change()"
}

const isSubscribed = `SELECT EXISTS (SELECT FROM app._subscription WHERE query ->> 'record_type' = $1)`

const selectSubscribedTypes = `
	SELECT DISTINCT query ->> 'record_type' FROM app._subscription WHERE query ->> 'record_type' IS NOT NULL`

const upsertSubscription = `
	INSERT INTO app._subscription (id, auth_id, device_id, type, notification_info, query)
	VALUES ($1, $2, $3, $4, $5::jsonb, $6::jsonb)
	ON CONFLICT (auth_id, device_id, id) DO UPDATE
	   SET type = excluded.type, notification_info = excluded.notification_info, query = excluded.query
	RETURNING id, device_id, type, notification_info, query`

// countSubscriptions counts those of all devices of a device's owner.
const countSubscriptions = `
	SELECT count(*) FROM app._subscription WHERE device_id IN (
	  SELECT $1 UNION
	  SELECT d.id FROM app._device own JOIN app._device d ON d.auth_id = own.auth_id WHERE own.id = $1)`

const selectSubscriptions = `
	SELECT s.id, s.device_id, s.type, s.notification_info, coalesce(s.query, '{}') AS query
	  FROM app._subscription s JOIN app._device d ON d.id = s.device_id
	 WHERE s.auth_id = $1 AND s.device_id = $2 AND (d.auth_id = $3 OR $4) AND ($5::text[] IS NULL OR s.id = ANY($5))
	 ORDER BY s.id COLLATE "C"`

const deleteSubscriptions = `
	DELETE FROM app._subscription s USING app._device d
	 WHERE d.id = s.device_id AND s.auth_id = $1 AND s.device_id = $2 AND (d.auth_id = $3 OR $4) AND s.id = ANY($5)
	RETURNING s.id`

// Subscription is what a device wants to hear of. JSON: its form on the wire.
type Subscription struct {
	ID       string          `json:"id"`
	Type     string          `json:"type"` // "query"
	DeviceID string          `json:"device_id" db:"device_id"`
	Query    json.RawMessage `json:"query"` // an object with record_type and, perhaps, predicate

	// Info asks for a push beside the notice, and says how it looks; nil asks for none.
	Info *json.RawMessage `json:"notification_info,omitempty" db:"notification_info"`
}

// claimChanges takes the oldest changes that no other server works on. They are gone when the transaction
// commits, and there again when it does not.
const claimChanges = `
	WITH taken AS (
	  DELETE FROM app._record_change WHERE id = ANY(ARRAY(
	         SELECT id FROM app._record_change ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED))
	  RETURNING id, record_type, database, record)
	SELECT id, record_type, database, record FROM taken ORDER BY id`

// selectSubscribers finds who may want to hear of changes of these types in these databases. Who is
// disabled hears nothing.
const selectSubscribers = `
	SELECT s.id, s.auth_id AS database, s.device_id, s.notification_info AS info, s.query,
	       s.query ->> 'record_type' AS record_type, coalesce(d.auth_id, '') AS owner, d.type AS device_type,
	       (SELECT coalesce(json_agg(r.role_id), '[]') FROM app._auth_role r WHERE r.auth_id = d.auth_id) AS roles
	  FROM app._subscription s
	  JOIN app._device d ON d.id = s.device_id
	  LEFT JOIN app._auth a ON a.id = d.auth_id
	 WHERE (s.query ->> 'record_type', s.auth_id) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND s.type = 'query'
	   AND (a.disabled IS NOT TRUE OR a.disabled_expiry < now() AT TIME ZONE 'UTC')
	 ORDER BY s.device_id, s.id`

// takeNumbers moves the counters of subscriptions on, each by as many notices as it gets, and returns
// where they stood. Those that are gone meanwhile are left out. The order keeps two servers from waiting
// for each other; who waits sees what the other has taken.
const takeNumbers = `
	WITH wanted AS (
	  SELECT s.auth_id, s.device_id, s.id, w.n
	    FROM app._subscription s
	    JOIN unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS w (auth_id, device_id, id, n) USING (auth_id, device_id, id)
	   ORDER BY s.auth_id, s.device_id, s.id FOR UPDATE OF s)
	UPDATE app._subscription s SET seq = s.seq + w.n FROM wanted w
	 WHERE s.auth_id = w.auth_id AND s.device_id = w.device_id AND s.id = w.id
	RETURNING s.auth_id AS database, s.device_id, s.id, s.seq - w.n AS seq`

// selectOldQueries finds queries in the form that Skygear stored; servers that start together take turns.
const selectOldQueries = `
	SELECT id, auth_id AS database, device_id, query FROM app._subscription
	 WHERE jsonb_exists(query, 'Type') AND NOT jsonb_exists(query, 'record_type') ORDER BY auth_id, device_id, id FOR UPDATE`

const updateQuery = `
	UPDATE app._subscription SET query = query || $4::jsonb WHERE auth_id = $1 AND device_id = $2 AND id = $3`

const hasOldChanges = `SELECT to_regclass('public.pending_notification') IS NOT NULL`

// adoptChanges moves what the triggers of an old database noted to where ours note it, as far as anybody
// has subscribed to it.
const adoptChanges = `
	WITH old AS (
	  DELETE FROM public.pending_notification WHERE id = ANY(ARRAY(
	         SELECT id FROM public.pending_notification WHERE appname = $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED))
	  RETURNING id, recordtype, record),
	moved AS (
	  INSERT INTO app._record_change (record_type, database, record)
	  SELECT recordtype, coalesce(record ->> '_database_id', ''), record FROM old
	   WHERE EXISTS (SELECT FROM app._subscription s WHERE s.query ->> 'record_type' = recordtype) ORDER BY id)
	SELECT count(*) FROM old`

// change is a noted change of a record.
type change struct {
	ID         int64
	RecordType string `db:"record_type"`
	Database   string
	Record     json.RawMessage
}

// counter is where the numbers of a subscription stand.
type counter struct {
	Database string
	DeviceID string `db:"device_id"`
	ID       string
	Seq      int64
}

// subscriber is a subscription with the device that it belongs to and the device's owner.
type subscriber struct {
	ID         string
	Database   string
	DeviceID   string `db:"device_id"`
	DeviceType string `db:"device_type"`
	Owner      string
	Roles      []byte // JSON
	RecordType string `db:"record_type"`
	Query      json.RawMessage
	Info       *json.RawMessage
}

const selectUsers = `SELECT id FROM app._auth WHERE id = ANY($1)`

const selectDevicesOf = `
	SELECT id, coalesce(auth_id, '') AS owner, type, coalesce(topic, '') AS topic, coalesce(token, '') <> '' AS ready
	  FROM app._device WHERE auth_id = ANY($1) ORDER BY id`

const selectReceivers = `
	SELECT id, coalesce(auth_id, '') AS owner, type, coalesce(topic, '') AS topic, coalesce(token, '') <> '' AS ready
	  FROM app._device WHERE id = ANY($1) ORDER BY id`

const selectTarget = `
	SELECT type, token, coalesce(topic, '') AS topic, last_registered_at AS registered_at
	  FROM app._device WHERE id = $1 AND token <> ''`

// deleteGone removes a device unless it has registered again meanwhile.
const deleteGone = `DELETE FROM app._device WHERE id = $1 AND token = $2 AND last_registered_at = $3`
