package skygear_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"crema/server/base/pg"
	"crema/server/core/functions"
	"crema/server/core/records"
	"crema/server/core/schema"
	"crema/server/core/users"
	"crema/server/lambda"
	"crema/server/testkit"
	"crema/server/web"
	"crema/server/web/doortest"
	"crema/server/web/skygear"
)

// app is a server whose users are real.
type app struct {
	*server
	users *users.Service
}

// newApp changes the settings of a server on a database of its own.
func newApp(t testing.TB, change func(*users.Config)) *app {
	return appOn(t, testkit.DB(t), true, change)
}

func appOn(t testing.TB, db *pg.DB, devMode bool, change func(*users.Config)) *app {
	t.Helper()
	fns, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)},
		lambda.Op("open", who), lambda.Op("keyed", who, lambda.KeyRequired()), lambda.Op("personal", who, lambda.UserRequired()))
	if err != nil {
		t.Fatal(err)
	}
	own := schema.New(db)
	recs := records.New(records.Config{DB: db, Schema: own, DevMode: devMode})
	c := users.Config{DB: db, Records: recs, Schema: own, HashKey: "k", HashCost: 4}
	if change != nil {
		change(&c)
	}
	people := users.New(c)
	if err := people.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(skygear.New(skygear.Config{
		Gate: web.NewGate(apiKey, masterKey, people), Schema: own, Functions: fns, DevMode: devMode, MaxBody: 1 << 20,
		Records: recs, Users: people,
	}))
	t.Cleanup(h.Close)
	return &app{server: &server{t: t, db: db, url: h.URL}, users: people}
}

func who(_ context.Context, c *lambda.Call, _ struct{}) (string, error) { return c.Actor.UserID, nil }

func TestDoor_JudgesLikeEveryDoor(t *testing.T) {
	t.Parallel()
	gate, fns := doortest.New(t)
	h := skygear.New(skygear.Config{Gate: gate, Functions: fns, MaxBody: 1 << 20})
	doortest.Run(t, func(t *testing.T, q doortest.Request) doortest.Response {
		body := map[string]any{"action": q.Function, "api_key": q.APIKey, "access_token": q.Token}
		if q.Args != "" {
			body["args"] = json.RawMessage(q.Args)
		}
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(raw)))
		var answer struct {
			Result json.RawMessage
			Error  struct{ Code int }
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%q: %v", rec.Body, err)
		}
		return doortest.Response{Status: rec.Code, Code: answer.Error.Code, Result: answer.Result}
	})
}

// auth is an AuthResponse.
type auth struct {
	ID      string         `json:"user_id"`
	Token   string         `json:"access_token"`
	Profile map[string]any `json:"profile"`
	Roles   []string       `json:"roles"`
	Login   string         `json:"last_login_at"`
	Seen    string         `json:"last_seen_at"`
}

// enter does an action that answers with an AuthResponse.
func (a *app) enter(who, action, params string) auth {
	a.t.Helper()
	status, body := a.ask(who, action, params)
	var r struct{ Result auth }
	if err := json.Unmarshal([]byte(body), &r); err != nil || status != http.StatusOK || r.Result.Token == "" {
		a.t.Fatalf("%s %s {%s}: %d %s", who, action, params, status, body)
	}
	if strings.Contains(body, "assword") {
		a.t.Errorf("%s shows something of a password: %s", action, body)
	}
	return r.Result
}

// signUp makes a user whose password is "pw".
func (a *app) signUp(name string) auth {
	a.t.Helper()
	return a.enter("nobody", "auth:signup", `"auth_data":{"username":"`+name+`"},"password":"pw"`)
}

func TestAuth_SignUpA1(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	a.want("nobody", "auth:signup", `"access_token":null,"auth_data":{"username":"bob"},"password":"pw","profile":{"age":3}`, 200,
		`{"result":{"user_id":"…","access_token":"…","profile":{"_id":"…","_type":"record","_access":null,"_ownerID":"…",
		"_created_at":"…","_created_by":"…","_updated_at":"…","_updated_by":"…","username":"bob","age":3}}}`)
	bob := a.enter("nobody", "auth:login", `"auth_data":{"username":"BOB"},"password":"pw"`)
	if bob.Profile["_id"] != "user/"+bob.ID || bob.Profile["_ownerID"] != bob.ID || bob.Login == "" || bob.Seen == "" {
		t.Errorf("B1: the first log-in knows the sign-up: %+v", bob)
	}
	if d, _ := bob.Profile["last_login_at"].(map[string]any); d["$type"] != "date" {
		t.Errorf("A3: got %v", bob.Profile)
	}
	me := a.enter(bob.Token, "me", ``)
	if me.ID != bob.ID || me.Token == bob.Token {
		t.Errorf("T40: got %+v", me)
	}
	a.want(me.Token, "auth:logout", ``, 200, `{"result":{"status":"OK"}}`)
	a.want(me.Token, "me", ``, 401, errorOf("AccessTokenNotAccepted", 104, ""))
	a.enter(bob.Token, "me", ``)
}

// fill writes tokens and ids of users into a text: {bob} is the token of bob and {bob.id} the id.
func fill(text string, people map[string]auth) string {
	for name, p := range people {
		text = strings.NewReplacer("{"+name+"}", p.Token, "{"+name+".id}", p.ID).Replace(text)
	}
	return text
}

// row is one exchange of a table.
type row struct {
	trap, who, action, params string
	status                    int
	want                      string
}

func (a *app) rows(people map[string]auth, rows []row) {
	a.t.Helper()
	for _, r := range rows {
		status, got := a.ask(fill(r.who, people), r.action, fill(r.params, people))
		if status != r.status || !alike(a.t, got, fill(r.want, people)) {
			a.t.Errorf("%s: %s %s {%s}\ngot %d %s\nwant %d %s", r.trap, r.who, r.action, r.params, status, got, r.status, r.want)
		}
	}
}

const anyAuth = `{"result":{"user_id":"…","access_token":"…","profile":{"_id":"…","…":0},"…":0}}`

func TestAuth_SignUp(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	a.signUp("bob")
	a.rows(nil, []row{
		{"A2 duplicate", "nobody", "auth:signup", `"auth_data":{"username":"bob"},"password":"x"`, 409, errorOf("Duplicated", 109, "")},
		{"A2 duplicate in other letters", "nobody", "auth:signup", `"auth_data":{"username":"BoB"},"password":"x"`, 409, errorOf("Duplicated", 109, "")},
		{"A2 bad auth_data", "nobody", "auth:signup", `"auth_data":{"name":"eve"},"password":"x"`, 400, arguments("auth_data")},
		{"a key too many", "nobody", "auth:signup", `"auth_data":{"username":"eve","age":1},"password":"x"`, 400, arguments("auth_data")},
		{"a null is no value", "nobody", "auth:signup", `"auth_data":{"username":null},"password":"x"`, 400, arguments("auth_data")},
		{"no auth_data", "nobody", "auth:signup", `"password":"x"`, 400, arguments("auth_data")},
		{"an object for a name", "nobody", "auth:signup", `"auth_data":{"username":{"a":1}},"password":"x"`, 400, arguments("auth_data")},
		{"auth_data of a wrong type", "nobody", "auth:signup", `"auth_data":"eve","password":"x"`, 400, errorOf("BadRequest", 107, "")},
		{"a password of a wrong type", "nobody", "auth:signup", `"auth_data":{"username":"eve"},"password":7`, 400, errorOf("BadRequest", 107, "")},
		{"a profile of a wrong type", "nobody", "auth:signup", `"auth_data":{"username":"eve"},"password":"x","profile":[]`, 400, errorOf("BadRequest", 107, "")},
		{"no password", "nobody", "auth:signup", `"auth_data":{"username":"eve"}`, 400, arguments("password")},
		{"empty password", "nobody", "auth:signup", `"auth_data":{"username":"eve"},"password":""`, 400, arguments("password")},
		{"a password that bcrypt would cut", "nobody", "auth:signup", `"auth_data":{"username":"eve"},"password":"` + strings.Repeat("x", 73) + `"`, 400, arguments("password")},
		{"a key twice", "nobody", "auth:signup", `"auth_data":{"username":"eve"},"password":"x","profile":{"username":"eva"}`, 400, arguments("username")},
		{"unknown provider", "nobody", "auth:signup", `"provider":"com.nobody","provider_auth_data":{}`, 400, arguments("provider")},
		{"T7 no key", "none", "auth:signup", `"auth_data":{"username":"eve"},"password":"x"`, 401, errorOf("NotAuthenticated", 101, "")},
		{"a wrong key", "nobody", "auth:signup", `"api_key":"wrong"`, 401, errorOf("AccessKeyNotAccepted", 103, "")},
		{"keys twice", "nobody", "auth:signup", `"auth_data":{"username":"eve","email":"e"},"password":"x","profile":{"username":"eva","age":1,"email":"e"}`, 400, arguments("email", "username")},
		{"a name with NUL", "nobody", "auth:signup", `"auth_data":{"username":"e\u0000ve"},"password":"x"`, 400, arguments("username")},
		{"anonymous", "nobody", "auth:signup", `"auth_data":null,"password":null,"profile":null`, 200, anyAuth},
		{"anonymous with nulls", "nobody", "auth:signup", `"auth_data":{"username":null}`, 200, anyAuth},
		{"an auth key in the profile", "nobody", "auth:signup", `"auth_data":{"username":"ann"},"password":"x","profile":{"email":"ann@bean.example"}`, 200, anyAuth},
		{"of two names the second may be taken", "nobody", "auth:signup", `"auth_data":{"username":"ann2","email":"ANN@bean.example"},"password":"x"`, 409, errorOf("Duplicated", 109, "")},
		{
			"B4 reserved keys are left out", "nobody", "auth:signup", `"auth_data":{"username":"dan"},"password":"x","profile":{"_owner_id":"bob","_access":"rubbish","_x":1,"last_login_at":{"$type":"date","$date":"2001-01-01T00:00:00Z"}}`, 200,
			`{"result":{"user_id":"…","access_token":"…","profile":{"_id":"…","_type":"record","_access":null,"_ownerID":"…","_created_at":"…","_created_by":"…","_updated_at":"…","_updated_by":"…","username":"dan"}}}`,
		},
		{"a schema conflict", "nobody", "auth:signup", `"auth_data":{"username":"tim"},"password":"x","profile":{"email":7}`, 409, errorOf("IncompatibleSchema", 114, "")},
		{"and nothing of it stays", "nobody", "auth:login", `"auth_data":{"username":"tim"},"password":"x"`, 404, errorOf("ResourceNotFound", 110, "")},
	})
}

func TestAuth_LogInA3(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	people := map[string]auth{"bob": a.signUp("bob"), "spam": a.signUp("spam"), "was": a.signUp("was")}
	a.enter("nobody", "auth:signup", `"auth_data":{"username":"ann","email":"Ann@Bean.example"},"password":"pw2"`)
	a.rows(people, []row{
		{"an expiry with an offset", "master", "auth:disable:set", `"auth_id":"{spam.id}","disabled":true,"message":"spam","expiry":"2999-06-01T02:00:00+02:00"`, 200, `{"result":{"status":"OK"}}`},
		{"B3 keeps its instant", "nobody", "auth:login", `"auth_data":{"username":"spam"},"password":"wrong"`, 403, errorOf("UserDisabled", 127, `{"message":"spam","expiry":"2999-06-01T00:00:00Z"}`)},
		{"an expiry of before", "master", "auth:disable:set", `"auth_id":"{was.id}","disabled":true,"expiry":"2001-01-01T00:00:00Z"`, 200, `{"result":{"status":"OK"}}`},
		{"is over", "nobody", "auth:login", `"auth_data":{"username":"was"},"password":"pw"`, 200, anyAuth},
		{"A3 wrong password", "nobody", "auth:login", `"auth_data":{"username":"bob"},"password":"wrong"`, 401, errorOf("InvalidCredentials", 105, "")},
		{"missing password", "nobody", "auth:login", `"auth_data":{"username":"bob"}`, 401, errorOf("InvalidCredentials", 105, "")},
		{"A3 unknown", "nobody", "auth:login", `"auth_data":{"username":"nobody"},"password":"pw"`, 404, errorOf("ResourceNotFound", 110, "")},
		{"bad auth_data", "nobody", "auth:login", `"auth_data":{"nick":"bob"},"password":"pw"`, 400, arguments("auth_data")},
		{"no auth_data", "nobody", "auth:login", `"password":"pw"`, 400, arguments("auth_data")},
		{"SQL in a name", "nobody", "auth:login", `"auth_data":{"username":"' OR '1'='1"},"password":"pw"`, 404, errorOf("ResourceNotFound", 110, "")},
		{"T38 other letters", "nobody", "auth:login", `"auth_data":{"email":"aNN@bEAN.example"},"password":"pw2"`, 200, anyAuth},
		{"the first complete set decides", "nobody", "auth:login", `"auth_data":{"username":"ann","email":"no@body.example"},"password":"pw2"`, 200, anyAuth},
		{"unknown provider", "nobody", "auth:login", `"provider":"com.nobody"`, 400, arguments("provider")},
		{"T7 no key", "none", "auth:login", `"auth_data":{"username":"bob"},"password":"pw"`, 401, errorOf("NotAuthenticated", 101, "")},
		{"T7 a token is no key", "keyless {bob}", "auth:login", `"auth_data":{"username":"bob"},"password":"pw"`, 401, errorOf("NotAuthenticated", 101, "")},
	})
}

func TestAuth_TokensT6T7T8T40(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	people := map[string]auth{"bob": a.signUp("bob"), "eve": a.signUp("eve"), "old": a.signUp("old")}
	a.do(people["bob"].Token, "record:save", `"records":[{"_id":"note/1","_access":[],"title":"x"}]`)
	a.do("master", "auth:disable:set", `"auth_id":"`+people["eve"].ID+`","disabled":true`)
	if _, err := a.db.Exec(t.Context(), "UPDATE app._auth SET token_valid_since = now() AT TIME ZONE 'UTC' + interval '2 s' WHERE id = $1", people["old"].ID); err != nil {
		t.Fatal(err)
	}
	notFound := `{"result":[{"_id":"note/1","_type":"error","…":0}]}`
	for _, who := range []string{"{eve}", "{old}"} { // T8: silently nobody
		a.rows(people, []row{
			{"T8 fetch", who, "record:fetch", `"ids":["note/1"]`, 200, notFound},
			{"T8 query", who, "record:query", `"record_type":"note"`, 200, `{"result":[]}`},
			{"T8 private", who, "record:query", `"record_type":"note","database_id":"_private"`, 401, errorOf("NotAuthenticated", 101, "")},
			{"T8 role:get", who, "role:get", `"users":["{eve.id}"]`, 401, errorOf("NotAuthenticated", 101, "")},
			{"T18 open", who, "open", ``, 200, `{"result":""}`},
			{"T18 keyed", who, "keyed", ``, 200, `{"result":""}`},
		})
	}
	disabled, outdated := errorOf("UserDisabled", 127, ""), errorOf("AccessTokenNotAccepted", 104, "")
	a.rows(people, []row{
		{"disabled save", "{eve}", "record:save", `"records":[{"_id":"note/2"}]`, 403, disabled},
		{"disabled delete", "{eve}", "record:delete", `"ids":["note/1"]`, 403, disabled},
		{"disabled me", "{eve}", "me", ``, 403, disabled},
		{"disabled password", "{eve}", "auth:password", `"old_password":"pw","password":"y"`, 403, disabled},
		{"disabled function", "{eve}", "personal", ``, 403, disabled},
		{"outdated save", "{old}", "record:save", `"records":[{"_id":"note/2"}]`, 401, outdated},
		{"outdated me", "{old}", "me", ``, 401, outdated},
		{"outdated function", "{old}", "personal", ``, 401, outdated},
		{"T8 unknown token", "nobody", "record:fetch", `"access_token":"unknown","ids":["note/1"]`, 401, outdated},
		{"T18 unknown token, open", "unknown", "open", ``, 200, `{"result":""}`},
		{"unknown token, keyed", "unknown", "keyed", ``, 401, outdated},
		{"T7 a token alone", "keyless {bob}", "record:fetch", `"ids":["note/1"]`, 200, `{"result":[{"_id":"note/1","title":"x","…":0}]}`},
		{"T7 a token alone, function", "keyless {bob}", "personal", ``, 200, `{"result":"{bob.id}"}`},
		{"T6 null is no token", "nobody", "record:fetch", `"access_token":null,"ids":["note/1"]`, 200, notFound},
		{"T6 a number is no token", "nobody", "record:fetch", `"access_token":7,"ids":["note/1"]`, 200, notFound},
		{"a wrong key beside a token", "{bob}", "record:fetch", `"api_key":"wrong","ids":["note/1"]`, 401, errorOf("AccessKeyNotAccepted", 103, "")},
		{"enabled again", "master", "auth:disable:set", `"auth_id":"{eve.id}","disabled":false,"message":"x","expiry":"rubbish"`, 200, `{"result":{"status":"OK"}}`},
		{"may act", "{eve}", "personal", ``, 200, `{"result":"{eve.id}"}`},
	})
	me := a.enter(people["bob"].Token, "me", ``)
	if a.enter(people["bob"].Token, "me", ``).Token == me.Token {
		t.Error("T40: each me has a token of its own")
	}
	a.do(me.Token, "auth:logout", ``)
	a.want(me.Token, "auth:logout", ``, 401, outdated)
	a.want(people["bob"].Token, "personal", ``, 200, `{"result":"`+people["bob"].ID+`"}`)
}

func TestAuth_MasterKeyT4T9(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	people := map[string]auth{"bob": a.signUp("bob"), "eve": a.signUp("eve"), "boss": a.signUp("boss")}
	a.do("master", "role:assign", `"roles":["Admin"],"users":["`+people["boss"].ID+`"]`)
	refused := errorOf("PermissionDenied", 102, "")
	a.rows(people, []row{
		{"T4 102 is 401 here", "{bob}", "auth:disable:set", `"auth_id":"{eve.id}","disabled":true`, 401, refused},
		{"T4 reset", "nobody", "auth:reset_password", `"auth_id":"{eve.id}","password":"n"`, 401, refused},
		{"T4 reset by an administrator", "{boss}", "auth:reset_password", `"auth_id":"{eve.id}","password":"n"`, 401, refused},
		{"T4 sso", "nobody", "sso:oauth:login", ``, 401, refused},
		{"nobody is no administrator", "nobody", "auth:disable:set", `"auth_id":"{eve.id}","disabled":true`, 401, errorOf("NotAuthenticated", 101, "")},
		{"an administrator may", "{boss}", "auth:disable:set", `"auth_id":"{eve.id}","disabled":true`, 200, `{"result":{"status":"OK"}}`},
		{"B3 unknown user", "{boss}", "auth:disable:set", `"auth_id":"nobody","disabled":true`, 404, errorOf("ResourceNotFound", 110, "")},
		{"B3 no user", "{boss}", "auth:disable:set", `"disabled":true`, 404, errorOf("ResourceNotFound", 110, "")},
		{"B3 a missing flag is false", "{boss}", "auth:disable:set", `"auth_id":"{eve.id}"`, 200, `{"result":{"status":"OK"}}`},
		{"a bad expiry", "{boss}", "auth:disable:set", `"auth_id":"{eve.id}","disabled":true,"expiry":"soon"`, 400, arguments("expiry")},
		{"a flag of a wrong type", "{boss}", "auth:disable:set", `"auth_id":"{eve.id}","disabled":"yes"`, 400, errorOf("BadRequest", 107, "")},
		{"reset without a password", "master", "auth:reset_password", `"auth_id":"{eve.id}"`, 400, arguments("password")},
		{"reset without an id", "master", "auth:reset_password", `"password":"n"`, 400, arguments("auth_id")},
		{"10001 reset of nobody", "master", "auth:reset_password", `"auth_id":"nobody","password":"n"`, 500, errorOf("UnexpectedAuthInfoNotFound", 10001, "")},
		{"T9 the master key makes accounts", "master as <your-user-id>", "record:save", `"records":[{"_id":"note/9"}]`, 200, `{"result":[{"_id":"note/9","_ownerID":"<your-user-id>","…":0}]}`},
		{"10005 reset without a record", "master", "auth:reset_password", `"auth_id":"<your-user-id>","password":"n"`, 500, errorOf("UnexpectedUserNotFound", 10005, "")},
		{"T9 god", "master", "me", ``, 200, `{"result":{"user_id":"_god","access_token":"…","profile":{"_id":"user/_god","_ownerID":"_god","…":0},"…":0}}`},
		{"me of another", "master as {bob.id}", "me", ``, 200, `{"result":{"user_id":"{bob.id}","access_token":"…","profile":{"username":"bob","…":0},"…":0}}`},
		{"me of nobody", "nobody", "me", ``, 401, errorOf("NotAuthenticated", 101, "")},
		{"_user_id needs the master key", "nobody", "personal", `"_user_id":"{bob.id}"`, 401, errorOf("NotAuthenticated", 101, "")},
	})
}

func TestAuth_GoneAccount(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	bob := a.signUp("bob")
	if _, err := a.db.Exec(t.Context(), "DELETE FROM app._auth WHERE id = $1", bob.ID); err != nil {
		t.Fatal(err)
	}
	gone := errorOf("UnexpectedAuthInfoNotFound", 10001, "")
	a.want(bob.Token, "record:query", `"record_type":"note"`, 500, gone) // even where no user is needed
	a.want(bob.Token, "me", ``, 500, gone)
	a.want(bob.Token, "open", ``, 200, `{"result":""}`)
	a.want(bob.Token, "keyed", ``, 200, `{"result":""}`)
	a.want(bob.Token, "personal", `"api_key":"`+masterKey+`"`, 200, `{"result":"`+bob.ID+`"}`) // T9: makes it again
	a.want(bob.Token, "personal", ``, 200, `{"result":"`+bob.ID+`"}`)
}

func TestAuth_ProfileGrowsTheSchemaWhereItMay(t *testing.T) {
	t.Parallel()
	a := appOn(t, testkit.DB(t), false, nil)
	a.rows(nil, []row{
		{"DEV_MODE is off", "nobody", "auth:signup", `"auth_data":{"username":"bob"},"password":"pw","profile":{"nick":"b"}`, 409, errorOf("IncompatibleSchema", 114, "")},
		{"the master key may", "master", "auth:signup", `"auth_data":{"username":"bob"},"password":"pw","profile":{"nick":"b"}`, 200, anyAuth},
		{"then everybody may use it", "nobody", "auth:signup", `"auth_data":{"username":"ann"},"password":"pw","profile":{"nick":"a"}`, 200, anyAuth},
		{"creation roles", "master", "schema:access", `"type":"user","create_roles":["Admin"]`, 200, `{"result":{"…":0}}`},
		{"are passed by", "nobody", "auth:signup", `"auth_data":{"username":"eve"},"password":"pw"`, 200, anyAuth},
		{"a default access", "master", "schema:default_access", `"type":"user","default_access":[]`, 200, `{"result":{"…":0}}`},
		{"holds", "nobody", "auth:signup", `"auth_data":{"username":"tim"},"password":"pw"`, 200, `{"result":{"user_id":"…","access_token":"…","profile":{"_access":[],"username":"tim","…":0}}}`},
		{"and log-in does not ask for it", "nobody", "auth:login", `"auth_data":{"username":"tim"},"password":"pw"`, 200, anyAuth},
	})
}
