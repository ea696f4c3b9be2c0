package workers

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/telemetry"
)

// oldProject has the shape of a project that was deployed to the hosted platform: an entry file that imports
// the others, and the keyword async as it could be written before Python 3.7.
var oldProject = map[string]string{
	"__init__.py": `
import datetime
import logging
import os

import skygear
from skygear.container import SkygearContainer
from skygear.encoding import deserialize_record, serialize_record
from skygear.error import SkygearException, PermissionDenied
from skygear.models import Asset, Location, PublicAccessControlEntry, Record, RecordID, Reference
from skygear.options import options
from skygear.predicate import Predicate
from skygear.providers import BaseAuthProvider
from skygear.query import Query
from skygear import skyconfig
from skygear.settings import SettingsParser, add_parser, settings
from skygear.utils.context import current_context, current_user_id

from . import parts
from .parts.deep import DEEP

parser = SettingsParser("BEANS")
parser.add_setting("origin", default="kenya")
parser.add_setting("grams", atype=int, env_var="GRAMS", required=False)
add_parser("beans", parser)

@skygear.op("typed")
def typed(when, where, ref, asset, record, plain):
    assert isinstance(when, datetime.datetime) and isinstance(where, Location) and isinstance(asset, Asset)
    return {
        "when": when + datetime.timedelta(days=1), "where": Location(where.lat, where.lng), "ref": ref.recordID.key,
        "back": [ref, asset], "title": record["title"], "acl": [type(e).__name__ for e in record.acl], "plain": plain,
    }

@skygear.op("who", user_required=True)
def who():
    return [current_user_id(), current_context().get("access_key_type"), options.appname, DEEP, settings.beans.origin, settings.beans.grams]

@skygear.before_save("bean", async=False)
def check(record, original, db):
    if record.get("name") == "stone":
        raise SkygearException("no beans of stone", PermissionDenied, {"arguments": ["name"]})
    record["name"] = record["name"].upper()
    record["new"] = original is None
    record["at"] = record.created_at
    return Record(RecordID("bean", "other"), "nobody", None)  # does not count

@skygear.after_delete("bean", name="bean.gone", async=True)
def gone(record, db):
    pass

@skygear.every(datetime.timedelta(seconds=30))
def tick():
    return "tock"

@skygear.every("@daily", name="nightly")
def nightly():
    raise ValueError("dark")

told = []

@skygear.event("schema-changed")
def schema_changed(**types):
    told.append(sorted(types))
    return "does not count"

@skygear.event("schema-changed")
def schema_changed_too(bean, tea):
    told.append(bean["fields"])

@skygear.event("before-config")
def before_config(config):
    told.append([config["app"]["name"], skyconfig.config.app.name])

@skygear.event("after-config")
def after_config(config):
    raise ValueError("only in the log")

@skygear.op("told")
def what_was_told():
    return told

@skygear.handler("form", method="POST")
def form(request):
    return "%s %s %s" % (request.form["a"], request.args.get("q"), request.headers.get("x-one"))

@skygear.handler("json", method=["POST"])
def as_json(request):
    return {"got": request.json, "path": request.path}

@skygear.handler("raw")
def raw(request):
    return skygear.Response(b"\x00\xff", status=418, headers={"X-Two": "2"}, mimetype="application/x-bean")

@skygear.rest("/things")
class Things(skygear.RestfulResource):
    def index(self):
        return ["all"]

    def get(self, resource_id):
        return {"id": resource_id}

    def update(self, resource_id):
        return {"id": resource_id, "payload": self.request.payload}

@skygear.provides("auth", "com.example")
class Example(BaseAuthProvider):
    def login(self, auth_data):
        return {"principal_id": auth_data["name"], "auth_data": auth_data}

@skygear.static_assets(prefix="css")
def css():
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "parts")

class Sour(Exception):
    pass

@skygear.exception_handler(Sour)
def sour(e):
    return SkygearException("sour: %s" % e, 2001)

@skygear.op("sour")
def make_sour():
    raise Sour("milk")

@skygear.op("database")
def database():
    container = SkygearContainer(api_key=options.masterkey, user_id="ann")
    query = Query("bean", predicate=Predicate(name__eq="KENYA") & Predicate(grams__gt=1), limit=2)
    query.add_order("name", "asc")
    found = container.public_database.query(query)
    saved = container.public_database.save(found[0])
    return {"found": [r["name"] for r in found], "saved": saved, "acl": [e.level for e in found[0].acl]}

@skygear.op("with_db")
def with_db():
    from skygear.utils import db
    return db.get_table("bean").name

logging.getLogger("plugin").warning("loaded")
`,
	"parts/__init__.py": "", "parts/deep.py": "DEEP = 'deep'\n", "ignored.py": "raise Exception('nobody imports this')\n",
}

func TestPython_TheOldPackage(t *testing.T) {
	t.Parallel()
	requests := make(chan string, 10)
	p := open(t, Config{
		Language: Python, Env: map[string]string{"APP_NAME": "beans", "MASTER_KEY": "m", "BEANS_ORIGIN": "brazil"}, Workers: 1,
		Settings: json.RawMessage(`{"config":{"app":{"name":"beans"},"verification":{"required":false}}}`),
		Action: func(_ context.Context, body json.RawMessage) json.RawMessage {
			requests <- string(body)
			return json.RawMessage(`{"result":[{"_id":"bean/1","_type":"record","_access":[{"public":true,"level":"read"}],"_ownerID":"ann","name":"KENYA"}]}`)
		},
	}, oldProject)
	if r := p.Registered(); len(r.Problems) > 0 {
		t.Fatal(r.Problems[0].Message + "\n" + r.Problems[0].Trace)
	}
	t.Run("registered", func(t *testing.T) { registersOldProject(t, p.Registered()) })
	t.Run("calls", func(t *testing.T) { callsOldProject(t, p) })
	t.Run("database", func(t *testing.T) {
		got, err := op(t, p, "database", `{}`)
		if want := `{"found": ["KENYA"], "saved": `; err != nil || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, `"acl": ["read"]}`) {
			t.Fatalf("%s, %v", got, err)
		}
		wantQuery := map[string]any{
			"action": "record:query", "api_key": "m", "_user_id": "ann", "database_id": "_public", "record_type": "bean", "count": false, "limit": 2.0,
			"include": map[string]any{}, "sort": []any{[]any{key("name"), "asc"}},
			"predicate": []any{"and", []any{"eq", key("name"), "KENYA"}, []any{"gt", key("grams"), 1.0}},
		}
		var query, save map[string]any
		if err := json.Unmarshal([]byte(<-requests), &query); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wantQuery, query); diff != "" {
			t.Error(diff)
		}
		if err := json.Unmarshal([]byte(<-requests), &save); err != nil || save["action"] != "record:save" || fmt.Sprint(save["records"]) != "[map[_access:[map[level:read public:true]] _id:bean/1 _ownerID:ann name:KENYA]]" {
			t.Errorf("save: %v, %v", save, err)
		}
	})
}

func key(name string) map[string]any { return map[string]any{"$type": "keypath", "$val": name} }

func registersOldProject(t *testing.T, got Registered) {
	t.Helper()
	got.Ops, got.Version = nil, ""
	if len(got.Static) == 1 && strings.HasSuffix(got.Static[0].Dir, "/parts") {
		got.Static[0].Dir = "parts"
	}
	want := Registered{
		Handlers: []Declared{
			{Name: "form", Methods: []string{"POST"}},
			{Name: "json", Methods: []string{"POST"}},
			{Name: "raw", Methods: []string{"GET", "POST", "PUT"}},
			{Name: "things", Methods: []string{"GET", "PUT"}},
			{Name: "things/", Methods: []string{"GET", "PUT"}},
		},
		Hooks: []DeclaredHook{
			{Name: "plugin.check", Type: "bean", Trigger: "beforeSave"},
			{Name: "bean.gone", Type: "bean", Trigger: "afterDelete", Async: true},
		},
		Timers:    []DeclaredTimer{{Name: "plugin.tick", Spec: "@every 30.0s"}, {Name: "nightly", Spec: "@daily"}},
		Providers: []DeclaredAuth{{Type: "auth", ID: "com.example"}},
		Events:    []Declared{{Name: "schema-changed"}, {Name: "before-config"}, {Name: "after-config"}},
		Static:    []DeclaredStatic{{Prefix: "css", Dir: "parts"}},
		Problems:  []Problem{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func callsOldProject(t *testing.T, p *Pool) {
	t.Helper()
	const record = `{"_id":"bean/a/b","_type":"record","_access":[{"role":"barista","level":"write"}],"_ownerID":"ann","_created_at":"2024-05-06T07:08:09.5Z","name":"kenya"}`
	obeys(t, p, []rule{
		{
			Op, "typed", `{"args":{"when":{"$type":"date","$date":"2024-05-06T09:08:09.25+02:00"},"where":{"$type":"geo","$lat":1.5,"$lng":2},
			"ref":{"$type":"ref","$id":"bean/a/b"},"asset":{"$type":"asset","$name":"x.png","$content_type":"image/png"},
			"record":{"$type":"record","$record":{"_id":"bean/1","_access":[{"role":"r","level":"read"},{"public":true,"level":"read"}],"title":"t"}},
			"plain":{"$type":"geojson","$val":{"a":[1,null,"x"]}}}}`,
			`{"when":{"$type":"date","$date":"2024-05-07T07:08:09.25Z"},"where":{"$type":"geo","$lng":1.5,"$lat":2},"ref":"a/b",
			"back":[{"$type":"ref","$id":"bean/a/b"},{"$type":"asset","$name":"x.png","$content_type":"image/png"}],
			"title":"t","acl":["RoleAccessControlEntry","PublicAccessControlEntry"],"plain":{"$type":"geojson","$val":{"a":[1,null,"x"]}}}`, 0,
		},
		{Op, "who", `{}`, `["ann","client","beans","deep","brazil",null]`, 0},
		{Op, "who", `{"args":null}`, "args must be", 10000},
		{Op, "who", `{"args":"text"}`, "args must be", 10000},
		{Op, "sour", `{}`, "sour: milk", 2001},
		{Op, "no_such", `{}`, "there is no op no_such", 117},
		{Op, "with_db", `{}`, "needs SQLAlchemy", 10000},
		{Hook, "plugin.check", `{"record":` + record + `,"original":null}`, `{"_id":"bean/a/b","_ownerID":"ann","_access":[{"role":"barista","level":"write"}],
			"_created_at":"2024-05-06T07:08:09.5Z","_created_by":null,"name":"KENYA","new":true,"at":{"$type":"date","$date":"2024-05-06T07:08:09.5Z"}}`, 0},
		{Hook, "plugin.check", `{"record":{"_id":"bean/1","_ownerID":"a","_access":null,"name":"stone"},"original":null}`, "no beans of stone", 102},
		{Hook, "bean.gone", `{"record":` + record + `,"original":null}`, `{"_id":"bean/a/b","_ownerID":"ann","_access":[{"role":"barista","level":"write"}],
			"_created_at":"2024-05-06T07:08:09.5Z","_created_by":null,"name":"kenya"}`, 0},
		{Timer, "plugin.tick", ``, `"tock"`, 0},
		{Timer, "nightly", ``, "dark", 10000},
		{Event, "schema-changed", `{"bean":{"fields":[]},"tea":{"fields":[]}}`, `null`, 0},
		{Op, "told", `{}`, `[["beans","beans"],["bean","tea"],[]]`, 0},
		{Event, "nobody-listens", `{"config":{}}`, `null`, 0},
		{Provider, "com.example", `{"action":"login","auth_data":{"name":"bob"}}`, `{"principal_id":"bob","auth_data":{"name":"bob"}}`, 0},
		{Provider, "com.example", `{"action":"info","auth_data":{}}`, "no info", 10000},
		{
			Handler, "form", `{"status":0,"method":"POST","path":"/form","query_string":"q=1","header":{"Content-Type":["application/x-www-form-urlencoded"],"X-One":["1"]},"body":"YT14JTIweQ=="}`,
			`{"status":200,"header":{"Content-Type":["text/plain; charset=utf-8"]},"body":"eCB5IDEgMQ=="}`, 0,
		},
		{
			Handler, "json", `{"method":"POST","path":"/json","header":{"Content-Type":["application/json"]},"body":"eyJhIjoxfQ=="}`,
			`{"status":200,"header":{"Content-Type":["application/json"]},"body":"eyJnb3QiOiB7ImEiOiAxfSwgInBhdGgiOiAiL2pzb24ifQ=="}`, 0,
		},
		{
			Handler, "raw", `{"method":"GET","path":"/raw","header":{},"body":""}`,
			`{"status":418,"header":{"X-Two":["2"],"Content-Type":["application/x-bean"]},"body":"AP8="}`, 0,
		},
		{Handler, "raw", `{"method":"DELETE","path":"/raw","header":{},"body":""}`, "no handler raw for DELETE", 117},
		{
			Handler, "things/", `{"method":"PUT","path":"/things/7","header":{},"body":"eyJhIjoxfQ=="}`,
			`{"status":200,"header":{"Content-Type":["application/json"]},"body":"eyJpZCI6ICI3IiwgInBheWxvYWQiOiB7ImEiOiAxfX0="}`, 0,
		},
	})
}

func decoded(t *testing.T, text string) (v any) {
	t.Helper()
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Errorf("%q: %v", text, err)
	}
	return v
}

func TestPython_ErrorsTellWhereOnlyToDevelopers(t *testing.T) {
	t.Parallel()
	for _, dev := range []bool{true, false} {
		p := open(t, Config{Language: Python, DevMode: dev}, map[string]string{"a.py": "import skygear\n\n@skygear.op('fails')\ndef fails():\n    raise KeyError('bean')\n"})
		_, err := op(t, p, "fails", `{}`)
		trace, _ := fault.From(err).Details["trace"].(string)
		if told := strings.Contains(trace, "a.py\", line 5"); told != dev {
			t.Errorf("developing: %v, the trace is %q", dev, trace)
		}
	}
}

func TestPython_ErrorsTellCallersWhatTheLogHides(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python, Hide: telemetry.NewHider("sesame")}, map[string]string{
		"a.py": "import skygear\n\n@skygear.op('fails')\ndef fails():\n    raise KeyError('open sesame')\n",
	})
	_, err := op(t, p, "fails", `{}`)
	if err == nil || err.Error() != "functions.raised: 'open [redacted]'" || fault.From(err).Message != "'open sesame'" {
		t.Errorf("%v, %+v", err, fault.From(err))
	}
}

func TestPython_FilesThatDoNotLoadAreLeftOut(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python}, map[string]string{
		"good.py":      "import skygear\nfrom . import _shared\nimport _shared as again\n\n@skygear.op('good')\ndef good():\n    return _shared.VALUE\n",
		"_shared.py":   "VALUE = 1\n",
		"late.py":      "import skygear\n\n@skygear.op('half')\ndef half():\n    pass\n\nraise ValueError('half way')\n",
		"syntax.py":    "def f(:\n    pass\n",
		"leaves.py":    "import sys\nsys.exit(3)\n",
		"needs.py":     "import sys\nsys.modules['zmq'] = None\nimport zmq\n",
		"test_good.py": "raise Exception('tests are not loaded')\n",
	})
	r := p.Registered()
	if len(r.Ops) != 1 || r.Ops[0].Name != "good" {
		t.Errorf("registered: %+v", r.Ops)
	}
	got := map[string]int{}
	for _, problem := range r.Problems {
		got[problem.File] = problem.Line
		if problem.File == "needs.py" && !strings.HasSuffix(problem.Message, "requirements.txt must name pyzmq") {
			t.Error(problem.Message)
		}
	}
	if diff := cmp.Diff(map[string]int{"late.py": 7, "syntax.py": 1, "leaves.py": 2, "needs.py": 3}, got); diff != "" {
		t.Error(diff)
	}
	if got, err := op(t, p, "good", `{}`); err != nil || got != "1" {
		t.Error(got, err)
	}
}

func TestPython_AFolderThatIsMissingIsTold(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python}, map[string]string{
		"shop.py": "import skygear\n\n@skygear.op('still')\ndef still():\n    return 1\n\n@skygear.static_assets('css')\ndef css():\n    return 'nowhere'\n" +
			"\n@skygear.static_assets('none')\ndef none():\n    return None\n",
	})
	r := p.Registered()
	if len(r.Problems) != 1 || r.Problems[0].File != "shop.py" || !strings.Contains(r.Problems[0].Message, "nowhere is no folder") || len(r.Static) != 0 || len(r.Ops) != 1 {
		t.Errorf("registered: %+v", r)
	}
}

func TestPython_OtherThreadsUseTheServerOverHTTP(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		bodies <- r.URL.Path + fmt.Sprint(body)
		w.WriteHeader(http.StatusNotFound) // the answer counts whatever the status is
		_, _ = w.Write([]byte(`{"error":{"code":110}}`))
	}))
	t.Cleanup(server.Close)
	p := open(t, Config{Language: Python, Env: map[string]string{"SKYGEAR_ENDPOINT": server.URL, "MASTER_KEY": "m"}}, map[string]string{"a.py": `
import threading
import skygear
from skygear.container import SkygearContainer
from skygear.options import options

@skygear.op("aside")
def aside():
    answers = []
    thread = threading.Thread(target=lambda: answers.append(SkygearContainer(api_key=options.masterkey).send_action("record:fetch", {"ids": []})))
    thread.start()
    thread.join()
    return answers
`})
	if got, err := op(t, p, "aside", `{}`); err != nil || got != `[{"error": {"code": 110}}]` {
		t.Fatal(got, err)
	}
	if got, want := <-bodies, "/record/fetchmap[action:record:fetch api_key:m ids:[]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What workers are forked from has what packages need, and nothing that they would share.
func TestPython_ForkedWorkers(t *testing.T) {
	t.Parallel()
	packages := app(t, map[string]string{
		"calm.py":   "import os\nPID = os.getpid()\n",
		"deep.py":   "import os\nPID = os.getpid()\n",
		"dials.py":  "import os, socket\nPID = os.getpid()\nPAIR = socket.socketpair()\n",
		"spins.py":  "import os, threading\nPID = os.getpid()\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
		"greets.py": "import os\nGREETING = os.environ.get('GREETING')\n",
		"breaks.py": "raise SystemExit(3)\n", "numpy/__init__.py": "",
		"numpy/random.py": "import os\nSEEDS = []\ndef seed():\n    SEEDS.append(os.getpid())\n",
	})
	p := open(t, Config{Language: Python, Env: map[string]string{"PYTHONPATH": packages}}, map[string]string{
		"parts/__init__.py": "", "parts/more.py": "import deep\n", "a.py": `
import csv, glob, os, resource
import calm, dials, numpy.random, spins, skygear
import deep as other  # parts imports it too
os.environ["GREETING"] = "set before the import"
import greets

try:
    import breaks
except SystemExit:
    pass

@skygear.op("own")
def own():
    return {module.__name__: module.PID == os.getpid() for module in (calm, other, dials, spins)}

@skygear.op("greeting")
def greeting():
    return greets.GREETING

@skygear.op("places")
def places():
    prefix = os.environ["PYTHONPYCACHEPREFIX"]
    here = os.path.dirname(os.path.abspath(__file__))
    return [csv.__cached__.startswith(prefix), os.listdir(here).count("__pycache__"), len(glob.glob(prefix + here + "/a.*.pyc"))]

@skygear.op("limits")
def limits():
    with open("/proc/self/status") as f:
        held = "NoNewPrivs:\t1\n" in f.read()
    return [held, resource.getrlimit(resource.RLIMIT_CORE)[0], resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.getpgid(0) == os.getpid()]

@skygear.op("chance")
def chance():
    return [seeded == os.getpid() for seeded in numpy.random.SEEDS]
`,
	})
	if problems := p.Registered().Problems; len(problems) > 0 {
		t.Fatal(problems)
	}
	for name, want := range map[string]string{
		"own":      `{"calm": false, "deep": false, "dials": true, "spins": true}`,
		"greeting": `"set before the import"`,
		"places":   `[false, 0, 1]`,
		"limits":   `[true, 0, 1024, true]`,
		"chance":   `[true]`, // Python's own it seeds itself
	} {
		if name == "limits" && runtime.GOOS != "linux" {
			continue
		}
		if got, err := op(t, p, name, `{}`); err != nil || got != want {
			t.Errorf("%s is %s, want %s (%v)", name, got, want, err)
		}
	}
}
