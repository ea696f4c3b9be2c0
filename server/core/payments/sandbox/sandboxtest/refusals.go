package sandboxtest

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"
)

// refusal is a request that Stripe refuses, and how.
type refusal struct {
	name, method, path, form string
	status                   int
	kind, code, param        string
	headers                  []string
}

const invalid, cardError = "invalid_request_error", "card_error"

func ofCharges() []refusal {
	const path = "/v1/charges"
	return []refusal{
		{"no amount", "POST", path, "currency=usd&source=tok_visa", 400, invalid, "parameter_missing", "amount", nil},
		{"empty amount", "POST", path, "amount=&currency=usd&source=tok_visa", 400, invalid, "parameter_invalid_empty", "amount", nil},
		{"amount of letters", "POST", path, "amount=abc&currency=usd&source=tok_visa", 400, invalid, "parameter_invalid_integer", "amount", nil},
		{"amount 1e3", "POST", path, "amount=1e3&currency=usd&source=tok_visa", 400, invalid, "parameter_invalid_integer", "amount", nil},
		{"amount 10.5", "POST", path, "amount=10.5&currency=usd&source=tok_visa", 400, invalid, "parameter_invalid_integer", "amount", nil},
		{"negative amount", "POST", path, "amount=-1000&currency=usd&source=tok_visa", 400, invalid, "parameter_invalid_integer", "amount", nil},
		{"amount beyond int64", "POST", path, "amount=9223372036854775808&currency=usd&source=tok_visa", 400, invalid, "parameter_invalid_integer", "amount", nil},
		{"amount as group", "POST", path, "amount[x]=1&currency=usd&source=tok_visa", 400, invalid, "", "amount", nil},
		{"too small", "POST", path, "amount=49&currency=usd&source=tok_visa", 400, invalid, "amount_too_small", "amount", nil},
		{"too large", "POST", path, "amount=100000000&currency=usd&source=tok_visa", 400, invalid, "amount_too_large", "amount", nil},
		{"no currency", "POST", path, "amount=1000&source=tok_visa", 400, invalid, "parameter_missing", "currency", nil},
		{"unknown currency", "POST", path, "amount=1000&currency=xyz&source=tok_visa", 400, invalid, "", "currency", nil},
		{"no source", "POST", path, "amount=1000&currency=usd", 400, invalid, "parameter_missing", "", nil},
		{"unknown token", "POST", path, "amount=1000&currency=usd&source=tok_1nothing", 400, invalid, "resource_missing", "source", nil},
		{"unknown fault", "POST", path, "amount=1000&currency=usd&source=tok_sandbox_nothing", 400, invalid, "resource_missing", "source", nil},
		{"unknown customer", "POST", path, "amount=1000&currency=usd&customer=cus_nothing", 400, invalid, "resource_missing", "customer", nil},
		{"unknown parameter", "POST", path, "amount=1000&currency=usd&source=tok_visa&colour=red", 400, invalid, "parameter_unknown", "colour", nil},
		{"unknown nested parameter", "POST", path, "amount=1000&currency=usd&source=tok_visa&shipping[colour]=red", 400, invalid, "parameter_unknown", "shipping[colour]", nil},
		{"bad e-mail", "POST", path, "amount=1000&currency=usd&source=tok_visa&receipt_email=nobody", 400, invalid, "email_invalid", "receipt_email", nil},
		{"bad boolean", "POST", path, "amount=1000&currency=usd&source=tok_visa&capture=yes", 400, invalid, "", "capture", nil},
		{"unknown expansion", "POST", path, "amount=1000&currency=usd&source=tok_visa&expand[]=nothing", 400, invalid, "", "expand", nil},
		{"deep expansion", "POST", path, "amount=1000&currency=usd&source=tok_visa&expand[]=a.b.c.d.e", 400, invalid, "", "expand", nil},
		{"malformed name", "POST", path, "amount[=1", 400, invalid, "", "amount", nil},
		{"NUL", "POST", path, "description=a%00b", 400, invalid, "", "", nil},
		{"no such charge", "GET", path + "/ch_nothing", "", 404, invalid, "resource_missing", "id", nil},
		{"update of no charge", "POST", path + "/ch_nothing", "description=x", 404, invalid, "resource_missing", "id", nil},
		{"capture of no charge", "POST", path + "/ch_nothing/capture", "", 404, invalid, "resource_missing", "charge", nil},
		{"limit 0", "GET", path, "limit=0", 400, invalid, "parameter_invalid_integer", "limit", nil},
		{"limit 101", "GET", path, "limit=101", 400, invalid, "parameter_invalid_integer", "limit", nil},
		{"page after nothing", "GET", path, "starting_after=ch_nothing", 400, invalid, "resource_missing", "starting_after", nil},
		{"both ends", "GET", path, "starting_after=a&ending_before=b", 400, invalid, "", "ending_before", nil},
		{"refund of no charge", "POST", "/v1/refunds", "charge=ch_nothing", 404, invalid, "resource_missing", "id", nil},
		{"refund of no charge by its path", "POST", path + "/ch_nothing/refunds", "", 404, invalid, "resource_missing", "id", nil},
		{"refunds of no charge", "GET", path + "/ch_nothing/refunds", "", 404, invalid, "resource_missing", "charge", nil},
		{"card for nobody", "POST", "/v1/customers/cus_nothing/sources", "source=tok_visa", 404, invalid, "resource_missing", "customer", nil},
		{"no card for somebody", "POST", "/v1/customers/cus_nothing/sources", "", 400, invalid, "parameter_missing", "source", nil},
		{"refund of nothing", "POST", "/v1/refunds", "", 400, invalid, "parameter_missing", "", nil},
		{"refund without reason", "POST", "/v1/refunds", "charge=ch_nothing&reason=none", 400, invalid, "", "reason", nil},
		{"no such refund", "GET", "/v1/refunds/re_nothing", "", 404, invalid, "resource_missing", "refund", nil},
		{"no such customer", "GET", "/v1/customers/cus_nothing", "", 404, invalid, "resource_missing", "id", nil},
		{"no such event", "GET", "/v1/events/evt_nothing", "", 404, invalid, "resource_missing", "id", nil},
		{"NUL in the path", "GET", path + "/ch_%00", "", 404, invalid, "", "", nil},
		{"no UTF-8 in the path", "GET", path + "/ch_%FF", "", 404, invalid, "", "", nil},
		{"NUL in a cursor", "GET", path, "starting_after=%00", 400, invalid, "", "", nil},
		{"customer with a bad e-mail", "POST", "/v1/customers", "email=nobody", 400, invalid, "email_invalid", "email", nil},
		{"unknown path", "GET", "/v1/coffees", "", 404, invalid, "", "", nil},
		{"unknown method", "DELETE", path, "", 404, invalid, "", "", nil},
		{"customer with a declined card", "POST", "/v1/customers", "source=tok_chargeDeclined", 402, cardError, "card_declined", "", nil},
	}
}

func ofIntents() []refusal {
	const path, good = "/v1/payment_intents", "amount=1000&currency=usd"
	return []refusal{
		{"intent without amount", "POST", path, "currency=usd", 400, invalid, "parameter_missing", "amount", nil},
		{"intent too small", "POST", path, "amount=1&currency=usd", 400, invalid, "amount_too_small", "amount", nil},
		{"intent of a strange currency", "POST", path, "amount=1000&currency=xyz", 400, invalid, "", "currency", nil},
		{"intent of another type", "POST", path, good + "&payment_method_types[]=ideal", 400, invalid, "", "payment_method_types", nil},
		{"intent with two rules", "POST", path, good + "&payment_method_types[]=card&automatic_payment_methods[enabled]=true", 400, invalid, "", "", nil},
		{"intent with a strange capture", "POST", path, good + "&capture_method=later", 400, invalid, "", "capture_method", nil},
		{"intent of nobody", "POST", path, good + "&customer=cus_nothing", 400, invalid, "resource_missing", "customer", nil},
		{"intent without such a card", "POST", path, good + "&payment_method=pm_nothing", 400, invalid, "resource_missing", "payment_method", nil},
		{"intent with a predefined card that is none", "POST", path, good + "&payment_method=pm_card_nothing", 400, invalid, "resource_missing", "payment_method", nil},
		{"intent confirmed without a card", "POST", path, good + "&confirm=true&payment_method_types[]=card", 400, invalid, "payment_intent_unexpected_state", "", nil},
		{"intent with a bad return URL", "POST", path, good + "&confirm=true&payment_method=pm_card_visa&return_url=home", 400, invalid, "url_invalid", "return_url", nil},
		{"intent with a return URL too early", "POST", path, good + "&return_url=http://a.example/", 400, invalid, "", "return_url", nil},
		{"intent with an unknown parameter", "POST", path, good + "&payment_method_data[card]=1", 400, invalid, "parameter_unknown", "payment_method_data", nil},
		{"intent with a bad e-mail", "POST", path, good + "&receipt_email=nobody", 400, invalid, "email_invalid", "receipt_email", nil},
		{"no such intent", "GET", path + "/pi_nothing", "", 404, invalid, "resource_missing", "intent", nil},
		{"confirmation of no intent", "POST", path + "/pi_nothing/confirm", "", 404, invalid, "resource_missing", "intent", nil},
		{"cancellation for no reason", "POST", path + "/pi_nothing/cancel", "cancellation_reason=mood", 400, invalid, "", "cancellation_reason", nil},
		{"method without type", "POST", "/v1/payment_methods", "card[token]=tok_visa", 400, invalid, "parameter_missing", "type", nil},
		{"method of another type", "POST", "/v1/payment_methods", "type=ideal&card[token]=tok_visa", 400, invalid, "", "type", nil},
		{"method without a card", "POST", "/v1/payment_methods", "type=card", 400, invalid, "parameter_missing", "card", nil},
		{"method of no token", "POST", "/v1/payment_methods", "type=card&card[token]=tok_nothing", 400, invalid, "resource_missing", "card[token]", nil},
		{"no such method", "GET", "/v1/payment_methods/pm_nothing", "", 404, invalid, "resource_missing", "payment_method", nil},
		{"method attached to nobody", "POST", "/v1/payment_methods/pm_card_visa/attach", "customer=cus_nothing", 400, invalid, "resource_missing", "customer", nil},
		{"refund of no intent", "POST", "/v1/refunds", "payment_intent=pi_nothing", 400, invalid, "resource_missing", "payment_intent", nil},
	}
}

func ofSessions() []refusal {
	const path, back = "/v1/checkout/sessions", "&success_url=http://shop.example/"
	item := func(amount, quantity, currency string) string {
		return "&line_items[0][quantity]=" + quantity + "&line_items[0][price_data][currency]=" + currency +
			"&line_items[0][price_data][unit_amount]=" + amount + "&line_items[0][price_data][product_data][name]=Beans"
	}
	good := "mode=payment" + item("900", "1", "usd")
	in := func(d time.Duration) string { return fmt.Sprintf("&expires_at=%d", time.Now().Add(d).Unix()) }
	return []refusal{
		{"session without mode", "POST", path, item("900", "1", "usd") + back, 400, invalid, "parameter_missing", "mode", nil},
		{"session of another mode", "POST", path, "mode=setup" + item("900", "1", "usd") + back, 400, invalid, "", "mode", nil},
		{"session without items", "POST", path, "mode=payment" + back, 400, invalid, "parameter_missing", "line_items", nil},
		{"session with an item for nothing", "POST", path, "mode=payment" + item("0", "1", "usd") + back, 400, invalid, "parameter_invalid_integer", "line_items", nil},
		{"session too small", "POST", path, "mode=payment" + item("7", "7", "usd") + back, 400, invalid, "amount_too_small", "line_items", nil},
		{"session too large", "POST", path, "mode=payment" + item("99999999", "2", "usd") + back, 400, invalid, "amount_too_large", "line_items", nil},
		{"session with a negative price", "POST", path, "mode=payment" + item("-900", "1", "usd") + back, 400, invalid, "parameter_invalid_integer", "line_items", nil},
		{"session with no quantity", "POST", path, "mode=payment" + item("900", "0", "usd") + back, 400, invalid, "parameter_invalid_integer", "line_items", nil},
		{"session with a quantity beyond int64", "POST", path, "mode=payment" + item("900", "9223372036854775808", "usd") + back, 400, invalid, "parameter_invalid_integer", "line_items[0][quantity]", nil},
		{"session of a strange currency", "POST", path, "mode=payment" + item("900", "1", "xyz") + back, 400, invalid, "", "currency", nil},
		{"session with a price", "POST", path, "mode=payment&line_items[0][price]=price_1&line_items[0][quantity]=1" + back, 400, invalid, "resource_missing", "line_items", nil},
		{"session with items of text", "POST", path, "mode=payment&line_items=beans" + back, 400, invalid, "", "line_items", nil},
		{"session with named items", "POST", path, "mode=payment&line_items[a][quantity]=1" + back, 400, invalid, "parameter_unknown", "line_items[a]", nil},
		{"session without success_url", "POST", path, good, 400, invalid, "parameter_missing", "success_url", nil},
		{"session with a bad URL", "POST", path, good + back + "&cancel_url=home", 400, invalid, "url_invalid", "cancel_url", nil},
		{"session embedded without return_url", "POST", path, good + "&ui_mode=embedded", 400, invalid, "parameter_missing", "return_url", nil},
		{"session of a strange UI", "POST", path, good + back + "&ui_mode=window", 400, invalid, "", "ui_mode", nil},
		{"session too short", "POST", path, good + back + in(29*time.Minute), 400, invalid, "", "expires_at", nil},
		{"session too long", "POST", path, good + back + in(24*time.Hour+time.Minute), 400, invalid, "", "expires_at", nil},
		{"session of nobody", "POST", path, good + back + "&customer=cus_nothing", 400, invalid, "resource_missing", "customer", nil},
		{"session with a bad e-mail", "POST", path, good + back + "&customer_email=nobody", 400, invalid, "email_invalid", "customer_email", nil},
		{"session with an unknown parameter", "POST", path, good + back + "&colour=red", 400, invalid, "parameter_unknown", "colour", nil},
		{"session with an unknown nested parameter", "POST", path, good + back + "&line_items[0][colour]=red", 400, invalid, "parameter_unknown", "line_items[0][colour]", nil},
		{"no such session", "GET", path + "/cs_nothing", "", 404, invalid, "resource_missing", "session", nil},
		{"expiry of no session", "POST", path + "/cs_nothing/expire", "", 404, invalid, "resource_missing", "session", nil},
		{"items of no session", "GET", path + "/cs_nothing/line_items", "", 404, invalid, "resource_missing", "session", nil},
		{"no such page", "GET", "/v1/payment_pages/cs_nothing", "", 404, invalid, "resource_missing", "session", nil},
		{"endpoint without URL", "POST", "/v1/webhook_endpoints", "enabled_events[]=*", 400, invalid, "parameter_missing", "url", nil},
		{"endpoint of a strange URL", "POST", "/v1/webhook_endpoints", "enabled_events[]=*&url=ftp://shop.example/", 400, invalid, "url_invalid", "url", nil},
		{"endpoint for nothing", "POST", "/v1/webhook_endpoints", "url=http://shop.example/", 400, invalid, "parameter_missing", "enabled_events", nil},
		{"endpoint of a strange version", "POST", "/v1/webhook_endpoints", "url=http://shop.example/&enabled_events[]=*&api_version=new", 400, invalid, "", "api_version", nil},
		{"no such endpoint", "DELETE", "/v1/webhook_endpoints/we_nothing", "", 404, invalid, "resource_missing", "id", nil},
		{"no such dispute", "POST", "/v1/disputes/dp_nothing/close", "", 404, invalid, "resource_missing", "dispute", nil},
	}
}

func ofCallers() []refusal {
	const path, form = "/v1/charges", "amount=1000&currency=usd&source=tok_visa"
	auth := func(value string) []string { return []string{"Authorization", value} }
	return []refusal{
		{"no key", "POST", path, form, 401, invalid, "", "", auth("")},
		{"wrong key", "POST", path, form, 401, invalid, "", "", auth("Bearer sk_test_wrong")},
		{"the tutorial's placeholder", "POST", path, form, 401, invalid, "", "", auth("Bearer <your-stripe-private-key>")},
		{"live key", "POST", path, form, 401, invalid, "", "", auth("Bearer sk_live_0123456789abcdef")},
		{"publishable key", "POST", path, form, 401, invalid, "secret_key_required", "", auth("Bearer " + PublishableKey)},
		{"JSON", "POST", path, `{"amount":1000}`, 400, invalid, "", "", []string{"Content-Type", "application/json"}},
		{"version", "POST", path, form, 400, invalid, "", "", []string{"Stripe-Version", "yesterday"}},
		{"idempotency key without UTF-8", "POST", path, form, 400, invalid, "", "", []string{"Idempotency-Key", "\xff\xfe"}},
		{"long idempotency key", "POST", path, form, 400, invalid, "", "", []string{"Idempotency-Key", fmt.Sprintf("%0256d", 0)}},
	}
}

func ofCards() []refusal {
	year := time.Now().Year()
	card := func(number string, month any, year any, cvc string) string {
		return fmt.Sprintf("card[number]=%s&card[exp_month]=%v&card[exp_year]=%v&card[cvc]=%s", number, month, year, cvc)
	}
	const path, good = "/v1/tokens", "4242424242424242"
	return []refusal{
		{"no card", "POST", path, "", 400, invalid, "parameter_missing", "card", nil},
		{"no number", "POST", path, "card[exp_month]=1&card[exp_year]=2040", 400, invalid, "parameter_missing", "card[number]", nil},
		{"wrong check digit", "POST", path, card("4242424242424241", 12, year+1, "123"), 402, cardError, "incorrect_number", "number", nil},
		{"short number", "POST", path, card("42", 12, year+1, "123"), 402, cardError, "incorrect_number", "number", nil},
		{"letters", "POST", path, card("4242x", 12, year+1, "123"), 402, cardError, "invalid_number", "number", nil},
		{"month 13", "POST", path, card(good, 13, year+1, "123"), 402, cardError, "invalid_expiry_month", "exp_month", nil},
		{"past year", "POST", path, card(good, 12, year-1, "123"), 402, cardError, "invalid_expiry_year", "exp_year", nil},
		{"year of letters", "POST", path, card(good, 12, "soon", "123"), 402, cardError, "invalid_expiry_year", "exp_year", nil},
		{"long cvc", "POST", path, card(good, 12, year+1, "1234"), 402, cardError, "invalid_cvc", "cvc", nil},
		{"short amex cvc", "POST", path, card("371449635398431", 12, year+1, "123"), 402, cardError, "invalid_cvc", "cvc", nil},
		{"no such token", "GET", path + "/tok_nothing", "", 404, invalid, "resource_missing", "token", nil},
	}
}

// Refusals sends what must be refused and checks how.
func Refusals(t *testing.T, s *Server) {
	for _, r := range slices.Concat(ofCharges(), ofCallers(), ofCards(), ofIntents(), ofSessions()) {
		t.Run(r.name, func(t *testing.T) {
			decline := ""
			if r.name == "customer with a declined card" {
				decline = "generic_decline"
			}
			s.Do(t, r.method, r.path, r.form, r.headers...).Refused(t, r.status, r.kind, r.code, decline, r.param)
		})
	}
	t.Run("a number that is no test card", func(t *testing.T) {
		form := fmt.Sprintf("card[number]=4539578763621486&card[exp_month]=12&card[exp_year]=%d", time.Now().Year()+1)
		s.Do(t, http.MethodPost, "/v1/tokens", form).Refused(t, 402, cardError, "card_declined", "test_mode_live_card", "")
	})
}
