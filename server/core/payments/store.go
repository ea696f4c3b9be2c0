package payments

import (
	"encoding/json"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/money"
	"crema/server/core/payments/provider"
)

// Product is one article of the catalogue.
type Product struct {
	ID          string `db:"id" json:"id"`
	Name        string `db:"name" json:"name"`
	Description string `db:"description" json:"description"`
	WeightGrams int    `db:"weight_grams" json:"weight_grams"`
	Currency    string `db:"currency" json:"currency"`
	UnitAmount  int64  `db:"unit_amount" json:"unit_amount"` // minor units
}

func (p Product) price() money.Money { return money.Money{Minor: p.UnitAmount, Currency: p.Currency} }

const productColumns = `SELECT id, name, description, weight_grams, currency, unit_amount FROM app._product WHERE active`

const (
	selectProducts     = productColumns + ` ORDER BY position, name`
	selectProductNamed = productColumns + ` AND name = $1`
	selectProductsByID = productColumns + ` AND id = ANY($1) ORDER BY id`
)

// refundRow is what an order's page shows of a refund.
type refundRow struct {
	Amount int64     `db:"amount"`
	At     time.Time `db:"created_at"`
	State  string    `db:"state"`
}

// order is what one shopper wants to buy.
type order struct {
	ID       string `db:"id"`
	Key      string `db:"order_key"`
	UserID   string `db:"user_id"`
	Email    string `db:"email"`
	Currency string `db:"currency"`
	Total    int64  `db:"amount_total"`
	Status   string `db:"status"`
	Items    []Item `db:"-"`
}

// Item is one line of an order.
type Item struct {
	ProductID  string `db:"product_id" json:"product_id"`
	Name       string `db:"name_snapshot" json:"name"`
	Quantity   int64  `db:"quantity" json:"quantity"`
	UnitAmount int64  `db:"unit_amount" json:"unit_amount"` // minor units
}

const orderColumns = `SELECT o.id, o.order_key, coalesce(o.user_id, '') AS user_id, coalesce(o.email::text, '') AS email,
	o.currency, o.amount_total, o.status FROM app._order o`

const (
	insertOrder = `INSERT INTO app._order (id, order_key, user_id, email, currency, amount_total, status, mode)
	VALUES ($1, $2, $3, nullif($4, ''), $5, $6, 'open', $7) ON CONFLICT (order_key) DO NOTHING`
	insertItem = `INSERT INTO app._order_item (order_id, product_id, name_snapshot, quantity, unit_amount)
	VALUES ($1, $2, $3, $4, $5)`
	deleteItems    = `DELETE FROM app._order_item WHERE order_id = $1`
	lockOrderByKey = orderColumns + ` WHERE o.order_key = $1 FOR UPDATE`
	selectOrder    = orderColumns + ` WHERE o.id = $1`
	selectItems    = `SELECT product_id, name_snapshot, quantity, unit_amount FROM app._order_item
	WHERE order_id = $1 ORDER BY product_id`
	selectOrderRow = `SELECT o.id, o.order_key, coalesce(o.user_id, '') AS user_id, coalesce(o.email::text, '') AS email,
	o.currency, o.amount_total, o.status, o.mode, o.created_at, coalesce(p.state, '') AS state, coalesce(p.kind, '') AS kind,
	coalesce(p.failure_code, '') AS failure_code, coalesce(p.url, '') AS url, coalesce(p.charge_id, '') AS charge_id,
	coalesce(p.card_brand, '') AS card_brand, coalesce(p.card_last4, '') AS card_last4,
	coalesce(p.amount_refunded, 0) AS amount_refunded, p.dispute_due, p.paid_at
	FROM app._order o LEFT JOIN LATERAL (SELECT CASE state WHEN 'succeeded' THEN coalesce((SELECT max(t.at) FROM app._payment_transition t
			WHERE t.payment_id = id AND t.to_state = 'succeeded'), updated_at) END AS paid_at, state, kind, failure_code, url, charge_id, card_brand, card_last4, amount_refunded, dispute_due
		FROM app._payment WHERE order_id = o.id ORDER BY attempt DESC LIMIT 1) p ON true
	WHERE o.id = $1`
	// selectOrderRefunds leaves out what failed: that money never left.
	selectOrderRefunds = `SELECT r.amount, r.created_at, r.state FROM app._refund r JOIN app._payment p ON p.id = r.payment_id
	WHERE p.order_id = $1 AND r.state <> 'failed' ORDER BY r.created_at, r.id`
	reviseOrder = `UPDATE app._order SET amount_total = $2, currency = $3, email = coalesce(nullif($4, ''), email),
	status = 'open', updated_at = now() WHERE id = $1`
	cancelOrder = `UPDATE app._order SET status = 'cancelled', updated_at = now() WHERE id = $1 AND status = 'open'`
)

// sell makes the whole of a new token payment in one statement, which is one commit: order, item, the
// attempt and its first two transitions. It does nothing when the product is not sold at this price or
// the order's key is taken, or when too many cards were declined for this address or e-mail.
const sell = `
WITH lim AS (` + declines + `),
product AS (SELECT id, name FROM app._product, lim WHERE id = $3 AND name = $4 AND unit_amount = $5 AND currency = $6 AND active
	AND lim.by_client < $20 AND lim.by_email < $21),
o AS (INSERT INTO app._order (id, order_key, user_id, email, currency, amount_total, status, mode)
	SELECT $7::uuid, $8::text, $9::text, $10::text, $6, $5, 'open', $11::text FROM product ON CONFLICT (order_key) DO NOTHING RETURNING id),
i AS (INSERT INTO app._order_item (order_id, product_id, name_snapshot, quantity, unit_amount)
	SELECT o.id, product.id, product.name, 1, $5 FROM o, product),
p AS (INSERT INTO app._payment (id, order_id, attempt, mode, kind, idempotency_key, request, token_hash, token_sealed,
		state, amount, currency, tries, sent_at, lease_until, lease_owner, client_hash, email_hash)
	SELECT $12::uuid, o.id, 1, $11::text, 'charge', $13::text, $14::jsonb, $15::bytea, $16::bytea, 'sent', $5, $6, 1, now(),
		now() + $17::float8 * interval '1 second', $18::text, $1::bytea, $2::bytea FROM o),
t AS (INSERT INTO app._payment_transition (payment_id, from_state, to_state, cause, actor)
	SELECT $12::uuid, s.a, s.b, s.c, $19::text FROM o, (VALUES (NULL, 'pending', 'asked to pay'), ('pending', 'sent', 'sending')) s(a, b, c))
SELECT (SELECT count(*) FROM o) AS made, by_client, by_email FROM lim`

// cardsFault leaves out refusals that say nothing about a card: our key, our request, a token used twice.
const cardsFault = `kind = 'charge' AND coalesce(failure_code, '') NOT IN ('payments_unavailable', 'token_already_used')`

// declines counts the refused cards, and those that are being tried, of the last hour for an address ($1) and an e-mail ($2). It stops
// counting where every sensible limit has been passed.
const declines = `SELECT (SELECT count(*) FROM (SELECT FROM app._payment WHERE client_hash = $1::bytea AND state IN ('failed', 'sent') AND ` + cardsFault + `
		AND created_at > now() - interval '1 hour' LIMIT 1000) c) AS by_client,
	(SELECT count(*) FROM (SELECT FROM app._payment WHERE email_hash = $2::bytea AND state IN ('failed', 'sent') AND ` + cardsFault + `
		AND created_at > now() - interval '1 hour' LIMIT 1000) e) AS by_email`

// sold is what sell tells.
type sold struct {
	Made     int `db:"made"`
	ByClient int `db:"by_client"`
	ByEmail  int `db:"by_email"`
}

// declineRate counts the finished attempts of the last seconds, and how many of them were declined.
const declineRate = `SELECT count(*) AS finished, count(*) FILTER (WHERE state = 'failed' AND ` + cardsFault + `) AS declined FROM app._payment
	WHERE created_at > now() - $1 * interval '1 second' AND state IN ('failed', 'succeeded')`

// attempt is one row of _payment.
type attempt struct {
	ID          string          `db:"id"`
	OrderID     string          `db:"order_id"`
	Number      int             `db:"attempt"`
	Kind        string          `db:"kind"`
	State       provider.State  `db:"state"`
	Mode        string          `db:"mode"` // empty in an attempt that was just made
	Key         string          `db:"idempotency_key"`
	RequestJSON json.RawMessage `db:"request"`
	TokenHash   []byte          `db:"token_hash"`
	TokenSealed []byte          `db:"token_sealed"`
	ProviderID  string          `db:"provider_id"`
	ChargeID    string          `db:"charge_id"`
	URL         string          `db:"url"`
	Amount      int64           `db:"amount"`
	Currency    string          `db:"currency"`
	Refunded    int64           `db:"amount_refunded"`
	DisputeID   string          `db:"dispute_id"`
	Dispute     string          `db:"dispute_state"`
	FailureCode string          `db:"failure_code"`
	Ambiguous   bool            `db:"ambiguous_seen"`
	ErrorStored bool            `db:"error_stored"`
	Tries       int             `db:"tries"`
	AgeSeconds  float64         `db:"age"` // since it was sent, or written when it was not
}

// The kinds of attempt.
const (
	kindCharge  = "charge"
	kindSession = "checkout_session"
)

// age is how long ago the attempt was sent.
func (a attempt) age() time.Duration { return time.Duration(a.AgeSeconds * float64(time.Second)) }

// request reads what was, or will be, sent.
func (a attempt) request(into any) error {
	if err := json.Unmarshal(a.RequestJSON, into); err != nil {
		return fault.Wrap(err, fault.Internal, "payments.bad_row", "the stored payment cannot be read")
	}
	return nil
}

const attemptColumns = `SELECT p.id, p.order_id, p.attempt, p.kind, p.state, p.mode, p.idempotency_key, p.request, p.token_hash,
	p.token_sealed, coalesce(p.provider_id, '') AS provider_id, coalesce(p.charge_id, '') AS charge_id,
	coalesce(p.url, '') AS url, p.amount, p.currency, p.amount_refunded, coalesce(p.dispute_id, '') AS dispute_id, coalesce(p.dispute_state, '') AS dispute_state,
	coalesce(p.failure_code, '') AS failure_code, p.ambiguous_seen, p.error_stored, p.tries,
	extract(epoch FROM now() - coalesce(p.sent_at, p.created_at)) AS age FROM app._payment p`

const (
	selectLastAttempt  = attemptColumns + ` WHERE p.order_id = $1 ORDER BY p.attempt DESC LIMIT 1`
	selectAttempt      = attemptColumns + ` WHERE p.id = $1`
	selectByProviderID = attemptColumns + ` WHERE p.provider_id = $1`
	selectByChargeID   = attemptColumns + ` WHERE p.charge_id = $1`
	lockAttempt        = selectAttempt + ` FOR UPDATE`
	insertAttempt      = `INSERT INTO app._payment (id, order_id, attempt, mode, kind, idempotency_key, request, token_hash, token_sealed,
	state, amount, currency, tries, sent_at, lease_until, lease_owner, client_hash, email_hash)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'sent', $10, $11, 1, now(), now() + $12 * interval '1 second', $13, $14, $15)`
	insertSent = `INSERT INTO app._payment_transition (payment_id, from_state, to_state, cause, actor)
	VALUES ($1, NULL, 'pending', 'asked to pay', $2), ($1, 'pending', 'sent', 'sending', $2)`
	markTry = `UPDATE app._payment SET tries = tries + 1, ambiguous_seen = ambiguous_seen OR $2, updated_at = now()
	WHERE id = $1`
	renewLease = `UPDATE app._payment SET lease_until = now() + $3 * interval '1 second' WHERE id = $1 AND lease_owner = $2`
	// dropLeases forgets what dead servers worked on.
	dropLeases = `UPDATE app._payment SET lease_until = NULL, next_try_at = now()
	WHERE state IN ('pending', 'sent', 'unknown', 'requires_action') AND lease_until IS NOT NULL AND lease_owner <> $1`
	dropRefundLeases = `UPDATE app._refund SET lease_until = NULL, next_try_at = now()
	WHERE state IN ('sent', 'unknown', 'pending') AND lease_until IS NOT NULL AND lease_owner <> $1`
	// claimAttempt takes an attempt of this mode that nobody is working on.
	claimAttempt = `UPDATE app._payment SET lease_until = now() + $3 * interval '1 second', lease_owner = $2
	WHERE id = $1 AND state IN ('pending', 'sent', 'unknown', 'requires_action') AND (lease_until IS NULL OR lease_until < now()) AND mode = $4`
	// claimDue takes some of what the reconciler should look at now. Attempts of another mode are left
	// alone: this server's provider does not know them, and would seem to say that they never were.
	claimDue = `UPDATE app._payment SET lease_until = now() + $2 * interval '1 second', lease_owner = $1
	WHERE id IN (SELECT id FROM app._payment WHERE state IN ('pending', 'sent', 'unknown', 'requires_action')
		AND next_try_at <= now() AND (lease_until IS NULL OR lease_until < now()) AND mode = $3
		ORDER BY next_try_at LIMIT 16 FOR UPDATE SKIP LOCKED) RETURNING id`
)

// settleAttempt stores an outcome in one statement, which is one commit: the attempt, its transition and,
// for a succeeded one, the paid order and its payment_record, which it returns. An attempt that is final
// stays as it is and nothing comes back.
const settleAttempt = `
WITH old AS (SELECT id, state FROM app._payment WHERE id = $1 FOR UPDATE),
a AS (UPDATE app._payment p SET state = $2, charge_id = coalesce(nullif($3, ''), p.charge_id),
		provider_id = coalesce(nullif($4, ''), p.provider_id), failure_code = nullif($5, ''), decline_code = nullif($6, ''),
		request_id = coalesce(nullif($7, ''), p.request_id), card_brand = nullif($8, ''), card_last4 = nullif($9, ''),
		ambiguous_seen = p.ambiguous_seen OR $10, error_stored = p.error_stored OR $11, url = nullif($12, ''),
		token_sealed = CASE WHEN $13 THEN NULL ELSE p.token_sealed END, lease_until = NULL, lease_owner = NULL,
		next_try_at = now() + $14::float8 * interval '1 second', updated_at = now()
	FROM old WHERE p.id = old.id AND old.state IN ('pending', 'sent', 'unknown', 'requires_action')
	RETURNING p.id, p.order_id, p.amount, p.currency, p.charge_id, old.state AS before),
t AS (INSERT INTO app._payment_transition (payment_id, from_state, to_state, cause, actor)
	SELECT id, before, $2, $15::text, $16::text FROM a WHERE before <> $2),
o AS (UPDATE app._order o SET status = 'paid', email = coalesce(o.email, nullif($17::text, '')), updated_at = now()
	FROM a WHERE o.id = a.order_id AND $2 = 'succeeded' RETURNING o.id, o.user_id, o.email),
r AS (INSERT INTO app.payment_record (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at,
		_updated_by, receipt_email, product, amount, amount_minor, currency, charge_id, order_id, status)
	SELECT a.id::text, '', w.who, '[]', w.at, w.who, w.at, w.who, o.email::text,
		(SELECT string_agg(CASE WHEN i.quantity > 1 THEN i.quantity || ' x ' ELSE '' END || i.name_snapshot, ', ' ORDER BY i.product_id)
			FROM app._order_item i WHERE i.order_id = a.order_id),
		a.amount / $18::float8, a.amount, a.currency, a.charge_id, a.order_id::text, 'succeeded'
	FROM a JOIN o ON o.id = a.order_id,
		LATERAL (SELECT coalesce(nullif(o.user_id, ''), '_service') AS who, now() AT TIME ZONE 'UTC' AS at) w
	RETURNING ` + recordColumns + `)
SELECT r.* FROM a LEFT JOIN r ON true`

// recordColumns are read of a payment_record.
const recordColumns = `_id, _owner_id, _created_at, receipt_email, product, amount, amount_minor, currency, charge_id, order_id, status`

// record is a row of payment_record. Its fields are empty where settleAttempt made none.
type record struct {
	ID          *string    `db:"_id"`
	Owner       *string    `db:"_owner_id"`
	CreatedAt   *time.Time `db:"_created_at"`
	Email       *string    `db:"receipt_email"`
	Product     *string    `db:"product"`
	Amount      *float64   `db:"amount"`
	AmountMinor *int64     `db:"amount_minor"`
	Currency    *string    `db:"currency"`
	ChargeID    *string    `db:"charge_id"`
	OrderID     *string    `db:"order_id"`
	Status      *string    `db:"status"`
}

const (
	selectRecord     = `SELECT ` + recordColumns + ` FROM app.payment_record WHERE _id = $1`
	insertTransition = `INSERT INTO app._payment_transition (payment_id, from_state, to_state, cause, actor)
	VALUES ($1, $2, $3, $4, $5)`
)

// refund is a row of _refund.
type refund struct {
	ID         string  `db:"id"`
	PaymentID  string  `db:"payment_id"`
	Amount     int64   `db:"amount"`
	Reason     string  `db:"reason"`
	Note       string  `db:"note"`
	Key        string  `db:"idempotency_key"`
	State      string  `db:"state"`
	ProviderID string  `db:"provider_id"`
	Cause      string  `db:"cause"`
	By         string  `db:"requested_by"`
	Ambiguous  bool    `db:"ambiguous_seen"`
	Tries      int     `db:"tries"`
	AgeSeconds float64 `db:"age"`
}

const refundColumns = `SELECT id, payment_id, amount, reason, note, idempotency_key, state, coalesce(provider_id, '') AS provider_id,
	cause, requested_by, ambiguous_seen, tries, extract(epoch FROM now() - created_at) AS age FROM app._refund`

const (
	selectRefund  = refundColumns + ` WHERE id = $1`
	selectRefunds = refundColumns + ` WHERE payment_id = $1 ORDER BY created_at, id`
	insertRefund  = `INSERT INTO app._refund (id, payment_id, amount, reason, note, idempotency_key, state, requested_by, tries,
	lease_until, lease_owner) VALUES ($1, $2, $3, $4, $5, $6, 'sent', $7, 1, now() + $8 * interval '1 second', $9)`
	// sumRefunds counts what may have left, whether or not it is known.
	sumRefunds = `SELECT coalesce(sum(amount), 0) FROM app._refund WHERE payment_id = $1 AND state <> 'failed'`
	// adoptRefund takes over a refund that was made at the provider, not by us.
	adoptRefund = `INSERT INTO app._refund (id, payment_id, amount, reason, idempotency_key, state, provider_id, requested_by)
	VALUES (gen_random_uuid(), $1, $2, 'made at the provider', 'adopted-' || $3, $4, $3, 'provider') ON CONFLICT (provider_id) DO NOTHING`
	// updateRefund leaves a refund alone that a faster server has brought further: what this one read is old by now.
	updateRefund = `UPDATE app._refund SET state = $2, provider_id = coalesce(nullif($3, ''), provider_id), cause = $4,
	lease_until = NULL, lease_owner = NULL, next_try_at = now() + $5 * interval '1 second', updated_at = now() WHERE id = $1
	AND CASE $2 WHEN 'failed' THEN true WHEN 'succeeded' THEN state <> 'failed' OR provider_id IS NULL
		WHEN 'pending' THEN state NOT IN ('succeeded', 'failed') ELSE state IN ('sent', 'unknown') END`
	markRefundTry = `UPDATE app._refund SET tries = tries + 1, ambiguous_seen = ambiguous_seen OR $2, updated_at = now() WHERE id = $1`
	claimRefunds  = `UPDATE app._refund SET lease_until = now() + $2 * interval '1 second', lease_owner = $1
	WHERE id IN (SELECT id FROM app._refund WHERE state IN ('sent', 'unknown', 'pending') AND next_try_at <= now()
		AND (lease_until IS NULL OR lease_until < now()) AND (SELECT p.mode FROM app._payment p WHERE p.id = payment_id) = $3
		ORDER BY next_try_at LIMIT 16 FOR UPDATE SKIP LOCKED) RETURNING id`
	// applyRefunds brings attempt, order and record in line with the refunds and disputes of a payment.
	applyRefunds = `
WITH s AS (SELECT coalesce(sum(amount), 0) AS refunded FROM app._refund WHERE payment_id = $1 AND state = 'succeeded'),
a AS (UPDATE app._payment p SET amount_refunded = least(s.refunded, p.amount), updated_at = now() FROM s WHERE p.id = $1
	RETURNING p.id, p.order_id, CASE WHEN p.dispute_state IN ('won', 'warning_closed') OR p.dispute_state IS NULL THEN
		CASE WHEN s.refunded = 0 THEN 'paid' WHEN s.refunded < p.amount THEN 'partially_refunded' ELSE 'refunded' END
		ELSE 'disputed' END AS status),
o AS (UPDATE app._order o SET status = a.status, updated_at = now() FROM a WHERE o.id = a.order_id)
UPDATE app.payment_record r SET status = CASE a.status WHEN 'paid' THEN 'succeeded' ELSE a.status END,
	_updated_at = now() AT TIME ZONE 'UTC' FROM a WHERE r._id = a.id::text`
	// setDispute opens no dispute again that is closed: that is old news. Another dispute of the same charge is news.
	setDispute = `UPDATE app._payment SET dispute_id = $2, dispute_state = $3, dispute_due = $4, updated_at = now() WHERE id = $1
	AND (dispute_id IS DISTINCT FROM $2 OR dispute_state NOT IN ('won', 'lost', 'warning_closed') OR $3 IN ('won', 'lost', 'warning_closed'))`
)

const (
	insertEvent = `INSERT INTO app._provider_event (event_id, type, api_version, object, object_id, charge_id, happened_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (event_id) DO NOTHING`
	claimEvents = `UPDATE app._provider_event SET tries = tries + 1, next_try_at = now() + least(tries + 1, 60) * interval '10 seconds'
	WHERE event_id IN (SELECT event_id FROM app._provider_event WHERE processed_at IS NULL AND next_try_at <= now()
		ORDER BY next_try_at LIMIT 32 FOR UPDATE SKIP LOCKED)
	RETURNING event_id, type, object, object_id, charge_id, tries`
	doneEvent   = `UPDATE app._provider_event SET processed_at = now(), last_error = NULL WHERE event_id = $1`
	failedEvent = `UPDATE app._provider_event SET last_error = $2 WHERE event_id = $1`
)

// event is a notice that waits to be looked into.
type event struct {
	ID       string `db:"event_id"`
	Type     string `db:"type"`
	Object   string `db:"object"`
	ObjectID string `db:"object_id"`
	ChargeID string `db:"charge_id"`
	Tries    int    `db:"tries"`
}

const (
	openBreak = `INSERT INTO app._reconciliation_break (kind, payment_id, provider_id, detail) VALUES ($1, nullif($2, '')::uuid, $3, $4)
	ON CONFLICT DO NOTHING`
	closeBreak = `UPDATE app._reconciliation_break SET closed_at = now(), closed_by = $3
	WHERE closed_at IS NULL AND kind = $1 AND payment_id = nullif($2, '')::uuid`
	selectBreaks = `SELECT id, kind, coalesce(payment_id::text, '') AS payment_id, provider_id, detail, opened_at
	FROM app._reconciliation_break WHERE closed_at IS NULL ORDER BY id`
	beginSweep = `INSERT INTO app._sweep (day) VALUES ($1) ON CONFLICT (day) DO UPDATE SET started_at = now()
	WHERE app._sweep.finished_at IS NULL AND app._sweep.started_at < now() - interval '1 hour' RETURNING 1`
	// From the first payment on, and always the last day, which charges of other programs may have.
	selectUnswept = `SELECT day::date FROM generate_series(
		greatest($1::date - $2::int, least($1::date, (SELECT min(created_at AT TIME ZONE 'UTC')::date FROM app._payment))), $1::date, interval '1 day') day
	WHERE NOT EXISTS (SELECT 1 FROM app._sweep s WHERE s.day = day.day::date AND s.finished_at IS NOT NULL) ORDER BY 1`
	finishSweep    = `INSERT INTO app._sweep (day, finished_at) VALUES ($1, now()) ON CONFLICT (day) DO UPDATE SET finished_at = now()`
	selectDaysPaid = attemptColumns + ` WHERE p.state = 'succeeded' AND p.created_at >= $1 AND p.created_at < $2 AND p.mode = $3`
)

// What operators look at.
const (
	listColumns = `SELECT p.id, p.order_id, p.mode, p.kind, p.state, o.status, p.amount, p.currency, p.amount_refunded,
	coalesce(p.dispute_state, '') AS dispute_state, coalesce(p.charge_id, '') AS charge_id, coalesce(p.failure_code, '') AS failure_code,
	coalesce(o.email::text, '') AS email, p.created_at FROM app._payment p JOIN app._order o ON o.id = p.order_id`
	selectListed = listColumns + ` WHERE ($1 = '' OR p.state = $1
		OR $1 = 'open' AND p.state IN ('pending', 'sent', 'unknown', 'requires_action')
		OR $1 = 'disputed' AND p.dispute_state NOT IN ('won', 'lost', 'warning_closed')
		OR $1 = 'refunded' AND p.amount_refunded > 0)
	AND ($2 = '' OR o.email = $2::public.citext) ORDER BY p.created_at DESC, p.id LIMIT $3`
	// findOrder takes the id of an order, of an attempt, or one of the provider's.
	findOrder = `SELECT id::text FROM app._order WHERE id = $1::uuid
	UNION ALL SELECT order_id::text FROM app._payment WHERE id = $1::uuid LIMIT 1`
	findOrderByProvider = `SELECT order_id::text FROM app._payment WHERE charge_id = $1
	UNION ALL SELECT order_id::text FROM app._payment WHERE provider_id = $1 LIMIT 1`
	selectOrderDetails = `SELECT id, status, mode, coalesce(email::text, '') AS email, amount_total, currency, created_at FROM app._order WHERE id = $1`
	selectAttempts     = `SELECT id, attempt, kind, state, coalesce(provider_id, '') AS provider_id, coalesce(charge_id, '') AS charge_id,
	coalesce(request_id, '') AS request_id, amount, currency, amount_refunded, coalesce(failure_code, '') AS failure_code,
	coalesce(decline_code, '') AS decline_code, coalesce(card_brand, '') AS card_brand, coalesce(card_last4, '') AS card_last4,
	coalesce(dispute_id, '') AS dispute_id, coalesce(dispute_state, '') AS dispute_state, dispute_due, tries, ambiguous_seen, created_at,
	(SELECT coalesce(sum(r.amount), 0) FROM app._refund r WHERE r.payment_id = _payment.id AND r.state <> 'failed') AS refunds_sent
	FROM app._payment WHERE order_id = $1 ORDER BY attempt`
	selectTransitions = `SELECT t.payment_id, coalesce(t.from_state, '') AS from_state, t.to_state, t.cause, t.actor, t.at
	FROM app._payment_transition t JOIN app._payment p ON p.id = t.payment_id WHERE p.order_id = $1 ORDER BY t.at, t.seq`
	selectRefundDetails = `SELECT r.id, r.payment_id, r.amount, r.reason, r.note, r.state, coalesce(r.provider_id, '') AS provider_id, r.cause,
	r.requested_by, r.created_at FROM app._refund r JOIN app._payment p ON p.id = r.payment_id WHERE p.order_id = $1 ORDER BY r.created_at, r.id`
	selectOrderBreaks = `SELECT b.id, b.kind, b.payment_id::text, b.provider_id, b.detail, b.opened_at
	FROM app._reconciliation_break b JOIN app._payment p ON p.id = b.payment_id WHERE p.order_id = $1 AND b.closed_at IS NULL ORDER BY b.id`
	closeBreakByID = `UPDATE app._reconciliation_break SET closed_at = now(), closed_by = $2 WHERE id = $1 AND closed_at IS NULL`
	// reopen lets the reconciler look at what it had given up.
	reopen = `WITH p AS (UPDATE app._payment SET state = 'unknown', lease_until = now() + $3 * interval '1 second', lease_owner = $2,
		updated_at = now() WHERE id = $1 AND state = 'needs_review' AND mode = $4 RETURNING id)
	INSERT INTO app._payment_transition (payment_id, from_state, to_state, cause, actor)
	SELECT id, 'needs_review', 'unknown', 'looked at again', $5 FROM p`
	claimRefundsOf = `UPDATE app._refund SET lease_until = now() + $3 * interval '1 second', lease_owner = $2
	WHERE payment_id = $1 AND state IN ('sent', 'unknown', 'pending') AND (lease_until IS NULL OR lease_until < now()) RETURNING id`
	// selectHealth reads by indexes only: of what is open, waits or needs somebody.
	selectHealth = `SELECT
	(SELECT count(*) FROM app._payment WHERE state IN ('pending', 'sent', 'unknown')) AS open,
	(SELECT coalesce(extract(epoch FROM now() - min(coalesce(sent_at, created_at))), 0) FROM app._payment
		WHERE state IN ('pending', 'sent', 'unknown')) AS oldest_open,
	(SELECT count(*) FROM app._payment WHERE state = 'needs_review') AS needs_review,
	(SELECT count(*) FROM app._payment WHERE state IN ('pending', 'sent', 'unknown', 'requires_action') AND mode <> $1) AS other_mode,
	(SELECT count(*) FROM app._reconciliation_break WHERE closed_at IS NULL) AS breaks,
	(SELECT count(*) FROM app._refund WHERE state IN ('sent', 'unknown', 'pending') AND created_at < now() - interval '1 hour') AS old_refunds,
	(SELECT count(*) FROM app._provider_event WHERE processed_at IS NULL) AS notices_waiting,
	(SELECT extract(epoch FROM now() - max(received_at)) FROM app._provider_event) AS last_notice`
)
