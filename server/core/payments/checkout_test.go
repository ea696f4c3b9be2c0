package payments

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/core/payments/provider"
	"crema/server/lambda"
)

func basket(key string, kenya, colombia int64) lambda.Checkout {
	c := lambda.Checkout{OrderKey: key, Email: "ada@example.com"}
	for id, n := range map[string]int64{"kenya-aa": kenya, "colombia": colombia} {
		if n > 0 {
			c.Items = append(c.Items, lambda.CheckoutItem{Product: id, Quantity: n})
		}
	}
	return c
}

func (s *shop) open(c lambda.Checkout) lambda.Payment {
	s.t.Helper()
	p, err := s.OpenCheckout(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return p
}

// atPage opens a checkout and returns its session.
func (s *shop) atPage(c lambda.Checkout) (lambda.Payment, attempt) {
	s.t.Helper()
	p := s.open(c)
	if p.Status != lambda.AtCheckout || p.URL == "" {
		s.t.Fatalf("got %+v", p)
	}
	return p, s.last(p.OrderID)
}

func (s *shop) last(orderID string) attempt {
	s.t.Helper()
	var a attempt
	if err := s.db.Get(s.t.Context(), &a, selectLastAttempt, orderID); err != nil {
		s.t.Fatal(err)
	}
	return a
}

// payAtPage pays on the provider's page, as the shopper does there.
func (s *shop) payAtPage(a attempt, method string) map[string]any {
	s.t.Helper()
	return s.ask(http.MethodPost, "/v1/payment_pages/"+a.ProviderID+"/confirm", "sk_test_shopshop", url.Values{"payment_method": {method}}, nil)
}

// comeBack is the shopper's return from the provider's page.
func (s *shop) comeBack(p lambda.Payment) View {
	s.t.Helper()
	v, err := s.Order(s.t.Context(), p.OrderID, s.viewToken(p.OrderID))
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

func TestCheckout_PaidOnReturn(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, a := s.atPage(basket("page-hosted-paid", 2, 1))
	if v := s.comeBack(p); v.Status != StatusOpen || v.CheckoutURL != p.URL {
		t.Errorf("before paying: %+v", v)
	}
	s.payAtPage(a, "pm_card_visa")
	v := s.comeBack(p)
	if v.Status != StatusPaid || v.Total.Minor != 3000 || v.Card != "visa" || v.Last4 != "4242" || len(v.Items) != 2 || !strings.HasPrefix(v.Reference, "ch_") {
		t.Errorf("after paying: %+v", v)
	}
	s.wantBooks(1, 1)
	if got := s.open(basket("page-hosted-paid", 2, 1)); got.Status != lambda.Paid || got.Record.Fields["product"] != "Colombia, 2 x Kenya AA" {
		t.Errorf("asking again: %+v", got)
	}
	s.wantBooks(1, 1)
}

// Return, notice and reconciler all at once.
func TestCheckout_EverybodyWhoHearsOfItSettlesItOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, a := s.atPage(basket("page-hosted-race", 1, 0))
	s.payAtPage(a, "pm_card_visa")
	s.expire(a.ID, time.Minute)
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() { _, _ = s.Order(t.Context(), p.OrderID, s.viewToken(p.OrderID)) })
		all.Go(func() { s.reconcile(t.Context()) })
		all.Go(func() {
			if err := s.follow(t.Context(), event{Object: "checkout.session", ObjectID: a.ProviderID}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s.wantBooks(1, 1)
	if v := s.comeBack(p); v.Status != StatusPaid {
		t.Errorf("got %+v", v)
	}
}

func TestCheckout_TheReconcilerFindsWhatNobodyTold(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, a := s.atPage(basket("page-hosted-silent", 1, 0))
	s.payAtPage(a, "pm_card_visa")
	s.expire(a.ID, 2*time.Minute)
	newService(t, s.db, s.c.URL).reconcile(t.Context())
	s.wantBooks(1, 1)
}

func TestCheckout_TheSameBasketGivesTheSamePage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first, a := s.atPage(basket("page-hosted-same", 1, 1))
	second, b := s.atPage(basket("page-hosted-same", 1, 1))
	if first.URL != second.URL || a.ID != b.ID || first.OrderID != second.OrderID {
		t.Errorf("%+v and %+v", first, second)
	}
}

func TestCheckout_AnotherBasketClosesThePageBefore(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	first, a := s.atPage(basket("page-hosted-change", 1, 0))
	second, b := s.atPage(basket("page-hosted-change", 1, 2))
	if first.OrderID != second.OrderID || a.ProviderID == b.ProviderID {
		t.Fatalf("%+v and %+v", first, second)
	}
	if got := s.payAtPage(a, "pm_card_visa"); got["http_status"] == http.StatusOK {
		t.Errorf("the old page can still be paid: %v", got)
	}
	s.payAtPage(b, "pm_card_visa")
	if v := s.comeBack(second); v.Status != StatusPaid || v.Total.Minor != 3000 {
		t.Errorf("got %+v", v)
	}
	s.wantBooks(1, 1)
}

// The shopper paid on the old page just before the basket was changed in another tab.
func TestCheckout_AnOldPageThatWasPaidIsAdopted(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	_, a := s.atPage(basket("page-hosted-adopt", 1, 0))
	s.payAtPage(a, "pm_card_visa")
	if got := s.open(basket("page-hosted-adopt", 5, 5)); got.Status != lambda.Paid || got.Record.Fields["amount_minor"] != int64(1000) {
		t.Errorf("got %+v", got)
	}
	s.wantBooks(1, 1)
}

func TestCheckout_CancelClosesThePage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, a := s.atPage(basket("page-hosted-cancel", 1, 0))
	v, err := s.Cancel(t.Context(), p.OrderID, s.viewToken(p.OrderID))
	if err != nil || v.Status != StatusCancelled || !strings.Contains(v.Message, "not been charged") {
		t.Fatalf("%+v, %v", v, err)
	}
	if got := s.payAtPage(a, "pm_card_visa"); got["http_status"] == http.StatusOK {
		t.Error("the page can be paid after it was left")
	}
	again, b := s.atPage(basket("page-hosted-cancel", 1, 0))
	if again.OrderID != p.OrderID || b.Number != 2 {
		t.Errorf("starting again: %+v", again)
	}
	s.payAtPage(b, "pm_card_visa")
	if v, err = s.Cancel(t.Context(), p.OrderID, s.viewToken(p.OrderID)); err != nil || v.Status != StatusPaid {
		t.Errorf("leaving after paying: %+v, %v", v, err)
	}
	s.wantBooks(1, 1)
}

func TestCheckout_AnExpiredPageIsOver(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, a := s.atPage(basket("page-hosted-expiry", 1, 0))
	s.expire(a.ID, provider.SessionLife+2*time.Minute)
	s.reconcile(t.Context())
	if v := s.comeBack(p); v.Status != StatusFailed || !strings.Contains(v.Message, "not been charged") {
		t.Errorf("got %+v", v)
	}
	s.wantBooks(0, 0)
	if next := s.open(basket("page-hosted-expiry", 1, 0)); next.Status != lambda.AtCheckout {
		t.Errorf("another try: %+v", next)
	}
}

func TestCheckout_ARefusedCardLeavesThePageOpen(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, a := s.atPage(basket("page-hosted-decline", 1, 0))
	s.payAtPage(a, "pm_card_visa_chargeDeclined")
	if v := s.comeBack(p); v.Status != StatusOpen {
		t.Errorf("after a refused card: %+v", v)
	}
	s.payAtPage(a, "pm_card_visa")
	if v := s.comeBack(p); v.Status != StatusPaid {
		t.Errorf("after another card: %+v", v)
	}
	s.wantBooks(1, 1)
}

// The page was opened, our copy of its address was lost.
func TestCheckout_ALostReplyOpensNoSecondPage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.control("faults", map[string]any{"match": map[string]any{"method": "POST", "path": "/v1/checkout/sessions"}, "action": "drop_after", "times": 1})
	first := s.open(basket("page-hosted-lost", 1, 0))
	if first.Status != lambda.Processing {
		t.Fatalf("got %+v", first)
	}
	second, a := s.atPage(basket("page-hosted-lost", 1, 0))
	if second.OrderID != first.OrderID || a.Number != 1 {
		t.Errorf("got %+v", second)
	}
	list := s.ask(http.MethodGet, "/v1/checkout/sessions", "sk_test_shopshop", nil, nil)
	if n := len(list["data"].([]any)); n != 1 {
		t.Errorf("%d pages were opened", n)
	}
}

func TestCheckout_RefusesBasketsThatCannotBeSold(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	one := []lambda.CheckoutItem{{Product: "kenya-aa", Quantity: 1}}
	for name, c := range map[string]struct {
		checkout lambda.Checkout
		code     string
	}{
		"empty":         {lambda.Checkout{OrderKey: "page-bad-basket"}, "invalid_basket"},
		"none of it":    {lambda.Checkout{OrderKey: "page-bad-basket", Items: []lambda.CheckoutItem{{Product: "kenya-aa"}}}, "invalid_basket"},
		"less than one": {lambda.Checkout{OrderKey: "page-bad-basket", Items: []lambda.CheckoutItem{{Product: "kenya-aa", Quantity: -1}}}, "invalid_basket"},
		"too many":      {lambda.Checkout{OrderKey: "page-bad-basket", Items: []lambda.CheckoutItem{{Product: "kenya-aa", Quantity: 1 << 62}}}, "invalid_basket"},
		"twice":         {lambda.Checkout{OrderKey: "page-bad-basket", Items: append(one, one...)}, "invalid_basket"},
		"unknown":       {lambda.Checkout{OrderKey: "page-bad-basket", Items: []lambda.CheckoutItem{{Product: "tea", Quantity: 1}}}, "product_not_found"},
		"no key":        {lambda.Checkout{Items: one}, "invalid_order_key"},
		"bad e-mail":    {lambda.Checkout{OrderKey: "page-bad-basket", Items: one, Email: "ada"}, "invalid_email"},
	} {
		if got := s.open(c.checkout); got.Code != c.code || got.URL != "" {
			t.Errorf("%s: got %+v, want %s", name, got, c.code)
		}
	}
	if n := s.count(`SELECT count(*) FROM app._order`); n != 0 {
		t.Errorf("refused baskets left %d orders", n)
	}
}

func TestCheckout_ConcurrentCallsOpenOnePage(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if p, err := s.OpenCheckout(t.Context(), basket("page-hosted-many", 1, 0)); err != nil || p.Status == lambda.Declined {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
	all.Wait()
	if n := s.count(`SELECT count(*) FROM app._payment`); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

// The page says "nothing has been charged" only when the provider has just said so.
func TestOrder_IsNotCalledOpenOnAGuess(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, a := s.atPage(basket("page-guess", 1, 0))
	s.payAtPage(a, "pm_card_visa")
	s.control("faults", map[string]any{"match": map[string]any{"method": "GET", "path": "/v1/checkout/*"}, "action": "status", "status": 503, "times": 1})
	if v := s.comeBack(p); v.Status != StatusProcessing || !strings.Contains(v.Message, "Do not pay again") {
		t.Errorf("while the provider does not answer: %+v", v)
	}
	if v := s.comeBack(p); v.Status != StatusPaid {
		t.Errorf("afterwards: %+v", v)
	}
	s.wantBooks(1, 1)
}

func TestOrder_ItsLinkCannotBeGuessed(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, _ := s.atPage(basket("page-link", 1, 0))
	other, _ := s.atPage(basket("page-link-other", 1, 0))
	for name, token := range map[string]string{"none": "", "another order's": s.viewToken(other.OrderID), "cut": s.viewToken(p.OrderID)[:10]} {
		if _, err := s.Order(t.Context(), p.OrderID, token); !fault.Is(err, "payments.no_order") {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := s.Cancel(t.Context(), p.OrderID, token); !fault.Is(err, "payments.no_order") {
			t.Errorf("%s: cancel got %v", name, err)
		}
	}
	for _, id := range []string{"", "x", "00000000-0000-0000-0000-000000000000", "'; drop table _order"} {
		if _, err := s.Order(t.Context(), id, s.viewToken(id)); !fault.Is(err, "payments.no_order") {
			t.Errorf("order %q: got %v", id, err)
		}
	}
	if strings.Contains(p.StatusURL, "ada") || strings.Contains(p.StatusURL, "@") {
		t.Errorf("the link %s tells who it is for", p.StatusURL)
	}
}

// The reply to the first basket was lost; its page must not be shown for another one.
func TestCheckout_APageOfUnknownFateIsNotShownForAnotherBasket(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.control("faults", map[string]any{"match": map[string]any{"method": "POST", "path": "/v1/checkout/sessions"}, "action": "drop_after"})
	if p := s.open(basket("page-hosted-lost", 5, 0)); p.Status != lambda.Processing {
		t.Fatalf("got %+v", p)
	}
	if _, a := s.atPage(basket("page-hosted-lost", 0, 1)); a.Amount != 1000 {
		t.Errorf("the shopper chose 1000 and is sent to a page for %d", a.Amount)
	}
}

// Nobody may read "not charged" while a card payment of the same order is under way.
func TestOrder_CancelledBeforeIsProcessingWhileACardIsCharged(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	p, _ := s.atPage(basket("page-cancel-card", 1, 0))
	if _, err := s.Cancel(t.Context(), p.OrderID, s.viewToken(p.OrderID)); err != nil {
		t.Fatal(err)
	}
	s.leave(with(kenya("tok_visa"), "page-cancel-card"))
	if v := s.comeBack(p); v.Status != StatusProcessing {
		t.Errorf("the page says %s: %s", v.Status, v.Message)
	}
}

// A bank debit can fail days after the checkout was completed.
func TestCheckout_ASlowPaymentThatFailsEndsTheAttempt(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]provider.State{
		"processing": provider.Unknown, "requires_payment_method": provider.Failed, "canceled": provider.Failed,
	} {
		s := newShop(t)
		_, a := s.atPage(basket("page-hosted-slow", 1, 0))
		bank := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprintf(w, `{"id":"%s","status":"complete","payment_status":"unpaid","payment_intent":{"id":"pi_1","status":"%s"}}`, a.ProviderID, status)
		}))
		t.Cleanup(bank.Close)
		if err := newService(t, s.db, bank.URL).follow(t.Context(), event{Object: "checkout.session", ObjectID: a.ProviderID}); err != nil {
			t.Fatal(err)
		}
		if got := s.attempt(a.ID).State; got != want {
			t.Errorf("while the payment is %s the attempt is %s, want %s", status, got, want)
		}
	}
}
