package skygear_test

import (
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
