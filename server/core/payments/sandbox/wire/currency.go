package wire

import (
	"fmt"
	"strings"
)

// currencies is what Stripe takes, with a space on both sides of each.
const currencies = ` usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bhd bif bmd bnd bob brl bsd bwp byn bzd cad
cdf chf clp cny cop crc cve czk djf dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gnf gtq gyd hkd hnl hrk htg huf idr
ils inr isk jmd jod jpy kes kgs khr kmf krw kwd kyd kzt lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mur mvr mwk
mxn myr mzn nad ngn nio nok npr nzd omr pab pen pgk php pkr pln pyg qar ron rsd rub rwf sar sbd scr sek sgd shp sle
sos srd std szl thb tjs tnd top try ttd twd tzs uah ugx uyu uzs vnd vuv wst xaf xcd xof xpf yer zar zmw `

// maxAmount is the largest charge: eight digits.
const maxAmount = 99999999

// Currency returns the lower-case name of a currency, or a 400.
func Currency(s string) (string, *Error) {
	s = strings.ToLower(s)
	if len(s) != 3 || !strings.Contains(strings.ReplaceAll(currencies, "\n", " "), " "+s+" ") {
		return "", Invalid("currency", "Invalid currency: %s. Use a three-letter code that Stripe supports, such as usd or eur.", brief(s))
	}
	return s, nil
}

// Amount checks that a charge of that many minor units is neither too small nor too large.
func Amount(amount int64, currency string) *Error {
	least := minimum(currency)
	switch {
	case amount < 1:
		return InvalidCode("parameter_invalid_integer", "amount", "This value must be greater than or equal to 1.")
	case amount < least:
		return InvalidCode("amount_too_small", "amount", "Amount must be at least %s %s", Money(least, currency), currency)
	case amount > maxAmount:
		return InvalidCode("amount_too_large", "amount", "Amount must be no more than %s %s", Money(maxAmount, currency), currency)
	}
	return nil
}

// minimum is the smallest charge in minor units, from Stripe's table.
func minimum(currency string) int64 {
	switch currency {
	case "gbp":
		return 30
	case "dkk":
		return 250
	case "nok", "sek":
		return 300
	case "hkd":
		return 400
	case "mxn", "thb":
		return 1000
	case "czk":
		return 1500
	case "huf":
		return 17500
	case "aed", "myr", "pln", "ron":
		return 200
	case "bgn":
		return 100
	}
	return 50
}

// Exponent is the number of digits after the point of a currency's major unit.
func Exponent(currency string) int {
	switch currency {
	case "bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf":
		return 0
	case "bhd", "jod", "kwd", "omr", "tnd":
		return 3
	}
	return 2
}

// Money writes minor units for a message: $0.50.
func Money(amount int64, currency string) string {
	symbol := map[string]string{"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}[currency]
	exponent := Exponent(currency)
	if exponent == 0 {
		return fmt.Sprintf("%s%d", symbol, amount)
	}
	unit := int64(1)
	for range exponent {
		unit *= 10
	}
	return fmt.Sprintf("%s%d.%0*d", symbol, amount/unit, exponent, amount%unit)
}
