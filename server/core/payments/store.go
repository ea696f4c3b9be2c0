package payments

import (
	"context"
	"encoding/json"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
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

const productColumns = `SELECT id, name, description, weight_grams, currency, unit_amount FROM app._product WHERE active`

const (
	selectProducts = productColumns + ` ORDER BY position, name`
	selectProduct  = productColumns + ` AND name = $1`
)

func selectProductNamed(ctx context.Context, q pg.Querier, name string) (*Product, error) {
	var p Product
	err := q.Get(ctx, &p, selectProduct, name)
	if fault.Is(err, "pg.no_rows") {
		return nil, nil
	}
	return &p, err
}

// order is what one shopper wants to buy.
type order struct {
	ID        string `db:"id"`
	Key       string `db:"order_key"`
	UserID    string `db:"user_id"`
	Email     string `db:"email"`
	Currency  string `db:"currency"`
	Total     int64  `db:"amount_total"`
	Status    string `db:"status"`
	ProductID string `db:"product_id"`
	Product   string `db:"name_snapshot"`
}

const (
	insertOrder = `INSERT INTO app._order (id, order_key, user_id, email, currency, amount_total, status, mode)
	VALUES ($1, $2, $3, $4, $5, $6, 'open', $7) ON CONFLICT (order_key) DO NOTHING`
	insertItem = `INSERT INTO app._order_item (order_id, product_id, name_snapshot, quantity, unit_amount)
	VALUES ($1, $2, $3, 1, $4)`
	lockOrderByKey = `SELECT o.id, o.order_key, coalesce(o.user_id, '') AS user_id, o.email::text AS email, o.currency,
	o.amount_total, o.status, i.product_id, i.name_snapshot
	FROM app._order o JOIN app._order_item i ON i.order_id = o.id WHERE o.order_key = $1 FOR UPDATE OF o`
	selectOrder = `SELECT o.id, o.order_key, coalesce(o.user_id, '') AS user_id, o.email::text AS email, o.currency,
	o.amount_total, o.status, i.product_id, i.name_snapshot
	FROM app._order o JOIN app._order_item i ON i.order_id = o.id WHERE o.id = $1`
	markOrderPaid = `UPDATE app._order SET status = 'paid', updated_at = now() WHERE id = $1`
)

// attempt is one row of _payment.
type attempt struct {
	ID          string          `db:"id"`
	OrderID     string          `db:"order_id"`
	Number      int             `db:"attempt"`
	State       state           `db:"state"`
	Key         string          `db:"idempotency_key"`
	RequestJSON json.RawMessage `db:"request"`
	TokenHash   []byte          `db:"token_hash"`
	TokenSealed []byte          `db:"token_sealed"`
	ChargeID    string          `db:"charge_id"`
	FailureCode string          `db:"failure_code"`
	Ambiguous   bool            `db:"ambiguous_seen"`
	ErrorStored bool            `db:"error_stored"`
	Tries       int             `db:"tries"`
	AgeSeconds  float64         `db:"age"` // since it was sent, or written when it was not
}

// age is how long ago the attempt was sent.
func (a attempt) age() time.Duration { return time.Duration(a.AgeSeconds * float64(time.Second)) }

// request is what was, or will be, sent.
func (a attempt) request() (chargeRequest, error) {
	var r chargeRequest
	if err := json.Unmarshal(a.RequestJSON, &r); err != nil {
		return r, fault.Wrap(err, fault.Internal, "payments.bad_row", "the stored payment cannot be read")
	}
	return r, nil
}

const attemptColumns = ` id, order_id, attempt, state, idempotency_key, request, token_hash, token_sealed,
	coalesce(charge_id, '') AS charge_id, coalesce(failure_code, '') AS failure_code, ambiguous_seen, error_stored,
	tries, extract(epoch FROM now() - coalesce(sent_at, created_at)) AS age `

const (
	selectLastAttempt = `SELECT` + attemptColumns + `FROM app._payment WHERE order_id = $1 ORDER BY attempt DESC LIMIT 1`
	selectAttempt     = `SELECT` + attemptColumns + `FROM app._payment WHERE id = $1`
	lockAttempt       = selectAttempt + ` FOR UPDATE`
	insertAttempt     = `INSERT INTO app._payment (id, order_id, attempt, mode, kind, idempotency_key, request,
	token_hash, token_sealed, state, amount, currency, lease_until, lease_owner)
	VALUES ($1, $2, $3, $4, 'charge', $5, $6, $7, $8, 'pending', $9, $10, now() + $11 * interval '1 second', $12)`
	markSent = `UPDATE app._payment SET state = 'sent', sent_at = coalesce(sent_at, now()), updated_at = now()
	WHERE id = $1 AND state = 'pending'`
	markTry = `UPDATE app._payment SET tries = tries + 1, ambiguous_seen = ambiguous_seen OR $2, updated_at = now()
	WHERE id = $1`
	renewLease = `UPDATE app._payment SET lease_until = now() + $3 * interval '1 second' WHERE id = $1 AND lease_owner = $2`
	dropLeases = `UPDATE app._payment SET lease_until = NULL, next_try_at = now()
	WHERE state IN ('pending', 'sent', 'unknown') AND lease_until IS NOT NULL AND lease_owner <> $1`
	// claimAttempt takes an attempt that nobody is working on.
	claimAttempt = `UPDATE app._payment SET lease_until = now() + $3 * interval '1 second', lease_owner = $2
	WHERE id = $1 AND state IN ('pending', 'sent', 'unknown') AND (lease_until IS NULL OR lease_until < now())`
	// claimDue takes all that the reconciler should look at now.
	claimDue = `UPDATE app._payment SET lease_until = now() + $2 * interval '1 second', lease_owner = $1
	WHERE id IN (SELECT id FROM app._payment WHERE state IN ('pending', 'sent', 'unknown')
		AND next_try_at <= now() AND (lease_until IS NULL OR lease_until < now())
		ORDER BY next_try_at LIMIT 16 FOR UPDATE SKIP LOCKED) RETURNING id`
	updateAttempt = `UPDATE app._payment SET state = $2, charge_id = coalesce(nullif($3, ''), charge_id),
	provider_id = coalesce(nullif($3, ''), provider_id), failure_code = nullif($4, ''), decline_code = nullif($5, ''),
	request_id = coalesce(nullif($6, ''), request_id), card_brand = nullif($7, ''), card_last4 = nullif($8, ''),
	ambiguous_seen = ambiguous_seen OR $9, error_stored = error_stored OR $10,
	token_sealed = CASE WHEN $11 THEN NULL ELSE token_sealed END, lease_until = NULL, lease_owner = NULL,
	next_try_at = now() + $12 * interval '1 second', updated_at = now() WHERE id = $1`
	insertTransition = `INSERT INTO app._payment_transition (payment_id, from_state, to_state, cause, actor)
	VALUES ($1, nullif($2, ''), $3, $4, $5)`
)

// record is a row of payment_record.
type record struct {
	ID          string    `db:"_id"`
	Owner       string    `db:"_owner_id"`
	CreatedAt   time.Time `db:"_created_at"`
	Email       string    `db:"receipt_email"`
	Product     string    `db:"product"`
	Amount      float64   `db:"amount"`
	AmountMinor int64     `db:"amount_minor"`
	Currency    string    `db:"currency"`
	ChargeID    string    `db:"charge_id"`
	OrderID     string    `db:"order_id"`
	Status      string    `db:"status"`
}

const (
	// An empty access list: the owner and the master key only. The row holds an e-mail address.
	insertRecord = `INSERT INTO app.payment_record (_id, _database_id, _owner_id, _access, _created_at, _created_by,
	_updated_at, _updated_by, receipt_email, product, amount, amount_minor, currency, charge_id, order_id, status)
	VALUES ($1, '', $2, '[]', $3, $2, $3, $2, $4, $5, $6, $7, $8, $9, $10, 'succeeded')`
	selectRecord = `SELECT _id, _owner_id, _created_at, receipt_email, product, amount, amount_minor, currency,
	charge_id, order_id, status FROM app.payment_record WHERE _id = $1`
)
