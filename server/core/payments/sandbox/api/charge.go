package api

import (
	"maps"

	"crema/server/core/payments/sandbox/cards"
	"crema/server/core/payments/sandbox/wire"
)

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
	Brand        string  `json:"brand"`
	Checks       Checks  `json:"checks"`
	Country      string  `json:"country"`
	ExpMonth     int64   `json:"exp_month"`
	ExpYear      int64   `json:"exp_year"`
	Fingerprint  string  `json:"fingerprint"`
	Funding      string  `json:"funding"`
	Installments *string `json:"installments"`
	Last4        string  `json:"last4"`
	Mandate      *string `json:"mandate"`
	Network      string  `json:"network"`
	ThreeDSecure *string `json:"three_d_secure"`
	Wallet       *string `json:"wallet"`
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
	ch.Source.CVCCheck, ch.PaymentMethodDetails.Card.Checks.CVCCheck = result, result
}

func passed(check *string) *string {
	if check == nil {
		return nil
	}
	return text("pass")
}

func readShipping(f *wire.Params) *Shipping {
	g := f.Group("shipping")
	s := &Shipping{
		Address: readAddress(g), Carrier: g.Optional("carrier"), Name: g.Optional("name"),
		Phone: g.Optional("phone"), TrackingNumber: g.Optional("tracking_number"),
	}
	if !f.IsGroup("shipping") {
		return nil
	}
	return s
}

func readAddress(f *wire.Params) Address {
	g := f.Group("address")
	return Address{
		City: g.Optional("city"), Country: g.Optional("country"), Line1: g.Optional("line1"),
		Line2: g.Optional("line2"), PostalCode: g.Optional("postal_code"), State: g.Optional("state"),
	}
}

// checkMetadata refuses more than 50 keys, keys over 40 characters and values over 500.
func checkMetadata(f *wire.Params, m map[string]string) {
	if len(m) > 50 {
		f.Refuse(wire.Invalid("metadata", "You can have at most 50 metadata keys."))
	}
	for k, v := range m {
		if len([]rune(k)) > 40 || len([]rune(v)) > 500 {
			f.Refuse(wire.Invalid("metadata", "Metadata keys may have 40 characters and values 500; %.40q has more.", k))
		}
	}
}

// merge sets the given keys; an empty text removes its key, and metadata= removes all.
func merge(f *wire.Params, old, given map[string]string) map[string]string {
	merged := map[string]string{}
	if !f.Has("metadata") || f.IsGroup("metadata") {
		maps.Copy(merged, old)
	}
	for k, v := range given {
		merged[k] = v
		if v == "" {
			delete(merged, k)
		}
	}
	return merged
}
