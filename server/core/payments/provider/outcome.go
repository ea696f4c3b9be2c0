package provider

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/stripe/stripe-go/v76"
)

// ErrUnreachable says that a question to the provider got no useful answer. Nothing follows from it.
var ErrUnreachable = errors.New("the provider does not answer")

// ErrNoSuch says that the provider has no object of that id.
var ErrNoSuch = errors.New("the provider has no such object")

// State is where an attempt stands. Attempts only move forward.
type State string

// The states of an attempt.
const (
	Pending        State = "pending"         // written, not sent
	Sent           State = "sent"            // the provider may have it
	Unknown        State = "unknown"         // the provider may have executed it
	RequiresAction State = "requires_action" // the shopper is at the provider's page
	Succeeded      State = "succeeded"       // money moved
	Failed         State = "failed"          // refused for good
	Voided         State = "voided"          // never executed and never will be
	NeedsReview    State = "needs_review"    // an operator must look
)

// Final says that no reconciler will touch the attempt again.
func (s State) Final() bool {
	return s == Succeeded || s == Failed || s == Voided || s == NeedsReview
}

// Outcome is what a call told about an attempt.
type Outcome struct {
	State       State
	Cause       string // why, for the transition's row and the log
	ProviderID  string // of the object that stands for the attempt: ch_, pi_ or cs_
	ChargeID    string
	FailureCode string // ours, see package words
	DeclineCode string // the provider's, for the operator
	RequestID   string
	Brand       string // of the card
	Last4       string
	Email       string // what the shopper gave at the provider's page
	URL         string // of the provider's page, while the shopper has to act
	Ambiguous   bool   // the provider may have executed this try although we did not see it
	Stored      bool   // the provider keeps its own error as the answer to this key
	Refused     bool   // the provider refuses our key: nobody can pay
}

// ofCharge is the outcome of a charge that the provider showed us.
func ofCharge(c *stripe.Charge, amount int64, currency string) Outcome {
	o := Outcome{State: Succeeded, Cause: "charge succeeded", ChargeID: c.ID, ProviderID: c.ID}
	if c.LastResponse != nil {
		o.RequestID = c.LastResponse.RequestID
	}
	if d := c.PaymentMethodDetails; d != nil && d.Card != nil {
		o.Brand, o.Last4 = string(d.Card.Brand), d.Card.Last4
	}
	switch {
	case c.Status == stripe.ChargeStatusFailed:
		o.State, o.Cause = Failed, "charge failed"
		o.FailureCode = codeOf(string(c.FailureCode), "")
	case c.Status != stripe.ChargeStatusSucceeded || !c.Paid:
		o.State, o.Cause = Unknown, "charge is "+string(c.Status)
	case c.Amount != amount || string(c.Currency) != currency:
		o.State, o.Cause = NeedsReview, "the charge's amount is not the order's"
	}
	return o
}

// ofError is the outcome of a call that failed. ambiguousBefore says that an earlier try of the same
// attempt may have been executed: then only a stored answer (402) is believed.
func ofError(err error, ambiguousBefore bool) Outcome {
	var e *stripe.Error
	if !errors.As(err, &e) || e.HTTPStatusCode >= 500 {
		o := Outcome{State: Unknown, Cause: "no clear reply", Ambiguous: true}
		if e != nil {
			o.RequestID, o.Stored = e.RequestID, replayed(e)
		}
		return o
	}
	o := Outcome{State: Unknown, RequestID: e.RequestID, DeclineCode: string(e.DeclineCode)}
	o.Refused = e.HTTPStatusCode == http.StatusUnauthorized || e.HTTPStatusCode == http.StatusForbidden
	switch {
	case e.HTTPStatusCode == http.StatusPaymentRequired:
		o.State, o.Cause, o.ChargeID, o.ProviderID = Failed, "card refused", e.ChargeID, e.ChargeID
		o.FailureCode = codeOf(string(e.Code), string(e.DeclineCode))
	case e.HTTPStatusCode == http.StatusConflict:
		o.Cause = "the provider is still working on it"
	case e.HTTPStatusCode == http.StatusTooManyRequests:
		o.Cause = "the provider is busy"
	case ambiguousBefore:
		o.Cause = "an earlier try may have been executed"
	case e.Type == stripe.ErrorTypeIdempotency:
		o.State, o.Cause, o.FailureCode = NeedsReview, "the idempotency key was used for other parameters", "processing"
	case o.Refused:
		o.State, o.Cause, o.FailureCode = Failed, "the provider refuses our key", "payments_unavailable"
	default:
		o.State, o.Cause = Failed, "the provider refuses the request"
		o.FailureCode = codeOfRequest(e)
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

func statusOf(err error) int {
	var e *stripe.Error
	if errors.As(err, &e) {
		return e.HTTPStatusCode
	}
	return 0
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
