package functions_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"crema/server/base/fault"
	"crema/server/core/functions"
	"crema/server/lambda"
)

// openWith is a service with these functions and no database.
func openWith(t *testing.T, fns ...lambda.Function) *functions.Service {
	t.Helper()
	s, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)}, fns...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

func TestProvider_LogIn(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"principal_id":"bo","auth_data":{"n":[1]}}`: `bo {"n":[1]}`,
		`{"principal_id":"bo"}`:                       `bo `,
		`{"principal_id":"bo","auth_data":null}`:      `bo null`,
		`null`:                                        `functions.provider_refused`,
		`{}`:                                          `functions.provider_refused`,
		`{"principal_id":""}`:                         `functions.provider_refused`,
		`{"principal_id":null}`:                       `functions.provider_refused`,
		`{"principal_id":7}`:                          `functions.bad_identity`,
		`["bo"]`:                                      `functions.bad_identity`,
		`"bo"`:                                        `functions.bad_identity`,
		`{"principal_id":"b\u0000"}`:                  `functions.bad_identity`,
		`{"principal_id":"` + strings.Repeat("o", 256) + `"}`:                     `functions.bad_identity`,
		`{"principal_id":"bo","auth_data":"` + strings.Repeat("o", 64<<10) + `"}`: `functions.bad_identity`,
	} {
		f := lambda.Raw("club", func(context.Context, *lambda.Call, json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(answer), nil
		})
		f.Provider = true
		p, ok := openWith(t, f).Provider("club")
		who, keep, err := p.LogIn(t.Context(), nil)
		got := who + " " + string(keep)
		if err != nil {
			got = fault.From(err).Reason
		}
		if !ok || got != want {
			t.Errorf("%.60s: %s, want %s", answer, got, want)
		}
	}
	for cause, want := range map[error]string{
		&lambda.Error{Kind: lambda.Denied, Message: "no"}:                     "functions.provider_refused",
		&lambda.Error{Kind: lambda.Busy, Message: "later"}:                    "functions.busy",
		errors.New("no directory"):                                            "functions.failed",
		fault.New(fault.Custom, "functions.raised", "no"):                     "functions.provider_refused",
		fault.New(fault.Internal, "workers.crashed", "it ended"):              "workers.crashed",
		fault.New(fault.Unavailable, "functions.raised", "raised on purpose"): "functions.provider_refused",
	} {
		p, _ := openWith(t, lambda.Provides("club", func(context.Context, *lambda.Call, struct{}) (lambda.Identity, error) {
			return lambda.Identity{}, cause
		})).Provider("club")
		if _, _, err := p.LogIn(t.Context(), json.RawMessage(`null`)); !fault.Is(err, want) {
			t.Errorf("%v: %v, want %s", cause, err, want)
		}
	}
	if _, ok := openWith(t).Provider("club"); ok {
		t.Error("a provider that is not there is found")
	}
}

func TestAnnounce_TellsListenersInTheirOrder(t *testing.T) {
	t.Parallel()
	told := make(chan string, 10)
	on := func(event, name string, err error) lambda.Function {
		return lambda.On(event, name, func(_ context.Context, c *lambda.Call, data json.RawMessage) error {
			told <- name + " " + string(data) + c.Actor.UserID
			return err
		})
	}
	s := openWith(t, on("a", "one", errors.New("only in the log")), on("b", "other", nil), on("a", "two", nil))
	s.Announce(t.Context(), json.RawMessage(`{"n":1}`), "b", "a", "nobody listens")
	var got []string
	for range 3 {
		got = append(got, <-told)
	}
	if want := []string{`other {"n":1}`, `one {"n":1}`, `two {"n":1}`}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if !s.Listens("a") || s.Listens("c") {
		t.Error("it is not known who listens")
	}
	s.Stop(context.Background())
	s.Announce(t.Context(), nil, "a") // to nobody
	if len(told) != 0 {
		t.Error("a stopped service tells events")
	}
}
