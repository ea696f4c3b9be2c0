package functions

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"

	"crema/server/base/fault"
	"crema/server/lambda"
)

// kind is how an answer of a function is told.
type kind struct {
	code   fault.Code
	reason string
}

// kinds maps what a function may answer to codes and reasons.
var kinds = map[lambda.Kind]kind{
	lambda.Invalid:  {fault.Invalid, "functions.invalid"},
	lambda.Denied:   {fault.Denied, "functions.denied"},
	lambda.NotFound: {fault.NotFound, "functions.not_found"},
	lambda.Conflict: {fault.Duplicate, "functions.conflict"},
	lambda.Busy:     {fault.Unavailable, "functions.busy"},
}

// ofLambda turns a function's own error into a fault. A kind that is not known is a defect of the
// function, so its message stays in the log.
func ofLambda(e *lambda.Error) error {
	k, ok := kinds[e.Kind]
	if !ok {
		return fault.Wrap(e, fault.Internal, "functions.bad_kind", "the function failed unexpectedly")
	}
	message := e.Message
	if message == "" {
		message = "the function refused the call"
	}
	f := fault.New(k.code, k.reason, "%s", message)
	f.Details = e.Info
	return f
}

// wrongType says which argument encoding/json could not put into the input struct.
func wrongType(in reflect.Type, args json.RawMessage, cause error) error {
	name, err := culprit(in, args, cause)
	var e *json.UnmarshalTypeError
	expected := "in the form that the function documents"
	if errors.As(err, &e) {
		expected = expectation(e.Type)
		if kind, _, _ := strings.Cut(e.Value, " "); kind != "number" || !isNumber(e.Type) {
			expected += ", not " + article(kind)
		}
	}
	return fault.Wrap(cause, fault.Invalid, "functions.wrong_type", "%s must be %s", name, expected).With("arguments", []string{name})
}

// culprit returns the field that err is about. Types that decode themselves do not tell, so each
// argument is tried alone.
func culprit(in reflect.Type, args json.RawMessage, err error) (string, error) {
	var e *json.UnmarshalTypeError
	if errors.As(err, &e) && e.Field != "" {
		return e.Field, err
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(args, &members) == nil {
		for name, value := range members {
			alone, _ := json.Marshal(map[string]json.RawMessage{name: value})
			if err := json.Unmarshal(alone, reflect.New(in).Interface()); err != nil {
				return name, err
			}
		}
	}
	return "arguments", err
}

func article(kind string) string {
	switch kind {
	case "array", "object":
		return "an " + kind
	case "bool":
		return "true or false"
	}
	return "a " + kind
}

func isNumber(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64
}

// expectation names the JSON value that a Go type takes.
func expectation(t reflect.Type) string {
	switch k := t.Kind(); {
	case k == reflect.String:
		return "a string"
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Float32, k == reflect.Float64:
		return "a number"
	case k >= reflect.Int && k <= reflect.Int64:
		bits := min(t.Bits(), 54) // 2^53 is the limit of check
		most := int64(1)<<(bits-1) - 1
		return fmt.Sprintf("a whole number from %d to %d, without fraction or exponent", -most-1, most)
	case k >= reflect.Uint && k <= reflect.Uintptr:
		most := uint64(math.MaxUint64) >> (64 - min(t.Bits(), 53))
		return fmt.Sprintf("a whole number from 0 to %d, without fraction or exponent", most)
	case k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return "a string in base64"
	case k == reflect.Slice, k == reflect.Array:
		return "an array"
	case k == reflect.Struct, k == reflect.Map:
		return "an object"
	}
	return "of type " + t.String()
}
