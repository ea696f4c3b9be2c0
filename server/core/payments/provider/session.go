package provider

import (
	"context"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// Line is one line of a hosted checkout.
type Line struct {
	Name     string `json:"name"`
	Amount   int64  `json:"unit_amount"`
	Quantity int64  `json:"quantity"`
}

// SessionRequest is what is sent to open a hosted checkout. It is stored with the attempt.
type SessionRequest struct {
	OrderID    string            `json:"order_id"`
	Currency   string            `json:"currency"`
	Amount     int64             `json:"amount"`
	Lines      []Line            `json:"lines"`
	Email      string            `json:"email,omitempty"`
	SuccessURL string            `json:"success_url"`
	CancelURL  string            `json:"cancel_url"`
	ExpiresAt  int64             `json:"expires_at"` // Unix seconds
	Metadata   map[string]string `json:"metadata"`
}

// OpenSession opens a hosted checkout. It moves no money, so it may be sent again under its key at any
// time while the provider keeps the key.
func (c Client) OpenSession(ctx context.Context, key string, r SessionRequest) Outcome {
	params := &stripe.CheckoutSessionParams{
		Mode:              stripe.String(string(stripe.CheckoutSessionModePayment)),
		SuccessURL:        stripe.String(r.SuccessURL),
		CancelURL:         stripe.String(r.CancelURL),
		ClientReferenceID: stripe.String(r.OrderID),
		ExpiresAt:         stripe.Int64(r.ExpiresAt),
		PaymentIntentData: &stripe.CheckoutSessionPaymentIntentDataParams{Metadata: r.Metadata},
	}
	if r.Email != "" {
		params.CustomerEmail = stripe.String(r.Email)
	}
	for _, l := range r.Lines {
		params.LineItems = append(params.LineItems, &stripe.CheckoutSessionLineItemParams{
			Quantity: stripe.Int64(l.Quantity),
			PriceData: &stripe.CheckoutSessionLineItemPriceDataParams{
				Currency:    stripe.String(r.Currency),
				UnitAmount:  stripe.Int64(l.Amount),
				ProductData: &stripe.CheckoutSessionLineItemPriceDataProductDataParams{Name: stripe.String(l.Name)},
			},
		})
	}
	for k, v := range r.Metadata {
		params.AddMetadata(k, v)
	}
	params.SetIdempotencyKey(key)
	params.Context = ctx
	s, err := c.api.CheckoutSessions.New(params)
	if err != nil {
		c.warn(ctx, "checkout was refused or not answered", err)
		return ofError(err, false)
	}
	return ofSession(s, r)
}

// Session asks how a hosted checkout stands.
func (c Client) Session(ctx context.Context, id string, r SessionRequest) (Outcome, error) {
	params := &stripe.CheckoutSessionParams{}
	params.AddExpand("payment_intent.latest_charge")
	params.Context = ctx
	s, err := c.api.CheckoutSessions.Get(id, params)
	if err != nil {
		return Outcome{}, c.hide(ctx, "checkout cannot be read", err)
	}
	return ofSession(s, r), nil
}

// ExpireSession closes a hosted checkout and tells how it ended: one that was paid in the meantime is
// paid.
func (c Client) ExpireSession(ctx context.Context, id string, r SessionRequest) (Outcome, error) {
	params := &stripe.CheckoutSessionExpireParams{}
	params.SetIdempotencyKey("expire-" + id)
	params.Context = ctx
	if _, err := c.api.CheckoutSessions.Expire(id, params); err != nil {
		c.warn(ctx, "checkout cannot be closed", err) // the next question tells why
	}
	return c.Session(ctx, id, r)
}

// ofSession is the outcome of a hosted checkout that the provider showed us.
func ofSession(s *stripe.CheckoutSession, r SessionRequest) Outcome {
	o := Outcome{State: RequiresAction, Cause: "the shopper is at the checkout", ProviderID: s.ID, URL: s.URL}
	if s.LastResponse != nil {
		o.RequestID = s.LastResponse.RequestID
	}
	if s.CustomerDetails != nil {
		o.Email = s.CustomerDetails.Email
	}
	switch {
	case s.Status == stripe.CheckoutSessionStatusExpired:
		o.State, o.Cause, o.URL = Voided, "the checkout expired", ""
	case s.Status == stripe.CheckoutSessionStatusComplete && s.PaymentStatus == stripe.CheckoutSessionPaymentStatusPaid:
		return paidSession(o, s, r)
	case s.Status == stripe.CheckoutSessionStatusComplete && gaveUp(s.PaymentIntent):
		o.State, o.Cause, o.URL, o.FailureCode = Failed, "the payment failed after the checkout", "", "card_declined"
	case s.Status == stripe.CheckoutSessionStatusComplete:
		o.State, o.Cause, o.URL = Unknown, "the checkout is complete but not paid yet", ""
	}
	return o
}

// gaveUp says that a slow way to pay (a bank debit, a voucher) ended without money. A complete checkout
// cannot be paid again.
func gaveUp(pi *stripe.PaymentIntent) bool {
	return pi != nil && (pi.Status == stripe.PaymentIntentStatusRequiresPaymentMethod || pi.Status == stripe.PaymentIntentStatusCanceled)
}

func paidSession(o Outcome, s *stripe.CheckoutSession, r SessionRequest) Outcome {
	o.State, o.Cause, o.URL = Succeeded, "the checkout is paid", ""
	if s.ClientReferenceID != r.OrderID || s.AmountTotal != r.Amount || string(s.Currency) != r.Currency {
		o.State, o.Cause = NeedsReview, "the checkout's order, amount or currency is not ours"
	}
	if s.PaymentIntent == nil || s.PaymentIntent.LatestCharge == nil {
		return o
	}
	charge := s.PaymentIntent.LatestCharge
	o.ChargeID = charge.ID
	if d := charge.PaymentMethodDetails; d != nil && d.Card != nil {
		o.Brand, o.Last4 = string(d.Card.Brand), d.Card.Last4
	}
	return o
}

// SessionLife is how long a hosted checkout stays open: the provider's minimum is half an hour, by its
// own clock, and the request may have to be sent again.
const SessionLife = 36 * time.Minute
