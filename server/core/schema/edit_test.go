package schema_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/schema"
	"crema/server/testkit"
)

func TestRename_KeepsValuesReferencesAndRules(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s, other := schema.New(db), schema.New(db)
	ensure(t, s, change("category"), change("note", field("cat", "ref(category)"), field("title", "string"), field("no", "sequence")))
	before, err := other.Current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.SetFieldRules(t.Context(), []schema.FieldRule{{Type: "note", Field: "title", FieldRule: acl.FieldRule{Viewer: "_owner", Readable: true}}})
	if err != nil {
		t.Fatal(err)
	}
	var snap *schema.Snapshot
	for _, r := range [][2]string{{"cat", "kind"}, {"title", "na\"me app.x"}, {"no", "number"}} {
		if snap, err = s.Rename(t.Context(), "note", r[0], r[1]); err != nil {
			t.Fatal(err)
		}
	}
	if got := described(snap, "note"); got != `kind ref(category), na"me app.x string, number sequence` {
		t.Errorf("got %s", got)
	}
	if c := snap.Type("note").Column(`na"me app.x`); len(c.Rules) != 1 {
		t.Error("the rules did not follow the field")
	}
	after, err := other.Newer(t.Context(), before)
	if err != nil || described(after, "note") != described(snap, "note") {
		t.Errorf("another server sees %s, %v", described(after, "note"), err)
	}
	// The old names are free again, for other types too.
	snap = ensure(t, s, change("note", field("cat", "ref(category)"), field("title", "number"), field("no", "sequence")))
	if _, err := s.Rename(t.Context(), "note", "kind", "kind2"); err != nil {
		t.Error(err)
	}
	if len(snap.Type("note").Column("title").Rules) != 0 {
		t.Error("the old name kept rules")
	}
}

func TestDelete_RemovesAField(t *testing.T) {
	t.Parallel()
	s := schema.New(testkit.DB(t))
	ensure(t, s, change("category"), change("note", field("cat", "ref(category)"), field("title", "string")))
	for _, name := range []string{"cat", "title"} {
		snap, err := s.Delete(t.Context(), "note", name)
		if err != nil || snap.Type("note").Column(name) != nil {
			t.Fatalf("%s, %v", described(snap, "note"), err)
		}
	}
	snap := ensure(t, s, change("note", field("title", "boolean"), field("cat", "string")))
	if got := described(snap, "note"); got != "cat string, title boolean" {
		t.Errorf("got %s", got)
	}
}

func TestEdit_Refuses(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := schema.New(db)
	ensure(t, s, change("note", field("a", "string"), field("b", "string"), field("viewed", "string")))
	for _, q := range []string{
		`CREATE VIEW app.look AS SELECT viewed FROM app.note`,
		`ALTER TABLE app."user" ADD COLUMN phone text CONSTRAINT auth_record_keys_user_phone_key UNIQUE`,
	} {
		if _, err := db.Exec(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		typ, field, name string // an empty name deletes
		reason           string
		argument         string
	}{
		"no type":                            {"nothing", "a", "x", "schema.no_type", ""},
		"no field":                           {"note", "zz", "x", "schema.no_field", ""},
		"nothing to delete":                  {"note", "zz", "", "schema.no_field", ""},
		"taken":                              {"note", "a", "b", "schema.taken", ""},
		"system table":                       {"_auth", "id", "x", "schema.bad_name", "record_type"},
		"reserved field":                     {"note", "_owner_id", "", "schema.bad_name", "item_name"},
		"reserved new name":                  {"note", "a", "_x", "schema.bad_name", "new_name"},
		"long new name":                      {"note", "a", strings.Repeat("x", 64), "schema.bad_name", "new_name"},
		"system column":                      {"note", "a", "xmin", "schema.bad_name", "new_name"},
		"log-in key":                         {"user", "username", "x", "schema.kept", ""},
		"own log-in key":                     {"user", "phone", "", "schema.kept", ""},
		"payment":                            {"payment_record", "amount_minor", "", "schema.kept", ""},
		"a view needs it":                    {"note", "viewed", "", "schema.in_use", ""},
		"rename to a reserved table's field": {"user", "email", "mail", "schema.kept", ""},
	} {
		var err error
		if c.name == "" {
			_, err = s.Delete(t.Context(), c.typ, c.field)
		} else {
			_, err = s.Rename(t.Context(), c.typ, c.field, c.name)
		}
		e := fault.From(err)
		switch {
		case !fault.Is(err, c.reason):
			t.Errorf("%s: got %v, want %s", name, err, c.reason)
		case c.argument != "" && cmp.Diff([]string{c.argument}, e.Details["arguments"]) != "":
			t.Errorf("%s: arguments %v", name, e.Details)
		case c.argument == "" && e.Code != fault.NotFound:
			t.Errorf("%s: code %s", name, e.Code)
		}
	}
	snap, err := s.Newest(t.Context())
	if err != nil || described(snap, "note") != "a string, b string, viewed string" {
		t.Errorf("a refusal changed something: %s, %v", described(snap, "note"), err)
	}
}

func TestEdit_TwoServersAtOnce(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a, b := schema.New(db), schema.New(db)
	ensure(t, a, change("note", field("f0", "string")))
	for round := range 5 {
		var mu sync.Mutex
		var wg sync.WaitGroup
		done := 0
		for _, s := range []*schema.Service{a, b, a, b} {
			wg.Go(func() {
				_, err := s.Rename(t.Context(), "note", fmt.Sprint("f", round), fmt.Sprint("f", round+1))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					done++
				} else if !fault.Is(err, "schema.no_field") {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if done != 1 {
			t.Errorf("round %d: renamed %d times", round, done)
		}
	}
}

func TestSetCreationRoles_LeavesOtherTypesAloneT41(t *testing.T) {
	t.Parallel()
	s := schema.New(testkit.DB(t))
	ensure(t, s, change("note"), change("memo"))
	set := func(typ string, roles ...string) {
		t.Helper()
		if err := s.SetCreationRoles(t.Context(), typ, roles); err != nil {
			t.Fatal(err)
		}
	}
	set("note", "writer", "o'neil; --", "writer")
	set("memo", "writer", "Admin")
	set("note", "Admin")
	set("later", "writer")
	snap := ensure(t, s, change("later"))
	for typ, want := range map[string]string{"note": "[Admin]", "memo": "[Admin writer]", "later": "[writer]", "user": "[]"} {
		if got := fmt.Sprint(snap.Type(typ).CreationRoles); got != want {
			t.Errorf("%s: got %s, want %s", typ, got, want)
		}
	}
	set("memo")
	snap, err := s.Current(t.Context())
	if err != nil || len(snap.Type("memo").CreationRoles) != 0 || len(snap.Type("note").CreationRoles) != 1 {
		t.Errorf("got %v, %v", snap.Type("memo").CreationRoles, err)
	}
	for _, role := range []string{"", "a\x00", "\xff"} {
		if err := s.SetCreationRoles(t.Context(), "note", []string{role}); !fault.Is(err, "schema.bad_role") {
			t.Errorf("%q: got %v", role, err)
		}
	}
	if err := s.SetCreationRoles(t.Context(), "_auth", nil); !fault.Is(err, "schema.bad_name") {
		t.Errorf("got %v", err)
	}
}

func TestSetDefaultAccess(t *testing.T) {
	t.Parallel()
	s := schema.New(testkit.DB(t))
	ensure(t, s, change("note"))
	for _, want := range []acl.Access{{{Level: acl.Read, Public: true}}, {}} {
		if err := s.SetDefaultAccess(t.Context(), "note", want); err != nil {
			t.Fatal(err)
		}
		snap, err := s.Current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := snap.Type("note"); !got.HasDefault || cmp.Diff(want, got.DefaultAccess) != "" {
			t.Errorf("got %v %v, want %v", got.HasDefault, got.DefaultAccess, want)
		}
	}
	if err := s.SetDefaultAccess(t.Context(), "", nil); !fault.Is(err, "schema.bad_name") {
		t.Errorf("got %v", err)
	}
}

func TestSetFieldRules_ReplacesAllInOrder(t *testing.T) {
	t.Parallel()
	s := schema.New(testkit.DB(t))
	seeded, err := s.FieldRules(t.Context())
	if err != nil || len(seeded) != 4 || seeded[0].Field != "email" || seeded[0].Viewer != "_owner" {
		t.Fatalf("got %v, %v", seeded, err)
	}
	rule := func(typ, field, viewer string) schema.FieldRule {
		return schema.FieldRule{Type: typ, Field: field, FieldRule: acl.FieldRule{Viewer: viewer, Readable: true}}
	}
	sorted := []schema.FieldRule{
		rule("memo", "a", "_owner"), rule("note", "a", "_owner"), rule("note", "a", "_user_id:u"), rule("note", "a", "_field:f"),
		rule("note", "a", "_role:b"), rule("note", "a", "_role:c"), rule("note", "a", "_any_user"), rule("note", "a", "_public"),
		rule("note", "b", "_owner"), rule("note", "*", "_owner"), rule("*", "a", "_owner"), rule("*", "*", "_public"),
	}
	for i := range sorted { // however they come
		turned := append(append([]schema.FieldRule{}, sorted[i:]...), sorted[:i]...)
		answer, err := s.SetFieldRules(t.Context(), turned)
		if diff := cmp.Diff(sorted, answer); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
	}
	stored, err := s.FieldRules(t.Context())
	if diff := cmp.Diff(sorted, stored); err != nil || diff != "" {
		t.Error(err, diff)
	}
	for _, bad := range []schema.FieldRule{
		rule("", "a", "_owner"), rule("_auth", "a", "_owner"), rule("note", "", "_owner"), rule("note", "a\x00", "_owner"), rule("note", "a", ""),
		rule("note", "a", "owner"), rule("note", "a", "_owner:x"), rule("note", "a", "_role:"), rule("note", "a", "_role"), rule("note", "a", "_role:\xff"),
	} {
		if _, err := s.SetFieldRules(t.Context(), []schema.FieldRule{bad}); !fault.Is(err, "schema.bad_rule") {
			t.Errorf("%v: got %v", bad, err)
		}
	}
	if _, err := s.SetFieldRules(t.Context(), []schema.FieldRule{sorted[0], sorted[0]}); !fault.Is(err, "schema.bad_rule") {
		t.Errorf("twice: got %v", err)
	}
	stored, err = s.FieldRules(t.Context())
	if err != nil || len(stored) != len(sorted) {
		t.Errorf("a refusal changed something: %v, %v", stored, err)
	}
	if none, err := s.SetFieldRules(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("got %v, %v", none, err)
	}
	if stored, err = s.FieldRules(t.Context()); err != nil || stored == nil || len(stored) != 0 {
		t.Errorf("got %v, %v", stored, err)
	}
}
