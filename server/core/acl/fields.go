package acl

import (
	"cmp"
	"slices"
	"strings"
)

// FieldRule says what one kind of viewer may do with a field. Viewer is "_owner", "_user_id:<id>",
// "_field:<name>" (the field holds the viewer's id, or a list with it), "_role:<role>", "_any_user" or
// "_public". Wire: skygear §3.6.
type FieldRule struct {
	Viewer       string
	Writable     bool
	Readable     bool
	Comparable   bool // in every predicate and sort
	Discoverable bool // in equality tests
}

// FieldUse is something that a rule permits.
type FieldUse int

// The uses. Discover is permitted where Compare is.
const (
	ReadField FieldUse = iota
	WriteField
	CompareField
	DiscoverField
)

// Holder is the record that a field belongs to.
type Holder struct {
	Owner string
	Holds func(field, user string) bool // whether the field holds the id of the user
}

// viewers are the kinds of viewer in the order in which they are asked.
var viewers = []string{"_owner", "_user_id:", "_field:", "_role:", "_any_user", "_public"}

func (r FieldRule) rank() int {
	return slices.IndexFunc(viewers, func(v string) bool {
		return r.Viewer == v || strings.HasSuffix(v, ":") && strings.HasPrefix(r.Viewer, v)
	})
}

// Known says whether the viewer of r is understood and complete.
func (r FieldRule) Known() bool {
	i := r.rank()
	return i >= 0 && (r.Viewer == viewers[i]) != strings.HasSuffix(viewers[i], ":")
}

// Compare says which of two rules about the same field decides first.
func (r FieldRule) Compare(o FieldRule) int {
	return cmp.Or(cmp.Compare(r.rank(), o.rank()), cmp.Compare(r.Viewer, o.Viewer))
}

// SortFieldRules puts the rules of a field into the order in which they decide. A rule for a viewer that
// is not understood stays: it matches nobody, and that there is a rule closes the field to the rest.
func SortFieldRules(rules []FieldRule) {
	slices.SortFunc(rules, FieldRule.Compare)
}

// AllowsField says whether actor may use a field with these sorted rules; no rules allow everything.
// h is nil where no record is at hand: then nobody is its owner.
func AllowsField(rules []FieldRule, actor Actor, use FieldUse, h *Holder) bool {
	if len(rules) == 0 || actor.Master() {
		return true
	}
	for _, r := range rules {
		if r.matches(actor, h) {
			return r.permits(use)
		}
	}
	return false
}

func (r FieldRule) permits(use FieldUse) bool {
	switch use {
	case ReadField:
		return r.Readable
	case WriteField:
		return r.Writable
	case CompareField:
		return r.Comparable
	}
	return r.Comparable || r.Discoverable
}

func (r FieldRule) matches(a Actor, h *Holder) bool {
	kind, data, _ := strings.Cut(r.Viewer, ":")
	if kind == "_public" {
		return true
	}
	if a.UserID == "" {
		return kind == "_role" && slices.Contains(a.Roles, data)
	}
	switch kind {
	case "_any_user":
		return true
	case "_user_id":
		return data == a.UserID
	case "_role":
		return slices.Contains(a.Roles, data)
	case "_owner":
		return h != nil && h.Owner == a.UserID
	case "_field":
		return h != nil && h.Holds(data, a.UserID)
	}
	return false
}
