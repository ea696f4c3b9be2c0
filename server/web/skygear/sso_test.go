package skygear_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"crema/server/core/users"
)

func TestSSO_OAuth(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	people := map[string]auth{"bob": a.signUp("bob"), "eve": a.signUp("eve")}
	const ann = `"provider":"google","principal_id":"ann"`
	linked := errorOf("InvalidArgument", 108, "")
	a.rows(people, []row{
		{"no provider", "master", "sso:oauth:login", `"principal_id":"x"`, 400, arguments("provider")},
		{"no principal", "master", "sso:oauth:signup", `"provider":"google"`, 400, arguments("principal_id")},
		{"no user to link", "master", "sso:oauth:link", ann, 400, arguments("user_id")},
		{"no provider to unlink", "master", "sso:oauth:unlink", `"user_id":"{bob.id}"`, 400, arguments("provider")},
		{"no user to unlink", "master", "sso:oauth:unlink", `"provider":"google"`, 400, arguments("user_id")},
		{"not linked", "master", "sso:oauth:login", ann, 401, errorOf("InvalidCredentials", 105, "")},
		{
			"sign-up", "master", "sso:oauth:signup", ann + `,"token_response":{"t":1},"provider_profile":{"n":"Ann"},"profile":{"nick":"ann"}`, 200,
			`{"result":{"user_id":"…","access_token":"…","profile":{"nick":"ann","…":0}}}`,
		},
		{"linked already, without info", "master", "sso:oauth:signup", ann, 400, linked},
		{"log-in", "master", "sso:oauth:login", ann + `,"token_response":{"t":2}`, 200, `{"result":{"user_id":"…","access_token":"…","profile":{"nick":"ann","…":0},"…":0}}`},
		{"link a user", "master", "sso:oauth:link", `"provider":"google","principal_id":"bob","user_id":"{bob.id}"`, 200, `{"result":"OK"}`},
		{"the user is linked", "master", "sso:oauth:link", `"provider":"google","principal_id":"bob2","user_id":"{bob.id}"`, 400, linked},
		{"the principal is linked", "master", "sso:oauth:link", `"provider":"google","principal_id":"bob","user_id":"{eve.id}"`, 400, linked},
		{"another provider", "master", "sso:oauth:link", `"provider":"other","principal_id":"bob","user_id":"{bob.id}"`, 200, `{"result":"OK"}`},
		{"an unknown user", "master", "sso:oauth:link", `"provider":"google","principal_id":"x","user_id":"nobody"`, 404, errorOf("ResourceNotFound", 110, "")},
		{"log-in by a link", "master", "sso:oauth:login", `"provider":"google","principal_id":"bob"`, 200, `{"result":{"user_id":"{bob.id}","…":0}}`},
		{"disable", "master", "auth:disable:set", `"auth_id":"{bob.id}","disabled":true`, 200, `{"result":{"status":"OK"}}`},
		{"a disabled user", "master", "sso:oauth:login", `"provider":"google","principal_id":"bob"`, 403, errorOf("UserDisabled", 127, "")},
		{"unlink", "master", "sso:oauth:unlink", `"provider":"google","user_id":"{bob.id}"`, 200, `{"result":"OK"}`},
		{"unlink again", "master", "sso:oauth:unlink", `"provider":"google","user_id":"{bob.id}"`, 404, errorOf("ResourceNotFound", 110, "")},
		{"T4 the client key", "nobody", "sso:oauth:link", `"provider":"google","principal_id":"x","user_id":"{eve.id}"`, 401, errorOf("PermissionDenied", 102, "")},
	})
	var users, kept int
	err := a.db.Get(t.Context(), &users, `SELECT count(*) FROM app."user"`)
	if err == nil {
		err = a.db.Get(t.Context(), &kept, `SELECT count(*) FROM app._sso_oauth WHERE token_response = '{"t":2}'`)
	}
	if err != nil || users != 3 || kept != 1 {
		t.Errorf("%d users, %d tokens, %v; a refused sign-up must leave nothing", users, kept, err)
	}
}

const customSecret = "custom-secret-of-the-app"

// custom signs claims with a secret.
func custom(t *testing.T, secret string, claims jwt.MapClaims) string {
	t.Helper()
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return `"token":"` + text + `"`
}

func TestSSO_CustomToken(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(c *users.Config) { c.CustomTokenSecret = customSecret })
	a.do("master", "role:default", `"roles":["guest"]`)
	now := time.Now().Unix()
	claims := func(change jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "kim", "iat": now, "exp": now + 60, "skyprofile": map[string]any{"nick": "Kim", "age": 3}}
		for k, v := range change {
			if c[k] = v; v == nil {
				delete(c, k)
			}
		}
		return c
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims(nil)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	bad, lacks := errorOf("BadRequest", 107, ""), errorOf("InvalidCredentials", 105, "")
	a.rows(nil, []row{
		{"no token", "nobody", "sso:custom_token:login", ``, 400, bad},
		{"rubbish", "nobody", "sso:custom_token:login", `"token":"a.b.c"`, 400, bad},
		{"a wrong secret", "nobody", "sso:custom_token:login", custom(t, "wrong", claims(nil)), 400, bad},
		{"no signature", "nobody", "sso:custom_token:login", `"token":"` + none + `"`, 400, bad},
		{"expired", "nobody", "sso:custom_token:login", custom(t, customSecret, claims(jwt.MapClaims{"exp": now - 1})), 400, bad},
		{"from the future", "nobody", "sso:custom_token:login", custom(t, customSecret, claims(jwt.MapClaims{"iat": now + 3600})), 400, bad},
		{"no sub", "nobody", "sso:custom_token:login", custom(t, customSecret, claims(jwt.MapClaims{"sub": nil})), 401, lacks},
		{"no iat", "nobody", "sso:custom_token:login", custom(t, customSecret, claims(jwt.MapClaims{"iat": nil})), 401, lacks},
		{"no exp", "nobody", "sso:custom_token:login", custom(t, customSecret, claims(jwt.MapClaims{"exp": nil})), 401, lacks},
		{"T7 no key", "none", "sso:custom_token:login", custom(t, customSecret, claims(nil)), 401, errorOf("NotAuthenticated", 101, "")},
		{"a profile that is none", "nobody", "sso:custom_token:login", custom(t, customSecret, claims(jwt.MapClaims{"skyprofile": "x"})), 400, bad},
	})
	first := a.enter("nobody", "sso:custom_token:login", custom(t, customSecret, claims(nil)))
	if first.Profile["nick"] != "Kim" || first.Profile["age"] != 3.0 || strings.Join(first.Roles, "") != "guest" || first.Seen != "" {
		t.Errorf("a new user: %+v", first)
	}
	again := a.enter("nobody", "sso:custom_token:login", custom(t, customSecret, claims(jwt.MapClaims{"skyprofile": map[string]any{"nick": "Kimmy"}})))
	if again.ID != first.ID || again.Profile["nick"] != "Kimmy" || again.Profile["age"] != 3.0 {
		t.Errorf("a profile is merged: %+v", again)
	}
	a.enter("nobody", "sso:custom_token:login", custom(t, customSecret, claims(jwt.MapClaims{"skyprofile": nil})))
	a.do("master", "auth:disable:set", `"auth_id":"`+first.ID+`","disabled":true`)
	a.want("nobody", "sso:custom_token:login", custom(t, customSecret, claims(nil)), 403, errorOf("UserDisabled", 127, ""))
	newApp(t, nil).want("nobody", "sso:custom_token:login", custom(t, customSecret, claims(nil)), 503, errorOf("NotConfigured", 125, ""))
}

func TestSSO_CustomTokensOfOneUserAtOnce(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(c *users.Config) { c.CustomTokenSecret = customSecret })
	now := time.Now().Unix()
	token := custom(t, customSecret, jwt.MapClaims{"sub": "kim", "iat": now, "exp": now + 600})
	ids := make(chan string, 6)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			status, body := a.ask("nobody", "sso:custom_token:login", token)
			var r struct{ Result auth }
			if json.Unmarshal([]byte(body), &r) != nil || status != http.StatusOK {
				t.Errorf("%d %s", status, body)
			}
			ids <- r.Result.ID
		})
	}
	wg.Wait()
	close(ids)
	seen := map[string]bool{}
	for id := range ids {
		seen[id] = true
	}
	if len(seen) != 1 {
		t.Errorf("one user became %d", len(seen))
	}
}
