package main

import (
	"fmt"
	"strings"
)

// sabotage breaks one promise.
type sabotage struct {
	name    string
	patches []patch
}

// patch replaces a text that occurs once in a file.
type patch struct{ file, from, to string }

func (p patch) apply(text string) (string, error) {
	if n := strings.Count(text, p.from); n != 1 {
		return "", fmt.Errorf("the patch does not apply any more: %s has its text %d times: %s", p.file, n, p.from)
	}
	return strings.Replace(text, p.from, p.to, 1), nil
}

const (
	room     = "server/core/payments/"
	outcomes = room + "provider/outcome.go"
	client   = room + "provider/client.go"
)

// sabotages are the eight ways in which shops lose or double payments.
func sabotages() []sabotage {
	charge := "	params.SetIdempotencyKey(key)\n	params.Context = ctx\n	charge, err :="
	return []sabotage{
		{"a random provider key for each try", []patch{{
			client, charge, strings.Replace(charge, "key)", "key + \"-\" + fmt.Sprint(time.Now().UnixNano()))", 1),
		}}},
		{"the card token in the provider key", []patch{{client, charge, strings.Replace(charge, "key)", "key + \"-\" + token)", 1)}}},
		{"no unique index over open attempts", []patch{{
			"migrations/00004_payments.sql", "CREATE UNIQUE INDEX _payment_one_open_attempt", "CREATE INDEX _payment_one_open_attempt",
		}}},
		{"an unknown outcome told as failed", []patch{{
			outcomes, `Outcome{State: Unknown, Cause: "no clear reply", Ambiguous: true}`,
			`Outcome{State: Failed, Cause: "no clear reply", FailureCode: "payments_unavailable"}`,
		}}},
		{"the browser's price trusted", []patch{
			{
				room + "pay.go", "if !ok || p.Price != nil && *p.Price != product.UnitAmount {",
				"if ok && p.Price != nil {\n\t\tproduct.UnitAmount = *p.Price\n\t}\n\tif !ok {",
			},
			{room + "store.go", "WHERE id = $3 AND name = $4 AND unit_amount = $5", "WHERE id = $3 AND name = $4 AND $5::bigint > 0"},
		}},
		{"a repeated webhook worked on again", []patch{{
			room + "store.go", "ON CONFLICT (event_id) DO NOTHING", "ON CONFLICT (event_id) DO UPDATE SET processed_at = NULL, next_try_at = now()",
		}}},
		{"a replay when the provider may have forgotten the key", []patch{{
			room + "reconcile.go", `if a.age() < replayWithin && token != "" && !a.ErrorStored {`, `if token != "" && !a.ErrorStored {`,
		}}},
		{"a 429 taken as final, also after a lost reply", []patch{{
			outcomes, `		o.Cause = "the provider is busy"`, `		o.State, o.Cause, o.FailureCode = Failed, "the provider is busy", "payments_unavailable"`,
		}}},
	}
}
