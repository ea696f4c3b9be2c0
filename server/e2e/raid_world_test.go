package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"crema/server/testkit"
)

// raid is a server that keeps secrets: random words in everything that only some may see. Whoever raids it
// tries every action on every kind of record, and no answer may hold such a word.
type raid struct {
	t       *testing.T
	s       *testkit.Server
	words   map[string]string // what is kept secret: the word
	tokens  map[string]string // of users, by name
	ids     map[string]string
	devices map[string]string
	assets  map[string]string // names, by what they are for
	geo     bool
}

// word makes a secret.
func (r *raid) word(what string) string {
	if r.words[what] == "" {
		r.words[what] = "zq" + strings.ToLower(rand.Text())
	}
	return r.words[what]
}

// ask sends an action as: "nobody" with the client key, "keyless" with nothing, "master", "master as" the
// victim, else a user.
func (r *raid) ask(as, action, params string) reply {
	r.t.Helper()
	body := map[string]any{}
	if err := json.Unmarshal([]byte("{"+params+"}"), &body); err != nil {
		r.t.Fatalf("{%s}: %v", params, err)
	}
	switch as {
	case "keyless":
	case "nobody":
		body["api_key"] = r.s.APIKey
	case "master":
		body["api_key"] = r.s.MasterKey
	default:
		body["api_key"], body["access_token"] = r.s.APIKey, r.tokens[as]
	}
	text, err := json.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return post(r.t, r.s.URL+"/"+strings.ReplaceAll(action, ":", "/"), "", string(text))
}

// do prepares something.
func (r *raid) do(as, action, params string) reply {
	r.t.Helper()
	got := r.ask(as, action, params)
	if got.Status != http.StatusOK || strings.Contains(got.Body, `"error"`) {
		r.t.Fatalf("%s %s {%s}: %+v", as, action, params, got)
	}
	return got
}

func (r *raid) signUp(name, username, profile string) {
	r.t.Helper()
	var a struct {
		Result struct {
			ID    string `json:"user_id"`
			Token string `json:"access_token"`
		}
	}
	got := r.do("nobody", "auth:signup", `"auth_data":{"username":"`+username+`"},"password":"secret","profile":{`+profile+`}`)
	if err := json.Unmarshal([]byte(got.Body), &a); err != nil {
		r.t.Fatal(err)
	}
	r.tokens[name], r.ids[name] = a.Result.Token, a.Result.ID
}

// file uploads a file whose name and content are secret.
func (r *raid) file(what string) string {
	r.t.Helper()
	var a struct {
		Result struct {
			Asset struct {
				Name string `json:"$name"`
			}
			Request struct{ Action string } `json:"post-request"`
		}
	}
	got := r.do("victim", "asset:put", `"filename":"`+r.word(what+"'s name")+`.txt","content-type":"text/plain","content-size":9`)
	if err := json.Unmarshal([]byte(got.Body), &a); err != nil {
		r.t.Fatal(err)
	}
	if got, _ := r.fetch(http.MethodPut, a.Result.Request.Action, r.word(what+"'s content")); got.Status != http.StatusOK {
		r.t.Fatalf("upload: %+v", got)
	}
	r.assets[what] = a.Result.Asset.Name
	return `{"$type":"asset","$name":"` + a.Result.Asset.Name + `"}`
}

// fetch makes a request with the client key and returns what comes back, and its header.
func (r *raid) fetch(method, path, body string) (reply, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.s.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header = http.Header{"X-Skygear-Api-Key": {r.s.APIKey}, "Content-Type": {"text/plain"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{resp.StatusCode, string(text)}, fmt.Sprint(resp.Header)
}

const ownerOnly = `"_access":[]`

// newRaid fills a server. DEV_MODE is off: with it everybody with the client key is a developer (T44).
func newRaid(t *testing.T) *raid {
	t.Helper()
	r := &raid{t: t, words: map[string]string{}, tokens: map[string]string{}, ids: map[string]string{}, devices: map[string]string{}, assets: map[string]string{}}
	r.s = testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test", "DEV_MODE=false")
	r.do("master", "schema:create", `"record_types":{"user":{"fields":[{"name":"phone","type":"string"},{"name":"nick","type":"string"},{"name":"age","type":"number"}]},
		"vault":{"fields":[`+columns+`]},"note":{"fields":[`+columns+`,{"name":"title","type":"string"}]},
		"beacon":{"fields":[]},"pointer":{"fields":[{"name":"to","type":"ref(vault)"},{"name":"note","type":"ref(note)"}]}}`)
	r.geo = strings.Contains(r.ask("master", "schema:create", `"record_types":{"vault":{"fields":[{"name":"place","type":"location"}]},"note":{"fields":[{"name":"place","type":"location"}]}}`).Body, `"place"`)
	r.signUp("victim", r.word("user name"), `"email":"`+r.word("e-mail")+`@example.com","phone":"`+r.word("phone")+`","age":41`)
	r.signUp("hidden", r.word("hidden user's name"), `"nick":"`+r.word("hidden user's nick")+`"`)
	r.signUp("friend", "friend", "")
	r.signUp("mallory", "mallory", `"email":"mallory@example.com"`)
	r.signUp("barred", "barred", "")
	r.signUp("revoked", "revoked", "")
	r.records()
	r.belongings()
	return r
}

const columns = `{"name":"text","type":"string"},{"name":"tags","type":"json"},{"name":"num","type":"number"},{"name":"flag","type":"boolean"},
	{"name":"at","type":"datetime"},{"name":"file","type":"asset"},{"name":"to","type":"ref(beacon)"}`

// values are the fields of columns, full of secrets.
func (r *raid) values(of string) string {
	place := ""
	if r.geo {
		place = `,"place":{"$type":"geo","$lat":10,"$lng":20}`
	}
	return `"text":"` + r.word(of+"'s text") + `","tags":["` + r.word(of+"'s tag") + `",{"deep":"` + r.word(of+"'s deep tag") + `"}],"num":41,"flag":true,
		"at":{"$type":"date","$date":"2001-02-03T04:05:06Z"},"file":` + r.file(of+"'s file") + `,"to":{"$type":"ref","$id":"beacon/b"}` + place
}

// records makes one of each kind of record that mallory must not see, and some that everybody sees.
func (r *raid) records() {
	r.t.Helper()
	role := r.word("role")
	r.do("master", "role:assign", `"roles":["`+role+`"],"users":["`+r.ids["victim"]+`"]`)
	r.do("hidden", "record:save", `"records":[{"_id":"user/`+r.ids["hidden"]+`",`+ownerOnly+`}]`)
	r.do("hidden", "record:save", `"records":[{"_id":"note/h","title":"of somebody hidden"}]`)
	save := func(database string, records ...string) {
		r.t.Helper()
		r.do("victim", "record:save", `"database_id":"`+database+`","records":[`+strings.Join(records, ",")+`]`)
	}
	save("_public", `{"_id":"beacon/b"}`)
	save("_public", `{"_id":"vault/own",`+ownerOnly+`,`+r.values("own record")+`}`,
		`{"_id":"vault/`+r.word("own record's key")+`",`+ownerOnly+`,"num":1}`,
		`{"_id":"vault/role","_access":[{"role":"`+role+`","level":"write"}],`+r.values("role's record")+`}`,
		`{"_id":"vault/other","_access":[{"user_id":"`+r.ids["friend"]+`","level":"read"}],`+r.values("friend's record")+`}`,
		`{"_id":"vault/relation","_access":[{"relation":"friend","level":"read"}],`+r.values("relation's record")+`}`,
		`{"_id":"vault/open","text":"open","tags":["open"],"num":2}`)
	save("_public", `{"_id":"pointer/p","to":{"$type":"ref","$id":"vault/own"},"note":{"$type":"ref","$id":"note/h"}}`,
		`{"_id":"pointer/`+r.word("pointer's key")+`",`+ownerOnly+`,"to":{"$type":"ref","$id":"vault/open"}}`)
	save("_private", `{"_id":"vault/private",`+r.values("private record")+`}`, `{"_id":"vault/`+r.word("private record's key")+`","_access":[{"public":true,"level":"write"}]}`)
	save("_public", `{"_id":"note/n","title":"open",`+r.values("closed field")+`}`, `{"_id":"note/m","title":"open","text":"mm","num":7,"flag":false,"tags":[]}`)
	var rules []string
	for _, field := range []string{"note text", "note tags", "note num", "note flag", "note at", "note file", "note to", "note place", "user email", "user username", "user phone", "user age"} {
		typ, name, _ := strings.Cut(field, " ")
		for viewer, may := range map[string]bool{"_owner": true, "_any_user": false} {
			rules = append(rules, fmt.Sprintf(`{"record_type":%q,"record_field":%q,"user_role":%q,"writable":%t,"readable":%[4]t,"comparable":%[4]t,"discoverable":%[4]t}`, typ, name, viewer, may))
		}
	}
	r.do("master", "schema:field_access:update", `"access":[`+strings.Join(rules, ",")+`]`)
}

// belongings are devices, subscriptions, friends, and accounts that may not act.
func (r *raid) belongings() {
	r.t.Helper()
	for _, who := range []string{"victim", "mallory"} {
		got := r.do(who, "device:register", `"type":"android","topic":"`+r.word(who+"'s topic")+`","device_token":"`+r.word(who+"'s token")+`"`)
		var a struct{ Result struct{ ID string } }
		if err := json.Unmarshal([]byte(got.Body), &a); err != nil || a.Result.ID == "" {
			r.t.Fatalf("%+v", got)
		}
		r.devices[who] = a.Result.ID
		delete(r.words, "mallory's token")
		delete(r.words, "mallory's topic")
	}
	r.do("victim", "subscription:save", `"device_id":"`+r.devices["victim"]+`","subscriptions":[{"id":"`+r.word("subscription's id")+`","type":"query",
		"notification_info":{"aps":{"alert":{"body":"`+r.word("notification")+`"}}},
		"query":{"record_type":"vault","predicate":["neq",{"$type":"keypath","$val":"text"},"`+r.word("subscription's predicate")+`"]}}]`)
	r.do("victim", "relation:add", `"name":"friend","targets":["`+r.ids["mallory"]+`"]`)
	r.do("hidden", "relation:add", `"name":"friend","targets":["`+r.ids["mallory"]+`"]`)
	r.do("hidden", "relation:add", `"name":"follow","targets":["`+r.ids["mallory"]+`"]`)
	r.do("master", "auth:disable:set", `"auth_id":"`+r.ids["barred"]+`","disabled":true,"message":"`+r.word("why barred")+`"`)
	r.do("master", "auth:reset_password", `"auth_id":"`+r.ids["revoked"]+`","password":"other"`)
	delete(r.words, "why barred") // whoever is barred is told why
}
