package skygear_test

import (
	"fmt"
	"strings"
	"testing"
)

// The rows of §1.4: which database a caller may use.
func TestDatabase_Rows(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"note/pub"}]`)
	s.do("U1", "record:save", `"database_id":"_private","records":[{"_id":"note/own"}]`)
	s.do("U2", "record:save", `"database_id":"U2","records":[{"_id":"note/theirs"}]`)
	noUser, denied, bad := errorOf("NotAuthenticated", 101, ""), errorOf("PermissionDenied", 102, ""), arguments("database_id")
	for _, c := range []struct {
		who, database string
		found         string // keys, where it may be used
		status        int    // else
		failure       string
	}{
		{"U1", ``, "pub", 0, ""},
		{"U1", `"database_id":null,`, "pub", 0, ""},
		{"U1", `"database_id":7,`, "pub", 0, ""},
		{"U1", `"database_id":"",`, "pub", 0, ""},
		{"U1", `"database_id":"_public",`, "pub", 0, ""},
		{"U1", `"database_id":"_private",`, "own", 0, ""},
		{"U1", `"database_id":"U1",`, "own", 0, ""},
		{"keyless U1", `"database_id":"_private",`, "own", 0, ""},
		{"U1", `"database_id":"U2",`, "", 403, denied},
		{"nobody", `"database_id":"U2",`, "", 403, denied},
		{"nobody", `"database_id":"_private",`, "", 401, noUser},
		{"U1", `"database_id":"_union",`, "", 401, noUser},
		{"U1", `"database_id":"_other",`, "", 400, bad},
		{"master", `"database_id":"_other",`, "", 400, bad},
		{"master", `"database_id":"_union",`, "own pub theirs", 0, ""},
		{"master", `"database_id":"U2",`, "theirs", 0, ""},
		{"master as U1", `"database_id":"_private",`, "own", 0, ""},
		{"master", `"database_id":"_private",`, "", 0, ""},
	} {
		if c.status == 0 {
			s.found(c.who, "note", c.database+`"limit":50`, c.found)
			continue
		}
		s.want(c.who, "record:query", c.database+`"record_type":"note"`, c.status, c.failure)
		s.want(c.who, "record:fetch", c.database+`"ids":["note/pub"]`, c.status, c.failure)
		if c.who != "nobody" {
			s.want(c.who, "record:save", c.database+`"records":[{"_id":"note/x"}]`, c.status, c.failure)
			s.want(c.who, "record:delete", c.database+`"ids":["note/pub"]`, c.status, c.failure)
		}
	}
	s.want("master", "record:save", `"database_id":"_union","records":[{"_id":"note/x"}]`, 501, errorOf("NotSupported", 111, ""))
	s.want("master", "record:delete", `"database_id":"_union","ids":["note/pub"]`, 501, errorOf("NotSupported", 111, ""))
}

// Every typed value of §3.2 with the field type of §3.3 that it makes, and what comes back.
func TestValues_Rows(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"cat/c/with/slashes"}]`)
	if _, err := s.db.Exec(t.Context(), "INSERT INTO app._asset (id, content_type, size) VALUES ($1, 'text/plain', 5)", "a.txt"); err != nil {
		t.Fatal(err)
	}
	rows := []struct{ sent, typ, back string }{
		{`"text"`, "string", `"text"`},
		{`""`, "string", `""`},
		{`1`, "number", `1`},
		{`-1.5e-7`, "number", `-1.5e-7`},
		{`true`, "boolean", `true`},
		{`false`, "boolean", `false`},
		{`{"$type":"date","$date":"2024-05-01T10:00:00.123456789+02:00"}`, "datetime", `{"$type":"date","$date":"2024-05-01T08:00:00.123456Z"}`},
		{`[]`, "json", `[]`},
		{`[1,{"$type":"date","$date":"x"}]`, "json", `[1,{"$type":"date","$date":"x"}]`},
		{`{}`, "json", `{}`},
		{`{"a":{"b":[null]}}`, "json", `{"a":{"b":[null]}}`},
		{`{"$type":"ref","$id":"cat/c/with/slashes"}`, "ref(cat)", `{"$type":"ref","$id":"cat/c/with/slashes"}`},
		{`{"$type":"asset","$name":"a.txt","$content_type":"lies","$url":"lies"}`, "asset", `{"$type":"asset","$name":"a.txt"}`},
		{`{"$type":"seq"}`, "sequence", `1`},
		{`{"$type":"keypath","$val":"decays"}`, "string", `"decays"`},
	}
	if s.hasPostGIS() {
		rows = append(rows, []struct{ sent, typ, back string }{
			{`{"$type":"geo","$lat":22.3,"$lng":-114.1}`, "location", `{"$type":"geo","$lat":22.3,"$lng":-114.1}`},
			{`{"$type":"geojson","$val":{"type":"Point","coordinates":[1,2]}}`, "geometry", `{"$type":"geojson","$val":{"type":"Point","coordinates":[1,2]}}`},
		}...)
	}
	for i, r := range rows {
		typ := fmt.Sprint("t", i)
		want := results(`{"_id":"` + typ + `/1","v":` + r.back + `,"…":"…"}`)
		s.want("U1", "record:save", `"records":[{"_id":"`+typ+`/1","v":`+r.sent+`}]`, 200, want)
		s.want("U1", "record:fetch", `"ids":["`+typ+`/1"]`, 200, want)
		s.want("nobody", "schema:fetch", ``, 200, fieldsOf(typ, `[{"name":"v","type":"`+r.typ+`"}]`))
	}
	for _, bad := range []string{
		`{"$type":"blob","$val":"x"}`, `{"$type":"nonsense"}`, `{"$type":7}`, `{"$type":"date"}`, `{"$type":"date","$date":"today"}`, `{"$type":"date","$date":7}`,
		`{"$type":"geo","$lat":"1","$lng":2}`, `{"$type":"geo","$lat":1}`, `{"$type":"geojson","$val":"x"}`, `{"$type":"ref","$id":"x"}`, `{"$type":"ref"}`,
		`{"$type":"asset"}`, `{"$type":"relation","$name":"_friend"}`, `{"$type":"record","$record":{}}`,
	} {
		s.want("U1", "record:save", `"records":[{"_id":"note/1","v":`+bad+`}]`, 200,
			results(`{"_id":"note/1","_type":"error","name":"InvalidArgument","code":108,"message":"…","info":{"arguments":["v"]}}`))
	}
}

func TestRecord_ReservedKeysAndUnknownColumns(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	bare := `{"_id":"note/1","_type":"record","_access":null,"_ownerID":"U1","_created_at":"…","_created_by":"U1","_updated_at":"…","_updated_by":"U1","t":"x"}`
	s.want("U1", "record:save", `"records":[{"_id":"note/1","_type":"x","_ownerID":"U9","_owner_id":"U9","_created_at":"x","_created_by":"U9","_updated_by":"U9","_database_id":"U9","_transient":{"a":1},"_mine":1,"":2,"t":"x"}]`, 200, results(bare))
	if _, err := s.db.Exec(t.Context(), "ALTER TABLE app.note ADD COLUMN price money; UPDATE app.note SET price = 5; UPDATE app._schema_version SET version = version + 1"); err != nil {
		t.Fatal(err)
	}
	s.want("U1", "record:save", `"records":[{"_id":"note/1","price":{"$type":"unknown","$underlying_type":"money"},"t":"y"}]`, 200, results(`{"t":"y","price":{"$type":"unknown","$underlying_type":"money"},"…":"…"}`))
	s.want("nobody", "schema:fetch", ``, 200, fieldsOf("note", `[{"name":"price","type":"unknown"},{"name":"t","type":"string"}]`))
	s.want("U1", "record:save", `"records":[{"_id":"note/1","price":5}]`, 409, errorOf("IncompatibleSchema", 114, ""))
	s.want("U1", "record:query", `"record_type":"note","predicate":["eq",`+key("price")+`,5]`, 501, errorOf("NotSupported", 111, ""))
}

// The rows of §3.8 for requests as a whole.
func TestBatch_RequestsThatFailAsAWhole(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"note/1"}]`)
	for _, c := range []struct{ action, params, want string }{
		{"record:save", ``, arguments("records")},
		{"record:save", `"records":null`, arguments("records")},
		{"record:save", `"records":[]`, arguments("records")},
		{"record:save", `"records":{}`, arguments("records")},
		{"record:save", `"records":[{"_id":"note/1"}],"atomic":"yes"`, arguments("atomic")},
		{"record:fetch", ``, arguments("ids")},
		{"record:fetch", `"ids":"note/1"`, arguments("ids")},
		{"record:fetch", `"ids":["note/1","note"]`, arguments("ids")},
		{"record:fetch", `"ids":["note/1",7]`, arguments("ids")},
		{"record:delete", ``, arguments("ids")},
		{"record:delete", `"ids":["note/1","/1"]`, arguments("ids")},
		{"record:delete", `"ids":["note/1","note/"]`, arguments("ids")},
	} {
		s.want("U1", c.action, c.params, 400, c.want)
	}
	s.found("U1", "note", "", "1")
}

func TestBatch_EntriesFailByThemselves(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U2", "record:save", `"records":[{"_id":"note/theirs","_access":[]}]`)
	badAccess := `{"_id":"note/b","_type":"error","name":"InvalidArgument","code":108,"message":"…","info":{"arguments":["_access"]}}`
	noID := `{"_type":"error","name":"InvalidArgument","code":108,"message":"…","info":{"arguments":["id"]}}`
	s.want("U1", "record:save", `"records":[{"_id":"note/a","x":1},{"x":1},{"_id":7},{"_id":"note/b","_access":{}},{"_id":"note/theirs","x":1},{"_id":"_auth/1"},{"_id":"note/d","x":2}]`, 200, results(
		`{"_id":"note/a","x":1,"…":"…"}`, noID, noID, badAccess, entry("note/theirs", "PermissionDenied", 102),
		`{"_id":"_auth/1","_type":"error","name":"InvalidArgument","code":108,"message":"…","info":{"arguments":["_auth"]}}`, `{"_id":"note/d","x":2,"…":"…"}`))
	// One id twice: both entries show the error.
	s.want("U1", "record:save", `"records":[{"_id":"note/a","x":5},{"_id":"note/a","y":{"$type":"?"}}]`, 200, results(
		`{"_id":"note/a","_type":"error","code":108,"…":"…"}`, `{"_id":"note/a","_type":"error","code":108,"…":"…"}`))
	s.want("U1", "record:fetch", `"ids":["note/d","note/theirs","note/zz","zz/1","note/d"]`, 200, results(
		`{"_id":"note/d","x":2,"…":"…"}`, entry("note/theirs", "PermissionDenied", 102), entry("note/zz", "ResourceNotFound", 110), entry("zz/1", "ResourceNotFound", 110), `{"_id":"note/d","x":2,"…":"…"}`))
	gone := `{"_id":"note/d","_type":"record"}`
	s.want("U1", "record:delete", `"ids":["note/theirs","note/d","note/zz","_auth/U1","note/d"]`, 200, results(
		entry("note/theirs", "PermissionDenied", 102), gone, entry("note/zz", "ResourceNotFound", 110), entry("_auth/U1", "ResourceNotFound", 110), gone))
	s.want("nobody", "record:delete", `"ids":["note/a"]`, 401, errorOf("NotAuthenticated", 101, ""))
	s.found("U1", "note", "", "a")
}

func TestBatch_References(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	// B8: a reference and the new type that it points to, in one request.
	s.do("U1", "record:save", `"records":[{"_id":"note/1","cat":{"$type":"ref","$id":"cat/1"}},{"_id":"cat/1"}]`)
	dangling := `{"_id":"note/2","_type":"error","name":"ConstraintViolated","code":113,"message":"…","info":{"arguments":["cat"]}}`
	s.want("U1", "record:save", `"records":[{"_id":"note/2","cat":{"$type":"ref","$id":"cat/none"}},{"_id":"note/3","cat":{"$type":"ref","$id":"cat/1"}}]`, 200, results(dangling, `{"_id":"note/3","…":"…"}`))
	s.want("U1", "record:save", `"records":[{"_id":"note/2","pic":{"$type":"asset","$name":"none.png"}}]`, 200, results(strings.Replace(dangling, `"cat"`, `"pic"`, 1)))
	s.want("U1", "record:delete", `"ids":["cat/1"]`, 200, results(entry("cat/1", "ConstraintViolated", 113)))
	s.want("U1", "record:delete", `"ids":["cat/1","note/1","note/3"],"atomic":true`, 200, results(`{"_id":"cat/1","_type":"record"}`, `{"_id":"note/1","_type":"record"}`, `{"_id":"note/3","_type":"record"}`))
	// After a rename the field is still told.
	s.do("U1", "schema:rename", `"record_type":"note","item_name":"cat","new_name":"kind"`)
	s.want("U1", "record:save", `"records":[{"_id":"note/2","kind":{"$type":"ref","$id":"cat/none"}}]`, 200, results(strings.Replace(dangling, `"cat"`, `"kind"`, 1)))
}

func TestBatch_Atomic(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U2", "record:save", `"records":[{"_id":"note/theirs","_access":[],"x":1}]`)
	denied := `{"name":"PermissionDenied","code":102,"message":"…"}`
	s.want("U1", "record:save", `"atomic":true,"records":[{"_id":"note/a","x":1},{"_id":"note/theirs","x":2},{"_id":"memo/a"}]`, 409,
		errorOf("AtomicOperationFailure", 115, `{"note/theirs":`+denied+`}`))
	s.found("master", "note", "", "theirs")
	s.want("U1", "record:save", `"atomic":true,"records":[{"_id":"note/a","x":1},{"_id":"memo/a"}]`, 200, results(`{"_id":"note/a","x":1,"…":"…"}`, `{"_id":"memo/a","…":"…"}`))
	s.want("U1", "record:delete", `"atomic":true,"ids":["note/a","note/theirs"]`, 409, errorOf("AtomicOperationFailure", 115, `{"note/theirs":`+denied+`}`))
	s.want("U1", "record:delete", `"atomic":true,"ids":["note/a","note/zz"]`, 409,
		errorOf("AtomicOperationFailure", 115, `{"note/zz":{"name":"ResourceNotFound","code":110,"message":"…"}}`))
	s.found("U1", "note", "", "a")
	s.want("U1", "record:delete", `"atomic":true,"ids":["note/a","memo/a","note/a"]`, 200, results(`{"_id":"note/a","_type":"record"}`, `{"_id":"memo/a","_type":"record"}`, `{"_id":"note/a","_type":"record"}`))
}

// The rows of §3.9.
func TestSequence_Rows(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	number := func(entry, want string) {
		t.Helper()
		s.want("U1", "record:save", `"records":[`+entry+`]`, 200, want)
	}
	number(`{"_id":"note/1"}`, `{"result":["…"]}`)
	number(`{"_id":"note/2","no":{"$type":"seq"}}`, results(`{"no":2,"…":"…"}`)) // B6
	number(`{"_id":"note/1"}`, results(`{"no":1,"…":"…"}`))
	number(`{"_id":"note/2","no":{"$type":"seq"},"t":"x"}`, results(`{"no":2,"t":"x","…":"…"}`))
	number(`{"_id":"note/3"}`, results(`{"no":3,"…":"…"}`))
	number(`{"_id":"note/4","no":10}`, results(`{"no":10,"…":"…"}`))
	number(`{"_id":"note/5"}`, results(`{"no":11,"…":"…"}`))
	number(`{"_id":"note/3","no":20}`, results(`{"no":20,"…":"…"}`))
	number(`{"_id":"note/6"}`, results(`{"no":21,"…":"…"}`))
	number(`{"_id":"note/6","no":null}`, results(`{"no":21,"…":"…"}`))
	number(`{"_id":"note/7","no":2}`, results(entry("note/7", "Duplicated", 109)))
}
