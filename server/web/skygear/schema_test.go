package skygear_test

import (
	"strings"
	"testing"

	"crema/server/testkit"
)

// fieldsOf is an answer of a schema action in which a type has these fields.
func fieldsOf(typ, fields string) string {
	return `{"result":{"record_types":{"` + typ + `":{"fields":` + fields + `},"…":"…"}}}`
}

func TestSchema_CreateRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("master", "schema:create", `"record_types":{"note":{"fields":[{"name":"s","type":"string"}]}}`)
	for types, want := range map[string]struct {
		status int
		answer string
	}{
		`{"_auth":{"fields":[]}}`:                                  {400, arguments("_auth")},
		`{"note":{"fields":[{"name":"_x","type":"string"}]}}`:      {400, arguments("_x")},
		`{"note":{"fields":[{"name":"","type":"string"}]}}`:        {400, arguments("")},
		`{"note":{"fields":[{"name":"x","type":"text"}]}}`:         {400, arguments("text")},
		`{"note":{"fields":[{"name":"x"}]}}`:                       {400, arguments("")},
		`{"note":{"fields":[{"name":"x","type":"acl"}]}}`:          {400, arguments("acl")},
		`{"note":{"fields":[{"name":"x","type":"unknown"}]}}`:      {400, arguments("unknown")},
		`{"note":{"fields":[{"name":"x","type":"ref()"}]}}`:        {400, arguments("ref()")},
		`{"note":{"fields":[{"name":"s","type":"number"}]}}`:       {409, errorOf("IncompatibleSchema", 114, "")},
		`{"note":{"fields":[{"name":"x","type":"ref(nowhere)"}]}}`: {409, errorOf("IncompatibleSchema", 114, "")},
		`{"note":{"fields":[{"name":"x","type":"ref(_auth)"}]}}`:   {409, errorOf("IncompatibleSchema", 114, "")},
		`null`:         {400, arguments("record_types")},
		`[]`:           {400, errorOf("BadRequest", 107, "")},
		`{"note":"x"}`: {400, errorOf("BadRequest", 107, "")},
		`{"note":{"fields":[{"name":"a","type":"string"},{"name":"a","type":"json"}]}}`: {409, errorOf("IncompatibleSchema", 114, "")},
	} {
		s.want("master", "schema:create", `"record_types":`+types, want.status, want.answer)
	}
	s.want("master", "schema:create", ``, 400, arguments("record_types"))
	s.want("master", "schema:fetch", ``, 200, fieldsOf("note", `[{"name":"s","type":"string"}]`))
}

func TestSchema_EveryTypeThatCanBeAskedFor(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	kinds := "string number integer boolean datetime json asset sequence ref(note)"
	if s.hasPostGIS() {
		kinds += " location geometry"
	}
	var fields []string
	for kind := range strings.FieldsSeq(kinds) {
		fields = append(fields, `{"name":"`+kind+`","type":"`+kind+`"}`)
	}
	s.do("master", "schema:create", `"record_types":{"note":{"fields":[`+strings.Join(fields, ",")+`]}}`)
	for _, f := range fields {
		s.do("master", "schema:create", `"record_types":{"note":{"fields":[`+f+`]}}`)
	}
}

func (s *server) needPostGIS() {
	s.t.Helper()
	if !s.hasPostGIS() {
		s.t.Skip("PostGIS is not on this machine")
	}
}

func (s *server) hasPostGIS() bool {
	var available bool
	if err := s.db.Get(s.t.Context(), &available, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis')"); err != nil {
		s.t.Fatal(err)
	}
	return available
}

func TestSchema_RenameAndDelete(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"note/1","a":"x","b":2}]`)
	s.want("nobody", "schema:rename", `"record_type":"note","item_type":"field","item_name":"a","new_name":"title"`, 200,
		fieldsOf("note", `[{"name":"b","type":"number"},{"name":"title","type":"string"}]`))
	s.want("U1", "record:save", `"records":[{"_id":"note/1","b":3}]`, 200, `{"result":[{"_id":"note/1","title":"x","b":3,"…":"…"}]}`)
	s.want("nobody", "schema:delete", `"record_type":"note","item_name":"b"`, 200, fieldsOf("note", `[{"name":"title","type":"string"}]`))
	s.want("nobody", "record:fetch", `"ids":["note/1"]`, 200, `{"result":[{"_id":"note/1","_type":"record","_access":null,"_ownerID":"U1",
		"_created_at":"…","_created_by":"U1","_updated_at":"…","_updated_by":"U1","title":"x"}]}`)
	// The name is free, for another type too.
	s.want("U1", "record:save", `"records":[{"_id":"note/1","b":"text now"}]`, 200, `{"result":[{"_id":"note/1","title":"x","b":"text now","…":"…"}]}`)
	notFound := errorOf("ResourceNotFound", 110, "")
	for _, c := range []struct {
		action, params string
		status         int
		want           string
	}{
		{"schema:rename", ``, 400, arguments("record_type", "item_name", "new_name")},
		{"schema:rename", `"record_type":"note","item_name":7`, 400, arguments("item_name", "new_name")},
		{"schema:rename", `"record_type":"_auth","item_name":"id","new_name":"x"`, 400, arguments("record_type")},
		{"schema:rename", `"record_type":"note","item_name":"_id","new_name":"x"`, 400, arguments("item_name")},
		{"schema:rename", `"record_type":"note","item_name":"b","new_name":"_b"`, 400, arguments("new_name")},
		{"schema:rename", `"record_type":"note","item_name":"zz","new_name":"y"`, 404, notFound},
		{"schema:rename", `"record_type":"nothing","item_name":"zz","new_name":"y"`, 404, notFound},
		{"schema:rename", `"record_type":"note","item_name":"b","new_name":"title"`, 404, notFound},
		{"schema:rename", `"record_type":"user","item_name":"username","new_name":"nick"`, 404, notFound},
		{"schema:delete", ``, 400, arguments("record_type", "item_name")},
		{"schema:delete", `"record_type":"_auth","item_name":"password"`, 400, arguments("record_type")},
		{"schema:delete", `"record_type":"note","item_name":"_access"`, 400, arguments("item_name")},
		{"schema:delete", `"record_type":"note","item_name":"zz"`, 404, notFound},
		{"schema:delete", `"record_type":"payment_record","item_name":"amount"`, 404, notFound},
	} {
		s.want("master", c.action, c.params, c.status, c.want)
	}
}

func TestSchema_CreationAccess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.give("W1", "writer")
	s.want("nobody", "schema:access", `"type":"note","create_roles":["writer","Admin"]`, 200, `{"result":{"type":"note","create_roles":["writer","Admin"]}}`)
	refused := `{"result":[{"_id":"note/1","_type":"error","name":"PermissionDenied","code":102,"message":"…"}]}`
	s.want("U1", "record:save", `"records":[{"_id":"note/1"}]`, 200, refused)
	s.want("U1", "record:save", `"database_id":"_private","records":[{"_id":"note/1"}]`, 200, refused)
	s.do("W1", "record:save", `"records":[{"_id":"note/1"}]`)
	s.do("U1", "record:save", `"records":[{"_id":"note/1","x":1}]`)
	s.want("nobody", "schema:access", `"type":"note","create_roles":[]`, 200, `{"result":{"type":"note"}}`)
	s.do("U1", "record:save", `"records":[{"_id":"note/2"}]`)
	s.want("nobody", "schema:access", `"create_roles":[]`, 400, arguments("type"))
	s.want("nobody", "schema:access", `"type":"note"`, 400, arguments("create_roles"))
	s.want("nobody", "schema:access", `"type":"note","create_roles":[7]`, 400, errorOf("BadRequest", 107, ""))
	s.want("nobody", "schema:access", `"type":"_auth","create_roles":[]`, 400, arguments("type"))
	s.want("nobody", "schema:access", `"type":"note","create_roles":[""]`, 400, arguments("create_roles"))
}

func TestT41_CreationRolesOfOneTypeLeaveOtherTypesAlone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("master", "schema:access", `"type":"note","create_roles":["writer"]`)
	s.do("master", "schema:access", `"type":"memo","create_roles":["writer"]`)
	s.do("master", "schema:access", `"type":"note","create_roles":["Admin"]`)
	s.give("W1", "writer")
	s.do("W1", "record:save", `"records":[{"_id":"memo/1"}]`)
	s.want("U1", "record:save", `"records":[{"_id":"memo/2"}]`, 200, `{"result":[{"_id":"memo/2","_type":"error","code":102,"…":"…"}]}`)
	s.want("W1", "record:save", `"records":[{"_id":"note/2"}]`, 200, `{"result":[{"_id":"note/2","_type":"error","code":102,"…":"…"}]}`)
}

func TestT28_DefaultAccessIsAppliedOnUpdatesToo(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"note/1","_access":[{"level":"write","public":true}]},{"_id":"memo/1","_access":[{"level":"write","public":true}]}]`)
	s.want("nobody", "schema:default_access", `"type":"note","default_access":[{"level":"read","role":"staff"}]`, 200,
		`{"result":{"type":"note","default_access":[{"level":"read","role":"staff"}]}}`)
	s.want("U1", "record:save", `"records":[{"_id":"note/1","x":1},{"_id":"memo/1","x":1}]`, 200, `{"result":[
		{"_id":"note/1","_access":[{"level":"read","role":"staff"}],"…":"…"},{"_id":"memo/1","_access":[{"level":"write","public":true}],"…":"…"}]}`)
	s.want("nobody", "schema:default_access", `"type":"note","default_access":[]`, 200, `{"result":{"type":"note"}}`)
	s.want("U1", "record:save", `"records":[{"_id":"note/2"},{"_id":"note/1","_access":null}]`, 200, `{"result":[
		{"_id":"note/2","_access":[],"…":"…"},{"_id":"note/1","_access":[],"…":"…"}]}`)
	s.want("nobody", "schema:default_access", `"type":"note"`, 400, arguments("default_access"))
	s.want("nobody", "schema:default_access", `"type":"note","default_access":[{"level":"own"}]`, 400, arguments("default_access"))
	s.want("nobody", "schema:default_access", `"type":"note","default_access":"x"`, 400, errorOf("BadRequest", 107, ""))
	s.want("nobody", "schema:default_access", `"default_access":[]`, 400, arguments("type"))
}

const seededRules = `
	{"record_type":"user","record_field":"email","user_role":"_owner","writable":true,"readable":true,"comparable":true,"discoverable":true},
	{"record_type":"user","record_field":"email","user_role":"_any_user","writable":false,"readable":true,"comparable":true,"discoverable":true},
	{"record_type":"user","record_field":"username","user_role":"_owner","writable":true,"readable":true,"comparable":true,"discoverable":true},
	{"record_type":"user","record_field":"username","user_role":"_any_user","writable":false,"readable":true,"comparable":true,"discoverable":true}`

func TestSchema_FieldAccessB11(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.give("A1", "Admin")
	s.want("A1", "schema:field_access:get", ``, 200, `{"result":{"access":[`+seededRules+`]}}`)
	rule := `{"record_type":"note","record_field":"secret","user_role":"_role:staff","writable":false,"readable":true,"comparable":false,"discoverable":true}`
	open := `{"record_type":"*","record_field":"*","user_role":"_public","writable":true,"readable":true,"comparable":true,"discoverable":true}`
	s.want("A1", "schema:field_access:update", `"access":[`+open+`,`+rule+`]`, 200, `{"result":{"access":[`+rule+`,`+open+`]}}`)
	s.do("master", "record:save", `"records":[{"_id":"note/1","secret":"x","title":"t"}]`)
	s.give("S1", "staff")
	s.want("S1", "record:fetch", `"ids":["note/1"]`, 200, `{"result":[{"secret":"x","title":"t","…":"…"}]}`)
	s.want("U1", "record:fetch", `"ids":["note/1"]`, 200, `{"result":[{"_id":"note/1","_type":"record","_access":null,"_ownerID":"_god","_created_at":"…","_created_by":"_god","_updated_at":"…","_updated_by":"_god","title":"t"}]}`)
	for _, access := range []string{
		``, `"access":null`, `"access":{}`, `"access":[7]`, `"access":[null]`, `"access":[{}]`, `"access":[` + rule + `,` + rule + `]`,
		`"access":[` + strings.Replace(rule, `,"discoverable":true`, ``, 1) + `]`,
		`"access":[` + strings.Replace(rule, `true`, `"true"`, 1) + `]`,
		`"access":[` + strings.Replace(rule, `_role:staff`, `staff`, 1) + `]`,
		`"access":[` + strings.Replace(rule, `"note"`, `"_auth"`, 1) + `]`,
	} {
		s.want("A1", "schema:field_access:update", access, 400, arguments("access"))
	}
	s.want("master", "schema:field_access:get", ``, 200, `{"result":{"access":[`+rule+`,`+open+`]}}`)
	s.want("master", "schema:field_access:update", `"access":[]`, 200, `{"result":{"access":[]}}`)
	s.want("U1", "record:fetch", `"ids":["note/1"]`, 200, `{"result":[{"secret":"x","title":"t","…":"…"}]}`)
}

func TestT4_FieldAccessWithoutAdminIs102WithStatus401(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.give("R1", "writer")
	for _, action := range []string{"schema:field_access:get", "schema:field_access:update"} {
		s.want("R1", action, `"access":[]`, 401, errorOf("PermissionDenied", 102, ""))
		s.want("nobody", action, `"access":[]`, 401, errorOf("NotAuthenticated", 101, ""))
		s.want("none", action, `"access":[]`, 401, errorOf("NotAuthenticated", 101, ""))
	}
	s.want("master", "schema:field_access:get", ``, 200, `{"result":{"access":[`+seededRules+`]}}`)
}

func TestT44_SchemaActionsAreOpenToTheClientKeyWhileDevModeIsOn(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	dev, production := serverOn(t, db, true), serverOn(t, db, false)
	dev.do("nobody", "schema:create", `"record_types":{"note":{"fields":[{"name":"s","type":"string"}]}}`)
	for action, params := range map[string]string{
		"schema:fetch": ``, "schema:create": `"record_types":{"x":{}}`, "schema:rename": `"record_type":"note","item_name":"s","new_name":"t"`,
		"schema:delete": `"record_type":"note","item_name":"s"`, "schema:access": `"type":"note","create_roles":["r"]`,
		"schema:default_access": `"type":"note","default_access":[]`,
	} {
		production.want("nobody", action, params, 403, errorOf("PermissionDenied", 102, ""))
		production.want("none", action, params, 401, errorOf("NotAuthenticated", 101, ""))
		production.want("keyless U1", action, params, 401, errorOf("NotAuthenticated", 101, "")) // T7: these want a key
	}
	dev.want("nobody", "schema:fetch", ``, 200, fieldsOf("note", `[{"name":"s","type":"string"}]`))
	production.want("master", "schema:rename", `"record_type":"note","item_name":"s","new_name":"t"`, 200, fieldsOf("note", `[{"name":"t","type":"string"}]`))
	dev.want("nobody", "schema:fetch", ``, 200, fieldsOf("note", `[{"name":"t","type":"string"}]`))
	dev.want("nobody", "schema:fetch", `"database_id":"_bad"`, 400, arguments("database_id"))
	dev.want("nobody", "schema:fetch", `"database_id":"_private"`, 401, errorOf("NotAuthenticated", 101, ""))
}

func TestSchema_TwoServersAgreeAtOnce(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a, b := serverOn(t, db, true), serverOn(t, db, true)
	a.do("U1", "record:save", `"records":[{"_id":"note/1","s":"x"}]`)
	b.want("U1", "record:query", `"record_type":"note"`, 200, `{"result":[{"s":"x","…":"…"}]}`)
	a.do("master", "schema:rename", `"record_type":"note","item_name":"s","new_name":"t"`)
	b.want("U1", "record:save", `"records":[{"_id":"note/1","n":1}]`, 200, `{"result":[{"_id":"note/1","t":"x","n":1,"…":"…"}]}`)
	a.do("master", "schema:delete", `"record_type":"note","item_name":"t"`)
	a.do("master", "schema:create", `"record_types":{"note":{"fields":[{"name":"t","type":"number"}]}}`)
	b.want("U1", "record:query", `"record_type":"note"`, 200, `{"result":[{"_id":"note/1","n":1,"…":"…"}]}`)
	b.want("U1", "record:save", `"records":[{"_id":"note/2","t":2.5}]`, 200, `{"result":[{"_id":"note/2","t":2.5,"…":"…"}]}`)
	a.do("master", "schema:access", `"type":"note","create_roles":["writer"]`)
	b.want("U1", "record:save", `"records":[{"_id":"note/3"}]`, 200, `{"result":[{"code":102,"…":"…"}]}`)
	a.do("master", "schema:access", `"type":"note","create_roles":[]`)
	b.do("U1", "record:save", `"records":[{"_id":"note/3"}]`)
	b.want("U1", "record:query", `"record_type":"note","desired_keys":["t"],"predicate":["eq",`+key("_id")+`,"2"]`, 200, `{"result":[{"t":2.5,"…":"…"}]}`)
	all := `{"_id":"note/2","_type":"record","_access":null,"_ownerID":"U1","_created_at":"…","_created_by":"U1","_updated_at":"…","_updated_by":"U1"`
	rule := `{"record_type":"note","record_field":"t","user_role":"_owner","writable":true,"readable":READS,"comparable":READS,"discoverable":READS}`
	for _, reads := range []string{"true", "false", "true"} {
		a.do("master", "schema:field_access:update", `"access":[`+strings.ReplaceAll(rule, "READS", reads)+`]`)
		seen := `,"t":2.5}`
		if reads == "false" {
			seen = "}"
		}
		b.want("U1", "record:fetch", `"ids":["note/2"]`, 200, results(all+seen))
		b.want("U1", "record:query", `"record_type":"note","predicate":["eq",`+key("_id")+`,"2"]`, 200, results(all+seen))
		b.want("U2", "record:query", `"record_type":"note","predicate":["eq",`+key("t")+`,2.5]`, 403, errorOf("RecordQueryDenied", 124, ""))
	}
	a.do("master", "schema:field_access:update", `"access":[]`)
	b.want("U2", "record:query", `"record_type":"note","predicate":["eq",`+key("t")+`,2.5]`, 200, results(all+`,"t":2.5}`))
	a.do("U1", "record:save", `"records":[{"_id":"note/2","newest":true}]`)
	b.want("U2", "record:fetch", `"ids":["note/2"]`, 200, results(all+`,"t":2.5,"newest":true}`))
	b.want("U2", "record:query", `"record_type":"note","predicate":["eq",`+key("_id")+`,"zz"]`, 200, results())
	a.do("master", "schema:default_access", `"type":"note","default_access":[]`)
	b.want("U1", "record:save", `"records":[{"_id":"note/4"}]`, 200, `{"result":[{"_access":[],"…":"…"}]}`)
}
