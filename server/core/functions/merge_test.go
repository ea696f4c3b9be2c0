package functions_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/functions"
	"crema/server/core/functions/timers"
	"crema/server/lambda"
)

func raw(name string) lambda.Function {
	return lambda.Raw(name, func(_ context.Context, c *lambda.Call, args json.RawMessage) (json.RawMessage, error) {
		if c.Payload != nil {
			return c.Payload, nil
		}
		return args, nil
	})
}

func page(path string, methods ...string) lambda.Function {
	return lambda.HTTP(path, methods, func(context.Context, *lambda.Call, lambda.Request) (lambda.Response, error) {
		return lambda.Response{}, nil
	})
}

func every(schedule, name string, err error) lambda.Function {
	return lambda.Every(schedule, name, func(context.Context, *lambda.Call) error { return err })
}

func names(fns []lambda.Function) (all []string) {
	for _, f := range fns {
		all = append(all, strings.Join(append([]string{f.Name}, f.Methods...), " "))
	}
	return all
}

func TestMerge_ProvidersAndListeners(t *testing.T) {
	t.Parallel()
	provider := func(name string) lambda.Function {
		return lambda.Provides(name, func(context.Context, *lambda.Call, struct{}) (lambda.Identity, error) { return lambda.Identity{}, nil })
	}
	on := func(event, name string) lambda.Function {
		return lambda.On(event, name, func(context.Context, *lambda.Call, json.RawMessage) error { return nil })
	}
	all, problems := functions.Merge([]lambda.Function{provider("a"), on("e", "x")}, []lambda.Function{
		provider("a"), provider("a:b"), provider("ab"), provider("c:d"), provider("c"), provider(""), on("e", "x"), on("e", "y"), raw("a"),
	})
	if diff := cmp.Diff([]string{"a", "x", "ab", "c:d", "y", "a"}, names(all)); diff != "" || len(problems) != 5 {
		t.Error(diff, problems)
	}
}

func TestMerge_NeverReplaces(t *testing.T) {
	t.Parallel()
	have := []lambda.Function{raw("a:b"), page("p", "GET"), every("@daily", "t", nil)}
	all, problems := functions.Merge(have, []lambda.Function{
		raw("a/b"), raw("c"), raw("c"), raw("bad name"), page("/p", "GET", "POST"), page("p", "POST"), page("q", "BREW"), page("a:b", "GET"),
		every("@hourly", "t", nil), every("sometimes", "u", nil), every("@daily", "c", nil),
	})
	if diff := cmp.Diff([]string{"a:b", "p GET", "t", "c", "p POST", "a:b GET", "c"}, names(all)); diff != "" {
		t.Error(diff)
	}
	var told []string
	for _, err := range problems {
		if !fault.Is(err, "functions.bad_function") {
			t.Error(err)
		}
		told = append(told, fault.From(err).Message)
	}
	for i, want := range []string{"a:b and a/b answer", "c is declared twice", `"bad name"`, "/p is declared twice for GET", "BREW", "timer t is declared twice", "timer u:"} {
		if i >= len(told) || !strings.Contains(told[i], want) {
			t.Errorf("problem %d: %q, want %q", i, told, want)
		}
	}
	if _, err := functions.New(functions.Config{}, all...); err != nil {
		t.Errorf("what Merge gives is refused: %v", err)
	}
}

func TestNew_TellsFaultsOfAllKinds(t *testing.T) {
	t.Parallel()
	_, err := functions.New(functions.Config{}, raw("bad name"), page("q", "BREW"), every("sometimes", "u", nil))
	for _, want := range []string{"bad name", "BREW", "timer u"} {
		if !fault.Is(err, "functions.bad_function") || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %s", err, want)
		}
	}
}

func TestRaw_TakesAnyJSON(t *testing.T) {
	t.Parallel()
	s, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)}, raw("echo"))
	if err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{`[1, 2]`: `[1, 2]`, `"x"`: `"x"`, ``: `{}`, ` {"a":9007199254740993}`: ` {"a":9007199254740993}`} {
		if got, err := s.Invoke(t.Context(), "echo", json.RawMessage(args)); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", args, got, err)
		}
	}
	if _, err := s.Invoke(t.Context(), "echo", json.RawMessage(`{`)); !fault.Is(err, "functions.bad_json") {
		t.Errorf("half an object: %v", err)
	}
	ctx := functions.WithPayload(t.Context(), json.RawMessage(`{"action":"echo","more":1}`))
	if got, err := s.Invoke(ctx, "echo", nil); err != nil || string(got) != `{"action":"echo","more":1}` {
		t.Errorf("with the whole request: %s, %v", got, err)
	}
}

func TestRunTimer(t *testing.T) {
	t.Parallel()
	slow := lambda.Every("@every 5s", "slow", func(ctx context.Context, _ *lambda.Call) error { <-ctx.Done(); return ctx.Err() }, lambda.Timeout(10*time.Millisecond))
	s, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)}, every("@daily", "well", nil), every("@hourly", "ill", errors.New("dark")), slow)
	if err != nil {
		t.Fatal(err)
	}
	want := []timers.Timer{{Name: "ill", Spec: "@hourly"}, {Name: "slow", Spec: "@every 5s"}, {Name: "well", Spec: "@daily"}}
	if diff := cmp.Diff(want, s.Timers()); diff != "" {
		t.Error(diff)
	}
	if err := s.RunTimer(t.Context(), "well"); err != nil {
		t.Error(err)
	}
	for name, reason := range map[string]string{"ill": "functions.failed", "slow": "functions.timeout", "none": "functions.unknown"} {
		if err := s.RunTimer(t.Context(), name); !fault.Is(err, reason) {
			t.Errorf("%s: %v, want %s", name, err, reason)
		}
	}
	if s.Has("well") {
		t.Error("a timer can be called as a lambda")
	}
}
