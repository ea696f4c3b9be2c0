package sandbox_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

// TestObjects_HaveTheFieldsOfTheirVersion compares with the fields that objects of 2023-10-16 carry, also
// those that are always null here: clients read them.
func TestObjects_HaveTheFieldsOfTheirVersion(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	ch := s.Charge(t, "tok_visa", "").OK(t)
	get := func(path string) sandboxtest.Answer { return s.Do(t, http.MethodGet, path, "").OK(t) }
	for fields, a := range map[string]sandboxtest.Answer{
		`amount amount_captured amount_refunded application application_fee application_fee_amount balance_transaction
		billing_details calculated_statement_descriptor captured created currency customer description disputed
		failure_balance_transaction failure_code failure_message fraud_details id invoice livemode metadata object
		on_behalf_of outcome paid payment_intent payment_method payment_method_details receipt_email receipt_number
		receipt_url refunded review shipping source source_transfer statement_descriptor statement_descriptor_suffix
		status transfer_data transfer_group`: ch,
		`amount balance_transaction charge created currency id metadata object payment_intent reason receipt_number
		source_transfer_reversal status transfer_reversal`: s.Do(t, http.MethodPost, "/v1/refunds", "amount=1&charge="+ch.Text("id")).OK(t),
		`address balance created currency default_source delinquent description discount email id invoice_prefix
		invoice_settings livemode metadata name next_invoice_sequence object phone preferred_locales shipping tax_exempt
		test_clock`: s.Do(t, http.MethodPost, "/v1/customers", "").OK(t),
		`card client_ip created id livemode object type used`: get("/v1/tokens/" + s.Token(t, "4242424242424242")),
		`amount available_on created currency description exchange_rate fee fee_details id net object reporting_category
		source status type`: get("/v1/balance_transactions/" + ch.Text("balance_transaction")),
		`api_version created data id livemode object pending_webhooks request type`: get("/v1/events/" + get("/v1/events").Text("data.0.id")),
		`data has_more object url`: get("/v1/charges"),
	} {
		if diff := cmp.Diff(strings.Fields(fields), slices.Sorted(maps.Keys(a.Body))); diff != "" {
			t.Errorf("%s: %s", a.Text("object"), diff)
		}
	}
}
