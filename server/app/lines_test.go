package app_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Each line that a function prints is logged by itself, with where it comes from, and without what it may not tell.
func TestFunctions_LinesSayWhereTheyComeFrom(t *testing.T) {
	t.Parallel()
	r := startWith(t, map[string]string{"lines.py": `
import logging, os, subprocess, sys
import skygear

print("py loads")

@skygear.op("py:lines")
def lines():
    print("py one\npy two")
    sys.stderr.write("py half")
    sys.stderr.write(" and half\n")
    logging.getLogger("shop").info("py logged")
    print("py key", os.environ["MASTER_KEY"], "py end")
    subprocess.run(["echo", "py child"])

@skygear.op("py:fail")
def fail():
    raise ValueError("py failed with " + os.environ["MASTER_KEY"])
`, "lines.js": `
const {op} = require('skygear/cloud');
console.log('js loads');
process.stdout.write('js begins and');
op('js:lines', async () => {
  console.log('js one\njs two');
  await new Promise((done) => setTimeout(done, 1));
  process.stderr.write('js half');
  process.stderr.write(' and half\n');
  console.log('js key', process.env.MASTER_KEY, 'js end');
});
`}, nil, `{}`)
	for l, want := range map[string][]string{
		"py": {"one", "two", "half and half", "key [redacted] py end"}, "js": {"one", "two", "half and half", "key [redacted] js end"},
	} {
		resp, err := http.Post(r.URL()+"/", "application/json", strings.NewReader(`{"action":"`+l+`:lines"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		id := resp.Header.Get("X-Skygear-Request-Id")
		language := map[string]string{"py": "python", "js": "javascript"}[l]
		for _, text := range want {
			r.logs(`msg="function: ` + l + ` ` + regexp.QuoteMeta(text) + `" app=test version=folder language=` + language + ` worker=\d+ call=\d+ stream=std(out|err) request_id=` + id)
		}
		if l == "js" { // a line that nobody has ended is ended where another call begins one
			r.logs(`msg="function: js begins and" app=test version=folder language=javascript worker=\d+ stream=stdout\n`)
		}
		r.logs(`msg="function: ` + l + ` loads" app=test version=folder language=` + language + ` worker=\d+ stream=stdout\n`)
	}
	r.wants(r.client("py:fail", ""), `"code":10000`)
	r.logs(`py logged" app=test version=folder language=python worker=\d+ call=\d+ stream=stderr`)
	r.logs(`msg="function: py child" app=test .* worker=\d+ stream=stdout\n`) // nobody knows which call started a child
	if strings.Contains(r.log.String(), r.c.MasterKey.Reveal()) {
		t.Error("the master key is in the log")
	}
}

// logs waits for a line of the log.
func (r running) logs(pattern string) {
	r.t.Helper()
	line := regexp.MustCompile(pattern)
	for limit := time.Now().Add(30 * time.Second); !line.MatchString(r.log.String()); <-time.After(10 * time.Millisecond) {
		if time.Now().After(limit) {
			r.t.Fatalf("no line of the log is %s", pattern)
		}
	}
}
