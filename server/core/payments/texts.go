package payments

// text is what a shopper reads about an outcome: what happened, whether money moved, what to do.
type text struct {
	message   string
	retryable bool
}

// texts are the sentences by our code. The code "processing" is the only one without a final answer.
var texts = map[string]text{
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
	"order_conflict":          {"This order was started for something else. You have not been charged for this. Reload the page and try again.", true},
	"processing":              {"We are confirming your payment. Do not pay again; this page updates itself.", false},
}
