package records_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// rule adds a rule for a field; flags are any of w, r, c and d.
func (a *app) rule(typ, field, viewer, flags string) {
	a.t.Helper()
	has := func(flag byte) bool {
		for i := range len(flags) {
			if flags[i] == flag {
				return true
			}
		}
		return false
	}
	a.admin(`INSERT INTO app._record_field_access (record_type, record_field, user_role, writable, readable, comparable, discoverable)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`, typ, field, viewer, has('w'), has('r'), has('c'), has('d'))
	snap, err := a.own.Current(a.t.Context())
	if err == nil {
		_, err = a.own.Newer(a.t.Context(), snap) // a server that runs hears of it
	}
	if err != nil {
		a.t.Fatal(err)
	}
}

func TestFields_SeededRulesOfUsersT33(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{"records":[{"_id":"user/U1","username":"bob","email":"b@x.y","age":3}]}`), `…"age":3,"email":"b@x.y","username":"bob"}`)
	a.want(a.do(nobody, "fetch", `{"ids":["user/U1"]}`), `{"_id":"user/U1",…"_updated_by":"U1","age":3}`)
	a.want(a.do(u2, "fetch", `{"ids":["user/U1"]}`), `…"age":3,"email":"b@x.y","username":"bob"}`)
	a.want(a.do(nobody, "query", `{"record_type":"user"}`), `[{…"_updated_by":"U1","age":3}]`)
	a.want(a.do(nobody, "query", `{"record_type":"user","desired_keys":["username"]}`), `[{…"_updated_by":"U1"}]`)
	a.want(a.do(u2, "query", `{"record_type":"user","desired_keys":["username"]}`), `[{…"_updated_by":"U1","username":"bob"}]`)
	a.want(a.do(u2, "save", `{"records":[{"_id":"user/U1","username":"eve","email":"b@x.y","age":4}]}`), `…"age":4,"email":"b@x.y","username":"bob"}`)
	a.want(a.do(u2, "save", `{"records":[{"_id":"user/U1","email":null}]}`), `…"email":"b@x.y","username":"bob"}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"user/U1","username":"rob"},{"_id":"user/U3","username":"new"}]}`), `…"username":"rob"}`+"\n"+`{"_id":"user/U3",…"username":"new"}`)
	a.want(a.do(master, "save", `{"records":[{"_id":"user/U1","username":"max"}]}`), `…"username":"max"}`)
	eq := `"predicate":["eq",` + k("username") + `,"max"]`
	a.want(a.keys(u2, "user", eq), "U1")
	a.want(a.keys(nobody, "user", eq), "error 124")
	a.want(a.keys(nobody, "user", `"sort":[[`+k("username")+`,"asc"]]`), "error 124")
	a.want(a.keys(nobody, "user", `"predicate":["eq",`+k("_id")+`,"U1"]`), "U1")
	a.want(a.keys(master, "user", eq), "U1")
}

func TestFields_AtomicSaveRefusesA5(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1","title":"x","n":1}]}`)
	a.rule("note", "title", "_owner", "rw")
	a.rule("note", "title", "_any_user", "r")
	a.rule("note", "secret", "_owner", "rw")
	ctx := acl.WithActor(t.Context(), u2)
	for _, more := range []string{"", `,{"_id":"note/2","title":"mine"}`} {
		req, err := records.DecodeSave(records.Params{"atomic": json.RawMessage("true"), "records": json.RawMessage(`[{"_id":"note/1","title":"y","n":2}` + more + `]`)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.svc.Save(ctx, req)
		e := fault.From(err)
		if e == nil || e.Code != fault.AtomicFailure || len(e.Details) != 1 {
			t.Fatalf("got %v", err)
		}
		inner, _ := e.Details["note/1"].(*fault.Error)
		if inner == nil || inner.Code != fault.ArgumentDenied || cmp.Diff([]string{"title"}, inner.Details["arguments"]) != "" {
			t.Errorf("got %v", e.Details)
		}
	}
	a.want(a.do(u2, "save", `{"atomic":true,"records":[{"_id":"note/1","title":"x","n":3}]}`), `…"n":3,"title":"x"}`)
	a.want(a.do(u1, "fetch", `{"ids":["note/1","note/2"]}`), `…"n":3,"title":"x"}`+"\n"+`…"code":110,…`)
	// What somebody may not even read is refused whether the guess is right or not.
	a.do(u1, "save", `{"records":[{"_id":"note/1","secret":"right"}]}`)
	for _, guess := range []string{"right", "wrong"} {
		a.want(a.do(u2, "save", `{"atomic":true,"records":[{"_id":"note/1","secret":"`+guess+`"}]}`), "error 115")
		a.want(a.do(u2, "save", `{"records":[{"_id":"note/1","secret":"`+guess+`"}]}`), `…"n":3,"title":"x"}`)
	}
}

func TestFields_GroupsAndViewers(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1","a":"x","b":"x","c":"x","helper":"U2","team":["U3"],"ref":{"$type":"ref","$id":"note/1"}}]}`)
	a.rule("*", "*", "_public", "rwcd")
	a.rule("note", "*", "_role:staff", "rwcd")
	a.rule("note", "a", "_field:helper", "rw")
	a.rule("note", "a", "_field:team", "r")
	a.rule("note", "a", "_user_id:U5", "rcd")
	a.rule("note", "a", "_role:staff", "")
	a.rule("note", "a", "_any_user", "")
	a.rule("note", "helper", "_public", "r")
	a.rule("note", "b", "nonsense", "rwcd")
	user := func(id string, roles ...string) acl.Actor {
		return acl.Actor{UserID: id, Roles: roles, Key: acl.ClientKey}
	}
	for _, c := range []struct {
		actor acl.Actor
		want  string
	}{
		{nobody, `"helper":"U2"}`},
		{user("U2"), `"a":"x","helper":"U2"}`},
		{user("U3"), `"a":"x","helper":"U2"}`},
		{user("U4"), `"helper":"U2"}`},
		{user("U5"), `"a":"x","helper":"U2"}`},
		{user("U6", "staff"), `"c":"x","helper":"U2","ref":{"$type":"ref","$id":"note/1"},"team":["U3"]}`},
		{master, `"a":"x","b":"x","c":"x","helper":"U2","ref":{"$type":"ref","$id":"note/1"},"team":["U3"]}`},
	} {
		a.want(a.do(c.actor, "fetch", `{"ids":["note/1"]}`), `{"_id":"note/1",…"_updated_by":"U1",`+c.want)
	}
	a.want(a.do(user("U2"), "query", `{"record_type":"note","desired_keys":["a"]}`), `[{…"_updated_by":"U1","a":"x"}]`)
	a.want(a.do(user("U3"), "save", `{"records":[{"_id":"note/1","a":"y","team":["U4"]}]}`), `…"_updated_by":"U3","a":"x","helper":"U2"}`)
	a.want(a.do(user("U2"), "save", `{"records":[{"_id":"note/1","a":"y","b":"y"}]}`), `…"_updated_by":"U2","a":"y","helper":"U2"}`)
	a.want(a.do(master, "fetch", `{"ids":["note/1"]}`), `…"a":"y","b":"x",…"team":["U3"]}`)
	a.want(a.keys(user("U5"), "note", `"predicate":["eq",`+k("a")+`,"y"]`), "1")
	a.want(a.keys(user("U2"), "note", `"predicate":["eq",`+k("a")+`,"y"]`), "error 124")
	a.want(a.keys(user("U2"), "note", `"include":{"x":`+k("ref")+`}`), "error 124")
	a.want(a.keys(user("U6", "staff"), "note", `"include":{"x":`+k("ref")+`}`), "1")
	a.want(a.keys(user("U6", "staff"), "note", `"predicate":["eq",`+k("ref.a")+`,"y"]`), "error 124")
	a.want(a.keys(user("U6", "staff"), "note", `"predicate":["eq",`+k("ref.c")+`,"x"]`), "1")
}

func TestFields_DiscoverableIsForEqualityT36(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1","a":"x","b":"x"}]}`)
	a.rule("note", "a", "_any_user", "d")
	eq := `["eq",` + k("a") + `,"x"]`
	for predicate, want := range map[string]string{
		eq:                            "1",
		`["in",` + k("a") + `,["x"]]`: "1",
		`["and",` + eq + `,["and",` + eq + `,["eq",` + k("b") + `,"x"]]]`: "1",
		`["or",` + eq + `,` + eq + `]`:                                    "error 124",
		`["not",` + eq + `]`:                                              "error 124",
		`["and",["not",` + eq + `]]`:                                      "error 124",
		`["neq",` + k("a") + `,"x"]`:                                      "error 124",
		`["like",` + k("a") + `,"%"]`:                                     "error 124",
	} {
		if got := a.keys(u1, "note", `"predicate":`+predicate); got != want {
			t.Errorf("%s: got %q, want %q", predicate, got, want)
		}
	}
	a.want(a.keys(u1, "note", `"predicate":`+eq+`,"sort":[[`+k("a")+`,"asc"]]`), "error 124")
}
