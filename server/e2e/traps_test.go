package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crema/server/testkit"
)

// The traps of the wire that no package sees alone. Wire: skygear §7.1. The others are tested where they are: those of records,
// users, roles and the schema in web/skygear, of files and sockets in their doors, T46 and T47 by the runtimes' own tests.

const trapsPy = `
import skygear
from skygear.container import SkygearContainer
from skygear.error import SkygearException
from skygear.options import options
from skygear.utils.context import current_context, current_user_id

@skygear.op("nothing")
def nothing():
    return None

@skygear.op("slash/named")
def slash():
    return "slash"

@skygear.op("keywords")
def keywords(**kwargs):
    return sorted(kwargs)

@skygear.op("context")
def context():
    return dict(current_context())

@skygear.op("broken")
def broken():
    return 1 / 0

@skygear.op("own")
def own():
    raise SkygearException("sour", 2001, {"milk": True})

@skygear.op("missing")
def missing():
    return SkygearContainer().send_action("brew", {})

@skygear.before_save("page")
def before(record, original, db):
    record["seen"] = "py"

@skygear.after_save("page")
def after(record, db_or_original=None, db=None):
    if record.get("title") == "late":
        raise SkygearException("too late", 2002)

@skygear.before_save("user")
def welcome(record, original, db):
    if record.get("username") == "rude":
        raise SkygearException("choose another name", 2003)
    if original is None:
        record["plan"] = "free"

@skygear.handler("echo", method="GET")
def echo_get(request):
    return "GET %r" % request.get_data()

@skygear.handler("echo", method="POST")
def echo_post(request):
    return "POST %r" % request.get_data()

@skygear.handler("fault")
def fault(request):
    return 1 / 0

@skygear.handler("healthz")
def never_asked(request):
    return "well"
`

const trapsJS = `
const skygearCloud = require('skygear/cloud');
skygearCloud.op('whole', (param) => param);
skygearCloud.beforeSave('leaf', (record) => { record.seen = 'js'; return record; });
skygearCloud.handler('body', (req) => JSON.stringify(req.body.toString()), {method: ['GET', 'POST']});
`

// trapper asks a server with functions of both languages.
type trapper struct {
	*testing.T
	s *testkit.Server
}

func newTrapper(t *testing.T) trapper {
	t.Helper()
	t.Parallel()
	needProgram(t, "python3")
	needProgram(t, "node")
	dir := appWith(t, map[string]string{"traps.py": trapsPy, "traps.js": trapsJS})
	s := testkit.StartServer(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test", "DEV_MODE=false")
	return trapper{t, s}
}

// do makes a request with headers ("name: value", one a line) and returns status and body.
func (t trapper) do(method, path, headers, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, t.s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, strings.TrimSuffix(string(text), "\n")
}

// want posts a body; KEY and MASTER in it stand for the keys. The answer must have the status and hold the text.
func (t trapper) want(path, body string, status int, text string) string {
	t.Helper()
	body = strings.NewReplacer("MASTER", t.s.MasterKey, "KEY", t.s.APIKey).Replace(body)
	resp, got := t.do(http.MethodPost, path, "", body)
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(got)) == nil { // Python writes spaces
		got = compact.String()
	}
	if resp.StatusCode != status || !strings.Contains(got, text) || text == "" && got != "" {
		t.Errorf("%s %s: %d %s, want %d %s", path, body, resp.StatusCode, got, status, text)
	}
	return got
}

func TestTraps_Transport(t *testing.T) {
	w := newTrapper(t)
	const ok, unknown = `{"result":{"status":"OK"}}`, `"code":117`

	// T1: the path beats the action; what no path and no action names is the home action.
	w.want("/", ``, 200, ok)
	w.want("/no/such/path", `{}`, 200, ok)
	w.want("/no/such/path", `{"action":7}`, 200, ok)
	w.want("/no/such/path", `{"action":"brew"}`, 404, unknown)
	w.want("/no/such/path", `{"action":"role:get","api_key":"KEY"}`, 400, `"code":108`)
	w.want("/role/get", `{"action":"me","api_key":"KEY"}`, 400, `"code":108`)
	w.want("/slash/named", `{"action":"me"}`, 200, `"slash"`)
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH", "BREW"} { // the method says nothing
		if resp, got := w.do(method, "/_status/healthz", "", ""); resp.StatusCode != 200 || got != ok {
			t.Errorf("T1 %s: %d %s", method, resp.StatusCode, got)
		}
	}

	// T2: what is no JSON object has no envelope; what comes behind the object does not count.
	for _, body := range []string{`{`, `x`, `[]`, `null`, `7`, `"x"`, `{"a":1,}`, `{'a':1}`} {
		w.want("/", body, 400, "")
	}
	w.want("/", `{} and more`, 200, ok)

	// T3: a null result leaves nothing.
	if got := w.want("/nothing", `{"args":{}}`, 200, `{}`); got != `{}` {
		t.Errorf("T3: %s", got)
	}

	// T6: keys and tokens in header and body; the header counts, unless it is empty.
	for headers, status := range map[string]int{
		"": 401, "X-Skygear-Api-Key: " + w.s.APIKey: 200, "x-skygear-api-key: wrong": 401, "X-Skygear-Api-Key: \nX-Skygear-Access-Token: ": 401,
	} {
		resp, got := w.do(http.MethodPost, "/record/query", headers, `{"record_type":"x","access_token":null}`)
		if resp.StatusCode != status {
			t.Errorf("T6 %q: %d %s", headers, resp.StatusCode, got)
		}
		resp, got = w.do(http.MethodPost, "/record/query", headers, `{"record_type":"x","access_token":null,"api_key":"`+w.s.APIKey+`"}`)
		if want := map[bool]int{true: 401, false: 200}[strings.Contains(headers, "wrong")]; resp.StatusCode != want {
			t.Errorf("T6 %q and in the body: %d %s", headers, resp.StatusCode, got)
		}
	}
}

func TestTraps_CORS(t *testing.T) {
	w := newTrapper(t)
	// T10: OPTIONS reaches nothing; the headers are on every answer.
	const origin = "Origin: https://shop.example\nAccess-Control-Request-Method: POST\nAccess-Control-Request-Headers: content-type, x-skygear-api-key, x-skygear-sdk-version, x-skygear-access-token"
	for _, path := range []string{"/", "/record/save", "/no/such", "/echo", "/fault", "/files/x", "/pubsub", "/_/pubsub", "/static/", "/static/none", "/lambda/nothing", "/sdk/skygear.js", "/healthz"} {
		for _, method := range []string{http.MethodOptions, http.MethodGet, http.MethodPost} {
			resp, body := w.do(method, path, origin, "{")
			h := resp.Header
			if h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Access-Control-Allow-Methods") != "POST" ||
				!strings.Contains(h.Get("Access-Control-Allow-Headers"), "x-skygear-access-token") {
				t.Errorf("T10 %s %s: %d %v", method, path, resp.StatusCode, h)
			}
			if method == http.MethodOptions && (resp.StatusCode != 200 || body != "") {
				t.Errorf("T10 %s %s: %d %q", method, path, resp.StatusCode, body)
			}
		}
	}
}

func TestTraps_Handlers(t *testing.T) {
	w := newTrapper(t)
	for _, c := range []struct {
		trap, method, path, body string
		status                   int
		want                     string
	}{
		{"T11 no body", "GET", "/echo", "", 200, `GET b''`},
		{"T11 no body in JavaScript", "GET", "/body", "", 200, `""`},
		{"T11 an empty body", "POST", "/body", "", 200, `""`},
		{"T19 the other method", "POST", "/echo", "x", 200, `POST b'x'`},
		{"a request for the head", "HEAD", "/echo", "", 200, ""},
		{"a path of the server's own", "GET", "/healthz", "", 200, `"ok"`},
		{"T19 no such method", "DELETE", "/echo", "", 404, `"code":117`},
		{"T20 a handler that fails", "GET", "/fault", "", 500, `"code":10000`},
		{"T20 no such file", "GET", "/static/no-such-file", "", 404, ``},
	} {
		resp, got := w.do(c.method, c.path, "", c.body)
		if resp.StatusCode != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s", c.trap, resp.StatusCode, got)
		}
	}
	index, err := os.ReadFile(filepath.Join(testkit.Root(), "public_html", "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	if resp, got := w.do("GET", "/static/", "", ""); resp.StatusCode != 200 || strings.TrimSpace(got) != string(bytes.TrimSpace(index)) {
		t.Errorf("T20 the folder: %d", resp.StatusCode)
	}
	if !strings.Contains(w.s.Log(), "the handler /healthz is not asked everything") {
		t.Error("nobody is told of a handler at a path of the server's own")
	}
}

func TestTraps_Lambdas(t *testing.T) {
	w := newTrapper(t)
	// T15: Python gets args, JavaScript all of the body; a null is passed on, which Python refuses.
	w.want("/keywords", `{"args":{"b":1,"a":2}}`, 200, `{"result":["a","b"]}`)
	w.want("/keywords", `{"more":1}`, 200, `{"result":[]}`)
	w.want("/keywords", `{"args":null}`, 500, `"code":10000`)
	if got := w.want("/", `{"action":"whole","more":[1],"args":null}`, 200, `"more":[1]`); !strings.Contains(got, `"args":null`) {
		t.Errorf("T15: %s", got)
	}
	if got := w.want("/whole", `{}`, 200, `"result"`); strings.Contains(got, `"args"`) {
		t.Errorf("T15: args where nobody sent any: %s", got)
	}

	// T17: the number decides the name; what helps developers stays out of the answer without DEV_MODE.
	w.want("/own", `{}`, 500, `{"name":"ErrorCode(2001)","code":2001,"message":"sour","info":{"milk":true}}`)
	if got := w.want("/broken", `{}`, 500, `"name":"UnexpectedError","code":10000`); strings.Contains(got, "trace") || strings.Contains(got, "traps.py") {
		t.Errorf("T17: %s", got)
	}

	// T18: no roles for functions; the kind of key is absent without a key.
	if got := w.want("/context", `{}`, 200, `"result"`); strings.Contains(got, "access_key_type") || strings.Contains(got, "user_id") || strings.Contains(got, "role") {
		t.Errorf("T18: %s", got)
	}
	if got := w.want("/context", `{"api_key":"KEY","access_token":"unknown"}`, 200, `"result"`); strings.Contains(got, "user_id") {
		t.Errorf("T18: an unknown token: %s", got)
	}
	if got := w.want("/context", `{"api_key":"MASTER","_user_id":"ann"}`, 200, `"user_id":"ann"`); !strings.Contains(got, `"access_key_type":"master"`) || strings.Contains(got, "role") {
		t.Errorf("T18: %s", got)
	}

	// T21: a function that asks for what is not there gets JSON, too.
	w.want("/missing", `{}`, 200, `"code":117`)
}

func TestTraps_Hooks(t *testing.T) {
	w := newTrapper(t)
	save := func(more, record string, status int) map[string]any {
		t.Helper()
		body := w.want("/record/save", `{"api_key":"MASTER","_user_id":"ann",`+more+`"records":[`+record+`]}`, status, `"result"`)
		var answer struct{ Result []map[string]any }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Result) != 1 {
			t.Fatalf("%s: %v", body, err)
		}
		return answer.Result[0]
	}
	// T12: a key with slashes stays what it is. T14: a hook that says nothing of async is waited for.
	if got := save("", `{"_id":"page/a/b/c","title":"x"}`, 200); got["_id"] != "page/a/b/c" || got["seen"] != "py" {
		t.Errorf("T12, T14: %v", got)
	}
	w.want("/record/fetch", `{"api_key":"KEY","ids":["page/a/b/c","page/b","page/a"]}`, 200, `[{"_id":"page/a/b/c",`)
	// T13: a record that everybody may write stays one, and times keep their microseconds. T47: the hook has no name.
	if got := save("", `{"_id":"leaf/1","when":{"$type":"date","$date":"2024-01-01T00:00:00.123456Z"}}`, 200); got["seen"] != "js" || got["_access"] != nil ||
		!strings.Contains(got["_created_at"].(string), ".") || got["when"].(map[string]any)["$date"] != "2024-01-01T00:00:00.123456Z" {
		t.Errorf("T13: %v", got)
	}
	// T16: an error after the save is told, though the record is stored; all or none means what is before it.
	for _, more := range []string{"", `"atomic":true,`} {
		id := "page/late" + map[bool]string{true: "-atomic"}[more != ""]
		if got := save(more, `{"_id":"`+id+`","title":"late"}`, 200); got["_type"] == "error" && got["code"] != 2002.0 || got["_type"] == "record" && more == "" {
			t.Errorf("T16 %s: %v", more, got)
		}
		w.want("/record/fetch", `{"api_key":"KEY","ids":["`+id+`"]}`, 200, `"title":"late"`)
	}
}

// Hooks of users run at sign-ups, too, and may refuse them. Wire: skygear §2.2.
func TestTraps_HooksOfUsers(t *testing.T) {
	w := newTrapper(t)
	w.want("/schema/create", `{"api_key":"MASTER","record_types":{"user":{"fields":[{"name":"plan","type":"string"}]}}}`, 200, `"plan"`)
	w.want("/auth/signup", `{"api_key":"KEY","auth_data":{"username":"rude"},"password":"secret"}`, 500, `"code":2003`)
	w.want("/auth/login", `{"api_key":"KEY","auth_data":{"username":"rude"},"password":"secret"}`, 404, `"code":110`)
	w.want("/auth/signup", `{"api_key":"KEY","auth_data":{"username":"ann"},"password":"secret"}`, 200, `"plan":"free"`)
	w.want("/auth/login", `{"api_key":"KEY","auth_data":{"username":"ann"},"password":"secret"}`, 200, `"plan":"free"`)
	w.want("/auth/signup", `{"api_key":"KEY","auth_data":null,"password":null,"profile":null}`, 200, `"plan":"free"`)
	w.want("/me", `{"api_key":"MASTER","_user_id":"bob"}`, 200, `"plan":"free"`)
}

// T24: the schema is in lower case; clients disagree about capitals, so an app's name has none. T25: the first of the six fields
// of a timer is the seconds (core/functions/timers). T22: what starts a program for each call is not offered.
func TestTraps_AppNamesAreInLowerCase(t *testing.T) {
	t.Parallel()
	out, code := testkit.Run(t, testkit.AppDir(t), []string{"APP_NAME=MyApp", "HOST=127.0.0.1:0"}, "serve")
	if code == 0 || !strings.Contains(out, "APP_NAME") || !strings.Contains(out, "lower-case") {
		t.Errorf("exit code %d: %s", code, out)
	}
}
