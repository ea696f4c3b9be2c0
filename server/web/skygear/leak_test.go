package skygear_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// Two worlds differ only in what U1 keeps to itself: records with an empty list, a field that rules
// close, private records, an e-mail address, friends; the second one has some records more. Whatever
// somebody else asks, both must answer the same.

// secrets are the values of one world.
type secrets struct{ text, number, boolean, date, tags, friend, more string }

var worlds = [2]secrets{
	{`"alpha"`, `1`, `true`, `{"$type":"date","$date":"2001-01-01T00:00:00Z"}`, `["alpha"]`, "U3", ""},
	{
		`"omega"`, `2`, `false`, `{"$type":"date","$date":"2002-02-02T00:00:00Z"}`, `{"omega":2}`, "U4",
		`{"_id":"secret/m","_access":[],"text":"alpha"},{"_id":"note/m2","_access":[{"level":"write","user_id":"U1"}],"title":"alpha"},{"_id":"pointer/m","_access":[],"to":{"$type":"ref","$id":"secret/open"}}`,
	},
}

func world(t testing.TB, w secrets) *server {
	t.Helper()
	s := newServer(t)
	s.give("A1", "Admin")
	s.give("R1", "staff")
	rule := func(typ, field string) string {
		return `{"record_type":"` + typ + `","record_field":"` + field + `","user_role":"_owner","writable":true,"readable":true,"comparable":true,"discoverable":true}`
	}
	hidden := `"text":` + w.text + `,"number":` + w.number + `,"boolean":` + w.boolean + `,"date":` + w.date + `,"tags":` + w.tags
	s.do("U1", "record:save", `"records":[{"_id":"secret/s","_access":[],`+hidden+`},{"_id":"secret/open","text":"open","number":7}]`)
	s.do("U1", "record:save", `"records":[{"_id":"note/n","title":"note",`+hidden+`},{"_id":"note/m","title":"other","text":"open","number":7}]`)
	s.do("U1", "record:save", `"records":[{"_id":"pointer/p","to":{"$type":"ref","$id":"secret/s"},"note":{"$type":"ref","$id":"note/n"}},
		{"_id":"pointer/q","to":{"$type":"ref","$id":"secret/open"},"note":{"$type":"ref","$id":"note/m"}}]`)
	s.do("U1", "record:save", `"database_id":"_private","records":[{"_id":"note/p","title":"private",`+hidden+`}]`)
	if w.more != "" {
		s.do("U1", "record:save", `"records":[`+w.more+`]`)
		s.do("U1", "record:save", `"database_id":"_private","records":[`+strings.NewReplacer(`m2"`, `p2"`, `/m"`, `/p2"`).Replace(w.more)+`]`)
	}
	s.do("U1", "record:save", `"records":[{"_id":"user/U1","email":`+w.text+`}]`)
	s.do("U2", "record:save", `"records":[{"_id":"user/U2","email":"u2"}]`)
	s.do("U3", "record:save", `"records":[{"_id":"user/U3"}]`)
	s.do("U4", "record:save", `"records":[{"_id":"user/U4"}]`)
	s.do("U1", "relation:add", `"name":"friend","targets":["`+w.friend+`"]`)
	s.do("A1", "schema:field_access:update", `"access":[`+strings.Join([]string{
		rule("note", "text"), rule("note", "number"), rule("note", "boolean"), rule("note", "date"), rule("note", "tags"), rule("user", "email"),
	}, ",")+`]`)
	return s
}

// paths are the key paths that somebody may try on each type.
var paths = map[string][]string{
	"secret":  {"text", "number", "boolean", "date", "tags", "_id", "_owner", "_created_at"},
	"note":    {"title", "text", "number", "boolean", "date", "tags", "_id", "_access"},
	"pointer": {"to", "note", "to.text", "to.number", "to.boolean", "to.date", "to.tags", "to._id", "note.text", "note.number", "note.title", "note._owner"},
	"user":    {"email", "username", "_id", "_updated_at"},
}

var guesses = []string{
	`"alpha"`, `"omega"`, `"a%"`, `"%a"`, `1`, `2`, `1.5`, `true`, `false`, `null`, `["alpha","x"]`, `[1,7]`, `[true]`, `"U1"`,
	`{"$type":"date","$date":"2001-01-01T00:00:00Z"}`, `{"$type":"date","$date":"2001-06-01T00:00:00Z"}`, `{"$type":"ref","$id":"secret/s"}`,
}

// guesser makes requests out of a number.
type guesser struct{ *rand.Rand }

func (g guesser) of(list ...string) string { return list[g.IntN(len(list))] }

func (g guesser) operand(typ string) string {
	if g.IntN(2) == 0 {
		return g.of(guesses...)
	}
	return key(g.of(paths[typ]...))
}

func (g guesser) predicate(typ string, depth int) string {
	switch n := g.IntN(8); {
	case n == 0 && depth > 0:
		return `["not",` + g.predicate(typ, depth-1) + `]`
	case n <= 2 && depth > 0:
		return `["` + g.of("and", "or") + `",` + g.predicate(typ, depth-1) + `,` + g.predicate(typ, depth-1) + `]`
	case n == 3:
		return `["func","userRelation",` + key(g.of("_owner", "_id", "to._id", "_created_by")) + `,{"$type":"relation","$name":"_friend","$direction":"` + g.of("outward", "inward", "mutual") + `"}]`
	}
	return `["` + g.of("eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "in", "in", "eq") + `",` + key(g.of(paths[typ]...)) + `,` + g.operand(typ) + `]`
}

// request returns an action and its parameters.
func (g guesser) request() (action, params string) {
	typ := g.of("secret", "note", "pointer", "user")
	switch g.IntN(12) {
	case 0:
		return "record:fetch", `"ids":["secret/s","note/n","note/p","pointer/p","user/U1"]`
	case 1: // to write without being told apart; unique fields would tell by their nature
		return "record:save", `"atomic":` + g.of("true", "false") + `,"records":[{"_id":"` + g.of("secret/s", "note/n", "note/p") + `","` + g.of("text", "number", "boolean", "date", "tags") + `":` + g.of(guesses[:10]...) + `}]`
	case 2:
		return "record:delete", `"atomic":` + g.of("true", "false") + `,"ids":["` + g.of("secret/s", "note/p") + `"]`
	case 3:
		return "relation:query", `"name":"friend","direction":"` + g.of("outward", "inward", "mutual") + `"`
	}
	params = `"record_type":"` + typ + `","count":` + g.of("true", "false")
	if g.IntN(4) > 0 {
		params += `,"predicate":` + g.predicate(typ, 3)
	}
	if g.IntN(2) == 0 {
		params += `,"sort":[[` + key(g.of(paths[typ]...)) + `,"` + g.of("asc", "desc") + `"],[` + key("_id") + `,"asc"]]`
	} else {
		params += `,"sort":[[` + key("_id") + `,"asc"]]`
	}
	if g.IntN(3) == 0 {
		params += `,"include":{"x":` + key(g.of(append([]string{"_owner", "_updated_by"}, paths[typ]...)...)) + `}`
	}
	if g.IntN(4) == 0 {
		params += `,"desired_keys":["` + g.of(paths[typ]...) + `"]`
	}
	if g.IntN(4) == 0 {
		params += fmt.Sprintf(`,"limit":%d,"offset":%d`, g.IntN(3), g.IntN(2))
	}
	if g.IntN(6) == 0 {
		params += `,"database_id":"` + g.of("_private", "U1", "_union", "_public") + `"`
	}
	return "record:query", params
}

// meta are the times at which the two worlds were made.
var meta = regexp.MustCompile(`"_(created|updated)_at":"[^"]*"`)

func FuzzNothingLeaks(f *testing.F) {
	for seed := range uint64(30) {
		f.Add(seed)
	}
	a, b := world(f, worlds[0]), world(f, worlds[1])
	f.Fuzz(func(t *testing.T, seed uint64) {
		a.t, b.t = t, t
		g := guesser{rand.New(rand.NewPCG(seed, 7))}
		for range 25 {
			who := g.of("nobody", "U2", "R1")
			action, params := g.request()
			statusA, textA := a.ask(who, action, params)
			statusB, textB := b.ask(who, action, params)
			textA, textB = meta.ReplaceAllString(textA, ""), meta.ReplaceAllString(textB, "")
			if statusA != statusB || textA != textB {
				t.Errorf("%s can tell the worlds apart: %s {%s}\n%d %s\n%d %s", who, action, params, statusA, textA, statusB, textB)
			}
			if statusA == 500 {
				t.Errorf("%s %s {%s}: %s", who, action, params, textA)
			}
		}
	})
}
