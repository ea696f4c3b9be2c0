package workers

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
)

// oldCloud has the shape of a project for skygear-node.
var oldCloud = map[string]string{"index.js": `
const skygear = require('skygear');
const skygearCloud = require('skygear/cloud');
const {deep} = require('./parts/deep');
const Bean = skygear.Record.extend('bean');

skygearCloud.op('typed', ({args: {when, where, ref}}) => ({
  when: new Date(when.getTime() + 1000), where: [where.latitude, where.longitude], place: where, ref: ref.id, deep,
}));
skygearCloud.op('who', (param, {context, container}) => [context.user_id, context.access_key_type, container.asUserId, param.extra], {keyRequired: true});
skygearCloud.beforeSave('bean', function check(record, original, pool, options) {
  if (record.name === 'stone') throw new skygearCloud.SkygearError('no beans of stone', skygearCloud.ErrorCodes.PermissionDenied);
  record.name = record.name.toUpperCase();
  record.fresh = original === null;
  return record;
});
skygearCloud.afterSave('bean', (record) => {}, {async: true});
skygearCloud.afterSave('bean', (record) => {}, {async: true});
skygearCloud.hook('bean.gone', () => null, {type: 'bean', trigger: 'afterDelete'});
skygearCloud.every('@every 30s', function tick() { return 'tock'; });
skygearCloud.event('before-plugins-ready', () => 1);
skygearCloud.event('before-plugins-ready', () => 2);
const told = [];
skygearCloud.event('before-config', ({config}) => told.push([config.app.name, skygearCloud.skyconfig.app.name]));
skygearCloud.event('after-config', () => { throw new Error('only in the log'); });
skygearCloud.op('told', () => told);
skygearCloud.handler('form', (req) => new Promise((done) => req.form((err, fields) => done(fields.a + req.query.q + req.headers['X-One'][0]))), {method: 'POST'});
skygearCloud.handler('json', (req) => ({got: req.json, path: req.path}), {method: ['POST']});
skygearCloud.handler('raw', () => new skygearCloud.SkygearResponse({statusCode: 418, headers: {'X-Two': '2'}, body: Buffer.from([0, 255])}));
class Provider extends skygearCloud.BaseAuthProvider {
  async login({auth_data}) { return {principal_id: auth_data.name, auth_data}; }
}
skygearCloud.provides('auth', 'com.example', Provider);
skygearCloud.staticAsset('/css', () => __dirname + '/parts');
skygearCloud.op('database', async (param, {container}) => {
  const found = await container.publicDB.query(new skygear.Query(Bean).equalTo('name', 'KENYA').addAscending('name'));
  await container.publicDB.save(found[0]);
  return found.map((bean) => bean.id);
});
skygearCloud.op('refused', (param, {container}) => container.makeRequest('refuse', {}));
`, "parts/deep.js": "exports.deep = 'deep';\n", "ignored.js": "throw new Error('nobody requires this');\n"}

func TestJavaScript_TheOldPackage(t *testing.T) {
	t.Parallel()
	requests := make(chan string, 10)
	p := open(t, Config{
		Language: JavaScript, Env: map[string]string{"MASTER_KEY": "m"}, Workers: 1, Settings: json.RawMessage(`{"config":{"app":{"name":"beans"}}}`),
		Action: func(_ context.Context, body json.RawMessage) json.RawMessage {
			if strings.Contains(string(body), "refuse") {
				return json.RawMessage(`{"error":{"code":102,"name":"PermissionDenied","message":"not you"}}`)
			}
			requests <- string(body)
			return json.RawMessage(`{"result":[{"_id":"bean/1","_type":"record","_access":null,"_ownerID":"ann","name":"KENYA"}]}`)
		},
	}, oldCloud)
	r := p.Registered()
	if len(r.Problems) > 0 {
		t.Fatal(r.Problems[0].Trace)
	}
	anonymous := r.Hooks[1].Name
	r.Ops, r.Version = nil, ""
	r.Static[0].Dir = r.Static[0].Dir[strings.LastIndexByte(r.Static[0].Dir, '/')+1:]
	want := Registered{
		Handlers: []Declared{
			{Name: "form", Methods: []string{"POST"}}, {Name: "json", Methods: []string{"POST"}}, {Name: "raw", Methods: []string{"GET", "POST", "PUT"}},
		},
		Hooks: []DeclaredHook{
			{Name: "check", Type: "bean", Trigger: "beforeSave"},
			{Name: anonymous, Type: "bean", Trigger: "afterSave", Async: true},
			{Name: anonymous + "-1", Type: "bean", Trigger: "afterSave", Async: true},
			{Name: "bean.gone", Type: "bean", Trigger: "afterDelete"},
		},
		Timers:    []DeclaredTimer{{Name: "tick", Spec: "@every 30s"}},
		Providers: []DeclaredAuth{{Type: "auth", ID: "com.example"}},
		Events:    []Declared{{Name: "before-plugins-ready"}, {Name: "before-config"}, {Name: "after-config"}},
		Static:    []DeclaredStatic{{Prefix: "css", Dir: "parts"}},
		Problems:  []Problem{},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	callsOldCloud(t, p)
	var query map[string]any
	if err := json.Unmarshal([]byte(<-requests), &query); err != nil || query["_user_id"] != "ann" || query["api_key"] != "m" || query["action"] != "record:query" {
		t.Errorf("the query was %v, %v", query, err)
	}
}

func callsOldCloud(t *testing.T, p *Pool) {
	t.Helper()
	obeys(t, p, []rule{
		{
			Op, "typed", `{"args":{"when":{"$type":"date","$date":"2024-05-06T07:08:09.25Z"},"where":{"$type":"geo","$lat":1.5,"$lng":2},"ref":{"$type":"ref","$id":"bean/a"}}}`,
			`{"when":{"$type":"date","$date":"2024-05-06T07:08:10.250Z"},"where":[1.5,2],"place":{"$type":"geo","$lat":1.5,"$lng":2},"ref":"bean/a","deep":"deep"}`, 0,
		},
		{Op, "who", `{"args":{},"extra":"e"}`, `["ann","client","ann","e"]`, 0},
		{Op, "no_such", `{}`, "there is no op no_such", 117},
		{Op, "refused", `{}`, "not you", 102},
		{Op, "database", `{}`, `["bean/1"]`, 0},
		{
			Hook, "check", `{"record":{"_id":"bean/a/b","_type":"record","_access":[{"role":"barista","level":"write"}],"_ownerID":"ann","_created_at":"2024-05-06T07:08:09.500Z","name":"kenya"},"original":null}`,
			`{"_id":"bean/a/b","_ownerID":"ann","_access":[{"role":"barista","level":"write"}],"_created_at":"2024-05-06T07:08:09.500Z","name":"KENYA","fresh":true}`, 0,
		},
		{Hook, "check", `{"record":{"_id":"bean/1","_access":null,"name":"stone"}}`, "no beans of stone", 102},
		{Timer, "tick", ``, `"tock"`, 0},
		{Event, "before-plugins-ready", `{"config":{}}`, `[1,2]`, 0},
		{Event, "nobody-listens", `{}`, `null`, 0},
		{Op, "told", `{}`, `[["beans","beans"]]`, 0},
		{Provider, "com.example", `{"action":"login","auth_data":{"name":"bob"}}`, `{"principal_id":"bob","auth_data":{"name":"bob"}}`, 0},
		{
			Handler, "form", `{"method":"POST","path":"/form","query_string":"q=1","header":{"Content-Type":["application/x-www-form-urlencoded"],"X-One":["2"]},"body":"YT14"}`,
			`{"status":200,"header":{"Content-Type":["text/plain; charset=utf-8"]},"body":"eDEy"}`, 0,
		},
		{
			Handler, "json", `{"method":"POST","path":"/json","header":{},"body":"eyJhIjoxfQ=="}`,
			`{"status":200,"header":{"Content-Type":["application/json"]},"body":"eyJnb3QiOnsiYSI6MX0sInBhdGgiOiIvanNvbiJ9"}`, 0,
		},
		{Handler, "raw", `{"method":"GET","path":"/raw","header":{},"body":""}`, `{"status":418,"header":{"X-Two":["2"]},"body":"AP8="}`, 0},
		{Handler, "raw", `{"method":"DELETE","path":"/raw","header":{},"body":""}`, "there is no handler raw", 117},
	})
}

// An error that cannot be written as it is must reach its caller, who would wait until the deadline else.
func TestJavaScript_ErrorsOfAnyShape(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: JavaScript, Workers: 1}, map[string]string{"a.js": `
const {op, SkygearError} = require('skygear/cloud');
const circle = {}; circle.circle = circle;
op('circle', () => { throw new SkygearError('round', 4711, {circle}); });
op('big', () => { throw new SkygearError('much', 4712, {n: 10n}); });
op('bare', () => { throw Object.create(null); });
op('long', () => { throw new Error('x'.repeat(20 << 20)); });
op('pid', () => process.pid);
op('poison', () => { Object.prototype.toJSON = () => { throw new Error('no JSON'); }; return {}; });
`})
	before, err := op(t, p, "pid", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		number  int
		message string
	}{
		"circle": {4711, "round"}, "big": {4712, "much"}, "bare": {10000, "the error cannot be written as JSON"}, "long": {10000, "Error: xxx"},
	} {
		_, err := op(t, p, name, `{}`)
		if f := fault.From(err); f.Number != want.number || !strings.HasPrefix(f.Message, want.message) || len(f.Message) > 1<<20 {
			t.Errorf("%s: %d %.100s", name, f.Number, f.Message)
		}
	}
	if after, err := op(t, p, "pid", `{}`); err != nil || after != before {
		t.Errorf("errors have cost the worker: %s, %v", after, err)
	}
	if _, err := op(t, p, "poison", `{}`); !fault.Is(err, "functions.raised") {
		t.Errorf("without JSON: %v", err)
	}
}
