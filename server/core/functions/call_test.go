package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
	"crema/server/core/acl"
	"crema/server/lambda"
)

// does makes a function without arguments.
func does(name string, fn func(context.Context, *lambda.Call) (any, error), opts ...lambda.Option) lambda.Function {
	return lambda.Op(name, func(ctx context.Context, c *lambda.Call, _ none) (any, error) { return fn(ctx, c) }, opts...)
}

func TestInvoke_TurnsErrorsIntoFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("secret cause")
	refusal := fault.New(fault.QueryDenied, "records.query_denied", "no")
	for _, c := range []struct {
		name   string
		err    error
		code   fault.Code
		reason string
		shown  string
	}{
		{"invalid", lambda.InvalidArgument("size", "too big"), fault.Invalid, "functions.invalid", "too big"},
		{"denied", &lambda.Error{Kind: lambda.Denied, Message: "no"}, fault.Denied, "functions.denied", "no"},
		{"not found", &lambda.Error{Kind: lambda.NotFound, Message: "gone"}, fault.NotFound, "functions.not_found", "gone"},
		{"conflict", &lambda.Error{Kind: lambda.Conflict}, fault.Duplicate, "functions.conflict", "the function refused the call"},
		{"busy", &lambda.Error{Kind: lambda.Busy, Message: "100%"}, fault.Unavailable, "functions.busy", "100%"},
		{"wrapped", fmt.Errorf("while: %w", &lambda.Error{Kind: lambda.Denied, Message: "no"}), fault.Denied, "functions.denied", "no"},
		{"unknown kind", &lambda.Error{Kind: "odd", Message: "inner"}, fault.Internal, "functions.bad_kind", "the function failed unexpectedly"},
		{"fault", refusal, fault.QueryDenied, "records.query_denied", "no"},
		{"wrapped fault", fmt.Errorf("while: %w", refusal), fault.QueryDenied, "records.query_denied", "no"},
		{"other", broken, fault.Internal, "functions.failed", "the function failed unexpectedly"},
		{"its own deadline", context.DeadlineExceeded, fault.Internal, "functions.failed", "the function failed unexpectedly"},
		{"its own cancellation", context.Canceled, fault.Internal, "functions.failed", "the function failed unexpectedly"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newService(t, Config{}, does("f", func(context.Context, *lambda.Call) (any, error) { return 1, c.err }))
			result, err := s.Invoke(t.Context(), "f", nil)
			f := fault.From(err)
			if result != nil || f == nil || f.Code != c.code || f.Reason != c.reason || f.Message != c.shown {
				t.Fatalf("%s, %v", result, err)
			}
			if c.code == fault.Internal && !errors.Is(err, c.err) {
				t.Errorf("%v lost its cause", err)
			}
		})
	}
	s := newService(t, Config{}, does("f", func(context.Context, *lambda.Call) (any, error) { return nil, lambda.InvalidArgument("size", "x") }))
	_, err := s.Invoke(t.Context(), "f", nil)
	if diff := cmp.Diff(map[string]any{"arguments": []string{"size"}}, fault.From(err).Details); diff != "" {
		t.Errorf("details (-want +got):\n%s", diff)
	}
}

type angry struct{}

func (angry) MarshalJSON() ([]byte, error) { panic("in the result") }

func TestInvoke_PanicsAndBadResultsStayInside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		fn     func(context.Context, *lambda.Call) (any, error)
		reason string
		logged string
	}{
		{"panic", func(context.Context, *lambda.Call) (any, error) { panic("at the disco") }, "functions.panic", "at the disco"},
		{"panic with an error", func(context.Context, *lambda.Call) (any, error) { panic(errors.New("oh no")) }, "functions.panic", "oh no"},
		{"out of range", func(_ context.Context, c *lambda.Call) (any, error) {
			none := []int{}
			return none[len(c.Name)], nil
		}, "functions.panic", "call_test.go"},
		{"goexit", func(context.Context, *lambda.Call) (any, error) { runtime.Goexit(); return 1, nil }, "functions.panic", "stack"},
		{"panic while encoding", func(context.Context, *lambda.Call) (any, error) { return angry{}, nil }, "functions.panic", "in the result"},
		{"NaN", func(context.Context, *lambda.Call) (any, error) { return math.NaN(), nil }, "functions.bad_result", ""},
		{"channel", func(context.Context, *lambda.Call) (any, error) { return make(chan int), nil }, "functions.bad_result", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			s := newService(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, does("f", c.fn))
			result, err := s.Invoke(t.Context(), "f", nil)
			f := fault.From(err)
			if result != nil || f == nil || f.Code != fault.Internal || f.Reason != c.reason {
				t.Fatalf("%s, %v", result, err)
			}
			if strings.Contains(f.Message, c.logged) && c.logged != "" || !strings.Contains(log.String(), c.logged) {
				t.Errorf("message %q, log %q, want %q in the log only", f.Message, log.String(), c.logged)
			}
			s.Stop(t.Context())
			if n := s.Running(); n != 0 {
				t.Errorf("%d calls are running", n)
			}
		})
	}
}

func TestInvoke_DeadlineOfObedientFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{Timeout: time.Hour}, does("f", func(ctx context.Context, _ *lambda.Call) (any, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("asking the bank: %w", ctx.Err())
		}, lambda.Timeout(3*time.Second)))
		start := time.Now()
		_, err := s.Invoke(t.Context(), "f", nil)
		if !fault.Is(err, "functions.timeout") || !fault.HasCode(err, fault.Timeout) || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if s.Abandoned() != 0 {
			t.Errorf("%d abandoned", s.Abandoned())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond) // the request's, which is over before
		defer cancel()
		if _, err = s.Invoke(ctx, "f", nil); !fault.Is(err, "functions.timeout") || fault.From(err).Message != "function f took longer than 1.2s" {
			t.Error(err)
		}
	})
}

func TestInvoke_LastWordAtTheDeadlineCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{Timeout: time.Second}, does("f", func(ctx context.Context, _ *lambda.Call) (any, error) {
			<-ctx.Done()
			return "processing", nil
		}))
		result, err := s.Invoke(t.Context(), "f", nil)
		if string(result) != `"processing"` || err != nil {
			t.Errorf("%s, %v", result, err)
		}
	})
}

func TestInvoke_DeadlineHoldsForStubbornFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := newService(t, Config{Timeout: time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))},
			does("f", func(context.Context, *lambda.Call) (any, error) {
				<-time.After(time.Minute) // of the bubble's clock
				return 1, nil
			}))
		start := time.Now()
		_, err := s.Invoke(t.Context(), "f", nil)
		if !fault.Is(err, "functions.timeout") || time.Since(start) != time.Second+grace {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if s.Abandoned() != 1 || s.Running() != 1 {
			t.Errorf("%d abandoned, %d running, want one", s.Abandoned(), s.Running())
		}
		<-time.After(time.Minute)
		synctest.Wait()
		if s.Abandoned() != 0 || s.Running() != 0 {
			t.Errorf("%d abandoned, %d running, want none", s.Abandoned(), s.Running())
		}
		if text := log.String(); !strings.Contains(text, "goes on although") || !strings.Contains(text, "after=1m0s") {
			t.Errorf("log %q", text)
		}
	})
}

func TestServe_DeadlineHoldsForStubbornFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{Timeout: time.Second}, does("f", func(context.Context, *lambda.Call) (any, error) {
			<-time.After(time.Minute)
			return 1, nil
		}))
		start := time.Now()
		answers := 0
		s.Serve(t.Context(), "f", nil, func(result json.RawMessage, err error) {
			answers++
			if result != nil || !fault.Is(err, "functions.timeout") || time.Since(start) != time.Second+grace {
				t.Errorf("%s, %v after %v", result, err, time.Since(start))
			}
			if s.Abandoned() != 1 {
				t.Errorf("%d abandoned", s.Abandoned())
			}
		})
		if answers != 1 || time.Since(start) != time.Minute || s.Abandoned() != 0 || s.Running() != 0 {
			t.Errorf("%d answers after %v, %d abandoned, %d running", answers, time.Since(start), s.Abandoned(), s.Running())
		}
	})
}

func TestServe_ReturnsAfterALateAnswerIsWritten(t *testing.T) {
	t.Parallel()
	answering, over := make(chan struct{}), make(chan struct{})
	s := newService(t, Config{Timeout: time.Millisecond}, does("f", func(context.Context, *lambda.Call) (any, error) {
		<-answering
		defer close(over)
		return 1, nil
	}))
	written := false
	s.Serve(t.Context(), "f", nil, func(json.RawMessage, error) {
		close(answering)
		<-over
		runtime.Gosched() // lets Serve return, if it were to
		written = true
	})
	if !written {
		t.Error("Serve has returned while its answer was being written")
	}
}

func TestServe_RefusesAndAnswers(t *testing.T) {
	t.Parallel()
	s := newService(t, Config{}, lambda.Op("mirror", mirror), does("crash", func(context.Context, *lambda.Call) (any, error) { panic("x") }))
	for _, c := range []struct{ name, args, reason string }{
		{"mirror", `{"text":"a"}`, ""},
		{"mirror", `{"txt":"a"}`, "functions.unknown_argument"},
		{"mirror", `{"text":1}`, "functions.wrong_type"},
		{"miror", `{}`, "functions.unknown"},
		{"crash", `{}`, "functions.panic"},
	} {
		answers := 0
		s.Serve(t.Context(), c.name, json.RawMessage(c.args), func(result json.RawMessage, err error) {
			answers++
			if (err == nil) != (c.reason == "") || (result != nil) != (c.reason == "") || c.reason != "" && !fault.Is(err, c.reason) {
				t.Errorf("%s %s: %s, %v", c.name, c.args, result, err)
			}
		})
		if answers != 1 {
			t.Errorf("%s %s: %d answers", c.name, c.args, answers)
		}
	}
	s.Stop(t.Context())
	s.Serve(t.Context(), "crash", nil, func(_ json.RawMessage, err error) {
		if !fault.Is(err, "functions.stopped") {
			t.Errorf("%v, want functions.stopped", err)
		}
	})
}

func TestInvoke_CallerGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		s := newService(t, Config{}, does("f", func(ctx context.Context, _ *lambda.Call) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}))
		time.AfterFunc(time.Second, leave)
		start := time.Now()
		_, err := s.Invoke(ctx, "f", nil)
		if !fault.Is(err, "functions.canceled") || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestInvoke_CallCarriesWhoAndWhat(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var got lambda.Call
	s := newService(t, Config{Log: telemetry.NewLogger(&log, slog.LevelInfo, "json")},
		does("who", func(ctx context.Context, c *lambda.Call) (any, error) {
			got = *c
			c.Log.Warn("hello")
			c.Log.With("a", 1).WithGroup("g").WarnContext(ctx, "again", "b", 2)
			return c.Payments.PayWithToken(ctx, lambda.TokenPayment{})
		}))
	ctx := telemetry.WithRequestID(t.Context(), "req-1")
	ctx = acl.WithActor(ctx, acl.Actor{UserID: "ann", Roles: []string{"barista"}, Key: acl.MasterKey})
	if _, err := s.Invoke(ctx, "who", nil); !fault.Is(err, "functions.no_payments") {
		t.Errorf("%v, want functions.no_payments", err)
	}
	want := lambda.Actor{UserID: "ann", Roles: []string{"barista"}, Master: true, Key: "master"}
	if diff := cmp.Diff(want, got.Actor); diff != "" || got.Name != "who" || got.RequestID != "req-1" || got.Records != nil {
		t.Errorf("call %+v (-want +got):\n%s", got, diff)
	}
	for line := range strings.Lines(log.String()) {
		if strings.Count(line, "req-1") != 1 || !strings.Contains(line, `"function":"who"`) {
			t.Errorf("log line %s", line)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines logged", n)
	}
}

func TestInvoke_AsksForUserAndKeyItself(t *testing.T) {
	t.Parallel()
	s := newService(t, Config{}, op[none]("user", lambda.UserRequired()), op[none]("key", lambda.KeyRequired()))
	for _, c := range []struct {
		name   string
		actor  acl.Actor
		reason string // "" for let in
	}{
		{"user", acl.Actor{}, "functions.user_required"},
		{"user", acl.Actor{Key: acl.ClientKey}, "functions.user_required"},
		{"user", acl.Actor{UserID: "ann"}, ""},
		{"user", acl.Actor{Key: acl.MasterKey}, ""},
		{"key", acl.Actor{}, "functions.key_required"},
		{"key", acl.Actor{Key: acl.ClientKey}, ""},
		{"key", acl.Actor{UserID: "ann"}, ""},
	} {
		_, err := s.Invoke(acl.WithActor(t.Context(), c.actor), c.name, nil)
		if c.reason == "" && err != nil || c.reason != "" && !fault.Is(err, c.reason) {
			t.Errorf("%s for %+v: %v, want %q", c.name, c.actor, err, c.reason)
		}
	}
}

func TestStop_WaitsForCallsAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{}, does("f", func(context.Context, *lambda.Call) (any, error) {
			<-time.After(4 * time.Second)
			return 1, nil
		}))
		answered := make(chan json.RawMessage, 1)
		go func() {
			result, _ := s.Invoke(t.Context(), "f", nil)
			answered <- result
		}()
		synctest.Wait()
		start := time.Now()
		s.Stop(t.Context())
		if time.Since(start) != 4*time.Second || string(<-answered) != "1" {
			t.Errorf("stopped after %v", time.Since(start))
		}
		if _, err := s.Invoke(t.Context(), "f", nil); !fault.Is(err, "functions.stopped") {
			t.Errorf("%v, want functions.stopped", err)
		}
		s.Stop(t.Context())
	})
}

func TestStop_GivesUpAfterTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{}, does("f", func(context.Context, *lambda.Call) (any, error) {
			<-time.After(time.Minute)
			return 1, nil
		}, lambda.Timeout(time.Hour)))
		go func() { _, _ = s.Invoke(t.Context(), "f", nil) }()
		synctest.Wait()
		start := time.Now()
		s.Stop(t.Context())
		if time.Since(start) != stopLimit {
			t.Errorf("stopped after %v, want %v", time.Since(start), stopLimit)
		}
		<-time.After(time.Minute)
	})
}

// A tick may be the only one of the day: it waits for workers, which have not begun it.
func TestRunTimer_WaitsForWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		busy := func(context.Context, *lambda.Call) error {
			if tries++; tries > 3 {
				return nil
			}
			err := fault.New(fault.Unavailable, "workers.busy", "all workers are busy")
			err.RetryAfter = time.Second
			return err
		}
		down := func(context.Context, *lambda.Call) error {
			err := fault.New(fault.Unavailable, "workers.down", "they keep ending")
			err.RetryAfter = 20 * time.Second
			return err
		}
		s := newService(t, Config{Timeout: time.Hour}, lambda.Every("@daily", "busy", busy), lambda.Every("@daily", "down", down))
		start := time.Now()
		if err := s.RunTimer(t.Context(), "busy"); err != nil || tries != 4 || time.Since(start) != 3*time.Second {
			t.Errorf("%d tries in %v: %v", tries, time.Since(start), err)
		}
		start = time.Now()
		if err := s.RunTimer(t.Context(), "down"); !fault.Is(err, "workers.down") || time.Since(start) != 80*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}
