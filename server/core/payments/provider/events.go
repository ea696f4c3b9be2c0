package provider

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"
)

// Event is a notice of the provider: which object changed. What it changed to is read from the provider.
type Event struct {
	ID         string
	Type       string
	APIVersion string
	Live       bool
	Object     string // kind: charge, refund, checkout.session, ...
	ObjectID   string
	ChargeID   string // of an object that belongs to a charge
	Created    time.Time
}

// ErrSignature says that a notice was not signed with any of our secrets, or too long ago.
var ErrSignature = errors.New("the signature does not verify")

// Verify checks the raw body of a notice against every secret, so that secrets can be rolled.
func Verify(body []byte, header string, secrets []string) (Event, error) {
	for _, secret := range secrets {
		if webhook.ValidatePayload(body, header, secret) == nil {
			return parseEvent(body)
		}
	}
	return Event{}, ErrSignature
}

// parseEvent reads what is needed and no more: the body holds an e-mail and perhaps a client secret.
func parseEvent(body []byte) (Event, error) {
	var e struct {
		ID         string `json:"id"`
		Type       string `json:"type"`
		APIVersion string `json:"api_version"`
		Livemode   bool   `json:"livemode"`
		Created    int64  `json:"created"`
		Data       struct {
			Object struct {
				ID     string          `json:"id"`
				Object string          `json:"object"`
				Charge json.RawMessage `json:"charge"`
			} `json:"object"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &e); err != nil || e.ID == "" || e.Type == "" {
		return Event{}, errors.New("the notice is not an event")
	}
	out := Event{
		ID: e.ID, Type: e.Type, APIVersion: e.APIVersion, Live: e.Livemode, Object: e.Data.Object.Object,
		ObjectID: e.Data.Object.ID, Created: time.Unix(e.Created, 0).UTC(),
	}
	_ = json.Unmarshal(e.Data.Object.Charge, &out.ChargeID) // an id, or an object that we do not need
	return out, nil
}

// ChargeFacts is what a charge tells about itself.
type ChargeFacts struct {
	ID        string
	PaymentID string // ours, from its metadata or its group
	Install   string
	IntentID  string
	Amount    int64
	Currency  string
	Succeeded bool
	Refunded  int64
	Created   time.Time
}

// ChargeByID reads a charge.
func (c Client) ChargeByID(ctx context.Context, id string) (ChargeFacts, error) {
	params := &stripe.ChargeParams{}
	params.AddExpand("payment_intent")
	params.Context = ctx
	charge, err := c.api.Charges.Get(id, params)
	if err != nil {
		return ChargeFacts{}, c.hide(ctx, "charge cannot be read", err)
	}
	return factsOf(charge), nil
}

// Charges calls fn for every charge created in [from, to).
func (c Client) Charges(ctx context.Context, from, to time.Time, fn func(ChargeFacts) error) error {
	params := &stripe.ChargeListParams{CreatedRange: &stripe.RangeQueryParams{GreaterThanOrEqual: from.Unix(), LesserThan: to.Unix()}}
	params.Limit = stripe.Int64(100)
	params.Context = ctx
	list := c.api.Charges.List(params)
	for list.Next() {
		if err := fn(factsOf(list.Charge())); err != nil {
			return err
		}
	}
	return c.hide(ctx, "charges cannot be listed", list.Err())
}

func factsOf(charge *stripe.Charge) ChargeFacts {
	f := ChargeFacts{
		ID: charge.ID, Amount: charge.Amount, Currency: string(charge.Currency), Refunded: charge.AmountRefunded,
		Succeeded: charge.Status == stripe.ChargeStatusSucceeded, Created: time.Unix(charge.Created, 0).UTC(),
		PaymentID: charge.Metadata["payment_id"], Install: charge.Metadata["install"],
	}
	if pi := charge.PaymentIntent; pi != nil {
		f.IntentID = pi.ID
		if f.PaymentID == "" {
			f.PaymentID, f.Install = pi.Metadata["payment_id"], pi.Metadata["install"]
		}
	}
	return f
}

// Dispute is a shopper's objection at the bank.
type Dispute struct {
	ID       string
	ChargeID string
	Status   string // needs_response, under_review, won, lost, warning_...
	Reason   string
	DueBy    time.Time
}

// Closed says that the bank has decided.
func (d Dispute) Closed() bool {
	return d.Status == "won" || d.Status == "lost" || d.Status == "warning_closed"
}

// DisputeByID reads a dispute.
func (c Client) DisputeByID(ctx context.Context, id string) (Dispute, error) {
	params := &stripe.DisputeParams{}
	params.Context = ctx
	d, err := c.api.Disputes.Get(id, params)
	if err != nil {
		return Dispute{}, c.hide(ctx, "dispute cannot be read", err)
	}
	out := Dispute{ID: d.ID, Status: string(d.Status), Reason: string(d.Reason)}
	if d.Charge != nil {
		out.ChargeID = d.Charge.ID
	}
	if d.EvidenceDetails != nil && d.EvidenceDetails.DueBy > 0 {
		out.DueBy = time.Unix(d.EvidenceDetails.DueBy, 0).UTC()
	}
	return out, nil
}

// Notices lists what we want to be told about.
var Notices = []string{
	"checkout.session.completed", "checkout.session.async_payment_succeeded", "checkout.session.async_payment_failed",
	"checkout.session.expired", "payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled",
	"charge.succeeded", "charge.failed", "charge.refunded", "charge.refund.updated", "refund.created", "refund.updated",
	"charge.dispute.created", "charge.dispute.updated", "charge.dispute.closed", "charge.dispute.funds_withdrawn",
	"charge.dispute.funds_reinstated",
}

// CreateWebhook makes an endpoint at the provider that speaks the version this server understands, and
// returns its signing secret, which the provider shows only this once.
func (c Client) CreateWebhook(ctx context.Context, url string) (id, secret string, err error) {
	params := &stripe.WebhookEndpointParams{
		URL: stripe.String(url), EnabledEvents: stripe.StringSlice(Notices), APIVersion: stripe.String(stripe.APIVersion),
	}
	params.Context = ctx
	e, err := c.api.WebhookEndpoints.New(params)
	if err != nil {
		return "", "", c.hide(ctx, "webhook endpoint was refused", err)
	}
	return e.ID, e.Secret, nil
}
