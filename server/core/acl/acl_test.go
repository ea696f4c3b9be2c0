package acl_test

import (
	"context"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/testkit"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]acl.Access{
		`null`:                             nil,
		`[]`:                               {},
		`[{"level":"read","public":true}]`: {{Level: acl.Read, Public: true}},
		`[{"level":"write","role":"r"},{"level":"read","user_id":"u"}]`:      {{Level: acl.Write, Role: "r"}, {Level: acl.Read, UserID: "u"}},
		`[{"level":"write","relation":"$direct","user_id":"u","extra":[1]}]`: {{Level: acl.Write, Relation: "$direct", UserID: "u"}},
		`[{"level":"read","relation":"friend"}]`:                             {{Level: acl.Read, Relation: "friend"}},
	} {
		got, err := acl.Decode(json.RawMessage(in))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", in, err, diff)
		}
	}
}

func TestDecode_RefusesMalformedEntries(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`{}`, `"x"`, `1`, `[1]`, `[null]`, `[{}]`, `[{"level":"read"}]`, `[{"level":"own","public":true}]`,
		`[{"public":true}]`, `[{"level":"read","public":false}]`, `[{"level":"read","public":"true"}]`,
		`[{"level":"read","user_id":""}]`, `[{"level":"write","relation":"$direct","user_id":""}]`,
		`[{"level":"read","role":7}]`, `[`,
	} {
		got, err := acl.Decode(json.RawMessage(in))
		if e := fault.From(err); e == nil || e.Code != fault.Invalid || cmp.Diff([]string{"_access"}, e.Details["arguments"]) != "" {
			t.Errorf("%s: got %v, %v", in, got, err)
		}
	}
}

func TestAppendJSON_EchoesWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		`null`, `[]`, `[{"level":"read","public":true}]`,
		`[{"level":"write","role":"a\"b\\\n\u0001"},{"level":"read","user_id":"é\u003c"}]`,
		`[{"level":"write","user_id":"u","relation":"$direct"}]`,
	} {
		a, err := acl.Decode(json.RawMessage(in))
		if got := string(a.AppendJSON(nil)); err != nil || got != in {
			t.Errorf("got %s, %v; want %s", got, err, in)
		}
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1f\"\\", "é\u2028\U0001F600", "bad\xff\xc3", "</script>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got, want string
		if err := json.Unmarshal(acl.AppendString(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		reference, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(reference, &want); err != nil || got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// verdict asks PostgreSQL.
func verdict(ctx context.Context, db *pg.DB, a acl.Actor, level acl.Level, access []byte, owner, database string) (bool, error) {
	args := []any{database, owner, column(access)}
	cond := acl.Where(a, level, "t", func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	})
	var ok bool
	err := db.Get(ctx, &ok, "SELECT coalesce("+cond+", false) FROM (SELECT $1::text AS _database_id, $2::text AS _owner_id, $3::jsonb AS _access) t", args...)
	return ok, err
}

func column(raw []byte) any {
	if raw == nil {
		return nil
	}
	return string(raw)
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`null`, `[]`, ` [ { "level" : "read" , "public" : true } ] `, `[{"level":"write","role":"r","user_id":"u"}]`, `[{"level":"read","role":"\u0041"}]`,
		`[{"level":"read","public":true,"public":false}]`, `[{"level":"read","role":"a","role":""}]`, `[{"LEVEL":"read","public":true}]`, `[{"level":"read","public":truefalse}]`, `[,]`, `[{}]x`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		access, err := acl.Decode(raw)
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("%q is not JSON, got %v", raw, access)
		}
		again, err := acl.Decode(access.AppendJSON(nil))
		if diff := cmp.Diff(access, again); err != nil || diff != "" {
			t.Errorf("%q: %v %s", raw, err, diff)
		}
		if diff := cmp.Diff(access, acl.FromColumn(access.AppendJSON(nil))); access != nil && diff != "" {
			t.Errorf("%q: %s", raw, diff)
		}
	})
}

func TestVerdict_GoAndSQLAgree(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	lists := [][]byte{
		nil, []byte(`[]`), []byte(`null`), []byte(`{}`), []byte(`"public"`), []byte(`[[{"public":true}]]`), []byte(`[1,{"public":true}]`),
		[]byte(`[{"public":true}]`), []byte(`[{"public":"true"}]`),
		[]byte(`[{"level":"read","public":true}]`), []byte(`[{"level":"write","public":true}]`),
		[]byte(`[{"level":"read","user_id":"u1"}]`), []byte(`[{"level":"write","user_id":"u1"}]`),
		[]byte(`[{"level":"read","role":"barista"}]`), []byte(`[{"level":"write","role":"q\"'"}]`),
		[]byte(`[{"level":"write","relation":"$direct","user_id":"u1"}]`), []byte(`[{"level":"write","relation":"friend"}]`),
		[]byte(`[{"level":"read","user_id":"u1"},{"level":"write","user_id":"u2"}]`),
		[]byte(`[{"level":"read","public":true,"extra":{"a":1}}]`),
	}
	actors := []acl.Actor{
		{},
		{UserID: "u1"},
		{UserID: "u2", Roles: []string{"barista"}},
		{UserID: "u3", Roles: []string{"q\"'", "", "{x}"}},
		{UserID: "u1", Key: acl.MasterKey},
		{Roles: []string{"barista"}},
	}
	seen := map[bool]int{}
	for _, a := range actors {
		for _, access := range lists {
			for _, owner := range []string{"u1", "u9", ""} {
				for _, database := range []string{"", "u1"} {
					for _, level := range []acl.Level{acl.Read, acl.Write} {
						want := acl.Allows(a, level, acl.Subject{Access: acl.FromColumn(access), Owner: owner, Database: database})
						got, err := verdict(t.Context(), db, a, level, access, owner, database)
						if err != nil || got != want {
							t.Errorf("%+v %s %s owner %q db %q: SQL %v, Go %v, %v", a, level, access, owner, database, got, want, err)
						}
						seen[want]++
					}
				}
			}
		}
	}
	if seen[true] < 50 || seen[false] < 50 {
		t.Errorf("the table is one-sided: %v", seen)
	}
}

func FuzzVerdict(f *testing.F) {
	f.Add(`[{"level":"read","public":true}]`, "u1", "", "u2", "r", true)
	f.Add(`[{"level":"write","role":"r"}]`, "u1", "", "u2", "r", true)
	f.Add(`[{"level":"read","user_id":"u2"}]`, "u1", "u2", "u2", "", false)
	f.Add(`[]`, "", "", "", "", false)
	f.Add(`null`, "u", "u", "u", "x", true)
	f.Add(`[null,1,"a",[]]`, "u", "", "v", "x", false)
	db := testkit.DB(f)
	f.Fuzz(func(t *testing.T, access, owner, database, user, role string, write bool) {
		a := acl.Actor{UserID: user, Roles: []string{role}}
		level := acl.Read
		if write {
			level = acl.Write
		}
		got, err := verdict(t.Context(), db, a, level, []byte(access), owner, database)
		if err != nil {
			return // PostgreSQL cannot hold such a row or such a name
		}
		if want := acl.Allows(a, level, acl.Subject{Access: acl.FromColumn([]byte(access)), Owner: owner, Database: database}); got != want {
			t.Errorf("SQL %v, Go %v", got, want)
		}
	})
}
