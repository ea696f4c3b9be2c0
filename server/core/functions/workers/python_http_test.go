package workers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
)

// What handlers that were written for werkzeug use of it works without it: projects for Skygear did not name it.
func TestPython_RequestsWithoutWerkzeug(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python}, map[string]string{"a.py": `
import skygear
from skygear.utils.http import PlainRequest, PlainResponse, Headers

@skygear.op("ask")
def ask(headers, body, query):
    r = PlainRequest("POST", "/a", query, Headers([tuple(h) for h in headers]), body.encode("latin-1"))
    files = {name: [f.filename, f.mimetype, f.read().decode()] for name, f in r.files.items()}
    return [dict(r.cookies), dict(r.form), files, r.values.getlist("n"), r.base_url, r.url, r.is_secure, r.user_agent, r.referrer]

@skygear.op("answer")
def answer():
    r = PlainResponse("hi")
    r.set_cookie("a", "1; two", max_age=60, httponly=True, secure=True, samesite="Lax")
    r.set_cookie("b", "x\r\ny", path=None)
    r.delete_cookie("c", domain="example.com")
    r.status = "404 not here"
    return [r.status_code, r.headers.getlist("Set-Cookie")]
`})
	for _, c := range []struct{ name, args, want string }{
		{
			"ask", `{"headers": [["Cookie", "a=1; b=\"x\\054y\"; c"], ["Cookie", "d=e=f"], ["Host", "shop"], ["User-Agent", "u"]], "body": "", "query": "n=1&n=2"}`,
			`[{"a":"1","b":"x,y","d":"e=f"},{},{},["1","2"],"http://shop/a","http://shop/a?n=1&n=2",false,"u",null]`,
		},
		{
			"ask", `{"headers": [["Content-Type", "multipart/form-data; boundary=B"], ["Host", "shop"], ["X-Forwarded-Proto", "https"]], "query": "",
				"body": "--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n7\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a b.txt\"\r\nContent-Type: text/x; q=1\r\n\r\nfile\r\ntext\r\n--B--\r\n"}`,
			`[{},{"n":"7"},{"f":["a b.txt","text/x","file\r\ntext"]},["7"],"https://shop/a","https://shop/a",true,"",null]`,
		},
		{
			"answer", `{}`, `[404,["a=\"1\\073 two\"; Max-Age=60; Path=/; SameSite=Lax; Secure; HttpOnly","b=\"x\\015\\012y\"",` +
				`"c=; Domain=example.com; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/"]]`,
		},
	} {
		got, err := op(t, p, c.name, c.args)
		if err != nil {
			t.Fatal(err)
		}
		var have, want any
		if err := json.Unmarshal([]byte(got), &have); err != nil {
			t.Fatal(got, err)
		}
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatal(c.want, err)
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Error(diff)
		}
	}
}

// An error that cannot be written as it is must reach its caller, and cost nobody the worker.
func TestPython_ErrorsOfAnyShape(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python, Workers: 1}, map[string]string{"a.py": `
import os
import skygear
from skygear.error import SkygearException

class Odd(Exception):
    def __str__(self):
        raise ValueError("no text")

@skygear.op("pid")
def pid():
    return os.getpid()

@skygear.op("circle")
def circle():
    info = {}
    info["info"] = info
    raise SkygearException("round", 4711, info)

@skygear.op("thing")
def thing():
    raise SkygearException("much", 4712, {"thing": object()})

@skygear.op("odd")
def odd():
    raise Odd()

@skygear.op("long")
def long():
    raise ValueError("x" * (20 << 20))
`})
	before, err := op(t, p, "pid", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		number  int
		message string
	}{
		"circle": {4711, "round"}, "thing": {4712, "much"}, "odd": {10000, "the error cannot be told (ValueError)"}, "long": {10000, "the result has"},
	} {
		_, err := op(t, p, name, `{}`)
		if f := fault.From(err); f.Number != want.number || !strings.HasPrefix(f.Message, want.message) {
			t.Errorf("%s: %d %.100s", name, f.Number, f.Message)
		}
	}
	if after, err := op(t, p, "pid", `{}`); err != nil || after != before {
		t.Errorf("errors have cost the worker: %s, %v", after, err)
	}
}
