package users

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/records"
	"crema/server/core/schema"
)

// lookup finds an account by one set of fields.
type lookup struct {
	keys []string
	text string // of the statement
}

// identity is what somebody logs in or signs up with.
type identity struct {
	lookup lookup
	fields []records.Field // all that were given, none nil
	values []string        // of the lookup's keys
}

// identify reads auth_data, of which every field must belong to a set and one set must be complete. An
// empty one is not ok without an error. Wire: skygear §2.2.
func (s *Service) identify(data []records.Field) (id identity, ok bool, err error) {
	id.fields = slices.DeleteFunc(slices.Clone(data), func(f records.Field) bool { return f.Value == nil })
	if len(id.fields) == 0 {
		return id, false, nil
	}
	texts := map[string]string{}
	for _, f := range data {
		if !slices.ContainsFunc(s.lookups, func(l lookup) bool { return slices.Contains(l.keys, f.Name) }) {
			return id, false, s.badAuthData()
		}
		if f.Value == nil {
			continue
		}
		if texts[f.Name], ok = plainText(f.Value); !ok {
			return id, false, s.badAuthData()
		}
	}
	for _, l := range s.lookups {
		if !slices.ContainsFunc(l.keys, func(k string) bool { _, given := texts[k]; return !given }) {
			id.lookup = l
			for _, k := range l.keys {
				id.values = append(id.values, texts[k])
			}
			return id, true, nil
		}
	}
	return id, false, s.badAuthData()
}

func (s *Service) badAuthData() error {
	sets := make([]string, len(s.lookups))
	for i, l := range s.lookups {
		sets[i] = strings.Join(l.keys, " and ")
	}
	return fault.Argument("users.bad_auth_data", "auth_data", "auth_data must be an object with %s, and with no other fields", strings.Join(sets, ", or "))
}

func plainText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case int64, bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// constraintPrefix starts the names of the constraints that Start manages. Wire: skygear §3.4.
const constraintPrefix = "auth_record_keys_user_"

// maxName is what PostgreSQL keeps of a name, in bytes.
const maxName = 63

func constraintOf(keys []string) string {
	name := constraintPrefix + strings.Join(slices.Sorted(slices.Values(keys)), "_") + "_key"
	return name[:min(len(name), maxName)]
}

// Start makes the fields of the auth keys exist and unique, and drops what was unique for keys of
// before. Where users must be verified, it keeps them from saying so themselves. It fails with users.not_unique when two users have the same.
func (s *Service) Start(ctx context.Context) error {
	change := schema.Change{Type: "user"}
	snap, err := s.c.Schema.Current(ctx)
	if err != nil {
		return err
	}
	user := snap.Type("user")
	for _, l := range s.lookups {
		for _, k := range l.keys {
			if user == nil || user.Column(k) == nil {
				change.Fields = append(change.Fields, schema.Field{Name: k, Type: schema.FieldType{Kind: schema.String}})
			}
		}
	}
	if len(change.Fields) > 0 {
		if _, err := s.c.Schema.Ensure(ctx, []schema.Change{change}, true); err != nil {
			return err
		}
	}
	if err := s.db.Tx(ctx, s.constrain); err != nil || !s.c.VerifyRequired {
		return err
	}
	return s.db.Tx(ctx, s.guardVerified)
}

// guardVerified makes the rule about is_verified where there is none.
func (s *Service) guardVerified(ctx context.Context, tx *pg.Tx) error {
	n, err := tx.Exec(ctx, insertVerifiedRule)
	if err != nil || n == 0 {
		return err
	}
	return s.c.Schema.Raise(ctx, tx)
}

func (s *Service) constrain(ctx context.Context, tx *pg.Tx) error {
	var have []string
	if err := tx.Select(ctx, &have, selectConstraints, string(s.db.Schema()), constraintPrefix); err != nil {
		return err
	}
	wanted := map[string][]string{}
	for _, l := range s.lookups {
		wanted[constraintOf(l.keys)] = l.keys
	}
	same := len(have) == len(wanted) && !slices.ContainsFunc(have, func(name string) bool { return wanted[name] == nil })
	if same {
		return nil
	}
	var version int64
	if err := tx.Get(ctx, &version, lockSchema); err != nil { // other servers wait, and then find it done
		return err
	}
	if err := tx.Select(ctx, &have, selectConstraints, string(s.db.Schema()), constraintPrefix); err != nil {
		return err
	}
	for _, name := range have {
		if wanted[name] == nil {
			if _, err := tx.Exec(ctx, dropConstraint(name)); err != nil {
				return err
			}
		}
	}
	for name, keys := range wanted {
		if slices.Contains(have, name) {
			continue
		}
		if _, err := tx.Exec(ctx, addConstraint(name, keys)); err != nil {
			if fault.Is(err, "pg.unique") {
				return fault.Wrap(err, fault.NotConfigured, "users.not_unique", "AUTH_RECORD_KEYS: several users have the same %s; make them different first", strings.Join(keys, " and "))
			}
			return err
		}
	}
	return nil
}
