package functions

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"crema/server/base/deadline"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/functions/hooks"
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
	live      atomic.Pointer[Set]
	watch     deadline.Watch
	abandoned atomic.Int64
	cleaner   cleaner

	mu      sync.Mutex
	retired []*Set // those whose calls still run
	stopped bool
	telling sync.WaitGroup // of events
}

// Set is functions that are live together. It does not change.
type Set struct {
	byName    map[string]*function
	routes    routes
	timers    []*function
	hooks     []*function
	providers []*function
	listeners []*function
	around    []hooks.Hook // what hooks run around
	calls     tracker
}

// function is a registered lambda.Function with what its calls need, computed once.
type function struct {
	lambda.Function
	set  *Set
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
	s := &Service{config: c, store: store{db: c.DB, clock: c.Now}}
	set, err := s.Compile(fns...)
	if err != nil {
		return nil, err
	}
	s.live.Store(set)
	return s, nil
}

// Compile makes a set of functions, to be made live with Switch. All faults of them are reported together
// in one functions.bad_function.
func (s *Service) Compile(fns ...lambda.Function) (*Set, error) {
	set := &Set{calls: newTracker()}
	all := split(fns)
	var errs [6]error
	set.byName, errs[0] = register(s.config, all.lambdas)
	set.routes, errs[1] = route(s.config, all.handlers)
	set.timers, errs[2] = background(s.config, "timer", all.timers, addTimer)
	set.hooks, errs[3] = background(s.config, "hook", all.hooks, addHook)
	set.providers, errs[4] = background(s.config, "provider", all.providers, addProvider)
	set.listeners, errs[5] = background(s.config, "listener", all.listeners, addListener)
	if err := together(errs[:]); err != nil {
		return nil, err
	}
	for _, f := range set.byName {
		f.set = set
	}
	for _, byMethod := range set.routes {
		for _, f := range byMethod {
			f.set = set
		}
	}
	for _, f := range slices.Concat(set.timers, set.hooks, set.providers, set.listeners) {
		f.set = set
	}
	for _, f := range set.hooks {
		set.around = append(set.around, hooks.Hook{Name: f.Name, Hook: *f.Hook})
	}
	return set, nil
}

// Switch makes the functions of next the live ones: every call that begins from now on is theirs. The
// function that it returns waits until the calls of the earlier ones have ended, or ctx.
func (s *Service) Switch(next *Set) (drained func(context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		next.calls.close()
	}
	old := s.live.Swap(next)
	idle := old.calls.close()
	s.retired = append(s.retired, old)
	return func(ctx context.Context) error {
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.retired = slices.DeleteFunc(s.retired, func(o *Set) bool { return o == old })
		return nil
	}
}

// sets are those with calls that may run, the live one first.
func (s *Service) sets() []*Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Set{s.live.Load()}, s.retired...)
}

// over says whether the service takes no calls any more.
func (s *Service) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped
}

// Names returns the names of all functions, sorted.
func (s *Service) Names() []string {
	live := s.live.Load()
	names := make([]string, 0, len(live.byName))
	for _, f := range live.byName {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

// Has says whether there is a function of this name. It costs nothing, unlike a Lookup that fails.
func (s *Service) Has(name string) bool {
	_, ok := s.live.Load().byName[canonical(name)]
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
	live := s.live.Load()
	if f, ok := live.byName[canonical(name)]; ok {
		return f, nil
	}
	hint := ""
	if near := nearest(canonical(name), maps.Keys(live.byName)); near != "" {
		hint = "; did you mean " + live.byName[near].Name + "?"
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
	if err == nil {
		f, args, err = s.enter(ctx, f, args)
	}
	if err != nil {
		respond(nil, err)
		return
	}
	s.serve(ctx, f, args, respond)
}

// enter counts a call of f in. When other functions have become live meanwhile, the call is theirs.
func (s *Service) enter(ctx context.Context, f *function, args json.RawMessage) (*function, json.RawMessage, error) {
	for !f.set.calls.enter() {
		if s.over() {
			return nil, nil, stopped()
		}
		var err error
		switch {
		case f.Schedule != "":
			f, err = named(s.live.Load().timers, f.Name)
		case f.Hook != nil:
			f, err = named(s.live.Load().hooks, f.Name)
		case f.Provider:
			f, err = named(s.live.Load().providers, f.Name)
		case f.Event != "":
			f, err = named(s.live.Load().listeners, f.Name)
		default:
			f, args, err = s.admit(ctx, f.Name, args)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return f, args, nil
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
func (s *Service) Running() (n int) {
	for _, set := range s.sets() {
		n += set.calls.count()
	}
	return n
}

// Abandoned returns how many functions still run after their caller got a timeout.
func (s *Service) Abandoned() int { return int(s.abandoned.Load()) }

// stopLimit is how long Stop waits for calls.
const stopLimit = 10 * time.Second

// Stop refuses new calls, waits for the running ones until ctx ends or 10 s have passed, and ends what
// Start began. Calls that go on are logged.
func (s *Service) Stop(ctx context.Context) {
	s.cleaner.once.Do(func() {
		if s.cleaner.stop != nil {
			s.cleaner.stop()
			<-s.cleaner.done
		}
	})
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	for _, set := range s.sets() {
		select {
		case <-set.calls.close():
		case <-ctx.Done():
			s.config.Log.WarnContext(ctx, "functions are still running at the stop", "calls", s.Running())
			return
		}
	}
	s.telling.Wait() // calls are refused by now
}

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
