package functions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/core/functions"
	"crema/server/lambda"
)

func numbered(n int) lambda.Function {
	return lambda.Raw("number", func(context.Context, *lambda.Call, json.RawMessage) (json.RawMessage, error) {
		return json.RawMessage(fmt.Sprint(n)), nil
	})
}

func newQuiet(t *testing.T, fns ...lambda.Function) *functions.Service {
	t.Helper()
	s, err := functions.New(functions.Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}, fns...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSwitch_LosesNoCall(t *testing.T) {
	t.Parallel()
	s := newQuiet(t, numbered(0))
	var over atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for last := 0; !over.Load(); {
				got, err := s.Invoke(t.Context(), "number", nil)
				n := 0
				if err == nil {
					err = json.Unmarshal(got, &n)
				}
				if err != nil || n < last {
					t.Errorf("call after %d: %s, %v", last, got, err)
					return
				}
				last = n
			}
		})
	}
	for n := 1; n <= 200; n++ {
		set, err := s.Compile(numbered(n))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Switch(set)(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	over.Store(true)
	wg.Wait()
	if n := s.Running(); n != 0 {
		t.Errorf("%d calls are still counted", n)
	}
}

func TestSwitch_WaitsForTheCallsOfTheOldFunctions(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	s := newQuiet(t, lambda.Raw("number", func(context.Context, *lambda.Call, json.RawMessage) (json.RawMessage, error) {
		close(started)
		<-release
		return json.RawMessage("0"), nil
	}))
	answer := make(chan string, 1)
	go func() {
		got, err := s.Invoke(t.Context(), "number", nil)
		answer <- fmt.Sprint(string(got), err)
	}()
	<-started
	set, err := s.Compile(numbered(1))
	if err != nil {
		t.Fatal(err)
	}
	drained := s.Switch(set)
	if got, err := s.Invoke(t.Context(), "number", nil); string(got) != "1" {
		t.Errorf("after the switch: %s, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := drained(ctx); err == nil {
		t.Error("it is drained while a call runs")
	}
	close(release)
	if got := <-answer; got != "0<nil>" {
		t.Errorf("the old call: %s", got)
	}
	if err := drained(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSwitch_AfterTheStopTakesNoCalls(t *testing.T) {
	t.Parallel()
	s := newQuiet(t, numbered(0))
	set, err := s.Compile(numbered(1))
	if err != nil {
		t.Fatal(err)
	}
	s.Stop(t.Context())
	s.Switch(set)
	if _, err := s.Invoke(t.Context(), "number", nil); !fault.Is(err, "functions.stopped") {
		t.Errorf("call after the stop: %v", err)
	}
}
