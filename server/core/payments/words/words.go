// Package words holds what shoppers read about a payment: what happened, whether money moved, what to do.
package words

// Text is what a shopper reads about one outcome.
type Text struct {
	Message   string
	Retryable bool // another attempt may succeed
}

// texts are the sentences by our code. The code "processing" is the only one without a final answer.
var texts = map[string]Text{
	"card_declined":           {"Your card was declined. You have not been charged. Try another card or ask your bank.", true},
	"insufficient_funds":      {"The card does not have enough funds. You have not been charged. Try another card.", true},
	"expired_card":            {"The card has expired. You have not been charged. Try another card.", true},
	"incorrect_cvc":           {"The card's security code is not right. You have not been charged. Check the code and try again.", true},
	"incorrect_number":        {"The card number is not right. You have not been charged. Check the number and try again.", true},
	"processing_error":        {"The bank could not process the payment just now. You have not been charged. Try again in a minute.", true},
	"authentication_required": {"Your bank wants to confirm this payment, which this way of paying cannot do. You have not been charged. Try another card.", true},
	"token_already_used":      {"The card details are no longer valid. You have not been charged. Please enter the card again.", true},
	"payments_unavailable":    {"Something is wrong on our side. You have not been charged. Please try again later.", true},
	"voided":                  {"The payment did not go through. You have not been charged. Please try again.", true},
	"price_changed":           {"The price has changed. You have not been charged. Reload the page to see the new price.", true},
	"product_not_found":       {"We do not sell this any more. You have not been charged. Reload the page to see what there is.", false},
	"invalid_email":           {"The e-mail address does not look right. You have not been charged. Check it and try again.", true},
	"invalid_token":           {"The card details did not arrive in the right form. You have not been charged. Please enter the card again.", true},
	"invalid_order_key":       {"The order's key does not look right. You have not been charged. Reload the page and try again.", true},
	"invalid_basket":          {"The basket cannot be sold as it is. You have not been charged. Reload the page and choose again.", true},
	"order_conflict":          {"This order was started for something else. You have not been charged for this. Reload the page and try again.", true},
	"payments_paused":         {"Payments are paused for a moment. You have not been charged. Please try again in a few minutes.", true},
	"too_many_attempts":       {"Too many cards were refused. You have not been charged. Please try again in an hour, or write to us.", false},
	"token_path_off":          {"This way of paying is switched off. You have not been charged. Use the button for secure checkout.", false},
	"checkout_expired":        {"The checkout was closed before it was paid. You have not been charged. You can start again.", true},
	"cancelled":               {"You left the checkout. You have not been charged. You can start again.", true},
	"processing":              {"We are confirming your payment. Do not pay again; this page updates itself.", false},
}

// Of returns the text of a code. What has no text of its own is called unavailable: nothing was charged.
func Of(code string) Text {
	if t, ok := texts[code]; ok {
		return t
	}
	return texts["payments_unavailable"]
}
