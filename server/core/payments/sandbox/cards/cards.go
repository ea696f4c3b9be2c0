package cards

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Card is one published test card.
type Card struct {
	Name    string // unique in the list; this is what the sandbox stores
	Number  string
	Token   string // predefined token, reusable; "" when there is none
	Brand   Brand
	Funding string // credit, debit or prepaid
	Outcome Outcome
}

// Brand is how a network is called.
type Brand struct {
	Title   string // on card objects: Visa, MasterCard
	Network string // in payment_method_details: visa, mastercard
	CVC     int    // digits of the security code
}

// Outcome is what happens to a charge. The zero Outcome is approval.
type Outcome struct {
	Decline    *Decline
	Attach     bool     // declined at the charge only: a customer may still keep the card
	OnlyCVC    bool     // declined only when a security code was given
	Risk       string   // "" is normal
	Instant    bool     // funds are available at once
	Dispute    string   // reason of the dispute that follows; "" when none does
	Challenge  bool     // a payment intent asks the shopper to authenticate first; Decline is for plain charges
	After      *Decline // what the bank says although the shopper has authenticated; nil: yes
	Inquiry    bool     // the dispute is only a question: no money is withdrawn
	Refund     string   // status that refunds begin with; "" is succeeded
	RefundEnds string   // status that they reach later; "" when they stay
}

// Decline is how a bank says no.
type Decline struct {
	Code    string // of the error: card_declined, expired_card, ...
	Decline string // decline_code; "" when the code says it all
	Param   string
	Message string
	Blocked bool // by the risk rules: the bank was never asked
}

var (
	visa       = Brand{"Visa", "visa", 3}
	mastercard = Brand{"MasterCard", "mastercard", 3}
	amex       = Brand{"American Express", "amex", 4}
	discover   = Brand{"Discover", "discover", 3}
	diners     = Brand{"Diners Club", "diners", 3}
	jcb        = Brand{"JCB", "jcb", 3}
	unionpay   = Brand{"UnionPay", "unionpay", 3}
)

func declined(decline string) Outcome {
	return Outcome{Decline: &Decline{Code: "card_declined", Decline: decline, Message: "Your card was declined."}}
}

func declinedCode(code, param, message string) Outcome {
	return Outcome{Decline: &Decline{Code: code, Param: param, Message: message}}
}

func insufficient() Outcome {
	o := declined("insufficient_funds")
	o.Decline.Message = "Your card has insufficient funds."
	return o
}

func velocity() Outcome {
	o := declined("card_velocity_exceeded")
	o.Decline.Message = "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
	return o
}

// authenticate is a card that wants 3-D Secure, which a charge on a token cannot offer.
func authenticate() Outcome {
	o := declined("authentication_required")
	o.Attach, o.Challenge = true, true
	o.Decline.Message = "Your card was declined. This transaction requires authentication."
	return o
}

// authenticateInVain is declined even after that.
func authenticateInVain() Outcome {
	o := authenticate()
	o.After = declined("generic_decline").Decline
	return o
}

func blocked() Outcome {
	o := declined("fraudulent")
	o.Attach, o.Risk, o.Decline.Blocked = true, "highest", true
	return o
}

func attachable(o Outcome) Outcome {
	o.Attach = true
	return o
}

func wrongCVC(onlyGiven bool) Outcome {
	o := declinedCode("incorrect_cvc", "cvc", "Your card's security code is incorrect.")
	o.OnlyCVC = onlyGiven
	return o
}

// All returns the list.
func All() []Card {
	const credit, debit, prepaid = "credit", "debit", "prepaid"
	expired := declinedCode("expired_card", "exp_month", "Your card has expired.")
	processing := declinedCode("processing_error", "", "An error occurred while processing your card. Try again in a little bit.")
	return []Card{
		{"visa", "4242424242424242", "tok_visa", visa, credit, Outcome{}},
		{"visa_debit", "4000056655665556", "tok_visa_debit", visa, debit, Outcome{}},
		{"mastercard", "5555555555554444", "tok_mastercard", mastercard, credit, Outcome{}},
		{"mastercard_2_series", "2223003122003222", "", mastercard, credit, Outcome{}},
		{"mastercard_debit", "5200828282828210", "tok_mastercard_debit", mastercard, debit, Outcome{}},
		{"mastercard_prepaid", "5105105105105100", "tok_mastercard_prepaid", mastercard, prepaid, Outcome{}},
		{"amex", "371449635398431", "tok_amex", amex, credit, Outcome{}},
		{"amex_0005", "378282246310005", "", amex, credit, Outcome{}},
		{"discover", "6011111111111117", "tok_discover", discover, credit, Outcome{}},
		{"diners", "3056930009020004", "tok_diners", diners, credit, Outcome{}},
		{"jcb", "3566002020360505", "tok_jcb", jcb, credit, Outcome{}},
		{"unionpay", "6200000000000005", "tok_unionpay", unionpay, credit, Outcome{}},
		{"bypassPending", "4000000000000077", "tok_bypassPending", visa, credit, Outcome{Instant: true}},
		{"chargeDeclined", "4000000000000002", "tok_chargeDeclined", visa, credit, declined("generic_decline")},
		{"chargeDeclinedInsufficientFunds", "4000000000009995", "tok_chargeDeclinedInsufficientFunds", visa, credit, insufficient()},
		{"visa_chargeDeclinedLostCard", "4000000000009987", "tok_visa_chargeDeclinedLostCard", visa, credit, declined("lost_card")},
		{"visa_chargeDeclinedStolenCard", "4000000000009979", "tok_visa_chargeDeclinedStolenCard", visa, credit, declined("stolen_card")},
		{"chargeDeclinedExpiredCard", "4000000000000069", "tok_chargeDeclinedExpiredCard", visa, credit, expired},
		{"chargeDeclinedIncorrectCvc", "4000000000000127", "tok_chargeDeclinedIncorrectCvc", visa, credit, wrongCVC(false)},
		{"chargeDeclinedProcessingError", "4000000000000119", "tok_chargeDeclinedProcessingError", visa, credit, processing},
		{"chargeDeclinedFraudulent", "4000000000000019", "tok_chargeDeclinedFraudulent", visa, credit, declined("fraudulent")},
		{"visa_chargeDeclinedVelocityLimitExceeded", "4000000000006975", "tok_visa_chargeDeclinedVelocityLimitExceeded", visa, credit, velocity()},
		{"chargeCustomerFail", "4000000000000341", "tok_chargeCustomerFail", visa, credit, attachable(declined("generic_decline"))},
		{"riskLevelElevated", "4000000000009235", "tok_riskLevelElevated", visa, credit, Outcome{Risk: "elevated"}},
		{"radarBlock", "4100000000000019", "tok_radarBlock", visa, credit, blocked()},
		{"cvcCheckFail", "4000000000000101", "tok_cvcCheckFail", visa, credit, attachable(wrongCVC(true))},
		{"threeDSecure2Required", "4000000000003220", "tok_threeDSecure2Required", visa, credit, authenticate()},
		{"authenticationRequired", "4000002760003184", "", visa, credit, authenticate()},
		{"threeDSecureRequiredChargeDeclined", "4000008400001629", "", visa, credit, authenticateInVain()},
		{"createDispute", "4000000000000259", "tok_createDispute", visa, credit, Outcome{Dispute: "fraudulent"}},
		{"createDisputeProductNotReceived", "4000000000002685", "tok_createDisputeProductNotReceived", visa, credit, Outcome{Dispute: "product_not_received"}},
		{"createDisputeInquiry", "4000000000001976", "tok_createDisputeInquiry", visa, credit, Outcome{Dispute: "fraudulent", Inquiry: true}},
		{"pendingRefund", "4000000000007726", "", visa, credit, Outcome{Refund: "pending", RefundEnds: "succeeded"}},
		{"refundFail", "4000000000005126", "", visa, credit, Outcome{RefundEnds: "failed"}},
	}
}

// FaultPrefix begins the tokens that make the sandbox itself misbehave; the card behind them is visa.
const FaultPrefix = "tok_sandbox_"

// ByToken finds the card of a predefined token.
func ByToken(token string) (Card, bool) {
	if strings.HasPrefix(token, FaultPrefix) || token == "tok_429" || token == "tok_500" {
		token = "tok_visa"
	}
	return find(func(c Card) bool { return c.Token != "" && c.Token == token })
}

// ByMethod finds the card of a predefined payment method: pm_card_<name>, where visa_ in the name may be
// left out or added.
func ByMethod(id string) (Card, bool) {
	name, ours := strings.CutPrefix(id, "pm_card_")
	if !ours {
		return Card{}, false
	}
	for _, n := range []string{name, strings.TrimPrefix(name, "visa_"), "visa_" + name} {
		if c, ok := ByName(n); ok {
			return c, true
		}
	}
	return Card{}, false
}

// ByNumber finds the card of a number without spaces.
func ByNumber(number string) (Card, bool) {
	return find(func(c Card) bool { return c.Number == number })
}

// ByName finds a card by the name that the sandbox stored.
func ByName(name string) (Card, bool) {
	return find(func(c Card) bool { return c.Name == name })
}

func find(is func(Card) bool) (Card, bool) {
	for _, c := range All() {
		if is(c) {
			return c, true
		}
	}
	return Card{}, false
}

// Last4 returns the last four digits.
func (c Card) Last4() string { return c.Number[len(c.Number)-4:] }

// Fingerprint is the same for the same card and says nothing about the number.
func (c Card) Fingerprint() string {
	sum := sha256.Sum256([]byte("sandbox fingerprint " + c.Name))
	return hex.EncodeToString(sum[:8])
}

// Luhn says whether the check digit is right.
func Luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
