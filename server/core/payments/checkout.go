package payments

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/payments/money"
	"crema/server/core/payments/provider"
	"crema/server/lambda"
)

// MaxQuantity is the most pieces of one product in a basket, maxLines the most products.
const (
	MaxQuantity = 99
	maxLines    = 20
)

// Doors know the basket, and how its payment stands, under these names; functions under lambda's.
type (
	Checkout     = lambda.Checkout
	CheckoutItem = lambda.CheckoutItem
)

// What a door does next: to the provider's page, or show why not. All else has the order's page.
const (
	AtCheckout = lambda.AtCheckout
	Declined   = lambda.Declined
)

// OpenCheckout prices a basket and opens the provider's page for it, for the actor of ctx. Money moves
// only on that page, and its id is stored before: what came of it can always be asked for. Before
// another page is opened for the same order key, the old one is closed; if it was paid in the meantime,
// the order is paid.
func (s *Service) OpenCheckout(ctx context.Context, c lambda.Checkout) (lambda.Payment, error) {
	c.Email = strings.TrimSpace(c.Email)
	if code := misformedBasket(c); code != "" {
		return refusal(code), nil
	}
	for range beginTries {
		b, err := s.beginCheckout(ctx, c)
		switch {
		case fault.Is(err, "payments.contended"):
			continue
		case err != nil:
			return lambda.Payment{}, err
		case b.refused != "":
			return refusal(b.refused), nil
		case b.fresh:
			return s.openSession(ctx, b.attempt)
		case b.replace && b.attempt.State == provider.RequiresAction:
			if _, err := s.closeSession(ctx, b.attempt); err != nil {
				return lambda.Payment{}, err
			}
			continue
		}
		p, err := s.resume(ctx, b.attempt)
		if err == nil && b.replace && p.Status == lambda.AtCheckout { // a page for the other basket has come to light
			continue
		}
		return p, err
	}
	return lambda.Payment{}, fault.New(fault.Unavailable, "payments.contended", "this order is being changed elsewhere; try again")
}

func misformedBasket(c lambda.Checkout) string {
	switch {
	case !orderKeyForm.MatchString(c.OrderKey):
		return "invalid_order_key"
	case c.Email != "" && !validEmail(c.Email):
		return "invalid_email"
	case len(c.Items) == 0 || len(c.Items) > maxLines:
		return "invalid_basket"
	}
	seen := map[string]bool{}
	for _, i := range c.Items {
		if i.Quantity < 1 || i.Quantity > MaxQuantity || seen[i.Product] {
			return "invalid_basket"
		}
		seen[i.Product] = true
	}
	return ""
}

// beginCheckout makes the order and its next attempt, or finds what is there, in one transaction.
func (s *Service) beginCheckout(ctx context.Context, c lambda.Checkout) (b begun, err error) {
	who := s.asker(ctx, c.Email)
	shut, err := s.shut(ctx)
	if err != nil {
		return b, err
	}
	err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) (err error) {
		key := "page:" + c.OrderKey
		o, last, err := lockOrder(ctx, tx, key)
		if err != nil {
			return err
		}
		basket, code, err := price(ctx, tx, c.Items)
		if err != nil {
			return err
		}
		if last != nil && !last.over() {
			b = begun{attempt: *last, replace: !slices.Equal(basket.Items, o.Items) && last.Kind == kindSession}
			return nil
		}
		var counted sold
		if err := tx.Get(ctx, &counted, declines, who.client, who.email); err != nil {
			return err
		}
		if b = (begun{refused: firstOf(code, shut, s.c.Limits.over(counted))}); b.refused != "" {
			return nil
		}
		basket.Key, basket.Email, basket.UserID = key, c.Email, acl.FromContext(ctx).UserID
		return s.insertCheckout(ctx, tx, &b, o, last, basket, who)
	})
	return b, err
}

// over says that another attempt may begin.
func (a attempt) over() bool { return a.State == provider.Failed || a.State == provider.Voided }

func firstOf(codes ...string) string {
	for _, c := range codes {
		if c != "" {
			return c
		}
	}
	return ""
}

// price makes an order of a basket at the catalogue's prices, or returns the code why it cannot be sold.
func price(ctx context.Context, q pg.Querier, lines []lambda.CheckoutItem) (o order, code string, err error) {
	ids := make([]string, len(lines))
	quantity := map[string]int64{}
	for i, l := range lines {
		ids[i], quantity[l.Product] = l.Product, l.Quantity
	}
	var products []Product
	if err := q.Select(ctx, &products, selectProductsByID, pg.Array(ids)); err != nil {
		return o, "", err
	}
	if len(products) != len(lines) {
		return o, "product_not_found", nil
	}
	for _, p := range products {
		if p.Currency != products[0].Currency {
			return o, "invalid_basket", nil
		}
		o.Items = append(o.Items, Item{ProductID: p.ID, Name: p.Name, Quantity: quantity[p.ID], UnitAmount: p.UnitAmount})
		o.Total += quantity[p.ID] * p.UnitAmount
	}
	o.Currency = products[0].Currency
	if (money.Money{Minor: o.Total, Currency: o.Currency}).Fault() != "" {
		return o, "invalid_basket", nil
	}
	return o, "", nil
}

func (s *Service) insertCheckout(ctx context.Context, tx *pg.Tx, b *begun, old *order, last *attempt, o order, who asker) error {
	number := 1
	if last != nil {
		number = last.Number + 1
	}
	if old == nil {
		o.ID = uuid.NewString()
		n, err := tx.Exec(ctx, insertOrder, o.ID, o.Key, o.UserID, o.Email, o.Currency, o.Total, string(s.c.Mode))
		if err == nil && n == 0 {
			err = fault.New(fault.Unavailable, "payments.contended", "another call came first; try again")
		}
		if err != nil {
			return err
		}
	} else {
		o.ID = old.ID
		if _, err := tx.Exec(ctx, reviseOrder, o.ID, o.Total, o.Currency, o.Email); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, deleteItems, o.ID); err != nil {
			return err
		}
	}
	for _, i := range o.Items {
		if _, err := tx.Exec(ctx, insertItem, o.ID, i.ProductID, i.Name, i.Quantity, i.UnitAmount); err != nil {
			return err
		}
	}
	a, err := s.newSession(o, number)
	if err != nil {
		return fault.From(err)
	}
	*b = begun{attempt: a, fresh: true}
	return s.insert(ctx, tx, a, who, nil, nil)
}

// newSession is the attempt number n to pay an order on the provider's page.
func (s *Service) newSession(o order, n int) (attempt, error) {
	id := uuid.NewString()
	link := s.c.PublicURL + s.link(o.ID)
	r := provider.SessionRequest{
		OrderID: o.ID, Currency: o.Currency, Amount: o.Total, Email: o.Email, Metadata: s.metadata(o.ID, id),
		SuccessURL: link + "&cs={CHECKOUT_SESSION_ID}",
		CancelURL:  s.c.PublicURL + s.cancelLink(o.ID),
		ExpiresAt:  time.Now().Add(provider.SessionLife).Unix(),
	}
	for _, i := range o.Items {
		r.Lines = append(r.Lines, provider.Line{Name: i.Name, Amount: i.UnitAmount, Quantity: i.Quantity})
	}
	request, err := json.Marshal(r)
	return attempt{
		ID: id, OrderID: o.ID, Number: n, Kind: kindSession, State: provider.Sent, Key: s.c.Install + "-cs-" + id,
		RequestJSON: request, Amount: o.Total, Currency: o.Currency, Tries: 1,
	}, err
}

// openSession asks the provider for the page of a fresh attempt.
func (s *Service) openSession(ctx context.Context, a attempt) (lambda.Payment, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendBudget)
	defer cancel()
	s.c.Failpoint("before-send")
	if _, err := s.refresh(ctx, a); err != nil {
		return lambda.Payment{}, err
	}
	return s.checkoutResult(ctx, a.ID)
}

// resume tells how the attempt of an equal basket stands: its page, as long as that can be paid.
func (s *Service) resume(ctx context.Context, a attempt) (lambda.Payment, error) {
	if a.Kind == kindSession && !a.State.Final() {
		if _, err := s.refresh(ctx, a); err != nil {
			return lambda.Payment{}, err
		}
	}
	return s.checkoutResult(ctx, a.ID)
}

func (s *Service) checkoutResult(ctx context.Context, id string) (lambda.Payment, error) {
	p, err := s.result(ctx, id)
	if err != nil {
		return p, err
	}
	var a attempt
	if err := s.db.Get(ctx, &a, selectAttempt, id); err != nil {
		return p, err
	}
	if a.State == provider.RequiresAction {
		p.Status, p.URL, p.Code, p.Message = lambda.AtCheckout, a.URL, "", ""
	}
	return p, nil
}

// refresh brings a hosted attempt up to date with the provider. It is called by whoever hears of it: the
// shopper's return, a notice, the reconciler. It returns what was found.
func (s *Service) refresh(ctx context.Context, a attempt) (provider.Outcome, error) {
	if a.Mode != "" && a.Mode != string(s.c.Mode) { // this provider knows nothing of it
		return provider.Outcome{State: a.State, Ambiguous: true}, nil
	}
	o, err := s.advanceSession(ctx, a)
	if err != nil {
		return o, err
	}
	_, err = s.settle(ctx, a, o, s.later(a, o))
	return o, err
}

// advanceSession opens the provider's page or asks what became of it.
func (s *Service) advanceSession(ctx context.Context, a attempt) (provider.Outcome, error) {
	var r provider.SessionRequest
	if err := a.request(&r); err != nil {
		return provider.Outcome{}, err
	}
	if a.ProviderID == "" {
		if a.age() >= keyKept { // a page that was opened has long been closed
			return provider.Outcome{State: provider.Voided, Cause: "the checkout was never shown"}, nil
		}
		o := s.provider.OpenSession(ctx, a.Key, r) // moves no money, so it may be repeated
		s.breaker.Saw(o)
		return o, nil
	}
	ask := s.provider.Session
	if a.age() > provider.SessionLife+time.Minute {
		ask = s.provider.ExpireSession
	}
	o, err := ask(ctx, a.ProviderID, r)
	if err != nil { // nothing is known better than before
		return provider.Outcome{State: a.State, Cause: "the provider does not answer", URL: a.URL, Ambiguous: true}, nil
	}
	return o, nil
}

// closeSession closes the provider's page of an attempt and returns how it ended.
func (s *Service) closeSession(ctx context.Context, a attempt) (provider.State, error) {
	var r provider.SessionRequest
	if err := a.request(&r); err != nil {
		return a.State, err
	}
	o, err := s.provider.ExpireSession(ctx, a.ProviderID, r)
	if err != nil {
		return a.State, fault.Wrap(err, fault.Unavailable, "payments.unreachable", "the payment provider does not answer; try again in a moment")
	}
	_, err = s.settle(ctx, a, o, s.later(a, o))
	return o.State, err
}

// sessionLater says when an open page is asked about although nobody told anything.
func (s *Service) sessionLater(a attempt) time.Duration {
	if left := provider.SessionLife + time.Minute - a.age(); left > 0 && left < 5*time.Minute {
		return left
	}
	if a.age() < 10*time.Minute {
		return time.Minute
	}
	return 5 * time.Minute
}
