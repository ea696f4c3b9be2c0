package sandboxtest

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// outcome is one line of Stripe's list of test cards, written down apart from the sandbox's own table.
type outcome struct {
	number, token        string
	brand                string // "" : Visa
	code, decline, param string // of the 402; "" : succeeded
	check                func(*testing.T, *Server, Answer)
}

func outcomes() []outcome {
	declined := func(number, token, decline string) outcome {
		return outcome{number: number, token: token, code: "card_declined", decline: decline}
	}
	return []outcome{
		{number: "4242424242424242", token: "tok_visa"},
		{number: "4242 4242-4242 4242"},
		{number: "4000056655665556", token: "tok_visa_debit", check: funding("debit")},
		{number: "5555555555554444", token: "tok_mastercard", brand: "MasterCard"},
		{number: "2223003122003222", brand: "MasterCard"},
		{number: "5200828282828210", token: "tok_mastercard_debit", brand: "MasterCard", check: funding("debit")},
		{number: "5105105105105100", token: "tok_mastercard_prepaid", brand: "MasterCard", check: funding("prepaid")},
		{number: "371449635398431", token: "tok_amex", brand: "American Express"},
		{number: "378282246310005", brand: "American Express"},
		{number: "6011111111111117", token: "tok_discover", brand: "Discover"},
		{number: "3056930009020004", token: "tok_diners", brand: "Diners Club"},
		{number: "3566002020360505", token: "tok_jcb", brand: "JCB"},
		{number: "6200000000000005", token: "tok_unionpay", brand: "UnionPay"},
		{number: "4000000000000077", token: "tok_bypassPending", check: available},
		declined("4000000000000002", "tok_chargeDeclined", "generic_decline"),
		declined("4000000000009995", "tok_chargeDeclinedInsufficientFunds", "insufficient_funds"),
		declined("4000000000009987", "tok_visa_chargeDeclinedLostCard", "lost_card"),
		declined("4000000000009979", "tok_visa_chargeDeclinedStolenCard", "stolen_card"),
		{number: "4000000000000069", token: "tok_chargeDeclinedExpiredCard", code: "expired_card", param: "exp_month"},
		{number: "4000000000000127", token: "tok_chargeDeclinedIncorrectCvc", code: "incorrect_cvc", param: "cvc"},
		{number: "4000000000000119", token: "tok_chargeDeclinedProcessingError", code: "processing_error"},
		declined("4000000000000019", "tok_chargeDeclinedFraudulent", "fraudulent"),
		declined("4000000000006975", "tok_visa_chargeDeclinedVelocityLimitExceeded", "card_velocity_exceeded"),
		declined("4000000000000341", "tok_chargeCustomerFail", "generic_decline"),
		{number: "4000000000009235", token: "tok_riskLevelElevated", check: field("outcome.risk_level", "elevated")},
		{number: "4100000000000019", token: "tok_radarBlock", code: "card_declined", decline: "fraudulent", check: field("outcome.type", "blocked")},
		{number: "4000000000000101", token: "tok_cvcCheckFail", code: "incorrect_cvc", param: "cvc"},
		declined("4000000000003220", "tok_threeDSecure2Required", "authentication_required"),
		declined("4000002760003184", "", "authentication_required"),
		declined("4000008400001629", "", "authentication_required"),
		{number: "4000000000000259", token: "tok_createDispute", check: disputed("fraudulent", "needs_response")},
		{number: "4000000000002685", token: "tok_createDisputeProductNotReceived", check: disputed("product_not_received", "needs_response")},
		{number: "4000000000001976", token: "tok_createDisputeInquiry", check: disputed("fraudulent", "warning_needs_response")},
		{number: "4000000000007726", check: refunds("pending", "succeeded")},
		{number: "4000000000005126", check: refunds("succeeded", "failed")},
	}
}

// Outcomes charges every test card by its number and by its token, and checks what comes of it.
func Outcomes(t *testing.T, s *Server) {
	for _, o := range outcomes() {
		t.Run(o.number, func(t *testing.T) {
			if o.token != "" {
				o.charge(t, s, o.token)
			}
			o.charge(t, s, s.Token(t, o.number))
		})
	}
}

// Token makes a token of a test card.
func (s *Server) Token(t testing.TB, number string) string {
	t.Helper()
	cvc := "123"
	if len(number) == 15 {
		cvc = "1234"
	}
	form := fmt.Sprintf("card[number]=%s&card[exp_month]=12&card[exp_year]=%d&card[cvc]=%s&card[name]=A+Shopper&card[address_zip]=94103",
		url.QueryEscape(number), time.Now().Year()+1, cvc)
	return s.Do(t, http.MethodPost, "/v1/tokens", form, "Authorization", "Bearer "+PublishableKey).OK(t).Text("id")
}

func (o outcome) charge(t *testing.T, s *Server, token string) {
	t.Helper()
	a := s.Charge(t, token, "")
	if o.code != "" {
		a.Refused(t, http.StatusPaymentRequired, "card_error", o.code, o.decline, o.param)
		a = s.Do(t, http.MethodGet, "/v1/charges/"+a.Text("error.charge"), "")
	}
	a.OK(t)
	want := map[string]any{"status": "succeeded", "paid": true, "captured": true}
	if o.code != "" {
		want = map[string]any{"status": "failed", "paid": false, "captured": false, "failure_code": o.code}
	}
	want["source.brand"] = o.brand
	if o.brand == "" {
		want["source.brand"] = "Visa"
	}
	for path, v := range want {
		if a.At(path) != v {
			t.Errorf("%s: %s is %v, want %v", token, path, a.At(path), v)
		}
	}
	if o.check != nil {
		o.check(t, s, a)
	}
}

func field(path, want string) func(*testing.T, *Server, Answer) {
	return func(t *testing.T, _ *Server, a Answer) {
		t.Helper()
		if a.Text(path) != want {
			t.Errorf("%s is %q, want %q", path, a.Text(path), want)
		}
	}
}

func funding(want string) func(*testing.T, *Server, Answer) {
	return field("payment_method_details.card.funding", want)
}

func available(t *testing.T, s *Server, a Answer) {
	t.Helper()
	b := s.Do(t, http.MethodGet, "/v1/balance_transactions/"+a.Text("balance_transaction"), "").OK(t)
	if b.Text("status") != "available" || b.Int("net") != 1000-59 {
		t.Errorf("balance transaction: %s", b.Raw)
	}
}

func disputed(reason, status string) func(*testing.T, *Server, Answer) {
	return func(t *testing.T, s *Server, a Answer) {
		t.Helper()
		d := s.Do(t, http.MethodGet, "/v1/disputes", "charge="+a.Text("id")).OK(t)
		if d.Text("data.0.reason") != reason || d.Text("data.0.status") != status || a.At("disputed") != true {
			t.Errorf("disputes: %s", d.Raw)
		}
		s.Do(t, http.MethodGet, "/v1/disputes/"+d.Text("data.0.id"), "expand[]=charge").OK(t)
		r := s.Do(t, http.MethodPost, "/v1/refunds", "charge="+a.Text("id"))
		if status == "needs_response" {
			r.Refused(t, http.StatusBadRequest, "invalid_request_error", "charge_disputed", "", "")
			return
		}
		r.OK(t)
	}
}

// refunds checks the two cards whose refunds change their mind.
func refunds(first, last string) func(*testing.T, *Server, Answer) {
	return func(t *testing.T, s *Server, a Answer) {
		t.Helper()
		r := s.Do(t, http.MethodPost, "/v1/refunds", "charge="+a.Text("id")).OK(t)
		s.Clock.Advance(6 * time.Second)
		later := s.Do(t, http.MethodGet, "/v1/refunds/"+r.Text("id"), "").OK(t)
		if r.Text("status") != first || later.Text("status") != last {
			t.Errorf("the refund went from %q to %q, want %q to %q", r.Text("status"), later.Text("status"), first, last)
		}
		ch := s.Do(t, http.MethodGet, "/v1/charges/"+a.Text("id"), "").OK(t)
		if refunded := ch.Int("amount_refunded"); (refunded == 0) != (last == "failed") {
			t.Errorf("%s: amount_refunded is %d", last, refunded)
		}
	}
}
