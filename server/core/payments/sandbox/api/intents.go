package api

import (
	"context"
	"slices"
	"strings"

	"crema/server/base/fault"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// automaticSince is the first version in which an intent takes every payment method unless told otherwise.
const automaticSince = "2023-08-16"

// Intent is a payment from the wish to pay until the money is there. Amounts are in minor units.
type Intent struct {
	ID                                string            `json:"id"`
	Object                            string            `json:"object"`
	Amount                            int64             `json:"amount"`
	AmountCapturable                  int64             `json:"amount_capturable"`
	AmountDetails                     map[string]any    `json:"amount_details"`
	AmountReceived                    int64             `json:"amount_received"`
	Application                       *string           `json:"application"`
	ApplicationFeeAmount              *int64            `json:"application_fee_amount"`
	AutomaticPaymentMethods           *AutomaticMethods `json:"automatic_payment_methods"`
	CanceledAt                        *int64            `json:"canceled_at"`
	CancellationReason                *string           `json:"cancellation_reason"`
	CaptureMethod                     string            `json:"capture_method"`
	ClientSecret                      string            `json:"client_secret"`
	ConfirmationMethod                string            `json:"confirmation_method"`
	Created                           int64             `json:"created"`
	Currency                          string            `json:"currency"`
	Customer                          *string           `json:"customer"`
	Description                       *string           `json:"description"`
	Invoice                           *string           `json:"invoice"`
	LastPaymentError                  *IntentError      `json:"last_payment_error"`
	LatestCharge                      *string           `json:"latest_charge"`
	Livemode                          bool              `json:"livemode"`
	Metadata                          map[string]string `json:"metadata"`
	NextAction                        *NextAction       `json:"next_action"`
	OnBehalfOf                        *string           `json:"on_behalf_of"`
	PaymentMethod                     *string           `json:"payment_method"`
	PaymentMethodConfigurationDetails *string           `json:"payment_method_configuration_details"`
	PaymentMethodOptions              map[string]any    `json:"payment_method_options"`
	PaymentMethodTypes                []string          `json:"payment_method_types"`
	Processing                        *string           `json:"processing"`
	ReceiptEmail                      *string           `json:"receipt_email"`
	Review                            *string           `json:"review"`
	SetupFutureUsage                  *string           `json:"setup_future_usage"`
	Shipping                          *Shipping         `json:"shipping"`
	Source                            *string           `json:"source"`
	StatementDescriptor               *string           `json:"statement_descriptor"`
	StatementDescriptorSuffix         *string           `json:"statement_descriptor_suffix"`
	Status                            string            `json:"status"`
	TransferData                      *string           `json:"transfer_data"`
	TransferGroup                     *string           `json:"transfer_group"`
}

// AutomaticMethods says whether methods that leave the shop's page are welcome.
type AutomaticMethods struct {
	AllowRedirects string `json:"allow_redirects"`
	Enabled        bool   `json:"enabled"`
}

// IntentError is why the last attempt did not work.
type IntentError struct {
	Charge        string  `json:"charge,omitempty"`
	Code          string  `json:"code,omitempty"`
	DeclineCode   string  `json:"decline_code,omitempty"`
	DocURL        string  `json:"doc_url,omitempty"`
	Message       string  `json:"message"`
	Param         string  `json:"param,omitempty"`
	PaymentMethod *Method `json:"payment_method,omitempty"`
	Type          string  `json:"type"`
}

// NextAction is what the shopper has to do.
type NextAction struct {
	RedirectToURL *Redirect      `json:"redirect_to_url,omitempty"`
	Type          string         `json:"type"`
	UseStripeSDK  map[string]any `json:"use_stripe_sdk,omitempty"`
}

// Redirect is a page to visit and the page to come back to.
type Redirect struct {
	ReturnURL *string `json:"return_url"`
	URL       string  `json:"url"`
}

// intentHidden is what the sandbox hides beside an intent.
type intentHidden struct {
	Session string `json:"session,omitempty"` // the checkout session that it pays
	Return  string `json:"return,omitempty"`  // where the shopper goes after 3-D Secure
}

func newIntent(c *Call, amount int64, currency string) Intent {
	id := wire.NewID("pi_3", 22)
	return Intent{
		ID: id, Object: kindIntent, Amount: amount, AmountDetails: map[string]any{"tip": map[string]any{}},
		CaptureMethod: "automatic", ClientSecret: id + "_secret_" + wire.NewID("", 25), ConfirmationMethod: "automatic",
		Created: c.Now.Unix(), Currency: currency, Metadata: map[string]string{}, PaymentMethodTypes: []string{kindCard},
		PaymentMethodOptions: map[string]any{kindCard: map[string]any{
			"installments": nil, "mandate_options": nil, "network": nil, "request_three_d_secure": "automatic",
		}},
		Status: "requires_payment_method",
	}
}

func createIntent(ctx context.Context, c *Call) (any, error) {
	f := c.Form
	p := newIntent(c, f.Int("amount"), readCurrency(f))
	readIntent(c, &p)
	p.CaptureMethod = choice(f, "capture_method", "automatic", "manual", "automatic_async")
	p.ConfirmationMethod = choice(f, "confirmation_method", "automatic", "manual")
	method, confirm, in := f.Text("payment_method"), f.Bool("confirm", false), readConfirmation(f)
	if err := f.Done(); err != nil {
		return nil, err
	}
	if !confirm && in.returnURL != nil {
		return nil, wire.Invalid("return_url", "The parameter return_url may be passed only together with confirm=true.")
	}
	if err := c.known(ctx, p.Customer); err != nil {
		return nil, err
	}
	if method != "" {
		if err := c.choose(ctx, &p, method); err != nil {
			return nil, err
		}
	}
	var hidden intentHidden
	if err := c.insert(ctx, kindIntent, p.ID, p, hidden); err != nil {
		return nil, err
	}
	if err := c.emit(ctx, "payment_intent.created", p, nil); err != nil || !confirm {
		return p, err
	}
	return p, c.confirm(ctx, &p, &hidden, in)
}

// readIntent reads what create and update have in common.
func readIntent(c *Call, p *Intent) {
	f := c.Form
	if refusal := wire.Amount(p.Amount, p.Currency); refusal != nil {
		f.Refuse(refusal)
	}
	set(f, "customer", &p.Customer, f.Optional("customer"))
	set(f, "description", &p.Description, f.Optional("description"))
	set(f, "receipt_email", &p.ReceiptEmail, email(f, "receipt_email"))
	set(f, "statement_descriptor", &p.StatementDescriptor, f.Optional("statement_descriptor"))
	set(f, "statement_descriptor_suffix", &p.StatementDescriptorSuffix, f.Optional("statement_descriptor_suffix"))
	set(f, "transfer_group", &p.TransferGroup, f.Optional("transfer_group"))
	set(f, "setup_future_usage", &p.SetupFutureUsage, f.Optional("setup_future_usage"))
	if s := p.SetupFutureUsage; s != nil && *s != "off_session" && *s != "on_session" {
		f.Refuse(wire.Invalid("setup_future_usage", "Invalid setup_future_usage: must be one of off_session or on_session."))
	}
	if f.Has("shipping") {
		p.Shipping = readShipping(f)
	}
	metadata := f.Texts("metadata")
	checkMetadata(f, metadata)
	p.Metadata = merge(f, p.Metadata, metadata)
	secure := f.Group("payment_method_options").Group(kindCard).Text("request_three_d_secure")
	if card, ok := p.PaymentMethodOptions[kindCard].(map[string]any); ok && secure != "" {
		card["request_three_d_secure"] = secure
	}
	readMethods(c, p)
}

// readMethods decides which kinds of payment methods an intent takes.
func readMethods(c *Call, p *Intent) {
	f := c.Form
	types, auto := f.List("payment_method_types"), f.Group("automatic_payment_methods")
	enabled, redirects := auto.Bool("enabled", false), choice(auto, "allow_redirects", "always", "never")
	switch {
	case len(types) > 0 && enabled:
		f.Refuse(wire.Invalid("", "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."))
	case len(types) > 0:
		p.AutomaticPaymentMethods = nil
		if len(types) > 1 || types[0] != kindCard {
			f.Refuse(wire.Invalid("payment_method_types", "The sandbox takes the payment method type card only."))
		}
	case enabled || c.Version >= automaticSince && !f.Has("automatic_payment_methods") && p.LatestCharge == nil && !c.updates():
		p.AutomaticPaymentMethods = &AutomaticMethods{redirects, true}
	}
}

// updates says whether the call is about an object that exists.
func (c *Call) updates() bool { return c.ID != "" }

// choice reads one of a few words; the first is the default.
func choice(f *wire.Params, name string, words ...string) string {
	s := f.Text(name)
	switch {
	case s == "":
		return words[0]
	case !slices.Contains(words, s):
		f.Refuse(wire.Invalid(name, "Invalid %s: must be one of %s.", name, strings.Join(words, ", ")))
	}
	return s
}

// known checks that a customer exists.
func (c *Call) known(ctx context.Context, customer *string) error {
	if customer == nil {
		return nil
	}
	u, _, err := find[Customer](ctx, c, kindCustomer, *customer, "customer")
	if err == nil && u.Deleted {
		err = wire.NoSuch("customer", *customer, "customer")
	}
	return err
}

// choose makes a payment method the one that will pay.
func (c *Call) choose(ctx context.Context, p *Intent, method string) error {
	m, _, _, err := takeMethod(ctx, c, method, "payment_method")
	if err != nil {
		return err
	}
	if m.Customer != nil && (p.Customer == nil || *p.Customer != *m.Customer) {
		return wire.Invalid("payment_method", "The payment method %s belongs to a customer. Give the customer together with it.", m.ID)
	}
	p.PaymentMethod, p.Status, p.NextAction = &m.ID, "requires_confirmation", nil
	return nil
}

func getIntent(ctx context.Context, c *Call) (any, error) {
	c.Form.Text("client_secret")
	return c.get(ctx, kindIntent, "intent")
}

func listIntents(ctx context.Context, c *Call) (any, error) {
	where := map[string]any{}
	if v := c.Form.Text("customer"); v != "" {
		where["customer"] = v
	}
	return c.page(ctx, ledger.Query{Kind: kindIntent, Where: where})
}

// lockIntent locks an intent and before it the session that it pays, in the order that paying on the
// session's page has too. A session whose time has come expires, and the intent with it.
func lockIntent(ctx context.Context, c *Call) (p Intent, hidden intentHidden, err error) {
	o, err := c.Tx.Find(ctx, kindIntent, c.ID)
	if fault.Is(err, "pg.no_rows") {
		return p, hidden, wire.NoSuch(kindIntent, c.ID, "intent").Path()
	}
	if err == nil {
		err = unmarshal(o.Hidden, &hidden)
	}
	if err == nil && hidden.Session != "" {
		page := *c
		page.ID = hidden.Session
		_, _, err = lockSession(ctx, &page)
	}
	if err != nil {
		return p, hidden, err
	}
	p, o, err = lockPath[Intent](ctx, c, kindIntent, "intent")
	if err != nil {
		return p, hidden, err
	}
	return p, hidden, unmarshal(o.Hidden, &hidden)
}

func (c *Call) saveIntent(ctx context.Context, p Intent, hidden intentHidden) error {
	return c.update(ctx, ledger.Object{ID: p.ID}, p, hidden)
}

// wrongState is the answer to what an intent cannot do now.
func wrongState(p Intent, format string, args ...any) *wire.Error {
	e := wire.InvalidCode("payment_intent_unexpected_state", "", format, args...)
	e.Intent = p
	return e
}

func updateIntent(ctx context.Context, c *Call) (any, error) {
	p, hidden, err := lockIntent(ctx, c)
	if err != nil {
		return nil, err
	}
	f := c.Form
	open := slices.Contains([]string{"requires_payment_method", "requires_confirmation", "requires_action"}, p.Status)
	money := f.Has("amount") || f.Has("currency") || f.Has("payment_method") || f.Has("customer")
	if n, ok := f.OptionalInt("amount"); ok {
		p.Amount = n
	}
	if f.Has("currency") {
		p.Currency = readCurrency(f)
	}
	readIntent(c, &p)
	method := f.Text("payment_method")
	if err := f.Done(); err != nil {
		return nil, err
	}
	if money && !open {
		return nil, wrongState(p, "This PaymentIntent's amount, currency, customer and payment method could not be updated because it has a status of %s.", p.Status)
	}
	if err := c.known(ctx, p.Customer); err != nil {
		return nil, err
	}
	if method != "" {
		if err := c.choose(ctx, &p, method); err != nil {
			return nil, err
		}
	}
	return p, c.saveIntent(ctx, p, hidden)
}

func cancelIntent(ctx context.Context, c *Call) (any, error) {
	reason := c.Form.Optional("cancellation_reason")
	if reason != nil && !slices.Contains([]string{"duplicate", "fraudulent", "requested_by_customer", "abandoned"}, *reason) {
		c.Form.Refuse(wire.Invalid("cancellation_reason", "Invalid cancellation_reason: must be one of duplicate, fraudulent, requested_by_customer, or abandoned."))
	}
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	p, hidden, err := lockIntent(ctx, c)
	if err != nil {
		return nil, err
	}
	if p.Status == "succeeded" || p.Status == "canceled" {
		return nil, wrongState(p, "You cannot cancel this PaymentIntent because it has a status of %s.", p.Status)
	}
	if err := c.release(ctx, p); err != nil {
		return nil, err
	}
	return c.cancelNow(ctx, p, hidden, reason)
}

// release gives back what an intent holds but has not captured.
func (c *Call) release(ctx context.Context, p Intent) error {
	if p.Status != "requires_capture" || p.LatestCharge == nil {
		return nil
	}
	ch, o, err := lock[Charge](ctx, c, kindCharge, *p.LatestCharge, "charge")
	if err != nil {
		return err
	}
	r := Refund{
		ID: wire.NewID("re_3", 22), Object: kindRefund, Amount: ch.Amount - ch.AmountRefunded, Charge: ch.ID, Created: c.Now.Unix(),
		Currency: ch.Currency, Metadata: map[string]string{}, Status: "succeeded", PaymentIntent: &p.ID,
	}
	_, _, err = c.giveBack(ctx, r, ch, o, chargeHidden{})
	return err
}

func (c *Call) cancelNow(ctx context.Context, p Intent, hidden intentHidden, reason *string) (Intent, error) {
	now := c.Now.Unix()
	p.Status, p.CanceledAt, p.CancellationReason, p.NextAction, p.AmountCapturable = "canceled", &now, reason, nil, 0
	if err := c.saveIntent(ctx, p, hidden); err != nil {
		return p, err
	}
	return p, c.emit(ctx, "payment_intent.canceled", p, nil)
}

func captureIntent(ctx context.Context, c *Call) (any, error) {
	amount, given := c.Form.OptionalInt("amount_to_capture")
	descriptor := c.Form.Optional("statement_descriptor")
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	p, hidden, err := lockIntent(ctx, c)
	if err != nil {
		return nil, err
	}
	if p.Status != "requires_capture" || p.LatestCharge == nil {
		return nil, wrongState(p, "This PaymentIntent could not be captured because it has a status of %s. Only one with the status requires_capture may be captured.", p.Status)
	}
	ch, o, err := lock[Charge](ctx, c, kindCharge, *p.LatestCharge, "charge")
	if err != nil {
		return nil, err
	}
	if !given {
		amount = ch.Amount
	}
	set(c.Form, "statement_descriptor", &ch.StatementDescriptor, descriptor)
	if ch, err = c.captureNow(ctx, ch, o, amount); err != nil {
		return nil, err
	}
	p.Status, p.AmountCapturable, p.AmountReceived = "succeeded", 0, amount
	if err := c.saveIntent(ctx, p, hidden); err != nil {
		return nil, err
	}
	if err := c.emit(ctx, "payment_intent.succeeded", p, nil); err != nil {
		return nil, err
	}
	return p, c.paid(ctx, p, hidden.Session)
}
