package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// The types of errors that clients of 2023-10-16 know.
const (
	TypeAPI         = "api_error"
	TypeCard        = "card_error"
	TypeIdempotency = "idempotency_error"
	TypeInvalid     = "invalid_request_error"
)

// Error is an answer that is not 2xx. Keep says that the call ran: what it did commits and the answer is
// stored under the idempotency key. Without Keep everything is rolled back.
type Error struct {
	Status      int    `json:"-"`
	Keep        bool   `json:"-"`
	Charge      string `json:"charge,omitempty"`
	Code        string `json:"code,omitempty"`
	DeclineCode string `json:"decline_code,omitempty"`
	DocURL      string `json:"doc_url,omitempty"`
	Message     string `json:"message"`
	Param       string `json:"param,omitempty"`
	Intent      any    `json:"payment_intent,omitempty"` // as it is after the error
	Method      any    `json:"payment_method,omitempty"`
	Type        string `json:"type"`
}

// Error names type, code and parameter. The message may repeat what the client sent, so it is not in it.
func (e *Error) Error() string {
	return fmt.Sprintf("stripe error %d %s code=%s param=%s", e.Status, e.Type, e.Code, e.Param)
}

// Body returns {"error": {...}}.
func (e *Error) Body() ([]byte, error) {
	c := *e
	c.DocURL = DocURL(c.Code)
	return json.MarshalIndent(map[string]any{"error": c}, "", "  ")
}

// DocURL is where Stripe explains a code; "" for none.
func DocURL(code string) string {
	if code == "" {
		return ""
	}
	return "https://stripe.com/docs/error-codes/" + strings.ReplaceAll(code, "_", "-")
}

// Invalid is a 400 about a parameter, without a code.
func Invalid(param, format string, args ...any) *Error {
	return InvalidCode("", param, format, args...)
}

// InvalidCode is a 400 about a parameter with one of Stripe's codes.
func InvalidCode(code, param, format string, args ...any) *Error {
	return &Error{
		Status: http.StatusBadRequest, Type: TypeInvalid, Code: code, Param: param,
		Message: fmt.Sprintf(format, args...),
	}
}

// NoSuch is a 400 resource_missing about an id in a parameter; the id of a path makes it a 404, see Path.
func NoSuch(kind, id, param string) *Error {
	return InvalidCode("resource_missing", param, "No such %s: '%s'", kind, brief(id))
}

// NotLinked is the 404 about a card that the charged customer does not keep.
func NotLinked(customer, id string) *Error {
	e := InvalidCode("missing", "source", "Customer %s does not have a linked source with ID %s.", customer, brief(id))
	return e.Path()
}

// IsMissing says whether err is NoSuch's.
func IsMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "resource_missing"
}

// Path returns e as the 404 that an id in the path deserves.
func (e *Error) Path() *Error {
	c := *e
	c.Status = http.StatusNotFound
	return &c
}

// Card is a 402: the card or its bank says no.
func Card(code, declineCode, param, message string) *Error {
	return &Error{
		Status: http.StatusPaymentRequired, Keep: true, Type: TypeCard,
		Code: code, DeclineCode: declineCode, Param: param, Message: message,
	}
}
