package clients_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/testkit"
)

// probe is one request of the table. Token stands for the access token of a user who has signed up.
type probe struct {
	method, path, key, body string
	want                    string // what both answers hold; "" leaves it to the comparison
}

const probeKey = "test-api-key"

// probes are asked of the real runtimes and of ours, in this order.
var probes = []probe{
	{"POST", "/", probeKey, `{"action":"probe:echo","args":{"a":1,"when":{"$type":"date","$date":"2024-01-01T08:00:00+08:00"},"text":"é<>"}}`, `"$type":"date"`},
	{"POST", "/probe/echo", "", `{"args":{"deep":{"list":[null,true,1.5]}}}`, `[null,true,1.5]`},
	{"POST", "/probe/swap", probeKey, `{"args":[1,"two"]}`, `{"result":["two",1]}`},
	{"POST", "/probe/nothing", probeKey, `{}`, "200 {}"},
	{"POST", "/probe/refuse", probeKey, `{}`, `"code":102,"message":"not you","info":{"bean":"blue"}`},
	{"POST", "/probe/own", probeKey, `{}`, `"name":"ErrorCode(4711)"`},
	{"POST", "/probe/crash", probeKey, `{}`, `500 {"error":{"name":"UnexpectedError","code":10000`},
	{"POST", "/probe/user", probeKey, `{}`, `"code":101`},
	{"POST", "/probe/user", probeKey, `{"access_token":"TOKEN"}`, `{"result":true}`},
	{"POST", "/probe/user", probeKey, `{"access_token":"wrong"}`, `"code":104`},
	{"POST", "/probe/key", "", `{}`, `"code":101`},
	{"POST", "/probe/key", "wrong", `{}`, `"code":103`},
	{"POST", "/probe/key", probeKey, `{}`, `{"result":"client"}`},
	{"POST", "/probe/key", "test-master-key", `{}`, `{"result":"master"}`},
	{"POST", "/probe/who", "", `{}`, `{"result":[null,null]}`},
	{"POST", "/probe/who", "test-master-key", `{"_user_id":"ann"}`, `{"result":["ann","master"]}`},
	{"POST", "/probe/save", probeKey, `{"args":{"key":"nested"}}`, `"checked":true`},
	{"GET", "/probe/page?a=1&a=2", "", "", `"path":"/probe/page"`},
	{"POST", "/probe/page", "", "some text", `"body":"some text"`},
	{"DELETE", "/probe/page", "", "", `404 {"error":{"name":"UndefinedOperation"`},
	{"GET", "/probe/text", "", "", "200 plain"},
	{"GET", "/probe/teapot", "", "", "418 short and stout"},
	{"GET", "/probe/broken", "", "", `"code":102`},
	{"POST", "/record/save", probeKey, `{"access_token":"TOKEN","records":[{"_id":"bean/1","grams":250}]}`, `"again":false`},
	{"POST", "/record/save", probeKey, `{"access_token":"TOKEN","records":[{"_id":"bean/1","grams":1000}]}`, `"again":true`},
	{"POST", "/record/save", probeKey, `{"access_token":"TOKEN","records":[{"_id":"bean/2","grams":13},{"_id":"bean/3","grams":1}]}`, `"code":102`},
	{"POST", "/record/save", probeKey, `{"access_token":"TOKEN","atomic":true,"records":[{"_id":"bean/2","grams":13}]}`, `"code":115`},
	{"POST", "/record/save", probeKey, `{"access_token":"TOKEN","records":[{"_id":"bean/a/b","grams":1}]}`, `"_id":"bean/a/b"`},
	{"POST", "/record/delete", probeKey, `{"access_token":"TOKEN","ids":["bean/1","bean/3"]}`, `"this one stays"`},
	// From here on, what one of the two languages has not is an unknown path for both of its runtimes.
	{"POST", "/probe/events", probeKey, `{}`, `"first test","second"`},
	{"GET", "/probe/twice?a=1&a=2", "", "", "200"},
	{"POST", "/probe/twice", "", "", "200 once"},
	{"POST", "/probe/signed", probeKey, `{}`, "200"},
	{"POST", "/probe/envelope", probeKey, `{"args":{"what":"result"}}`, ""},
	{"POST", "/probe/envelope", probeKey, `{"args":{"what":"error"}}`, ""},
	{"POST", "/probe/equal", probeKey, `{"args":{"a":{"$type":"ref","$id":"bean/1"},"b":{"$type":"ref","$id":"bean/1"}}}`, "200"},
	{"POST", "/probe/records", probeKey, `{"args":{"key":"seven"}}`, "200"},
	{"GET", "/probe/things?q=1", "", "", "200"},
	{"GET", "/probe/things/7/more", "", "", "200"},
	{"PUT", "/probe/things/7", "", `{"a":1}`, "200"},
	{"PUT", "/probe/things/7", "", `{"a"`, ""},
	{"PUT", "/probe/things", "", `{}`, ""},
	{"DELETE", "/probe/things/7", "", "", ""},
	{"GET", "/probe/beans", "", "", ""},
	{"POST", "/probe/beans", "", `{"grams":7}`, ""},
	{"POST", "/probe/unknown", probeKey, `{"action":"probe:unknown"}`, `"code":117`},
}

var (
	changing = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z`)
	userIDs  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
)

// ask returns the status, the telling headers and the body of an answer, without what differs from run to run.
func ask(t *testing.T, s *testkit.Server, p probe, token string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), p.method, s.URL+p.path, strings.NewReader(strings.ReplaceAll(p.body, "TOKEN", token)))
	if err != nil {
		t.Fatal(err)
	}
	if p.key != "" {
		r.Header.Set("X-Skygear-API-Key", p.key)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct {
		Error map[string]any `json:"error"`
	}
	text := strings.TrimSpace(string(b))
	if json.Unmarshal(b, &envelope) == nil && envelope.Error != nil && envelope.Error["code"] == 10000.0 {
		// Where and how a function crashed is the runtime's own affair.
		text = fmt.Sprintf(`{"error":{"name":"%v","code":10000}}`, envelope.Error["name"])
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(text)) == nil {
		text = compact.String()
	}
	text = userIDs.ReplaceAllString(changing.ReplaceAllString(text, "TIME"), "USER")
	return fmt.Sprintf("%d %s\n%s", resp.StatusCode, text, strings.Join([]string{resp.Header.Get("Content-Type"), resp.Header.Get("X-Tea")}, " "))
}

// answers are those to all probes.
func answers(t *testing.T, s *testkit.Server) (all []string) {
	t.Helper()
	signup := ask(t, s, probe{method: "POST", path: "/auth/signup", key: probeKey, body: `{"auth_data":{"username":"ann"},"password":"beans and more"}`}, "")
	if !strings.HasPrefix(signup, "200") {
		t.Fatalf("sign up: %s\n%s", signup, s.Log())
	}
	var in struct {
		Result struct {
			Token string `json:"access_token"`
		}
	}
	r := send(t, s.URL+"/auth/login", `{"auth_data":{"username":"ann"},"password":"beans and more"}`)
	if err := json.Unmarshal(r, &in); err != nil || in.Result.Token == "" {
		t.Fatalf("log in: %s", r)
	}
	for _, p := range probes {
		got := ask(t, s, p, in.Result.Token)
		if !strings.Contains(got, p.want) {
			t.Errorf("%s %s %s\n  got %s\n want %s", p.method, p.path, p.body, got, p.want)
		}
		all = append(all, got)
	}
	return all
}

func send(t *testing.T, url, body string) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Skygear-API-Key", probeKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// real is a runtime of Skygear's.
type real struct {
	program []string // for a port
	env     []string
}

func realPython(t *testing.T, port string) real {
	t.Helper()
	python, err := filepath.Abs(needVenv(t, "plugin"))
	if err != nil {
		t.Fatal(err)
	}
	shims, err := filepath.Abs("plugins/shims")
	if err != nil {
		t.Fatal(err)
	}
	return real{
		[]string{filepath.Join(filepath.Dir(python), "py-skygear"), "--http", "--http-addr", "127.0.0.1:" + port},
		[]string{"PYTHONPATH=" + shims, "PYTHONDONTWRITEBYTECODE=1"},
	}
}

func realNode(t *testing.T, port string) real {
	t.Helper()
	needPackage(t, "skygear", "skygear")
	modules, err := filepath.Abs("skygear/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	return real{
		[]string{"node", filepath.Join(modules, "skygear/bin.js")},
		[]string{"NODE_PATH=" + modules, "HTTP_ADDR=127.0.0.1:" + port, "SERVE_STATIC_ASSETS=false"},
	}
}

// plugged starts a server and then a plugin, and returns when the gate is open. again replaces the plugin.
func plugged(t *testing.T, runtime func(*testing.T, string) real, file string) (s *testkit.Server, again func(file string)) {
	t.Helper()
	port := freePort(t)
	r := runtime(t, port)
	database := testkit.DatabaseURL(t)
	s = testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+database, "APP_NAME=test",
		"PLUGINS=OLD", "OLD_TRANSPORT=http", "OLD_PATH=http://127.0.0.1:"+port)
	if got := ask(t, s, probe{method: "POST", path: "/record/query", key: probeKey, body: `{"record_type":"bean"}`}, ""); !strings.Contains(got, `"code":118`) {
		t.Errorf("before the plugin is there: %s", got)
	}
	if got := ask(t, s, probe{method: "GET", path: "/"}, ""); !strings.HasPrefix(got, "200") {
		t.Errorf("the home action: %s", got)
	}
	r.env = append(r.env, "DATABASE_URL="+strings.Replace(database, "postgres://", "postgresql://", 1), "APP_NAME=test",
		"API_KEY="+s.APIKey, "MASTER_KEY="+s.MasterKey, "SKYGEAR_ENDPOINT="+s.URL, "LOG_LEVEL=INFO")
	stop := launch(t, r, file)
	until(t, "the gate opens", func() bool {
		return strings.HasPrefix(ask(t, s, probe{method: "GET", path: "/_status/healthz"}, ""), "200")
	})
	return s, func(file string) {
		stop()
		if got := ask(t, s, probe{method: "POST", path: "/life/here", key: probeKey}, ""); !strings.HasPrefix(got, "500") {
			t.Errorf("a call of a plugin that is gone: %s", got)
		}
		stop = launch(t, r, file)
	}
}

// launch runs a plugin until stop or the end of the test, with this file of plugins/ in a folder of its own.
func launch(t *testing.T, r real, file string) (stop func()) {
	t.Helper()
	dir := t.TempDir()
	copyProbe(t, file, dir)
	var log bytes.Buffer
	cmd := exec.Command(r.program[0], r.program[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), r.env...), &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("the plugin said:\n%s", log.String())
		}
	})
	return stop
}

// copyProbe puts a file of plugins/ into a folder, which it makes.
func copyProbe(t *testing.T, file, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("plugins", file))
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, over func() bool) {
	t.Helper()
	for limit := time.Now().Add(60 * time.Second); !over(); {
		if time.Now().After(limit) {
			t.Fatalf("waited 60 s for: %s", what)
		}
		<-time.After(200 * time.Millisecond)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// ours starts a server whose own runtime serves the functions.
func ours(t *testing.T, file string) *testkit.Server {
	t.Helper()
	dir := testkit.AppDir(t)
	copyProbe(t, file, filepath.Join(dir, "lambdas"))
	return testkit.StartServer(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
}

// TestPlugins_AnswerAsOurRuntimesDo asks the same of both, in the same order, and compares every answer.
func TestPlugins_AnswerAsOurRuntimesDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		runtime func(*testing.T, string) real
		file    string
		known   *strings.Replacer // what differs
	}{
		// Messages are in our own words.
		"py-skygear": {realPython, "python/__init__.py", strings.NewReplacer(
			"unable to decode json", "the body is no JSON", "invalid request method", "PUT /probe/things is not possible",
		)},
		// The hooks of skygear-node give every record without an access list the client's default one, and the wire cannot
		// tell that from a hook that means it. Ours leaves the record as it was.
		"skygear-node": {realNode, "node/index.js", strings.NewReplacer(`"_access":[{"level":"read","public":true}]`, `"_access":null`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plugin, _ := plugged(t, c.runtime, c.file)
			old := answers(t, plugin)
			own := answers(t, ours(t, c.file))
			for i, p := range probes {
				if diff := cmp.Diff(c.known.Replace(old[i]), c.known.Replace(own[i])); diff != "" {
					t.Errorf("%s %s %s (- the real runtime, + ours)\n%s", p.method, p.path, p.body, diff)
				}
			}
		})
	}
}

// TestPlugins_LiveAsTheWireHasIt has the real py-skygear take part in everything around calls: events that use the server while
// the gate is closed to others, timers, an auth provider, and a restart with other functions.
func TestPlugins_LiveAsTheWireHasIt(t *testing.T) {
	t.Parallel()
	s, again := plugged(t, realPython, "life/__init__.py")
	if got := ask(t, s, probe{method: "POST", path: "/schema/fetch", key: s.MasterKey, body: "{}"}, ""); !strings.Contains(got, `"seen":{"fields":[{"name":"app","type":"string"}`) {
		t.Errorf("before-plugins-ready has made no type: %s", got)
	}
	if got := ask(t, s, probe{method: "POST", path: "/record/save", key: s.MasterKey, body: `{"records":[{"_id":"made/1","first":1}]}`}, ""); !strings.Contains(got, `"_type":"record"`) {
		t.Errorf("a record of a new type: %s", got)
	}
	for id, want := range map[string]string{"seen/ready": `"app":"test"`, "seen/tick": `"_id":"seen/tick"`, "seen/first": `"_id":"seen/first"`} {
		until(t, id, func() bool {
			return strings.Contains(ask(t, s, probe{method: "POST", path: "/record/fetch", key: s.MasterKey, body: `{"ids":["` + id + `"]}`}, ""), want)
		})
	}
	login := `{"provider":"probe","provider_auth_data":{"name":"bo","word":"WORD"}}`
	for word, want := range map[string]string{"beans": `"access_token"`, "tea": `"code":105`} {
		got := ask(t, s, probe{method: "POST", path: "/auth/login", key: probeKey, body: strings.Replace(login, "WORD", word, 1)}, "")
		if !strings.Contains(got, want) {
			t.Errorf("log in with %s: %s", word, got)
		}
	}
	swap := probe{method: "POST", path: "/", key: probeKey, body: `{"action":"probe:swap","args":[1]}`}
	if got := ask(t, s, swap, ""); !strings.Contains(got, `"code":117`) {
		t.Errorf("a function of the next version: %s", got)
	}
	again("python/__init__.py")
	until(t, "the functions of the restarted plugin", func() bool { return strings.Contains(ask(t, s, swap, ""), `{"result":[2,1]}`) })
	if got := ask(t, s, probe{method: "POST", path: "/", key: probeKey, body: `{"action":"life:here"}`}, ""); !strings.Contains(got, `"code":117`) {
		t.Errorf("a function of the version before: %s", got)
	}
}
