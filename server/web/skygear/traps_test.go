package skygear_test

import (
	"fmt"
	"strings"
	"testing"

	"crema/server/testkit"
)

// key is a key path of the wire.
func key(path string) string { return `{"$type":"keypath","$val":"` + path + `"}` }

// found compares the keys of what a query of a type finds, in the order of "sort" or else of the keys. A
// want that starts with { is the error envelope.
func (s *server) found(who, typ, params, want string) {
	s.t.Helper()
	if params != "" {
		params = "," + params
	}
	if !strings.Contains(params, `"sort"`) {
		params += `,"sort":[[` + key("_id") + `,"asc"]]`
	}
	var list []string
	for k := range strings.FieldsSeq(want) {
		list = append(list, `{"_id":"`+typ+`/`+k+`","…":"…"}`)
	}
	s.want(who, "record:query", `"record_type":"`+typ+`"`+params, 200, `{"result":[`+strings.Join(list, ",")+`]}`)
}

// entry is a failed entry of a list.
func entry(id, name string, code int) string {
	return fmt.Sprintf(`{"_id":%q,"_type":"error","name":%q,"code":%d,"message":"…"}`, id, name, code)
}

func results(entries ...string) string { return `{"result":[` + strings.Join(entries, ",") + `]}` }

func TestT26_OwnerIsSpelledInTwoWaysAndMetaTimesAreBare(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want("U1", "record:save", `"records":[{"_id":"note/1","when":{"$type":"date","$date":"2024-01-01T08:00:00+08:00"}}]`, 200,
		results(`{"_id":"note/1","_type":"record","_access":null,"_ownerID":"U1","_created_at":"…","_created_by":"U1","_updated_at":"…","_updated_by":"U1",
			"when":{"$type":"date","$date":"2024-01-01T00:00:00Z"}}`))
	s.found("U1", "note", `"predicate":["eq",`+key("_owner_id")+`,"U1"]`, "1")
	s.found("U1", "note", `"predicate":["eq",`+key("_owner")+`,{"$type":"ref","$id":"user/U1"}]`, "1")
	s.found("U1", "note", `"predicate":["gt",`+key("_created_at")+`,{"$type":"date","$date":"2024-01-01T00:00:00Z"}],"sort":[[`+key("_updated_at")+`,"desc"]]`, "1")
	s.want("U1", "record:query", `"record_type":"note","predicate":["eq",`+key("_ownerID")+`,"U1"]`, 400, errorOf("RecordQueryInvalid", 120, ""))
}

func TestT27_NullAccessIsWritableByEveryUserAndAnEmptyOneByTheOwner(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"note/open","_access":null},{"_id":"note/own","_access":[]},{"_id":"note/absent"}]`)
	s.found("nobody", "note", "", "absent open")
	s.want("nobody", "record:save", `"records":[{"_id":"note/open","x":1}]`, 401, errorOf("NotAuthenticated", 101, ""))
	s.want("U2", "record:save", `"records":[{"_id":"note/open","x":1},{"_id":"note/own","x":1},{"_id":"note/absent","x":1}]`, 200, results(
		`{"_id":"note/open","_access":null,"_ownerID":"U1","_updated_by":"U2","x":1,"…":"…"}`, entry("note/own", "PermissionDenied", 102), `{"_id":"note/absent","x":1,"…":"…"}`))
	s.want("U1", "record:save", `"records":[{"_id":"note/own","x":2}]`, 200, results(`{"_access":[],"x":2,"…":"…"}`))
	s.want("master", "record:save", `"records":[{"_id":"note/own","x":3}]`, 200, results(`{"_access":[],"x":3,"_updated_by":"_god","_ownerID":"U1","…":"…"}`))
	// A list is never taken away again by null.
	s.want("U1", "record:save", `"records":[{"_id":"note/own","_access":null}]`, 200, results(`{"_access":[],"…":"…"}`))
}

func TestT29_OnlySentFieldsChangeAndNullClears(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"note/1","a":"x","b":1,"c":true}]`)
	s.want("U2", "record:save", `"records":[{"_id":"note/1","a":null,"b":2}]`, 200, results(`{"_id":"note/1","_type":"record","_access":null,
		"_ownerID":"U1","_created_at":"…","_created_by":"U1","_updated_at":"…","_updated_by":"U2","b":2,"c":true}`))
	s.found("U1", "note", `"predicate":["eq",`+key("a")+`,null]`, "1")
}

func TestT30_KeysAreUniqueAcrossAllDatabasesOfAType(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"database_id":"_private","records":[{"_id":"note/1"}]`)
	taken := results(entry("note/1", "Duplicated", 109))
	s.want("U2", "record:save", `"records":[{"_id":"note/1"}]`, 200, taken)
	s.want("U2", "record:save", `"database_id":"_private","records":[{"_id":"note/1"}]`, 200, taken)
	s.want("U1", "record:save", `"records":[{"_id":"note/1"}]`, 200, taken)
	s.want("master", "record:save", `"records":[{"_id":"note/1"}]`, 200, taken)
	s.want("U2", "record:fetch", `"ids":["note/1"]`, 200, results(entry("note/1", "ResourceNotFound", 110)))
	s.want("U1", "record:delete", `"ids":["note/1"]`, 200, results(entry("note/1", "ResourceNotFound", 110)))
	s.do("U2", "record:save", `"records":[{"_id":"memo/1"}]`) // another type
}

func TestT31_NumbersAreDoublesAndOnlySchemaCreateMakesIntegers(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"note/1","n":1}]`)
	s.do("master", "schema:create", `"record_types":{"note":{"fields":[{"name":"i","type":"integer"}]}}`)
	s.want("master", "schema:fetch", ``, 200, fieldsOf("note", `[{"name":"i","type":"integer"},{"name":"n","type":"number"}]`))
	s.want("U1", "record:save", `"records":[{"_id":"note/1","n":1.5,"i":7},{"_id":"note/2","i":7.5},{"_id":"note/3","i":7.0}]`, 200, results(
		`{"n":1.5,"i":7,"…":"…"}`, `{"_id":"note/2","_type":"error","name":"InvalidArgument","code":108,"message":"…","info":{"arguments":["i"]}}`, `{"i":7,"…":"…"}`))
	status, text := s.ask("U1", "record:fetch", `"ids":["note/3"]`)
	if status != 200 || !strings.Contains(text, `"i":7}`) {
		t.Errorf("no integer: %s", text)
	}
}

func TestT32_MigrationIsRequestWideAndComesFirst(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s, production := serverOn(t, db, true), serverOn(t, db, false)
	s.do("U1", "record:save", `"records":[{"_id":"note/1","s":"x"}]`)
	conflict := errorOf("IncompatibleSchema", 114, "")
	for _, second := range []string{`"s":7`, `"s":true`, `"s":[1]`, `"s":{"$type":"date","$date":"2024-01-01T00:00:00Z"}`, `"s":{"$type":"ref","$id":"note/1"}`, `"r":{"$type":"ref","$id":"nowhere/1"}`} {
		s.want("U1", "record:save", `"records":[{"_id":"note/2","s":"y"},{"_id":"note/3",`+second+`}]`, 409, conflict)
	}
	s.want("U1", "record:save", `"records":[{"_id":"note/2","new":"y"},{"_id":"note/3","new":1}]`, 409, conflict)
	s.found("U1", "note", "", "1")
	// It survives a rollback.
	s.want("U1", "record:save", `"atomic":true,"records":[{"_id":"note/2","kept":1},{"_id":"note/1","s":"z"},{"_id":"user/U9","username":null,"_access":[]},{"_id":"note/4","ref":{"$type":"ref","$id":"note/nowhere"}}]`, 409,
		errorOf("AtomicOperationFailure", 115, `{"note/4":{"name":"ConstraintViolated","code":113,"message":"…","info":{"arguments":["ref"]}}}`))
	s.want("nobody", "schema:fetch", ``, 200, fieldsOf("note", `[{"name":"kept","type":"number"},{"name":"ref","type":"ref(note)"},{"name":"s","type":"string"}]`))
	// Records that cannot be read make no tables.
	s.want("U1", "record:save", `"records":[{"_id":"fresh","x":1},{"_id":"fresh/1","x":{"$type":"?"}}]`, 200, `{"result":["…","…"]}`)
	s.want("nobody", "record:query", `"record_type":"fresh"`, 200, `{"result":[]}`)
	// A null for a field that does not exist is nothing to store.
	s.want("U1", "record:save", `"records":[{"_id":"note/5","receipt_email":null,"s":"x"}]`, 200, results(`{"_id":"note/5","s":"x","…":"…"}`))
	production.want("U1", "record:save", `"records":[{"_id":"note/6","s":"x"},{"_id":"note/7","unheard":1}]`, 409, conflict)
	production.want("U1", "record:save", `"records":[{"_id":"unheard/1"}]`, 409, conflict)
	production.want("U1", "record:save", `"records":[{"_id":"note/6","unheard":null}]`, 200, results(`{"_id":"note/6","…":"…"}`))
	production.want("master as U1", "record:save", `"records":[{"_id":"unheard/1","x":1}]`, 200, results(`{"_id":"unheard/1","x":1,"…":"…"}`))
}

func TestT33_ForbiddenFieldsAreSilentlyIgnoredAndSeededRulesHideNames(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"user/U1","username":"bob","email":"bob@example.com","age":3}]`)
	meta := `"_id":"user/U1","_type":"record","_access":null,"_ownerID":"U1","_created_at":"…","_created_by":"U1","_updated_at":"…"`
	s.want("nobody", "record:fetch", `"ids":["user/U1"]`, 200, results(`{`+meta+`,"_updated_by":"U1","age":3}`))
	s.want("U2", "record:fetch", `"ids":["user/U1"]`, 200, results(`{`+meta+`,"_updated_by":"U1","age":3,"username":"bob","email":"bob@example.com"}`))
	s.want("U2", "record:save", `"records":[{"_id":"user/U1","username":"eve","email":null,"age":4}]`, 200, results(`{`+meta+`,"_updated_by":"U2","age":4,"username":"bob","email":"bob@example.com"}`))
	s.want("U2", "record:save", `"atomic":true,"records":[{"_id":"user/U1","username":"eve","age":5}]`, 409,
		errorOf("AtomicOperationFailure", 115, `{"user/U1":{"name":"DeniedArgument","code":123,"message":"…","info":{"arguments":["username"]}}}`))
	s.want("U1", "record:save", `"records":[{"_id":"user/U1","username":"rob"}]`, 200, results(`{`+meta+`,"_updated_by":"U1","age":4,"username":"rob","email":"bob@example.com"}`))
	denied := errorOf("RecordQueryDenied", 124, "")
	for _, part := range []string{`"predicate":["eq",` + key("username") + `,"rob"]`, `"sort":[[` + key("email") + `,"asc"]]`, `"predicate":["like",` + key("email") + `,"b%"]`} {
		s.want("nobody", "record:query", `"record_type":"user",`+part, 403, denied)
		s.want("U2", "record:query", `"record_type":"user",`+part, 200, results(`{"_id":"user/U1","…":"…"}`))
	}
}

func TestT34_UserRecordsStayAndAreOpen(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.want("U1", "record:save", `"records":[{"_id":"user/U1","username":"bob"}]`, 200, results(`{"_access":null,"…":"…"}`))
	for _, who := range []string{"U1", "master", "master as U1"} {
		s.want(who, "record:delete", `"ids":["user/U1"]`, 200, results(entry("user/U1", "PermissionDenied", 102)))
		s.want(who, "record:delete", `"ids":["user/U1"],"atomic":true`, 409,
			errorOf("AtomicOperationFailure", 115, `{"user/U1":{"name":"PermissionDenied","code":102,"message":"…"}}`))
	}
	s.want("U2", "record:save", `"records":[{"_id":"user/U1","note":"hi"}]`, 200, results(`{"note":"hi","username":"bob","…":"…"}`))
}

func TestT35_NoLimitIsAllAndAnEmptyPredicateIsNone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var records, keys []string
	for i := range 60 {
		k := fmt.Sprintf("%02d", i)
		records, keys = append(records, `{"_id":"note/`+k+`"}`), append(keys, k)
	}
	s.do("U1", "record:save", `"records":[`+strings.Join(records, ",")+`]`)
	s.found("U1", "note", ``, strings.Join(keys, " "))
	s.found("U1", "note", `"predicate":[],"limit":null,"offset":null`, strings.Join(keys, " "))
	s.found("U1", "note", `"predicate":null,"limit":2,"page":3`, "00 01")
	s.found("U1", "note", `"limit":2,"offset":58`, "58 59")
	s.found("U1", "note", `"limit":0`, "")
	s.want("U1", "record:query", `"record_type":"note","limit":1,"offset":7,"count":true`, 200, `{"info":{"count":60},"result":["…"]}`)
}

func TestT36_InHasThreeMeaningsAndDiscoverableIsForEquality(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.give("A1", "Admin")
	s.do("U1", "record:save", `"records":[{"_id":"note/1","t":"x","tags":["a","b"]},{"_id":"note/2","t":"y","tags":{"a":1}},{"_id":"note/3","t":"z"}]`)
	s.found("U1", "note", `"predicate":["in",`+key("t")+`,["x","z","q"]]`, "1 3")
	s.found("U1", "note", `"predicate":["in",`+key("t")+`,[]]`, "")
	s.found("U1", "note", `"predicate":["in","a",`+key("tags")+`]`, "1 2")
	for _, p := range []string{`["in",` + key("t") + `,"x"]`, `["in",5,` + key("tags") + `]`, `["in",` + key("t") + `,` + key("tags") + `]`, `["in","a",` + key("t") + `]`} {
		s.want("U1", "record:query", `"record_type":"note","predicate":`+p, 400, errorOf("RecordQueryInvalid", 120, ""))
	}
	s.do("A1", "schema:field_access:update", `"access":[{"record_type":"note","record_field":"t","user_role":"_any_user","writable":true,"readable":true,"comparable":false,"discoverable":true}]`)
	eq := `["eq",` + key("t") + `,"x"]`
	s.found("U1", "note", `"predicate":`+eq, "1")
	s.found("U1", "note", `"predicate":["and",`+eq+`,["in",`+key("t")+`,["x"]]]`, "1")
	for _, p := range []string{`["not",` + eq + `]`, `["or",` + eq + `,` + eq + `]`, `["neq",` + key("t") + `,"x"]`, `["like",` + key("t") + `,"%"]`, `["and",["or",` + eq + `,` + eq + `]]`} {
		s.want("U1", "record:query", `"record_type":"note","predicate":`+p, 403, errorOf("RecordQueryDenied", 124, ""))
	}
	s.want("U1", "record:query", `"record_type":"note","sort":[[`+key("t")+`,"asc"]]`, 403, errorOf("RecordQueryDenied", 124, ""))
	s.found("master", "note", `"predicate":["not",`+eq+`]`, "2 3")
}

func TestT37_KeyPathErrorsNeedATable(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	query := `"record_type":"note","predicate":["eq",` + key("zz") + `,1]`
	s.want("U1", "record:query", query, 200, `{"result":[]}`)
	s.want("U1", "record:query", query+`,"count":true`, 200, `{"info":{"count":0},"result":[]}`)
	// B9: but not those of shape.
	s.want("U1", "record:query", `"record_type":"note","predicate":["eq",`+key("a.b.c")+`,1]`, 400, errorOf("RecordQueryInvalid", 120, ""))
	s.want("U1", "record:query", `"record_type":"note","predicate":["func","nonsense",`+key("a")+`]`, 400, arguments("predicate"))
	s.do("U1", "record:save", `"records":[{"_id":"note/1"}]`)
	s.want("U1", "record:query", query, 400, errorOf("RecordQueryInvalid", 120, ""))
}

func TestT38_UserNamesAreComparedWithoutCase(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"user/U1","username":"Bob"}]`)
	s.found("U1", "user", `"predicate":["eq",`+key("username")+`,"bOB"]`, "U1")
	s.found("U1", "user", `"predicate":["in",`+key("username")+`,["BOB"]]`, "U1")
	s.found("U1", "user", `"predicate":["like",`+key("username")+`,"bo_"]`, "U1")
	s.want("U2", "record:save", `"records":[{"_id":"user/U2","username":"BOB"}]`, 200, results(entry("user/U2", "Duplicated", 109)))
}

func TestT39_DistancesOnASphere(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.needPostGIS()
	geo := func(lat, lng string) string { return `{"$type":"geo","$lat":` + lat + `,"$lng":` + lng + `}` }
	s.do("U1", "record:save", `"records":[{"_id":"shop/near","at":`+geo("22.3", "114.1")+`},{"_id":"shop/far","at":`+geo("51.5", "-0.1")+`},{"_id":"shop/none"}]`)
	distance := `["func","distance",` + key("at") + `,` + geo("22", "114") + `]`
	s.found("U1", "shop", `"predicate":["lt",`+distance+`,40000]`, "near")
	s.found("U1", "shop", `"predicate":["gt",40000,`+distance+`]`, "near")
	s.found("U1", "shop", `"predicate":["gte",`+distance+`,40000]`, "far")
	s.found("U1", "shop", `"predicate":["neq",`+key("at")+`,null],"sort":[[`+distance+`,"desc"]]`, "far near")
	s.want("U1", "record:query", `"record_type":"shop","include":{"d":`+distance+`},"desired_keys":[],"predicate":["neq",`+key("at")+`,null],"sort":[[`+distance+`,"asc"]]`, 200,
		results(`{"_id":"shop/near","_transient":{"d":"~34900"},"…":"…"}`, `{"_id":"shop/far","_transient":{"d":"~9640000"},"…":"…"}`))
	s.want("U1", "record:query", `"record_type":"shop","include":{"d":`+distance+`},"predicate":["eq",`+key("_id")+`,"none"]`, 200, results(`{"_id":"shop/none","_transient":{"d":null},"…":"…"}`))
	s.want("U1", "record:query", `"record_type":"shop","predicate":`+distance, 501, errorOf("NotSupported", 111, ""))
}
