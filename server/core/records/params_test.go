package records_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/core/records"
)

// FuzzParams holds the reading of a body beside encoding/json's, and all readers of parameters against
// whatever it lets through.
func FuzzParams(f *testing.F) {
	for _, seed := range []string{
		"", " \n", "{}", "null", "[]", "1", `"x"`, "{", `{"a"}`, `{"a":1,}`, `{"a":1} {"b":2}`, `{"a":1}]`, ` { "a" : [ 1 , 2 ] , "b" : "\u0000" } `,
		`{"a":1,"a":{"b":"}"}}`, `{"\u0061":1,"a":2}`, "{\"\xff\":\"\xfe\"}", `{"records":{}}`, `{"records":"]"}`, `{"ids":[1]}`,
		`{"action":"record:save","records":[{"_id":"note/1","x":1},null,[],{"_id":"note/2"}],"atomic":true}`,
		`{"ids":["note/1","x"],"database_id":"_private"}`, `{"record_type":"note","predicate":["eq",1,2],"limit":5,"offset":-1,"sort":[],"include":{},"desired_keys":["a"]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := records.DecodeParams(body)
		want := records.Params{}
		wantOK := len(bytes.TrimSpace(body)) == 0
		if !wantOK {
			wantOK = json.NewDecoder(bytes.NewReader(body)).Decode(&want) == nil && want != nil
		}
		if ok != wantOK {
			t.Fatalf("%q: %v, want %v", body, ok, wantOK)
		}
		if !ok {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", body, diff)
		}
		_, _ = records.DecodeSave(got)
		_, _ = records.DecodeIDs(got)
		_, _ = records.DecodeQuery(got)
	})
}
