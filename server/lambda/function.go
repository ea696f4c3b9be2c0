package lambda

import (
	"context"
	"encoding/json"
	"reflect"
	"time"
)

// Function is one declared function. Make it with Op. Run returns an *ArgumentsError, before the
// function's own code has started, when the arguments do not fit In.
type Function struct {
	Name         string        // letters, digits, "_", "-", "."; parts joined by "/" or ":"
	UserRequired bool          // only for a logged-in user or the master key
	KeyRequired  bool          // only with an API key or for a logged-in user
	Timeout      time.Duration // 0: the server's default, 60 s
	In           reflect.Type  // struct type of the arguments; nil with AnyArgs
	AnyArgs      bool          // the arguments are any JSON; made by Raw
	Hook         *Hook         // of a hook, whose arguments are a HookRequest; made by BeforeSave and the like
	Schedule     string        // of a timer: six fields with seconds first, @daily, @every 1m30s; made by Every
	Provider     bool          // of an auth provider, whose Name log-ins give and whose arguments are a ProviderRequest; made by Provides
	Event        string        // that this listens to; its arguments are what the event tells; made by On
	Methods      []string      // of an HTTP handler, whose Name is its path and whose arguments are a Request; made by HTTP
	Run          func(ctx context.Context, c *Call, args json.RawMessage) (any, error)
}

// Option changes a Function as it is declared.
type Option func(*Function)

// UserRequired refuses callers that are not logged in.
func UserRequired() Option { return func(f *Function) { f.UserRequired = true } }

// KeyRequired refuses callers without an API key.
func KeyRequired() Option { return func(f *Function) { f.KeyRequired = true } }

// Timeout sets the deadline of one call.
func Timeout(d time.Duration) Option { return func(f *Function) { f.Timeout = d } }

// Op declares a function that is called with a JSON object and answers with a JSON value.
func Op[In, Out any](name string, fn func(context.Context, *Call, In) (Out, error), opts ...Option) Function {
	f := Function{Name: name, In: reflect.TypeFor[In]()}
	f.Run = func(ctx context.Context, c *Call, args json.RawMessage) (any, error) {
		decode := json.Unmarshal
		if c != nil && c.decode != nil {
			decode = c.decode
		}
		var in In
		if err := decode(args, &in); err != nil {
			return nil, &ArgumentsError{Err: err}
		}
		return fn(ctx, c, in)
	}
	return f.with(opts)
}

// Raw declares a function that takes any JSON value as its arguments and answers with JSON text. Functions
// of other languages are made of it.
func Raw(name string, run func(ctx context.Context, c *Call, args json.RawMessage) (json.RawMessage, error), opts ...Option) Function {
	f := Function{Name: name, AnyArgs: true}
	f.Run = func(ctx context.Context, c *Call, args json.RawMessage) (any, error) { return run(ctx, c, args) }
	return f.with(opts)
}

// HTTP declares a handler: it answers requests of these methods at the path, which begins without "/". A path
// that ends with "/" takes all below it that no other one takes. The answer is sent as it is.
func HTTP(path string, methods []string, fn func(context.Context, *Call, Request) (Response, error), opts ...Option) Function {
	f := Raw(path, func(ctx context.Context, c *Call, args json.RawMessage) (json.RawMessage, error) {
		var r Request
		if err := json.Unmarshal(args, &r); err != nil {
			return nil, err
		}
		answer, err := fn(ctx, c, r)
		if err != nil {
			return nil, err
		}
		return json.Marshal(answer)
	}, opts...)
	f.Methods = methods
	return f
}

// Every declares a timer: it runs by the clock, in UTC, once for each tick however many servers there are. Its Call
// has no actor.
func Every(schedule, name string, fn func(context.Context, *Call) error, opts ...Option) Function {
	f := Raw(name, func(ctx context.Context, c *Call, _ json.RawMessage) (json.RawMessage, error) { return nil, fn(ctx, c) }, opts...)
	f.Schedule = schedule
	return f
}

func (f Function) with(opts []Option) Function {
	for _, o := range opts {
		o(&f)
	}
	return f
}
