package workers

import (
	"context"
	"encoding/json"

	"crema/server/base/fault"
	"crema/server/lambda"
)

// Functions are the pool's lambdas, HTTP handlers, timers and hooks, to be registered beside those in Go.
func (p *Pool) Functions() []lambda.Function {
	r := p.Registered()
	var all []lambda.Function
	for _, d := range r.Ops {
		all = append(all, lambda.Raw(d.Name, p.op(d.Name), d.options()...))
	}
	for _, d := range r.Handlers {
		f := lambda.Raw(d.Name, p.handler(d.Name), d.options()...)
		f.Methods = append([]string{}, d.Methods...)
		all = append(all, f)
	}
	for _, d := range r.Timers {
		all = append(all, lambda.Every(d.Spec, d.Name, p.timer(d.Name)))
	}
	for _, d := range r.Hooks {
		f := lambda.Raw(d.Name, p.hook(d.Name))
		f.Hook = &lambda.Hook{Type: d.Type, Trigger: lambda.Trigger(d.Trigger), Async: d.Async}
		all = append(all, f)
	}
	return all
}

func (d Declared) options() (options []lambda.Option) {
	if d.KeyRequired {
		options = append(options, lambda.KeyRequired())
	}
	if d.UserRequired {
		options = append(options, lambda.UserRequired())
	}
	return options
}

// handler answers a request. Wire: param is the request, and so are the arguments.
func (p *Pool) handler(name string) func(context.Context, *lambda.Call, json.RawMessage) (json.RawMessage, error) {
	return func(ctx context.Context, c *lambda.Call, args json.RawMessage) (json.RawMessage, error) {
		return p.Call(ctx, Handler, name, args, callerOf(c))
	}
}

// hook runs around a save or a delete. Wire: param is a lambda.HookRequest, and so are the arguments.
func (p *Pool) hook(name string) func(context.Context, *lambda.Call, json.RawMessage) (json.RawMessage, error) {
	return func(ctx context.Context, c *lambda.Call, args json.RawMessage) (json.RawMessage, error) {
		return p.Call(ctx, Hook, name, args, callerOf(c))
	}
}

// timer runs by the clock. Wire: it has neither param nor context, and its result does not matter.
func (p *Pool) timer(name string) func(context.Context, *lambda.Call) error {
	return func(ctx context.Context, _ *lambda.Call) error {
		_, err := p.Call(ctx, Timer, name, nil, Caller{})
		return err
	}
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
