package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"

	"crema/server/base/pg"
	"crema/server/core/payments/sandbox"
)

// few is how many payments the small shop has had.
const few = 1000

// derive makes the sandbox's keys as the server does.
func derive(purpose string) string {
	mac := hmac.New(sha256.New, []byte(masterKey))
	mac.Write([]byte("crema " + purpose))
	return hex.EncodeToString(mac.Sum(nil))[:32]
}

// till is a shop with its own database and its own sandbox process, as far as paying goes.
type till struct {
	url     string // of the database
	server  *server
	sandbox *server
}

// preparePayments returns the cases of paying: beside a floor, and with many payments beside few.
func (b *bench) preparePayments(ctx context.Context, o options) ([]benchCase, error) {
	binary, err := b.build(ctx, o.root)
	if err != nil {
		return nil, err
	}
	small, err := b.openTill(ctx, binary, "small", few)
	if err != nil {
		return nil, fmt.Errorf("the small shop: %w", err)
	}
	floor, err := b.startPayFloor(ctx, small)
	if err != nil {
		return nil, fmt.Errorf("the floor: %w", err)
	}
	big, err := b.openTill(ctx, binary, "big", o.grown)
	if err != nil {
		return nil, fmt.Errorf("the big shop: %w", err)
	}
	pay := newRequest("POST", "/lambda/process_payment", "X-Skygear-Api-Key: "+apiKey+"\r\n",
		`{"product_name":"Kenya AA","product_price":1000,"stripe_token":"tok_visa","user_email":"`+keyMark+`@example.com","order_key":"`+keyMark+`"}`,
		keyMark, randomKey)
	cases := []benchCase{
		{name: "process_payment", bar: 0.8, ours: target{small.server, pay, 1}, floor: target{floor, pay, 1}},
		{name: fmt.Sprintf("... at %d beside %d", o.grown, few), bar: 0.9, ours: target{big.server, pay, 1}, floor: target{small.server, pay, 1}},
	}
	b.ours, b.floor = small.server, floor // for profiles
	b.finish = func(ctx context.Context) error { return errors.Join(small.check(ctx), big.check(ctx)) }
	db, err := small.open(ctx)
	if err != nil {
		return nil, err
	}
	return cases, errors.Join(db.Get(ctx, &b.version, "SELECT current_setting('server_version')"), db.Close())
}

func (t *till) open(ctx context.Context) (*pg.DB, error) {
	return pg.Open(ctx, pg.Config{URL: t.url, Schema: "app_bench", MaxConns: 2})
}

// check wants everything that was measured to have been a sale: a refusal is quicker.
func (t *till) check(ctx context.Context) error {
	db, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	var n struct{ All, Paid, Records int }
	err = db.Get(ctx, &n, `SELECT (SELECT count(*) FROM app._payment) AS "all", (SELECT count(*) FROM app._payment WHERE state = 'succeeded') AS paid,
		(SELECT count(*) FROM app.payment_record) AS records`)
	if err == nil && (n.All != n.Paid || n.All != n.Records) {
		err = fmt.Errorf("of %d payments %d succeeded, with %d records", n.All, n.Paid, n.Records)
	}
	return err
}

// openTill makes a database, fills it with n payments and starts a sandbox and a server on it. The
// sandbox sends no webhooks: neither side would have to read them.
func (b *bench) openTill(ctx context.Context, binary, name string, n int) (*till, error) {
	if err := b.createDatabase(ctx, name); err != nil {
		return nil, err
	}
	t := &till{url: b.cluster.URL(name), sandbox: &server{}, server: &server{}}
	var err error
	if t.sandbox.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	if t.server.addr, err = freeAddress(); err != nil {
		return nil, err
	}
	if t.sandbox.cmd, err = b.self("sandbox"); err != nil {
		return nil, err
	}
	b.more = append(b.more, t.sandbox, t.server)
	if err := b.launch(ctx, "sandbox-"+name, t.sandbox, []string{"DATABASE_URL=" + t.url, addrVariable + "=" + t.sandbox.addr}); err != nil {
		return nil, err
	}
	t.server.cmd = exec.Command(binary, "serve")
	if b.profile != "" && name == "small" {
		if t.server.cmd, err = b.self("server"); err != nil {
			return nil, err
		}
	}
	env := []string{
		"DATABASE_URL=" + t.url, "HOST=" + t.server.addr, "API_KEY=" + apiKey, "MASTER_KEY=" + masterKey, "APP_NAME=bench",
		"STRIPE_SANDBOX_URL=http://" + t.sandbox.addr,
	}
	if err := b.launch(ctx, "server-"+name, t.server, env); err != nil {
		return nil, err
	}
	return t, t.fill(ctx, n)
}

func (b *bench) createDatabase(ctx context.Context, name string) error {
	db, err := pg.Open(ctx, pg.Config{URL: b.url, Schema: "public", MaxConns: 1})
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, "CREATE DATABASE "+name)
	return errors.Join(err, db.Close())
}

// fill writes n payments of the days before, with keys in no order, as real ones are.
func (t *till) fill(ctx context.Context, n int) error {
	db, err := t.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing is lost
	for _, q := range fillTill {
		if _, err := db.Exec(ctx, q, n); err != nil {
			return fmt.Errorf("%.60s: %w", q, err)
		}
	}
	for _, q := range []string{"VACUUM ANALYZE", "CHECKPOINT"} {
		if _, err := db.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// fillTill fills the shop's tables and the sandbox's, which holds a short charge for each.
var fillTill = []string{
	`INSERT INTO app._order (id, order_key, user_id, email, currency, amount_total, status, mode, created_at, updated_at)
	SELECT md5('o' || i)::uuid, 'page:old-' || i, '', 'shopper-' || i || '@example.com', 'usd', 1000, 'paid', 'sandbox', at, at
	FROM generate_series(1, $1::int) i, LATERAL (SELECT now() - interval '2 days' - i * interval '1 second' AS at) t`,
	`INSERT INTO app._order_item (order_id, product_id, name_snapshot, quantity, unit_amount)
	SELECT md5('o' || i)::uuid, 'kenya-aa', 'Kenya AA', 1, 1000 FROM generate_series(1, $1::int) i`,
	`INSERT INTO app._payment (id, order_id, attempt, mode, kind, idempotency_key, request, token_hash, state, provider_id, charge_id, amount,
		currency, request_id, card_brand, card_last4, tries, sent_at, next_try_at, created_at, updated_at, client_hash, email_hash)
	SELECT md5('p' || i)::uuid, md5('o' || i)::uuid, 1, 'sandbox', 'charge', 'bench-pay-' || md5('p' || i)::uuid,
		jsonb_build_object('amount', 1000, 'currency', 'usd', 'description', 'Charging 10.00 USD for Kenya AA', 'receipt_email',
			'shopper-' || i || '@example.com', 'transfer_group', md5('p' || i)::uuid), sha256('tok_visa'), 'succeeded',
		'ch_3' || md5('c' || i), 'ch_3' || md5('c' || i), 1000, 'usd', 'req_' || left(md5('r' || i), 14), 'visa', '4242', 1, at, at, at, at,
		sha256('127.0.0.1'), sha256(('e' || i)::bytea)
	FROM generate_series(1, $1::int) i, LATERAL (SELECT now() - interval '2 days' - i * interval '1 second' AS at) t`,
	`INSERT INTO app._payment_transition (payment_id, from_state, to_state, cause, actor, at)
	SELECT md5('p' || i)::uuid, s.a, s.b, s.c, 'shopper', now() - interval '2 days' - i * interval '1 second' FROM generate_series(1, $1::int) i,
		(VALUES (NULL, 'pending', 'asked to pay'), ('pending', 'sent', 'sending'), ('sent', 'succeeded', 'charge succeeded')) s(a, b, c)`,
	`INSERT INTO app.payment_record (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by, receipt_email,
		product, amount, amount_minor, currency, charge_id, order_id, status)
	SELECT md5('p' || i)::uuid::text, '', '_service', '[]', at, '_service', at, '_service', 'shopper-' || i || '@example.com', 'Kenya AA', 10, 1000,
		'usd', 'ch_3' || md5('c' || i), md5('o' || i)::uuid::text, 'succeeded'
	FROM generate_series(1, $1::int) i, LATERAL (SELECT now() AT TIME ZONE 'UTC' - interval '2 days' - i * interval '1 second' AS at) t`,
	`INSERT INTO stripe_app_bench.object (id, kind, created, data) SELECT 'ch_3' || md5('c' || i), 'charge', extract(epoch FROM now())::bigint - 172800 - i,
		jsonb_build_object('id', 'ch_3' || md5('c' || i), 'object', 'charge', 'amount', 1000, 'transfer_group', md5('p' || i)::uuid, 'status', 'succeeded')
	FROM generate_series(1, $1::int) i`,
	`INSERT INTO stripe_app_bench.journal (at, op, amount, currency, object_id, charge_id, key)
	SELECT now() - interval '2 days' - i * interval '1 second', 'charge', 1000, 'usd', 'ch_3' || md5('c' || i), 'ch_3' || md5('c' || i),
		'bench-pay-' || md5('p' || i)::uuid FROM generate_series(1, $1::int) i`,
}

// runSandbox serves the sandbox until it is killed.
func runSandbox() int {
	err := serveSandbox(context.Background())
	fmt.Fprintln(os.Stderr, "sandbox:", err)
	return 1
}

func serveSandbox(ctx context.Context) error {
	db, err := pg.Open(ctx, pg.Config{URL: os.Getenv("DATABASE_URL"), Schema: "app_bench", MaxConns: 40})
	if err != nil {
		return err
	}
	s, err := sandbox.New(ctx, sandbox.Config{
		DB: db, Log: slog.New(slog.DiscardHandler), SecretKey: "sk_test_" + derive("sandbox secret"), PublishableKey: "pk_test_" + derive("sandbox publishable"),
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler())
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	return http.ListenAndServe(os.Getenv(addrVariable), mux)
}
