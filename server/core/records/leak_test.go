package records_test

import (
	"strings"
	"testing"
)

// A reference may be pointed at any record by whoever knows its id. What the actor may not read counts as
// missing on the other side, so that searching, counting and sorting cannot spell it out.
func TestQuery_AKeyPathDoesNotReadWhatTheActorMayNot(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	out := a.do(u1, "save", `{"records":[
		{"_id":"secret/s","_access":[],"email":"ada@example.com"},
		{"_id":"open/o","email":"bob@example.com"},
		{"_id":"pointer/p","_access":[{"public":true,"level":"read"}],"to":{"$type":"ref","$id":"secret/s"},"also":{"$type":"ref","$id":"open/o"}}]}`)
	if strings.Contains(out, "error") {
		t.Fatal(out)
	}
	query := func(predicate string) string {
		return a.do(u2, "query", `{"record_type":"pointer","count":true,"predicate":`+predicate+`}`)
	}
	for predicate, found := range map[string]bool{
		`["like",` + k("to.email") + `,"ada%"]`:                                            false,
		`["eq",` + k("to.email") + `,"ada@example.com"]`:                                   false,
		`["not",["eq",` + k("to.email") + `,null]]`:                                        false,
		`["eq",` + k("to.email") + `,null]`:                                                true, // missing for this actor
		`["like",` + k("also.email") + `,"bob%"]`:                                          true,
		`["or",["like",` + k("to.email") + `,"a%"],["like",` + k("also.email") + `,"a%"]]`: false,
	} {
		got := query(predicate)
		if strings.Contains(got, `"_id":"pointer/p"`) != found || strings.HasSuffix(got, " of 1") != found {
			t.Errorf("%s: %s", predicate, got)
		}
	}
	if got := a.do(u1, "query", `{"record_type":"pointer","predicate":["like",`+k("to.email")+`,"ada%"],"sort":[[`+k("to.email")+`,"asc"]],"count":true,"limit":1,"offset":5}`); !strings.HasSuffix(got, " of 1") {
		t.Errorf("the owner searches by it: %s", got)
	}
}

// A client that asks for atomic in another word must not get a partial save.
func TestDecode_FlagsAreTrueOrFalse(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, body := range []string{
		`{"atomic":"true","records":[{"_id":"note/1"}]}`, `{"atomic":1,"records":[{"_id":"note/1"}]}`, `{"atomic":[],"records":[{"_id":"note/1"}]}`,
	} {
		if out := a.do(u1, "save", body); !strings.Contains(out, "atomic") || strings.Contains(out, `"_type"`) {
			t.Errorf("%s: %s", body, out)
		}
	}
	if out := a.do(u1, "query", `{"record_type":"note","count":"yes"}`); !strings.Contains(out, "error 108 [count]") {
		t.Errorf("count: %s", out)
	}
}
