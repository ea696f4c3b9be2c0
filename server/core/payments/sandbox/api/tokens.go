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
