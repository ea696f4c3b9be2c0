package workers

import (
	"context"
	"encoding/json"

	"crema/server/base/fault"
	"crema/server/lambda"
)

// Functions are the pool's lambdas, to be registered beside those in Go.
func (p *Pool) Functions() []lambda.Function {
	var all []lambda.Function
	for _, d := range p.Registered().Ops {
		var options []lambda.Option
		if d.KeyRequired {
			options = append(options, lambda.KeyRequired())
		}
		if d.UserRequired {
			options = append(options, lambda.UserRequired())
		}
		all = append(all, lambda.Raw(d.Name, p.op(d.Name), options...))
	}
	return all
}

// op calls a lambda. Wire: the function gets the whole body of the request, of which Python takes args; who
// calls in another way gets a body with just the name and args.
func (p *Pool) op(name string) func(context.Context, *lambda.Call, json.RawMessage) (json.RawMessage, error) {
	return func(ctx context.Context, c *lambda.Call, args json.RawMessage) (json.RawMessage, error) {
		param := c.Payload
		if param == nil {
			var err error
			if param, err = json.Marshal(struct {
				Action string          `json:"action"`
				Args   json.RawMessage `json:"args"`
			}{name, args}); err != nil {
				return nil, fault.Wrap(err, fault.BadRequest, "workers.bad_argument", "the arguments cannot be written as JSON")
			}
		}
		return p.Call(ctx, Op, name, param, callerOf(c))
	}
}

func callerOf(c *lambda.Call) Caller {
	return Caller{UserID: c.Actor.UserID, KeyType: c.Actor.Key, RequestID: c.RequestID}
}
