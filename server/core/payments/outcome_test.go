package payments

import (
	"errors"
	"net/http"
	"testing"

	"github.com/stripe/stripe-go/v76"
)

// What each kind of failure means for the attempt, with and without an earlier try whose reply was lost.
func TestOutcome_OfErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err          error
		first, after state
		code         string
	}{
		"no reply":          {errors.New("connection reset"), unknown, unknown, ""},
		"server error":      {&stripe.Error{HTTPStatusCode: 500}, unknown, unknown, ""},
		"declined":          {&stripe.Error{HTTPStatusCode: 402, Code: "card_declined"}, failed, failed, "card_declined"},
		"no funds":          {&stripe.Error{HTTPStatusCode: 402, Code: "card_declined", DeclineCode: "insufficient_funds"}, failed, failed, "insufficient_funds"},
		"key in use":        {&stripe.Error{HTTPStatusCode: 409}, unknown, unknown, ""},
		"busy":              {&stripe.Error{HTTPStatusCode: 429}, unknown, unknown, ""},
		"used token":        {&stripe.Error{HTTPStatusCode: 400, Code: "token_already_used"}, failed, unknown, "token_already_used"},
		"no such token":     {&stripe.Error{HTTPStatusCode: 400, Code: "resource_missing", Param: "source"}, failed, unknown, "token_already_used"},
		"bad request":       {&stripe.Error{HTTPStatusCode: 400, Code: "parameter_unknown"}, failed, unknown, "payments_unavailable"},
		"bad key":           {&stripe.Error{HTTPStatusCode: 401}, failed, unknown, "payments_unavailable"},
		"no permission":     {&stripe.Error{HTTPStatusCode: 403}, failed, unknown, "payments_unavailable"},
		"not found":         {&stripe.Error{HTTPStatusCode: 404}, failed, unknown, "payments_unavailable"},
		"other parameters":  {&stripe.Error{HTTPStatusCode: 400, Type: stripe.ErrorTypeIdempotency}, needsReview, unknown, "processing"},
		"bad gateway's own": {&stripe.Error{HTTPStatusCode: 502}, unknown, unknown, ""},
	} {
		if o := ofError(c.err, false); o.state != c.first || c.first != unknown && o.failureCode != c.code {
			t.Errorf("%s at first: %s %q, want %s %q", name, o.state, o.failureCode, c.first, c.code)
		}
		if o := ofError(c.err, true); o.state != c.after {
			t.Errorf("%s after a lost reply: %s, want %s", name, o.state, c.after)
		}
	}
}

// A 500 is believed to be the key's stored answer only when the provider says that it replays it.
func TestOutcome_AStoredErrorIsAReplayedOne(t *testing.T) {
	t.Parallel()
	e := &stripe.Error{HTTPStatusCode: 500}
	if ofError(e, false).storedError {
		t.Error("a fresh 500 counts as stored")
	}
	e.SetLastResponse(&stripe.APIResponse{Header: http.Header{"Idempotent-Replayed": {"true"}}})
	if !ofError(e, false).storedError {
		t.Error("a replayed 500 does not count as stored")
	}
}

func TestOutcome_OfCharges(t *testing.T) {
	t.Parallel()
	want := chargeRequest{Amount: 1000, Currency: "usd"}
	for name, c := range map[string]struct {
		charge stripe.Charge
		state  state
	}{
		"paid":           {stripe.Charge{Status: "succeeded", Paid: true, Amount: 1000, Currency: "usd"}, succeeded},
		"failed":         {stripe.Charge{Status: "failed", Amount: 1000, Currency: "usd"}, failed},
		"pending":        {stripe.Charge{Status: "pending", Amount: 1000, Currency: "usd"}, unknown},
		"other amount":   {stripe.Charge{Status: "succeeded", Paid: true, Amount: 999, Currency: "usd"}, needsReview},
		"other currency": {stripe.Charge{Status: "succeeded", Paid: true, Amount: 1000, Currency: "eur"}, needsReview},
	} {
		if got := ofCharge(&c.charge, want).state; got != c.state {
			t.Errorf("%s: %s, want %s", name, got, c.state)
		}
	}
}
