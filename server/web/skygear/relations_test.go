package skygear_test

import (
	"fmt"
	"strings"
	"testing"
)

// village has users with records: U1 to U4, and U5 without one.
func village(t *testing.T) *server {
	t.Helper()
	s := newServer(t)
	for i := 1; i <= 4; i++ {
		id := fmt.Sprint("U", i)
		access := "null"
		if i == 4 {
			access = "[]"
		}
		s.do(id, "record:save", `"records":[{"_id":"user/`+id+`","username":"name`+id+`","_access":`+access+`}]`)
	}
	s.do("U5", "record:query", `"record_type":"user"`)
	return s
}

func related(s *server, who, params, want string, count int) {
	s.t.Helper()
	var list []string
	for id := range strings.FieldsSeq(want) {
		list = append(list, `{"id":"`+id+`","type":"user","data":{"_id":"user/`+id+`","_type":"record","…":"…"}}`)
	}
	s.want(who, "relation:query", params, 200, fmt.Sprintf(`{"info":{"count":%d},"result":[%s]}`, count, strings.Join(list, ",")))
}

func TestRelations_AddQueryRemove(t *testing.T) {
	t.Parallel()
	s := village(t)
	s.want("U1", "relation:add", `"name":"friend","targets":["U3","U2","nobody","U2"]`, 200, `{"result":[
		{"id":"U3","type":"user","data":{"_id":"user/U3","_type":"record","_access":null,"_ownerID":"U3","_created_at":"…","_created_by":"U3","_updated_at":"…","_updated_by":"U3","username":"nameU3"}},
		{"id":"U2","type":"user","data":{"_id":"user/U2","username":"nameU2","…":"…"}},
		{"id":"nobody","type":"error","data":{"name":"ResourceNotFound","code":110,"message":"…"}},
		{"id":"U2","type":"user","data":{"_id":"user/U2","…":"…"}}]}`)
	s.do("U1", "relation:add", `"name":"_friend","targets":["U2"]`) // again, by the other name
	s.do("U2", "relation:add", `"name":"friend","targets":["U1","U3"]`)
	related(s, "U1", `"name":"friend","direction":"outward"`, "U2 U3", 2)
	related(s, "U1", `"name":"friend","direction":"inward"`, "U2", 1)
	related(s, "U1", `"name":"friend","direction":"mutual"`, "U2", 1)
	related(s, "U1", `"name":"friend"`, "U2", 1)
	related(s, "U3", `"name":"friend","direction":"inward"`, "U1 U2", 2)
	related(s, "U3", `"name":"friend","direction":"inward","limit":1,"offset":1,"page":7`, "U2", 2)
	related(s, "U3", `"name":"friend","direction":"inward","limit":1,"offset":5`, "", 2)
	related(s, "U3", `"name":"friend","direction":"inward","limit":0`, "", 2)
	related(s, "U1", `"name":"follow","direction":"outward"`, "", 0)
	s.want("U1", "relation:remove", `"name":"friend","targets":["U2","U4"]`, 200, `{"result":[{"id":"U2"},
		{"id":"U4","type":"error","data":{"name":"ResourceNotFound","code":110,"message":"…"}}]}`)
	related(s, "U1", `"name":"friend"`, "", 0)
	related(s, "U1", `"name":"friend","direction":"inward"`, "U2", 1)
	s.want("U1", "relation:add", `"name":"friend","targets":[]`, 200, `{"result":[]}`)
	s.want("master as U9", "relation:add", `"name":"follow","targets":["U1"]`, 200, `{"result":[{"id":"U1","…":"…"}]}`)
	related(s, "U1", `"name":"follow","direction":"inward"`, "U9", 1)
}

func TestRelations_ShowOnlyWhatTheCallerMayRead(t *testing.T) {
	t.Parallel()
	s := village(t)
	stub := `{"id":"U4","type":"user","data":{"_id":"user/U4","_type":"record","_access":[]}}`
	bare := `{"id":"U5","type":"user","data":{"_id":"user/U5","_type":"record","_access":[]}}`
	s.want("U1", "relation:add", `"name":"follow","targets":["U4","U5"]`, 200, `{"result":[`+stub+`,`+bare+`]}`)
	s.want("U1", "relation:query", `"name":"follow","direction":"outward"`, 200, `{"info":{"count":2},"result":[`+stub+`,`+bare+`]}`)
	s.want("master as U1", "relation:query", `"name":"follow","direction":"outward"`, 200, `{"info":{"count":2},"result":[{"id":"U4","type":"user","data":{"username":"nameU4","…":"…"}},`+bare+`]}`)
	s.give("A1", "Admin")
	s.do("A1", "schema:field_access:update", `"access":[{"record_type":"user","record_field":"username","user_role":"_owner","writable":true,"readable":true,"comparable":true,"discoverable":true}]`)
	s.want("U1", "relation:add", `"name":"follow","targets":["U2"]`, 200, `{"result":[{"id":"U2","type":"user","data":{"_id":"user/U2","_type":"record","_access":null,
		"_ownerID":"U2","_created_at":"…","_created_by":"U2","_updated_at":"…","_updated_by":"U2"}}]}`)
}

func TestT45_RelationsAskForAUser(t *testing.T) {
	t.Parallel()
	s := village(t)
	for _, action := range []string{"relation:query", "relation:add", "relation:remove"} {
		s.want("nobody", action, `"name":"friend","targets":["U1"]`, 401, errorOf("NotAuthenticated", 101, ""))
		s.want("none", action, `"name":"friend","targets":["U1"]`, 401, errorOf("NotAuthenticated", 101, ""))
		for _, name := range []string{`"name":"enemy",`, `"name":"",`, `"name":7,`, `"name":"_auth",`, ``} {
			s.want("U1", action, name+`"targets":["U1"]`, 501, errorOf("NotSupported", 111, ""))
		}
		s.want("U1", action, `"name":"friend","database_id":"_bad","targets":[]`, 400, arguments("database_id"))
	}
	for _, action := range []string{"relation:add", "relation:remove"} {
		s.want("U1", action, `"name":"friend"`, 400, arguments("targets"))
		s.want("U1", action, `"name":"friend","targets":"U2"`, 400, errorOf("BadRequest", 107, ""))
		s.want("U1", action, `"name":"friend","targets":["a\u0000b"]`, 200, `{"result":[{"id":"a\u0000b","type":"error","data":{"code":110,"…":"…"}}]}`)
	}
	s.want("U1", "relation:query", `"name":"friend","direction":"up"`, 400, arguments("direction"))
	s.want("U1", "relation:query", `"name":"friend","limit":-1`, 400, arguments("limit"))
}

func TestQuery_UserRelation(t *testing.T) {
	t.Parallel()
	s := village(t)
	for _, id := range []string{"U1", "U2", "U3"} {
		s.do(id, "record:save", `"records":[{"_id":"note/`+id+`","by":"`+id+`","who":{"$type":"ref","$id":"user/`+id+`"}}]`)
	}
	s.do("U1", "relation:add", `"name":"friend","targets":["U2","U3"]`)
	s.do("U2", "relation:add", `"name":"friend","targets":["U1"]`)
	s.do("U3", "relation:add", `"name":"follow","targets":["U1"]`)
	predicate := func(path, relation string) string {
		return `["func","userRelation",{"$type":"keypath","$val":"` + path + `"},{"$type":"relation",` + relation + `}]`
	}
	for _, c := range []struct{ who, predicate, want string }{
		{"U1", predicate("_owner", `"$name":"_friend","$direction":"outward"`), "U2 U3"},
		{"U1", predicate("_owner_id", `"$name":"_friend","$direction":"inward"`), "U2"},
		{"U1", predicate("", `"$name":"_friend","$direction":"mutual"`), "U2"},
		{"U1", predicate("by", `"$name":"_friend"`), "U2"},
		{"U1", predicate("who", `"$name":"_friend","$direction":"outward"`), "U2 U3"},
		{"U1", predicate("who._id", `"$name":"_friend","$direction":"outward"`), "U2 U3"},
		{"U1", predicate("_created_by", `"$name":"_follow","$direction":"inward"`), "U3"},
		{"U1", `["not",` + predicate("_owner", `"$name":"_friend","$direction":"outward"`) + `]`, "U1"},
		{"U1", `["and",` + predicate("_owner", `"$name":"_friend","$direction":"outward"`) + `,["eq",{"$type":"keypath","$val":"by"},"U3"]]`, "U3"},
		{"U3", predicate("_owner", `"$name":"_friend","$direction":"inward"`), "U1"},
		{"U3", predicate("_owner", `"$name":"_friend"`), ""},
		{"nobody", predicate("_owner", `"$name":"_friend","$direction":"outward"`), ""},
		{"master as U1", predicate("_owner", `"$name":"_friend"`), "U2"},
	} {
		var list []string
		for key := range strings.FieldsSeq(c.want) {
			list = append(list, `{"_id":"note/`+key+`","…":"…"}`)
		}
		s.want(c.who, "record:query", `"record_type":"note","count":true,"sort":[[{"$type":"keypath","$val":"_id"},"asc"]],"predicate":`+c.predicate, 200,
			fmt.Sprintf(`{"info":{"count":%d},"result":[%s]}`, len(list), strings.Join(list, ",")))
	}
	s.want("U1", "record:query", `"record_type":"note","predicate":`+predicate("by", `"$name":"_enemy"`), 501, errorOf("NotSupported", 111, ""))
	s.give("A1", "Admin")
	s.do("A1", "schema:field_access:update", `"access":[{"record_type":"note","record_field":"by","user_role":"_any_user","writable":true,"readable":true,"comparable":false,"discoverable":true}]`)
	s.want("U1", "record:query", `"record_type":"note","predicate":`+predicate("by", `"$name":"_friend"`), 403, errorOf("RecordQueryDenied", 124, ""))
}
