package provider

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/stripe/stripe-go/v76"
)

// ErrKeyRefused says that the provider does not know our key.
var ErrKeyRefused = errors.New("the provider refuses the key")

// clock measures by the Date of every reply how far our clock is ahead of the provider's.
type clock struct {
	next  http.RoundTripper
	ahead atomic.Int64
	known atomic.Bool
}

// RoundTrip implements http.RoundTripper.
func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		middle := sent.Add(time.Since(sent) / 2)
		c.ahead.Store(int64(middle.Sub(date.Add(500 * time.Millisecond)))) // Date has whole seconds
		c.known.Store(true)
	}
	return resp, nil
}

// Skew is how far our clock was ahead of the provider's at its last reply; ok is false before the first.
func (c Client) Skew() (ahead time.Duration, ok bool) {
	return time.Duration(c.clock.ahead.Load()), c.clock.known.Load()
}

// Right is what a key may do, by the name of Stripe's page of restricted keys.
type Right struct {
	Name   string
	Needed bool   // by the server; the others only by crema doctor and crema payments webhook create
	Hint   string // the provider's own name of what is missing, "" when it does not tell
	path   string
}

var rights = []Right{
	{Name: "Charges and Refunds", Needed: true, path: "/v1/charges"},
	{Name: "PaymentIntents", Needed: true, path: "/v1/payment_intents"},
	{Name: "Checkout Sessions", Needed: true, path: "/v1/checkout/sessions"},
	{Name: "Disputes", Needed: true, path: "/v1/disputes"},
	{Name: "Webhook Endpoints", path: "/v1/webhook_endpoints"},
}

// permission is how the provider names a right that a key lacks.
var permission = regexp.MustCompile(`rak_[a-z_]+`)

// Rights asks for one object of every kind that the server works with, which changes nothing, and returns
// what the key may not read. That it may write is not known before it does.
func (c Client) Rights(ctx context.Context) (missing []Right, err error) {
	for _, r := range rights {
		params := &stripe.Params{Context: ctx}
		params.AddExtra("limit", "1")
		err := c.api.Charges.B.Call(http.MethodGet, r.path, c.api.Charges.Key, params, &stripe.APIResource{})
		if statusOf(err) == http.StatusForbidden {
			r.Hint = permission.FindString(messageOf(err))
			missing = append(missing, r)
			continue
		}
		if err != nil {
			return missing, c.hide(ctx, r.path+" cannot be read", err)
		}
	}
	return missing, nil
}

// messageOf is the provider's text. It may hold a part of a key: take from it only what is known by its form.
func messageOf(err error) string {
	var e *stripe.Error
	if errors.As(err, &e) {
		return e.Msg
	}
	return ""
}

// ChargesEnabled says whether the account may take money at all.
func (c Client) ChargesEnabled(ctx context.Context) (bool, error) {
	account := &stripe.Account{}
	err := c.api.Charges.B.Call(http.MethodGet, "/v1/account", c.api.Charges.Key, &stripe.Params{Context: ctx}, account)
	if statusOf(err) == http.StatusForbidden { // a restricted key without that right; a charge will tell
		return true, nil
	}
	return account.ChargesEnabled, c.hide(ctx, "the account cannot be read", err)
}

// Endpoint is where the provider sends notices.
type Endpoint struct {
	ID         string
	URL        string
	Enabled    bool
	APIVersion string
	Missing    []string // notices of ours that it does not send
}

// Speaks says whether the endpoint sends the version that this server was made for.
func (e Endpoint) Speaks() bool { return e.APIVersion == stripe.APIVersion }

// Endpoints lists them all.
func (c Client) Endpoints(ctx context.Context) ([]Endpoint, error) {
	params := &stripe.WebhookEndpointListParams{}
	params.Limit, params.Context = stripe.Int64(100), ctx
	var all []Endpoint
	list := c.api.WebhookEndpoints.List(params)
	for list.Next() {
		e := list.WebhookEndpoint()
		out := Endpoint{ID: e.ID, URL: e.URL, Enabled: e.Status == "enabled", APIVersion: e.APIVersion}
		for _, n := range Notices {
			if !slices.Contains(e.EnabledEvents, n) && !slices.Contains(e.EnabledEvents, "*") {
				out.Missing = append(out.Missing, n)
			}
		}
		all = append(all, out)
	}
	return all, c.hide(ctx, "webhook endpoints cannot be listed", list.Err())
}
