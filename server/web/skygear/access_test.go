package skygear_test

import (
	"strings"
	"testing"
)

// The rows of §3.6: what each entry grants, to read and to write, alone, in a list and in a query.
func TestAccess_Rows(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.give("B1", "barista")
	s.give("Q1", `it"s`)
	rows := []struct{ key, access, readers, writers string }{
		{"null", `null`, "nobody U1 U2 B1 Q1 master", "U1 U2 B1 Q1 master"},
		{"none", `[]`, "U1 master", "U1 master"},
		{"pub-r", `[{"level":"read","public":true}]`, "nobody U1 U2 B1 Q1 master", "U1 master"},
		{"pub-w", `[{"level":"write","public":true}]`, "nobody U1 U2 B1 Q1 master", "U1 U2 B1 Q1 master"},
		{"user-r", `[{"level":"read","user_id":"U2"}]`, "U1 U2 master", "U1 master"},
		{"user-w", `[{"level":"write","user_id":"U2"}]`, "U1 U2 master", "U1 U2 master"},
		{"role-r", `[{"level":"read","role":"barista"}]`, "U1 B1 master", "U1 master"},
		{"role-w", `[{"level":"write","role":"barista"}]`, "U1 B1 master", "U1 B1 master"},
		{"role-q", `[{"level":"write","role":"it\"s"}]`, "U1 Q1 master", "U1 Q1 master"}, // B15
		{"rel", `[{"level":"write","relation":"friend"}]`, "U1 master", "U1 master"},
		{"direct", `[{"level":"write","relation":"$direct","user_id":"U2"}]`, "U1 U2 master", "U1 U2 master"}, // B5
		{"union", `[{"level":"read","user_id":"U2"},{"level":"write","role":"barista"}]`, "U1 U2 B1 master", "U1 B1 master"},
	}
	for _, r := range rows {
		s.want("U1", "record:save", `"records":[{"_id":"note/`+r.key+`","_access":`+r.access+`}]`, 200, results(`{"_id":"note/`+r.key+`","_access":`+r.access+`,"…":"…"}`))
	}
	for _, who := range []string{"nobody", "U1", "U2", "B1", "Q1", "master"} {
		var visible []string
		for _, r := range rows {
			id := "note/" + r.key
			refused := results(entry(id, "PermissionDenied", 102))
			if contains(r.readers, who) {
				visible = append(visible, r.key)
				s.want(who, "record:fetch", `"ids":["`+id+`"]`, 200, results(`{"_id":"`+id+`","…":"…"}`))
			} else {
				s.want(who, "record:fetch", `"ids":["`+id+`"]`, 200, refused)
			}
			switch {
			case who == "nobody":
				s.want(who, "record:save", `"records":[{"_id":"`+id+`","x":1}]`, 401, errorOf("NotAuthenticated", 101, ""))
			case contains(r.writers, who):
				s.want(who, "record:save", `"records":[{"_id":"`+id+`","x":1}]`, 200, results(`{"_id":"`+id+`","_ownerID":"U1","…":"…"}`))
			default:
				s.want(who, "record:save", `"records":[{"_id":"`+id+`","x":1}]`, 200, refused)
				s.want(who, "record:delete", `"ids":["`+id+`"]`, 200, refused)
			}
		}
		s.want(who, "record:query", `"record_type":"note","sort":[[`+key("_created_at")+`,"asc"]]`, 200, idsOf("note", visible))
	}
	for _, bad := range []string{`{}`, `"x"`, `7`, `[{}]`, `[null]`, `[{"level":"read"}]`, `[{"public":true}]`, `[{"level":"own","public":true}]`, `[{"level":"read","user_id":""}]`, `[{"level":"read","public":false}]`} {
		s.want("U1", "record:save", `"records":[{"_id":"note/bad","_access":`+bad+`}]`, 200,
			results(`{"_id":"note/bad","_type":"error","name":"InvalidArgument","code":108,"message":"…","info":{"arguments":["_access"]}}`))
	}
}

func contains(list, word string) bool { return strings.Contains(" "+list+" ", " "+word+" ") }

func idsOf(typ string, keys []string) string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = `{"_id":"` + typ + `/` + k + `","…":"…"}`
	}
	return results(list...)
}

func TestAccess_PrivateRecordsAreTheirUsersAlone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"database_id":"_private","records":[{"_id":"note/1","_access":[{"level":"write","public":true}]}]`)
	s.found("U2", "note", "", "")
	s.found("U2", "note", `"database_id":"_private"`, "")
	s.want("U2", "record:fetch", `"database_id":"U1","ids":["note/1"]`, 403, errorOf("PermissionDenied", 102, ""))
	s.want("U2", "record:delete", `"ids":["note/1"]`, 200, results(entry("note/1", "ResourceNotFound", 110)))
	s.found("U1", "note", `"database_id":"_private"`, "1")
	s.found("master", "note", `"database_id":"U1"`, "1")
}

// The groups of rules about fields and the viewers inside them. Wire: skygear §3.6.
func TestFieldAccess_Rows(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.give("A1", "Admin")
	s.give("S1", "staff")
	s.do("U1", "record:save", `"records":[{"_id":"note/1","a":"x","b":"x","c":"x","helper":"U2","team":["U3"]}]`)
	rule := func(typ, field, viewer, flags string) string {
		has := func(flag string) string {
			if strings.Contains(flags, flag) {
				return "true"
			}
			return "false"
		}
		return `{"record_type":"` + typ + `","record_field":"` + field + `","user_role":"` + viewer + `","writable":` + has("w") + `,"readable":` + has("r") + `,"comparable":` + has("c") + `,"discoverable":` + has("d") + `}`
	}
	s.do("A1", "schema:field_access:update", `"access":[`+strings.Join([]string{
		rule("*", "*", "_public", "rwcd"), // everything that has no rules of its own
		rule("*", "b", "_role:staff", "r"),
		rule("note", "*", "_any_user", "r"),
		rule("note", "a", "_owner", "rwcd"), rule("note", "a", "_user_id:U5", "rd"), rule("note", "a", "_field:helper", "rw"),
		rule("note", "a", "_field:team", "r"), rule("note", "a", "_role:staff", "c"), rule("note", "a", "_any_user", ""),
	}, ",")+`]`)
	all := `,"a":"x","b":"x","c":"x","helper":"U2","team":["U3"]}`
	rest := `,"b":"x","c":"x","helper":"U2","team":["U3"]}`
	meta := `{"_id":"note/1","_type":"record","_access":null,"_ownerID":"U1","_created_at":"…","_created_by":"U1","_updated_at":"…","_updated_by":"U1"`
	for who, fields := range map[string]string{"U1": all, "U2": all, "U3": all, "U4": rest, "U5": all, "S1": rest, "nobody": `}`, "master": all} {
		s.want(who, "record:fetch", `"ids":["note/1"]`, 200, results(meta+fields))
		s.want(who, "record:query", `"record_type":"note"`, 200, results(meta+fields))
	}
	denied := errorOf("RecordQueryDenied", 124, "")
	eq, like := `"record_type":"note","predicate":["eq",`+key("a")+`,"x"]`, `"record_type":"note","predicate":["like",`+key("a")+`,"x"]`
	s.want("U5", "record:query", eq, 200, `{"result":["…"]}`)
	s.want("U5", "record:query", like, 403, denied)
	s.want("S1", "record:query", like, 200, `{"result":["…"]}`)
	s.want("U1", "record:query", eq, 403, denied) // nobody is the owner where no record is at hand
	s.want("U2", "record:query", eq, 403, denied)
	s.want("nobody", "record:query", `"record_type":"note","predicate":["eq",`+key("_id")+`,"1"]`, 200, `{"result":["…"]}`)
	s.want("U4", "record:query", `"record_type":"note","include":{"x":`+key("a")+`}`, 403, denied)
	s.found("U4", "memo", `"predicate":["eq",`+key("a")+`,1]`, "")
	// Only what changes is asked for.
	s.want("U3", "record:save", `"atomic":true,"records":[{"_id":"note/1","a":"x","b":"x"}]`, 200, results(strings.Replace(meta, `"_updated_by":"U1"`, `"_updated_by":"U3"`, 1)+all))
	s.want("U2", "record:save", `"records":[{"_id":"note/1","a":"y","b":"y"}]`, 200, results(strings.Replace(meta, `"_updated_by":"U1"`, `"_updated_by":"U2"`, 1)+strings.Replace(all, `"a":"x"`, `"a":"y"`, 1)))
	s.want("U4", "record:save", `"atomic":true,"records":[{"_id":"note/2","a":"mine"}]`, 200, results(`{"_id":"note/2","a":"mine","…":"…"}`)) // its owner
	s.want("U4", "record:save", `"atomic":true,"records":[{"_id":"note/3","b":"mine"}]`, 409,
		errorOf("AtomicOperationFailure", 115, `{"note/3":{"name":"DeniedArgument","code":123,"message":"…","info":{"arguments":["b"]}}}`))
}

func TestAccess_IncludedRecordsPassBothKindsOfRules(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[{"_id":"user/U1","username":"bob"},{"_id":"cat/open","name":"O"},{"_id":"cat/shut","_access":[],"name":"S"},
		{"_id":"note/1","cat":{"$type":"ref","$id":"cat/open"}},{"_id":"note/2","cat":{"$type":"ref","$id":"cat/shut"}},{"_id":"note/3"}]`)
	query := `"record_type":"note","sort":[[` + key("_id") + `,"asc"]],"include":{"c":` + key("cat") + `,"o":` + key("_owner") + `,"by":` + key("_created_by") + `,"up":` + key("_updated_by") + `}`
	nameless := `{"_id":"user/U1","_type":"record","_access":null,"_ownerID":"U1","_created_at":"…","_created_by":"U1","_updated_at":"…","_updated_by":"U1"}`
	people := `"o":` + nameless + `,"by":` + nameless + `,"up":` + nameless
	s.want("nobody", "record:query", query, 200, results(
		`{"_id":"note/1","_transient":{"c":{"_id":"cat/open","name":"O","…":"…"},`+people+`},"…":"…"}`,
		`{"_id":"note/2","_transient":{"c":null,`+people+`},"…":"…"}`, `{"_id":"note/3","_transient":{"c":null,`+people+`},"…":"…"}`))
	s.want("U1", "record:query", query, 200, results(`"…"`, `{"_transient":{"c":{"name":"S","…":"…"},"o":{"username":"bob","…":"…"},"…":"…"},"…":"…"}`, `"…"`))
	// B7: in another database there are other records.
	s.do("U1", "record:save", `"database_id":"_private","records":[{"_id":"note/p","cat":{"$type":"ref","$id":"cat/open"}}]`)
	s.want("U1", "record:query", `"database_id":"_private",`+query, 200, results(`{"_transient":{"c":null,"o":null,"by":null,"up":null},"…":"…"}`))
}

// A shopper owns the record of a payment. That is for reading it.
func TestAccess_RecordsOfPaymentsAreWrittenWithTheMasterKeyOnly(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.give("A1", "Admin")
	s.do("master as U1", "record:save", `"records":[{"_id":"payment_record/1","_access":[],"product":"Kenya AA","amount":10,"amount_minor":1000,"status":"succeeded"}]`)
	for _, who := range []string{"U1", "U2", "A1"} {
		for _, c := range []struct{ action, params string }{
			{"record:save", `"records":[{"_id":"payment_record/1","status":"refunded"}]`},
			{"record:save", `"records":[{"_id":"payment_record/1","_access":[{"level":"write","public":true}]}]`},
			{"record:delete", `"ids":["payment_record/1"]`},
		} {
			s.want(who, c.action, c.params, 200, results(entry("payment_record/1", "PermissionDenied", 102)))
			s.want(who, c.action, c.params+`,"atomic":true`, 409, errorOf("AtomicOperationFailure", 115, `{"payment_record/1":{"name":"PermissionDenied","code":102,"message":"…"}}`))
		}
		s.want(who, "record:save", `"records":[{"_id":"payment_record/2","amount":9}]`, 200, results(entry("payment_record/2", "PermissionDenied", 102)))
		s.want(who, "record:save", `"database_id":"_private","records":[{"_id":"payment_record/2","amount":9}]`, 200, results(entry("payment_record/2", "PermissionDenied", 102)))
	}
	s.found("U1", "payment_record", ``, "1")
	s.found("U2", "payment_record", ``, "")
	s.want("master", "record:save", `"records":[{"_id":"payment_record/1","status":"refunded"}]`, 200, results(`{"status":"refunded","product":"Kenya AA","_ownerID":"U1","…":"…"}`))
	s.want("master", "record:delete", `"ids":["payment_record/1"]`, 200, results(`{"_id":"payment_record/1","_type":"record"}`))
}
