package api

import (
	"context"
	"net/mail"
	"strings"

	"crema/server/core/payments/sandbox/cards"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// chargeInput is what POST /v1/charges takes.
type chargeInput struct {
	amount      int64
	currency    string
	source      string
	customer    string
	capture     bool
	description *string
	metadata    map[string]string
	email       *string
	descriptor  *string
	suffix      *string
	shipping    *Shipping
	group       *string
}

func createCharge(ctx context.Context, c *Call) (any, error) {
	in := readCharge(c)
	inline, hidden, refusal := inlineCard(c)
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	card, err := inline, error(nil)
	if card.ID == "" {
		card, hidden, err = payer(ctx, c, in)
	}
	if err != nil {
		return nil, err
	}
	test, _ := cards.ByName(hidden.Name)
	ch := newCharge(c, in, card, test)
	if d := test.Outcome.Decline; d != nil && (hidden.CVC || !test.Outcome.OnlyCVC) {
		return nil, c.decline(ctx, ch, d)
	}
	return c.approve(ctx, ch, in.capture, test.Outcome)
}

func readCharge(c *Call) chargeInput {
	f := c.Form
	in := chargeInput{
		amount: f.Int("amount"), currency: readCurrency(f), customer: f.Text("customer"),
		capture: f.Bool("capture", true), description: f.Optional("description"), metadata: merge(f, nil, f.Texts("metadata")),
		email: email(f, "receipt_email"), descriptor: f.Optional("statement_descriptor"),
		suffix: f.Optional("statement_descriptor_suffix"), shipping: readShipping(f), group: f.Optional("transfer_group"),
	}
	if !f.IsGroup("source") {
		in.source = f.Text("source")
		if in.source == "" && in.customer == "" {
			f.Refuse(wire.InvalidCode("parameter_missing", "", "Must provide source or customer."))
		}
	}
	if refusal := wire.Amount(in.amount, in.currency); refusal != nil {
		f.Refuse(refusal)
	}
	checkMetadata(f, in.metadata)
	return in
}

func readCurrency(f *wire.Params) string {
	currency, refusal := wire.Currency(f.Required("currency"))
	if refusal != nil {
		f.Refuse(refusal)
	}
	return currency
}

// inlineCard reads source[number]... for clients that send the card with the charge.
func inlineCard(c *Call) (Card, behaviour, *wire.Error) {
	if !c.Form.IsGroup("source") {
		return Card{}, behaviour{}, nil
	}
	return readCard(c, c.Form.Group("source"))
}

// payer finds the card that pays: a token's, or one that a customer keeps.
func payer(ctx context.Context, c *Call, in chargeInput) (Card, behaviour, error) {
	if in.customer == "" {
		if !strings.HasPrefix(in.source, "tok_") {
			return Card{}, behaviour{}, wire.NoSuch("token", in.source, "source")
		}
		return takeToken(ctx, c, in.source, "source")
	}
	customer, _, err := find[Customer](ctx, c, kindCustomer, in.customer, "customer")
	if err != nil {
		return Card{}, behaviour{}, err
	}
	id := in.source
	switch {
	case customer.Deleted:
		return Card{}, behaviour{}, wire.NoSuch("customer", in.customer, "customer")
	case id == "" && customer.DefaultSource == nil:
		return Card{}, behaviour{}, wire.Card("missing", "", "card", "Cannot charge a customer that has no active card.")
	case id == "":
		id = *customer.DefaultSource
	}
	card, o, err := find[Card](ctx, c, kindCard, id, "source")
	if wire.IsMissing(err) || err == nil && (card.Customer == nil || *card.Customer != customer.ID) {
		err = wire.NotLinked(customer.ID, id)
	}
	if err != nil {
		return Card{}, behaviour{}, err
	}
	hidden, err := readBehaviour(o)
	return card, hidden, err
}

// decline stores the failed charge and returns the 402 that names it.
func (c *Call) decline(ctx context.Context, ch Charge, d *cards.Decline) error {
	ch.Status, ch.FailureCode, ch.FailureMessage = "failed", text(d.Code), text(d.Message)
	ch.Outcome.Type, ch.Outcome.NetworkStatus = "issuer_declined", "declined_by_network"
	ch.Outcome.SellerMessage = "The bank did not return any further details with this decline."
	if d.Blocked {
		ch.Outcome.Type, ch.Outcome.NetworkStatus = "blocked", "not_sent_to_network"
		ch.Outcome.SellerMessage = "The sandbox blocked this payment as too risky."
	}
	reason := d.Decline
	if reason == "" {
		reason = d.Code
	}
	ch.Outcome.Reason = &reason
	if d.Code == "incorrect_cvc" {
		ch.check(text("fail"))
	}
	if err := c.insert(ctx, kindCharge, ch.ID, ch, nil); err != nil {
		return err
	}
	if err := c.emit(ctx, "charge.failed", ch, nil); err != nil {
		return err
	}
	refusal := wire.Card(d.Code, d.Decline, d.Param, d.Message)
	refusal.Charge = ch.ID
	return refusal
}

// approve stores the succeeded charge and, unless it waits for capture, moves the money.
func (c *Call) approve(ctx context.Context, ch Charge, capture bool, o cards.Outcome) (Charge, error) {
	ch.Status, ch.Paid, ch.ReceiptURL = "succeeded", true, text(c.Origin+"/_stripe/receipts/"+ch.ID)
	ch.Outcome.Type, ch.Outcome.NetworkStatus = "authorized", "approved_by_network"
	ch.Outcome.SellerMessage = "Payment complete."
	if capture {
		if err := c.take(ctx, &ch, ch.Amount, o.Instant); err != nil {
			return ch, err
		}
	}
	ch.Disputed = o.Dispute != ""
	hidden := chargeHidden{Refund: o.Refund, RefundEnds: o.RefundEnds, Frozen: ch.Disputed && !o.Inquiry}
	if err := c.insert(ctx, kindCharge, ch.ID, ch, hidden); err != nil {
		return ch, err
	}
	if err := c.emit(ctx, "charge.succeeded", ch, nil); err != nil || !ch.Disputed {
		return ch, err
	}
	return ch, c.dispute(ctx, ch, o)
}

// chargeHidden is what the sandbox hides beside a charge.
type chargeHidden struct {
	Refund     string `json:"refund"`      // status its refunds begin with; "" is succeeded
	RefundEnds string `json:"refund_ends"` // status they reach later; "" when they stay
	Frozen     bool   `json:"frozen"`      // disputed, so refunds are refused
}

// take moves amount from the card: balance transaction and journal. The caller stores the charge.
func (c *Call) take(ctx context.Context, ch *Charge, amount int64, instant bool) error {
	ch.Captured, ch.AmountCaptured = true, amount
	ch.CalculatedStatementDescriptor = text("SANDBOX")
	if ch.StatementDescriptor != nil {
		ch.CalculatedStatementDescriptor = ch.StatementDescriptor
	}
	id, err := c.balance(ctx, balanceMove{kind: "charge", source: ch.ID, amount: amount, currency: ch.Currency, fee: fee(amount), instant: instant})
	if err != nil {
		return err
	}
	ch.BalanceTransaction = &id
	return c.move(ctx, "charge", amount, ch.Currency, ch.ID, ch.ID)
}

func (c *Call) move(ctx context.Context, op string, amount int64, currency, object, charge string) error {
	return c.Tx.Move(ctx, ledger.Move{
		At: c.Now, Op: op, Amount: amount, Currency: currency, ObjectID: object, ChargeID: charge, Key: c.Key,
	})
}

func getCharge(ctx context.Context, c *Call) (any, error) { return c.get(ctx, kindCharge, "id") }

func listCharges(ctx context.Context, c *Call) (any, error) {
	where := map[string]any{}
	for _, filter := range []string{"customer", "payment_intent", "transfer_group"} {
		if v := c.Form.Text(filter); v != "" {
			where[filter] = v
		}
	}
	return c.page(ctx, ledger.Query{Kind: kindCharge, Where: where})
}

func updateCharge(ctx context.Context, c *Call) (any, error) {
	f := c.Form
	description, receipt, group := f.Optional("description"), email(f, "receipt_email"), f.Optional("transfer_group")
	metadata, shipping := f.Texts("metadata"), readShipping(f)
	customer, fraud := f.Text("customer"), f.Texts("fraud_details")
	checkMetadata(f, metadata)
	if err := f.Done(); err != nil {
		return nil, err
	}
	ch, o, err := lockPath[Charge](ctx, c, kindCharge, "id")
	if err != nil {
		return nil, err
	}
	if customer != "" {
		if ch.Customer != nil && *ch.Customer != customer {
			return nil, wire.Invalid("customer", "You cannot change the customer of a charge that has one.")
		}
		if _, _, err := find[Customer](ctx, c, kindCustomer, customer, "customer"); err != nil {
			return nil, err
		}
		ch.Customer = &customer
	}
	set(f, "description", &ch.Description, description)
	set(f, "receipt_email", &ch.ReceiptEmail, receipt)
	set(f, "transfer_group", &ch.TransferGroup, group)
	if f.Has("shipping") {
		ch.Shipping = shipping
	}
	if report := fraud["user_report"]; report != "" {
		ch.FraudDetails = map[string]string{"user_report": report}
	}
	ch.Metadata = merge(f, ch.Metadata, metadata)
	if err := c.update(ctx, o, ch, nil); err != nil {
		return nil, err
	}
	return ch, c.emit(ctx, "charge.updated", ch, nil)
}

func captureCharge(ctx context.Context, c *Call) (any, error) {
	f := c.Form
	amount, given := f.OptionalInt("amount")
	receipt, group := email(f, "receipt_email"), f.Optional("transfer_group")
	descriptor, suffix := f.Optional("statement_descriptor"), f.Optional("statement_descriptor_suffix")
	if err := f.Done(); err != nil {
		return nil, err
	}
	ch, o, err := lockPath[Charge](ctx, c, kindCharge, "charge")
	if err != nil {
		return nil, err
	}
	if !given {
		amount = ch.Amount
	}
	set(f, "receipt_email", &ch.ReceiptEmail, receipt)
	set(f, "transfer_group", &ch.TransferGroup, group)
	set(f, "statement_descriptor", &ch.StatementDescriptor, descriptor)
	set(f, "statement_descriptor_suffix", &ch.StatementDescriptorSuffix, suffix)
	return c.captureNow(ctx, ch, o, amount)
}

// captureNow takes money that was held.
func (c *Call) captureNow(ctx context.Context, ch Charge, o ledger.Object, amount int64) (Charge, error) {
	if err := capturable(ch, amount); err != nil {
		return ch, err
	}
	if err := c.take(ctx, &ch, amount, false); err != nil {
		return ch, err
	}
	// What is not captured goes back to the card; Stripe counts it as refunded.
	ch.AmountRefunded = ch.Amount - amount
	if err := c.update(ctx, o, ch, nil); err != nil {
		return ch, err
	}
	return ch, c.emit(ctx, "charge.captured", ch, nil)
}

func capturable(ch Charge, amount int64) error {
	switch {
	case ch.Status == "failed":
		return wire.Invalid("", "Charge %s failed and cannot be captured.", ch.ID)
	case ch.Captured:
		return wire.InvalidCode("charge_already_captured", "", "Charge %s has already been captured.", ch.ID)
	case ch.Refunded:
		return wire.InvalidCode("charge_already_refunded", "", "Charge %s has already been refunded.", ch.ID)
	case amount < 1:
		return wire.InvalidCode("parameter_invalid_integer", "amount", "This value must be greater than or equal to 1.")
	case amount > ch.Amount:
		return wire.InvalidCode("amount_too_large", "amount", "The amount must be less than or equal to the charge amount.")
	}
	return nil
}

// email reads an address; a 400 email_invalid when it is none.
func email(f *wire.Params, name string) *string {
	s := f.Optional(name)
	if s == nil {
		return nil
	}
	if a, err := mail.ParseAddress(*s); err != nil || a.Address != *s {
		f.Refuse(wire.InvalidCode("email_invalid", name, "Invalid email address: %.80s", *s))
	}
	return s
}

// set changes a field when its parameter was sent; an empty text unsets it.
func set(f *wire.Params, name string, field **string, value *string) {
	if f.Has(name) {
		*field = value
	}
}

// Charge is one attempt to take money from a card. Amounts are in minor units.
type Charge struct {
	ID                            string            `json:"id"`
	Object                        string            `json:"object"`
	Amount                        int64             `json:"amount"`
	AmountCaptured                int64             `json:"amount_captured"`
	AmountRefunded                int64             `json:"amount_refunded"`
	Application                   *string           `json:"application"`
	ApplicationFee                *string           `json:"application_fee"`
	ApplicationFeeAmount          *int64            `json:"application_fee_amount"`
	BalanceTransaction            *string           `json:"balance_transaction"`
	BillingDetails                BillingDetails    `json:"billing_details"`
	CalculatedStatementDescriptor *string           `json:"calculated_statement_descriptor"`
	Captured                      bool              `json:"captured"`
	Created                       int64             `json:"created"`
	Currency                      string            `json:"currency"`
	Customer                      *string           `json:"customer"`
	Description                   *string           `json:"description"`
	Disputed                      bool              `json:"disputed"`
	FailureBalanceTransaction     *string           `json:"failure_balance_transaction"`
	FailureCode                   *string           `json:"failure_code"`
	FailureMessage                *string           `json:"failure_message"`
	FraudDetails                  map[string]string `json:"fraud_details"`
	Invoice                       *string           `json:"invoice"`
	Livemode                      bool              `json:"livemode"`
	Metadata                      map[string]string `json:"metadata"`
	OnBehalfOf                    *string           `json:"on_behalf_of"`
	Outcome                       Outcome           `json:"outcome"`
	Paid                          bool              `json:"paid"`
	PaymentIntent                 *string           `json:"payment_intent"`
	PaymentMethod                 *string           `json:"payment_method"`
	PaymentMethodDetails          MethodDetails     `json:"payment_method_details"`
	ReceiptEmail                  *string           `json:"receipt_email"`
	ReceiptNumber                 *string           `json:"receipt_number"`
	ReceiptURL                    *string           `json:"receipt_url"`
	Refunded                      bool              `json:"refunded"`
	Review                        *string           `json:"review"`
	Shipping                      *Shipping         `json:"shipping"`
	Source                        *Card             `json:"source"`
	SourceTransfer                *string           `json:"source_transfer"`
	StatementDescriptor           *string           `json:"statement_descriptor"`
	StatementDescriptorSuffix     *string           `json:"statement_descriptor_suffix"`
	Status                        string            `json:"status"`
	TransferData                  *string           `json:"transfer_data"`
	TransferGroup                 *string           `json:"transfer_group"`
}

// BillingDetails is who pays, as far as the card says.
type BillingDetails struct {
	Address Address `json:"address"`
	Email   *string `json:"email"`
	Name    *string `json:"name"`
	Phone   *string `json:"phone"`
}

// Address is a postal address.
type Address struct {
	City       *string `json:"city"`
	Country    *string `json:"country"`
	Line1      *string `json:"line1"`
	Line2      *string `json:"line2"`
	PostalCode *string `json:"postal_code"`
	State      *string `json:"state"`
}

// Shipping is where the goods go.
type Shipping struct {
	Address        Address `json:"address"`
	Carrier        *string `json:"carrier"`
	Name           *string `json:"name"`
	Phone          *string `json:"phone"`
	TrackingNumber *string `json:"tracking_number"`
}

// Outcome is what the bank and the risk rules said.
type Outcome struct {
	NetworkStatus string  `json:"network_status"`
	Reason        *string `json:"reason"`
	RiskLevel     string  `json:"risk_level"`
	RiskScore     int64   `json:"risk_score"`
	SellerMessage string  `json:"seller_message"`
	Type          string  `json:"type"`
}

// MethodDetails is the card at the time of the charge.
type MethodDetails struct {
	Card CardDetails `json:"card"`
	Type string      `json:"type"`
}

// CardDetails are the facts of a card that a charge repeats.
type CardDetails struct {
	Brand        string        `json:"brand"`
	Checks       Checks        `json:"checks"`
	Country      string        `json:"country"`
	ExpMonth     int64         `json:"exp_month"`
	ExpYear      int64         `json:"exp_year"`
	Fingerprint  string        `json:"fingerprint"`
	Funding      string        `json:"funding"`
	Installments *string       `json:"installments"`
	Last4        string        `json:"last4"`
	Mandate      *string       `json:"mandate"`
	Network      string        `json:"network"`
	ThreeDSecure *ThreeDSecure `json:"three_d_secure"`
	Wallet       *string       `json:"wallet"`
}

// ThreeDSecure is how the shopper proved to be the owner of the card.
type ThreeDSecure struct {
	AuthenticationFlow string  `json:"authentication_flow"`
	Result             string  `json:"result"`
	ResultReason       *string `json:"result_reason"`
	Version            string  `json:"version"`
}

// Checks are pass, fail, unchecked or null.
type Checks struct {
	AddressLine1Check      *string `json:"address_line1_check"`
	AddressPostalCodeCheck *string `json:"address_postal_code_check"`
	CVCCheck               *string `json:"cvc_check"`
}

// newCharge fills in everything but what the bank says.
func newCharge(c *Call, in chargeInput, card Card, test cards.Card) Charge {
	card.AddressLine1Check, card.AddressZipCheck = passed(card.AddressLine1Check), passed(card.AddressZipCheck)
	ch := Charge{
		ID: wire.NewID("ch_3", 22), Object: kindCharge, Amount: in.amount, Created: c.Now.Unix(), Currency: in.currency,
		Customer: text(in.customer), Description: in.description, FraudDetails: map[string]string{},
		Metadata: in.metadata, Outcome: Outcome{RiskLevel: "normal", RiskScore: 20}, PaymentMethod: &card.ID,
		ReceiptEmail: in.email, Shipping: in.shipping, StatementDescriptor: in.descriptor,
		StatementDescriptorSuffix: in.suffix, TransferGroup: in.group, Source: &card,
	}
	if test.Outcome.Risk != "" {
		ch.Outcome.RiskLevel, ch.Outcome.RiskScore = test.Outcome.Risk, 75
	}
	ch.BillingDetails.Name = card.Name
	ch.BillingDetails.Address = Address{
		City: card.AddressCity, Country: card.AddressCountry, Line1: card.AddressLine1,
		Line2: card.AddressLine2, PostalCode: card.AddressZip, State: card.AddressState,
	}
	ch.PaymentMethodDetails = MethodDetails{Type: "card", Card: CardDetails{
		Brand: test.Brand.Network, Country: card.Country, ExpMonth: card.ExpMonth, ExpYear: card.ExpYear,
		Fingerprint: card.Fingerprint, Funding: card.Funding, Last4: card.Last4, Network: test.Brand.Network,
		Checks: Checks{AddressLine1Check: card.AddressLine1Check, AddressPostalCodeCheck: card.AddressZipCheck},
	}}
	ch.check(passed(card.CVCCheck))
	return ch
}

// check sets the result of the security code in both places.
func (ch *Charge) check(result *string) {
	ch.PaymentMethodDetails.Card.Checks.CVCCheck = result
	if ch.Source != nil {
		ch.Source.CVCCheck = result
	}
}

func passed(check *string) *string {
	if check == nil {
		return nil
	}
	return text("pass")
}
