package schema

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
)

// FieldRule is a rule about a field of a type; "*" stands for all types or fields.
type FieldRule struct {
	Type  string
	Field string
	acl.FieldRule
}

// SetCreationRoles says which roles may create records of a type, which need not exist yet; none lets
// every user. Roles that do not exist are made. Other types are left alone. The caller has checked who
// asks. It fails with schema.bad_name and schema.bad_role (Invalid). Wire: skygear T41.
func (s *Service) SetCreationRoles(ctx context.Context, typ string, roles []string) error {
	if err := checkArgument("type", "record type", typ); err != nil {
		return err
	}
	if slices.ContainsFunc(roles, func(r string) bool { return r == "" || !storable(r) }) {
		return fault.Argument("schema.bad_role", "create_roles", "create_roles holds a role without a name, or one that is not valid text")
	}
	return s.setRules(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if _, err := tx.Exec(ctx, deleteCreation, typ); err != nil || len(roles) == 0 {
			return err
		}
		if _, err := tx.Exec(ctx, insertRoles, pg.Array(roles)); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, insertCreation, typ, pg.Array(roles))
		return err
	})
}

// SetDefaultAccess says which list records of a type get that are saved without one; the empty one
// leaves them to their owners. The type need not exist yet. The caller has checked who asks. It fails
// with schema.bad_name (Invalid). Wire: skygear §2.6.
func (s *Service) SetDefaultAccess(ctx context.Context, typ string, access acl.Access) error {
	if err := checkArgument("type", "record type", typ); err != nil {
		return err
	}
	if access == nil {
		access = acl.Access{}
	}
	return s.setRules(ctx, func(ctx context.Context, tx *pg.Tx) error {
		_, err := tx.Exec(ctx, upsertDefault, typ, string(access.AppendJSON(nil)))
		return err
	})
}

// FieldRules returns all rules about fields in the order in which they decide.
func (s *Service) FieldRules(ctx context.Context) ([]FieldRule, error) {
	list, err := readFieldRules(ctx, s.db)
	sortRules(list)
	return list, err
}

// SetFieldRules replaces all rules about fields and returns them in the order in which they decide. The
// caller has checked who asks. It fails with schema.bad_rule (Invalid). Wire: skygear §3.6.
func (s *Service) SetFieldRules(ctx context.Context, rules []FieldRule) ([]FieldRule, error) {
	rules = slices.Clone(rules)
	sortRules(rules)
	for i, r := range rules {
		if err := r.check(); err != nil {
			return nil, err
		}
		if i > 0 && compareRules(r, rules[i-1]) == 0 {
			return nil, badRule("field %q of record type %q has two rules for %q", r.Field, r.Type, r.Viewer)
		}
	}
	return rules, s.setRules(ctx, func(ctx context.Context, tx *pg.Tx) error {
		if _, err := tx.Exec(ctx, deleteFieldAccess); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, insertFieldAccess, ruleColumns(rules)...)
		return err
	})
}

// setRules runs fn, which changes rules, and makes this server and the others know.
func (s *Service) setRules(ctx context.Context, fn func(context.Context, *pg.Tx) error) error {
	_, err := s.change(ctx, func(ctx context.Context, tx *pg.Tx, _ *Snapshot) (bool, error) { return true, fn(ctx, tx) })
	return err
}

func (r FieldRule) check() error {
	switch {
	case r.Type != "*" && CheckName("record type", r.Type) != nil:
		return badRule("record_type must be * or the name of a record type, not %q", clip(r.Type))
	case r.Field == "" || len(r.Field) > maxName || !storable(r.Field):
		return badRule("record_field must be * or the name of a field, not %q", clip(r.Field))
	case !r.Known() || !storable(r.Viewer):
		return badRule("user_role must be _owner, _any_user, _public, or _user_id:, _field: or _role: with a name behind it, not %q", clip(r.Viewer))
	}
	return nil
}

func badRule(format string, args ...any) *fault.Error {
	return fault.Argument("schema.bad_rule", "access", format, args...)
}

func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func sortRules(rules []FieldRule) { slices.SortFunc(rules, compareRules) }

// compareRules puts rules for one type or field before those for all.
func compareRules(a, b FieldRule) int {
	return cmp.Or(compareNames(a.Type, b.Type), compareNames(a.Field, b.Field), a.Compare(b.FieldRule))
}

func compareNames(a, b string) int {
	switch {
	case a == b:
		return 0
	case a == "*":
		return 1
	case b == "*":
		return -1
	}
	return cmp.Compare(a, b)
}
