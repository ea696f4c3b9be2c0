package provider

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
)

// Client is Stripe, or the sandbox. Its own retries are off: they would hide that an earlier try may
// have been executed.
type Client struct {
	api   *client.API
	log   *slog.Logger
	clock *clock
}

// tryTimeout is how long one request may take.
const tryTimeout = 20 * time.Second

// connections is how many are kept open for the next payment.
const connections = 64

// New talks to url; "" is Stripe itself. Every backend is set, so that no call of a sandbox can reach
// Stripe.
func New(secretKey, url string, log *slog.Logger) Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = connections
	watch := &clock{next: transport}
	c := &stripe.BackendConfig{
		HTTPClient:        &http.Client{Timeout: tryTimeout, Transport: watch},
		MaxNetworkRetries: stripe.Int64(0),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
		EnableTelemetry:   stripe.Bool(false),
	}
	if url != "" {
		c.URL = stripe.String(url)
	}
	b := stripe.GetBackendWithConfig(stripe.APIBackend, c)
	return Client{client.New(secretKey, &stripe.Backends{API: b, Connect: b, Uploads: b}), log, watch}
}

// ChargeRequest is what is sent for a charge, except the card token. It is stored with the attempt: a
// replay must send the same parameters.
type ChargeRequest struct {
	Amount       int64             `json:"amount"`
	Currency     string            `json:"currency"`
	Description  string            `json:"description"`
	ReceiptEmail string            `json:"receipt_email"`
	Metadata     map[string]string `json:"metadata"`
	Group        string            `json:"transfer_group"`
}

// Charge posts a charge under an idempotency key. ambiguous says that an earlier try of the same key
// may have been executed.
func (c Client) Charge(ctx context.Context, key, token string, r ChargeRequest, ambiguous bool) Outcome {
	params := &stripe.ChargeParams{
		Amount:        stripe.Int64(r.Amount),
		Currency:      stripe.String(r.Currency),
		Description:   stripe.String(r.Description),
		ReceiptEmail:  stripe.String(r.ReceiptEmail),
		TransferGroup: stripe.String(r.Group),
	}
	for k, v := range r.Metadata {
		params.AddMetadata(k, v)
	}
	if err := params.SetSource(token); err != nil {
		return Outcome{State: Failed, Cause: "the token has no form", FailureCode: "invalid_token"}
	}
	params.SetIdempotencyKey(key)
	params.Context = ctx
	charge, err := c.api.Charges.New(params)
	if err != nil {
		c.warn(ctx, "charge was refused or not answered", err)
		return ofError(err, ambiguous)
	}
	return ofCharge(charge, r.Amount, r.Currency)
}

// FindCharge looks for the charge of a group: the succeeded one if there is one, else the last. ok is
// false when there is none. Lists show what was written before; searches may not yet.
func (c Client) FindCharge(ctx context.Context, group string, amount int64, currency string) (o Outcome, ok bool, err error) {
	params := &stripe.ChargeListParams{TransferGroup: stripe.String(group)}
	params.Context = ctx
	list := c.api.Charges.List(params)
	var found *stripe.Charge
	for list.Next() {
		charge := list.Charge()
		if found == nil || charge.Status == stripe.ChargeStatusSucceeded {
			found = charge
		}
	}
	if err := list.Err(); err != nil || found == nil {
		return Outcome{}, false, c.hide(ctx, "charges cannot be listed", err)
	}
	o = ofCharge(found, amount, currency)
	if reply := list.ChargeList().LastResponse; reply != nil { // for whoever asks the provider about it
		o.RequestID = reply.RequestID
	}
	return o, true, nil
}

// warn logs what may be told of an error.
func (c Client) warn(ctx context.Context, text string, err error) {
	c.log.WarnContext(ctx, text, logAttrs(err)...)
}

// hide logs an error of stripe-go and returns one without its text.
func (c Client) hide(ctx context.Context, text string, err error) error {
	if err == nil {
		return nil
	}
	c.warn(ctx, text, err)
	switch status := statusOf(err); status {
	case 0:
	case http.StatusNotFound:
		return ErrNoSuch
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%w: HTTP %d", ErrKeyRefused, status)
	default:
		return fmt.Errorf("%w: HTTP %d", ErrUnreachable, status)
	}
	return ErrUnreachable
}
