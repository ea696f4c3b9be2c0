package schema_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"

	"crema/server/core/acl"
	"crema/server/core/schema"
	"crema/server/testkit"
)

// fieldVerdict is the rule of the wire in one statement over the stored rules: the first group that has
// entries decides, inside it the first entry that matches. Wire: skygear §3.6.
const fieldVerdict = `
	WITH grouped AS (
	  SELECT *, CASE WHEN record_type = $1 AND record_field = $2 THEN 1
	                 WHEN record_type = $1 AND record_field = '*' THEN 2
	                 WHEN record_type = '*' AND record_field = $2 THEN 3
	                 WHEN record_type = '*' AND record_field = '*' THEN 4 END AS place
	    FROM app._record_field_access),
	chosen AS (SELECT * FROM grouped WHERE place = (SELECT min(place) FROM grouped)),
	matching AS (
	  SELECT *, array_position(ARRAY['_owner', '_user_id', '_field', '_role', '_any_user', '_public'], split_part(user_role, ':', 1)) AS rank
	    FROM chosen
	   WHERE user_role = '_public'
	      OR $3 <> '' AND (user_role = '_any_user' OR user_role = '_user_id:' || $3 OR user_role = '_owner' AND $5 = $3
	           OR user_role LIKE '\_field:%' AND coalesce($6::jsonb -> substr(user_role, 8) @> to_jsonb($3::text), false))
	      OR user_role LIKE '\_role:%' AND substr(user_role, 7) = ANY ($4::text[]))
	SELECT NOT EXISTS (SELECT FROM chosen) OR coalesce((
	  SELECT CASE $7::int WHEN 0 THEN readable WHEN 1 THEN writable WHEN 2 THEN comparable ELSE comparable OR discoverable END
	    FROM matching ORDER BY rank, user_role COLLATE "C" LIMIT 1), false)`

// FuzzFieldVerdict makes rules and viewers out of a number and compares Go's verdict with PostgreSQL's.
func FuzzFieldVerdict(f *testing.F) {
	for seed := range uint64(40) {
		f.Add(seed)
	}
	db := testkit.DB(f)
	s := schema.New(db)
	if _, err := s.Ensure(f.Context(), []schema.Change{change("note", field("a", "string"), field("b", "string"))}, true); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		if _, err := s.SetFieldRules(t.Context(), randomRules(r)); err != nil {
			t.Fatal(err)
		}
		snap, err := s.Current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 25 {
			v := randomViewer(r)
			column := snap.Type("note").Column(pick(r, "a", "b"))
			var want bool
			err := db.Get(t.Context(), &want, fieldVerdict, "note", column.Name, v.actor.UserID, "{"+pick(r, v.actor.Roles...)+"}", v.owner, v.held, int(v.use))
			if err != nil {
				t.Fatal(err)
			}
			if got := acl.AllowsField(column.Rules, v.actor, v.use, v.holder()); got != want {
				t.Errorf("%+v on %s: Go %v, SQL %v; rules %+v", v, column.Name, got, want, column.Rules)
			}
		}
	})
}

func pick(r *rand.Rand, from ...string) string {
	if len(from) == 0 {
		return ""
	}
	return from[r.IntN(len(from))]
}

func randomRules(r *rand.Rand) []schema.FieldRule {
	viewers := []string{"_owner", "_user_id:u1", "_user_id:u2", "_field:helper", "_field:team", "_role:staff", "_role:boss", "_any_user", "_public"}
	var rules []schema.FieldRule
	for range r.IntN(30) {
		rule := schema.FieldRule{Type: pick(r, "note", "note", "note", "*", "memo"), Field: pick(r, "a", "a", "a", "b", "*")}
		rule.FieldRule = acl.FieldRule{
			Viewer: pick(r, viewers...), Writable: r.IntN(2) == 0, Readable: r.IntN(2) == 0, Comparable: r.IntN(2) == 0, Discoverable: r.IntN(2) == 0,
		}
		if !slices.ContainsFunc(rules, func(o schema.FieldRule) bool {
			return o.Type == rule.Type && o.Field == rule.Field && o.Viewer == rule.Viewer
		}) {
			rules = append(rules, rule)
		}
	}
	return rules
}

// viewer is somebody who looks at a field of a record, or, without an owner, of no record in particular.
type viewer struct {
	actor acl.Actor
	use   acl.FieldUse
	owner string
	held  string // the record's other fields, as JSON
}

func randomViewer(r *rand.Rand) viewer {
	v := viewer{use: acl.FieldUse(r.IntN(4)), owner: pick(r, "", "u1", "u2"), held: "{}"}
	v.actor.UserID = pick(r, "", "u1", "u1", "u2", "u3")
	if role := pick(r, "", "staff", "boss"); role != "" {
		v.actor.Roles = []string{role}
	}
	if v.owner != "" {
		v.held = pick(r, `{}`, `{"helper":"u1"}`, `{"helper":"u1","team":["u1","u2"]}`, `{"team":[],"helper":7}`, `{"team":"u2"}`)
	}
	return v
}

func (v viewer) holder() *acl.Holder {
	if v.owner == "" {
		return nil
	}
	return &acl.Holder{Owner: v.owner, Holds: func(field, user string) bool {
		var fields map[string]any
		_ = json.Unmarshal([]byte(v.held), &fields) // they are constants
		list, _ := fields[field].([]any)
		return fields[field] == any(user) || slices.Contains(list, any(user))
	}}
}
