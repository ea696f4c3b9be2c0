package provider

import (
	"context"
	"slices"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// RefundState is where a refund stands at the provider, or that it is not known.
type RefundState string

// The states of a refund. A succeeded one can still fail: then the money is back with us.
const (
	RefundPending   RefundState = "pending"
	RefundSucceeded RefundState = "succeeded"
	RefundFailed    RefundState = "failed" // failed, cancelled or refused: no money moved, or it came back
	RefundUnknown   RefundState = "unknown"
)

// Refund is a refund as the provider has it.
type Refund struct {
	ID       string
	Amount   int64
	State    RefundState
	RefundID string // ours, from its metadata; "" when it was made elsewhere
	Cause    string // of a failure, for the operator
}

// RefundRequest asks to give back a part of a charge.
type RefundRequest struct {
	ChargeID string
	Amount   int64
	Reason   string // duplicate, fraudulent, requested_by_customer, or ""
	RefundID string // ours
}

// Refund posts a refund under an idempotency key. It is never an error: what is not known is unknown.
func (c Client) Refund(ctx context.Context, key string, r RefundRequest, ambiguous bool) Refund {
	params := &stripe.RefundParams{Charge: stripe.String(r.ChargeID), Amount: stripe.Int64(r.Amount)}
	if r.Reason != "" {
		params.Reason = stripe.String(r.Reason)
	}
	params.AddMetadata("refund_id", r.RefundID)
	params.SetIdempotencyKey(key)
	params.Context = ctx
	got, err := c.api.Refunds.New(params)
	if err == nil {
		return ofRefund(got)
	}
	c.warn(ctx, "refund was refused or not answered", err)
	o := ofError(err, ambiguous)
	state := RefundUnknown
	if o.State == Failed {
		state = RefundFailed
	}
	return Refund{State: state, RefundID: r.RefundID, Amount: r.Amount, Cause: o.Cause}
}

// Refunds returns all refunds of a charge. The list inside a charge is not expanded by default, so it
// is never used.
func (c Client) Refunds(ctx context.Context, chargeID string) ([]Refund, error) {
	params := &stripe.RefundListParams{Charge: stripe.String(chargeID)}
	params.Context = ctx
	var all []Refund
	list := c.api.Refunds.List(params)
	for list.Next() {
		all = append(all, ofRefund(list.Refund()))
	}
	return all, c.hide(ctx, "refunds cannot be listed", list.Err())
}

func ofRefund(r *stripe.Refund) Refund {
	out := Refund{ID: r.ID, Amount: r.Amount, State: RefundPending, RefundID: r.Metadata["refund_id"], Cause: string(r.FailureReason)}
	switch r.Status {
	case stripe.RefundStatusSucceeded:
		out.State = RefundSucceeded
	case stripe.RefundStatusFailed, stripe.RefundStatusCanceled:
		out.State = RefundFailed
	}
	return out
}

// RefundedCharges returns the charges of which something was given back in [from, to), however old they
// are.
func (c Client) RefundedCharges(ctx context.Context, from, to time.Time) ([]string, error) {
	params := &stripe.RefundListParams{CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: from.Unix(), LesserThan: to.Unix()}}
	params.Limit = stripe.Int64(100)
	params.Context = ctx
	var charges []string
	list := c.api.Refunds.List(params)
	for list.Next() {
		if ch := list.Refund().Charge; ch != nil && !slices.Contains(charges, ch.ID) {
			charges = append(charges, ch.ID)
		}
	}
	return charges, c.hide(ctx, "refunds cannot be listed", list.Err())
}
