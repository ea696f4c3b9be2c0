package payments

import (
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
	"crema/server/lambda"
)

var (
	tokenForm     = regexp.MustCompile(`^tok_[A-Za-z0-9_]{1,64}$`)
	singleUse     = regexp.MustCompile(`^tok_1[A-Za-z0-9]{20,}$`)
	orderKeyForm  = regexp.MustCompile(`^[A-Za-z0-9._:-]{8,128}$`)
	addressDomain = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
)

// serviceOwner owns the payment_record of a shopper who is not logged in: only operators read it.
const serviceOwner = "_service"

// PayWithToken sells one piece of a product for a card token, for the actor of ctx. The price is the
// catalogue's. Equal order keys, and without them equal single-use tokens, join one order: whoever
// repeats the call gets the state of the running or finished attempt and no second charge. A new
// attempt needs a final failure and another token. When it returns Paid, charge, order and
// payment_record are durable. Refusals are results; an error means that nothing was sent, or that
// Processing could not even be read back.
func (s *Service) PayWithToken(ctx context.Context, p lambda.TokenPayment) (lambda.Payment, error) {
	p.Email = strings.TrimSpace(p.Email)
	if code := misformed(p); code != "" {
		return refusal(code), nil
	}
	b, err := s.begin(ctx, p)
	if err != nil || b.refused != "" {
		return refusal(b.refused), err
	}
	if b.fresh || s.claim(ctx, b.attempt, p.Token) {
		return s.result(ctx, s.carryOut(ctx, b.attempt.ID))
	}
	return s.result(ctx, s.await(ctx, b.attempt))
}

// misformed returns the code of what cannot be right by its form alone, "" when all can.
func misformed(p lambda.TokenPayment) string {
	at := strings.LastIndex(p.Email, "@")
	address, err := mail.ParseAddress(p.Email)
	switch {
	case !tokenForm.MatchString(p.Token):
		return "invalid_token"
	case p.OrderKey != "" && !orderKeyForm.MatchString(p.OrderKey):
		return "invalid_order_key"
	case err != nil || address.Address != p.Email || len(p.Email) > 254 || !addressDomain.MatchString(p.Email[at+1:]):
		return "invalid_email"
	}
	return ""
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
	fresh   bool   // made now, leased to us, not sent
	refused string // code; nothing was made
}

// begin makes the order and its next attempt, or joins what is there, in one transaction.
func (s *Service) begin(ctx context.Context, p lambda.TokenPayment) (begun, error) {
	var b begun
	key := orderKey(p)
	err := s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error {
		b = begun{}
		product, err := selectProductNamed(ctx, tx, p.Product)
		if err != nil {
			return err
		}
		o, last, err := lockOrder(ctx, tx, key)
		if err != nil {
			return err
		}
		if o != nil && !o.isFor(p) {
			b.refused = "order_conflict"
			return nil
		}
		if last != nil && joins(*last, p.Token) {
			b.attempt = *last
			return nil
		}
		if b.refused = notForSale(product, o, p); b.refused != "" {
			return nil
		}
		if o == nil {
			return s.beginOrder(ctx, tx, &b, key, product, p)
		}
		return s.insertAttempt(ctx, tx, &b, *o, last, p.Token)
	})
	return b, err
}

// joins says that a call with this token asks about the attempt instead of starting a new one. Money
// may still move, or has moved, or this very token was refused already.
func joins(a attempt, token string) bool {
	return a.State != failed && a.State != voided || string(a.TokenHash) == string(hashToken(token))
}

// isFor says that the order is the same purchase as p asks for.
func (o order) isFor(p lambda.TokenPayment) bool {
	return strings.EqualFold(o.Email, p.Email) && o.Product == p.Product
}

func notForSale(product *Product, o *order, p lambda.TokenPayment) string {
	switch {
	case product == nil:
		return "product_not_found"
	case p.Price != nil && *p.Price != product.UnitAmount, o != nil && o.Total != product.UnitAmount:
		return "price_changed"
	}
	return ""
}

func lockOrder(ctx context.Context, tx *pg.Tx, key string) (*order, *attempt, error) {
	var o order
	if err := tx.Get(ctx, &o, lockOrderByKey, key); err != nil {
		if fault.Is(err, "pg.no_rows") {
			err = nil
		}
		return nil, nil, err
	}
	var a attempt
	err := tx.Get(ctx, &a, selectLastAttempt, o.ID)
	if fault.Is(err, "pg.no_rows") {
		return &o, nil, nil
	}
	return &o, &a, err
}

// beginOrder makes an order and its first attempt. When another call makes the same order at this
// moment, it waits for that one and joins it.
func (s *Service) beginOrder(ctx context.Context, tx *pg.Tx, b *begun, key string, product *Product, p lambda.TokenPayment) error {
	o := order{
		ID: uuid.NewString(), Key: key, Email: p.Email, Currency: product.Currency, Total: product.UnitAmount,
		ProductID: product.ID, Product: product.Name, UserID: acl.FromContext(ctx).UserID,
	}
	n, err := tx.Exec(ctx, insertOrder, o.ID, key, o.UserID, o.Email, o.Currency, o.Total, string(s.c.Mode))
	if err != nil {
		return err
	}
	if n == 0 {
		return s.joinOrder(ctx, tx, b, key, p)
	}
	if _, err := tx.Exec(ctx, insertItem, o.ID, o.ProductID, o.Product, o.Total); err != nil {
		return err
	}
	return s.insertAttempt(ctx, tx, b, o, nil, p.Token)
}

func (s *Service) joinOrder(ctx context.Context, tx *pg.Tx, b *begun, key string, p lambda.TokenPayment) error {
	o, last, err := lockOrder(ctx, tx, key)
	switch {
	case err != nil:
		return err
	case o == nil || last == nil:
		return fault.New(fault.Unavailable, "pg.conflict", "another call came first; try again")
	case !o.isFor(p):
		b.refused = "order_conflict"
	case joins(*last, p.Token):
		b.attempt = *last
	default:
		return s.insertAttempt(ctx, tx, b, *o, last, p.Token)
	}
	return nil
}

func (s *Service) insertAttempt(ctx context.Context, tx *pg.Tx, b *begun, o order, last *attempt, token string) error {
	id, number := uuid.NewString(), 1
	if last != nil {
		number = last.Number + 1
	}
	request, err := json.Marshal(chargeRequest{
		Amount: o.Total, Currency: o.Currency, ReceiptEmail: o.Email, Group: id,
		Description: "Charging " + Money{o.Total, o.Currency}.String() + " for " + o.Product,
		Metadata:    map[string]string{"order_id": o.ID, "payment_id": id, "install": s.c.Install},
	})
	if err != nil {
		return fault.From(err)
	}
	if _, err := tx.Exec(ctx, insertAttempt, id, o.ID, number, string(s.c.Mode), s.c.Install+"-pay-"+id, string(request),
		hashToken(token), s.sealer.seal(token, id), o.Total, o.Currency, lease.Seconds(), s.owner); err != nil {
		return err
	}
	b.attempt, b.fresh = attempt{ID: id, OrderID: o.ID}, true
	_, err = tx.Exec(ctx, insertTransition, id, "", string(pending), "asked to pay", s.actor(ctx))
	return err
}

func (s *Service) actor(ctx context.Context) string {
	if id := acl.FromContext(ctx).UserID; id != "" {
		return "user:" + id
	}
	return "shopper"
}

// claim takes over an attempt that a dead server left, when the shopper came back with its token.
func (s *Service) claim(ctx context.Context, a attempt, token string) bool {
	if a.State.final() || string(a.TokenHash) != string(hashToken(token)) {
		return false
	}
	n, err := s.db.Exec(ctx, claimAttempt, a.ID, s.owner, lease.Seconds())
	return err == nil && n == 1
}

// carryOut works on an attempt in the background, where a closed browser tab cannot stop it, and waits
// a while for it to end.
func (s *Service) carryOut(ctx context.Context, id string) string {
	done := make(chan struct{})
	s.work.Go(func() {
		defer close(done)
		s.drive(context.WithoutCancel(ctx), id, true)
	})
	t := time.NewTimer(s.patience)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
	return id
}

// await watches an attempt that somebody else works on.
func (s *Service) await(ctx context.Context, a attempt) string {
	deadline := time.NewTimer(s.patience)
	defer deadline.Stop()
	for wait := 20 * time.Millisecond; !a.State.final(); wait = min(2*wait, 500*time.Millisecond) {
		t := time.NewTimer(wait)
		select {
		case <-deadline.C:
			t.Stop()
			return a.ID
		case <-ctx.Done():
			t.Stop()
			return a.ID
		case <-t.C:
		}
		if err := s.db.Get(ctx, &a, selectAttempt, a.ID); err != nil {
			return a.ID
		}
	}
	return a.ID
}

func refusal(code string) lambda.Payment {
	t := texts[code]
	return lambda.Payment{Status: lambda.Declined, Code: code, Message: t.message, Retryable: t.retryable}
}

// result tells how an attempt stands now.
func (s *Service) result(ctx context.Context, id string) (lambda.Payment, error) {
	var a attempt
	if err := s.db.Get(ctx, &a, selectAttempt, id); err != nil {
		return lambda.Payment{}, err
	}
	switch a.State {
	case succeeded:
		var r record
		if err := s.db.Get(ctx, &r, selectRecord, id); err != nil {
			return lambda.Payment{}, err
		}
		return lambda.Payment{Status: lambda.Paid, OrderID: a.OrderID, Record: r.forFunctions()}, nil
	case failed, voided:
		code := a.FailureCode
		if code == "" {
			code = "voided"
		}
		p := refusal(code)
		p.OrderID = a.OrderID
		return p, nil
	}
	p := refusal("processing")
	p.Status, p.OrderID = lambda.Processing, a.OrderID
	return p, nil
}

func (r record) forFunctions() *lambda.Record {
	return &lambda.Record{
		ID: "payment_record/" + r.ID, Owner: r.Owner, CreatedAt: r.CreatedAt, UpdatedAt: r.CreatedAt,
		Access: []lambda.AccessEntry{}, Fields: map[string]any{
			"receipt_email": r.Email, "product": r.Product, "amount": r.Amount, "amount_minor": r.AmountMinor,
			"currency": r.Currency, "charge_id": r.ChargeID, "order_id": r.OrderID, "status": r.Status,
		},
	}
}
