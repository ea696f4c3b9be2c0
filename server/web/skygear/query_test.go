package skygear_test

import "testing"

// beans is a server with some records of every kind of field.
func beans(t *testing.T) *server {
	t.Helper()
	s := newServer(t)
	s.do("U1", "record:save", `"records":[
		{"_id":"farm/f1","name":"Huila"},{"_id":"farm/f2","name":"Yirga"},
		{"_id":"bean/a","name":"Aa","price":10,"organic":true,"tags":["washed"],"at":{"$type":"date","$date":"2024-01-01T00:00:00Z"},"farm":{"$type":"ref","$id":"farm/f1"}},
		{"_id":"bean/b","name":"bb","price":20,"organic":false,"tags":{"washed":1},"at":{"$type":"date","$date":"2024-02-01T00:00:00Z"},"farm":{"$type":"ref","$id":"farm/f2"}},
		{"_id":"bean/c","name":"C_c%","price":30},
		{"_id":"bean/d"}]`)
	return s
}

// The rows of §3.7 that find something.
func TestQuery_Rows(t *testing.T) {
	t.Parallel()
	s := beans(t)
	date := `{"$type":"date","$date":"2024-01-15T00:00:00Z"}`
	for _, c := range []struct{ predicate, want string }{
		{`null`, "a b c d"},
		{`[]`, "a b c d"},
		{`["eq",` + key("name") + `,"Aa"]`, "a"},
		{`["eq","Aa",` + key("name") + `]`, "a"},
		{`["eq",{"$val":"name"},"Aa"]`, "a"}, // any object with a text $val is a key path
		{`["neq",` + key("name") + `,"Aa"]`, "b c"},
		{`["eq",` + key("name") + `,null]`, "d"},
		{`["eq",null,` + key("name") + `]`, "d"},
		{`["neq",` + key("name") + `,null]`, "a b c"},
		{`["gt",` + key("price") + `,10]`, "b c"},
		{`["gte",` + key("price") + `,10]`, "a b c"},
		{`["lt",` + key("price") + `,20]`, "a"},
		{`["lte",` + key("price") + `,20]`, "a b"},
		{`["gt",20,` + key("price") + `]`, "a"},
		{`["eq",` + key("organic") + `,false]`, "b"},
		{`["gt",` + key("at") + `,` + date + `]`, "b"},
		{`["like",` + key("name") + `,"_a"]`, "a"},
		{`["like",` + key("name") + `,"B%"]`, ""},
		{`["ilike",` + key("name") + `,"B%"]`, "b"},
		{`["like",` + key("name") + `,"%\\%"]`, "c"},
		{`["in",` + key("name") + `,["Aa","bb"]]`, "a b"},
		{`["in",` + key("price") + `,[10,30]]`, "a c"},
		{`["in",` + key("price") + `,[]]`, ""},
		{`["in","washed",` + key("tags") + `]`, "a b"},
		{`["and",["gt",` + key("price") + `,5],["lt",` + key("price") + `,25]]`, "a b"},
		{`["or",["eq",` + key("price") + `,10],["eq",` + key("price") + `,30]]`, "a c"},
		{`["not",["eq",` + key("price") + `,10]]`, "b c"},
		{`["not",["eq",` + key("price") + `,10],["eq",1,1]]`, "b c"}, // the second child is not looked at
		{`["eq",` + key("_id") + `,"a"]`, "a"},
		{`["eq",` + key("_id") + `,{"$type":"ref","$id":"bean/b"}]`, "b"},
		{`["in",` + key("_id") + `,["a","zz"]]`, "a"},
		{`["eq",` + key("farm") + `,{"$type":"ref","$id":"farm/f1"}]`, "a"},
		{`["eq",` + key("farm") + `,"f1"]`, "a"},
		{`["eq",` + key("farm.name") + `,"Yirga"]`, "b"},
		{`["in",` + key("farm._id") + `,["f1"]]`, "a"},
		// B16: text never equals a number, and that is no error.
		{`["eq",` + key("name") + `,5]`, ""},
		{`["eq",` + key("price") + `,"10"]`, ""},
		{`["lt",` + key("price") + `,` + key("name") + `]`, ""},
		{`["eq",` + key("farm.name") + `,5]`, ""},
		{`["or",["eq",` + key("farm.name") + `,5],["eq",` + key("farm.name") + `,"Huila"]]`, "a"},
		{`["or",["eq",` + key("name") + `,5],["eq",` + key("price") + `,10]]`, "a"},
	} {
		s.found("U1", "bean", `"predicate":`+c.predicate, c.want)
	}
	for params, want := range map[string]string{
		`"sort":[[` + key("price") + `,"desc"]],"predicate":["neq",` + key("price") + `,null]`: "c b a",
		`"sort":[[` + key("farm.name") + `,"desc"],[` + key("_id") + `,"desc"]]`:               "d c b a",
		`"sort":[],"predicate":["eq",` + key("_id") + `,"a"]`:                                  "a",
	} {
		s.found("U1", "bean", params, want)
	}
	meta := `"_type":"record","_access":null,"_ownerID":"U1","_created_at":"…","_created_by":"U1","_updated_at":"…","_updated_by":"U1"`
	only := `"record_type":"bean","predicate":["eq",` + key("_id") + `,"a"]`
	s.want("U1", "record:query", only+`,"desired_keys":["price","_id"]`, 200, results(`{"_id":"bean/a",`+meta+`,"price":10}`))
	s.want("U1", "record:query", only+`,"desired_keys":[]`, 200, results(`{"_id":"bean/a",`+meta+`}`))
	s.want("U1", "record:query", only+`,"desired_keys":null,"count":true,"offset":5`, 200, `{"info":{"count":1},"result":[]}`)
}

// The rows of §3.7 that are refused, and how. None of them is an error of the server.
func TestQuery_Refusals(t *testing.T) {
	t.Parallel()
	s := beans(t)
	shape := arguments("predicate")
	path, no := errorOf("RecordQueryInvalid", 120, ""), errorOf("NotSupported", 111, "")
	for _, c := range []struct {
		params string
		status int
		want   string
	}{
		{`"predicate":"x"`, 400, shape},
		{`"predicate":{}`, 400, shape},
		{`"predicate":7`, 400, shape},
		{`"predicate":["eq"]`, 400, shape},
		{`"predicate":["eq",1]`, 400, shape},
		{`"predicate":["eq",1,2,3]`, 400, shape},
		{`"predicate":["xor",["eq",1,1],["eq",1,1]]`, 400, shape},
		{`"predicate":[7,1,1]`, 400, shape},
		{`"predicate":["and",7]`, 400, shape},
		{`"predicate":["and"]`, 400, shape},
		{`"predicate":["not",[]]`, 400, shape},
		{`"predicate":["func","nonsense",` + key("name") + `]`, 400, shape},
		{`"predicate":["func","distance",` + key("name") + `,1]`, 501, no},
		{`"predicate":["eq",` + key("name") + `,true]`, 400, shape},
		{`"predicate":["eq",` + key("organic") + `,"true"]`, 400, shape},
		{`"predicate":["eq",` + key("at") + `,"yesterday"]`, 400, shape},
		{`"predicate":["eq",` + key("at") + `,{"$type":"date","$date":"0000-01-01T00:00:00Z"}]`, 400, shape},
		{`"predicate":["eq",` + key("name") + `,{"$type":"date","$date":"x"}]`, 400, shape},
		{`"predicate":["eq",` + key("name") + `,"a\u0000"]`, 400, shape},
		{`"predicate":["like",` + key("name") + `,"\\"]`, 400, shape},
		{`"predicate":["gt",` + key("price") + `,null]`, 400, shape},
		{`"predicate":["eq",{"$type":"keypath","$val":""},1]`, 400, shape},
		{`"predicate":["in",` + key("price") + `,[` + key("name") + `]]`, 400, shape},
		{`"predicate":["eq",` + key("nothing") + `,1]`, 400, path},
		{`"predicate":["eq",` + key("name.x") + `,1]`, 400, path},
		{`"predicate":["eq",` + key("farm.nothing") + `,1]`, 400, path},
		{`"predicate":["eq",` + key("farm.name.x") + `,1]`, 400, path},
		{`"predicate":["in",` + key("name") + `,"x"]`, 400, path},
		{`"predicate":["eq",` + key("tags") + `,[1]]`, 501, no},
		{`"predicate":["eq",` + key("tags") + `,{"a":1}]`, 501, no},
		{`"sort":"x"`, 400, arguments("sort")},
		{`"sort":[["x"]]`, 400, arguments("sort")},
		{`"sort":[[` + key("name") + `,"up"]]`, 400, arguments("sort")},
		{`"sort":[["name","asc"]]`, 400, arguments("sort")},
		{`"sort":[[` + key("nothing") + `,"asc"]]`, 400, path},
		{`"desired_keys":"x"`, 400, arguments("desired_keys")},
		{`"desired_keys":[7]`, 400, arguments("desired_keys")},
		{`"desired_keys":["nothing"]`, 400, path},
		{`"include":[]`, 400, arguments("include")},
		{`"include":{"x":"farm"}`, 400, arguments("include")},
		{`"include":{"x":` + key("name") + `}`, 400, path},
		{`"include":{"x":` + key("nothing") + `}`, 400, path},
		{`"limit":-1`, 400, arguments("limit")},
		{`"limit":"x"`, 400, arguments("limit")},
		{`"offset":-1`, 400, arguments("offset")}, // B10
		{`"count":"x"`, 400, arguments("count")},
	} {
		s.want("U1", "record:query", `"record_type":"bean",`+c.params, c.status, c.want)
	}
	s.want("U1", "record:query", ``, 400, arguments("record_type"))
	s.want("U1", "record:query", `"record_type":7`, 400, arguments("record_type"))
	s.want("U1", "record:query", `"record_type":"_auth"`, 200, `{"result":[]}`)
}

// B19 and the third meaning of "in". A geometry that PostGIS cannot work with is the caller's mistake in
// a predicate, and in a record it spoils nobody's query.
func TestQuery_Geometries(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.needPostGIS()
	shape := func(text string) string { return `{"$type":"geojson","$val":` + text + `}` }
	square := shape(`{"type":"Polygon","coordinates":[[[0,0],[0,10],[10,10],[10,0],[0,0]]]}`)
	unclosed := shape(`{"type":"Polygon","coordinates":[[[0,0],[1,1],[1,0]]]}`)
	geo := func(lat, lng string) string { return `{"$type":"geo","$lat":` + lat + `,"$lng":` + lng + `}` }
	s.do("U1", "record:save", `"records":[{"_id":"shop/in","at":`+geo("5", "5")+`,"area":`+square+`},{"_id":"shop/out","at":`+geo("50", "5")+`},{"_id":"shop/bad","area":`+unclosed+`}]`)
	s.found("U1", "shop", `"predicate":["in",`+key("at")+`,`+square+`]`, "in")
	s.found("U1", "shop", `"predicate":["in",`+geo("1", "1")+`,`+key("area")+`]`, "in")
	s.found("U1", "shop", `"predicate":["in",`+key("at")+`,`+key("area")+`]`, "in")
	s.found("U1", "shop", `"predicate":["not",["in",`+geo("1", "1")+`,`+key("area")+`]]`, "bad out")
	for _, bad := range []string{`{"type":"Nonsense"}`, `{}`, `{"type":"Point","coordinates":"x"}`} {
		s.want("U1", "record:query", `"record_type":"shop","predicate":["in",`+key("at")+`,`+shape(bad)+`]`, 400, arguments("predicate"))
		s.want("U1", "record:save", `"records":[{"_id":"shop/x","area":`+shape(bad)+`}]`, 200, results(`{"_id":"shop/x","_type":"error","code":108,"…":"…"}`))
	}
	for _, far := range []string{geo("91", "500"), geo("1e308", "-1e308")} {
		s.found("U1", "shop", `"predicate":["lt",["func","distance",`+key("at")+`,`+far+`],1]`, "")
	}
	s.want("U1", "record:query", `"record_type":"shop","predicate":["eq",`+key("at")+`,`+geo("1", "1")+`]`, 501, errorOf("NotSupported", 111, ""))
}
