package payments

import (
	"strings"
	"testing"

	"crema/server/testkit"
)

// fillSettled and fillOpen write payments by the thousand; $1 and $2 are the first and last number.
var (
	fillOrders = `INSERT INTO app._order (id, order_key, currency, amount_total, status, mode)
	SELECT md5('o' || i)::uuid, 'page:filled-' || i, 'usd', 1000, 'open', 'sandbox' FROM generate_series($1::int, $2::int) i`
	fillAttempts = `INSERT INTO app._payment (id, order_id, attempt, mode, kind, idempotency_key, request, state, amount, currency, sent_at, next_try_at, created_at,
		charge_id, provider_id, lease_until, lease_owner)
	SELECT md5('p' || i)::uuid, md5('o' || i)::uuid, 1, 'sandbox', 'charge', 'filled-' || i, '{}', $3::text, 1000, 'usd', at, at, at,
		CASE WHEN $3 = 'succeeded' THEN 'ch_' || i END, CASE WHEN $3 = 'succeeded' THEN 'ch_' || i END,
		CASE WHEN $3 = 'sent' AND i % 2 = 0 THEN at END, CASE WHEN $3 = 'sent' AND i % 2 = 0 THEN 'a dead server' END
	FROM generate_series($1::int, $2::int) i, LATERAL (SELECT now() - i * interval '1 second' AS at) t`
	fillRefunds = `INSERT INTO app._refund (id, payment_id, amount, reason, idempotency_key, state, requested_by, next_try_at)
	SELECT md5('r' || i)::uuid, md5('p' || i)::uuid, 1, 'duplicate', 'filled-' || i, CASE WHEN i % 100 = 0 THEN 'unknown' ELSE 'succeeded' END, 'test',
		now() - i * interval '1 second' FROM generate_series($1::int, $2::int) i`
	fillNotices = `INSERT INTO app._provider_event (event_id, type, api_version, object, object_id, happened_at, processed_at)
	SELECT 'evt_' || i, 'charge.succeeded', '', 'charge', 'ch_' || i, now(), CASE WHEN i % 100 > 0 THEN now() END FROM generate_series($1::int, $2::int) i`
)

// What runs all the time must not read what has been settled: 100,000 payments are settled, 1,000 open.
func TestReconcile_ReadsByIndexOnly(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	for _, fill := range []struct {
		q    string
		args []any
	}{
		{fillOrders, []any{1, 101_000}},
		{fillAttempts, []any{1, 100_000, "succeeded"}},
		{fillAttempts, []any{100_001, 101_000, "sent"}},
		{fillRefunds, []any{1, 50_000}},
		{fillNotices, []any{1, 50_000}},
		{"ANALYZE app._payment", nil},
		{"ANALYZE app._refund", nil},
		{"ANALYZE app._provider_event", nil},
	} {
		if _, err := db.Exec(t.Context(), fill.q, fill.args...); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		q    string
		args []any
	}{
		"claimDue": {claimDue, []any{"us", 15.0, "sandbox"}}, "claimRefunds": {claimRefunds, []any{"us", 15.0, "sandbox"}}, "claimEvents": {claimEvents, nil},
		"dropLeases": {dropLeases, []any{"us"}}, "dropRefundLeases": {dropRefundLeases, []any{"us"}}, "declineRate": {declineRate, []any{600.0}},
	} {
		var plan []string
		if err := db.Select(t.Context(), &plan, "EXPLAIN "+c.q, c.args...); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		text := strings.Join(plan, "\n")
		if strings.Contains(text, "Seq Scan on _") || !strings.Contains(text, "Index") && !strings.Contains(text, "Bitmap") {
			t.Errorf("%s reads a whole table:\n%s", name, text)
		}
		t.Logf("%s\n%s", name, text)
	}
}
