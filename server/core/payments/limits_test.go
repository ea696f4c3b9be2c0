package payments

import (
	"context"
	"fmt"
	"testing"
	"time"

	"crema/server/core/acl"
	"crema/server/core/payments/provider"
	"crema/server/lambda"
)

func (s *shop) payFrom(address string, p lambda.TokenPayment) lambda.Payment {
	s.t.Helper()
	got, err := s.PayWithToken(acl.WithActor(s.t.Context(), acl.Actor{Address: address}), p)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func TestLimits_RefusedCardsOfOneAddressCloseItAndNobodyElse(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.c.Limits = Limits{DeclinesPerAddress: 3, DeclinesPerEmail: 100, AttemptsPerOrder: 10, RateWindow: time.Minute, RateAtLeast: 1000, RatePercent: 100}
	try := func(address, token string, n int) lambda.Payment {
		p := kenya(token)
		p.Email = fmt.Sprintf("shopper%d@example.com", n)
		return s.payFrom(address, p)
	}
	for n := range 20 { // many who pay behind one address are no bots
		if got := try("192.0.2.1", "tok_visa", n); got.Status != lambda.Paid {
			t.Fatalf("payment %d: %+v", n, got)
		}
	}
	for n := range 3 {
		if got := try("192.0.2.1", "tok_chargeDeclined", n); got.Code != "card_declined" {
			t.Fatalf("decline %d: %+v", n, got)
		}
	}
	if got := try("192.0.2.1", "tok_visa", 50); got.Code != "too_many_attempts" || got.Status != lambda.Declined {
		t.Errorf("after three refused cards: %+v", got)
	}
	if got := try("192.0.2.2", "tok_visa", 51); got.Status != lambda.Paid {
		t.Errorf("another address: %+v", got)
	}
	if got, err := s.OpenCheckout(acl.WithActor(t.Context(), acl.Actor{Address: "192.0.2.1"}),
		lambda.Checkout{Items: []lambda.CheckoutItem{{Product: "kenya-aa", Quantity: 1}}, OrderKey: "page-limited"}); err != nil || got.Code != "too_many_attempts" {
		t.Errorf("hosted checkout of that address: %+v, %v", got, err)
	}
}

func TestLimits_RefusedCardsOfOneEmailCloseIt(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.c.Limits.DeclinesPerEmail = 2
	for n := range 2 {
		s.payFrom(fmt.Sprintf("192.0.2.%d", n), kenya("tok_chargeDeclined"))
	}
	p := kenya("tok_visa")
	p.Email = "ADA@example.com" // capitals do not make another person
	if got := s.payFrom("192.0.2.9", p); got.Code != "too_many_attempts" {
		t.Errorf("got %+v", got)
	}
}

func TestLimits_AnOrderHasOnlySoManyAttempts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.c.Limits.AttemptsPerOrder = 3
	for range 3 {
		if got := s.pay(with(kenya(s.mint("4000000000000002")), "page-attempts")); got.Code != "card_declined" {
			t.Fatalf("got %+v", got)
		}
	}
	if got := s.pay(with(kenya(s.mint("4242424242424242")), "page-attempts")); got.Code != "too_many_attempts" {
		t.Errorf("got %+v", got)
	}
}

// A wave of refused cards closes new payments for everybody, tells the operator, and passes.
func TestLimits_AWaveOfRefusedCardsClosesTheShopForAWhile(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.c.Limits = Limits{DeclinesPerAddress: 100, DeclinesPerEmail: 100, AttemptsPerOrder: 10, RateWindow: time.Hour, RateAtLeast: 6, RatePercent: 70}
	paid := s.pay(with(kenya("tok_visa"), "page-before-the-wave"))
	for n := range 6 {
		p := kenya("tok_chargeDeclined")
		p.Email = fmt.Sprintf("bot%d@example.com", n)
		s.pay(p)
	}
	s.alarm.seen = time.Time{}
	if got := s.pay(kenya("tok_visa")); got.Code != "payments_paused" || !got.Retryable {
		t.Fatalf("got %+v", got)
	}
	if got := s.pay(with(kenya("tok_visa"), "page-before-the-wave")); got.Status != lambda.Paid || got.OrderID != paid.OrderID {
		t.Errorf("who has paid hears %+v", got)
	}
	if breaks, err := s.Breaks(t.Context()); err != nil || len(breaks) != 1 || breaks[0].Kind != "card_testing" {
		t.Errorf("the operator sees %+v, %v", breaks, err)
	}
	if _, err := s.db.Exec(t.Context(), `UPDATE app._payment SET created_at = now() - $1 * interval '1 second'`, 7200); err != nil {
		t.Fatal(err)
	}
	s.alarm.seen = time.Time{}
	if got := s.pay(kenya("tok_visa")); got.Status != lambda.Paid {
		t.Errorf("after the wave: %+v", got)
	}
}

// A price that the provider would refuse is a mistake in the catalogue, not something to find out by paying.
func TestCatalogue_SellsNothingTheProviderWouldRefuse(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	if _, err := s.db.Exec(t.Context(), `UPDATE app._product SET unit_amount = $1 WHERE id = 'kenya-aa'`, 49); err != nil {
		t.Fatal(err)
	}
	products, err := s.Products(t.Context())
	if err != nil || len(products) != 2 {
		t.Errorf("for sale: %+v, %v", products, err)
	}
	p := kenya("tok_visa")
	p.Price = nil
	if got := s.pay(p); got.Code != "product_not_found" {
		t.Errorf("got %+v", got)
	}
	s.wantBooks(0, 0)
}

// Servers share what is counted.
func TestLimits_CountOverAllServers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	other := newService(t, s.db, s.c.URL)
	s.c.Limits.DeclinesPerEmail, other.c.Limits.DeclinesPerEmail = 1, 1
	s.pay(kenya("tok_chargeDeclined"))
	if got, err := other.PayWithToken(context.Background(), kenya("tok_visa")); err != nil || got.Code != "too_many_attempts" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLimits_TheDatabaseHoldsNoAddress(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.payFrom("192.0.2.77", kenya("tok_visa"))
	if n := s.count(`SELECT count(*) FROM app._payment p WHERE p::text LIKE '%192.0.2.77%' OR p.client_hash IS NULL`); n != 0 {
		t.Error("the address is stored in clear, or not at all")
	}
}

// A provider that gives no clear answers closes new payments for a moment and touches no running one.
func TestBreaker_RefusesNewAttempts(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	for range 5 {
		s.breaker.Saw(provider.Outcome{State: provider.Unknown})
	}
	if got := s.pay(kenya("tok_visa")); got.Code != "payments_paused" {
		t.Errorf("got %+v", got)
	}
	s.wantBooks(0, 0)
}

// What is refused for our own fault says nothing about the shopper's card.
func TestLimits_RefusalsOfOurOwnDoNotCount(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.c.Limits.DeclinesPerEmail = 2
	for range 3 {
		if got := s.pay(kenya("tok_1AAAAAAAAAAAAAAAAAAAAAAA")); got.Code != "token_already_used" && got.Code != "too_many_attempts" {
			t.Fatalf("got %+v", got)
		}
		s.pay(with(kenya("tok_1BBBBBBBBBBBBBBBBBBBBBBB"), "page-own-fault"))
	}
	if got := s.pay(kenya("tok_visa")); got.Status != lambda.Paid {
		t.Errorf("got %+v", got)
	}
}
