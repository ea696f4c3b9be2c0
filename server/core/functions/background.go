package functions

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/functions/hooks"
	"crema/server/core/functions/timers"
	"crema/server/lambda"
)

// Timers returns the live functions that run by the clock, by name.
func (s *Service) Timers() []timers.Timer { return s.live.Load().Timers() }

// Timers returns the functions of the set that run by the clock, by name.
func (t *Set) Timers() []timers.Timer {
	var all []timers.Timer
	for _, f := range t.timers {
		all = append(all, timers.Timer{Name: f.Name, Spec: f.Schedule})
	}
	slices.SortFunc(all, func(a, b timers.Timer) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// timerPatience is how long a timer waits for workers: a tick may be the only one of the day.
const timerPatience = time.Minute

// RunTimer runs a timer's function to its end or deadline. Nobody calls it: its Call has no actor. It fails as
// Invoke does, but when all workers are busy, so that the function has not begun, it tries for a minute.
func (s *Service) RunTimer(ctx context.Context, name string) error {
	for begin := time.Now(); ; {
		f, err := named(s.live.Load().timers, name)
		if err != nil {
			return err
		}
		err = s.call(ctx, f, json.RawMessage("null"), nil).err
		if !fault.Is(err, "workers.busy") && !fault.Is(err, "workers.down") || time.Since(begin) > timerPatience {
			return err
		}
		t := time.NewTimer(max(fault.From(err).RetryAfter, time.Millisecond))
		select {
		case <-ctx.Done():
			t.Stop()
			return err
		case <-t.C:
		}
	}
}

// Hooks returns the live functions that run around saves and deletes, in the order of their registration. The
// list must not be changed.
func (s *Service) Hooks() []hooks.Hook { return s.live.Load().around }

// RunHook runs a hook's function for the actor of ctx, with a lambda.HookRequest, and returns what it gives
// back. It fails as Invoke does.
func (s *Service) RunHook(ctx context.Context, name string, args json.RawMessage) (json.RawMessage, error) {
	f, err := named(s.live.Load().hooks, name)
	if err != nil {
		return nil, err
	}
	o := s.call(ctx, f, args, nil)
	return o.result, o.err
}

// Listens says whether a function of the set listens to an event.
func (t *Set) Listens(event string) bool {
	return slices.ContainsFunc(t.listeners, func(f *function) bool { return f.Event == event })
}

// Listens says whether a live function listens to an event.
func (s *Service) Listens(event string) bool { return s.live.Load().Listens(event) }

// Tell tells an event to the functions of a set that listen to it, live or not: one after the other, each to its end or
// deadline. What they fail with is logged. nil is the live set.
func (s *Service) Tell(ctx context.Context, set *Set, event string, data json.RawMessage) {
	if set == nil {
		set = s.live.Load()
	}
	ctx = acl.WithActor(ctx, acl.Actor{})
	for _, f := range set.listeners {
		if f.Event != event {
			continue
		}
		if o := s.call(ctx, f, data, nil); o.err != nil {
			s.config.Log.ErrorContext(ctx, "a listener failed", "listener", f.Name, "event", event, "error", o.err.Error())
		}
	}
}

// Announce is Tell for the live functions and for one event after the other, beside the caller, whose end does not matter.
// Nothing is told once the service stops.
func (s *Service) Announce(ctx context.Context, data json.RawMessage, events ...string) {
	set := s.live.Load()
	if !slices.ContainsFunc(events, set.Listens) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.telling.Go(func() {
		for _, event := range events {
			s.Tell(context.WithoutCancel(ctx), set, event, data)
		}
	})
}

// Provider is a live auth provider. It implements users.Provider.
type Provider struct {
	service *Service
	name    string
}

// Provider finds an auth provider by the name that log-ins give.
func (s *Service) Provider(name string) (Provider, bool) {
	_, err := named(s.live.Load().providers, name)
	return Provider{s, name}, err == nil
}

// LogIn asks the provider who somebody is, and what to keep with the account: a JSON value. data is an object, nil
// means {}. It fails with functions.provider_refused, with functions.bad_identity when the answer is none, and as
// Invoke does when the provider could not be asked.
func (p Provider) LogIn(ctx context.Context, data json.RawMessage) (principal string, keep json.RawMessage, err error) {
	f, err := named(p.service.live.Load().providers, p.name)
	if err != nil {
		return "", nil, err
	}
	if isBlank(data) || string(data) == "null" {
		data = json.RawMessage("{}")
	}
	args, err := json.Marshal(lambda.ProviderRequest{Action: "login", Data: data})
	if err != nil {
		return "", nil, fault.Wrap(err, fault.BadRequest, "functions.bad_json", "provider_auth_data is no JSON")
	}
	o := p.service.call(ctx, f, args, nil)
	if refusal(o.err) {
		p.service.config.Log.InfoContext(ctx, "an auth provider refused a log-in", "provider", p.name, "error", o.err.Error())
		return "", nil, refused(o.err)
	}
	if o.err != nil {
		return "", nil, o.err
	}
	return identity(p.name, o.result)
}

// refusal says that a function has answered no, on purpose or by whatever it raised. Wire: skygear §2.2.
func refusal(err error) bool {
	switch f := fault.From(err); {
	case f == nil:
		return false
	case f.Reason == "functions.raised":
		return true
	default:
		return f.Code != fault.Unavailable && slices.ContainsFunc(slices.Collect(maps.Values(kinds)), func(k kind) bool { return k.reason == f.Reason })
	}
}

func refused(cause error) error {
	return fault.Wrap(cause, fault.CredentialsRefused, "functions.provider_refused", "the provider does not accept this")
}

const (
	maxPrincipal = 255      // of what a provider calls somebody, in bytes
	maxKept      = 64 << 10 // of what is kept with an account
)

// identity reads what a provider has answered. Nothing, and nobody, is a refusal.
func identity(provider string, result json.RawMessage) (principal string, keep json.RawMessage, err error) {
	var who *struct {
		Principal *string         `json:"principal_id"`
		Keep      json.RawMessage `json:"auth_data"`
	}
	bad := func(why string) error {
		return fault.Wrap(err, fault.Internal, "functions.bad_identity", "the auth provider %s answered %s", provider, why)
	}
	if err = json.Unmarshal(result, &who); err != nil {
		return "", nil, bad("what is no identity; it must be an object with principal_id, a text, and auth_data")
	}
	if who == nil || who.Principal == nil || *who.Principal == "" {
		return "", nil, refused(nil)
	}
	if len(*who.Principal) > maxPrincipal || !utf8.ValidString(*who.Principal) || strings.ContainsRune(*who.Principal, 0) {
		return "", nil, bad(fmt.Sprintf("a principal_id that is no text of 1 to %d bytes without NUL", maxPrincipal))
	}
	if len(who.Keep) > maxKept {
		return "", nil, bad(fmt.Sprintf("auth_data of more than %d bytes", maxKept))
	}
	return *who.Principal, who.Keep, nil
}

func named(among []*function, name string) (*function, error) {
	if i := slices.IndexFunc(among, func(f *function) bool { return f.Name == name }); i >= 0 {
		return among[i], nil
	}
	return nil, fault.New(fault.UnknownOperation, "functions.unknown", "there is no function %.64q", name)
}

// background compiles the timers, the hooks and the like, which have names of their own, or reports every fault of all
// of them.
func background(c Config, kind string, fns []lambda.Function, add func(map[string]bool, lambda.Function) error) ([]*function, error) {
	var all []*function
	taken := map[string]bool{}
	var faults []string
	for _, fn := range fns {
		if err := add(taken, fn); err != nil {
			faults = append(faults, err.Error())
			continue
		}
		if fn.Timeout == 0 {
			fn.Timeout = c.Timeout
		}
		all = append(all, &function{Function: fn, log: c.Log.With(kind, fn.Name).Handler()})
	}
	if len(faults) > 0 {
		return nil, fault.New(fault.NotConfigured, "functions.bad_function", "%s", strings.Join(faults, "; "))
	}
	return all, nil
}

func addTimer(taken map[string]bool, fn lambda.Function) error {
	if fn.Name == "" || len(fn.Name) > maxName {
		return fmt.Errorf("timer %.64q: a name has 1 to %d bytes", fn.Name, maxName)
	}
	if _, err := timers.Parse(fn.Schedule); err != nil {
		return fmt.Errorf("timer %s: %s", fn.Name, fault.From(err).Message)
	}
	if taken[fn.Name] {
		return fmt.Errorf("timer %s is declared twice", fn.Name)
	}
	taken[fn.Name] = true
	return nil
}

func addHook(taken map[string]bool, fn lambda.Function) error {
	h := *fn.Hook
	switch {
	case fn.Name == "" || len(fn.Name) > maxName:
		return fmt.Errorf("hook %.64q: a name has 1 to %d bytes", fn.Name, maxName)
	case h.Type == "" || strings.HasPrefix(h.Type, "_"):
		return fmt.Errorf("hook %s: %.64q is no record type", fn.Name, h.Type)
	case !slices.Contains([]lambda.Trigger{lambda.OnBeforeSave, lambda.OnAfterSave, lambda.OnBeforeDelete, lambda.OnAfterDelete}, h.Trigger):
		return fmt.Errorf("hook %s: there is no trigger %.64q", fn.Name, h.Trigger)
	case taken[fn.Name]:
		return fmt.Errorf("hook %s is declared twice", fn.Name)
	}
	taken[fn.Name] = true
	return nil
}

// addProvider refuses two names of which one might be taken for the other with the beginning of a principal: accounts are
// known by both, joined by ":".
func addProvider(taken map[string]bool, fn lambda.Function) error {
	if fn.Name == "" || len(fn.Name) > maxName {
		return fmt.Errorf("auth provider %.64q: a name has 1 to %d bytes", fn.Name, maxName)
	}
	for other := range taken {
		if other == fn.Name {
			return fmt.Errorf("auth provider %s is declared twice", fn.Name)
		}
		if strings.HasPrefix(other, fn.Name+":") || strings.HasPrefix(fn.Name, other+":") {
			return fmt.Errorf("auth providers %s and %s cannot be told apart by the accounts that they make; give one another name", other, fn.Name)
		}
	}
	taken[fn.Name] = true
	return nil
}

func addListener(taken map[string]bool, fn lambda.Function) error {
	if fn.Name == "" || len(fn.Name) > maxName {
		return fmt.Errorf("listener %.64q: a name has 1 to %d bytes", fn.Name, maxName)
	}
	if taken[fn.Name] {
		return fmt.Errorf("listener %s is declared twice", fn.Name)
	}
	taken[fn.Name] = true
	return nil
}
