package workers

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
)

// rule is a call of a function that was written for an old runtime, and what that runtime answered.
type rule struct {
	kind        Kind
	name, param string
	want        string // JSON, or a part of the message of an error
	code        int    // of an error
}

func obeys(t *testing.T, p *Pool, rules []rule) {
	t.Helper()
	for _, problem := range p.Registered().Problems {
		t.Fatal(problem.Trace)
	}
	for _, c := range rules {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		got, err := p.Call(ctx, c.kind, c.name, json.RawMessage(c.param), Caller{UserID: "ann", KeyType: "client"})
		cancel()
		if c.code != 0 {
			f := fault.From(err)
			if err == nil || f.Number != c.code || !strings.Contains(f.Message, c.want) {
				t.Errorf("%s %s: %s, %v, want %d %q", c.kind, c.name, got, err, c.code, c.want)
			}
			continue
		}
		if diff := cmp.Diff(decoded(t, c.want), decoded(t, string(got))); err != nil || diff != "" {
			t.Errorf("%s %s: %v %s", c.kind, c.name, err, diff)
		}
	}
}

func TestPython_FinePointsOfTheOldPackage(t *testing.T) {
	t.Parallel()
	p := open(t, Config{
		Language: Python, Workers: 1,
		Env: map[string]string{
			"MASTER_KEY": "m", "API_KEY": "k", "ASSET_STORE": "fs", "ASSET_STORE_SECRET": "s", "ASSET_STORE_URL_PREFIX": "http://shop/files", "SHOP_LATE": "now",
		},
		Action: func(_ context.Context, body json.RawMessage) json.RawMessage {
			return json.RawMessage(`{"result":[` + string(body) + `],"info":{"count":1}}`)
		},
	}, map[string]string{"__init__.py": `
import re
import skygear
from skygear.asset import get_signer
from skygear.transmitter.encoding import serialize_record
from skygear.error import SkygearException
from skygear.models import Asset, Location, PublicAccessControlEntry, Record, RecordID, Reference
from skygear.settings import SettingsParser, add_parser, settings
from skygear.utils import strtobool
from skygear.utils.logging import setLoggerTag

parser = SettingsParser("SHOP")
parser.add_setting("empty", default="")
parser.add_setting("late")
add_parser("shop", parser, parse_now=False)

@skygear.op("values")
def values(a, b):
    new = Record(RecordID("bean", "1"), None, None)
    new.acl = [PublicAccessControlEntry("read")]
    return [a == b, a in [b], a != Reference(RecordID("bean", "9")), Location(1, 2) == Location(1, 2), Asset("a", None) == Asset("b", None), serialize_record(new)]

@skygear.op("settings")
def late():
    return [settings.shop.empty, settings.shop.late, strtobool("yes")]

@skygear.op("signed")
def signed():
    return bool(re.match(r"http://shop/files/a%20b/c\.png\?expiredAt=\d{10}&signature=[-_\w]{43}=$", get_signer().sign("a b/c.png")))

class Envelope(Exception):
    pass

@skygear.exception_handler(Envelope)
def envelope(e):
    return {"result": {"made": "of it"}} if str(e) == "result" else {"error": {"code": 110, "message": "gone"}}

@skygear.op("raise")
def raising(what):
    raise Envelope(what)

@skygear.rest("shop:beans")
class Beans(skygear.RestfulRecord):
    record_type = "bean"
    delete = None

    def predicate(self):
        return ["eq", {"$type": "keypath", "$val": "kind"}, self.request.args["kind"]]

    def query_options(self):
        return {"limit": 2}

@skygear.op("response")
def response():
    r = skygear.Response("x", status="201 CREATED", headers={"X-A": "1"})
    r.headers.setdefault("X-A", "2")
    r.headers.extend({"X-B": 3})
    r.mimetype, r.location = "text/css", "/there"
    del r.headers["x-b"]
    return [r.status_code, r.mimetype, sorted(r.headers.keys()), r.headers.get("X-A", type=int), r.headers.get("X-B", 7, type=int)]

@skygear.handler("page", method=["GET", "POST"])
def first(request):
    return "first"

@skygear.handler("page", method="GET", key_required=True)
def second(request):
    return "second"
`})
	want := []Declared{
		{Name: "shop/beans", Methods: []string{"GET", "POST", "PUT"}},
		{Name: "shop/beans/", Methods: []string{"GET", "POST", "PUT"}},
		{Name: "page", Methods: []string{"POST"}},
		{Name: "page", Methods: []string{"GET"}, KeyRequired: true},
	}
	if diff := cmp.Diff(want, p.Registered().Handlers); diff != "" {
		t.Error(diff)
	}
	const ref = `{"$type":"ref","$id":"bean/1"}`
	ask := func(method, path, query, body string) string {
		return `{"method":"` + method + `","path":"` + path + `","query_string":"` + query + `","header":{"X-Skygear-Access-Token":["tok"]},"body":"` + body + `"}`
	}
	obeys(t, p, []rule{
		{Op, "values", `{"args":{"a":` + ref + `,"b":` + ref + `}}`, `[true,true,true,true,false,{"_id":"bean/1","_access":[{"level":"read","public":true}]}]`, 0},
		{Op, "response", `{}`, `[201,"text/css",["Content-Type","Location","X-A"],1,7]`, 0},
		{Op, "settings", `{}`, `["","now",true]`, 0},
		{Op, "signed", `{}`, `true`, 0},
		{Op, "raise", `{"args":{"what":"result"}}`, `{"made":"of it"}`, 0},
		{Op, "raise", `{"args":{"what":"error"}}`, `gone`, 110},
	})
	for path, want := range map[string]string{
		ask("GET", "/shop/beans", "kind=dark", ""):                 `"predicate": ["eq", {"$type": "keypath", "$val": "kind"}, "dark"]`,
		ask("GET", "/shop/beans/7/more", "", ""):                   `"ids": ["bean/7"]`,
		ask("PUT", "/shop/beans/7", "", "eyJhIjoxfQ=="):            `"records": [{"a": 1, "_id": "bean/7"}]`,
		ask("POST", "/shop/beans", "", "eyJfaWQiOiJiZWFuL293biJ9"): `"records": [{"_id": "bean/own"}]`,
		ask("GET", "/shop/beans", "kind=x", ""):                    `"access_token": "tok"`,
		ask("GET", "/shop/beans", "kind=y", ""):                    `"info": {"count": 1}`,
	} {
		got, err := p.Call(t.Context(), Handler, "shop/beans/", json.RawMessage(path), Caller{})
		var answer struct{ Body []byte }
		if err != nil || json.Unmarshal(got, &answer) != nil || !strings.Contains(string(answer.Body), want) {
			t.Errorf("%s: %s, %v, want %s", path, answer.Body, err, want)
		}
	}
	obeys(t, p, []rule{
		{Handler, "shop/beans/", ask("PUT", "/shop/beans", "", ""), `PUT /shop/beans is not possible`, 107},
		{Handler, "shop/beans/", ask("PUT", "/shop/beans/7", "", "eyJh"), `the body is no JSON`, 107},
	})
}

func TestJavaScript_FinePointsOfTheOldPackage(t *testing.T) {
	t.Parallel()
	p := open(t, Config{
		Language: JavaScript, Workers: 1,
		Env: map[string]string{"APP_NAME": "my.shop", "ASSET_STORE_SECRET": "s", "ASSET_STORE_URL_PREFIX": "http://shop/files", "LOAD_MODULES": "./more,./theirs~py"},
	}, map[string]string{
		"index.js": `
exports.includeme = (cloud, settings) => {
  cloud.op('included', () => Object.keys(settings));
  cloud.op('signed', async () => /^http:\/\/shop\/files\/a%20b\/c\.png\?expiredAt=\d{10}&signature=[-_\w]{43}$/.test(await cloud.getSigner().sign('a b/c.png')));
  cloud.handler('page', () => 'first', {method: ['GET', 'POST']});
  cloud.handler('page', (req) => [req.url.pathname, req.url.query.a, req.url.href, req.query.b], {method: 'GET'});
  cloud.op('connected', () => new Promise((resolve, reject) => cloud.poolConnect((err, client) => err ? reject(err) : resolve(client.asked))));
};
`, "more/index.js": "exports.includeme = (cloud) => cloud.op('more', () => 'more');\n", "theirs/index.js": "throw new Error('not ours');\n",
		"node_modules/pg/index.js": `
exports.Pool = class {
  connect(done) {
    const client = {asked: [], query: (text, called) => { client.asked.push(text); called(null); }};
    done(null, client, () => {});
  }
};
`,
	})
	obeys(t, p, []rule{
		{Op, "included", `{}`, `[]`, 0},
		{Op, "more", `{}`, `"more"`, 0},
		{Op, "signed", `{}`, `true`, 0},
		{Op, "connected", `{}`, `["SET search_path TO \"app_my_shop\", public"]`, 0},
		{
			Handler, "page", `{"method":"GET","path":"/page","query_string":"a=1&b=2&b=3","header":{},"body":""}`,
			`{"status":200,"header":{"Content-Type":["application/json"]},"body":"WyIvcGFnZSIsIjEiLCIvcGFnZT9hPTEmYj0yJmI9MyIsWyIyIiwiMyJdXQ=="}`, 0,
		},
	})
	want := []Declared{{Name: "page", Methods: []string{"POST"}}, {Name: "page", Methods: []string{"GET"}}}
	if diff := cmp.Diff(want, p.Registered().Handlers); diff != "" {
		t.Error(diff)
	}
}

func TestPython_LoadsTheModulesThatAreNamed(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python, Env: map[string]string{"LOAD_MODULES": "chat:one.py:theirs~js:.~py"}}, map[string]string{
		"__init__.py":      "import skygear\n\ndef includeme(settings):\n    skygear.op('root')(lambda: __name__)\n",
		"chat/__init__.py": "import skygear\nfrom .words import WORD\n\ndef includeme(settings):\n    skygear.op('chat')(lambda: WORD)\n",
		"chat/words.py":    "WORD = 'hello'\n",
		"one.py":           "import skygear\nskygear.op('one')(lambda: 1)\n",
		"two.py":           "import skygear\nskygear.op('two')(lambda: 2)\n",
	})
	obeys(t, p, []rule{
		{Op, "chat", `{}`, `"hello"`, 0}, {Op, "one", `{}`, `1`, 0}, {Op, "root", `{}`, `"plugin"`, 0}, {Op, "two", `{}`, "there is no op two", 117},
	})
}

// The runtime itself must be readable by the oldest Python that functions may have.
func TestPython_TheRuntimeIsForOldVersionsToo(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python}, map[string]string{"a.py": `
import ast
import skygear

@skygear.op("parse")
def parse(sources):
    for name, text in sources.items():
        ast.parse(text, name, feature_version=(3, 8))
    return len(sources)
`})
	files := map[string]string{}
	err := filepath.WalkDir("python", func(path string, e os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".py") {
			var text []byte
			text, err = os.ReadFile(path)
			files[path] = string(text)
		}
		return err
	})
	args, errArgs := json.Marshal(map[string]any{"args": map[string]any{"sources": files}})
	if err != nil || errArgs != nil || len(files) < 20 {
		t.Fatal(err, errArgs, len(files))
	}
	if _, err := p.Call(t.Context(), Op, "parse", args, Caller{}); err != nil {
		t.Error(err)
	}
}
