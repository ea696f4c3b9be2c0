package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// move is a line of the sandbox's journal.
type move struct {
	Seq      int64  `json:"seq"`
	Op       string `json:"op"`
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
	ObjectID string `json:"object_id"`
	ChargeID string `json:"charge_id"`
	Key      string `json:"key"`
}

// paymentRow is an attempt with its order, as the shop's database has it.
type paymentRow struct {
	ID          string `db:"id"`
	OrderID     string `db:"order_id"`
	Kind        string `db:"kind"`
	State       string `db:"state"`
	ChargeID    string `db:"charge_id"`
	Amount      int64  `db:"amount"`
	Currency    string `db:"currency"`
	Refunded    int64  `db:"amount_refunded"`
	ErrorStored bool   `db:"error_stored"`
	TokenHash   string `db:"token_hash"`
	Email       string `db:"email"`
	OrderStatus string `db:"order_status"`
	Catalogue   int64  `db:"catalogue"` // what the order costs by the catalogue
	Records     int    `db:"records"`
	Recorded    int64  `db:"recorded"`
}

// breakRow is an open difference.
type breakRow struct {
	Kind      string `db:"kind"`
	PaymentID string `db:"payment_id"`
	Detail    string `db:"detail"`
}

// books are the two sides that must agree.
type books struct {
	moves    []move
	payments []paymentRow
	breaks   []breakRow
	chargeOf map[string]string // payment id by charge id, as the provider knows it
}

const (
	selectPayments = `SELECT p.id, p.order_id, p.kind, p.state, coalesce(p.charge_id, '') AS charge_id, p.amount, p.currency, p.amount_refunded,
		p.error_stored, coalesce(encode(p.token_hash, 'hex'), '') AS token_hash, coalesce(o.email::text, '') AS email, o.status AS order_status,
		(SELECT coalesce(sum(i.quantity * c.unit_amount), 0) FROM app._order_item i JOIN app._product c ON c.id = i.product_id WHERE i.order_id = o.id) AS catalogue,
		coalesce(r.n, 0) AS records, coalesce(r.amount, 0) AS recorded
		FROM app._payment p JOIN app._order o ON o.id = p.order_id LEFT JOIN (SELECT order_id, currency, count(*) AS n, sum(amount_minor) AS amount
			FROM app.payment_record GROUP BY order_id, currency) r ON r.order_id = o.id::text AND r.currency = p.currency
		ORDER BY o.created_at, p.attempt`
	selectBreaks = `SELECT kind, coalesce(payment_id::text, '') AS payment_id, detail FROM app._reconciliation_break WHERE closed_at IS NULL`
	// The charge of a hosted checkout has its attempt in the metadata, as has that of a token.
	selectCharges = `SELECT id, coalesce(data->'metadata'->>'payment_id', '') AS payment_id FROM app.object WHERE kind = 'charge'`
)

// readBooks reads the journal through the sandbox and the shop's side from its tables.
func (w *world) readBooks(ctx context.Context) (*books, error) {
	b := &books{chargeOf: map[string]string{}}
	for after := int64(0); ; {
		page, err := w.journal(ctx, after)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		b.moves = append(b.moves, page...)
		after = page[len(page)-1].Seq
	}
	if err := w.db.Select(ctx, &b.payments, selectPayments); err != nil {
		return nil, err
	}
	if err := w.db.Select(ctx, &b.breaks, selectBreaks); err != nil {
		return nil, err
	}
	var charges []struct {
		ID        string `db:"id"`
		PaymentID string `db:"payment_id"`
	}
	if err := w.provider.Select(ctx, &charges, selectCharges); err != nil {
		return nil, err
	}
	for _, c := range charges {
		b.chargeOf[c.ID] = c.PaymentID
	}
	for _, m := range b.moves { // the key says the same, and better: it is what the provider was sent
		if _, id, ok := strings.Cut(m.Key, appName+"-pay-"); ok && m.Op == "charge" {
			b.chargeOf[m.ObjectID] = id
		}
	}
	return b, nil
}

func (w *world) journal(ctx context.Context, after int64) ([]move, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.stripe+"/_sandbox/journal?after="+strconv.FormatInt(after, 10), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+derive("sandbox admin"))
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	var page struct{ Data []move }
	err = json.NewDecoder(resp.Body).Decode(&page)
	return page.Data, err
}
