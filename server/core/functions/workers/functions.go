package workers

import (
	"context"
	"encoding/json"
	"slices"

	"crema/server/core/acl"
	"crema/server/lambda"
)

// Call runs one function. Wire: the kinds, and param as skygear §4.2 has it for each.
type Call func(ctx context.Context, kind Kind, name string, param json.RawMessage, caller Caller) (json.RawMessage, error)

// Functions are the pool's lambdas, HTTP handlers, timers, hooks, auth providers and listeners, to be registered beside those in
// Go. What happens to each worker alone it tells its listeners itself, when it has loaded them.
func (p *Pool) Functions() []lambda.Function {
	call := Call(p.Call)
	all := p.Registered().Functions(call)
	for _, d := range p.Registered().Events {
		if !slices.Contains(ofWorkers, d.Name) {
			all = append(all, lambda.On(d.Name, string(p.c.Language)+" "+d.Name, call.event(d.Name)))
		}
	}
	return all
}

// ofWorkers are the events that each worker hears by itself: what listeners keep then is the worker's own. The runtimes have
// the same list.
var ofWorkers = []string{"init", "before-config", "after-config"}

// Functions are what was offered, made of calls.
func (r Registered) Functions(call Call) []lambda.Function {
	var all []lambda.Function
	for _, d := range r.Ops {
		all = append(all, lambda.Raw(d.Name, call.op(d.Name), d.options()...))
	}
	for _, d := range r.Handlers {
		f := lambda.Raw(d.Name, call.plain(Handler, d.Name), d.options()...)
		f.Methods = append([]string{}, d.Methods...)
		all = append(all, f)
	}
	for _, d := range r.Timers {
		all = append(all, lambda.Every(d.Spec, d.Name, call.timer(d.Name)))
	}
	for _, d := range r.Hooks {
		f := lambda.Raw(d.Name, call.hook(d))
		f.Hook = &lambda.Hook{Type: d.Type, Trigger: lambda.Trigger(d.Trigger), Async: d.Async || d.AsyncMode}
		all = append(all, f)
	}
	for _, d := range r.Providers { // Wire: the type does not matter
		f := lambda.Raw(d.ID, call.plain(Provider, d.ID))
		f.Provider = true
		all = append(all, f)
	}
	return all
}

func (d Declared) options() (options []lambda.Option) {
	if d.KeyRequired || d.AuthRequired {
		options = append(options, lambda.KeyRequired())
	}
	if d.UserRequired {
		options = append(options, lambda.UserRequired())
	}
	return options
}

// raw is the code of a lambda.Raw.
type raw = func(context.Context, *lambda.Call, json.RawMessage) (json.RawMessage, error)

// plain passes the arguments on. Wire: of handlers and providers they are param, a lambda.Request and a lambda.ProviderRequest.
func (call Call) plain(kind Kind, name string) raw {
	return func(ctx context.Context, c *lambda.Call, args json.RawMessage) (json.RawMessage, error) {
		return call(ctx, kind, name, args, callerOf(c))
	}
}

// hook runs around a save or a delete. Wire: one that nobody waits for hears who called, and nothing else of the request.
func (call Call) hook(d DeclaredHook) raw {
	return func(ctx context.Context, c *lambda.Call, args json.RawMessage) (json.RawMessage, error) {
		caller := callerOf(c)
		if d.Async || d.AsyncMode {
			caller.RequestID = ""
		}
		return call(ctx, Hook, d.Name, args, caller)
	}
}

// timer runs by the clock. Wire: it has neither param nor context, and its result does not matter.
func (call Call) timer(name string) func(context.Context, *lambda.Call) error {
	return func(ctx context.Context, _ *lambda.Call) error {
		_, err := call(ctx, Timer, name, nil, Caller{})
		return err
	}
}

// event tells something. Wire: it has no context, and its result does not matter.
func (call Call) event(name string) func(context.Context, *lambda.Call, json.RawMessage) error {
	return func(ctx context.Context, _ *lambda.Call, data json.RawMessage) error {
		_, err := call(ctx, Event, name, data, Caller{})
		return err
	}
}

// op calls a lambda. Wire: the function gets the whole body of the request, of which Python takes args; who
// calls in another way gets a body with just the name and args.
func (call Call) op(name string) raw {
	return func(ctx context.Context, c *lambda.Call, args json.RawMessage) (json.RawMessage, error) {
		param := c.Payload
		if param == nil {
			if args == nil {
				args = json.RawMessage("null")
			}
			param = acl.AppendString(append(make([]byte, 0, 64+len(args)), `{"action":`...), name)
			param = append(append(append(param, `,"args":`...), args...), '}')
		}
		return call(ctx, Op, name, param, callerOf(c))
	}
}

func callerOf(c *lambda.Call) Caller {
	return Caller{UserID: c.Actor.UserID, KeyType: c.Actor.Key, RequestID: c.RequestID}
}
