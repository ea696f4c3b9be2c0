package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"crema/server/testkit"
)

// appWith is an app folder with these functions.
func appWith(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := testkit.AppDir(t)
	folder := filepath.Join(dir, "lambdas")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("there is no %s here", name)
	}
}

// lambda calls a function with the API key.
func lambda(t *testing.T, s *testkit.Server, name, args string) reply {
	t.Helper()
	r := post(t, s.URL+"/lambda/"+name, s.APIKey, args)
	r.Body = strings.TrimSpace(r.Body)
	return r
}

func TestFunctions_PythonUsesTheServer(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	s := testkit.StartServer(t, appWith(t, map[string]string{"shop.py": `
import skygear
from skygear.container import SkygearContainer
from skygear.options import options
from skygear.error import SkygearException, ResourceNotFound

@skygear.op("note", user_required=False)
def note(text):
    container = SkygearContainer(api_key=options.masterkey)
    return container.send_action("record:save", {"database_id": "_public", "records": [{"_id": "note/1", "text": text}]})

@skygear.op("again")
def again(text):
    return SkygearContainer(api_key=options.masterkey).send_action("note", {"args": {"text": text}})

@skygear.op("missing")
def missing():
    raise SkygearException("no such bean", ResourceNotFound, {"bean": "blue"})
`, "broken.py": "import skygear\n\nif True print(1)\n"}), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")

	var saved struct {
		Result struct{ Result []map[string]any }
	}
	r := lambda(t, s, "note", `{"text": "first"}`)
	if err := json.Unmarshal([]byte(r.Body), &saved); err != nil || r.Status != http.StatusOK || len(saved.Result.Result) != 1 || saved.Result.Result[0]["text"] != "first" {
		t.Errorf("note: %+v (%v)", r, err)
	}
	if r = post(t, s.URL, s.APIKey, `{"action": "again", "args": {"text": "nested"}}`); r.Status != http.StatusOK || !strings.Contains(r.Body, `"nested"`) {
		t.Errorf("a function that calls a function: %+v", r)
	}
	if r = lambda(t, s, "missing", `{}`); r.Status != http.StatusNotFound || !strings.Contains(r.Body, `"code":110`) || !strings.Contains(r.Body, `"bean":"blue"`) {
		t.Errorf("an error of a function: %+v", r)
	}
	if log := s.Log(); !strings.Contains(log, "broken.py") || !strings.Contains(log, `"line":3`) {
		t.Errorf("the log does not tell of the broken file:\n%s", log)
	}
}

func TestFunctions_JavaScriptUsesTheServer(t *testing.T) {
	t.Parallel()
	needProgram(t, "node")
	s := testkit.StartServer(t, appWith(t, map[string]string{"shop.js": `
const skygear = require('skygear');
const skygearCloud = require('skygear/cloud');
const Note = skygear.Record.extend('note');

skygearCloud.op('note', async ({args: {text}}, {container}) => {
  const saved = await container.publicDB.save(new Note({_id: 'note/1', text}));
  const found = await container.publicDB.query(new skygear.Query(Note).equalTo('text', text));
  return {id: saved.id, found: found.map((n) => n.text)};
});
skygearCloud.op('whole', (param) => Object.keys(param).sort());
skygearCloud.op('again', ({args}, {container}) => container.lambda('note', args));
skygearCloud.op('missing', () => { throw new skygearCloud.SkygearError('no such bean', skygearCloud.ErrorCodes.ResourceNotFound); });
`}), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	for _, c := range []struct {
		reply
		status int
		want   string
	}{
		{lambda(t, s, "note", `{"text": "first"}`), http.StatusOK, `{"result":{"id":"note/1","found":["first"]}}`},
		{lambda(t, s, "again", `{"text": "nested"}`), http.StatusOK, `{"result":{"id":"note/1","found":["nested"]}}`},
		{post(t, s.URL, s.APIKey, `{"action": "whole", "args": {"text": "x"}, "more": 1}`), http.StatusOK, `{"result":["action","api_key","args","more"]}`},
		{lambda(t, s, "missing", `{}`), http.StatusNotFound, `"code":110`},
	} {
		if c.Status != c.status || !strings.Contains(c.Body, c.want) {
			t.Errorf("got %+v, want %d %s", c.reply, c.status, c.want)
		}
	}
}

// copied are the shop's own functions.
func copied(t *testing.T, names ...string) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(testkit.Root(), "lambdas", name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}

func TestFunctions_TheShopsOwn(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	needProgram(t, "node")
	s := testkit.StartServer(t, appWith(t, copied(t, "shipping.py", "roasting.js")), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	for path, want := range map[string]string{
		"/shipping/quote?country=us&grams=250":   `200 {"country": "US", "grams": 250, "currency": "usd", "options": [{"service": "standard", "price": 495,`,
		"/shipping/quote?country=US&grams=2500":  `"price": 0`,
		"/shipping/quote?country=DE&grams=1001":  `"price": 2695`,
		"/shipping/quote?country=D&grams=1":      `400 {"error": "country`,
		"/shipping/quote?country=DE&grams=99999": `400 {"error": "grams`,
		"/shipping/quote?country=DE&grams=x":     `400 {"error": "grams`,
	} {
		if got := get(t, s.URL+path); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for ordered, want := range map[string]string{
		`"2026-11-23T12:00:00Z"`: `{"roasted":"2026-11-24","leaves":"2026-11-25"}`,
		`"2026-11-24T06:59:00Z"`: `{"roasted":"2026-11-24","leaves":"2026-11-25"}`,
		`"2026-11-24T07:00:00Z"`: `{"roasted":"2026-11-27","leaves":"2026-11-28"}`,
		`"soon"`:                 `"code":108`,
	} {
		if r := lambda(t, s, "next_roast", `{"ordered": `+ordered+`}`); !strings.Contains(r.Body, want) {
			t.Errorf("ordered %s: %+v, want %s", ordered, r, want)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(resp.StatusCode) + " " + string(b)
}

func TestFunctions_WithoutAnInterpreterTheShopOpens(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, appWith(t, copied(t, "shipping.py", "roasting.js")),
		"DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test", "PATH=/nowhere")
	if got := get(t, s.URL+"/healthz"); !strings.HasPrefix(got, "200") {
		t.Error(got)
	}
	log := s.Log()
	for _, want := range []string{"python3, which is not installed", "node, which is not installed"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
}

func TestFunctions_TimersTickOnceOnTwoServers(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	database := testkit.DatabaseURL(t)
	code := map[string]string{"clock.py": `
import time
import skygear
from skygear.container import SkygearContainer
from skygear.options import options

@skygear.every("* * * * * *")
def tick():
    answer = SkygearContainer(api_key=options.masterkey).send_action("record:save", {
        "database_id": "_public", "records": [{"_id": "tick/%d" % time.time_ns(), "_access": None}]})
    assert "error" not in answer and answer["result"][0]["_type"] == "record", answer
`}
	var servers []*testkit.Server
	for range 2 {
		servers = append(servers, testkit.StartServer(t, appWith(t, code), "DATABASE_URL="+database, "APP_NAME=test"))
	}
	ticks := `select count(*) >= 3 from app_test.tick`
	eventually(t, servers[0], `select to_regclass('app_test.tick') is not null`, "t")
	eventually(t, servers[0], ticks, "t")
	for _, s := range servers {
		s.Stop(t)
	}
	if got := psql(t, servers[0], `select (select count(*) from app_test.tick) <= (select count(*) from app_test._timer_run)`); got != "t" {
		t.Errorf("a tick was started twice: %s", psql(t, servers[0], `select (select count(*) from app_test.tick), (select count(*) from app_test._timer_run)`))
	}
}

func TestFunctions_HooksOfBothLanguages(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	needProgram(t, "node")
	s := testkit.StartServer(t, appWith(t, map[string]string{
		"hooks.py": `
import skygear
from skygear.container import SkygearContainer
from skygear.error import SkygearException, InvalidArgument
from skygear.options import options

@skygear.before_save("order", async=False)
def check(record, original, db):
    if record.get("bags", 0) < 1:
        raise SkygearException("at least one bag", InvalidArgument, {"arguments": ["bags"]})
    record["checked"] = True

@skygear.after_save("order", async=True)
def mail(record, original, db):
    SkygearContainer(api_key=options.masterkey).send_action("record:save", {
        "database_id": "_public", "records": [{"_id": "mail/" + record.id.key, "to": "operator", "bags": record["bags"]}]})
`,
		"hooks.js": `
const {beforeSave} = require('skygear/cloud');
beforeSave('order', (order) => { order.total = order.bags * 1000; return order; });
`,
	}), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	save := func(id, bags string) reply {
		return post(t, s.URL, s.MasterKey, `{"action":"record:save","database_id":"_public","records":[{"_id":"order/`+id+`","bags":`+bags+`}]}`)
	}
	if r := save("1", "2"); !strings.Contains(r.Body, `"total":2000`) || !strings.Contains(r.Body, `"checked":true`) {
		t.Errorf("a save: %+v", r)
	}
	if r := save("2", "0"); !strings.Contains(r.Body, `"code":108`) || !strings.Contains(r.Body, "at least one bag") {
		t.Errorf("a refused save: %+v", r)
	}
	eventually(t, s, `select to_regclass('app_test.mail') is not null`, "t")
	eventually(t, s, `select string_agg(_id || ' ' || bags, ',') from app_test.mail`, "1 2")
}

func TestFunctions_TheSiteComesFirstBelowStatic(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	dir := appWith(t, map[string]string{"shop.py": `
import skygear

@skygear.handler("static/")
def static(request):
    return "made of " + request.path
`})
	if err := os.MkdirAll(filepath.Join(dir, "public_html"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "public_html", "beans.txt"), []byte("roasted"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := testkit.StartServer(t, dir, "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test")
	for path, want := range map[string]string{"/static/beans.txt": "roasted", "/static/other.txt": "made of /static/other.txt"} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(body) != want {
			t.Errorf("%s: %s, %v", path, body, err)
		}
	}
}

// TestGuide_EveryBlockLoads runs the functions of the guide as they are written there.
func TestGuide_EveryBlockLoads(t *testing.T) {
	t.Parallel()
	needProgram(t, "python3")
	needProgram(t, "node")
	guide, err := os.ReadFile(filepath.Join(testkit.Root(), "server", "docs", "guide", "functions.md"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"cards/one.txt": "a card"}
	for i, m := range regexp.MustCompile("(?s)```(python|js)\n(.*?)```").FindAllStringSubmatch(string(guide), -1) {
		files[fmt.Sprintf("block%d.%s", i, map[string]string{"python": "py", "js": "js"}[m[1]])] = m[2]
	}
	if len(files) < 5 {
		t.Fatalf("the guide has %d files only", len(files))
	}
	s := testkit.StartServer(t, appWith(t, files), "DATABASE_URL="+testkit.DatabaseURL(t), "APP_NAME=test", "DEV_MODE=true")
	if strings.Contains(s.Log(), "left out") {
		t.Errorf("something of the guide does not load:\n%s", s.Log())
	}
	if r := lambda(t, s, "note", `{"text": "one big bean"}`); r.Status != http.StatusOK || !strings.Contains(r.Body, `"words": 3`) {
		t.Errorf("note: %+v", r)
	}
	if r := lambda(t, s, "find", `{"text": "big"}`); r.Body != `{"result":["one big bean"]}` {
		t.Errorf("find: %+v", r)
	}
	for path, want := range map[string]string{"/notes/page?name=Ann": "200 Hello Ann", "/static/cards/one.txt": "200 a card"} {
		if got := get(t, s.URL+path); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}
