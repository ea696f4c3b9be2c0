package records_test

import (
	"fmt"
	"strings"
	"testing"

	"crema/server/core/acl"
	"crema/server/testkit"
)

func TestSave_Access(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	barista := acl.Actor{UserID: "U3", Roles: []string{"barista"}, Key: acl.ClientKey}
	a.do(u1, "save", `{"records":[
		{"_id":"note/open"},
		{"_id":"note/own","_access":[]},
		{"_id":"note/read","_access":[{"level":"read","public":true}]},
		{"_id":"note/write","_access":[{"level":"write","public":true}]},
		{"_id":"note/user","_access":[{"level":"write","user_id":"U2"}]},
		{"_id":"note/role","_access":[{"level":"write","role":"barista"}]},
		{"_id":"note/direct","_access":[{"level":"write","relation":"$direct","user_id":"U2"}]},
		{"_id":"note/friend","_access":[{"level":"write","relation":"friend"}]}]}`)
	for _, c := range []struct {
		actor       acl.Actor
		read, write string
	}{
		{nobody, "open read write", ""},
		{u1, "direct friend open own read role user write", "direct friend open own read role user write"},
		{u2, "direct open read user write", "direct open user write"},
		{barista, "open read role write", "open role write"},
		{master, "direct friend open own read role user write", "direct friend open own read role user write"},
	} {
		a.want(a.keys(c.actor, "note", ""), c.read)
		var readable, writable []string
		for _, key := range strings.Fields("direct friend open own read role user write") {
			if out := a.do(c.actor, "fetch", `{"ids":["note/`+key+`"]}`); strings.Contains(out, `"_type":"record"`) {
				readable = append(readable, key)
			} else {
				a.want(out, `{"_id":"note/`+key+`","_type":"error","name":"denied",…`)
			}
			if !strings.Contains(" "+c.write+" ", " "+key+" ") && c.actor.UserID != "" {
				a.want(a.do(c.actor, "delete", `{"ids":["note/`+key+`"]}`), `{"_id":"note/`+key+`","_type":"error","name":"denied","code":102,…`)
			}
			out := a.do(c.actor, "save", `{"records":[{"_id":"note/`+key+`","by":"`+c.actor.UserID+`"}]}`)
			if strings.Contains(out, `"_type":"record"`) {
				writable = append(writable, key)
			} else if c.actor.UserID == "" {
				a.want(out, "error 101")
			} else {
				a.want(out, `{"_id":"note/`+key+`","_type":"error","name":"denied",…`)
			}
		}
		a.want(strings.Join(readable, " "), c.read)
		a.want(strings.Join(writable, " "), c.write)
	}
}

func TestDelete_Access(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/open"},{"_id":"note/own","_access":[]},{"_id":"note/write","_access":[{"level":"write","user_id":"U2"}]}]}`)
	a.want(a.do(nobody, "delete", `{"ids":["note/open"]}`), "error 101")
	a.want(a.do(u2, "delete", `{"ids":["note/own","note/write","note/open"]}`), `{"_id":"note/own","_type":"error","name":"denied","code":102,…}
{"_id":"note/write","_type":"record"}
{"_id":"note/open","_type":"record"}`)
	a.want(a.do(master, "delete", `{"ids":["note/own"]}`), `{"_id":"note/own","_type":"record"}`)
}

func TestSave_MalformedAccess(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, access := range []string{`{}`, `"x"`, `[{"level":"read"}]`, `[{"level":"read","user_id":""}]`} {
		a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","_access":`+access+`}]}`), `{"_id":"note/1","_type":"error","name":"invalid","code":108,…"info":{"arguments":["_access"]}}`)
	}
}

func TestSave_KeepsOrResetsAccessT28(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1","_access":[]}]}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","x":1}]}`), `…"_access":[],…`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","_access":null,"x":2}]}`), `…"_access":[],…`)
	a.admin(`INSERT INTO app._record_default_access (record_type, default_access) VALUES ($1, '[{"level":"read","role":"Admin"}]')`, "note")
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","x":3}]}`), `…"_access":[{"level":"read","role":"Admin"}],…"x":3}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/2","x":3}]}`), `…"_access":[{"level":"read","role":"Admin"}],…`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/2","_access":[]}]}`), `…"_access":[],…`)
	a.admin(`UPDATE app._record_default_access SET default_access = '[]' WHERE record_type = $1`, "note")
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/3"}]}`), `…"_access":[],…`)
}

// admin changes rules as another server would: without this one hearing of it.
func (a *app) admin(statement string, args ...any) {
	a.t.Helper()
	if _, err := a.db.Exec(a.t.Context(), statement, args...); err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.db.Exec(a.t.Context(), "UPDATE app._schema_version SET version = version + 1"); err != nil {
		a.t.Fatal(err)
	}
}

func TestSave_CreationRoles(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/old","x":1},{"_id":"other/old"}]}`)
	a.admin("INSERT INTO app._role (id) VALUES ($1)", "writer")
	a.admin("INSERT INTO app._record_creation (record_type, role_id) VALUES ($1, 'writer')", "note")
	writer := acl.Actor{UserID: "U4", Roles: []string{"writer"}, Key: acl.ClientKey}
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/old","x":2},{"_id":"note/new","x":2},{"_id":"other/new"}]}`), `{"_id":"note/old",…"x":2}
{"_id":"note/new","_type":"error","name":"denied","code":102,…}
{"_id":"other/new",…"_type":"record",…}`)
	a.want(a.do(u1, "save", `{"database_id":"_private","records":[{"_id":"note/new","x":2}]}`), `…"code":102,…`)
	a.want(a.do(writer, "save", `{"records":[{"_id":"note/w"}]}`), `…"_type":"record",…`)
	a.want(a.do(master, "save", `{"records":[{"_id":"note/m"}]}`), `…"_type":"record",…`)
}

func TestSave_OnlySentFieldsChangeT29(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1","a":"x","b":1,"c":true},{"_id":"note/2","a":"y","b":2,"c":false}]}`)
	a.want(a.do(u2, "save", `{"records":[{"_id":"note/1","a":null},{"_id":"note/2","b":5},{"_id":"note/3","c":true}]}`),
		`…"_ownerID":"U1",…"_created_by":"U1",…"_updated_by":"U2","b":1,"c":true}
…"_updated_by":"U2","a":"y","b":5,"c":false}
…"_ownerID":"U2",…,"c":true}`)
}

func TestSave_ReservedKeysAreDropped(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","_ownerID":"U9","_created_by":"U9","_created_at":"x","_type":"record","_transient":{"a":1},"_x":5,"":7,"t":"v"}]}`),
		`{"_id":"note/1","_type":"record","_access":null,`+meta+`,"t":"v"}`)
}

func TestSave_NullForUnknownColumnT32(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","receipt_email":null,"t":"v"}]}`), `{"_id":"note/1",…,"t":"v"}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"empty/1"}]}`), `{"_id":"empty/1",…}`)
}

func TestSave_KeysAreUniqueAcrossDatabasesT30(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{"database_id":"_private","records":[{"_id":"note/1","t":"p"}]}`), `…"_type":"record"…`)
	a.want(a.do(u2, "save", `{"records":[{"_id":"note/1","t":"x"},{"_id":"note/2","t":"x"}]}`), `{"_id":"note/1","_type":"error","name":"duplicate","code":109,…}
{"_id":"note/2",…,"t":"x"}`)
	a.want(a.do(u2, "save", `{"database_id":"_private","records":[{"_id":"note/1"}]}`), `…"code":109,…`)
	a.want(a.do(u2, "fetch", `{"ids":["note/1"]}`), `…"code":110,…`)
	a.want(a.do(u2, "delete", `{"ids":["note/1"]}`), `…"code":110,…`)
	a.want(a.do(u1, "fetch", `{"database_id":"_private","ids":["note/1"]}`), `…"t":"p"}`)
	a.want(a.keys(u1, "note", `"database_id":"_private"`), "1")
	a.want(a.keys(u1, "note", ""), "2")
	a.want(a.keys(master, "note", `"database_id":"_union"`), "1 2")
	a.want(a.keys(master, "note", `"database_id":"U1"`), "1")
}

func TestScope_DatabaseIDs(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, c := range []struct {
		actor    acl.Actor
		database string
		read     string
		write    string
	}{
		{u1, `""`, "", ""},
		{u1, `null`, "", ""},
		{u1, `7`, "", ""},
		{u1, `"_public"`, "", ""},
		{u1, `"_private"`, "", ""},
		{u1, `"U1"`, "", ""},
		{u1, `"U2"`, "error 102", "error 102"},
		{u1, `"_union"`, "error 101", "error 101"},
		{u1, `"_other"`, "error 108 [database_id]", "error 108 [database_id]"},
		{nobody, `"_private"`, "error 101", "error 101"},
		{nobody, `"_public"`, "", "error 101"},
		{master, `"_union"`, "", "error 111"},
		{master, `"U2"`, "", ""},
	} {
		if got := a.do(c.actor, "query", `{"record_type":"note","database_id":`+c.database+`}`); !strings.HasPrefix(got, c.read) {
			t.Errorf("query %s as %s: %s, want %s", c.database, c.actor.UserID, got, c.read)
		}
		got := a.do(c.actor, "save", `{"database_id":`+c.database+`,"records":[{"_id":"note/`+c.actor.UserID+strings.Trim(c.database, `"`)+`"}]}`)
		if c.write == "" && !strings.Contains(got, `"_type":"record"`) || c.write != "" && got != c.write {
			t.Errorf("save %s as %s: %s, want %s", c.database, c.actor.UserID, got, c.write)
		}
	}
}

func TestSave_BadInput(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{}`), "error 108 [records]")
	a.want(a.do(u1, "save", `{"records":[]}`), "error 108 [records]")
	a.want(a.do(u1, "save", `{"records":{}}`), "error 108 [records]")
	for entry, argument := range map[string]string{
		`7`: "records", `null`: "records", `[]`: "records", `"x"`: "records",
		`{}`: "id", `{"_id":7}`: "id", `{"_id":"note"}`: "id", `{"_id":"/1"}`: "id", `{"_id":"note/"}`: "id", `{"_id":"note/a\u0000"}`: "id",
		`{"_id":"_auth/1","id":"x"}`:                             "_auth",
		`{"_id":"note/1","n":9007199254740993}`:                  "n",
		`{"_id":"note/1","n":-12345678901234567890}`:             "n",
		`{"_id":"note/1","n":1e400}`:                             "n",
		`{"_id":"note/1","s":"a\u0000b"}`:                        "s",
		`{"_id":"note/1","j":{"k":["a\u0000"]}}`:                 "j",
		`{"_id":"note/1","d":{"$type":"date","$date":"today"}}`:  "d",
		`{"_id":"note/1","d":{"$type":"date"}}`:                  "d",
		`{"_id":"note/1","g":{"$type":"geo","$lat":"1"}}`:        "g",
		`{"_id":"note/1","g":{"$type":"geojson","$val":1}}`:      "g",
		`{"_id":"note/1","r":{"$type":"ref","$id":"x"}}`:         "r",
		`{"_id":"note/1","a":{"$type":"asset"}}`:                 "a",
		`{"_id":"note/1","b":{"$type":"blob","$val":"x"}}`:       "b",
		`{"_id":"note/1","b":{"$type":7}}`:                       "b",
		`{"_id":"note/1","b":{"$type":"record","$record":{}}}`:   "b",
		`{"_id":"note/1","b":{"$type":"relation","$name":"_x"}}`: "b",
		`{"_id":"` + strings.Repeat("t", 64) + `/1"}`:            strings.Repeat("t", 64),
	} {
		got := a.do(u1, "save", `{"records":[`+entry+`,{"_id":"good/1"}]}`)
		want := `{…"code":108,…"arguments":["` + argument + `"]…` + "\n" + `{"_id":"good/1","_type":"record",…}`
		if !alike(got, want) {
			t.Errorf("%s: got %s", entry, got)
		}
	}
}

func TestSave_NumbersThatADoubleHolds(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for in, out := range map[string]string{
		"9007199254740992": "9007199254740992", "1180591620717411303424": "1.1805916207174113e+21", "9223372036854776000": "9223372036854776000",
		"1.5e300": "1.5e+300", "-0.1": "-0.1", "1e-7": "1e-07", "0": "0", "123456789.125": "123456789.125",
	} {
		a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","n":`+in+`}]}`), `…"n":`+out+`}`)
	}
}

func TestSave_NamesThatWantToEscape(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, name := range []string{`a\"b`, `x app.y`, `O'Brien; DROP TABLE note`, `select`, `é日本`, `a\\b`, `$1`, `a,b{}`} {
		a.want(a.do(u1, "save", `{"records":[{"_id":"`+name+`/k`+name+`","`+name+`":"`+name+`"},{"_id":"`+name+`/2","`+name+`":"x\"{},\\"}]}`),
			`{"_id":"`+name+`/k`+name+`",…,"`+name+`":"`+name+`"}`+"\n"+`…"x\"{},\\"}`)
		a.want(a.keys(u1, name, `"predicate":["eq",{"$type":"keypath","$val":"`+name+`"},"`+name+`"],"sort":[[{"$type":"keypath","$val":"`+name+`"},"asc"]]`), strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace("k"+name))
		a.want(a.do(u1, "delete", `{"ids":["`+name+`/2"]}`), `{"_id":"`+name+`/2","_type":"record"}`)
	}
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","`+strings.Repeat("f", 64)+`":1}]}`), "error 108 ["+strings.Repeat("f", 64)+"]")
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","a\u0000b":1}]}`), "error 108 [a\x00b]")
}

func TestSave_AThousandFields(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	var fields []string
	for i := range 1000 {
		fields = append(fields, fmt.Sprintf(`"f%04d":"v%d"`, i, i))
	}
	body := strings.Join(fields, ",")
	a.want(a.do(u1, "save", `{"records":[{"_id":"wide/1",`+body+`},{"_id":"wide/2",`+body+`}]}`), `{"_id":"wide/1",…,"f0999":"v999"}`+"\n"+`{"_id":"wide/2",…,"f0999":"v999"}`)
	a.want(a.keys(u1, "wide", `"predicate":["eq",{"$type":"keypath","$val":"f0500"},"v500"]`), "1 2")
	long := strings.ReplaceAll(body, `"v`, `"`+strings.Repeat("long ", 20))
	a.want(a.do(u1, "save", `{"records":[{"_id":"wide/3",`+long+`},{"_id":"wide/4","f0001":"x"}]}`), `{"_id":"wide/3","_type":"error","name":"invalid",…}`+"\n"+`{"_id":"wide/4",…"x"}`)
	for i := range 1000 {
		fields = append(fields, fmt.Sprintf(`"g%04d":1`, i))
	}
	a.want(a.do(u1, "save", `{"records":[{"_id":"wide/5",`+strings.Join(fields, ",")+`}]}`), `{"_id":"wide/5",…"code":108,…}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"wide/5",`+strings.Join(fields[1000:1700], ",")+`}]}`), `error 108…`)
}

func TestSave_BadRowsDoNotSpoilTheirNeighbours(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"category/c1"},{"_id":"note/0","cat":{"$type":"ref","$id":"category/c1"}}]}`)
	var entries []string
	for i := range 20 {
		cat := "c1"
		if i == 7 || i == 13 {
			cat = "missing"
		}
		entries = append(entries, fmt.Sprintf(`{"_id":"note/n%02d","cat":{"$type":"ref","$id":"category/%s"}}`, i, cat))
	}
	lines := strings.Split(a.do(u1, "save", `{"records":[`+strings.Join(entries, ",")+`]}`), "\n")
	for i, line := range lines {
		if i == 7 || i == 13 {
			a.want(line, fmt.Sprintf(`{"_id":"note/n%02d","_type":"error","name":"constraint","code":113,…"info":{"arguments":["cat"]}}`, i))
		} else {
			a.want(line, fmt.Sprintf(`{"_id":"note/n%02d","_type":"record",…}`, i))
		}
	}
	out := a.do(u1, "save", `{"atomic":true,"records":[`+strings.Join(entries, ",")+`]}`)
	a.want(out, "error 115")
	a.want(a.do(u1, "delete", `{"ids":["category/c1"]}`), `{"_id":"category/c1","_type":"error","name":"constraint","code":113,…}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/x","pic":{"$type":"asset","$name":"missing.png"}}]}`), `…"code":113,…["pic"]…`)
}

func TestSave_IntegerColumnsT31(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/0","f":1}]}`)
	a.admin("ALTER TABLE app.note ADD COLUMN i integer, ADD COLUMN l bigint")
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","i":5,"l":9007199254740992},{"_id":"note/2","i":5.5},{"_id":"note/3","i":3000000000},{"_id":"note/4","f":5.5}]}`), `…"i":5,"l":9007199254740992}
…"code":108,…["i"]…
…"code":108,…["i"]…
…"f":5.5}`)
	a.want(a.keys(u1, "note", `"predicate":["in",{"$type":"keypath","$val":"i"},[5,6.5,"x"]]`), "1")
	a.want(a.keys(u1, "note", `"predicate":["gt",{"$type":"keypath","$val":"i"},4.5]`), "1")
}

func TestSave_SequencesB6(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/a"}]}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/b","no":{"$type":"seq"}}]}`), `…"no":2}`)
	for range 3 { // an update keeps its number and wastes none
		a.want(a.do(u1, "save", `{"records":[{"_id":"note/b","t":"x"},{"_id":"note/a","no":{"$type":"seq"},"t":"y"}]}`), `…"no":2,"t":"x"}`+"\n"+`…"no":1,"t":"y"}`)
	}
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/c"}]}`), `…"no":3}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/d","no":10},{"_id":"note/e"}]}`), `…"no":10}`+"\n"+`…"no":4}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/f"}]}`), `…"no":11}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/g","no":10}]}`), `…"code":109,…`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/h","no":2.5}]}`), `…"code":108,…["no"]…`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/i","no":7}]}`), `…"no":7}`)
}

func TestSave_NewTypesThatReferToEachOtherB8(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{"records":[{"_id":"a/1","to":{"$type":"ref","$id":"b/1"}},{"_id":"b/1","to":{"$type":"ref","$id":"c/1"}},{"_id":"c/1","self":{"$type":"ref","$id":"c/2"}},{"_id":"c/2"}]}`),
		`…"to":{"$type":"ref","$id":"b/1"}}
…"to":{"$type":"ref","$id":"c/1"}}
…"self":{"$type":"ref","$id":"c/2"}}
{"_id":"c/2",…}`)
	a.want(a.do(u1, "delete", `{"ids":["c/2","c/1","b/1","a/1"]}`), `{"_id":"c/2","_type":"record"}
{"_id":"c/1","_type":"record"}
{"_id":"b/1","_type":"record"}
{"_id":"a/1","_type":"record"}`)
}

func TestSave_SameIDTwice(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","a":"x"},{"_id":"note/1","b":"y"},{"_id":"note/1","a":"z"}]}`), `…"a":"x"}
…"a":"x","b":"y"}
…"a":"z","b":"y"}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","a":"x"},{"_id":"note/1","b":{"$type":"?"}}]}`), `…"code":108,…
…"code":108,…`)
}

func TestSave_UserRecordsT34(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{"records":[{"_id":"user/U1","username":"Bob","age":3}]}`), `{"_id":"user/U1","_type":"record","_access":null,`+meta+`,"age":3,"username":"Bob"}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"user/U2","username":"bOB"},{"_id":"user/U3","username":"Eve"}]}`), `{"_id":"user/U2",…"code":109,…`+"\n"+`…"username":"Eve"}`)
	a.want(a.do(master, "delete", `{"ids":["user/U1"]}`), `{"_id":"user/U1","_type":"error","name":"denied",…}`)
	a.want(a.keys(u1, "user", `"predicate":["eq",{"$type":"keypath","$val":"username"},"BOB"]`), "U1")
	a.want(a.keys(u1, "user", `"predicate":["in",{"$type":"keypath","$val":"username"},["BOB"]]`), "U1")
}

func TestSave_WithoutLeaveToMigrate(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a := appOn(t, db, false)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1"}]}`), "error 114")
	a.want(a.do(master, "save", `{"records":[{"_id":"note/1","t":"x"}]}`), `…"t":"x"}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","t":"y"}]}`), `…"t":"y"}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","t":"z","n":1}]}`), "error 114")
}

func TestSave_JSONFieldsKeepWhatWasSent(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","j":{"n":12345678901234567890,"d":{"$type":"date","$date":"x"}},"l":[1,"\\u0000",{"a":[]}]}]}`),
		`…"j":{"d": {"$date": "x", "$type": "date"}, "n": 12345678901234567890},"l":[1, "\\u0000", {"a": []}]}`)
}

func TestSave_UnknownColumnsAreShownAndIgnored(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1"}]}`)
	a.admin("ALTER TABLE app.note ADD COLUMN price money DEFAULT 5")
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","t":"x","price":{"$type":"unknown","$underlying_type":"money"}}]}`), `…"price":{"$type":"unknown","$underlying_type":"money"},"t":"x"}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/1","price":7}]}`), "error 114")
}

func TestSave_AnswersWhatAFetchAnswers(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"farm/1"},{"_id":"note/0","f":1}]}`)
	a.admin("INSERT INTO app._asset (id, content_type, size) VALUES ($1, 'text/plain', 5)", "a.txt")
	a.admin("ALTER TABLE app.note ADD COLUMN i integer, ADD COLUMN l bigint, ADD COLUMN c citext")
	record := `{"_id":"note/KEY","_access":[{"level":"read","public":true},{"level":"write","user_id":"é\"<"}],"f":0.1,"i":5,"l":9007199254740992,"c":"MiXed","s":"x\n","b":false,
		"d":{"$type":"date","$date":"2024-01-01T00:00:00.1234567+08:00"},"r":{"$type":"ref","$id":"farm/1"},"a":{"$type":"asset","$name":"a.txt"},"none":null}`
	check := func(keys ...string) {
		t.Helper()
		var entries, ids []string
		for _, key := range keys {
			entries = append(entries, strings.Replace(record, "KEY", key, 1))
			ids = append(ids, `"note/`+key+`"`)
		}
		saved := a.do(u1, "save", `{"records":[`+strings.Join(entries, ",")+`]}`)
		a.want(a.do(u1, "fetch", `{"ids":[`+strings.Join(ids, ",")+`]}`), saved)
		if strings.Contains(saved, "error") {
			t.Error(saved)
		}
	}
	check("1")
	check("1", "2", "3") // one of them is there
	a.admin("INSERT INTO app._record_default_access (record_type, default_access) VALUES ($1, '[]')", "note")
	record = `{"_id":"note/KEY","s":"y"}`
	check("4", "5")
	a.admin("ALTER TABLE app.note ADD COLUMN filled text DEFAULT 'by the database'")
	check("6", "7")
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/8"}]}`), `…"filled":"by the database"}`)
	a.admin("ALTER TABLE app.note ALTER COLUMN filled DROP DEFAULT")
	a.admin(`CREATE FUNCTION app.fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.filled := 'by a trigger'; RETURN NEW; END $$;
		CREATE TRIGGER fill BEFORE INSERT ON app.note FOR EACH ROW EXECUTE FUNCTION app.fill()`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/9"}]}`), `…"filled":"by a trigger"}`)
	record = `{"_id":"note/KEY","s":"z","j":{"b":1,  "a":[2]}}`
	check("6", "10")
}
