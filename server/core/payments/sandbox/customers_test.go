package sandbox_test

import (
	"net/http"
	"testing"

	"crema/server/core/payments/sandbox/sandboxtest"
	"crema/server/testkit"
)

func TestCustomers_KeepMoreThanOneCard(t *testing.T) {
	t.Parallel()
	s := sandboxtest.Start(t, testkit.DB(t), nil)
	post := func(path, form string) sandboxtest.Answer { return s.Do(t, http.MethodPost, path, form) }
	u := post("/v1/customers", "email=ada@example.com").OK(t)
	path := "/v1/customers/" + u.Text("id")
	first := post(path+"/sources", "source=tok_visa").OK(t)
	second := post(path+"/sources", "source=tok_mastercard").OK(t)
	post(path+"/sources", "source=tok_chargeDeclined").Refused(t, 402, "card_error", "card_declined", "generic_decline", "")
	now := s.Do(t, http.MethodGet, path, "expand[]=sources").OK(t)
	if now.Text("default_source") != first.Text("id") || now.At("sources.data.1") == nil || now.At("sources.data.2") != nil {
		t.Errorf("the customer keeps %s", now.Raw)
	}
	for query, want := range map[string]string{"": second.Text("id"), "object=card": second.Text("id"), "limit=1": second.Text("id"), "object=bank_account": ""} {
		if page := s.Do(t, http.MethodGet, path+"/sources", query).OK(t); page.Text("data.0.id") != want {
			t.Errorf("sources, %s: %s", query, page.Raw)
		}
	}
	charge := "amount=1000&currency=usd&customer=" + u.Text("id")
	if ch := post("/v1/charges", charge).OK(t); ch.Text("source.id") != first.Text("id") {
		t.Errorf("the first card should have paid: %s", ch.Raw)
	}
	if ch := post("/v1/charges", charge+"&source="+second.Text("id")).OK(t); ch.Text("source.last4") != "4444" {
		t.Errorf("the second card should have paid: %s", ch.Raw)
	}
	other := post("/v1/customers", "source=tok_visa").OK(t)
	for _, card := range []string{"card_nothing", other.Text("default_source")} {
		post("/v1/charges", charge+"&source="+card).Refused(t, 404, "invalid_request_error", "missing", "", "source")
	}
	s.Do(t, http.MethodDelete, path, "").OK(t)
	post(path+"/sources", "source=tok_visa").Refused(t, 404, "invalid_request_error", "resource_missing", "", "customer")
}
