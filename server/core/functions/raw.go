package functions

import (
	"context"
	"encoding/json"

	"crema/server/base/fault"
	"crema/server/lambda"
)

// payloadKey is where ctx keeps what WithPayload gave it.
type payloadKey struct{}

// WithPayload adds the whole body of a request of Skygear's wire, an object. Functions made with lambda.Raw
// get it as Call.Payload: JavaScript functions have always seen all of it, not only "args".
func WithPayload(ctx context.Context, body json.RawMessage) context.Context {
	return context.WithValue(ctx, payloadKey{}, body)
}

func payload(ctx context.Context) json.RawMessage {
	body, _ := ctx.Value(payloadKey{}).(json.RawMessage)
	return body
}

// checkAny refuses arguments that are no JSON. Their types are the function's own task.
func checkAny(args json.RawMessage) error {
	if !json.Valid(args) {
		return fault.New(fault.BadRequest, "functions.bad_json", "the arguments are not valid JSON")
	}
	return nil
}

// Merge adds functions of another source to those that are there. What cannot be added is left out and
// told, with reason functions.bad_function: it never takes the place of a function that is there.
func Merge(have, more []lambda.Function) (all []lambda.Function, problems []error) {
	known := map[string]*function{}
	for _, fn := range have {
		known[canonical(fn.Name)] = &function{Function: fn}
	}
	all = have
	for _, fn := range more {
		err := named(fn)
		if err == nil {
			err = collision(known, fn.Name)
		}
		if err != nil {
			problems = append(problems, fault.New(fault.NotConfigured, "functions.bad_function", "%s", err))
			continue
		}
		known[canonical(fn.Name)] = &function{Function: fn}
		all = append(all, fn)
	}
	return all, problems
}
