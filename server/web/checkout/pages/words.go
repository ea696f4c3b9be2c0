package pages

import (
	"html/template"
	"net/url"
	"strings"

	"crema/server/core/payments/money"
)

// symbols are those that no other currency of the world's shops shares; the rest is told by its code.
var symbols = map[string]string{"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}

// price is an amount as shoppers read it: "$10.00", "10.00 CHF".
func price(m money.Money) string {
	symbol := symbols[m.Currency]
	if symbol == "" {
		return m.String()
	}
	digits, _, _ := strings.Cut(m.String(), " ")
	if rest, negative := strings.CutPrefix(digits, "-"); negative {
		return "−" + symbol + rest
	}
	return symbol + digits
}

// way is the link to reach a contact by, "" when it is only to be read.
func way(contact string) template.URL {
	switch {
	case strings.HasPrefix(contact, "https://"):
		if u, err := url.Parse(contact); err == nil {
			return template.URL(u.String()) //nolint:gosec // https, parsed
		}
	case strings.Count(contact, "@") == 1 && !strings.ContainsAny(contact, " /:?&"):
		return template.URL("mailto:" + contact) //nolint:gosec // an address without any parameter
	}
	return ""
}
