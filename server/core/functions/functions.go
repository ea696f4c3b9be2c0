package functions

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"crema/server/base/deadline"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/functions/timers"
	"crema/server/lambda"
)

// Config is what the room works with.
type Config struct {
	DB       *pg.DB                          // nil: InvokeOnce is refused
	Records  func(acl.Actor) lambda.Records  // what a Call of this actor gets; nil: none
	Payments func(acl.Actor) lambda.Payments // nil: payments answer functions.no_payments
	Complete Completer                       // for arguments and results; nil: they pass as they are
	Log      *slog.Logger                    // nil: the default logger
	Timeout  time.Duration                   // of functions that set none; 0: 60 s
	Now      func() time.Time                // for stored answers; nil: the database's clock, which all servers share
}

// Completer adds to typed values in JSON what clients and functions expect to find there, such as the URLs
// of assets. With an error it returns the text as it was.
type Completer func(ctx context.Context, text json.RawMessage) (json.RawMessage, error)

// Service holds the functions of one app. It is safe for concurrent use.
type Service struct {
	config    Config
	store     store
	byName    map[string]*function
	routes    routes
	timers    map[string]*function
	calls     tracker
	watch     deadline.Watch
	abandoned atomic.Int64
	cleaner   cleaner
}

// function is a registered lambda.Function with what its calls need, computed once.
type function struct {
	lambda.Function
	args *shape
	log  slog.Handler
}

// New registers the functions. All faults of them are reported together in one functions.bad_function.
func New(c Config, fns ...lambda.Function) (*Service, error) {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	if c.Records == nil {
		c.Records = func(acl.Actor) lambda.Records { return nil }
	}
	if c.Complete == nil {
		c.Complete = func(_ context.Context, text json.RawMessage) (json.RawMessage, error) { return text, nil }
	}
	if c.Payments == nil {
		c.Payments = func(acl.Actor) lambda.Payments { return noPayments{} }
	}
	s := &Service{config: c, store: store{db: c.DB, clock: c.Now}, calls: newTracker()}
	all := split(fns)
	var errs [3]error
	s.byName, errs[0] = register(c, all.lambdas)
	s.routes, errs[1] = route(c, all.handlers)
	s.timers, errs[2] = schedule(c, all.timers)
	if err := together(errs[:]); err != nil {
		return nil, err
	}
	return s, nil
}

// Names returns the names of all functions, sorted.
func (s *Service) Names() []string {
	names := make([]string, 0, len(s.byName))
	for _, f := range s.byName {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// Has says whether there is a function of this name. It costs nothing, unlike a Lookup that fails.
func (s *Service) Has(name string) bool {
	_, ok := s.byName[canonical(name)]
	return ok
}

// Lookup returns a function; "/" and ":" in a name are equal. A name that is not known fails with
// functions.unknown, which suggests the nearest one.
func (s *Service) Lookup(name string) (lambda.Function, error) {
	f, err := s.find(name)
	if err != nil {
		return lambda.Function{}, err
	}
	return f.Function, nil
}

func (s *Service) find(name string) (*function, error) {
	if f, ok := s.byName[canonical(name)]; ok {
		return f, nil
	}
	hint := ""
	if near := nearest(canonical(name), maps.Keys(s.byName)); near != "" {
		hint = "; did you mean " + s.byName[near].Name + "?"
	}
	return nil, fault.New(fault.UnknownOperation, "functions.unknown", "there is no function %.64q%s", name, hint)
}

// Invoke runs a function for the actor of ctx and returns its result as JSON. args is one JSON object;
// nothing at all means {}. It fails with functions.bad_json, args_not_object, unknown_argument,
// missing_argument, wrong_type, duplicate_argument and the like before the function has started, with
// functions.timeout at the deadline, functions.panic, and with whatever fault the function returned.
func (s *Service) Invoke(ctx context.Context, name string, args json.RawMessage) (json.RawMessage, error) {
	f, args, err := s.admit(ctx, name, args)
	if err != nil {
		return nil, err
	}
	o := s.call(ctx, f, args, nil)
	return o.result, o.err
}

// Serve is Invoke for doors. It saves the switch to another goroutine: the function runs on this one,
// and respond gets the answer, once. When the function goes on after its deadline, respond is called
// meanwhile from another goroutine. Serve returns when both have ended.
func (s *Service) Serve(ctx context.Context, name string, args json.RawMessage, respond func(json.RawMessage, error)) {
	f, args, err := s.admit(ctx, name, args)
	if err != nil {
		respond(nil, err)
		return
	}
	s.serve(ctx, f, args, respond)
}

// admit finds the function and refuses callers and arguments that it must not see. The doors have
// asked for credentials already; this is for the ways in that have no door.
func (s *Service) admit(ctx context.Context, name string, args json.RawMessage) (*function, json.RawMessage, error) {
	f, err := s.find(name)
	if err != nil {
		return nil, nil, err
	}
	if err := f.refuse(acl.FromContext(ctx)); err != nil {
		return nil, nil, err
	}
	if isBlank(args) {
		args = json.RawMessage("{}")
	}
	if f.AnyArgs {
		return f, args, checkAny(args)
	}
	return f, args, check(args, f.args)
}

// Timers returns the functions that run by the clock, by name.
func (s *Service) Timers() []timers.Timer {
	var all []timers.Timer
	for _, f := range s.timers {
		all = append(all, timers.Timer{Name: f.Name, Spec: f.Schedule})
	}
	slices.SortFunc(all, func(a, b timers.Timer) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// RunTimer runs a timer's function to its end or deadline. Nobody calls it: its Call has no actor. It fails as
// Invoke does.
func (s *Service) RunTimer(ctx context.Context, name string) error {
	f := s.timers[name]
	if f == nil {
		return fault.New(fault.UnknownOperation, "functions.unknown", "there is no timer %.64q", name)
	}
	return s.call(ctx, f, json.RawMessage("null"), nil).err
}

// refuse says why a caller must not call f.
func (f *function) refuse(actor acl.Actor) error {
	if f.UserRequired && actor.UserID == "" && !actor.Master() {
		return fault.New(fault.Unauthenticated, "functions.user_required", "log in first; function %s is for users only", f.Name)
	}
	if f.KeyRequired && actor.UserID == "" && actor.Key == acl.NoKey {
		return fault.New(fault.Unauthenticated, "functions.key_required", "send the API key; function %s needs it", f.Name)
	}
	return nil
}

// Running returns how many calls are going on, those that were abandoned included.
func (s *Service) Running() int { return s.calls.count() }

// Abandoned returns how many functions still run after their caller got a timeout.
func (s *Service) Abandoned() int { return int(s.abandoned.Load()) }

// noPayments stands where the server takes no payments.
type noPayments struct{}

// PayWithToken implements lambda.Payments.
func (noPayments) PayWithToken(context.Context, lambda.TokenPayment) (lambda.Payment, error) {
	return lambda.Payment{}, errNoPayments
}

// OpenCheckout implements lambda.Payments.
func (noPayments) OpenCheckout(context.Context, lambda.Checkout) (lambda.Payment, error) {
	return lambda.Payment{}, errNoPayments
}

var errNoPayments = fault.New(fault.NotConfigured, "functions.no_payments", "this server takes no payments")
