package records_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/lambda"
)

func k(path string) string { return `{"$type":"keypath","$val":"` + path + `"}` }

// shop is an app with some beans.
func shop(t *testing.T) *app {
	t.Helper()
	a := newApp(t)
	out := a.do(u1, "save", `{"records":[
		{"_id":"farm/f1","name":"Huila","since":{"$type":"date","$date":"1990-01-01T00:00:00Z"}},
		{"_id":"farm/f2","name":"Yirga","_access":[]},
		{"_id":"bean/a","name":"Aa","price":10,"organic":true,"tags":["washed","kenya"],"at":{"$type":"date","$date":"2024-01-01T00:00:00Z"},"farm":{"$type":"ref","$id":"farm/f1"}},
		{"_id":"bean/b","name":"bb","price":20,"organic":false,"tags":{"washed":1},"at":{"$type":"date","$date":"2024-02-01T00:00:00Z"},"farm":{"$type":"ref","$id":"farm/f2"}},
		{"_id":"bean/c","name":"C_c%","price":30,"tags":[1]},
		{"_id":"bean/d","price":null}]}`)
	if strings.Contains(out, "error") {
		t.Fatal(out)
	}
	return a
}

func TestQuery_Predicates(t *testing.T) {
	t.Parallel()
	a := shop(t)
	date := `{"$type":"date","$date":"2024-01-15T00:00:00Z"}`
	for predicate, want := range map[string]string{
		`[]`:                                                            "a b c d",
		`null`:                                                          "a b c d",
		`["eq",` + k("name") + `,"Aa"]`:                                 "a",
		`["eq","Aa",` + k("name") + `]`:                                 "a",
		`["neq",` + k("name") + `,"Aa"]`:                                "b c",
		`["eq",` + k("name") + `,null]`:                                 "d",
		`["neq",null,` + k("name") + `]`:                                "a b c",
		`["eq",null,null]`:                                              "a b c d",
		`["gt",` + k("price") + `,10]`:                                  "b c",
		`["gte",` + k("price") + `,10]`:                                 "a b c",
		`["lt",` + k("price") + `,20]`:                                  "a",
		`["lte",20,` + k("price") + `]`:                                 "b c",
		`["eq",` + k("organic") + `,true]`:                              "a",
		`["neq",` + k("organic") + `,true]`:                             "b",
		`["gt",` + k("at") + `,` + date + `]`:                           "b",
		`["lt",` + k("at") + `,"2024-01-15T00:00:00+08:00"]`:            "a",
		`["gt",` + k("_created_at") + `,` + date + `]`:                  "a b c d",
		`["eq",` + k("_id") + `,"a"]`:                                   "a",
		`["eq",` + k("_id") + `,{"$type":"ref","$id":"bean/b"}]`:        "b",
		`["eq",` + k("_owner") + `,"U1"]`:                               "a b c d",
		`["eq",` + k("_owner_id") + `,{"$type":"ref","$id":"user/U1"}]`: "a b c d",
		`["eq",` + k("_created_by") + `,"U2"]`:                          "",
		`["eq",` + k("farm") + `,{"$type":"ref","$id":"farm/f1"}]`:      "a",
		`["eq",` + k("farm.name") + `,"Yirga"]`:                         "b",
		`["gt",` + k("farm.since") + `,{"$type":"date","$date":"1980-01-01T00:00:00Z"}]`:             "a",
		`["eq",` + k("farm._id") + `,` + k("farm") + `]`:                                             "a b",
		`["like",` + k("name") + `,"A%"]`:                                                            "a",
		`["like",` + k("name") + `,"b"]`:                                                             "",
		`["ilike",` + k("name") + `,"B_"]`:                                                           "b",
		`["like",` + k("name") + `,"C\\_c\\%"]`:                                                      "c",
		`["in",` + k("name") + `,["Aa","bb",null]]`:                                                  "a b",
		`["in",` + k("name") + `,[]]`:                                                                "",
		`["in",` + k("price") + `,[10,30]]`:                                                          "a c",
		`["in",` + k("organic") + `,[true]]`:                                                         "a",
		`["in",` + k("at") + `,[{"$type":"date","$date":"2024-01-01T00:00:00Z"}]]`:                   "a",
		`["in",` + k("farm") + `,[{"$type":"ref","$id":"farm/f1"},{"$type":"ref","$id":"farm/f2"}]]`: "a b",
		`["in",` + k("_id") + `,["a","zz"]]`:                                                         "a",
		`["in","washed",` + k("tags") + `]`:                                                          "a b",
		`["not",["in","washed",` + k("tags") + `]]`:                                                  "c d",
		`["and",["gt",` + k("price") + `,5],["lt",` + k("price") + `,25]]`:                           "a b",
		`["or",["eq",` + k("price") + `,10],["eq",` + k("price") + `,30]]`:                           "a c",
		`["not",["eq",` + k("price") + `,10]]`:                                                       "b c",
		`["not",["eq",` + k("price") + `,10],["eq",1,2]]`:                                            "b c",
		`["and",["eq",` + k("price") + `,10]]`:                                                       "a",
		`["eq",1,1]`:                                                                                 "a b c d",
		`["lt",2,1]`:                                                                                 "",
		`["eq","a",1]`:                                                                               "",
		// B16: text and numbers never match.
		`["eq",` + k("name") + `,5]`:                                      "",
		`["eq",` + k("price") + `,"10"]`:                                  "",
		`["lt",` + k("name") + `,` + k("price") + `]`:                     "",
		`["in",` + k("name") + `,[5,"Aa"]]`:                               "a",
		`["or",["eq",` + k("name") + `,5],["eq",` + k("name") + `,"Aa"]]`: "a",
		`["eq",` + k("name") + `,"'; DROP TABLE bean --"]`:                "",
	} {
		if got := a.keys(u1, "bean", `"predicate":`+predicate); got != want {
			t.Errorf("%s: got %q, want %q", predicate, got, want)
		}
	}
}

func TestQuery_Refusals(t *testing.T) {
	t.Parallel()
	a := shop(t)
	deep := strings.Repeat(`["not",`, 150) + `["eq",1,1]` + strings.Repeat(`]`, 150)
	const shape, path, no = "error 108 [predicate]", "error 120", "error 111"
	for rest, want := range map[string]string{
		`"predicate":"x"`: shape, `"predicate":{}`: shape, `"predicate":7`: shape,
		`"predicate":["eq"]`: shape, `"predicate":["eq",1]`: shape, `"predicate":["eq",1,2,3]`: shape,
		`"predicate":["xor",["eq",1,1],["eq",1,1]]`: shape, `"predicate":[7,1,1]`: shape,
		`"predicate":["and",7]`: shape, `"predicate":["and"]`: shape, `"predicate":["not",[]]`: shape,
		`"predicate":["func","nothing",` + k("name") + `]`:                                                                 shape,
		`"predicate":` + deep:                                                                                              shape,
		`"predicate":["eq",["func","nothing",` + k("name") + `],1]`:                                                        shape,
		`"predicate":["eq",` + k("name") + `,{"$type":"date","$date":""}]`:                                                 shape,
		`"predicate":["eq",` + k("name") + `,true]`:                                                                        shape,
		`"predicate":["eq",` + k("organic") + `,1]`:                                                                        shape,
		`"predicate":["eq",` + k("at") + `,"yesterday"]`:                                                                   shape,
		`"predicate":["eq",` + k("name") + `,"a\u0000"]`:                                                                   shape,
		`"predicate":["gt",` + k("price") + `,null]`:                                                                       shape,
		`"predicate":["eq",` + k("price") + `,9007199254740993]`:                                                           shape,
		`"predicate":["in",` + k("price") + `,[` + k("name") + `]]`:                                                        shape,
		`"predicate":["like",` + k("name") + `,true]`:                                                                      shape,
		`"predicate":["eq",` + k("name") + `,` + k("organic") + `]`:                                                        shape,
		`"predicate":["eq",` + k("nothing") + `,1]`:                                                                        path,
		`"predicate":["eq",` + k("name.x") + `,1]`:                                                                         path,
		`"predicate":["eq",` + k("farm.nothing") + `,1]`:                                                                   path,
		`"predicate":["eq",` + k("farm.name.x") + `,1]`:                                                                    path,
		`"predicate":["in",1,` + k("name") + `]`:                                                                           path,
		`"predicate":["in",` + k("name") + `,"x"]`:                                                                         path,
		`"predicate":["eq",` + k("tags") + `,[1]]`:                                                                         no,
		`"predicate":["eq",` + k("tags") + `,{"a":1}]`:                                                                     no,
		`"predicate":["eq",` + k("_access") + `,"x"]`:                                                                      no,
		`"predicate":["func","userRelation",` + k("_owner") + `,{"$type":"relation","$name":"_auth"}]`:                     no,
		`"predicate":["func","userRelation",` + k("_owner") + `,{"$type":"relation"}]`:                                     no,
		`"predicate":["func","userRelation",` + k("_owner") + `]`:                                                          shape,
		`"predicate":["func","userRelation","_owner",{"$type":"relation","$name":"_friend"}]`:                              shape,
		`"predicate":["func","userRelation",` + k("_owner") + `,"_friend"]`:                                                shape,
		`"predicate":["func","userRelation",` + k("_owner") + `,{"$type":"relation","$name":"_friend","$direction":"up"}]`: shape,
		`"predicate":["func","userRelation",` + k("price") + `,{"$type":"relation","$name":"_friend"}]`:                    path,
		`"predicate":["func","userRelation",` + k("nothing") + `,{"$type":"relation","$name":"_friend"}]`:                  path,
		`"predicate":["func","distance",` + k("name") + `,1]`:                                                              no,
		`"sort":"x"`: "error 108 [sort]", `"sort":[["x"]]`: "error 108 [sort]", `"sort":[[` + k("name") + `,"up"]]`: "error 108 [sort]",
		`"sort":[["name","asc"]]`:               "error 108 [sort]",
		`"sort":[[` + k("nothing") + `,"asc"]]`: path,
		`"desired_keys":"x"`:                    "error 108 [desired_keys]",
		`"desired_keys":[7]`:                    "error 108 [desired_keys]",
		`"desired_keys":["nothing"]`:            path,
		`"include":{"x":` + k("name") + `}`:     path,
		`"include":{"x":` + k("nothing") + `}`:  path,
		`"include":{"x":"farm"}`:                "error 108 [include]",
		`"include":[]`:                          "error 108 [include]",
		`"limit":-1`:                            "error 108 [limit]",
		`"limit":"x"`:                           "error 108 [limit]",
		`"offset":-1`:                           "error 108 [offset]",
		`"offset":1.5`:                          "error 108 [offset]",
	} {
		if got := a.do(u1, "query", `{"record_type":"bean",`+rest+`}`); got != want {
			t.Errorf("%s: got %q, want %q", rest, got, want)
		}
	}
	a.want(a.do(u1, "query", `{}`), "error 108 [record_type]")
	a.want(a.do(u1, "query", `{"record_type":7}`), "error 108 [record_type]")
	a.want(a.do(u1, "query", `{"record_type":"_auth"}`), "[]")
}

func TestQuery_TypeWithoutTableT37B9(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.want(a.do(u1, "query", `{"record_type":"nothing","count":true,"predicate":["eq",`+k("x")+`,true],"sort":[[`+k("y")+`,"asc"]],"include":{"z":`+k("z")+`},"desired_keys":["q"]}`), "[] of 0")
	a.want(a.do(u1, "query", `{"record_type":"nothing","predicate":["eq",`+k("a.b.c")+`,1]}`), "error 120")
	a.want(a.do(u1, "query", `{"record_type":"nothing","predicate":["xx",`+k("a")+`,1]}`), "error 108 [predicate]")
	a.want(a.do(u1, "query", `{"record_type":"nothing","sort":[["a","asc"]]}`), "error 108 [sort]")
}

func TestQuery_SortLimitCountT35(t *testing.T) {
	t.Parallel()
	a := shop(t)
	for rest, want := range map[string]string{
		`"sort":[[` + k("price") + `,"desc"]],"predicate":["neq",` + k("price") + `,null]`: "c b a",
		`"sort":[[` + k("organic") + `,"asc"],[` + k("price") + `,"asc"]]`:                 "b a c d",
		`"sort":[[` + k("farm.name") + `,"asc"],[` + k("_id") + `,"desc"]]`:                "a b d c",
		`"sort":[[` + k("_id") + `,"asc"]],"limit":2,"page":3`:                             "a b",
		`"sort":[[` + k("_id") + `,"asc"]],"limit":2,"offset":3`:                           "d",
		`"limit":0`: "",
		`"sort":[[` + k("_id") + `,"asc"]],"offset":2`: "c d",
	} {
		if got := a.keys(u1, "bean", rest); got != want {
			t.Errorf("%s: got %q, want %q", rest, got, want)
		}
	}
	for rest, want := range map[string]string{
		`"limit":1`: "…] of 4", `"limit":0`: "[] of 4", `"limit":5,"offset":9`: "[] of 4",
		`"predicate":["eq",1,2]`: "[] of 0", `"predicate":["gt",` + k("farm.since") + `,{"$type":"date","$date":"1980-01-01T00:00:00Z"}],"offset":7`: "[] of 1",
	} {
		a.want(a.do(u1, "query", `{"record_type":"bean","count":true,`+rest+`}`), want)
	}
}

func TestQuery_DesiredKeys(t *testing.T) {
	t.Parallel()
	a := shop(t)
	only := `"record_type":"bean","predicate":["eq",` + k("_id") + `,"a"],`
	a.want(a.do(u1, "query", `{`+only+`"desired_keys":["price","_id","price"]}`), `[{"_id":"bean/a","_type":"record","_access":null,`+meta+`,"price":10}]`)
	a.want(a.do(u1, "query", `{`+only+`"desired_keys":[]}`), `[{"_id":"bean/a","_type":"record","_access":null,`+meta+`}]`)
	a.want(a.do(u1, "query", `{`+only+`"desired_keys":[],"include":{"f":`+k("farm")+`}}`), `[{"_id":"bean/a",`+`…"_transient":{"f":{"_id":"farm/f1",…}}}]`)
}

func TestQuery_IncludeRespectsAccessAndDatabaseB7(t *testing.T) {
	t.Parallel()
	a := shop(t)
	a.do(u1, "save", `{"records":[{"_id":"user/U1","username":"bob"}]}`)
	a.do(u1, "save", `{"database_id":"_private","records":[{"_id":"farm/p","name":"mine"},{"_id":"bean/p","farm":{"$type":"ref","$id":"farm/p"}},{"_id":"bean/q","farm":{"$type":"ref","$id":"farm/f1"}}]}`)
	include := `"include":{"f":` + k("farm") + `,"o":` + k("_owner") + `},"sort":[[` + k("_id") + `,"asc"]],"desired_keys":[]`
	got := a.do(u2, "query", `{"record_type":"bean",`+include+`}`)
	a.want(got, `[{"_id":"bean/a",…"_transient":{"f":{"_id":"farm/f1",…},"o":{"_id":"user/U1",…}}},{"_id":"bean/b",…"_transient":{"f":null,"o":…}},{"_id":"bean/c",…"_transient":{"f":null,…`)
	got = a.do(u1, "query", `{"record_type":"bean",`+include+`}`)
	a.want(got, `…{"_id":"bean/b",…"_transient":{"f":{"_id":"farm/f2",…`)
	got = a.do(u1, "query", `{"database_id":"_private","record_type":"bean",`+include+`}`)
	a.want(got, `[{"_id":"bean/p",…"_transient":{"f":{"_id":"farm/p",…},"o":null}},{"_id":"bean/q",…"_transient":{"f":null,"o":null}}]`)
}

func TestQuery_Locations(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.needPostGIS()
	geo := func(lat, lng string) string { return `{"$type":"geo","$lat":` + lat + `,"$lng":` + lng + `}` }
	square := `{"$type":"geojson","$val":{"type":"Polygon","coordinates":[[[0,0],[0,10],[10,10],[10,0],[0,0]]]}}`
	a.want(a.do(u1, "save", `{"records":[{"_id":"shop/in","at":`+geo("5.1234567890123", "5")+`,"area":`+square+`},{"_id":"shop/out","at":`+geo("50", "5")+`},{"_id":"shop/bad","area":{"$type":"geojson","$val":{"type":"Nonsense"}}}]}`),
		`…"area":{"$type":"geojson","$val":{"type":"Polygon",…}},"at":{"$type":"geo","$lat":5.1234567890123,"$lng":5}}
…"at":{"$type":"geo","$lat":50,"$lng":5}}
{"_id":"shop/bad","_type":"error","name":"invalid","code":108,…`)
	near := `["func","distance",` + k("at") + `,` + geo("5", "5") + `]`
	for rest, want := range map[string]string{
		`"predicate":["lt",` + near + `,20000]`:                      "in",
		`"predicate":["gt",20000,` + near + `]`:                      "in",
		`"predicate":["lt",` + near + `,"x"]`:                        "",
		`"sort":[[` + near + `,"desc"]]`:                             "out in",
		`"predicate":["in",` + k("at") + `,` + square + `]`:          "in",
		`"predicate":["in",` + geo("1", "1") + `,` + k("area") + `]`: "in",
		`"predicate":["eq",` + k("at") + `,` + geo("1", "1") + `]`:   "error 111",
		`"predicate":["lt",["func","distance",` + k("at") + `,5],1]`: "error 108 [predicate]",
	} {
		if got := a.keys(u1, "shop", rest); got != want {
			t.Errorf("%s: got %q, want %q", rest, got, want)
		}
	}
	a.want(a.do(u1, "query", `{"record_type":"shop","count":true,"limit":0,"sort":[[`+near+`,"asc"]],"include":{"d":`+near+`}}`), "[] of 2")
	a.want(a.do(u1, "save", `{"records":[{"_id":"shop/in","area":`+geo("1", "1")+`}]}`), "error 114")
}

func FuzzPredicate(f *testing.F) {
	for _, seed := range []string{
		`["eq",{"$type":"keypath","$val":"name"},"Aa"]`, `["in",{"$type":"keypath","$val":"price"},[1,2]]`, `["and",["eq",1,1],["not",["eq","a",null]]]`,
		`["like",{"$val":"farm.name"},"%"]`, `["in","x",{"$val":"tags"}]`, `["func","distance",{"$val":"at"},{"$type":"geo","$lat":1,"$lng":2}]`,
		`["eq",{"$type":"date","$date":"2024-01-01T00:00:00Z"},{"$val":"at"}]`, `["lt",1e999,{"$val":"price"}]`, `[["eq"]]`, `["eq",{"$val":"_access"},[]]`,
		`["gt",{"$val":"tags"},"a"]`, `["eq",{"$val":"organic"},{"$val":"organic"}]`, `["eq",{"$type":"seq"},{"$type":"unknown"}]`, `["like","\\","\\"]`,
		`["in",{"$val":"_created_at"},["2024-01-01T00:00:00Z"]]`, `["eq",{"$type":"asset","$name":"x"},{"$val":"_id"}]`, `["eq",true,true]`,
	} {
		f.Add(seed)
	}
	a := newApp(f)
	a.do(u1, "save", `{"records":[{"_id":"farm/f1","name":"Huila"},{"_id":"bean/a","name":"Aa","price":10,"organic":true,"tags":["w"],"at":{"$type":"date","$date":"2024-01-01T00:00:00Z"},"farm":{"$type":"ref","$id":"farm/f1"}}]}`)
	f.Fuzz(func(t *testing.T, predicate string) {
		if !json.Valid([]byte(predicate)) {
			return
		}
		q, err := records.DecodeQuery(records.Params{"record_type": json.RawMessage(`"bean"`), "count": json.RawMessage("true"), "predicate": json.RawMessage(predicate)})
		if err == nil {
			_, err = a.svc.Query(acl.WithActor(t.Context(), u1), q)
		}
		if e := fault.From(err); e != nil && e.Code != fault.Invalid && e.Code != fault.QueryInvalid && e.Code != fault.NotSupported {
			t.Errorf("%s: %v", predicate, err)
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, seed := range []string{
		`{"_id":"note/1","a":"x","b":1,"c":true,"d":null,"e":[1],"f":{"g":{}}}`, `{"_id":"note/1/2","_access":[{"level":"read","public":true}]}`,
		`{"_id":"note/1","d":{"$type":"date","$date":"2024-01-01T00:00:00+08:00"},"g":{"$type":"geo","$lat":1.5,"$lng":-2e-9}}`,
		`{"_id":"note/1","r":{"$type":"ref","$id":"a/b/c"},"a":{"$type":"asset","$name":"x"},"s":{"$type":"seq"},"u":{"$type":"unknown"},"k":{"$type":"keypath","$val":"v"}}`,
		`{"_id":"note/1","j":{"$type":"geojson","$val":{"type":"Point","coordinates":[1,2]}}}`, ` { "_id" : "note/\u00e9\ud83d\ude00" , "x" : "\"\\\/\b\f\n\r\t" , "x" : 9007199254740993 } `,
		`{"_id":"note/1","n":1e400,"m":-0}`, "{\"_id\":\"note/\xff\",\"\xff\":\"\xfe\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := records.DecodeRecord(raw)
		if err != nil {
			if !fault.HasCode(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		out := records.AppendJSON(nil, r)
		again, err := records.DecodeRecord(out)
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		r.Fields = present(r.Fields)
		if diff := cmp.Diff(r, again); diff != "" {
			t.Error(diff)
		}
	})
}

// present drops what the wire does not show or shows in another way.
func present(fields []records.Field) []records.Field {
	var kept []records.Field
	for _, f := range fields {
		if f.Value != nil {
			kept = append(kept, f)
		}
	}
	return kept
}

func TestForFunctions(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	ctx := t.Context()
	r := records.ForFunctions(a.svc, nobody)
	at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	saved, err := r.Save(ctx, lambda.Record{ID: "farm/1"}, lambda.Record{ID: "bean/1", Access: []lambda.AccessEntry{{Level: "read", User: "U1"}}, Fields: map[string]any{
		"s": "x", "n": 1.5, "i": int64(7), "b": true, "at": at, "j": json.RawMessage(`{"a":1}`), "l": []string{"x"}, "farm": lambda.Reference("farm/1"), "none": nil, "_ownerID": "U9",
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := lambda.Record{ID: "bean/1", Owner: "_service", Access: []lambda.AccessEntry{{Level: "read", User: "U1"}}, CreatedAt: saved[1].CreatedAt, UpdatedAt: saved[1].UpdatedAt, Fields: map[string]any{
		"s": "x", "n": 1.5, "i": 7.0, "b": true, "at": at, "j": json.RawMessage(`{"a": 1}`), "l": json.RawMessage(`["x"]`), "farm": lambda.Reference("farm/1"),
	}}
	if diff := cmp.Diff(want, saved[1]); diff != "" {
		t.Error(diff)
	}
	got, err := r.Query(ctx, lambda.Query{
		Type: "bean", Where: []any{"and", []any{"eq", lambda.Key("farm"), lambda.Reference("farm/1")}, []any{"gte", lambda.Key("i"), 7}, []any{"lte", lambda.Key("at"), at}},
		Sort: []lambda.Sort{{Field: "s", Descending: true}}, Limit: 5,
	})
	if err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := r.AsCaller().Fetch(ctx, "bean/1"); !fault.HasCode(err, fault.Denied) {
		t.Errorf("an anonymous caller reads: %v", err)
	}
	if _, err := r.AsCaller().Save(ctx, lambda.Record{ID: "bean/2"}); !fault.HasCode(err, fault.Unauthenticated) {
		t.Errorf("an anonymous caller writes: %v", err)
	}
	if _, err := records.ForFunctions(a.svc, u1).AsCaller().Fetch(ctx, "bean/1"); err != nil {
		t.Error(err)
	}
	if _, err := records.ForFunctions(a.svc, u1).AsCaller().Save(ctx, lambda.Record{ID: "bean/1"}); !fault.HasCode(err, fault.Denied) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Save(ctx, lambda.Record{ID: "bean/3", Fields: map[string]any{"s": "ok"}}, lambda.Record{ID: "bean/4", Fields: map[string]any{"farm": lambda.Reference("farm/none")}}); !fault.HasCode(err, fault.AtomicFailure) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Fetch(ctx, "bean/3"); !fault.HasCode(err, fault.NotFound) {
		t.Errorf("half of an atomic save is there: %v", err)
	}
	for _, bad := range []lambda.Record{{ID: "bean"}, {ID: "bean/5", Fields: map[string]any{"x": make(chan int)}}, {ID: "bean/5", Fields: map[string]any{"s": "a\x00"}}} {
		if _, err := r.Save(ctx, bad); !fault.HasCode(err, fault.Invalid) {
			t.Errorf("%v: got %v", bad, err)
		}
	}
	if err := r.Delete(ctx, "bean/1", "farm/1"); err != nil {
		t.Error(err)
	}
	if err := r.Delete(ctx, "bean/1"); !fault.HasCode(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
}
