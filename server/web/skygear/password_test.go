package skygear_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"crema/server/core/schema"
	"crema/server/core/users"
	"crema/server/testkit"
)

func (a *app) logIn(name, password string) auth {
	a.t.Helper()
	return a.enter("nobody", "auth:login", `"auth_data":{"username":"`+name+`"},"password":"`+password+`"`)
}

func TestAuth_PasswordEndsEarlierTokensB2(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	a := appOn(t, db, true, nil)
	other := appOn(t, db, true, nil) // another server
	bob := a.signUp("bob")
	second := other.logIn("bob", "pw")
	people := map[string]auth{"bob": bob}
	a.rows(people, []row{
		{"no old password", "{bob}", "auth:password", `"password":"n"`, 400, arguments("old_password")},
		{"no new password", "{bob}", "auth:password", `"old_password":"pw"`, 400, arguments("password")},
		{"a wrong one", "{bob}", "auth:password", `"old_password":"wrong","password":"n"`, 401, errorOf("InvalidCredentials", 105, "")},
		{"nobody", "nobody", "auth:password", `"old_password":"pw","password":"n"`, 401, errorOf("NotAuthenticated", 101, "")},
	})
	changed := a.enter(bob.Token, "auth:password", `"old_password":"pw","password":"pw2","invalidate":true`)
	dead := errorOf("AccessTokenNotAccepted", 104, "")
	for _, s := range []*app{a, other} {
		s.want(bob.Token, "me", ``, 401, dead)
		s.want(second.Token, "record:query", `"record_type":"note"`, 401, dead)
		s.want(changed.Token, "personal", ``, 200, `{"result":"`+bob.ID+`"}`)
		s.want("nobody", "auth:login", `"auth_data":{"username":"bob"},"password":"pw"`, 401, errorOf("InvalidCredentials", 105, ""))
	}
	reset := other.enter("master", "auth:reset_password", `"auth_id":"`+bob.ID+`","password":"pw3"`)
	if reset.ID != bob.ID || reset.Profile["username"] != "bob" {
		t.Errorf("the answer is about the user: %+v", reset)
	}
	a.want(changed.Token, "personal", ``, 401, dead)
	a.want(reset.Token, "personal", ``, 200, `{"result":"`+bob.ID+`"}`)
	a.logIn("bob", "pw3")
}

func TestAuth_HashesOfOldDatabases(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	// Made by the Go and the Python implementation of Skygear's time; the password is "secret".
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), 5)
	if err != nil {
		t.Fatal(err)
	}
	for name, stored := range map[string]string{"go": string(hash), "python": "$2b$" + string(hash[4:]), "crypt": "$2y$" + string(hash[4:])} {
		id := a.signUp(name).ID
		if _, err := a.db.Exec(t.Context(), "UPDATE app._auth SET password = $1 WHERE id = $2", stored, id); err != nil {
			t.Fatal(err)
		}
		a.logIn(name, "secret")
		a.want("nobody", "auth:login", `"auth_data":{"username":"`+name+`"},"password":"secre"`, 401, errorOf("InvalidCredentials", 105, ""))
	}
	for name, stored := range map[string]any{"none": nil, "plain": "secret", "empty": ""} {
		id := a.signUp(name).ID
		if _, err := a.db.Exec(t.Context(), "UPDATE app._auth SET password = $1 WHERE id = $2", stored, id); err != nil {
			t.Fatal(err)
		}
		for _, try := range []string{"secret", "", "nobody"} {
			a.want("nobody", "auth:login", `"auth_data":{"username":"`+name+`"},"password":"`+try+`"`, 401, errorOf("InvalidCredentials", 105, ""))
		}
	}
}

func TestAuth_PolicyReasonsT4(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(c *users.Config) {
		c.Policy = users.Policy{
			MinLength: 6, Uppercase: true, Lowercase: true, Digit: true, Symbol: true, MinGuessable: 3, HistorySize: 2,
			ExcludedKeywords: []string{"Coffee"}, ExcludedFields: []string{"username", "nick"},
		}
	})
	for password, info := range map[string]string{
		"Aa1-":             `{"reason":"PasswordTooShort","min_length":6,"pw_length":4}`,
		"äÄ1-":             `{"reason":"PasswordUppercaseRequired"}`, // bytes count; only ASCII has classes
		"aaaaa1-":          `{"reason":"PasswordUppercaseRequired"}`,
		"AAAAA1-":          `{"reason":"PasswordLowercaseRequired"}`,
		"AAAAAa-":          `{"reason":"PasswordDigitRequired"}`,
		"AAAAAa1":          `{"reason":"PasswordSymbolRequired"}`,
		"Xx1-coFFee-zq9":   `{"reason":"PasswordContainingExcludedKeywords"}`,
		"Xx1-bOB-zq9":      `{"reason":"PasswordContainingExcludedKeywords"}`,
		"Xx1-bobby-zq9":    `{"reason":"PasswordContainingExcludedKeywords"}`,
		"Password1-":       `{"reason":"PasswordBelowGuessableLevel","min_level":3,"pw_level":"…"}`,
		"Zq9-vX1_plombi-A": ``,
	} {
		params := `"auth_data":{"username":"bob"},"password":"` + password + `","profile":{"nick":"Bobby"}`
		if info == "" {
			a.enter("nobody", "auth:signup", params)
			continue
		}
		a.want("nobody", "auth:signup", params, 500, errorOf("PasswordPolicyViolated", 126, info))
	}
	a.want("nobody", "auth:login", `"auth_data":{"username":"bob"},"password":"x"`, 401, errorOf("InvalidCredentials", 105, "")) // a policy is no rule for log-in
	names := []string{"Zq9-vX1_plombi-A", "Zq9-vX1_plombi-B", "Zq9-vX1_plombi-C", "Zq9-vX1_plombi-D"}
	bob := a.logIn("bob", names[0])
	change := func(old, password string) (int, string) {
		return a.ask(bob.Token, "auth:password", `"old_password":"`+old+`","password":"`+password+`"`)
	}
	reused := errorOf("PasswordPolicyViolated", 126, `{"reason":"PasswordReused","history_size":2,"history_days":0}`)
	step := func(old, password string, ok bool) {
		t.Helper()
		status, got := change(old, password)
		if ok {
			var r struct{ Result auth }
			if json.Unmarshal([]byte(got), &r) != nil || status != 200 {
				t.Fatalf("%s to %s: %d %s", old, password, status, got)
			}
			bob = r.Result
		} else if status != 500 || !alike(t, got, reused) {
			t.Fatalf("%s to %s: %d %s", old, password, status, got)
		}
	}
	step(names[0], names[0], false)
	step(names[0], names[1], true)
	step(names[1], names[0], false)
	step(names[1], names[2], true)
	step(names[2], names[1], false)
	step(names[2], names[0], true) // two have been used since
	var n int
	if err := a.db.Get(t.Context(), &n, "SELECT count(*) FROM app._password_history"); err != nil || n != 2 {
		t.Errorf("%d passwords are remembered, %v; want 2", n, err)
	}
}

func TestAuth_ExpiredPasswordMayOnlyBeChanged(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	bob := appOn(t, db, true, nil).signUp("bob")
	later := func() time.Time { return time.Now().AddDate(0, 0, 31) }
	a := appOn(t, db, true, func(c *users.Config) { c.Policy.ExpiryDays, c.Now = 30, later })
	people := map[string]auth{"bob": bob}
	expired := errorOf("PasswordPolicyViolated", 126, `{"reason":"PasswordExpired"}`)
	a.rows(people, []row{
		{"126 is 401 here", "{bob}", "me", ``, 401, expired},
		{"save", "{bob}", "record:save", `"records":[{"_id":"note/1"}]`, 401, expired},
		{"function", "{bob}", "personal", ``, 401, expired},
		{"T8 silently nobody", "{bob}", "role:get", `"users":["{bob.id}"]`, 401, errorOf("NotAuthenticated", 101, "")},
	})
	people["bob"] = a.enter(bob.Token, "auth:password", `"old_password":"pw","password":"pw2"`)
	a.rows(people, []row{{"as before", "{bob}", "personal", ``, 200, `{"result":"{bob.id}"}`}})
}

func TestAuth_TwoSignUpsWithOneName(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	servers := []*app{appOn(t, db, true, nil), appOn(t, db, true, nil)}
	const n = 8
	statuses := make(chan int, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			status, _ := servers[i%2].ask("nobody", "auth:signup", `"auth_data":{"username":"bob"},"password":"pw","profile":{"n":`+fmt.Sprint(i)+`}`)
			statuses <- status
		})
	}
	wg.Wait()
	close(statuses)
	counts := map[int]int{}
	for s := range statuses {
		counts[s]++
	}
	var accounts int
	err := db.Get(t.Context(), &accounts, "SELECT count(*) FROM app._auth a FULL JOIN app._access_token t ON t.auth_id = a.id")
	if counts[200] != 1 || counts[409] != n-1 || accounts != 1 || err != nil {
		t.Errorf("statuses %v, %d accounts, %v", counts, accounts, err)
	}
}

func TestAuth_LimitsAreSharedByServers(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	start := time.Now()
	var mu sync.Mutex
	now := start
	limit := func(c *users.Config) {
		c.Limits = users.Limits{FailuresPerAccount: 3, FailuresPerAddress: 8, Window: time.Minute}
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	}
	a, b := appOn(t, db, true, limit), appOn(t, db, true, limit)
	bob := a.enter("nobody", "auth:signup", `"auth_data":{"username":"bob","email":"bob@bean.example"},"password":"pw"`)
	a.signUp("ann")
	wrong, blocked := errorOf("InvalidCredentials", 105, ""), errorOf("PluginUnavailable", 118, "")
	a.want("nobody", "auth:login", `"auth_data":{"username":"bob"},"password":"x"`, 401, wrong)
	b.want("nobody", "auth:login", `"auth_data":{"email":"bob@bean.example"},"password":"x"`, 401, wrong) // the same account
	b.want(bob.Token, "auth:password", `"old_password":"x","password":"n"`, 401, wrong)
	for _, s := range []*app{a, b} {
		s.want("nobody", "auth:login", `"auth_data":{"username":"bob"},"password":"pw"`, 429, blocked)
		s.want(bob.Token, "auth:password", `"old_password":"pw","password":"n"`, 429, blocked)
	}
	a.logIn("ann", "pw")
	for i := range 4 { // a name that nobody has is limited like one that somebody has
		status := 404
		if i == 3 {
			status = 429
		}
		a.want("nobody", "auth:login", `"auth_data":{"username":"Nobody"},"password":"x"`, status, `{"error":{"…":0}}`)
	}
	for i := range 3 { // 6 failures of this address so far
		status := 404
		if i == 2 {
			status = 429
		}
		b.want("nobody", "auth:login", fmt.Sprintf(`"auth_data":{"username":"n%d"},"password":"x"`, i), status, `{"error":{"…":0}}`)
	}
	a.want("nobody", "auth:login", `"auth_data":{"username":"ann"},"password":"pw"`, 429, blocked)
	a.enter("master", "auth:reset_password", `"auth_id":"`+bob.ID+`","password":"pw2"`) // not an attempt
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	b.logIn("ann", "pw")
	a.logIn("bob", "pw2")
	var clear int
	err := db.Get(t.Context(), &clear, "SELECT count(*) FROM app._login_failure WHERE counted LIKE '%127.0.0.1%' OR counted LIKE '%obody%'")
	if err != nil || clear != 0 {
		t.Errorf("%d counts show whom they are about, %v", clear, err)
	}
}

func TestAuth_VerifyRequired(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	free := appOn(t, db, true, nil)
	a := appOn(t, db, false, func(c *users.Config) { c.VerifyRequired = true })
	free.do("master", "schema:create", `"record_types":{"user":{"fields":[{"name":"is_verified","type":"boolean"}]},"note":{"fields":[]}}`)
	people := map[string]auth{"bob": a.signUp("bob"), "ann": a.signUp("ann")}
	sly := a.enter("nobody", "auth:signup", `"auth_data":{"username":"sly"},"password":"pw","profile":{"is_verified":true}`)
	people["sly"] = sly
	if _, err := db.Exec(t.Context(), `UPDATE app."user" SET is_verified = true WHERE _id = $1`, people["ann"].ID); err != nil {
		t.Fatal(err)
	}
	refused := errorOf("VerificationRequired", 128, "")
	a.rows(people, []row{
		{"me", "{bob}", "me", ``, 403, refused},
		{"password", "{bob}", "auth:password", `"old_password":"pw","password":"n"`, 403, refused},
		{"save", "{bob}", "record:save", `"records":[{"_id":"note/1"}]`, 403, refused},
		{"query", "{bob}", "record:query", `"record_type":"note"`, 403, refused},
		{"a function for users", "{bob}", "personal", ``, 403, refused},
		{"a function for keys", "{bob}", "keyed", ``, 200, `{"result":"{bob.id}"}`},
		{"role:get asks for nothing", "{bob}", "role:get", `"users":["{bob.id}"]`, 200, `{"result":{"{bob.id}":[]}}`},
		{"log-out", "{bob}", "auth:logout", ``, 200, `{"result":{"status":"OK"}}`},
		{"nobody", "nobody", "record:query", `"record_type":"note"`, 200, `{"result":[]}`},
		{"verified", "{ann}", "record:save", `"records":[{"_id":"note/1"}]`, 200, `{"result":[{"_id":"note/1","…":0}]}`},
		{"one user does not verify another", "{ann}", "record:save", `"records":[{"_id":"user/{sly.id}","is_verified":true}]`, 200, `{"result":[{"_id":"user/{sly.id}","…":0}]}`},
		{"nor oneself at the sign-up", "{sly}", "me", ``, 403, refused},
		{"verified function", "{ann}", "personal", ``, 200, `{"result":"{ann.id}"}`},
		{"verified me", "{ann}", "me", ``, 200, anyAuth},
		{"the master key", "master as {bob.id}", "record:save", `"records":[{"_id":"note/2"}]`, 200, `{"result":[{"_id":"note/2","…":0}]}`},
	})
}

// A rule that keeps users from verifying themselves also holds while they sign up, and a rule about the
// name does not keep them from having one.
func TestAuth_SignUpObeysFieldRules(t *testing.T) {
	t.Parallel()
	a := newApp(t, nil)
	a.do("master", "schema:create", `"record_types":{"user":{"fields":[{"name":"is_verified","type":"boolean"}]}}`)
	a.do("master", "schema:field_access:update", `"access":[
		{"record_type":"user","record_field":"is_verified","user_role":"_any_user","writable":false,"readable":true,"comparable":true,"discoverable":true},
		{"record_type":"user","record_field":"username","user_role":"_any_user","writable":false,"readable":true,"comparable":true,"discoverable":true},
		{"record_type":"user","record_field":"email","user_role":"_public","writable":true,"readable":false,"comparable":false,"discoverable":false}]`)
	bob := a.enter("nobody", "auth:signup", `"auth_data":{"username":"bob","email":"b@bean.example"},"password":"pw","profile":{"is_verified":true,"age":3}`)
	if _, ok := bob.Profile["is_verified"]; ok || bob.Profile["username"] != "bob" || bob.Profile["age"] != 3.0 {
		t.Errorf("got %v", bob.Profile)
	}
	if again := a.logIn("bob", "pw"); again.Profile["email"] != nil || again.Profile["is_verified"] != nil {
		t.Errorf("fields that the user may not read: %v", again.Profile)
	}
	a.enter("nobody", "auth:login", `"auth_data":{"email":"b@bean.example"},"password":"pw"`)
}

func TestAuth_KeysDecideWhatIsUnique(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	keys := func(sets ...[]string) func(*users.Config) {
		return func(c *users.Config) { c.AuthKeys = sets }
	}
	constraints := func() string {
		t.Helper()
		var names []string
		if err := db.Select(t.Context(), &names, "SELECT conname FROM pg_constraint WHERE conname LIKE 'auth_record%' ORDER BY 1"); err != nil {
			t.Fatal(err)
		}
		return strings.Join(names, " ")
	}
	a := appOn(t, db, false, keys([]string{"username"}, []string{"phone", "country"}))
	if got := constraints(); got != "auth_record_keys_user_country_phone_key auth_record_keys_user_username_key" {
		t.Errorf("got %s", got)
	}
	a.enter("nobody", "auth:signup", `"auth_data":{"phone":"5","country":"se"},"password":"pw"`)
	a.rows(nil, []row{
		{"half a key", "nobody", "auth:signup", `"auth_data":{"phone":"5"},"password":"pw"`, 400, arguments("auth_data")},
		{"a taken one", "nobody", "auth:signup", `"auth_data":{"phone":"5","country":"se"},"password":"pw"`, 409, errorOf("Duplicated", 109, "")},
		{"one half may be taken", "nobody", "auth:signup", `"auth_data":{"phone":"5","country":"no"},"password":"pw"`, 200, anyAuth},
		{"log-in", "nobody", "auth:login", `"auth_data":{"phone":"5","country":"no"},"password":"pw"`, 200, anyAuth},
		{"a key of before", "nobody", "auth:login", `"auth_data":{"email":"x"},"password":"pw"`, 400, arguments("auth_data")},
	})
	appOn(t, db, false, nil)
	if got := constraints(); got != "auth_record_keys_user_email_key auth_record_keys_user_username_key" {
		t.Errorf("got %s", got)
	}
	own := schema.New(db)
	s := users.New(users.Config{DB: db, Schema: own, AuthKeys: [][]string{{"phone"}}})
	if err := s.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "several users have the same phone") {
		t.Errorf("two users have one phone: %v", err)
	}
}

// provider says who somebody is by the text that they send.
type provider struct{}

func (provider) LogIn(_ context.Context, data json.RawMessage) (string, json.RawMessage, error) {
	var in struct{ Name string }
	if json.Unmarshal(data, &in) != nil || in.Name == "" {
		return "", nil, errors.New("who?")
	}
	return in.Name, json.RawMessage(`{"seen":true}`), nil
}

func TestAuth_Providers(t *testing.T) {
	t.Parallel()
	a := newApp(t, func(c *users.Config) {
		c.Providers = func(name string) (users.Provider, bool) { return provider{}, name == "com.example" }
	})
	a.do("master", "role:default", `"roles":["guest"]`)
	first := a.enter("nobody", "auth:login", `"provider":"com.example","provider_auth_data":{"name":"kim"}`)
	again := a.enter("nobody", "auth:login", `"provider":"com.example","provider_auth_data":{"name":"kim"}`)
	if first.ID != again.ID || first.Roles != nil {
		t.Errorf("got %+v, then %+v", first, again)
	}
	if made := a.enter("nobody", "auth:signup", `"provider":"com.example","provider_auth_data":{"name":"kim"}`); made.ID == first.ID || strings.Join(made.Roles, "") != "guest" {
		t.Errorf("a sign-up always makes a user, with the default roles: %+v", made)
	}
	a.want("nobody", "auth:login", `"provider":"com.example","provider_auth_data":{}`, 401, errorOf("InvalidCredentials", 105, ""))
	var info string
	err := a.db.Get(t.Context(), &info, "SELECT provider_info::text FROM app._auth WHERE id = $1", first.ID)
	if err != nil || info != `{"com.example:kim": {"seen": true}}` {
		t.Errorf("got %s, %v", info, err)
	}
	ids := make(chan string, 6)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			status, body := a.ask("nobody", "auth:login", `"provider":"com.example","provider_auth_data":{"name":"lee"}`)
			var r struct{ Result auth }
			if json.Unmarshal([]byte(body), &r) == nil && status == http.StatusOK {
				ids <- r.Result.ID
			}
		})
	}
	wg.Wait()
	close(ids)
	seen := map[string]int{}
	for id := range ids {
		seen[id]++
	}
	if len(seen) != 1 {
		t.Errorf("one principal, logged in at once, became %v", seen)
	}
}
