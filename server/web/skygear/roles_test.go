package skygear_test

import (
	"strings"
	"testing"

	"crema/server/testkit"
)

func TestRoles_A9(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	people := map[string]auth{"bob": a.signUp("bob"), "eve": a.signUp("eve")}
	refused, denied := errorOf("PermissionDenied", 102, ""), errorOf("PermissionDenied", 102, "")
	nobody, wrongType := errorOf("NotAuthenticated", 101, ""), errorOf("BadRequest", 107, "")
	a.rows(people, []row{
		{"assign as nobody", "nobody", "role:assign", `"roles":["x"],"users":["{bob.id}"]`, 401, nobody},
		{"T4 assign as a user", "{bob}", "role:assign", `"roles":["Admin"],"users":["{bob.id}"]`, 401, refused},
		{"T4 revoke as a user", "{bob}", "role:revoke", `"roles":["Admin"],"users":["{eve.id}"]`, 401, refused},
		{"no roles", "master", "role:assign", `"users":["{bob.id}"]`, 400, arguments("roles")},
		{"null users", "master", "role:assign", `"roles":["x"],"users":null`, 400, arguments("users")},
		{"roles of a wrong type", "master", "role:assign", `"roles":"x","users":["{bob.id}"]`, 400, wrongType},
		{"a role of a wrong type", "master", "role:assign", `"roles":["x",7],"users":["{bob.id}"]`, 400, wrongType},
		{"a null role", "master", "role:assign", `"roles":[null],"users":["{bob.id}"]`, 400, wrongType},
		{"an empty role", "master", "role:assign", `"roles":[""],"users":["{bob.id}"]`, 400, arguments("roles")},
		{"A9 assign", "master", "role:assign", `"roles":["Admin","new","new"],"users":["{bob.id}","{bob.id}","nobody"]`, 200, `{"result":"OK"}`},
		{"empty lists", "master", "role:assign", `"roles":[],"users":[]`, 200, `{"result":"OK"}`},
		{"an administrator may", "{bob}", "role:assign", `"roles":["tea"],"users":["{eve.id}"]`, 200, `{"result":"OK"}`},
		{"A9 get", "{bob}", "role:get", `"users":["{bob.id}","{eve.id}","nobody"]`, 200, `{"result":{"{bob.id}":["Admin","new"],"{eve.id}":["tea"],"nobody":[]}}`},
		{"get as the master key", "master", "role:get", `"users":["{eve.id}"]`, 200, `{"result":{"{eve.id}":["tea"]}}`},
		{"oneself", "{eve}", "role:get", `"users":["{eve.id}"]`, 200, `{"result":{"{eve.id}":["tea"]}}`},
		{"another", "{eve}", "role:get", `"users":["{bob.id}"]`, 403, denied},
		{"oneself and another", "{eve}", "role:get", `"users":["{eve.id}","{bob.id}"]`, 403, denied},
		{"nobody", "nobody", "role:get", `"users":["{eve.id}"]`, 401, nobody},
		{"no key", "none", "role:get", `"users":["{eve.id}"]`, 401, nobody},
		{"no users", "master", "role:get", `"users":[]`, 400, arguments("users")},
		{"missing users", "master", "role:get", ``, 400, arguments("users")},
		{"revoke", "{bob}", "role:revoke", `"roles":["Admin","none"],"users":["{bob.id}","nobody"]`, 200, `{"result":"OK"}`},
		{"at once", "{bob}", "role:revoke", `"roles":["new"],"users":["{bob.id}"]`, 401, refused},
		{"B15 a quote", "master", "role:assign", `"roles":["o'x\" -- ]}"],"users":["{eve.id}"]`, 200, `{"result":"OK"}`},
		{"B15 in a verdict", "{eve}", "record:save", `"records":[{"_id":"note/1","_access":[{"level":"read","role":"o'x\" -- ]}"}]}]`, 200, `{"result":[{"_id":"note/1","…":0}]}`},
		{"B15 in a query", "{eve}", "record:query", `"record_type":"note"`, 200, `{"result":[{"_id":"note/1","…":0}]}`},
		{"the role lets nobody else in", "{bob}", "record:query", `"record_type":"note"`, 200, `{"result":[]}`},
		{"give it to another", "master", "role:assign", `"roles":["o'x\" -- ]}"],"users":["{bob.id}"]`, 200, `{"result":"OK"}`},
		{"and it works at once", "{bob}", "record:query", `"record_type":"note"`, 200, `{"result":[{"_id":"note/1","…":0}]}`},
	})
}

func TestRoles_DevModeT44(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	open, closed := appOn(t, db, true, nil), appOn(t, db, false, nil)
	open.rows(nil, []row{
		{"T44 the client key", "nobody", "role:default", `"roles":["guest","tea"]`, 200, `{"result":["guest","tea"]}`},
		{"no roles", "nobody", "role:default", ``, 400, arguments("roles")},
		{"null", "nobody", "role:admin", `"roles":null`, 400, arguments("roles")},
		{"T7 no key", "none", "role:default", `"roles":[]`, 401, errorOf("NotAuthenticated", 101, "")},
	})
	denied := errorOf("PermissionDenied", 102, "")
	closed.rows(nil, []row{
		{"DEV_MODE off is 403", "nobody", "role:default", `"roles":["x"]`, 403, denied},
		{"DEV_MODE off is 403", "nobody", "role:admin", `"roles":["x"]`, 403, denied},
	})
	bob := closed.signUp("bob")
	if strings.Join(bob.Roles, " ") != "guest tea" {
		t.Errorf("roles of a sign-up: %v", bob.Roles)
	}
	anonymous := closed.enter("nobody", "auth:signup", ``)
	if strings.Join(anonymous.Roles, " ") != "guest tea" {
		t.Errorf("roles of an anonymous sign-up: %v", anonymous.Roles)
	}
	closed.do("master", "role:default", `"roles":["guest"]`) // replaces
	if eve := closed.signUp("eve"); strings.Join(eve.Roles, " ") != "guest" {
		t.Errorf("roles of a sign-up: %v", eve.Roles)
	}
	closed.do("master", "role:admin", `"roles":["tea"]`)
	closed.want(bob.Token, "role:get", `"users":["x"]`, 200, `{"result":{"x":[]}}`) // bob's tea makes an administrator now
	closed.do("master", "role:admin", `"roles":[]`)
	closed.want(bob.Token, "role:get", `"users":["x"]`, 403, denied)
}
