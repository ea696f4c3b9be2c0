package payments

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"time"

	"github.com/google/uuid"

	"crema/server/base/fault"
	"crema/server/core/payments/money"
	"crema/server/core/payments/provider"
	"crema/server/core/payments/words"
)

// View is an order as its page and the operator see it.
type View struct {
	ID          string
	Status      Status
	Mode        Mode
	Items       []Item
	Total       money.Money
	Refunded    money.Money
	CreatedAt   time.Time
	PaidAt      *time.Time // nil: not paid
	Refunds     []RefundLine
	Card        string // "visa", "" when it is not known
	Last4       string
	Reference   string // the charge
	Message     string // for the shopper, when the order is not paid
	CheckoutURL string // the provider's page, while it is open
	Link        string // of the order's page, path only
	DueBy       *time.Time
}

// RefundLine is money that went back to the shopper, or is on its way.
type RefundLine struct {
	Amount money.Money
	At     time.Time
	Done   bool
}

// Status is how an order stands for a shopper.
type Status string

// The states of an order.
const (
	StatusOpen              Status = "open"       // nothing was tried yet, or the checkout is open
	StatusProcessing        Status = "processing" // not known yet
	StatusPaid              Status = "paid"
	StatusFailed            Status = "failed" // the last attempt was refused
	StatusCancelled         Status = "cancelled"
	StatusPartiallyRefunded Status = "partially_refunded"
	StatusRefunded          Status = "refunded"
	StatusDisputed          Status = "disputed"
)

// Pending says that the page should look again by itself.
func (s Status) Pending() bool { return s == StatusProcessing }

// link is the path of an order's page. It cannot be guessed, and it holds nothing about the shopper.
func (s *Service) link(orderID string) string {
	return "/orders/" + orderID + "?t=" + s.viewToken(orderID)
}

func (s *Service) cancelLink(orderID string) string {
	return "/orders/" + orderID + "/cancelled?t=" + s.viewToken(orderID)
}

func (s *Service) viewToken(orderID string) string {
	return base64.RawURLEncoding.EncodeToString(s.hash("order " + orderID)[:18])
}

// Order returns what the holder of an order's link may see. A wrong link is not found, like an unknown
// order. While the provider's page is open, the provider is asked first: the shopper may just have paid
// there, so without its answer the order is processing and not open.
func (s *Service) Order(ctx context.Context, id, token string) (View, error) {
	if _, err := uuid.Parse(id); err != nil || !hmac.Equal([]byte(token), []byte(s.viewToken(id))) {
		return View{}, notFound()
	}
	sure := s.ask(ctx, id)
	v, err := s.view(ctx, id)
	if v.Status == StatusOpen && !sure {
		v.Status, v.Message = StatusProcessing, words.Of("processing").Message
	}
	return v, err
}

func notFound() error {
	return fault.New(fault.NotFound, "payments.no_order", "there is no such order; check that the whole link was copied")
}

// ask brings the open attempt of an order up to date, and says whether the provider answered in time.
func (s *Service) ask(ctx context.Context, orderID string) bool {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	var a attempt
	if err := s.db.Get(ctx, &a, selectLastAttempt, orderID); err != nil || a.State != provider.RequiresAction {
		return true
	}
	o, err := s.refresh(ctx, a)
	if err != nil {
		s.c.Log.WarnContext(ctx, "an order could not be brought up to date", "order_id", orderID, "error", err)
	}
	return err == nil && !o.Ambiguous
}

// Cancel closes the provider's page of an order that the shopper left, and returns what the order is
// then: paid, when it was paid in the meantime.
func (s *Service) Cancel(ctx context.Context, id, token string) (View, error) {
	if _, err := uuid.Parse(id); err != nil || !hmac.Equal([]byte(token), []byte(s.viewToken(id))) {
		return View{}, notFound()
	}
	var a attempt
	err := s.db.Get(ctx, &a, selectLastAttempt, id)
	if err == nil && a.Kind == kindSession && a.State == provider.RequiresAction {
		state, err := s.closeSession(ctx, a)
		if err == nil && state == provider.Voided {
			_, err = s.db.Exec(ctx, cancelOrder, id)
		}
		if err != nil {
			return View{}, err
		}
	}
	return s.view(ctx, id)
}

// orderRow is an order with its last attempt.
type orderRow struct {
	order
	Mode      string     `db:"mode"`
	CreatedAt time.Time  `db:"created_at"`
	State     string     `db:"state"`
	Kind      string     `db:"kind"`
	Failure   string     `db:"failure_code"`
	URL       string     `db:"url"`
	ChargeID  string     `db:"charge_id"`
	Brand     string     `db:"card_brand"`
	Last4     string     `db:"card_last4"`
	Refunded  int64      `db:"amount_refunded"`
	Due       *time.Time `db:"dispute_due"`
	PaidAt    *time.Time `db:"paid_at"`
}

func (s *Service) view(ctx context.Context, id string) (View, error) {
	var r orderRow
	if err := s.db.Get(ctx, &r, selectOrderRow, id); err != nil {
		if fault.Is(err, "pg.no_rows") {
			err = notFound()
		}
		return View{}, err
	}
	v := View{
		ID: r.ID, Status: r.status(), Mode: Mode(r.Mode), CreatedAt: r.CreatedAt, Total: money.Money{Minor: r.Total, Currency: r.Currency},
		Refunded: money.Money{Minor: r.Refunded, Currency: r.Currency}, Card: r.Brand, Last4: r.Last4, Reference: r.ChargeID,
		CheckoutURL: r.URL, Link: s.link(r.ID), DueBy: r.Due, PaidAt: r.PaidAt,
	}
	switch v.Status {
	case StatusFailed:
		v.Message = words.Of(attempt{FailureCode: r.Failure, Kind: r.Kind}.refusalCode()).Message
	case StatusProcessing:
		v.Message = words.Of("processing").Message
	case StatusCancelled:
		v.Message = words.Of("cancelled").Message
	}
	if err := s.db.Select(ctx, &v.Items, selectItems, id); err != nil || r.PaidAt == nil {
		return v, err
	}
	var refunds []refundRow
	err := s.db.Select(ctx, &refunds, selectOrderRefunds, id)
	for _, f := range refunds {
		v.Refunds = append(v.Refunds, RefundLine{Amount: money.Money{Minor: f.Amount, Currency: r.Currency}, At: f.At, Done: f.State == "succeeded"})
	}
	return v, err
}

func (r orderRow) status() Status {
	over := attempt{State: provider.State(r.State)}.over()
	// An order that was cancelled may be paid again: an attempt that is not over tells more.
	if s := Status(r.order.Status); s != StatusOpen && (s != StatusCancelled || over) {
		return s
	}
	switch provider.State(r.State) {
	case provider.Failed, provider.Voided:
		return StatusFailed
	case provider.RequiresAction:
		return StatusOpen
	}
	return StatusProcessing
}

// Filter selects payments.
type Filter struct {
	State string // of the attempt; "open", "disputed" and "refunded" are groups; "" is all
	Email string // whole, in any case; "" is all
	Limit int    // the newest
}

// Listed is one attempt in a list. Amounts are minor units.
type Listed struct {
	ID          string    `db:"id" json:"payment_id"`
	OrderID     string    `db:"order_id" json:"order_id"`
	CreatedAt   time.Time `db:"created_at" json:"created_at"`
	Mode        string    `db:"mode" json:"mode"`
	Kind        string    `db:"kind" json:"kind"`
	State       string    `db:"state" json:"state"`
	OrderStatus string    `db:"status" json:"order_status"`
	Amount      int64     `db:"amount" json:"amount"`
	Refunded    int64     `db:"amount_refunded" json:"amount_refunded"`
	Currency    string    `db:"currency" json:"currency"`
	Dispute     string    `db:"dispute_state" json:"dispute_state,omitempty"`
	FailureCode string    `db:"failure_code" json:"failure_code,omitempty"`
	ChargeID    string    `db:"charge_id" json:"charge_id,omitempty"`
	Email       string    `db:"email" json:"email,omitempty"`
}

// List returns attempts to pay, newest first. It is for operators: it tells e-mail addresses.
func (s *Service) List(ctx context.Context, f Filter) ([]Listed, error) {
	all := []Listed{}
	return all, s.db.Select(ctx, &all, selectListed, f.State, f.Email, f.Limit)
}

// Details are all that we know of an order, for operators. Amounts are minor units.
type Details struct {
	ID          string              `db:"id" json:"order_id"`
	Status      string              `db:"status" json:"status"`
	Mode        string              `db:"mode" json:"mode"`
	Email       string              `db:"email" json:"email,omitempty"`
	Total       int64               `db:"amount_total" json:"amount_total"`
	Currency    string              `db:"currency" json:"currency"`
	CreatedAt   time.Time           `db:"created_at" json:"created_at"`
	Link        string              `db:"-" json:"page"` // path of the shopper's page
	Items       []Item              `db:"-" json:"items"`
	Attempts    []AttemptDetails    `db:"-" json:"attempts"`
	Transitions []TransitionDetails `db:"-" json:"transitions"`
	Refunds     []RefundDetails     `db:"-" json:"refunds"`
	Breaks      []Break             `db:"-" json:"open_breaks"`
}

// AttemptDetails is one attempt to pay an order.
type AttemptDetails struct {
	ID          string     `db:"id" json:"payment_id"`
	Number      int        `db:"attempt" json:"attempt"`
	Kind        string     `db:"kind" json:"kind"`
	State       string     `db:"state" json:"state"`
	ProviderID  string     `db:"provider_id" json:"provider_id,omitempty"`
	ChargeID    string     `db:"charge_id" json:"charge_id,omitempty"`
	RequestID   string     `db:"request_id" json:"request_id,omitempty"` // of the provider's last answer
	Amount      int64      `db:"amount" json:"amount"`
	Currency    string     `db:"currency" json:"currency"`
	Refunded    int64      `db:"amount_refunded" json:"amount_refunded"`
	RefundsSent int64      `db:"refunds_sent" json:"refunds_sent"` // with those that are not known to have arrived
	FailureCode string     `db:"failure_code" json:"failure_code,omitempty"`
	DeclineCode string     `db:"decline_code" json:"decline_code,omitempty"`
	Brand       string     `db:"card_brand" json:"card_brand,omitempty"`
	Last4       string     `db:"card_last4" json:"card_last4,omitempty"`
	DisputeID   string     `db:"dispute_id" json:"dispute_id,omitempty"`
	Dispute     string     `db:"dispute_state" json:"dispute_state,omitempty"`
	DisputeDue  *time.Time `db:"dispute_due" json:"dispute_due,omitempty"`
	Tries       int        `db:"tries" json:"tries"`
	Ambiguous   bool       `db:"ambiguous_seen" json:"ambiguous_seen"`
	CreatedAt   time.Time  `db:"created_at" json:"created_at"`
}

// TransitionDetails is one step of an attempt.
type TransitionDetails struct {
	PaymentID string    `db:"payment_id" json:"payment_id"`
	From      string    `db:"from_state" json:"from,omitempty"`
	To        string    `db:"to_state" json:"to"`
	Cause     string    `db:"cause" json:"cause"`
	Actor     string    `db:"actor" json:"actor"`
	At        time.Time `db:"at" json:"at"`
}

// RefundDetails is one refund.
type RefundDetails struct {
	ID         string    `db:"id" json:"refund_id"`
	PaymentID  string    `db:"payment_id" json:"payment_id"`
	Amount     int64     `db:"amount" json:"amount"`
	Reason     string    `db:"reason" json:"reason"`
	Note       string    `db:"note" json:"note,omitempty"`
	State      string    `db:"state" json:"state"`
	ProviderID string    `db:"provider_id" json:"provider_id,omitempty"`
	Cause      string    `db:"cause" json:"cause,omitempty"`
	By         string    `db:"requested_by" json:"requested_by"`
	CreatedAt  time.Time `db:"created_at" json:"created_at"`
}

// Payment returns the attempt that succeeded, else the last one.
func (d Details) Payment() AttemptDetails {
	for _, a := range d.Attempts {
		if a.State == string(provider.Succeeded) {
			return a
		}
	}
	if len(d.Attempts) == 0 {
		return AttemptDetails{}
	}
	return d.Attempts[len(d.Attempts)-1]
}

// Show returns the order that an id belongs to: its own, a payment's, or the provider's of a charge or a
// checkout session. Reason: payments.no_payment.
func (s *Service) Show(ctx context.Context, id string) (Details, error) {
	d := Details{Attempts: []AttemptDetails{}, Transitions: []TransitionDetails{}, Refunds: []RefundDetails{}, Breaks: []Break{}}
	find := findOrderByProvider
	if _, err := uuid.Parse(id); err == nil {
		find = findOrder
	}
	var orderID string
	if err := s.db.Get(ctx, &orderID, find, id); err != nil {
		if fault.Is(err, "pg.no_rows") {
			err = noPayment()
		}
		return d, err
	}
	if err := s.db.Get(ctx, &d, selectOrderDetails, orderID); err != nil {
		return d, err
	}
	for into, q := range map[any]string{
		&d.Items: selectItems, &d.Attempts: selectAttempts, &d.Transitions: selectTransitions,
		&d.Refunds: selectRefundDetails, &d.Breaks: selectOrderBreaks,
	} {
		if err := s.db.Select(ctx, into, q, orderID); err != nil {
			return d, err
		}
	}
	d.Link = s.link(orderID)
	return d, nil
}
