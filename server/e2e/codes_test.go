package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/testkit"
)

// wireCodes are the errors of the wire. Wire: skygear §1.6.
const wireCodes = `101 NotAuthenticated 401
102 PermissionDenied 403
103 AccessKeyNotAccepted 401
104 AccessTokenNotAccepted 401
105 InvalidCredentials 401
106 InvalidSignature 401
107 BadRequest 400
108 InvalidArgument 400
109 Duplicated 409
110 ResourceNotFound 404
111 NotSupported 501
112 NotImplemented 501
113 ConstraintViolated 409
114 IncompatibleSchema 409
115 AtomicOperationFailure 409
116 PartialOperationFailure 200
117 UndefinedOperation 404
118 PluginUnavailable 503
119 PluginTimeout 504
120 RecordQueryInvalid 400
121 PluginInitializing 503
122 ResponseTimeout 503
123 DeniedArgument 403
124 RecordQueryDenied 403
125 NotConfigured 503
126 PasswordPolicyViolated 500
127 UserDisabled 403
128 VerificationRequired 403
129 AssetSizeTooLarge 500
10000 UnexpectedError 500
10001 UnexpectedAuthInfoNotFound 500
10002 UnexpectedUnableToOpenDatabase 503
10003 UnexpectedPushNotificationNotConfigured 500
10004 InternalQueryInvalid 500
10005 UnexpectedUserNotFound 500`

// codesApp has a function that raises any code, one that breaks, one that sleeps, and what the server said
// to a function that was loading.
const codesApp = `
import time
import skygear
from skygear.container import SkygearContainer
from skygear.error import SkygearException

early = SkygearContainer().send_action("me", {})

@skygear.op("raise")
def raising(code):
    raise SkygearException("raised", code)

@skygear.op("early")
def told():
    return early

@skygear.op("broken")
def broken():
    return 1 / 0

@skygear.op("slow")
def slow():
    time.sleep(20)
`

// TestCodes drives running servers into every error of the wire: first each code is raised by a function,
// which shows its name and status, then by what produces it by itself. A code without a case fails.
func TestCodes(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	w := newCodesWorld(t)
	seen := map[string]bool{}
	for _, c := range codeCases {
		code, _, _ := strings.Cut(c.want, " ")
		seen[code] = true
		s, body := w.open, c.body
		if c.strict {
			s = w.strict
		}
		if got := w.send(s, c.path, body); got != c.want {
			t.Errorf("%s %s: got %s, want %s", c.path, body, got, c.want)
		}
	}
	for code, want := range map[string]string{
		"106": w.badSignature(), "118": w.guesses(), "122": w.slow(), "126": w.expired(), "129": w.largeFile(),
		"10001": w.lostAccount(), "10005": w.lostUser(), "10002": w.lostDatabase(), // last: its server is done for
	} {
		seen[code] = true
		if want != "" {
			t.Error(want)
		}
	}
	for _, code := range []string{"116", "119", "10004"} { // only functions produce them
		seen[code] = true
	}
	for line := range strings.Lines(wireCodes) {
		line = strings.TrimSpace(line)
		code, _, _ := strings.Cut(line, " ")
		if got := w.send(w.open, "/raise", `{"args":{"code":`+code+`}}`); got != line {
			t.Errorf("a function raises %s: got %s, want %s", code, got, line)
		}
		if !seen[code] {
			t.Errorf("no test produces %s", line)
		}
	}
}

// codeCases are single requests; {bob} is the token of a user, {bob.id} his id, MASTER the master key. The wanted
// status is not the table's where one entry of a list failed, or a check has its own.
var codeCases = []struct {
	want, path, body string
	strict           bool // asks the server with few permissions
}{
	{"101 NotAuthenticated 401", "/record/save", `{"records":[{"_id":"note/1"}]}`, false},
	{"102 PermissionDenied 403", "/record/query", `{"access_token":"{bob}","database_id":"somebody","record_type":"note"}`, false},
	{"102 PermissionDenied 401", "/role/assign", `{"access_token":"{bob}","roles":["Admin"],"users":["{bob.id}"]}`, false},
	{"103 AccessKeyNotAccepted 401", "/record/query", `{"api_key":"wrong","record_type":"note"}`, false},
	{"104 AccessTokenNotAccepted 401", "/me", `{"access_token":"unknown"}`, false},
	{"105 InvalidCredentials 401", "/auth/login", `{"auth_data":{"username":"bob"},"password":"no"}`, false},
	{"107 BadRequest 400", "/role/get", `{"access_token":"{bob}","users":7}`, false},
	{"108 InvalidArgument 400", "/record/save", `{"access_token":"{bob}","records":[]}`, false},
	{"109 Duplicated 409", "/auth/signup", `{"auth_data":{"username":"bob"},"password":"secret"}`, false},
	{"110 ResourceNotFound 404", "/auth/login", `{"auth_data":{"username":"nobody"},"password":"secret"}`, false},
	{"110 ResourceNotFound 200", "/record/fetch", `{"ids":["note/none"]}`, false},
	{"111 NotSupported 501", "/relation/add", `{"access_token":"{bob}","name":"enemy","targets":["{bob.id}"]}`, false},
	{"112 NotImplemented 501", "/subscription/fetch_all", `{"api_key":"MASTER","_user_id":"{bob.id}","database_id":"_union","device_id":"d"}`, false},
	{"113 ConstraintViolated 200", "/record/delete", `{"access_token":"{bob}","ids":["farm/1"]}`, false},
	{"114 IncompatibleSchema 409", "/record/save", `{"access_token":"{bob}","records":[{"_id":"bean/1","farm":7}]}`, false},
	{"115 AtomicOperationFailure 409", "/record/delete", `{"access_token":"{bob}","atomic":true,"ids":["farm/1"]}`, false},
	{"117 UndefinedOperation 404", "/", `{"action":"brew"}`, false},
	{"120 RecordQueryInvalid 400", "/record/query", `{"record_type":"bean","predicate":["eq",{"$type":"keypath","$val":"nope"},1]}`, false},
	{"121 PluginInitializing 200", "/early", `{}`, false},
	{"123 DeniedArgument 409", "/record/save", `{"access_token":"{bob}","atomic":true,"records":[{"_id":"bean/1","sealed":"x"}]}`, false},
	{"124 RecordQueryDenied 403", "/record/query", `{"record_type":"user","sort":[[{"$type":"keypath","$val":"username"},"asc"]]}`, false},
	{"125 NotConfigured 503", "/sso/custom_token/login", `{"token":"x"}`, false},
	{"126 PasswordPolicyViolated 500", "/auth/signup", `{"auth_data":{"username":"eve"},"password":"short"}`, true},
	{"127 UserDisabled 403", "/auth/login", `{"auth_data":{"username":"spam"},"password":"secret"}`, false},
	{"128 VerificationRequired 403", "/record/save", `{"access_token":"{una}","records":[{"_id":"note/1"}]}`, true},
	{"10000 UnexpectedError 500", "/broken", `{}`, false},
	{"10003 UnexpectedPushNotificationNotConfigured 500", "/push/user", `{"user_ids":["{bob.id}"],"notification":{"apns":{}}}`, false},
}

// codesWorld is two servers: an open one, and a strict one whose database can be taken away.
type codesWorld struct {
	t            *testing.T
	open, strict *testkit.Server
	cut          func()
	names        *strings.Replacer
	una          string // token of a user of the strict server
}

func newCodesWorld(t *testing.T) *codesWorld {
	t.Helper()
	w := &codesWorld{t: t, names: strings.NewReplacer()}
	w.open = testkit.StartServer(t, appWith(t, map[string]string{"codes.py": codesApp}), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	through, cut := cutter(t, testkit.DatabaseURL(t))
	w.cut = cut
	w.strict = testkit.StartServer(t, appWith(t, map[string]string{"codes.py": codesApp}), "DATABASE_URL="+through, "APP_NAME=test", "VERIFY_REQUIRED=true",
		"USER_AUDIT_PW_MIN_LENGTH=6", "USER_AUDIT_PW_EXPIRY_DAYS=1", "ASSET_STORE_MAX=10", "RESPONSE_TIMEOUT=3")
	bob, spam, una := w.signUp(w.open, "bob"), w.signUp(w.open, "spam"), w.signUp(w.strict, "una")
	w.una = una.token
	w.names = strings.NewReplacer("{bob}", bob.token, "{bob.id}", bob.id, "{spam.id}", spam.id, "{una}", una.token, "{una.id}", una.id, "MASTER", w.open.MasterKey)
	for _, c := range []struct{ path, body string }{
		{"/auth/disable/set", `{"api_key":"MASTER","auth_id":"{spam.id}","disabled":true}`},
		{"/record/save", `{"api_key":"MASTER","_user_id":"owner","records":[{"_id":"farm/1"}]}`},
		{"/record/save", `{"api_key":"MASTER","_user_id":"owner","records":[{"_id":"bean/1","farm":{"$type":"ref","$id":"farm/1"},"sealed":"no"}]}`},
		{"/schema/field_access/update", `{"api_key":"MASTER","access":[{"record_type":"bean","record_field":"sealed","user_role":"_any_user","writable":false,"readable":true,"comparable":true,"discoverable":true},
			{"record_type":"user","record_field":"username","user_role":"_any_user","writable":false,"readable":true,"comparable":true,"discoverable":true}]}`},
	} {
		if got := w.send(w.open, c.path, c.body); got != "200" {
			t.Fatalf("%s: %s", c.path, got)
		}
	}
	return w
}

type account struct{ id, token string }

func (w *codesWorld) signUp(s *testkit.Server, name string) account {
	w.t.Helper()
	r := post(w.t, s.URL+"/auth/signup", s.APIKey, `{"auth_data":{"username":"`+name+`"},"password":"secret"}`)
	var a struct {
		Result struct {
			ID    string `json:"user_id"`
			Token string `json:"access_token"`
		}
	}
	if err := json.Unmarshal([]byte(r.Body), &a); err != nil || a.Result.Token == "" {
		w.t.Fatalf("sign-up: %+v", r)
	}
	return account{a.Result.ID, a.Result.Token}
}

// send makes a request with the client key, unless the body has another, and returns what of its answer
// the table has.
func (w *codesWorld) send(s *testkit.Server, path, body string) string {
	w.t.Helper()
	key := s.APIKey
	if strings.Contains(body, `"api_key"`) {
		key = ""
	}
	return codeOf(w.t, post(w.t, s.URL+path, key, w.names.Replace(body)))
}

// codeOf returns number, name and status of the innermost error of an answer, only the status when there is none.
func codeOf(t *testing.T, r reply) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(r.Body), &v); err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	if e := errorIn(v); e != nil {
		return fmt.Sprintf("%v %v %d", e["code"], e["name"], r.Status)
	}
	return fmt.Sprint(r.Status)
}

func errorIn(v any) map[string]any {
	var inside []any
	m, _ := v.(map[string]any)
	for _, v := range m {
		inside = append(inside, v)
	}
	list, _ := v.([]any)
	for _, v := range append(inside, list...) {
		if e := errorIn(v); e != nil && e["code"] != 113.0 { // a constraint is what makes atomic operations fail here
			return e
		}
	}
	if m["code"] != nil && m["name"] != nil {
		return m
	}
	for _, v := range append(inside, list...) {
		if e := errorIn(v); e != nil {
			return e
		}
	}
	return nil
}

func expect(what, got, want string) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("%s: got %s, want %s", what, got, want)
}

// announced announces a file and returns its signed URL and where to send it.
func (w *codesWorld) announced(s *testkit.Server) (signed, target string) {
	w.t.Helper()
	var a announced
	r := post(w.t, s.URL+"/asset/put", s.APIKey, `{"filename":"a.txt","content-type":"text/plain","content-size":5}`)
	if err := json.Unmarshal([]byte(r.Body), &a); err != nil || a.Result.Asset.URL == "" {
		w.t.Fatalf("asset:put: %+v", r)
	}
	return a.Result.Asset.URL, s.URL + a.Result.PostRequest.Action
}

func (w *codesWorld) request(s *testkit.Server, method, target, body string) reply {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header = http.Header{"X-Skygear-Api-Key": {s.APIKey}, "Content-Type": {"text/plain"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{resp.StatusCode, string(text)}
}

func (w *codesWorld) badSignature() string {
	signed, _ := w.announced(w.open)
	u, err := url.Parse(signed)
	if err != nil {
		w.t.Fatal(err)
	}
	q := u.Query()
	q.Set("signature", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	u.RawQuery = q.Encode()
	return expect("a bad signature", codeOf(w.t, w.request(w.open, http.MethodGet, w.open.URL+u.RequestURI(), "")), "106 InvalidSignature 401")
}

func (w *codesWorld) largeFile() string {
	_, target := w.announced(w.strict)
	return expect("a large file", codeOf(w.t, w.request(w.strict, http.MethodPut, target, "more than ten bytes")), "129 AssetSizeTooLarge 500")
}

// guesses tries passwords until the server wants to hear no more.
func (w *codesWorld) guesses() string {
	got := ""
	for range 20 {
		if got = w.send(w.open, "/auth/login", `{"auth_data":{"username":"guess"},"password":"no"}`); !strings.HasPrefix(got, "110") {
			break
		}
	}
	return expect("many guesses", got, "118 PluginUnavailable 429")
}

func (w *codesWorld) slow() string {
	return expect("a slow function", w.send(w.strict, "/slow", `{}`), "122 ResponseTimeout 503")
}

func (w *codesWorld) expired() string {
	psql(w.t, w.strict, `update app_test._auth set token_valid_since = now() - interval '2 days'`)
	return expect("an old password", w.send(w.strict, "/record/save", `{"access_token":"{una}","records":[{"_id":"note/1"}]}`), "126 PasswordPolicyViolated 401")
}

func (w *codesWorld) lostAccount() string {
	return expect("no account", w.send(w.open, "/auth/reset_password", `{"api_key":"MASTER","auth_id":"gone","password":"secret"}`), "10001 UnexpectedAuthInfoNotFound 500")
}

func (w *codesWorld) lostUser() string {
	psql(w.t, w.open, `insert into app_test._auth (id) values ('recordless')`)
	return expect("no user record", w.send(w.open, "/auth/reset_password", `{"api_key":"MASTER","auth_id":"recordless","password":"secret"}`), "10005 UnexpectedUserNotFound 500")
}

func (w *codesWorld) lostDatabase() string {
	w.cut()
	return expect("no database", w.send(w.strict, "/record/fetch", `{"ids":["note/1"]}`), "10002 UnexpectedUnableToOpenDatabase 503")
}

// cutter puts a line before a database, which cut ends for good.
func cutter(t *testing.T, database string) (through string, cut func()) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	network, target := "tcp", u.Host
	q := u.Query()
	if folder := q.Get("host"); folder != "" { // the socket of a private cluster
		network, target = "unix", filepath.Join(folder, ".s.PGSQL."+q.Get("port"))
		q.Del("host")
		q.Del("port")
		u.RawQuery = q.Encode()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	cut = sync.OnceFunc(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
	t.Cleanup(cut)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.DialTimeout(network, target, 30*time.Second)
			if err != nil {
				_ = in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
		}
	}()
	u.Host = l.Addr().String()
	return u.String(), cut
}
