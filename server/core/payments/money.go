package payments

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

// MaxMinor is the largest amount that the provider takes: eight digits.
const MaxMinor = 99_999_999

// exponents lists the currencies whose minor unit is not a hundredth.
var exponents = map[string]int{
	"bif": 0, "clp": 0, "djf": 0, "gnf": 0, "jpy": 0, "kmf": 0, "krw": 0, "mga": 0, "pyg": 0,
	"rwf": 0, "vnd": 0, "vuv": 0, "xaf": 0, "xof": 0, "xpf": 0,
	"bhd": 3, "jod": 3, "kwd": 3, "omr": 3, "tnd": 3,
}

// Exponent says how many digits of the minor unit stand behind the point.
func Exponent(currency string) int {
	if e, ok := exponents[strings.ToLower(currency)]; ok {
		return e
	}
	return 2
}

// Major returns the amount in whole units, for people to read; nothing is computed with it.
func (m Money) Major() float64 {
	return float64(m.Minor) / math.Pow10(Exponent(m.Currency))
}

// String returns the amount as "10.00 USD".
func (m Money) String() string {
	return strconv.FormatFloat(m.Major(), 'f', Exponent(m.Currency), 64) + " " + strings.ToUpper(m.Currency)
}
