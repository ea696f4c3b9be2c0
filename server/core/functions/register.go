package functions

import (
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"regexp"
	"strings"

	"crema/server/base/fault"
	"crema/server/lambda"
)

// maxName bounds names, in bytes.
const maxName = 128

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*([/:][A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)

// register compiles all functions or reports every fault of all of them.
func register(c Config, fns []lambda.Function) (map[string]*function, error) {
	byName := make(map[string]*function, len(fns))
	var faults []string
	for _, fn := range fns {
		if fn.Timeout == 0 {
			fn.Timeout = c.Timeout
		}
		f, err := compile(fn, c.Log)
		if err == nil {
			err = collision(byName, fn.Name)
		}
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		byName[canonical(fn.Name)] = f
	}
	if len(faults) > 0 {
		return nil, fault.New(fault.NotConfigured, "functions.bad_function", "%s", strings.Join(faults, "; "))
	}
	return byName, nil
}

func nameable(fn lambda.Function) error {
	if len(fn.Name) > maxName || !namePattern.MatchString(fn.Name) {
		return fmt.Errorf("function %.64q: a name is letters, digits, _, - and . in parts joined by / or :, at most %d bytes", fn.Name, maxName)
	}
	return nil
}

func compile(fn lambda.Function, log *slog.Logger) (*function, error) {
	if err := nameable(fn); err != nil {
		return nil, err
	}
	switch {
	case fn.Run == nil:
		return nil, fmt.Errorf("function %s: it has no code; make it with lambda.Op", fn.Name)
	case fn.Timeout < 0:
		return nil, fmt.Errorf("function %s: its timeout is negative", fn.Name)
	case fn.AnyArgs:
		return &function{Function: fn, log: log.With("function", fn.Name).Handler()}, nil
	case fn.In == nil || fn.In.Kind() != reflect.Struct:
		return nil, fmt.Errorf("function %s: its input must be a struct, it is %v", fn.Name, fn.In)
	}
	args, err := shapeOf(fn.In)
	if err != nil {
		return nil, fmt.Errorf("function %s: %w", fn.Name, err)
	}
	return &function{Function: fn, args: args, log: log.With("function", fn.Name).Handler()}, nil
}

// sorted are functions by what calls them.
type sorted struct{ lambdas, handlers, timers, hooks, providers, listeners []lambda.Function }

func split(fns []lambda.Function) (k sorted) {
	for _, fn := range fns {
		switch {
		case fn.Methods != nil:
			k.handlers = append(k.handlers, fn)
		case fn.Schedule != "":
			k.timers = append(k.timers, fn)
		case fn.Hook != nil:
			k.hooks = append(k.hooks, fn)
		case fn.Provider:
			k.providers = append(k.providers, fn)
		case fn.Event != "":
			k.listeners = append(k.listeners, fn)
		default:
			k.lambdas = append(k.lambdas, fn)
		}
	}
	return k
}

// together is one fault for several of functions.bad_function.
func together(errs []error) error {
	var messages []string
	for _, err := range errs {
		if err != nil {
			messages = append(messages, fault.From(err).Message)
		}
	}
	if messages == nil {
		return nil
	}
	return fault.New(fault.NotConfigured, "functions.bad_function", "%s", strings.Join(messages, "; "))
}

// Merge adds functions of another source to those that are there. What cannot be added is left out and
// told, with reason functions.bad_function: it never takes the place of a function that is there.
func Merge(have, more []lambda.Function) (all []lambda.Function, problems []error) {
	all = have[:len(have):len(have)]
	known := catalogue{lambdas: map[string]*function{}, handlers: routes{}, timers: map[string]bool{}, hooks: map[string]bool{}, providers: map[string]bool{}, listeners: map[string]bool{}}
	for _, fn := range have {
		_ = known.add(fn) // New tells what is wrong with these
	}
	for _, fn := range more {
		if err := known.add(fn); err != nil {
			problems = append(problems, fault.New(fault.NotConfigured, "functions.bad_function", "%s", err))
			continue
		}
		all = append(all, fn)
	}
	return all, problems
}

// catalogue knows which names are taken.
type catalogue struct {
	lambdas   map[string]*function
	handlers  routes
	timers    map[string]bool
	hooks     map[string]bool
	providers map[string]bool
	listeners map[string]bool
}

func (c catalogue) add(fn lambda.Function) error {
	switch {
	case fn.Methods != nil:
		return c.handlers.add(fn, slog.New(slog.DiscardHandler))
	case fn.Schedule != "":
		return addTimer(c.timers, fn)
	case fn.Hook != nil:
		return addHook(c.hooks, fn)
	case fn.Provider:
		return addProvider(c.providers, fn)
	case fn.Event != "":
		return addListener(c.listeners, fn)
	}
	err := nameable(fn)
	if err == nil {
		err = collision(c.lambdas, fn.Name)
	}
	if err == nil {
		c.lambdas[canonical(fn.Name)] = &function{Function: fn}
	}
	return err
}

func collision(known map[string]*function, name string) error {
	switch other := known[canonical(name)]; {
	case other == nil:
		return nil
	case other.Name == name:
		return fmt.Errorf("function %s is declared twice", name)
	default:
		return fmt.Errorf("functions %s and %s answer to the same name, since / and : are equal", other.Name, name)
	}
}

// canonical is the form in which names are compared. Skygear v1 turns the "/" of a path into ":".
func canonical(name string) string { return strings.ReplaceAll(name, "/", ":") }

// nearest returns the candidate that the fewest edits turn into name, "" when none is near.
func nearest(name string, candidates iter.Seq[string]) string {
	if len(name) > maxName {
		return ""
	}
	best, least := "", max(1, (len(name)+1)/3)+1
	for c := range candidates {
		d := distance(strings.ToLower(name), strings.ToLower(c))
		if d < least || d == least && best != "" && c < best {
			best, least = c, d
		}
	}
	return best
}

// distance is Levenshtein's, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
