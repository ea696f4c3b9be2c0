package api

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"

	"crema/server/core/payments/sandbox/cards"
	"crema/server/core/payments/sandbox/wire"
)

// confirmation is how an intent is to be paid.
type confirmation struct {
	returnURL     *string
	offSession    bool // the shopper is not there to authenticate
	errorOnAction bool // better fail than ask
}

func readConfirmation(f *wire.Params) confirmation {
	in := confirmation{returnURL: f.Optional("return_url"), errorOnAction: f.Bool("error_on_requires_action", false)}
	if in.returnURL != nil {
		checkURL(f, "return_url", *in.returnURL)
	}
	switch f.Text("off_session") {
	case "one_off", "recurring":
		in.offSession = true
	default:
		in.offSession = f.Bool("off_session", false)
	}
	f.Bool("use_stripe_sdk", false)
	return in
}

func checkURL(f *wire.Params, name, raw string) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" && (u.Scheme == "http" || u.Scheme == "https") {
		f.Refuse(wire.InvalidCode("url_invalid", name, "Not a valid URL: %s must be absolute, as https://example.com/.", name))
	}
}

func confirmIntent(ctx context.Context, c *Call) (any, error) {
	f := c.Form
	method, in, receipt := f.Text("payment_method"), readConfirmation(f), email(f, "receipt_email")
	capture := f.Text("capture_method")
	f.Text("client_secret")
	if err := f.Done(); err != nil {
		return nil, err
	}
	p, hidden, err := lockIntent(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := c.confirmable(p); err != nil {
		return nil, err
	}
	if method != "" {
		if err := c.choose(ctx, &p, method); err != nil {
			return nil, err
		}
	}
	set(f, "receipt_email", &p.ReceiptEmail, receipt)
	if capture != "" {
		p.CaptureMethod = choice(f, "capture_method", "automatic", "manual", "automatic_async")
	}
	if err := f.Done(); err != nil {
		return nil, err
	}
	return p, c.confirm(ctx, &p, &hidden, in)
}

func (c *Call) confirmable(p Intent) error {
	if slices.Contains([]string{"requires_payment_method", "requires_confirmation", "requires_action"}, p.Status) {
		return nil
	}
	return wrongState(p, "You cannot confirm this PaymentIntent because it has a status of %s.", p.Status)
}

// confirm tries to take the money with the chosen payment method, or asks the shopper to authenticate.
func (c *Call) confirm(ctx context.Context, p *Intent, hidden *intentHidden, in confirmation) error {
	auto := p.AutomaticPaymentMethods
	switch {
	case p.PaymentMethod == nil:
		return wrongState(*p, "You cannot confirm this PaymentIntent because it's missing a payment method. Update it with one, or give one with the confirmation.")
	case auto != nil && auto.AllowRedirects != "never" && in.returnURL == nil:
		return wire.Invalid("return_url", "This PaymentIntent takes payment methods that may leave your page, so you must give a return_url. Or create it with payment_method_types[]=card or automatic_payment_methods[allow_redirects]=never.")
	}
	m, mine, o, err := takeMethod(ctx, c, *p.PaymentMethod, "payment_method")
	if err != nil {
		return err
	}
	test, _ := cards.ByName(mine.Name)
	switch {
	case test.Outcome.Challenge && (in.offSession || in.errorOnAction):
		d := *test.Outcome.Decline
		d.Code = d.Decline
		return c.pay(ctx, p, hidden, payment{m, mine, o.ID, test, &d, nil})
	case test.Outcome.Challenge:
		return c.challenge(ctx, p, hidden, in.returnURL)
	}
	d := test.Outcome.Decline
	if test.Outcome.OnlyCVC && !mine.CVC {
		d = nil
	}
	return c.pay(ctx, p, hidden, payment{m, mine, o.ID, test, d, nil})
}

// challenge sends the shopper to the page of the bank.
func (c *Call) challenge(ctx context.Context, p *Intent, hidden *intentHidden, returnURL *string) error {
	page := c.Origin + "/_stripe/3ds/" + p.ID
	hidden.Return = ""
	p.Status = "requires_action"
	p.NextAction = &NextAction{Type: "use_stripe_sdk", UseStripeSDK: map[string]any{"type": "three_d_secure_redirect", "stripe_js": page}}
	if returnURL != nil {
		hidden.Return = *returnURL
		p.NextAction = &NextAction{Type: "redirect_to_url", RedirectToURL: &Redirect{returnURL, page}}
	}
	if err := c.saveIntent(ctx, *p, *hidden); err != nil {
		return err
	}
	return c.emit(ctx, "payment_intent.requires_action", *p, nil)
}

// payment is a payment method and what its bank is going to say.
type payment struct {
	method  Method
	mine    methodHidden
	id      string // of the stored payment method
	test    cards.Card
	decline *cards.Decline
	secure  *ThreeDSecure
}

// pay asks the bank. A decline is a *wire.Error with Keep.
func (c *Call) pay(ctx context.Context, p *Intent, hidden *intentHidden, by payment) error {
	ch := c.chargeFor(*p, by)
	if by.decline != nil {
		return c.refused(ctx, p, hidden, by.method, c.decline(ctx, ch, by.decline))
	}
	ch, err := c.approve(ctx, ch, p.CaptureMethod != "manual", by.test.Outcome)
	if err != nil {
		return err
	}
	if err := c.use(ctx, p, by); err != nil {
		return err
	}
	kind := "payment_intent.succeeded"
	p.LatestCharge, p.LastPaymentError, p.NextAction = &ch.ID, nil, nil
	p.Status, p.AmountReceived = "succeeded", p.Amount
	if !ch.Captured {
		kind = "payment_intent.amount_capturable_updated"
		p.Status, p.AmountReceived, p.AmountCapturable = "requires_capture", 0, p.Amount
	}
	if err := c.saveIntent(ctx, *p, *hidden); err != nil {
		return err
	}
	if err := c.emit(ctx, kind, *p, nil); err != nil {
		return err
	}
	return c.paid(ctx, *p, hidden.Session)
}

func (c *Call) chargeFor(p Intent, by payment) Charge {
	metadata := map[string]string{}
	for k, v := range p.Metadata {
		metadata[k] = v
	}
	in := chargeInput{
		amount: p.Amount, currency: p.Currency, description: p.Description, metadata: metadata, email: p.ReceiptEmail,
		descriptor: p.StatementDescriptor, suffix: p.StatementDescriptorSuffix, shipping: p.Shipping, group: p.TransferGroup,
	}
	if p.Customer != nil {
		in.customer = *p.Customer
	}
	ch := newCharge(c, in, by.method.asCard(by.test), by.test)
	ch.Source, ch.PaymentIntent, ch.PaymentMethod = nil, &p.ID, &by.method.ID
	ch.BillingDetails = by.method.BillingDetails
	ch.PaymentMethodDetails.Card.ThreeDSecure = by.secure
	return ch
}

// use marks the payment method as used up, or as the customer's for later.
func (c *Call) use(ctx context.Context, p *Intent, by payment) error {
	by.mine.Used = true
	if p.SetupFutureUsage != nil && p.Customer != nil {
		by.method.Customer = p.Customer
	}
	by.method.Card.Checks.CVCCheck = passed(by.method.Card.Checks.CVCCheck)
	o, err := c.Tx.Lock(ctx, kindMethod, by.id)
	if err != nil {
		return err
	}
	return c.update(ctx, o, by.method, by.mine)
}

// refused notes on the intent why its payment method did not pay, and completes the error.
func (c *Call) refused(ctx context.Context, p *Intent, hidden *intentHidden, m Method, err error) error {
	var e *wire.Error
	if !errors.As(err, &e) {
		return err
	}
	p.Status, p.PaymentMethod, p.NextAction = "requires_payment_method", nil, nil
	if e.Charge != "" {
		p.LatestCharge = &e.Charge
	}
	p.LastPaymentError = &IntentError{
		Charge: e.Charge, Code: e.Code, DeclineCode: e.DeclineCode, DocURL: wire.DocURL(e.Code), Message: e.Message,
		Param: e.Param, PaymentMethod: &m, Type: e.Type,
	}
	if err := c.saveIntent(ctx, *p, *hidden); err != nil {
		return err
	}
	if err := c.emit(ctx, "payment_intent.payment_failed", *p, nil); err != nil {
		return err
	}
	e.Intent, e.Method = *p, m
	return e
}

// Authenticate is what the shopper did on the page of the bank, about the intent of the path. An intent
// that waits for nothing is returned as it is, so that a second press changes nothing.
func Authenticate(ctx context.Context, c *Call, pass bool) (Challenge, error) {
	p, hidden, err := lockIntent(ctx, c)
	if err != nil {
		return Challenge{}, err
	}
	if p.Status == "requires_action" && p.PaymentMethod != nil {
		err = c.authenticated(ctx, &p, &hidden, pass)
	}
	ch, again := c.challengeOf(ctx, p, hidden)
	return ch, cmp.Or(again, err)
}

// Challenge is an intent as the page of the bank sees it.
type Challenge struct {
	Intent  Intent
	Session *Session // that it pays; nil: none
	Return  string   // where the shopper goes next when there is no session; may be empty
	Last4   string   // of the card; empty when no card is chosen
}

// FindChallenge returns the intent of the path; a 404 when there is none.
func FindChallenge(ctx context.Context, c *Call) (Challenge, error) {
	p, hidden, err := lockIntent(ctx, c)
	if err != nil {
		return Challenge{}, err
	}
	return c.challengeOf(ctx, p, hidden)
}

func (c *Call) challengeOf(ctx context.Context, p Intent, hidden intentHidden) (Challenge, error) {
	ch := Challenge{Intent: p, Return: hidden.Return}
	if hidden.Session != "" {
		s, _, err := find[Session](ctx, c, kindSession, hidden.Session, "session")
		if err != nil {
			return ch, err
		}
		ch.Session = &s
	}
	if p.PaymentMethod == nil {
		return ch, nil
	}
	m, _, err := find[Method](ctx, c, kindMethod, *p.PaymentMethod, "payment_method")
	ch.Last4 = m.Card.Last4
	return ch, err
}

func (c *Call) authenticated(ctx context.Context, p *Intent, hidden *intentHidden, pass bool) error {
	m, mine, o, err := takeMethod(ctx, c, *p.PaymentMethod, "payment_method")
	if err != nil {
		return err
	}
	if !pass {
		e := wire.InvalidCode("payment_intent_authentication_failure", "", "The bank could not confirm that it is you. You have not been charged. Try again, or use another card.")
		e.Keep = true
		return c.refused(ctx, p, hidden, m, e)
	}
	test, _ := cards.ByName(mine.Name)
	return c.pay(ctx, p, hidden, payment{m, mine, o.ID, test, test.Outcome.After, &ThreeDSecure{
		AuthenticationFlow: "challenge", Result: "authenticated", Version: "2.2.0",
	}})
}
