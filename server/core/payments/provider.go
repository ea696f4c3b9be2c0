package payments

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"
)

// provider is Stripe, or the sandbox, through stripe-go. Its own retries are off: they would hide that
// an earlier try may have been executed.
type provider struct{ api *client.API }

const tryTimeout = 20 * time.Second

// newProvider talks to url; "" is Stripe itself. Every backend is set, so that no call of a sandbox can
// reach Stripe.
func newProvider(secretKey, url string) provider {
	c := &stripe.BackendConfig{
		HTTPClient:        &http.Client{Timeout: tryTimeout},
		MaxNetworkRetries: stripe.Int64(0),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
		EnableTelemetry:   stripe.Bool(false),
	}
	if url != "" {
		c.URL = stripe.String(url)
	}
	b := stripe.GetBackendWithConfig(stripe.APIBackend, c)
	return provider{client.New(secretKey, &stripe.Backends{API: b, Connect: b, Uploads: b})}
}

// chargeRequest is what is sent for a charge, except the card token. It is stored with the attempt: a
// replay must send the same parameters.
type chargeRequest struct {
	Amount       int64             `json:"amount"`
	Currency     string            `json:"currency"`
	Description  string            `json:"description"`
	ReceiptEmail string            `json:"receipt_email"`
	Metadata     map[string]string `json:"metadata"`
	Group        string            `json:"transfer_group"`
}

func (p provider) charge(ctx context.Context, key, token string, r chargeRequest) (*stripe.Charge, error) {
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
		return nil, fmt.Errorf("card token: %w", err)
	}
	params.SetIdempotencyKey(key)
	params.Context = ctx
	return p.api.Charges.New(params)
}

// find returns the charge that was made for a group: the succeeded one if there is one, else the last,
// else nil. Lists show what was written before, searches may not yet.
func (p provider) find(ctx context.Context, group string) (*stripe.Charge, error) {
	params := &stripe.ChargeListParams{TransferGroup: stripe.String(group)}
	params.Context = ctx
	list := p.api.Charges.List(params)
	var found *stripe.Charge
	for list.Next() {
		c := list.Charge()
		if found == nil || c.Status == stripe.ChargeStatusSucceeded {
			found = c
		}
	}
	return found, list.Err()
}
