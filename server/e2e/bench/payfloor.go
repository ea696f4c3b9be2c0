package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// stripeVariable tells the floor where the sandbox is.
const stripeVariable = "CREMA_BENCH_STRIPE"

// payFloor is the least that a payment can cost which is written down before it is sent: two prepared
// transactions and one call. It writes the same columns into the same tables, and nothing else: no order
// is looked for, no price, no limit, no other server.
type payFloor struct {
	begin, end *sql.Stmt
	stripe     string
	client     *http.Client
}

const (
	floorBegin = `
WITH o AS (INSERT INTO floor._order (id, order_key, user_id, email, currency, amount_total, status, mode)
	VALUES ($1::uuid, $2, '', $3::text::public.citext, 'usd', 1000, 'open', 'sandbox')),
i AS (INSERT INTO floor._order_item (order_id, product_id, name_snapshot, quantity, unit_amount) VALUES ($1::uuid, 'kenya-aa', 'Kenya AA', 1, 1000)),
p AS (INSERT INTO floor._payment (id, order_id, attempt, mode, kind, idempotency_key, request, token_hash, token_sealed,
		state, amount, currency, tries, sent_at, lease_until, lease_owner, client_hash, email_hash)
	VALUES ($4::uuid, $1::uuid, 1, 'sandbox', 'charge', $5, $6::jsonb, $7, $8, 'sent', 1000, 'usd', 1, now(), now() + interval '15 seconds', 'floor', $7, $7))
INSERT INTO floor._payment_transition (payment_id, from_state, to_state, cause, actor)
	VALUES ($4::uuid, NULL, 'pending', 'asked to pay', 'shopper'), ($4::uuid, 'pending', 'sent', 'sending', 'shopper')`
	floorEnd = `
WITH p AS (UPDATE floor._payment SET state = 'succeeded', charge_id = $2, provider_id = $2, request_id = $3, card_brand = $4, card_last4 = $5,
		token_sealed = NULL, lease_until = NULL, lease_owner = NULL, next_try_at = now(), updated_at = now() WHERE id = $1::uuid RETURNING id, order_id),
t AS (INSERT INTO floor._payment_transition (payment_id, from_state, to_state, cause, actor) SELECT id, 'sent', 'succeeded', 'charge succeeded', 'server' FROM p),
o AS (UPDATE floor._order o SET status = 'paid', updated_at = now() FROM p WHERE o.id = p.order_id)
INSERT INTO floor.payment_record (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by,
		receipt_email, product, amount, amount_minor, currency, charge_id, order_id, status)
	SELECT id::text, '', '_service', '[]', w.at, '_service', w.at, '_service', $6, 'Kenya AA', 10, 1000, 'usd', $2, order_id::text, 'succeeded'
	FROM p, LATERAL (SELECT now() AT TIME ZONE 'UTC' AS at) w`
)

// floorTables have the columns, indexes and references of the shop's, and as many rows as the small one.
var floorTables = []string{
	"CREATE SCHEMA floor",
	"CREATE TABLE floor._order (LIKE app._order INCLUDING ALL)",
	"CREATE TABLE floor._order_item (LIKE app._order_item INCLUDING ALL, FOREIGN KEY (order_id) REFERENCES floor._order, FOREIGN KEY (product_id) REFERENCES app._product)",
	"CREATE TABLE floor._payment (LIKE app._payment INCLUDING ALL, FOREIGN KEY (order_id) REFERENCES floor._order)",
	"CREATE TABLE floor._payment_transition (LIKE app._payment_transition INCLUDING ALL, FOREIGN KEY (payment_id) REFERENCES floor._payment)",
	"CREATE TABLE floor.payment_record (LIKE app.payment_record INCLUDING ALL)",
	"INSERT INTO floor._order SELECT * FROM app._order",
	"INSERT INTO floor._order_item SELECT * FROM app._order_item",
	"INSERT INTO floor._payment SELECT * FROM app._payment",
	"INSERT INTO floor._payment_transition (payment_id, from_state, to_state, cause, actor, at) SELECT payment_id, from_state, to_state, cause, actor, at FROM app._payment_transition",
	"INSERT INTO floor.payment_record SELECT * FROM app.payment_record",
	"VACUUM ANALYZE",
}

func (b *bench) startPayFloor(ctx context.Context, t *till) (*server, error) {
	db, err := t.open(ctx)
	if err != nil {
		return nil, err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	for _, q := range floorTables {
		if _, err := db.Exec(ctx, q); err != nil {
			return nil, fmt.Errorf("%.60s: %w", q, err)
		}
	}
	s := &server{}
	if s.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	if s.cmd, err = b.self("payfloor"); err != nil {
		return nil, err
	}
	return s, b.launch(ctx, "payfloor", s, []string{"DATABASE_URL=" + t.url, addrVariable + "=" + s.addr, stripeVariable + "=http://" + t.sandbox.addr})
}

// runPayFloor serves the floor until it is killed.
func runPayFloor() int {
	h, err := newPayFloor(os.Getenv("DATABASE_URL"))
	if err == nil {
		err = http.ListenAndServe(os.Getenv(addrVariable), h)
	}
	fmt.Fprintln(os.Stderr, "floor:", err)
	return 1
}

func newPayFloor(url string) (http.Handler, error) {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(32)
	db.SetMaxIdleConns(32)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	f := payFloor{stripe: os.Getenv(stripeVariable), client: &http.Client{Transport: transport, Timeout: 20 * time.Second}}
	if f.begin, err = db.Prepare(floorBegin); err != nil {
		return nil, err
	}
	if f.end, err = db.Prepare(floorEnd); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /lambda/process_payment", handle(f.pay))
	return mux, nil
}

type payBody struct {
	Product  string `json:"product_name"`
	Price    int64  `json:"product_price"`
	Token    string `json:"stripe_token"`
	Email    string `json:"user_email"`
	OrderKey string `json:"order_key"`
}

type paidBody struct {
	ID      string `json:"_id"`
	Charge  string `json:"charge_id"`
	OrderID string `json:"order_id"`
	Amount  int64  `json:"amount_minor"`
}

func (f *payFloor) pay(r *http.Request, in payBody) ([]paidBody, error) {
	order, payment := uuid.NewString(), uuid.NewString()
	request := `{"amount":1000,"currency":"usd","description":"Charging 10.00 USD for Kenya AA","transfer_group":"` + payment + `"}`
	hash := []byte("01234567890123456789012345678901")
	if _, err := f.begin.ExecContext(r.Context(), order, "page:"+in.OrderKey, in.Email, payment, "floor-pay-"+payment, request, hash, hash); err != nil {
		return nil, err
	}
	charge, err := f.charge(r.Context(), payment, order, in)
	if err != nil {
		return nil, err
	}
	_, err = f.end.ExecContext(r.Context(), payment, charge.ID, charge.request, charge.Details.Card.Brand, charge.Details.Card.Last4, in.Email)
	return []paidBody{{ID: "payment_record/" + payment, Charge: charge.ID, OrderID: order, Amount: charge.Amount}}, err
}

type floorCharge struct {
	ID      string `json:"id"`
	Status  string `json:"status"`
	Amount  int64  `json:"amount"`
	Details struct {
		Card struct {
			Brand string `json:"brand"`
			Last4 string `json:"last4"`
		} `json:"card"`
	} `json:"payment_method_details"`
	request string
}

func (f *payFloor) charge(ctx context.Context, payment, order string, in payBody) (floorCharge, error) {
	form := url.Values{
		"amount": {strconv.FormatInt(in.Price, 10)}, "currency": {"usd"}, "source": {in.Token}, "description": {"Charging 10.00 USD for " + in.Product},
		"receipt_email": {in.Email}, "transfer_group": {payment}, "metadata[order_id]": {order}, "metadata[payment_id]": {payment}, "metadata[install]": {"floor"},
	}
	var c floorCharge
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.stripe+"/v1/charges", strings.NewReader(form.Encode()))
	if err != nil {
		return c, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer sk_test_"+derive("sandbox secret"))
	req.Header.Set("Idempotency-Key", "floor-pay-"+payment)
	resp, err := f.client.Do(req)
	if err != nil {
		return c, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil || c.Status != "succeeded" {
		return c, fmt.Errorf("HTTP %d %s: %w", resp.StatusCode, c.Status, err)
	}
	c.request = resp.Header.Get("Request-Id")
	return c, nil
}
