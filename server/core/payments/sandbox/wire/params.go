package wire

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxText is how long a text may be; Stripe's objects promise not to exceed it.
const maxText = 5000

// Params reads typed parameters and remembers which ones were read and the first that was wrong. An
// empty text means "unset", as with Stripe. It is not safe for concurrent use.
type Params struct {
	name string // of the group, "" at the root
	form map[string]*Value
	read map[string]bool
	root *Params
	subs []*Params
	err  error
}

// NewParams returns the parameters of a decoded form.
func NewParams(form map[string]*Value) *Params { return newParams("", form, nil) }

func newParams(name string, form map[string]*Value, root *Params) *Params {
	p := &Params{name: name, form: form, read: map[string]bool{}, root: root}
	if root == nil {
		p.root = p
	}
	return p
}

// Has says whether the parameter was sent, even empty. It counts as read.
func (p *Params) Has(name string) bool {
	p.read[name] = true
	return p.form[name] != nil
}

// IsGroup says whether the parameter was sent with keys: name[key]=.
func (p *Params) IsGroup(name string) bool { return p.form[name] != nil && p.form[name].Kids != nil }

// Text returns a text; "" when it is missing or unset.
func (p *Params) Text(name string) string {
	if !p.Has(name) {
		return ""
	}
	v := p.form[name]
	switch {
	case v.Kids != nil:
		p.fail(Invalid(p.path(name), "Invalid string: %s must be a text, not a group.", p.path(name)))
	case len(v.Text) > maxText:
		p.fail(Invalid(p.path(name), "Invalid string: %s must be at most %d bytes long.", p.path(name), maxText))
	default:
		return v.Text
	}
	return ""
}

// Optional is Text as a pointer: nil when it is missing or unset.
func (p *Params) Optional(name string) *string {
	if s := p.Text(name); s != "" {
		return &s
	}
	return nil
}

// Required is Text that must not be missing.
func (p *Params) Required(name string) string {
	s := p.Text(name)
	if s == "" {
		p.missing(name)
	}
	return s
}

func (p *Params) missing(name string) {
	path := p.path(name)
	if p.Has(name) {
		p.fail(InvalidCode("parameter_invalid_empty", path, "You passed an empty string for '%s'. Empty values unset a parameter; however '%s' cannot be unset. Remove it from the request or give it a value.", path, path))
		return
	}
	p.fail(InvalidCode("parameter_missing", path, "Missing required param: %s.", path))
}

// Int returns a whole number that must be there.
func (p *Params) Int(name string) int64 {
	n, ok := p.OptionalInt(name)
	if !ok && p.root.err == nil {
		p.missing(name)
	}
	return n
}

// OptionalInt returns a whole number and whether there is one.
func (p *Params) OptionalInt(name string) (int64, bool) {
	s := p.Text(name)
	if s == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || s[0] == '+' {
		p.fail(InvalidCode("parameter_invalid_integer", p.path(name), "Invalid integer: %s", brief(s)))
		return 0, false
	}
	return n, true
}

// Bool returns true or false, or the given default.
func (p *Params) Bool(name string, missing bool) bool {
	switch s := p.Text(name); strings.ToLower(s) { // Stripe's first Python library writes True
	case "":
		return missing
	case "true":
		return true
	case "false":
		return false
	default:
		p.fail(Invalid(p.path(name), "Invalid boolean: %s", brief(s)))
		return missing
	}
}

// Group returns the parameters name[...]; an empty group when there are none.
func (p *Params) Group(name string) *Params {
	form := map[string]*Value{}
	if p.Has(name) {
		switch v := p.form[name]; {
		case v.Kids != nil:
			form = v.Kids
		case v.Text != "":
			p.fail(Invalid(p.path(name), "Invalid object: %s must be given as %s[key]=value.", p.path(name), p.path(name)))
		}
	}
	g := newParams(p.path(name), form, p.root)
	p.subs = append(p.subs, g)
	return g
}

// Groups returns the elements of a list of groups, name[0][...]=, in order.
func (p *Params) Groups(name string) []*Params {
	g := p.Group(name)
	var out []*Params
	for _, k := range g.indices() {
		out = append(out, g.Group(k))
	}
	return out
}

// List returns the texts name[]= or name[0]=, in order.
func (p *Params) List(name string) []string {
	g := p.Group(name)
	var out []string
	for _, k := range g.indices() {
		out = append(out, g.Text(k))
	}
	return out
}

// indices returns the keys of a list, in order; nil, and an error, when it is none.
func (p *Params) indices() []string {
	keys := slices.SortedFunc(maps.Keys(p.form), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	for _, k := range keys {
		if _, err := strconv.ParseUint(k, 10, 32); err != nil {
			p.fail(Invalid(p.name, "Invalid array: %s must be given as %s[]=value.", p.name, p.name))
			return nil
		}
	}
	return keys
}

// Texts returns every key of the group name with its text.
func (p *Params) Texts(name string) map[string]string {
	g := p.Group(name)
	out := map[string]string{}
	for k := range g.form {
		out[k] = g.Text(k)
	}
	return out
}

// Done returns the unknown parameter, if there is one, else the first that was wrong, else nil.
func (p *Params) Done() error {
	if path := p.unknown(); path != "" {
		return InvalidCode("parameter_unknown", path, "Received unknown parameter: %s", path)
	}
	return p.root.err
}

func (p *Params) unknown() string {
	for _, k := range slices.Sorted(maps.Keys(p.form)) {
		if !p.read[k] {
			return p.path(k)
		}
	}
	for _, s := range p.subs {
		if path := s.unknown(); path != "" {
			return path
		}
	}
	return ""
}

// Refuse makes Done return err, unless an earlier parameter was wrong already.
func (p *Params) Refuse(err *Error) { p.fail(err) }

func (p *Params) fail(err *Error) {
	if p.root.err == nil {
		p.root.err = err
	}
}

func (p *Params) path(name string) string {
	if p.name == "" {
		return brief(name)
	}
	return p.name + "[" + brief(name) + "]"
}

// brief keeps messages short.
func brief(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
