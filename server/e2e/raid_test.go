package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crema/server/testkit"
)

func keyPath(name string) string { return `{"$type":"keypath","$val":"` + name + `"}` }

// fieldsOf are the key paths to try on each type.
var fieldsOf = map[string][]string{
	"vault":   {"text", "tags", "num", "flag", "at", "file", "to", "place", "_id", "_owner", "_access", "_created_by", "to._id"},
	"note":    {"text", "tags", "num", "flag", "at", "file", "to", "place", "title", "_owner", "_updated_by", "to._owner"},
	"pointer": {"to", "note", "to.text", "to.tags", "to.num", "to.file", "to.at", "to._id", "to._access", "note.text", "note.num", "note.title", "_owner"},
	"user":    {"email", "username", "phone", "age", "nick", "_id", "_owner", "_access", "last_login_at"},
	"_auth":   {"id", "password"}, "_user": {"password"}, "_role": {"id"}, "_asset": {"id"}, "_device": {"token"}, "_subscription": {"query"},
	"_access_token": {"auth_id"}, "pending_notification": {"record"},
}

// attempt is one request of a raider.
type attempt struct{ action, params string }

// queries tries each field in each part of a query.
func (r *raid) queries() (all []attempt) {
	add := func(typ, rest string) {
		all = append(all, attempt{"record:query", `"record_type":"` + typ + `","count":true` + rest})
	}
	for typ, fields := range fieldsOf {
		for _, database := range []string{"", "_public", "_private", "_union", r.ids["victim"], r.ids["hidden"]} {
			add(typ, `,"database_id":"`+database+`"`)
		}
		for _, f := range fields {
			k := keyPath(f)
			for _, p := range []string{
				`["like",` + k + `,"%"]`, `["ilike",` + k + `,"zq%"]`, `["gt",` + k + `,"a"]`, `["gte",` + k + `,0]`, `["lt",` + k + `,1e9]`, `["neq",` + k + `,null]`, `["eq",` + k + `,true]`,
				`["not",["eq",` + k + `,"x"]]`, `["or",["eq",` + k + `,null],["neq",` + k + `,null]]`, `["in",` + k + `,["zq",41]]`, `["in","zq",` + k + `]`, `["in",` + k + `,` + k + `]`,
				`["gt",` + k + `,{"$type":"date","$date":"2000-01-01T00:00:00Z"}]`, `["lt",["func","distance",` + k + `,{"$type":"geo","$lat":10,"$lng":20}],1000]`,
				`["func","userRelation",` + k + `,{"$type":"relation","$name":"_friend","$direction":"inward"}]`, `["eq",` + k + `,` + keyPath("_id") + `]`,
			} {
				add(typ, `,"predicate":`+p)
			}
			add(typ, `,"sort":[[`+k+`,"desc"]]`)
			add(typ, `,"sort":[[["func","distance",`+k+`,{"$type":"geo","$lat":10,"$lng":20}],"asc"]]`)
			add(typ, `,"include":{"x":`+k+`,"d":["func","distance",`+k+`,{"$type":"geo","$lat":10,"$lng":20}]}`)
			add(typ, `,"include":{"x":`+k+`}`)
			add(typ, `,"desired_keys":["`+f+`"]`)
		}
	}
	return all
}

// changes tries to read by writing, and to write.
func (r *raid) changes() (all []attempt) {
	ids := []string{"vault/own", "vault/role", "vault/other", "vault/relation", "vault/private", "user/" + r.ids["hidden"]}
	for _, database := range []string{"_public", "_private", r.ids["victim"], "_union"} {
		for _, id := range ids {
			quoted := `"database_id":"` + database + `","ids":["` + id + `"]`
			all = append(all, attempt{"record:fetch", quoted}, attempt{"record:delete", quoted}, attempt{"record:delete", quoted + `,"atomic":true`})
			for _, fields := range []string{`"num":1`, `"text":"zq"`, `"_access":[{"public":true,"level":"write"}]`, `"_owner_id":"x","_ownerID":"x"`, `"to":{"$type":"ref","$id":"vault/none"}`, `"num":"wrong type"`, `"at":{"$type":"?"}`} {
				record := `"database_id":"` + database + `","records":[{"_id":"` + id + `",` + fields + `}]`
				all = append(all, attempt{"record:save", record}, attempt{"record:save", record + `,"atomic":true`})
			}
		}
		for _, fields := range []string{`"text":"zq"`, `"title":"n"`, `"text":null,"tags":null`, `"num":2,"file":null`} {
			record := `"database_id":"` + database + `","records":[{"_id":"note/n",` + fields + `}]`
			all = append(all, attempt{"record:save", record}, attempt{"record:save", record + `,"atomic":true`})
		}
	}
	all = append(all, attempt{"record:fetch", `"ids":["note/n","note/h","pointer/p","vault/open","user/` + r.ids["victim"] + `","user/` + r.ids["friend"] + `"]`},
		attempt{"record:save", `"records":[{"_id":"user/` + r.ids["victim"] + `","email":"x@example.com","phone":"1","age":2}]`},
		attempt{"record:save", `"atomic":true,"records":[{"_id":"user/` + r.ids["victim"] + `","email":"x@example.com"}]`},
		attempt{"record:delete", `"ids":["user/` + r.ids["victim"] + `","beacon/b"]`},
		attempt{"record:save", `"records":[{"_id":"pointer/mine","to":{"$type":"ref","$id":"vault/own"},"note":{"$type":"ref","$id":"note/n"}}]`})
	return all
}

// notTheirs are requests for what belongs to others.
var notTheirs = []attempt{
	{"", ``},
	{"_status:healthz", ``},
	{"me", ``},
	{"me", `"_user_id":"{victim}"`},
	{"auth:login", `"auth_data":{"email":"x@example.com"},"password":""`},
	{"auth:login", `"auth_data":{"username":"%"},"password":"secret"`},
	{"auth:login", `"provider":"x","provider_auth_data":{}`},
	{"auth:signup", `"auth_data":{"username":"mallory"},"password":"x"`},
	{"auth:signup", `"auth_data":{"username":null,"email":"mallory@example.com"},"password":"x","profile":{"_id":"user/{victim}"}`},
	{"auth:password", `"old_password":"no","password":"x","auth_id":"{victim}","_user_id":"{victim}"`},
	{"auth:reset_password", `"auth_id":"{victim}","password":"x"`},
	{"auth:disable:set", `"auth_id":"{victim}","disabled":true`},
	{"sso:oauth:login", `"provider":"google","principal_id":"x"`},
	{"sso:oauth:signup", `"provider":"google","principal_id":"x"`},
	{"sso:oauth:link", `"provider":"google","principal_id":"x","user_id":"{victim}"`},
	{"sso:oauth:unlink", `"provider":"google","user_id":"{victim}"`},
	{"sso:custom_token:login", `"token":"x.y.z"`},
	{"role:get", `"users":["{victim}"]`},
	{"role:get", `"users":["{victim}","{mallory}"]`},
	{"role:assign", `"roles":["Admin"],"users":["{mallory}"]`},
	{"role:revoke", `"roles":["Admin"],"users":["{victim}"]`},
	{"role:default", `"roles":["Admin"]`},
	{"role:admin", `"roles":[]`},
	{"schema:fetch", ``},
	{"schema:create", `"record_types":{"vault":{"fields":[{"name":"more","type":"string"}]}}`},
	{"schema:rename", `"record_type":"note","item_name":"text","new_name":"public"`},
	{"schema:delete", `"record_type":"note","item_name":"title"`},
	{"schema:access", `"type":"vault","create_roles":[]`},
	{"schema:default_access", `"type":"vault","default_access":[{"public":true,"level":"write"}]`},
	{"schema:field_access:get", ``},
	{"schema:field_access:update", `"access":[]`},
	{"device:register", `"id":"{device}","type":"android","device_token":"mine"`},
	{"device:register", `"type":"android","device_token":"{victim}"`},
	{"device:unregister", `"id":"{device}"`},
	{"push:user", `"user_ids":["{victim}"],"notification":{"fcm":{"notification":{"body":"x"}}}`},
	{"push:device", `"device_ids":["{device}"],"notification":{"fcm":{"notification":{"body":"x"}}}`},
	{"asset:put", `"filename":"../vault","content-type":"text/plain","content-size":1`},
	{"process_payment", `"args":{"product_name":{"$type":"record","$record":{"_id":"vault/own"}}}`},
}

// others tries every other action on what belongs to others.
func (r *raid) others() (all []attempt) {
	victim, hidden, device := r.ids["victim"], r.ids["hidden"], r.devices["victim"]
	for _, name := range []string{"friend", "_friend", "follow", "_follow", "enemy"} {
		for _, direction := range []string{"outward", "inward", "mutual"} {
			all = append(all, attempt{"relation:query", `"name":"` + name + `","direction":"` + direction + `"`})
		}
		for _, action := range []string{"relation:add", "relation:remove", "relation:add", "relation:query"} {
			all = append(all, attempt{action, `"name":"` + name + `","targets":["` + victim + `","` + hidden + `","nobody"]`})
		}
	}
	for _, database := range []string{"_public", "_private", victim, "_union"} {
		in := `"database_id":"` + database + `","device_id":"` + device + `"`
		all = append(all, attempt{"subscription:fetch_all", in}, attempt{"subscription:fetch", in + `,"subscription_ids":["a"]`},
			attempt{"subscription:delete", in + `,"subscription_ids":["a"]`},
			attempt{"subscription:save", in + `,"subscriptions":[{"id":"a","type":"query","query":{"record_type":"vault"}}]`})
	}
	names := strings.NewReplacer("{victim}", victim, "{mallory}", r.ids["mallory"], "{device}", device)
	for _, a := range notTheirs {
		a.params = names.Replace(a.params)
		all = append(all, a, attempt{a.action, strings.TrimPrefix(a.params+`,"_from_plugin":true,"_user_id":"`+victim+`","database_id":"`+victim+`"`, ",")})
	}
	all = append(all, attempt{"auth:logout", ``}) // last: it ends the raider's session
	return all
}

// check fails when an answer holds a secret or tells of a fault of the server.
func (r *raid) check(what string, answer string) {
	r.t.Helper()
	text := strings.ToLower(answer)
	for name, word := range r.words {
		if strings.Contains(text, word) {
			r.t.Errorf("%s: the answer holds the %s\n%s", what, name, answer)
		}
	}
	if strings.Contains(text, `"code":10000`) || strings.Contains(text, `"password"`) {
		r.t.Errorf("%s: %s", what, answer)
	}
}

// A user without rights tries every action on every kind of record.
func TestRaid_NoAnswerHoldsASecret(t *testing.T) {
	t.Parallel()
	r := newRaid(t)
	attempts := slices.Concat(r.queries(), r.changes(), r.others())
	tried := map[string]bool{}
	for _, a := range attempts {
		tried[a.action] = true
	}
	for _, action := range actionsOfTheWire(t) {
		if !tried[action] {
			t.Errorf("nobody tries %s", action)
		}
	}
	for who, step := range map[string]int{"nobody": 1, "mallory": 1, "keyless": 7, "barred": 7, "revoked": 7} { // the last count as nobody, or are refused
		for i, a := range attempts {
			if i%step > 0 && a.action == "record:query" {
				continue
			}
			got := r.ask(who, a.action, a.params)
			r.check(who+" "+a.action+" {"+a.params+"}", fmt.Sprint(got.Status, " ", got.Body))
		}
	}
	r.files()
	r.sees("victim", "own record's text", "own record's tag", "own record's deep tag", "own record's file's name", "own record's key", "closed field's text", "closed field's file's name",
		"e-mail", "user name", "phone", "pointer's key", "role's record's text")
	r.sees("hidden", "hidden user's nick")
	r.sees("friend", "friend's record's text")
}

// sees holds that the requests above do show secrets to whom they belong to.
func (r *raid) sees(who string, words ...string) {
	r.t.Helper()
	var all strings.Builder
	for typ := range fieldsOf {
		all.WriteString(r.ask(who, "record:query", `"record_type":"`+typ+`"`).Body)
	}
	for _, what := range words {
		if !strings.Contains(all.String(), r.words[what]) {
			r.t.Errorf("%s does not see the %s", who, what)
		}
	}
	if who != "victim" {
		return
	}
	for action, what := range map[attempt]string{
		{"record:query", `"record_type":"vault","database_id":"_private"`}:                "private record's text",
		{"subscription:fetch_all", `"device_id":"` + r.devices["victim"] + `"`}:           "notification",
		{"role:get", `"users":["` + r.ids["victim"] + `"]`}:                               "role",
		{"record:query", `"record_type":"pointer","include":{"x":` + keyPath("to") + `}`}: "own record's text",
	} {
		if got := r.ask(who, action.action, action.params); !strings.Contains(got.Body, r.words[what]) {
			r.t.Errorf("%s is not shown the %s: %+v", who, what, got)
		}
	}
}

// files asks for the files of hidden records by what a raider may have: their names, without what signs them.
func (r *raid) files() {
	r.t.Helper()
	for what, name := range r.assets {
		escaped := (&url.URL{Path: "/files/" + name}).EscapedPath()
		for _, query := range []string{"", "?expiredAt=9999999999&signature=", "?expiredAt=9999999999&signature=AAAA", "?expiredAt=1&signature=AAAA", "?signature=x", "?expiredAt=x&signature=x"} {
			for _, path := range []string{escaped, "/files/./" + strings.TrimPrefix(escaped, "/files/"), "/files//" + strings.TrimPrefix(escaped, "/files/")} {
				got, header := r.fetch(http.MethodGet, path+query, "")
				if got.Status < 400 || strings.Contains(got.Body+header, r.words[what+"'s content"]) {
					r.t.Errorf("GET %s: %+v %s", path+query, got, header)
				}
			}
		}
	}
}

// actionsOfTheWire reads them from the tables of the door.
func actionsOfTheWire(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(testkit.Root(), "server/web/skygear/*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	row := regexp.MustCompile(`"((?:[a-z_]+:[a-z_:]+)|me|)": +\{[a-zA-Z]+, `)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range row.FindAllStringSubmatch(string(text), -1) {
			if !strings.HasSuffix(name, "_test.go") {
				all = append(all, m[1])
			}
		}
	}
	if len(all) < 43 { // 42 and the one without a name
		t.Fatalf("found %d actions: %v", len(all), all)
	}
	return all
}

// guess is a pair of requests of which one guesses a hidden value right.
type guess struct {
	action     string
	right, bad string // what stands for {}
	params     string
}

// mostOf is a word without its end, so that an echo of the guess is no leak.
func (r *raid) mostOf(what string) string { return r.words[what][:12] }

// guesses are about everything that is hidden.
func (r *raid) guesses() (all []guess) {
	query := func(typ, right, bad string, predicates ...string) {
		for _, p := range predicates {
			for _, rest := range []string{`,"count":true`, `,"sort":[[` + keyPath("_id") + `,"asc"]]`, `,"limit":1`, `,"limit":0,"count":true`} {
				all = append(all, guess{"record:query", right, bad, `"record_type":"` + typ + `","predicate":` + p + rest})
			}
		}
	}
	for _, c := range []struct{ typ, field, word string }{
		{"vault", "text", "own record's text"},
		{"vault", "_id", "own record's key"},
		{"pointer", "_id", "pointer's key"},
		{"pointer", "to.text", "own record's text"},
		{"note", "text", "closed field's text"},
		{"user", "email", "e-mail"},
		{"user", "username", "user name"},
		{"user", "phone", "phone"},
		{"user", "nick", "hidden user's nick"},
	} {
		k := keyPath(c.field)
		query(c.typ, r.mostOf(c.word), "zqzz99zz99zz", `["like",`+k+`,"{}%"]`, `["ilike",`+k+`,"%{}%"]`, `["not",["like",`+k+`,"{}%"]]`,
			`["or",["like",`+k+`,"{}%"],["eq",`+keyPath("_id")+`,"x"]]`, `["and",["like",`+k+`,"{}%"],["neq",`+keyPath("_id")+`,"x"]]`)
		query(c.typ, "zp", "zr", `["gt",`+k+`,"{}"]`, `["gte",`+k+`,"{}"]`, `["lt",`+k+`,"{}"]`, `["lte",`+k+`,"{}"]`, `["lt","{}",`+k+`]`)
	}
	for _, c := range []struct{ typ, field string }{{"note", "num"}, {"user", "age"}, {"pointer", "to.num"}, {"vault", "num"}} {
		k := keyPath(c.field)
		query(c.typ, "41", "40", `["eq",`+k+`,{}]`, `["in",`+k+`,[{}]]`, `["lte",`+k+`,{}]`, `["neq",`+k+`,{}]`, `["gt",{},`+k+`]`)
	}
	query("vault", r.words["own record's tag"], "zqzz", `["in","{}",`+keyPath("tags")+`]`)
	query("note", "true", "false", `["eq",`+keyPath("flag")+`,{}]`)
	query("vault", "10", "80", `["lt",["func","distance",`+keyPath("place")+`,{"$type":"geo","$lat":{},"$lng":20}],1000]`)
	for _, atomic := range []string{"true", "false"} {
		for _, record := range []string{`{"_id":"note/n","num":{}}`, `{"_id":"note/n","num":{},"title":"open"}`, `{"_id":"vault/own","num":{}}`, `{"_id":"user/` + r.ids["victim"] + `","age":{}}`} {
			all = append(all, guess{"record:save", "41", "40", `"atomic":` + atomic + `,"records":[` + record + `]`})
		}
	}
	return all
}

// A raider who guesses a hidden value hears the same whether it is right or wrong, so it cannot be found by halving.
func TestRaid_GuessesTellNothing(t *testing.T) {
	t.Parallel()
	r := newRaid(t)
	times := regexp.MustCompile(`"_(created|updated)_at":"[^"]*"`)
	for _, who := range []string{"nobody", "mallory", "barred"} {
		for _, g := range r.guesses() {
			right, bad := r.ask(who, g.action, strings.ReplaceAll(g.params, "{}", g.right)), r.ask(who, g.action, strings.ReplaceAll(g.params, "{}", g.bad))
			right.Body, bad.Body = times.ReplaceAllString(right.Body, ""), times.ReplaceAllString(bad.Body, "")
			if right != bad {
				t.Errorf("%s %s {%s}: %s is answered\n%+v\nand %s\n%+v", who, g.action, g.params, g.right, right, g.bad, bad)
			}
			r.check(who+" "+g.params, right.Body+bad.Body)
		}
		for typ, fields := range map[string][]string{ // an order tells as well
			"vault": {"text", "tags", "num", "at"}, "note": {"text", "tags", "num", "flag", "at", "file", "place"}, "user": {"email", "username", "phone", "age"},
			"pointer": {"to.text", "to.num", "to.at", "note.text", "note.num"},
		} {
			for _, f := range fields {
				sorted := func(order string) reply {
					return r.ask(who, "record:query", `"record_type":"`+typ+`","sort":[[`+keyPath(f)+`,"`+order+`"],[`+keyPath("_id")+`,"asc"]]`)
				}
				if up, down := sorted("asc"), sorted("desc"); up != down {
					t.Errorf("%s sorts %s by %s:\n%+v\n%+v", who, typ, f, up, down)
				}
			}
		}
	}
}

// A raider who listens hears nothing of hidden records: not by subscriptions, nor on the sockets.
func TestRaid_ListenersHearNothing(t *testing.T) {
	t.Parallel()
	r := newRaid(t)
	mine := r.devices["mallory"]
	subscribe := func(id, query string) {
		t.Helper()
		got := r.ask("mallory", "subscription:save", `"device_id":"`+mine+`","subscriptions":[{"id":"`+id+`","type":"query","query":`+query+`}]`)
		r.check("subscribe "+query, got.Body)
	}
	subscribe("beacon", `{"record_type":"beacon"}`)
	for typ, fields := range fieldsOf {
		subscribe(typ, `{"record_type":"`+typ+`"}`)
		for _, f := range fields {
			subscribe(typ+"."+f, `{"record_type":"`+typ+`","predicate":["neq",`+keyPath(f)+`,"x"]}`)
			subscribe(typ+"."+f+"!", `{"record_type":"`+typ+`","predicate":["not",["eq",`+keyPath(f)+`,null]]}`)
		}
	}
	r.check("fetch_all", r.ask("mallory", "subscription:fetch_all", `"device_id":"`+mine+`"`).Body)
	frames := r.listen("_sub_"+mine, "", "*", "_sub_", "_sub_*", "_sub_%", "user", r.ids["victim"], "_sub_"+r.ids["victim"], "record_change", "crema")

	// What only the victim sees changes, in each way.
	r.do("victim", "record:save", `"records":[{"_id":"vault/own","num":42},{"_id":"vault/role","num":42},{"_id":"vault/other","num":42},{"_id":"vault/later",`+ownerOnly+`,"text":"x"},{"_id":"pointer/`+r.words["pointer's key"]+`","to":null}]`)
	r.do("victim", "record:save", `"database_id":"_private","records":[{"_id":"vault/private","num":42}]`)
	r.do("victim", "record:delete", `"ids":["vault/later"]`)
	r.do("hidden", "record:save", `"records":[{"_id":"user/`+r.ids["hidden"]+`","nick":"`+r.word("hidden user's nick")+`!"}]`)
	r.do("victim", "record:save", `"records":[{"_id":"beacon/last"}]`)
	for {
		frame := frames()
		r.check("a notice", frame)
		var n struct {
			Data struct {
				ID string `json:"subscription-id"`
			}
		}
		if err := json.Unmarshal([]byte(frame), &n); err != nil {
			t.Fatalf("%q: %v", frame, err)
		}
		if n.Data.ID == "beacon" {
			return
		}
		t.Errorf("mallory is told of a hidden record by the subscription %s", n.Data.ID)
	}
}

// listen joins channels of both sockets and returns a way to read the next frame of either.
func (r *raid) listen(channels ...string) func() string {
	r.t.Helper()
	frames := make(chan string, 1000)
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	r.t.Cleanup(cancel)
	for _, path := range []string{"/pubsub", "/_/pubsub"} {
		c, resp, err := websocket.Dial(ctx, strings.Replace(r.s.URL, "http", "ws", 1)+path+"?api_key="+r.s.APIKey, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		_ = resp
		r.t.Cleanup(func() { _ = c.CloseNow() })
		for _, channel := range channels {
			if channel == "" {
				continue // would end the socket
			}
			text, _ := json.Marshal(map[string]string{"action": "sub", "channel": channel})
			if err := c.Write(ctx, websocket.MessageText, text); err != nil {
				r.t.Fatal(err)
			}
		}
		if err := c.Write(ctx, websocket.MessageText, []byte(`{"action":"ready?"}`)); err != nil { // answered by a text
			r.t.Fatal(err)
		}
		if _, text, err := c.Read(ctx); err != nil || !bytes.Contains(text, []byte("action")) {
			r.t.Fatalf("%s, %v", text, err)
		}
		go func() {
			for {
				_, text, err := c.Read(ctx)
				if err != nil {
					return
				}
				frames <- string(text)
			}
		}()
	}
	return func() string {
		r.t.Helper()
		select {
		case f := <-frames:
			return f
		case <-ctx.Done():
			r.t.Fatal("no notice came")
		}
		return ""
	}
}
