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
	cs := s.Do(t, http.MethodPost, "/v1/checkout/sessions", "mode=payment&success_url=http://shop.example/&line_items[0][quantity]=1"+
		"&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=900&line_items[0][price_data][product_data][name]=Beans").OK(t)
	items := s.Do(t, http.MethodGet, "/v1/checkout/sessions/"+cs.Text("id")+"/line_items", "").OK(t)
	var item, price sandboxtest.Answer
	item.Body, _ = items.At("data.0").(map[string]any)
	price.Body, _ = items.At("data.0.price").(map[string]any)
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
		`amount amount_capturable amount_details amount_received application application_fee_amount automatic_payment_methods
		canceled_at cancellation_reason capture_method client_secret confirmation_method created currency customer description
		id invoice last_payment_error latest_charge livemode metadata next_action object on_behalf_of payment_method
		payment_method_configuration_details payment_method_options payment_method_types processing receipt_email review
		setup_future_usage shipping source statement_descriptor statement_descriptor_suffix status transfer_data
		transfer_group`: s.Do(t, http.MethodPost, "/v1/payment_intents", "amount=900&currency=usd").OK(t),
		`billing_details card created customer id livemode metadata object type`: s.Do(t, http.MethodPost, "/v1/payment_methods", "type=card&card[token]=tok_visa").OK(t),
		`after_expiration allow_promotion_codes amount_subtotal amount_total automatic_tax billing_address_collection cancel_url
		client_reference_id client_secret consent consent_collection created currency currency_conversion custom_fields
		custom_text customer customer_creation customer_details customer_email expires_at id invoice invoice_creation livemode
		locale metadata mode object payment_intent payment_link payment_method_collection
		payment_method_configuration_details payment_method_options payment_method_types payment_status
		phone_number_collection recovered_from setup_intent shipping_address_collection shipping_cost shipping_details
		shipping_options status submit_type subscription success_url total_details ui_mode url`: cs,
		`amount_discount amount_subtotal amount_tax amount_total currency description id object price quantity`: item,
		`active billing_scheme created currency custom_unit_amount id livemode lookup_key metadata nickname object product
		recurring tax_behavior tiers_mode transform_quantity type unit_amount unit_amount_decimal`: price,
		`api_version application created description enabled_events id livemode metadata object secret status
		url`: s.Do(t, http.MethodPost, "/v1/webhook_endpoints", "url=http://shop.example/&enabled_events[]=*").OK(t),
	} {
		if diff := cmp.Diff(strings.Fields(fields), slices.Sorted(maps.Keys(a.Body))); diff != "" {
			t.Errorf("%s: %s", a.Text("object"), diff)
		}
	}
}
