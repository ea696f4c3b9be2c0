package records_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/core/schema"
	"crema/server/testkit"
)

// numbers are the wire's codes of the faults that this room makes.
var numbers = map[fault.Code]int{
	fault.Unauthenticated: 101, fault.Denied: 102, fault.Invalid: 108, fault.Duplicate: 109, fault.NotFound: 110,
	fault.NotSupported: 111, fault.Constraint: 113, fault.Incompatible: 114, fault.AtomicFailure: 115, fault.QueryInvalid: 120,
	fault.ArgumentDenied: 123, fault.QueryDenied: 124, fault.Unavailable: 10001, fault.Internal: 10000,
}

func wire(e *fault.Error) (string, int) { return string(e.Code), numbers[e.Code] }

// app is one server on a database of the test's own.
type app struct {
	t   testing.TB
	db  *pg.DB
	svc *records.Service
	own *schema.Service
}

func newApp(t testing.TB) *app {
	t.Helper()
	return appOn(t, testkit.DB(t), true)
}

func appOn(t testing.TB, db *pg.DB, devMode bool) *app {
	own := schema.New(db)
	return &app{t: t, db: db, own: own, svc: records.New(records.Config{DB: db, Schema: own, DevMode: devMode, Now: func() time.Time {
		return time.Date(2024, 5, 1, 10, 0, 0, 123456789, time.UTC)
	}})}
}

var (
	u1     = acl.Actor{UserID: "U1", Key: acl.ClientKey}
	u2     = acl.Actor{UserID: "U2", Key: acl.ClientKey}
	nobody = acl.Actor{Key: acl.ClientKey}
	master = acl.Actor{UserID: "M", Key: acl.MasterKey}
)

// do runs an action of the wire and returns the text of its answer: the result, or "code [arguments]".
func (a *app) do(actor acl.Actor, action, body string) string {
	a.t.Helper()
	var p records.Params
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		a.t.Fatalf("%s: %v", body, err)
	}
	ctx := acl.WithActor(a.t.Context(), actor)
	var results []records.Result
	var err error
	switch action {
	case "save":
		var req records.SaveRequest
		if req, err = records.DecodeSave(p); err == nil {
			results, err = a.svc.Save(ctx, req)
		}
	case "query":
		return a.query(actor, p)
	default:
		var req records.IDsRequest
		if req, err = records.DecodeIDs(p); err != nil {
			break
		}
		if results, err = a.svc.Fetch(ctx, req); action == "delete" {
			results, err = a.svc.Delete(ctx, req)
		}
	}
	if err != nil {
		return failure(err)
	}
	parts := make([]string, len(results))
	for i, r := range results {
		if r.Err != nil && numbers[r.Err.Code] == 10000 {
			a.t.Errorf("%s: %v", body, r.Err)
		}
		parts[i] = string(records.AppendResult(nil, r, wire))
		if !json.Valid([]byte(parts[i])) {
			a.t.Errorf("not JSON: %s", parts[i])
		}
	}
	return strings.Join(parts, "\n")
}

func (a *app) query(actor acl.Actor, p records.Params) string {
	q, err := records.DecodeQuery(p)
	if err != nil {
		return failure(err)
	}
	page, err := a.svc.Query(acl.WithActor(a.t.Context(), actor), q)
	if err != nil {
		return failure(err)
	}
	b := records.AppendPage(nil, page)
	if !json.Valid(b) {
		a.t.Errorf("not JSON: %s", b)
	}
	if page.Count != nil {
		b = fmt.Appendf(b, " of %d", *page.Count)
	}
	return string(b)
}

func failure(err error) string {
	e := fault.From(err)
	s := fmt.Sprint("error ", numbers[e.Code])
	if args, ok := e.Details["arguments"]; ok {
		s += fmt.Sprint(" ", args)
	}
	if e.Code == fault.Internal || numbers[e.Code] == 0 {
		s += " " + e.Error()
	}
	return s
}

// keys runs a query of type note and returns the keys it finds, sorted unless the query sorts.
func (a *app) keys(actor acl.Actor, typ, rest string) string {
	a.t.Helper()
	if rest != "" {
		rest = "," + rest
	}
	out := a.do(actor, "query", `{"record_type":"`+typ+`"`+rest+`}`)
	var list []struct {
		ID string `json:"_id"`
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&list); err != nil {
		return out
	}
	keys := make([]string, len(list))
	for i, r := range list {
		_, keys[i], _ = strings.Cut(r.ID, "/")
	}
	if !strings.Contains(rest, `"sort"`) {
		slices.Sort(keys)
	}
	out = strings.Join(keys, " ")
	return out
}

// want compares an answer; "…" in the wanted text stands for anything.
func (a *app) want(got, want string) {
	a.t.Helper()
	if !alike(got, want) {
		a.t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func alike(got, want string) bool {
	parts := strings.Split(want, "…")
	if len(parts) == 1 {
		return got == want
	}
	if !strings.HasPrefix(got, parts[0]) {
		return false
	}
	got = got[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(got, p)
		if i < 0 {
			return false
		}
		got = got[i+len(p):]
	}
	return strings.HasSuffix(got, parts[len(parts)-1])
}

const meta = `"_ownerID":"U1","_created_at":"2024-05-01T10:00:00.123456Z","_created_by":"U1","_updated_at":"2024-05-01T10:00:00.123456Z","_updated_by":"U1"`

func TestSave_GoldenA4(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.needPostGIS()
	a.want(a.do(u2, "save", `{"records":[{"_id":"note/readonly","_access":[{"level":"read","public":true}],"title":"r"}]}`), `{"_id":"note/readonly",…}`)
	got := a.do(u1, "save", `{"database_id":"_public","records":[
	  {"_id":"note/1","_access":null,"title":"x","n":1.5,"when":{"$type":"date","$date":"2024-01-01T00:00:00.000Z"},"loc":{"$type":"geo","$lat":22.3,"$lng":114.1},"tags":["a"],"seq":{"$type":"seq"}},
	  {"_id":"note-2"}, {"_id":"note/readonly","title":"y"}]}`)
	a.want(got, `{"_id":"note/1","_type":"record","_access":null,`+meta+`,"loc":{"$type":"geo","$lat":22.3,"$lng":114.1},"n":1.5,"seq":2,"tags":["a"],"title":"x","when":{"$type":"date","$date":"2024-01-01T00:00:00Z"}}
{"_type":"error","name":"invalid","code":108,"message":"…","info":{"arguments":["id"]}}
{"_id":"note/readonly","_type":"error","name":"denied","code":102,"message":"…"}`)
	a.want(a.do(u1, "fetch", `{"ids":["note/readonly"]}`), `{"_id":"note/readonly","_type":"record","_access":[{"level":"read","public":true}],"_ownerID":"U2",…,"seq":1,"title":"r"}`)
}

func (a *app) needPostGIS() {
	var available bool
	if err := a.db.Get(a.t.Context(), &available, "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'postgis')"); err != nil || !available {
		a.t.Skip("PostGIS is not on this machine")
	}
}

func TestQuery_GoldenA7(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.needPostGIS()
	a.do(u1, "save", `{"records":[{"_id":"category/c1","name":"C"},
		{"_id":"note/1","_access":[{"public":true,"level":"read"}],"title":"x","n":1,"category":{"$type":"ref","$id":"category/c1"},"loc":{"$type":"geo","$lat":22.3,"$lng":114.1}},
		{"_id":"note/2","title":"y","n":1}]}`)
	got := a.do(nobody, "query", `{"database_id":"_public","record_type":"note","limit":50,"count":true,
 "sort":[[{"$type":"keypath","$val":"_created_at"},"desc"]],
 "include":{"cat":{"$type":"keypath","$val":"category"},"far":["func","distance",{"$type":"keypath","$val":"loc"},{"$type":"geo","$lat":22,"$lng":114}]},
 "predicate":["and",["eq",{"$type":"keypath","$val":"title"},"x"],["in",{"$type":"keypath","$val":"n"},[1,2]]]}`)
	a.want(got, `[{"_id":"note/1","_type":"record","_access":[{"level":"read","public":true}],`+meta+`,"category":{"$type":"ref","$id":"category/c1"},"loc":{"$type":"geo","$lat":22.3,"$lng":114.1},"n":1,"title":"x","_transient":{"cat":{"_id":"category/c1","_type":"record","_access":null,`+meta+`,"name":"C"},"far":34…}}] of 1`)
}

func TestFetchDelete_GoldenA8(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1","title":"x"}]}`)
	a.want(a.do(nobody, "fetch", `{"ids":["note/1","note/zz"]}`), `{"_id":"note/1",…,"title":"x"}
{"_id":"note/zz","_type":"error","name":"not_found","code":110,"message":"…"}`)
	a.want(a.do(u1, "delete", `{"ids":["note/1"]}`), `{"_id":"note/1","_type":"record"}`)
	a.want(a.do(u1, "delete", `{"ids":["note/1","nothing/1"]}`), `{"_id":"note/1","_type":"error","name":"not_found",…}
{"_id":"nothing/1","_type":"error","name":"not_found",…}`)
	a.want(a.do(u1, "fetch", `{"ids":["note-1"]}`), `error 108 [ids]`)
	a.want(a.do(u1, "delete", `{"ids":["note/1","note/"]}`), `error 108 [ids]`)
	a.want(a.do(u1, "delete", `{"ids":[7]}`), `error 108 [ids]`)
	a.want(a.do(u1, "fetch", `{}`), `error 108 [ids]`)
}

func TestSave_GoldenA5AtomicFailure(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u2, "save", `{"records":[{"_id":"note/theirs","_access":[],"title":"r"}]}`)
	ctx := acl.WithActor(t.Context(), u1)
	req, err := records.DecodeSave(records.Params{"atomic": json.RawMessage("true"), "records": json.RawMessage(`[{"_id":"note/mine","title":"x"},{"_id":"note/theirs","title":"y"}]`)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.svc.Save(ctx, req)
	e := fault.From(err)
	if e == nil || e.Code != fault.AtomicFailure || len(e.Details) != 1 {
		t.Fatalf("got %v", err)
	}
	if inner, _ := e.Details["note/theirs"].(*fault.Error); inner == nil || inner.Code != fault.Denied {
		t.Errorf("got %v", e.Details)
	}
	a.want(a.keys(u1, "note", ""), "")
	a.want(a.do(u1, "save", `{"atomic":true,"records":[{"_id":"note/a","title":"x"},{"_id":"note/b"}]}`), `{"_id":"note/a",…}`+"\n"+`{"_id":"note/b",…}`)
	a.want(a.do(u1, "save", `{"atomic":true,"records":[{"_id":"note/c"},{"_id":"nope"},{"_id":"note/d","x":{"$type":"?"}}]}`), `error 108 records`)
	a.want(a.do(u1, "save", `{"atomic":true,"records":[{"_id":"note/theirs","title":"x"}]}`), `error 115`)
	a.want(a.keys(u1, "note", ""), "a b")
	a.want(a.do(u1, "delete", `{"atomic":true,"ids":["note/a","note/theirs"]}`), `error 115`)
	a.want(a.do(u1, "delete", `{"atomic":true,"ids":["note/a","note/zz"]}`), `error 115`)
	a.want(a.keys(u1, "note", ""), "a b")
	a.want(a.do(u1, "delete", `{"atomic":true,"ids":["note/a","note/b"]}`), `{"_id":"note/a","_type":"record"}`+"\n"+`{"_id":"note/b","_type":"record"}`)
}

func TestSave_GoldenA6SchemaConflict(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.do(u1, "save", `{"records":[{"_id":"note/1","title":"x"}]}`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/2","title":"y"},{"_id":"note/3","title":7}]}`), `error 114`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/2","fresh":"y"},{"_id":"note/3","fresh":true}]}`), `error 114`)
	a.want(a.do(u1, "save", `{"records":[{"_id":"note/2","cat":{"$type":"ref","$id":"nowhere/1"}}]}`), `error 114`)
	a.want(a.keys(u1, "note", ""), "1")
}
