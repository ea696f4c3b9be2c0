package payments

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/stripe/stripe-go/v76"
)

// state is where an attempt stands. Attempts only move forward.
type state string

const (
	pending     state = "pending"      // written, not sent
	sent        state = "sent"         // the provider may have it
	unknown     state = "unknown"      // the provider may have executed it
	succeeded   state = "succeeded"    // money moved
	failed      state = "failed"       // refused for good
	voided      state = "voided"       // never executed and never will be
	needsReview state = "needs_review" // an operator must look
)

// final says that no reconciler will touch the attempt again.
func (s state) final() bool {
	return s == succeeded || s == failed || s == voided || s == needsReview
}

// outcome is what one call told about an attempt.
type outcome struct {
	state       state
	cause       string // why, for the transition's row and the log
	chargeID    string
	failureCode string // ours, see texts
	declineCode string // the provider's, for the operator
	requestID   string
	brand       string
	last4       string
	ambiguous   bool // the provider may have executed this try although we did not see it
	storedError bool // the provider keeps its own error as the answer to this key
}

// ofCharge is the outcome of a charge that the provider showed us.
func ofCharge(c *stripe.Charge, want chargeRequest) outcome {
	o := outcome{state: succeeded, cause: "charge succeeded", chargeID: c.ID}
	if c.LastResponse != nil {
		o.requestID = c.LastResponse.RequestID
	}
	if d := c.PaymentMethodDetails; d != nil && d.Card != nil {
		o.brand, o.last4 = string(d.Card.Brand), d.Card.Last4
	}
	switch {
	case c.Status == stripe.ChargeStatusFailed:
		o.state, o.cause = failed, "charge failed"
		o.failureCode = codeOf(string(c.FailureCode), "")
	case c.Status != stripe.ChargeStatusSucceeded || !c.Paid:
		o.state, o.cause = unknown, "charge is "+string(c.Status)
	case c.Amount != want.Amount || string(c.Currency) != want.Currency:
		o.state, o.cause = needsReview, "the charge's amount is not the order's"
	}
	return o
}

// ofError is the outcome of a call that failed. ambiguousBefore says that an earlier try of the same
// attempt may have been executed: then only a stored answer (402) is believed.
func ofError(err error, ambiguousBefore bool) outcome {
	var e *stripe.Error
	if !errors.As(err, &e) || e.HTTPStatusCode >= 500 {
		o := outcome{state: unknown, cause: "no clear reply", ambiguous: true}
		if e != nil {
			o.requestID, o.storedError = e.RequestID, replayed(e)
		}
		return o
	}
	o := outcome{state: unknown, requestID: e.RequestID, declineCode: string(e.DeclineCode)}
	switch {
	case e.HTTPStatusCode == http.StatusPaymentRequired:
		o.state, o.cause, o.chargeID = failed, "card refused", e.ChargeID
		o.failureCode = codeOf(string(e.Code), string(e.DeclineCode))
	case e.HTTPStatusCode == http.StatusConflict:
		o.cause = "the provider is still working on it"
	case e.HTTPStatusCode == http.StatusTooManyRequests:
		o.cause = "the provider is busy"
	case ambiguousBefore:
		o.cause = "an earlier try may have been executed"
	case e.Type == stripe.ErrorTypeIdempotency:
		o.state, o.cause, o.failureCode = needsReview, "the idempotency key was used for other parameters", "processing"
	case e.HTTPStatusCode == http.StatusUnauthorized || e.HTTPStatusCode == http.StatusForbidden:
		o.state, o.cause, o.failureCode = failed, "the provider refuses our key", "payments_unavailable"
	default:
		o.state, o.cause = failed, "the provider refuses the request"
		o.failureCode = codeOfRequest(e)
	}
	return o
}

// replayed says that the reply is the stored one of an earlier request with the same key.
func replayed(e *stripe.Error) bool {
	return e.LastResponse != nil && e.LastResponse.Header.Get("Idempotent-Replayed") == "true"
}

func codeOfRequest(e *stripe.Error) string {
	if e.Code == "token_already_used" || e.Code == stripe.ErrorCodeResourceMissing && e.Param == "source" {
		return "token_already_used"
	}
	return "payments_unavailable"
}

// codeOf translates a refusal of the card. What the bank suspects (fraud, lost, stolen) is not told.
func codeOf(code, decline string) string {
	switch {
	case decline == "insufficient_funds" || code == "insufficient_funds":
		return "insufficient_funds"
	case decline == "authentication_required" || code == "authentication_required":
		return "authentication_required"
	}
	switch code {
	case "expired_card", "incorrect_cvc", "processing_error":
		return code
	case "invalid_cvc":
		return "incorrect_cvc"
	case "incorrect_number", "invalid_number":
		return "incorrect_number"
	case "issuer_not_available", "try_again_later":
		return "processing_error"
	}
	return "card_declined"
}

// logAttrs tells what the provider said. Never log such an error itself: its text is the whole reply.
func logAttrs(err error) []any {
	var e *stripe.Error
	if !errors.As(err, &e) {
		return []any{slog.String("provider_error", "no reply")}
	}
	return []any{
		slog.String("type", string(e.Type)), slog.String("code", string(e.Code)),
		slog.String("decline_code", string(e.DeclineCode)), slog.Int("http_status", e.HTTPStatusCode),
		slog.String("request_id", e.RequestID), slog.String("param", e.Param),
	}
}
