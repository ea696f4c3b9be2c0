package api

import (
	"context"
	"strconv"
	"strings"
	"time"

	"crema/server/core/payments/sandbox/cards"
	"crema/server/core/payments/sandbox/ledger"
	"crema/server/core/payments/sandbox/wire"
)

// tokenLife is how long a token may be charged.
const tokenLife = 10 * time.Minute

// Token stands for a card once.
type Token struct {
	ID       string  `json:"id"`
	Object   string  `json:"object"`
	Card     Card    `json:"card"`
	ClientIP *string `json:"client_ip"`
	Created  int64   `json:"created"`
	Livemode bool    `json:"livemode"`
	Type     string  `json:"type"`
	Used     bool    `json:"used"`
}

// Card is what may be shown of a card.
type Card struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	AddressCity        *string           `json:"address_city"`
	AddressCountry     *string           `json:"address_country"`
	AddressLine1       *string           `json:"address_line1"`
	AddressLine1Check  *string           `json:"address_line1_check"`
	AddressLine2       *string           `json:"address_line2"`
	AddressState       *string           `json:"address_state"`
	AddressZip         *string           `json:"address_zip"`
	AddressZipCheck    *string           `json:"address_zip_check"`
	Brand              string            `json:"brand"`
	Country            string            `json:"country"`
	Customer           *string           `json:"customer,omitempty"`
	CVCCheck           *string           `json:"cvc_check"`
	DynamicLast4       *string           `json:"dynamic_last4"`
	ExpMonth           int64             `json:"exp_month"`
	ExpYear            int64             `json:"exp_year"`
	Fingerprint        string            `json:"fingerprint"`
	Funding            string            `json:"funding"`
	Last4              string            `json:"last4"`
	Metadata           map[string]string `json:"metadata"`
	Name               *string           `json:"name"`
	TokenizationMethod *string           `json:"tokenization_method"`
}

// behaviour is what the sandbox hides beside a token or a card: which test card it is.
type behaviour struct {
	Name string `json:"name"`
	CVC  bool   `json:"cvc"` // a security code was given
}

func createToken(ctx context.Context, c *Call) (any, error) {
	for _, ignored := range []string{"key", "email", "guid", "muid", "sid", "payment_user_agent", "time_on_page", "referrer"} {
		c.Form.Text(ignored)
	}
	if !c.Form.Has("card") {
		c.Form.Refuse(wire.InvalidCode("parameter_missing", "card", "You must supply a card: card[number], card[exp_month], card[exp_year], card[cvc]."))
	}
	card, hidden, refusal := readCard(c, c.Form.Group("card"))
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	t := Token{
		ID: wire.NewID("tok_1", 23), Object: kindToken, Card: card, ClientIP: text(c.ClientIP),
		Created: c.Now.Unix(), Type: "card",
	}
	return t, c.insert(ctx, kindToken, t.ID, t, hidden)
}

func getToken(ctx context.Context, c *Call) (any, error) { return c.get(ctx, kindToken, "token") }

// readCard reads card details. Parameters that are wrong as such go to the form; what a card network
// would refuse is the *wire.Error. The number is looked up in the list of test cards and forgotten.
func readCard(c *Call, g *wire.Params) (Card, behaviour, *wire.Error) {
	g.Text("object")
	number := strings.NewReplacer(" ", "", "-", "").Replace(g.Required("number"))
	month, year, cvc := g.Required("exp_month"), g.Required("exp_year"), g.Text("cvc")
	test, refusal := lookUp(number)
	if refusal == nil {
		refusal = checkExpiry(c.Now, month, year)
	}
	if refusal == nil && cvc != "" && (len(cvc) != test.Brand.CVC || !digits(cvc)) {
		refusal = wire.Card("invalid_cvc", "", "cvc", "Your card's security code is invalid.")
	}
	card := newCard(test, atoi(month), fullYear(c.Now, year))
	card.Name = g.Optional("name")
	card.AddressLine1, card.AddressLine2 = g.Optional("address_line1"), g.Optional("address_line2")
	card.AddressCity, card.AddressState = g.Optional("address_city"), g.Optional("address_state")
	card.AddressZip, card.AddressCountry = g.Optional("address_zip"), g.Optional("address_country")
	card.CVCCheck = unchecked(cvc != "")
	card.AddressZipCheck, card.AddressLine1Check = unchecked(card.AddressZip != nil), unchecked(card.AddressLine1 != nil)
	return card, behaviour{test.Name, cvc != ""}, refusal
}

func lookUp(number string) (cards.Card, *wire.Error) {
	if test, ok := cards.ByNumber(number); ok {
		return test, nil
	}
	refusal := wire.Card("card_declined", "test_mode_live_card", "",
		"Your card was declined. Your request was in test mode, but used a non test card. Use one of the test cards, for example 4242 4242 4242 4242.")
	switch {
	case !digits(number):
		refusal = wire.Card("invalid_number", "", "number", "The card number is not a valid credit card number.")
	case len(number) < 12 || len(number) > 19 || !cards.Luhn(number):
		refusal = wire.Card("incorrect_number", "", "number", "Your card number is incorrect.")
	}
	refusal.Keep = false // it may be a real number: not even a hash of the request is stored
	return cards.Card{Number: "0000"}, refusal
}

func checkExpiry(now time.Time, month, year string) *wire.Error {
	m, y := atoi(month), fullYear(now, year)
	badMonth := wire.Card("invalid_expiry_month", "", "exp_month", "Your card's expiration month is invalid.")
	nowYear := int64(now.Year())
	switch {
	case m < 1 || m > 12:
		return badMonth
	case y < nowYear || y > nowYear+50:
		return wire.Card("invalid_expiry_year", "", "exp_year", "Your card's expiration year is invalid.")
	case y == nowYear && m < int64(now.Month()):
		return badMonth
	}
	return nil
}

func newCard(test cards.Card, month, year int64) Card {
	return Card{
		ID: wire.NewID("card_1", 23), Object: kindCard, Brand: test.Brand.Title, Country: "US", ExpMonth: month,
		ExpYear: year, Fingerprint: test.Fingerprint(), Funding: test.Funding, Last4: test.Last4(),
		Metadata: map[string]string{},
	}
}

// takeToken uses up a token and returns its card. Predefined tokens give a new card every time.
func takeToken(ctx context.Context, c *Call, id, param string) (Card, behaviour, error) {
	if test, ok := cards.ByToken(id); ok {
		card := newCard(test, 12, int64(c.Now.Year()+1))
		card.CVCCheck = unchecked(true)
		return card, behaviour{test.Name, true}, nil
	}
	t, o, err := lock[Token](ctx, c, kindToken, id, param)
	switch {
	case err != nil:
		return Card{}, behaviour{}, err
	case t.Used:
		return Card{}, behaviour{}, wire.InvalidCode("token_already_used", param, "You cannot use a Stripe token more than once: %s.", t.ID)
	case c.Now.Sub(time.Unix(t.Created, 0)) > tokenLife:
		return Card{}, behaviour{}, wire.InvalidCode("resource_missing", param, "No such token: '%s'; it has expired.", t.ID)
	}
	hidden, err := readBehaviour(o)
	if err != nil {
		return Card{}, behaviour{}, err
	}
	t.Used = true
	return t.Card, hidden, c.update(ctx, o, t, nil)
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// atoi returns -1 for what is not a small number.
func atoi(s string) int64 {
	if !digits(s) || len(s) > 4 {
		return -1
	}
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// fullYear reads 27 as 2027.
func fullYear(now time.Time, s string) int64 {
	n := atoi(s)
	if len(s) <= 2 && n >= 0 {
		n += int64(now.Year() / 100 * 100)
	}
	return n
}

func unchecked(given bool) *string {
	if !given {
		return nil
	}
	return text("unchecked")
}

func readBehaviour(o ledger.Object) (b behaviour, err error) {
	return b, unmarshal(o.Hidden, &b)
}

// Method is a payment method: a card that an intent can be paid with.
type Method struct {
	ID             string            `json:"id"`
	Object         string            `json:"object"`
	BillingDetails BillingDetails    `json:"billing_details"`
	Card           MethodCard        `json:"card"`
	Created        int64             `json:"created"`
	Customer       *string           `json:"customer"`
	Livemode       bool              `json:"livemode"`
	Metadata       map[string]string `json:"metadata"`
	Type           string            `json:"type"`
}

// MethodCard is what may be shown of the card.
type MethodCard struct {
	Brand             string          `json:"brand"`
	Checks            Checks          `json:"checks"`
	Country           string          `json:"country"`
	ExpMonth          int64           `json:"exp_month"`
	ExpYear           int64           `json:"exp_year"`
	Fingerprint       string          `json:"fingerprint"`
	Funding           string          `json:"funding"`
	GeneratedFrom     *string         `json:"generated_from"`
	Last4             string          `json:"last4"`
	Networks          map[string]any  `json:"networks"`
	ThreeDSecureUsage map[string]bool `json:"three_d_secure_usage"`
	Wallet            *string         `json:"wallet"`
}

// methodHidden says which test card it is, and whether it has paid.
type methodHidden struct {
	behaviour
	Used bool `json:"used"`
}

func createMethod(ctx context.Context, c *Call) (any, error) {
	f := c.Form
	if kind := f.Required("type"); kind != "" && kind != kindCard {
		f.Refuse(wire.Invalid("type", "Invalid type: the sandbox has payment methods of type card only."))
	}
	if !f.Has("card") {
		f.Refuse(wire.InvalidCode("parameter_missing", "card", "Missing required param: card."))
	}
	g := f.Group("card")
	billing, metadata := readBilling(f), f.Texts("metadata")
	checkMetadata(f, metadata)
	token := g.Text("token")
	var card Card
	var hidden behaviour
	var refusal *wire.Error
	if token == "" {
		card, hidden, refusal = readCard(c, g)
	}
	if err := f.Done(); err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, refusal
	}
	if token != "" {
		var err error
		if card, hidden, err = takeToken(ctx, c, token, "card[token]"); err != nil {
			return nil, err
		}
	}
	m := newMethod(c, card, hidden)
	m.Metadata = merge(f, nil, metadata)
	if f.Has("billing_details") {
		m.BillingDetails = billing
	}
	return m, c.insert(ctx, kindMethod, m.ID, m, methodHidden{behaviour: hidden})
}

func readBilling(f *wire.Params) BillingDetails {
	g := f.Group("billing_details")
	return BillingDetails{Address: readAddress(g), Email: email(g, "email"), Name: g.Optional("name"), Phone: g.Optional("phone")}
}

func newMethod(c *Call, card Card, hidden behaviour) Method {
	test, _ := cards.ByName(hidden.Name)
	return Method{
		ID: wire.NewID("pm_1", 23), Object: kindMethod, Created: c.Now.Unix(), Metadata: map[string]string{}, Type: kindCard,
		BillingDetails: BillingDetails{Name: card.Name, Address: Address{
			City: card.AddressCity, Country: card.AddressCountry, Line1: card.AddressLine1,
			Line2: card.AddressLine2, PostalCode: card.AddressZip, State: card.AddressState,
		}},
		Card: MethodCard{
			Brand: test.Brand.Network, Country: card.Country, ExpMonth: card.ExpMonth, ExpYear: card.ExpYear,
			Fingerprint: card.Fingerprint, Funding: card.Funding, Last4: card.Last4,
			Checks:            Checks{card.AddressLine1Check, card.AddressZipCheck, card.CVCCheck},
			Networks:          map[string]any{"available": []string{test.Brand.Network}, "preferred": nil},
			ThreeDSecureUsage: map[string]bool{"supported": true},
		},
	}
}

// asCard is the card behind a payment method, as charges know it.
func (m Method) asCard(test cards.Card) Card {
	card := newCard(test, m.Card.ExpMonth, m.Card.ExpYear)
	card.ID, card.Name, card.CVCCheck = m.ID, m.BillingDetails.Name, m.Card.Checks.CVCCheck
	card.AddressLine1Check, card.AddressZipCheck = m.Card.Checks.AddressLine1Check, m.Card.Checks.AddressPostalCodeCheck
	return card
}

// takeMethod locks a payment method that is to pay. A predefined one becomes a new one every time.
func takeMethod(ctx context.Context, c *Call, id, param string) (Method, methodHidden, ledger.Object, error) {
	if test, ok := cards.ByMethod(id); ok {
		card := newCard(test, 12, int64(c.Now.Year()+1))
		card.CVCCheck = unchecked(true)
		hidden := methodHidden{behaviour: behaviour{test.Name, true}}
		m := newMethod(c, card, hidden.behaviour)
		if err := c.insert(ctx, kindMethod, m.ID, m, hidden); err != nil {
			return Method{}, methodHidden{}, ledger.Object{}, err
		}
		id = m.ID
	}
	m, o, err := lock[Method](ctx, c, kindMethod, id, param)
	if err != nil {
		return Method{}, methodHidden{}, o, err
	}
	var hidden methodHidden
	if err := unmarshal(o.Hidden, &hidden); err != nil {
		return Method{}, methodHidden{}, o, err
	}
	if hidden.Used && m.Customer == nil {
		return m, hidden, o, wire.Invalid(param, "The payment method %s has paid already without belonging to a customer, or was detached. It may not be used again; make a new one.", m.ID)
	}
	return m, hidden, o, nil
}

func getMethod(ctx context.Context, c *Call) (any, error) {
	return c.get(ctx, kindMethod, "payment_method")
}

func updateMethod(ctx context.Context, c *Call) (any, error) {
	billing, metadata := readBilling(c.Form), c.Form.Texts("metadata")
	checkMetadata(c.Form, metadata)
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	m, o, err := lockPath[Method](ctx, c, kindMethod, "payment_method")
	if err != nil {
		return nil, err
	}
	if c.Form.Has("billing_details") {
		m.BillingDetails = billing
	}
	m.Metadata = merge(c.Form, m.Metadata, metadata)
	if err := c.update(ctx, o, m, nil); err != nil {
		return nil, err
	}
	return m, c.emit(ctx, "payment_method.updated", m, nil)
}

func attachMethod(ctx context.Context, c *Call) (any, error) {
	customer := c.Form.Required("customer")
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	u, _, err := find[Customer](ctx, c, kindCustomer, customer, "customer")
	if err == nil && u.Deleted {
		err = wire.NoSuch("customer", customer, "customer")
	}
	if err != nil {
		return nil, err
	}
	m, hidden, o, err := takeMethod(ctx, c, c.ID, "payment_method")
	if err != nil {
		return nil, err
	}
	test, _ := cards.ByName(hidden.Name)
	switch d := test.Outcome.Decline; {
	case d != nil && !test.Outcome.Attach:
		return nil, wire.Card(d.Code, d.Decline, d.Param, d.Message)
	case m.Customer != nil && *m.Customer != u.ID:
		return nil, wire.Invalid("", "The payment method you provided has already been attached to a customer.")
	}
	m.Customer, m.Card.Checks.CVCCheck = &u.ID, passed(m.Card.Checks.CVCCheck)
	if err := c.update(ctx, o, m, hidden); err != nil {
		return nil, err
	}
	return m, c.emit(ctx, "payment_method.attached", m, nil)
}

func detachMethod(ctx context.Context, c *Call) (any, error) {
	if err := c.Form.Done(); err != nil {
		return nil, err
	}
	m, o, err := lockPath[Method](ctx, c, kindMethod, "payment_method")
	if err != nil {
		return nil, err
	}
	if m.Customer == nil {
		return nil, wire.Invalid("", "The payment method you provided is not attached to a customer so detachment is impossible.")
	}
	hidden := methodHidden{Used: true}
	if err := unmarshal(o.Hidden, &hidden.behaviour); err != nil {
		return nil, err
	}
	m.Customer = nil
	if err := c.update(ctx, o, m, hidden); err != nil {
		return nil, err
	}
	return m, c.emit(ctx, "payment_method.detached", m, nil)
}
