// Package money holds amounts as the provider takes them: whole minor units with their currency.
package money

import (
	"math"
	"strconv"
	"strings"
)

// Money is an amount in the currency's minor units. It is never a float.
type Money struct {
	Minor    int64
	Currency string // ISO 4217, lower case
}

// Max is the largest amount that the provider takes: eight digits.
const Max = 99_999_999

// exponents lists the currencies whose minor unit is not a hundredth.
var exponents = map[string]int{
	"bif": 0, "clp": 0, "djf": 0, "gnf": 0, "jpy": 0, "kmf": 0, "krw": 0, "mga": 0, "pyg": 0,
	"rwf": 0, "vnd": 0, "vuv": 0, "xaf": 0, "xof": 0, "xpf": 0,
	"bhd": 3, "jod": 3, "kwd": 3, "omr": 3, "tnd": 3,
}

// whole lists the currencies that have cents on the wire but not in the shop: their amounts end in 00.
var whole = map[string]bool{"ugx": true, "isk": true, "huf": true, "twd": true}

// minimums are the smallest amounts that the provider takes. Currencies without an entry have 1.
var minimums = map[string]int64{
	"usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250,
	"eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200,
	"nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}

// Exponent says how many digits of the minor unit stand behind the point.
func Exponent(currency string) int {
	if e, ok := exponents[strings.ToLower(currency)]; ok {
		return e
	}
	return 2
}

// Fault says why the provider would refuse to charge m, "" when it would not.
func (m Money) Fault() string {
	switch {
	case len(m.Currency) != 3 || strings.ToLower(m.Currency) != m.Currency:
		return "the currency must be three lower-case letters"
	case m.Minor > Max:
		return "the amount is over " + Money{Max, m.Currency}.String()
	case m.Minor < max(1, minimums[m.Currency]):
		return "the amount is under " + Money{max(1, minimums[m.Currency]), m.Currency}.String()
	case Exponent(m.Currency) == 3 && m.Minor%10 != 0:
		return "the last digit must be 0 in this currency"
	case whole[m.Currency] && m.Minor%100 != 0:
		return "the last two digits must be 00 in this currency"
	}
	return ""
}

// Parse reads an amount of a currency as people write it: with a point, such as "2.50", it is in whole
// units and must have as many digits behind the point as the currency; without one it is minor units. ok
// is false for anything else and for what is over Max.
func Parse(text, currency string) (m Money, ok bool) {
	m.Currency = strings.ToLower(currency)
	head, tail, pointed := strings.Cut(text, ".")
	if pointed && (head == "" || len(tail) != Exponent(currency) || tail == "") {
		return m, false
	}
	n, err := strconv.ParseUint(head+tail, 10, 63)
	m.Minor = int64(n) //nolint:gosec // 63 bits
	return m, err == nil && m.Minor <= Max
}

// Major returns the amount in whole units, for people to read; nothing is computed with it.
func (m Money) Major() float64 {
	return float64(m.Minor) / math.Pow10(Exponent(m.Currency))
}

// String returns the amount as "10.00 USD".
func (m Money) String() string {
	return strconv.FormatFloat(m.Major(), 'f', Exponent(m.Currency), 64) + " " + strings.ToUpper(m.Currency)
}
