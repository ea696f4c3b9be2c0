package payments

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/mail"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/payments/money"
	"crema/server/core/payments/provider"
	"crema/server/core/payments/seal"
	"crema/server/core/payments/words"
	"crema/server/lambda"
)

var (
	tokenForm     = regexp.MustCompile(`^tok_[A-Za-z0-9_]{1,64}$`)
	singleUse     = regexp.MustCompile(`^tok_1[A-Za-z0-9]{20,}$`)
	orderKeyForm  = regexp.MustCompile(`^[A-Za-z0-9._:-]{8,128}$`)
	addressDomain = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
)

// PayWithToken sells one piece of a product for a card token, for the actor of ctx. The price is the
// catalogue's. Equal order keys, and without them equal single-use tokens, join one order: whoever
// repeats the call gets the state of the running or finished attempt and no second charge. A new
// attempt needs a final failure and another token. When it returns Paid, charge, order and
// payment_record are durable. Refusals are results; an error means that nothing was sent, or that
// Processing could not even be read back.
func (s *Service) PayWithToken(ctx context.Context, p lambda.TokenPayment) (lambda.Payment, error) {
	p.Email = strings.TrimSpace(p.Email)
	if code := s.misformed(p); code != "" {
		return refusal(code), nil
	}
	b, err := s.begin(ctx, p)
	switch {
	case err != nil:
		return lambda.Payment{}, err
	case b.refused != "":
		return refusal(b.refused), nil
	case b.fresh:
		return s.carryOut(ctx, b.attempt, p.Token)
	case s.claim(ctx, b.attempt, p.Token):
		return s.takeOver(ctx, b.attempt.ID)
	}
	return s.await(ctx, b.attempt)
}

// misformed returns the code of what cannot be right by its form alone, "" when all can.
func (s *Service) misformed(p lambda.TokenPayment) string {
	switch {
	case !s.c.TokenPath:
		return "token_path_off"
	case !tokenForm.MatchString(p.Token):
		return "invalid_token"
	case p.OrderKey != "" && !orderKeyForm.MatchString(p.OrderKey):
		return "invalid_order_key"
	case !validEmail(p.Email):
		return "invalid_email"
	}
	return ""
}

func validEmail(email string) bool {
	at := strings.LastIndex(email, "@")
	address, err := mail.ParseAddress(email)
	return err == nil && address.Address == email && len(email) <= 254 && addressDomain.MatchString(email[at+1:])
}

// orderKey names the purchase. A single-use token is a natural name: a double click sends it twice.
func orderKey(p lambda.TokenPayment) string {
	switch {
	case p.OrderKey != "":
		return "page:" + p.OrderKey
	case singleUse.MatchString(p.Token):
		sum := sha256.Sum256([]byte(p.Token))
		return "token:" + hex.EncodeToString(sum[:])
	}
	return "call:" + uuid.NewString()
}

// begun is what begin found or made.
type begun struct {
	attempt attempt
	fresh   bool   // made now, leased to us, about to be sent
	replace bool   // a checkout for another basket, to be closed before it can be paid
	refused string // code; nothing was made
}

// beginTries bounds how often begin looks again because somebody else was quicker.
const beginTries = 4

// begin makes the order and its next attempt, or joins what is there. A new order, which is the rule,
// costs one statement.
func (s *Service) begin(ctx context.Context, p lambda.TokenPayment) (b begun, err error) {
	key, who := orderKey(p), s.asker(ctx, p.Email)
	shut, err := s.shut(ctx)
	for try := 1; err == nil; try++ {
		var counted sold
		if shut == "" {
			if b, counted, err = s.sell(ctx, p, key, who); err != nil || b.fresh {
				return b, err
			}
		}
		err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) (err error) {
			b, err = s.join(ctx, tx, p, key, who, cmp.Or(shut, s.c.Limits.over(counted)))
			return err
		})
		if !fault.Is(err, "payments.contended") || try == beginTries {
			return b, err
		}
		_, err = s.catalog.load(ctx) // it may know an old price, or not have been read yet
	}
	return b, err
}

// shut returns the code why nobody may begin a payment now, "" when all may.
func (s *Service) shut(ctx context.Context) (string, error) {
	if s.breaker.Open() {
		return "payments_paused", nil
	}
	closed, err := s.closed(ctx)
	if closed {
		return "payments_paused", err
	}
	return "", err
}

// sell makes order and attempt in one statement. Nothing is made when the product is not known or not
// sold at this price, the key is taken, or a limit is passed.
func (s *Service) sell(ctx context.Context, p lambda.TokenPayment, key string, who asker) (begun, sold, error) {
	var counted sold
	product, ok := s.catalog.named(p.Product)
	if !ok || p.Price != nil && *p.Price != product.UnitAmount {
		return begun{}, counted, nil
	}
	o := order{
		ID: uuid.NewString(), Email: p.Email, Currency: product.Currency, Total: product.UnitAmount,
		Items: []Item{{Name: product.Name, Quantity: 1}},
	}
	a, err := s.newCharge(o, 1)
	if err != nil {
		return begun{}, counted, err
	}
	actor := acl.FromContext(ctx)
	err = s.db.Get(ctx, &counted, sell, who.client, who.email, product.ID, product.Name, product.UnitAmount, product.Currency,
		o.ID, key, actor.UserID, o.Email, string(s.c.Mode), a.ID, a.Key, string(a.RequestJSON), seal.Hash(p.Token),
		s.sealer.Seal(p.Token, a.ID), lease.Seconds(), s.owner, by(actor), s.c.Limits.DeclinesPerAddress, s.c.Limits.DeclinesPerEmail)
	s.c.Failpoint("after-begin")
	return begun{attempt: a, fresh: counted.Made == 1}, counted, err
}

// newCharge is the attempt number n to pay an order with a card token.
func (s *Service) newCharge(o order, n int) (attempt, error) {
	id := uuid.NewString()
	request, err := json.Marshal(provider.ChargeRequest{
		Amount: o.Total, Currency: o.Currency, ReceiptEmail: o.Email, Group: id,
		Description: "Charging " + money.Money{Minor: o.Total, Currency: o.Currency}.String() + " for " + o.Items[0].Name,
		Metadata:    s.metadata(o.ID, id),
	})
	return attempt{
		ID: id, OrderID: o.ID, Number: n, Kind: kindCharge, State: provider.Sent, Key: s.c.Install + "-pay-" + id,
		RequestJSON: request, Amount: o.Total, Currency: o.Currency, Tries: 1,
	}, err
}

func (s *Service) metadata(orderID, paymentID string) map[string]string {
	return map[string]string{"order_id": orderID, "payment_id": paymentID, "install": s.c.Install}
}

// join finds the order and says what becomes of the call: it joins the last attempt, is refused, or
// makes another attempt. shut is the code why no new attempt may begin.
func (s *Service) join(ctx context.Context, tx *pg.Tx, p lambda.TokenPayment, key string, who asker, shut string) (begun, error) {
	o, last, err := lockOrder(ctx, tx, key)
	if err != nil {
		return begun{}, err
	}
	switch {
	case o != nil && !o.isFor(p):
		return begun{refused: "order_conflict"}, nil
	case last != nil && last.joins(p.Token):
		return begun{attempt: *last}, nil
	case shut != "":
		return begun{refused: shut}, nil
	case last != nil && last.Number >= s.c.Limits.AttemptsPerOrder:
		return begun{refused: "too_many_attempts"}, nil
	}
	var product Product
	err = tx.Get(ctx, &product, selectProductNamed, p.Product)
	switch {
	case fault.Is(err, "pg.no_rows"):
		return begun{refused: "product_not_found"}, nil
	case err != nil:
		return begun{}, err
	case product.price().Fault() != "":
		return begun{refused: "product_not_found"}, nil
	case p.Price != nil && *p.Price != product.UnitAmount, o != nil && o.Total != product.UnitAmount:
		return begun{refused: "price_changed"}, nil
	case o == nil: // somebody else was quicker, or the catalogue that we remember is not the present one
		return begun{}, fault.New(fault.Unavailable, "payments.contended", "another call came first; try again")
	}
	return s.again(ctx, tx, *o, last, p.Token, who)
}

// joins says that a call with this token asks about the attempt instead of starting a new one. Money
// may still move, or has moved, or this very token was refused already.
func (a attempt) joins(token string) bool {
	return a.State != provider.Failed && a.State != provider.Voided || bytes.Equal(a.TokenHash, seal.Hash(token))
}

// isFor says that the order is the same purchase as p asks for.
func (o order) isFor(p lambda.TokenPayment) bool {
	return strings.EqualFold(o.Email, p.Email) && len(o.Items) == 1 && o.Items[0].Quantity == 1 && o.Items[0].Name == p.Product
}

func lockOrder(ctx context.Context, tx *pg.Tx, key string) (*order, *attempt, error) {
	var o order
	if err := tx.Get(ctx, &o, lockOrderByKey, key); err != nil {
		if fault.Is(err, "pg.no_rows") {
			err = nil
		}
		return nil, nil, err
	}
	if err := tx.Select(ctx, &o.Items, selectItems, o.ID); err != nil {
		return nil, nil, err
	}
	var a attempt
	err := tx.Get(ctx, &a, selectLastAttempt, o.ID)
	if fault.Is(err, "pg.no_rows") {
		return &o, nil, nil
	}
	return &o, &a, err
}

// again makes the next attempt of an order whose last one has failed for good.
func (s *Service) again(ctx context.Context, tx *pg.Tx, o order, last *attempt, token string, who asker) (begun, error) {
	n := 1
	if last != nil {
		n = last.Number + 1
	}
	a, err := s.newCharge(o, n)
	if err != nil {
		return begun{}, fault.From(err)
	}
	err = s.insert(ctx, tx, a, who, seal.Hash(token), s.sealer.Seal(token, a.ID))
	return begun{attempt: a, fresh: true}, err
}

func (s *Service) insert(ctx context.Context, tx *pg.Tx, a attempt, who asker, hash, sealed []byte) error {
	if _, err := tx.Exec(ctx, insertAttempt, a.ID, a.OrderID, a.Number, string(s.c.Mode), a.Kind, a.Key, string(a.RequestJSON),
		hash, sealed, a.Amount, a.Currency, lease.Seconds(), s.owner, who.client, who.email); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, insertSent, a.ID, by(acl.FromContext(ctx)))
	return err
}

// by names who asked, for the trail.
func by(a acl.Actor) string {
	if a.UserID != "" {
		return "user:" + a.UserID
	}
	return "shopper"
}

// claim takes over an attempt that a dead server left, when the shopper came back with its token.
func (s *Service) claim(ctx context.Context, a attempt, token string) bool {
	if a.State.Final() || a.Kind != kindCharge || !bytes.Equal(a.TokenHash, seal.Hash(token)) {
		return false
	}
	n, err := s.db.Exec(ctx, claimAttempt, a.ID, s.owner, lease.Seconds(), string(s.c.Mode))
	return err == nil && n == 1
}

// carryOut sends a fresh attempt in the background, where a closed browser tab cannot stop it, and waits
// a while for it to end.
func (s *Service) carryOut(ctx context.Context, a attempt, token string) (lambda.Payment, error) {
	settled := make(chan lambda.Payment, 1)
	s.work.Go(func() {
		defer close(settled)
		if p, ok := s.sendFresh(context.WithoutCancel(ctx), a, token); ok {
			settled <- p
		}
	})
	return s.waitFor(ctx, settled, a.ID)
}

// takeOver is carryOut for an attempt that was sent before.
func (s *Service) takeOver(ctx context.Context, id string) (lambda.Payment, error) {
	settled := make(chan lambda.Payment, 1)
	s.work.Go(func() {
		defer close(settled)
		s.drive(context.WithoutCancel(ctx), id)
	})
	return s.waitFor(ctx, settled, id)
}

func (s *Service) waitFor(ctx context.Context, settled <-chan lambda.Payment, id string) (lambda.Payment, error) {
	t := time.NewTimer(s.patience)
	defer t.Stop()
	select {
	case p, ok := <-settled:
		if ok {
			return p, nil
		}
	case <-t.C:
	case <-ctx.Done():
	}
	return s.result(context.WithoutCancel(ctx), id)
}

// await watches an attempt that somebody else works on.
func (s *Service) await(ctx context.Context, a attempt) (lambda.Payment, error) {
	deadline := time.Now().Add(s.patience)
	for wait := 20 * time.Millisecond; !a.State.Final() && a.State != provider.RequiresAction; wait = min(2*wait, 500*time.Millisecond) {
		if time.Now().After(deadline) || !pause(ctx, wait) {
			break
		}
		if err := s.db.Get(ctx, &a, selectAttempt, a.ID); err != nil {
			break
		}
	}
	return s.result(context.WithoutCancel(ctx), a.ID)
}

func refusal(code string) lambda.Payment {
	t := words.Of(code)
	return lambda.Payment{Status: lambda.Declined, Code: code, Message: t.Message, Retryable: t.Retryable}
}
