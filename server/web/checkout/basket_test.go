package checkout_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

func (s *shop) post(form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/orders/new", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func TestBasket_FormGoesToTheCheckout(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	w := s.get("/orders/new")
	page := w.Body.String()
	key := regexp.MustCompile(`name="order_key" value="([0-9a-f-]{36})"`).FindStringSubmatch(page)
	if w.Code != 200 || key == nil || !strings.Contains(page, `name="bags-kenya-aa"`) || !strings.Contains(text(page), "Kenya AA") || strings.Contains(page, "<script") {
		t.Fatalf("%d %s", w.Code, page)
	}
	if other := s.get("/orders/new").Body.String(); strings.Contains(other, key[1]) {
		t.Error("two visitors get the same order key")
	}
	form := url.Values{"order_key": {key[1]}, "bags-kenya-aa": {"2"}, "bags-colombia": {"0"}, "bags-ethiopia": {""}, "email": {"ada@example.com"}}
	first, second := s.post(form), s.post(form)
	if to := first.Header().Get("Location"); first.Code != 303 || !strings.Contains(to, "/pay/") || second.Header().Get("Location") != to {
		t.Errorf("%d to %q, then to %q", first.Code, to, second.Header().Get("Location"))
	}
	if n := s.count(`SELECT count(*) FROM app._payment p JOIN app._order o ON o.id = p.order_id WHERE o.amount_total = 2000 AND p.client_hash IS NOT NULL`); n != 1 {
		t.Errorf("%d attempts of a known client, want 1", n)
	}
	s.exec(`UPDATE app._payment SET state = 'succeeded', charge_id = 'ch_1'`)
	s.exec(`UPDATE app._order SET status = 'paid'`)
	s.exec(`INSERT INTO app.payment_record (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by, receipt_email, product,
		amount, amount_minor, currency, charge_id, order_id, status) SELECT p.id::text, '', '_service', '[]', now(), '_service', now(), '_service', 'ada@example.com',
		'x', 20, 2000, 'usd', 'ch_1', p.order_id::text, 'succeeded' FROM app._payment p`)
	if again := s.post(form); again.Code != 303 || !strings.HasPrefix(again.Header().Get("Location"), "/orders/") {
		t.Errorf("a paid order: %d %v", again.Code, again.Header())
	}
}

func TestBasket_RefusalsKeepWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	key := "a-key-of-the-test"
	for name, c := range map[string]struct {
		form url.Values
		says string
	}{
		"nothing":     {url.Values{"order_key": {key}}, "Choose at least one bag"},
		"words":       {url.Values{"order_key": {key}, "bags-kenya-aa": {"many"}}, "Choose at least one bag"},
		"too many":    {url.Values{"order_key": {key}, "bags-kenya-aa": {"100"}}, "at most 99"},
		"negative":    {url.Values{"order_key": {key}, "bags-kenya-aa": {"-1"}, "bags-colombia": {"1"}}, "Choose at least one bag"},
		"unknown":     {url.Values{"order_key": {key}, "bags-tea": {"1"}}, "You have not been charged"},
		"e-mail":      {url.Values{"order_key": {key}, "bags-kenya-aa": {"1"}, "email": {"<b>nobody"}}, "e-mail address does not look right"},
		"without key": {url.Values{"bags-kenya-aa": {"1"}}, "You have not been charged"},
	} {
		w := s.post(c.form)
		if w.Code != 422 || !strings.Contains(text(w.Body.String()), c.says) || !strings.Contains(w.Body.String(), `role="alert"`) || strings.Contains(w.Body.String(), "<b>") {
			t.Errorf("%s: %d %s", name, w.Code, text(w.Body.String()))
		}
		if typed := c.form.Get("email"); typed != "" && !strings.Contains(w.Body.String(), "&lt;b&gt;nobody") {
			t.Errorf("%s: what was typed is lost", name)
		}
	}
	if w := s.do("POST", "/orders/new", "%zz"); w.Code != 400 {
		t.Errorf("an unreadable form: %d", w.Code)
	}
	if w := s.do("POST", "/orders/new", strings.Repeat("x", 100<<10)); w.Code != 413 {
		t.Errorf("a large form: %d", w.Code)
	}
	if n := s.count(`SELECT count(*) FROM app._order`); n != 0 {
		t.Errorf("%d orders were made", n)
	}
}
