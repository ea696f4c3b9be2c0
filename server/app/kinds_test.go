package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/app"
	"crema/server/base/config"
	"crema/server/base/telemetry"
	"crema/server/lambda"
	"crema/server/testkit"
)

// The same functions in every language: each kind that there is. What a function has seen it saves as record
// heard/<language>_<what>; hooks fail for records whose field bad names their trigger.
const (
	pythonKinds = `
import skygear
from skygear.container import SkygearContainer
from skygear.error import SkygearException
from skygear.options import options
from skygear.providers import BaseAuthProvider

def heard(what):
    answer = SkygearContainer(api_key=options.masterkey).send_action("record:save", {
        "database_id": "_public", "records": [{"_id": "heard/py_" + what, "_access": None}]}, plugin_request=True)
    assert answer["result"][0]["_type"] == "record", answer

@skygear.op("py:echo")
def echo(text):
    return {"echo": text}

@skygear.handler("py/page", method="GET")
def page(request):
    return skygear.Response("page " + request.args["q"], status=202)

@skygear.every("* * * * * *")
def tick():
    heard("tick")

def hooked(declare, trigger, is_async):
    mode = "async" if is_async else "sync"

    @declare("py_" + mode, name="py_%s_%s" % (mode, trigger), async=is_async)
    def run(record, *more):
        heard("%s_%s" % (mode, trigger))
        if record.get("bad") == trigger:
            raise SkygearException("no " + trigger, 4711)
        record["seen"] = trigger

for is_async in (False, True):
    hooked(skygear.before_save, "beforeSave", is_async)
    hooked(skygear.after_save, "afterSave", is_async)
    hooked(skygear.before_delete, "beforeDelete", is_async)
    hooked(skygear.after_delete, "afterDelete", is_async)

for event in ("before-plugins-ready", "after-plugins-ready", "server-ready"):
    skygear.event(event)(lambda config, event=event: heard(event + "_" + config["app"]["name"]))

@skygear.event("before-plugins-ready")
def others_wait(config):
    answer = SkygearContainer(api_key=options.masterkey).send_action("record:fetch", {"ids": ["a/b"]})
    heard("others_get_%d" % answer["error"]["code"])

@skygear.event("schema-changed")
def schema_changed(**types):
    for name in types:
        if name.startswith("made_"):
            heard("changed_" + name + "_" + types[name]["fields"][0]["name"])

@skygear.provides("auth", "py.example")
class Provider(BaseAuthProvider):
    def login(self, auth_data):
        how = auth_data.get("how")
        if how == "raise":
            raise KeyError("word")
        if how == "nothing":
            return None
        if how == "nonsense":
            return {"principal_id": {"name": "bo"}, "auth_data": {}}
        return {"principal_id": auth_data["name"], "auth_data": {"seen": True}}
`
	javaScriptKinds = `
const cloud = require('skygear/cloud');
const server = new cloud.CloudCodeContainer({sendPluginRequest: true});
server.apiKey = cloud.settings.masterKey;
const heard = (what) => server.makeRequest('record:save', {
  database_id: '_public', records: [{_id: 'heard/js_' + what, _access: null}],
});

cloud.op('js:echo', ({args}) => ({echo: args.text}));
cloud.handler('js/page', (req) => new cloud.SkygearResponse({statusCode: 202, body: 'page ' + req.query.q}), {method: 'GET'});
cloud.every('* * * * * *', function jsTick() { return heard('tick'); });
for (const mode of ['sync', 'async']) {
  for (const trigger of ['beforeSave', 'afterSave', 'beforeDelete', 'afterDelete']) {
    cloud[trigger]('js_' + mode, async (record) => {
      await heard(mode + '_' + trigger);
      if (record.bad === trigger) throw new cloud.SkygearError('no ' + trigger, 4711);
      record.seen = trigger;
      return record;
    }, {async: mode === 'async'});
  }
}
for (const event of ['before-plugins-ready', 'after-plugins-ready', 'server-ready']) {
  cloud.event(event, ({config}) => heard(event + '_' + config.app.name));
}
cloud.event('schema-changed', (types) => Promise.all(Object.entries(types)
  .filter(([name]) => name.startsWith('made_')).map(([name, {fields}]) => heard('changed_' + name + '_' + fields[0].name))));
cloud.provides('auth', 'js.example', class extends cloud.BaseAuthProvider {
  async login({auth_data: {how, name}}) {
    switch (how) {
      case 'raise': throw new TypeError('word');
      case 'nothing': return null;
      case 'nonsense': return {principal_id: {name: 'bo'}, auth_data: {}};
    }
    return {principal_id: name, auth_data: {seen: true}};
  }
});
`
)

func goKinds() []lambda.Function {
	heard := func(ctx context.Context, c *lambda.Call, what string) error {
		_, err := c.Records.Save(ctx, lambda.Record{ID: "heard/go_" + what})
		return err
	}
	type echo struct {
		Text string `json:"text"`
	}
	all := []lambda.Function{
		lambda.Op("go:echo", func(_ context.Context, _ *lambda.Call, in echo) (map[string]string, error) {
			return map[string]string{"echo": in.Text}, nil
		}),
		lambda.HTTP("go/page", []string{"GET"}, func(_ context.Context, _ *lambda.Call, r lambda.Request) (lambda.Response, error) {
			return lambda.Response{Status: 202, Body: []byte("page " + strings.TrimPrefix(r.Query, "q="))}, nil
		}),
		lambda.Every("* * * * * *", "go_tick", func(ctx context.Context, c *lambda.Call) error { return heard(ctx, c, "tick") }),
		lambda.Provides("go.example", goProvider),
	}
	for _, event := range []string{"before-plugins-ready", "after-plugins-ready", "server-ready"} {
		all = append(all, lambda.On(event, event, func(ctx context.Context, c *lambda.Call, data json.RawMessage) error {
			var in struct {
				Config struct{ App struct{ Name string } }
			}
			if err := json.Unmarshal(data, &in); err != nil {
				return err
			}
			return heard(ctx, c, event+"_"+in.Config.App.Name)
		}))
	}
	all = append(all, lambda.On("schema-changed", "types", func(ctx context.Context, c *lambda.Call, data json.RawMessage) error {
		var types map[string]struct{ Fields []struct{ Name string } }
		if err := json.Unmarshal(data, &types); err != nil {
			return err
		}
		for name, t := range types {
			if strings.HasPrefix(name, "made_") {
				if err := heard(ctx, c, "changed_"+name+"_"+t.Fields[0].Name); err != nil {
					return err
				}
			}
		}
		return nil
	}))
	for mode, options := range map[string][]lambda.Option{"sync": nil, "async": {lambda.Async()}} {
		hook := func(trigger lambda.Trigger) func(context.Context, *lambda.Call, *lambda.Record) error {
			return func(ctx context.Context, c *lambda.Call, r *lambda.Record) error {
				if err := heard(ctx, c, mode+"_"+string(trigger)); err != nil {
					return err
				}
				if r.Fields["bad"] == string(trigger) {
					return &lambda.Error{Kind: lambda.Conflict, Message: "no " + string(trigger)}
				}
				r.Fields["seen"] = string(trigger)
				return nil
			}
		}
		with := func(trigger lambda.Trigger) func(context.Context, *lambda.Call, *lambda.Record, *lambda.Record) error {
			return func(ctx context.Context, c *lambda.Call, r, _ *lambda.Record) error { return hook(trigger)(ctx, c, r) }
		}
		all = append(all,
			lambda.BeforeSave("go_"+mode, mode+"1", with(lambda.OnBeforeSave), options...),
			lambda.AfterSave("go_"+mode, mode+"2", with(lambda.OnAfterSave), options...),
			lambda.BeforeDelete("go_"+mode, mode+"3", hook(lambda.OnBeforeDelete), options...),
			lambda.AfterDelete("go_"+mode, mode+"4", hook(lambda.OnAfterDelete), options...),
		)
	}
	return all
}

type proof struct {
	How  string `json:"how" lambda:"optional"`
	Name string `json:"name" lambda:"optional"`
}

func goProvider(ctx context.Context, _ *lambda.Call, in proof) (lambda.Identity, error) {
	switch in.How {
	case "raise":
		return lambda.Identity{}, &lambda.Error{Kind: lambda.Denied, Message: "word"}
	case "hang":
		<-ctx.Done()
		return lambda.Identity{}, ctx.Err()
	case "nothing":
		return lambda.Identity{}, nil
	case "nonsense":
		return lambda.Identity{}, errors.New("the directory cannot be reached")
	}
	return lambda.Identity{Principal: in.Name, Keep: map[string]bool{"seen": true}}, nil
}

// running is an app with functions.
type running struct {
	t *testing.T
	*app.App
	c   *config.Config
	log *output
}

func startWith(t *testing.T, files map[string]string, fns []lambda.Function, settings string) running {
	t.Helper()
	for name, program := range map[string]string{".py": "python3", ".js": "node"} {
		for file := range files {
			if _, err := exec.LookPath(program); filepath.Ext(file) == name && err != nil {
				t.Skipf("there is no %s here", program)
			}
		}
	}
	dir := testkit.AppDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "lambdas"), 0o755); err != nil {
		t.Fatal(err)
	}
	files["../app.json"] = settings
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "lambdas", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"HOST": "127.0.0.1:0", "DATABASE_URL": testkit.DatabaseURL(t), "APP_NAME": "test", "API_KEY": "key-of-this-app", "MASTER_KEY": "master-of-this-app"}
	c, err := config.Open(dir, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	var out output
	a, err := app.Start(context.Background(), c, telemetry.NewLogger(&out, slog.LevelInfo, "text"), fns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		a.Stop(ctx)
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return running{t, a, c, &out}
}

// ask returns the status and the body of an action.
func (r running) ask(key, action, params string) string {
	r.t.Helper()
	body := fmt.Sprintf(`{"action":%q,"api_key":%q%s}`, action, key, params)
	resp, err := http.Post(r.URL()+"/", "application/json", strings.NewReader(body))
	return r.read(resp, err)
}

func (r running) read(resp *http.Response, err error) string {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, bytes.TrimSpace(text))
}

func (r running) client(action, params string) string {
	return r.ask(r.c.APIKey.Reveal(), action, params)
}

func (r running) master(action, params string) string {
	return r.ask(r.c.MasterKey.Reveal(), action, params)
}

func (r running) wants(got, want string) {
	r.t.Helper()
	if !strings.Contains(strings.ReplaceAll(got, `": `, `":`), want) {
		r.t.Errorf("got %s, want %s", got, want)
	}
}

func (r running) heard(what string) bool {
	return strings.Contains(r.master("record:fetch", `,"ids":["heard/`+what+`"]`), `"_type":"record"`)
}

// hears waits until a function has told that it ran.
func (r running) hears(what string) {
	r.t.Helper()
	for limit := time.Now().Add(30 * time.Second); !r.heard(what); <-time.After(20 * time.Millisecond) {
		if time.Now().After(limit) {
			r.t.Fatalf("waited 30 s for %s", what)
		}
	}
}

// kinds are what a function can be, and what shows that it is.
var kinds = []struct {
	name string
	show func(r running, language string)
}{
	{"lambda", func(r running, l string) {
		r.wants(r.client(l+":echo", `,"args":{"text":"hi"}`), `200 {"result":{"echo":"hi"}}`)
		resp, err := http.Post(r.URL()+"/lambda/"+l+":echo", "application/json", strings.NewReader(`{"text":"rpc"}`))
		r.wants(r.read(resp, err), `"echo":"rpc"`)
	}},
	{"handler", func(r running, l string) {
		resp, err := http.Get(r.URL() + "/" + l + "/page?q=one")
		r.wants(r.read(resp, err), "202 page one")
		resp, err = http.Post(r.URL()+"/"+l+"/page", "", nil)
		r.wants(r.read(resp, err), "404")
	}},
	{"timer", func(r running, l string) { r.hears(l + "_tick") }},
	{"beforeSave", func(r running, l string) { r.showHook(l, "beforeSave") }},
	{"afterSave", func(r running, l string) { r.showHook(l, "afterSave") }},
	{"beforeDelete", func(r running, l string) { r.showHook(l, "beforeDelete") }},
	{"afterDelete", func(r running, l string) { r.showHook(l, "afterDelete") }},
	{"provider", showProvider},
	{"event", func(r running, l string) {
		if !r.heard(l + "_before-plugins-ready_test") {
			r.t.Error("requests are answered before the functions are ready")
		}
		if l == "py" && !r.heard("py_others_get_121") {
			r.t.Error("requests pass before the functions are ready")
		}
		r.hears(l + "_after-plugins-ready_test")
		r.hears(l + "_server-ready_test")
		r.wants(r.master("record:save", `,"database_id":"_public","records":[{"_id":"made_`+l+`/1","first":1}]`), `"_type":"record"`)
		r.hears(l + "_changed_made_" + l + "_first")
		r.wants(r.master("schema:rename", `,"record_type":"made_`+l+`","item_name":"first","new_name":"last"`), `"last"`)
		r.hears(l + "_changed_made_" + l + "_last")
	}},
}

// showHook shows a hook that the request waits for, whose error is told, and one that nobody waits for.
func (r running) showHook(l, trigger string) {
	r.t.Helper()
	for _, mode := range []string{"sync", "async"} {
		id := l + "_" + mode + "/" + trigger
		got := r.master("record:save", `,"database_id":"_public","records":[{"_id":"`+id+`","bad":"`+trigger+`"}]`)
		if strings.HasSuffix(trigger, "Delete") {
			r.wants(got, `"_type":"record"`)
			got = r.master("record:delete", `,"database_id":"_public","ids":["`+id+`"]`)
		}
		what := l + "_" + mode + "_" + trigger
		if mode == "async" {
			r.wants(got, `"_type":"record"`)
			r.hears(what)
			continue
		}
		r.wants(got, `"no `+trigger+`"`)
		if !r.heard(what) {
			r.t.Errorf("%s did not wait for its hook", what)
		}
	}
	if trigger == "beforeSave" {
		r.wants(r.master("record:save", `,"database_id":"_public","records":[{"_id":"`+l+`_sync/changed"}]`), `"seen":"beforeSave"`)
	}
	if strings.HasPrefix(trigger, "before") {
		stays := r.master("record:fetch", `,"ids":["`+l+`_sync/`+trigger+`"]`)
		if got := strings.Contains(stays, `"_type":"record"`); got != (trigger == "beforeDelete") {
			r.t.Errorf("after %s: %s", trigger, stays)
		}
	}
}

// showProvider shows who gets in by an auth provider, and who does not.
func showProvider(r running, l string) {
	enter := func(action, data string) (userID string) {
		r.t.Helper()
		got := r.client(action, `,"provider":"`+l+`.example","provider_auth_data":`+data)
		var in struct {
			Result struct {
				ID    string `json:"user_id"`
				Token string `json:"access_token"`
			}
		}
		if _, body, _ := strings.Cut(got, " "); json.Unmarshal([]byte(body), &in) != nil || in.Result.Token == "" {
			r.t.Fatalf("%s with %s: %s", action, data, got)
		}
		return in.Result.ID
	}
	bo := enter("auth:login", `{"name":"bo"}`)
	if again := enter("auth:login", `{"name":"bo"}`); again != bo {
		r.t.Errorf("one principal became two users, %s and %s", bo, again)
	}
	if kim := enter("auth:signup", `{"name":"kim"}`); kim == bo || kim != enter("auth:login", `{"name":"kim"}`) {
		r.t.Error("a sign-up is no user of its own")
	}
	// The name of another provider, and of its principal, is a principal of this one's own.
	for _, other := range []string{"go.example:bo", "py.example:bo", "js.example:bo", bo, "user/" + bo} {
		if enter("auth:login", `{"name":"`+other+`"}`) == bo {
			r.t.Errorf("%s got in as somebody else's user", other)
		}
	}
	const refused, internal = `401 {"error":{"name":"InvalidCredentials","code":105`, `500 {"error":{"name":"UnexpectedError","code":10000`
	for data, want := range map[string]string{
		`{"how":"raise"}`:    refused,
		`{"how":"nothing"}`:  refused,
		`{"name":""}`:        refused,
		`{"how":"nonsense"}`: internal,
		`{"name":"b\u0000"}`: internal,
		`"bo"`:               `400 {"error":{"name":"BadRequest","code":107`,
		`{"name":"` + strings.Repeat("o", 256) + `"}`: internal,
	} {
		got := r.client("auth:login", `,"provider":"`+l+`.example","provider_auth_data":`+data)
		if !strings.HasPrefix(got, want) {
			r.t.Errorf("%s: log in with %s: %s, want %s", l, data, got, want)
		}
	}
	r.wants(r.client("auth:login", `,"provider":"`+l+`.example2","provider_auth_data":{}`), `"arguments":["provider"]`)
}

// TestFunctions_EverythingThatAFunctionCanBe proves each kind in each language, on one server.
func TestFunctions_EverythingThatAFunctionCanBe(t *testing.T) {
	t.Parallel()
	r := startWith(t, map[string]string{"kinds.py": pythonKinds, "kinds.js": javaScriptKinds}, goKinds(), `{}`)
	for _, kind := range kinds {
		for _, l := range []string{"go", "py", "js"} {
			t.Run(kind.name+"/"+l, func(t *testing.T) {
				kind.show(running{t, r.App, r.c, r.log}, l)
			})
		}
	}
}

// An auth provider that does not answer costs its callers their time, and nobody else's.
func TestFunctions_ProvidersThatHang(t *testing.T) {
	t.Parallel()
	r := startWith(t, map[string]string{"hang.py": `
import time
import skygear
from skygear.providers import BaseAuthProvider

@skygear.provides("auth", "py.example")
class Provider(BaseAuthProvider):
    def login(self, auth_data):
        time.sleep(3600)
`, "hang.js": `
const cloud = require('skygear/cloud');
cloud.provides('auth', 'js.example', class extends cloud.BaseAuthProvider {
  async login() { for (;;); }
});
`}, []lambda.Function{lambda.Provides("go.example", goProvider)}, `{"functions":{"timeout_seconds":1}}`)
	var all sync.WaitGroup
	for _, l := range []string{"go", "py", "js"} {
		all.Go(func() {
			got := r.client("auth:login", `,"provider":"`+l+`.example","provider_auth_data":{"how":"hang"}`)
			if !strings.HasPrefix(got, `503 {"error":{"name":"ResponseTimeout","code":122`) {
				t.Errorf("%s: %s", l, got)
			}
		})
	}
	all.Wait()
}
