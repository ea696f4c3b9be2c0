package provider

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
		first, after State
		code         string
	}{
		"no reply":          {errors.New("connection reset"), Unknown, Unknown, ""},
		"server error":      {&stripe.Error{HTTPStatusCode: 500}, Unknown, Unknown, ""},
		"declined":          {&stripe.Error{HTTPStatusCode: 402, Code: "card_declined"}, Failed, Failed, "card_declined"},
		"no funds":          {&stripe.Error{HTTPStatusCode: 402, Code: "card_declined", DeclineCode: "insufficient_funds"}, Failed, Failed, "insufficient_funds"},
		"key in use":        {&stripe.Error{HTTPStatusCode: 409}, Unknown, Unknown, ""},
		"busy":              {&stripe.Error{HTTPStatusCode: 429}, Unknown, Unknown, ""},
		"used token":        {&stripe.Error{HTTPStatusCode: 400, Code: "token_already_used"}, Failed, Unknown, "token_already_used"},
		"no such token":     {&stripe.Error{HTTPStatusCode: 400, Code: "resource_missing", Param: "source"}, Failed, Unknown, "token_already_used"},
		"bad request":       {&stripe.Error{HTTPStatusCode: 400, Code: "parameter_unknown"}, Failed, Unknown, "payments_unavailable"},
		"bad key":           {&stripe.Error{HTTPStatusCode: 401}, Failed, Unknown, "payments_unavailable"},
		"no permission":     {&stripe.Error{HTTPStatusCode: 403}, Failed, Unknown, "payments_unavailable"},
		"not found":         {&stripe.Error{HTTPStatusCode: 404}, Failed, Unknown, "payments_unavailable"},
		"other parameters":  {&stripe.Error{HTTPStatusCode: 400, Type: stripe.ErrorTypeIdempotency}, NeedsReview, Unknown, "processing"},
		"bad gateway's own": {&stripe.Error{HTTPStatusCode: 502}, Unknown, Unknown, ""},
	} {
		if o := ofError(c.err, false); o.State != c.first || c.first != Unknown && o.FailureCode != c.code {
			t.Errorf("%s at first: %s %q, want %s %q", name, o.State, o.FailureCode, c.first, c.code)
		}
		if o := ofError(c.err, true); o.State != c.after {
			t.Errorf("%s after a lost reply: %s, want %s", name, o.State, c.after)
		}
	}
}

// A 500 is believed to be the key's stored answer only when the provider says that it replays it.
func TestOutcome_AStoredErrorIsAReplayedOne(t *testing.T) {
	t.Parallel()
	e := &stripe.Error{HTTPStatusCode: 500}
	if ofError(e, false).Stored {
		t.Error("a fresh 500 counts as stored")
	}
	e.SetLastResponse(&stripe.APIResponse{Header: http.Header{"Idempotent-Replayed": {"true"}}})
	if !ofError(e, false).Stored {
		t.Error("a replayed 500 does not count as stored")
	}
}

func TestOutcome_OfCharges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		charge stripe.Charge
		state  State
	}{
		"paid":           {stripe.Charge{Status: "succeeded", Paid: true, Amount: 1000, Currency: "usd"}, Succeeded},
		"failed":         {stripe.Charge{Status: "failed", Amount: 1000, Currency: "usd"}, Failed},
		"pending":        {stripe.Charge{Status: "pending", Amount: 1000, Currency: "usd"}, Unknown},
		"other amount":   {stripe.Charge{Status: "succeeded", Paid: true, Amount: 999, Currency: "usd"}, NeedsReview},
		"other currency": {stripe.Charge{Status: "succeeded", Paid: true, Amount: 1000, Currency: "eur"}, NeedsReview},
	} {
		if got := ofCharge(&c.charge, 1000, "usd").State; got != c.state {
			t.Errorf("%s: %s, want %s", name, got, c.state)
		}
	}
}
