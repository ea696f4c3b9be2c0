package functions

import (
	"context"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/lambda"
)

var everythingType = reflect.TypeFor[everything]()

func op[In any](name string, opts ...lambda.Option) lambda.Function {
	return lambda.Op(name, func(context.Context, *lambda.Call, In) (any, error) { return nil, nil }, opts...)
}

type none struct{}

func TestNew_RefusesFaultyFunctions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fns  []lambda.Function
		want []string // each in the message
	}{
		{"twice", []lambda.Function{op[none]("a"), op[none]("a")}, []string{"function a is declared twice"}},
		{"colliding", []lambda.Function{op[none]("a/b"), op[none]("a:b")}, []string{"functions a/b and a:b answer to the same name"}},
		{"empty name", []lambda.Function{op[none]("")}, []string{`function ""`}},
		{
			"bad names",
			[]lambda.Function{op[none]("a b"), op[none]("/a"), op[none]("a//b"), op[none](".."), op[none]("a\x00"), op[none]("é")},
			[]string{`"a b"`, `"/a"`, `"a//b"`, `".."`, `"a\x00"`, `"é"`},
		},
		{"long name", []lambda.Function{op[none](strings.Repeat("x", 129))}, []string{"at most 128 bytes"}},
		{
			"no struct",
			[]lambda.Function{op[string]("s"), op[*none]("p"), op[any]("i")},
			[]string{"function s: its input must be a struct, it is string", "function p:", "function i:"},
		},
		{"no code", []lambda.Function{{Name: "x", In: reflect.TypeFor[none]()}}, []string{"has no code"}},
		{"negative timeout", []lambda.Function{op[none]("x", lambda.Timeout(-1))}, []string{"timeout is negative"}},
		{"channel", []lambda.Function{op[struct{ C chan int }]("x")}, []string{"field .C: JSON has no value for chan int"}},
		{"function below", []lambda.Function{op[struct{ L []struct{ F func() } }]("x")}, []string{"field .L[].F"}},
		{"interface", []lambda.Function{op[struct{ R io.Reader }]("x")}, []string{"interface io.Reader"}},
		{"JSON name twice", []lambda.Function{op[struct {
			common
			Region string `json:"locale"`
		}]("x")}, []string{"field .locale: another field has this JSON name"}},
		{"tag", []lambda.Function{op[struct {
			A int `lambda:"optinal"`
		}]("x")}, []string{`lambda:"optinal"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Config{Log: quiet()}, c.fns...)
			if !fault.Is(err, "functions.bad_function") {
				t.Fatalf("%v, want functions.bad_function", err)
			}
			for _, want := range c.want {
				if !strings.Contains(fault.From(err).Message, want) {
					t.Errorf("message %q, want %q in it", fault.From(err).Message, want)
				}
			}
		})
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	s := newService(t, Config{Timeout: time.Second}, op[none]("sso/config"), op[none]("process_payment", lambda.UserRequired()), op[none]("user:reset"))
	for name, want := range map[string]string{
		"sso/config": "sso/config", "sso:config": "sso/config", "user:reset": "user:reset", "user/reset": "user:reset",
		"process_payment": "process_payment",
	} {
		f, err := s.Lookup(name)
		if err != nil || f.Name != want || f.Timeout != time.Second {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		if !s.Has(name) {
			t.Errorf("Has(%q) is false", name)
		}
	}
	for name, hint := range map[string]string{
		"process_paymnt": "did you mean process_payment?", "ProcessPayment": "did you mean process_payment?", "sso.config": "did you mean sso/config?",
		"zebra": "", "": "", strings.Repeat("process_payment", 1000): "", "a\"\x00": "",
	} {
		_, err := s.Lookup(name)
		f := fault.From(err)
		if !fault.HasCode(err, fault.UnknownOperation) || !strings.HasSuffix(f.Message, hint) || hint == "" && strings.Contains(f.Message, "?") {
			t.Errorf("%.20q: %v, want the hint %q", name, err, hint)
		}
		if len(f.Message) > 200 || s.Has(name) {
			t.Errorf("%.20q: message of %d bytes, Has %v", name, len(f.Message), s.Has(name))
		}
	}
	if diff := cmp.Diff([]string{"process_payment", "sso/config", "user:reset"}, s.Names()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestShapeOf_LeavesTypesAloneThatDecodeThemselves(t *testing.T) {
	t.Parallel()
	type in struct {
		At  time.Time
		Raw json.RawMessage
		Any any
	}
	sh, err := shapeOf(reflect.TypeFor[in]())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range sh.fields {
		if f.of != nil {
			t.Errorf("%s has a shape", f.name)
		}
	}
}
