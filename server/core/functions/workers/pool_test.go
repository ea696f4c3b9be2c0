package workers

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/web/skygear/sdk"
)

// app makes a folder that every user may read, with these files.
func app(t testing.TB, files map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crema-test-functions-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// open opens a pool, or skips the test where the language is not installed.
func open(t testing.TB, c Config, files map[string]string) *Pool {
	t.Helper()
	c.Dir = app(t, files)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.LoadLimit = 60 * time.Second
	if c.Language == JavaScript {
		client, err := sdk.CommonJS()
		if err != nil {
			t.Fatal(err)
		}
		c.Client = string(client)
	}
	p, err := Open(t.Context(), c)
	if fault.Is(err, "workers.no_interpreter") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// op calls a lambda as a door does: a Python function gets args, a JavaScript one the whole of the payload.
func op(t testing.TB, p *Pool, name, args string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	result, err := p.Call(ctx, Op, name, json.RawMessage(`{"args":`+args+`}`), Caller{})
	return string(result), err
}

func TestPython_Echo(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python}, map[string]string{"echo.py": `
import skygear

@skygear.op("echo", user_required=True)
def echo(**kwargs):
    return kwargs

@skygear.op("sum")
def add(a, b):
    return a + b

@skygear.op("leave")
def leave():
    raise SystemExit("closed today")
`})
	r := p.Registered()
	if len(r.Ops) != 3 || r.Ops[0].Name != "echo" || !r.Ops[0].UserRequired || len(r.Problems) > 0 {
		t.Errorf("registered: %+v", r)
	}
	for _, c := range []struct{ name, args, want string }{
		{"echo", `{"message": "h\u00e4", "n": [1, 2.5, null, true]}`, `{"message": "h\u00e4", "n": [1, 2.5, null, true]}`},
		{"sum", `[1, 2]`, `3`},
		{"sum", `{"a": "x", "b": "y"}`, `"xy"`},
	} {
		if got, err := op(t, p, c.name, c.args); err != nil || got != c.want {
			t.Errorf("%s(%s) = %s, %v", c.name, c.args, got, err)
		}
	}
	if _, err := op(t, p, "sum", `{"a": 1}`); !fault.HasCode(err, fault.Internal) || !strings.Contains(err.Error(), "missing 1 required") {
		t.Errorf("a call without an argument: %v", err)
	}
	if _, err := op(t, p, "leave", `{}`); !fault.Is(err, "functions.raised") || !strings.Contains(err.Error(), "closed today") {
		t.Errorf("a function that calls sys.exit: %v", err)
	}
}

func TestJavaScript_Echo(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: JavaScript}, map[string]string{"echo.js": `
const skygear = require('skygear');
const skygearCloud = require('skygear/cloud');
skygearCloud.op('echo', (param) => param.args, {userRequired: true});
skygearCloud.op('sum', async ({args: [a, b]}) => a + b);
skygearCloud.op('fails', () => { throw new skygearCloud.SkygearError('no such bean', 4711, {bean: 'blue'}); });
skygearCloud.op('breaks', () => undefinedName);
skygearCloud.op('nothing', () => {});
`, "module.js": `
import skygearCloud, {op} from 'skygear/cloud';
op('from_a_module', () => typeof skygearCloud.handler);
`, "broken.js": "const a = 1;\nthrow new Error('not today');\n"})
	r := p.Registered()
	if len(r.Ops) < 5 || r.Ops[1].Name != "echo" && r.Ops[0].Name != "echo" {
		t.Errorf("registered: %+v", r)
	}
	if len(r.Problems) != 1 || r.Problems[0].File != "broken.js" || r.Problems[0].Line != 2 || !strings.Contains(r.Problems[0].Message, "not today") {
		t.Errorf("problems: %+v", r.Problems)
	}
	for _, c := range []struct{ name, args, want string }{
		{"echo", `{"message":"h\u00e4","n":[1,2.5,null,true]}`, `{"message":"hä","n":[1,2.5,null,true]}`},
		{"sum", `[1,2]`, `3`},
		{"from_a_module", `{}`, `"function"`},
	} {
		if got, err := op(t, p, c.name, c.args); err != nil || got != c.want {
			t.Errorf("%s(%s) = %s, %v", c.name, c.args, got, err)
		}
	}
	_, err := op(t, p, "fails", `{}`)
	if f := fault.From(err); f.Code != fault.Custom || f.Number != 4711 || f.Message != "no such bean" || f.Details["bean"] != "blue" {
		t.Errorf("a failure: %v", err)
	}
	if _, err := op(t, p, "breaks", `{}`); !fault.HasCode(err, fault.Internal) || !strings.Contains(err.Error(), "undefinedName") {
		t.Errorf("a broken function: %v", err)
	}
	if _, err := op(t, p, "nothing", `{}`); !fault.HasCode(err, fault.Internal) {
		t.Errorf("a function that returns undefined: %v", err)
	}
}

// A call that waits for a worker that starts already does not start one more.
func TestPool_GrowsByWhatWaits(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python, Workers: 4}, map[string]string{"a.py": `
import skygear

@skygear.op("spent")
def spent():
    raise MemoryError("all of it")

@skygear.op("echo")
def echo():
    return 1
`})
	for range 5 {
		if _, err := op(t, p, "spent", `{}`); !fault.HasCode(err, fault.Internal) { // its worker is replaced
			t.Fatal(err)
		}
		if got, err := op(t, p, "echo", `{}`); err != nil || got != "1" {
			t.Fatal(got, err)
		}
	}
	if n := p.numbers.Load(); n != 6 {
		t.Errorf("%d workers were started, want 1 and 5 in the place of others", n)
	}
}

// What clients send ends no worker, with which the calls of others would end.
func TestArguments_ThatAreHardToRead(t *testing.T) {
	t.Parallel()
	each(t, Config{Workers: 1}, func(t *testing.T, p *Pool) {
		before, err := op(t, p, "pid", `{}`)
		if err != nil {
			t.Fatal(err)
		}
		var text map[string]string
		got, err := op(t, p, "echo", "{\"a\":\"\xff\"}")
		if err == nil {
			err = json.Unmarshal([]byte(got), &text)
		}
		if err != nil || text["a"] != "\uFFFD" { // as Skygear's server made of it
			t.Errorf("bytes that are no UTF-8: %s, %v", got, err)
		}
		deep := `{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`
		if got, err := op(t, p, "echo", deep); err != nil && !fault.Is(err, "functions.raised") {
			t.Errorf("a deep list: %.100s, %v", got, err)
		}
		if after, err := op(t, p, "pid", `{}`); err != nil || after != before {
			t.Errorf("worker %s was replaced by %s, %v", before, after, err)
		}
	})
}

// A worker that has lost one of its threads would let calls wait until their deadline.
func TestPython_EveryThreadOrNone(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python, Workers: 1}, map[string]string{"a.py": `
import time
import skygear
from crema_runtime import worker

@skygear.op("wait")
def wait():
    time.sleep(1000)

@skygear.op("cut")
def cut():
    worker.current.lane.channel = None
`})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = p.Call(ctx, Op, "wait", json.RawMessage(`{}`), Caller{}) }() // in the first thread
	waitFor(t, func() bool { return p.busyAndWaiting() == [2]int{1, 0} })
	if _, err := op(t, p, "cut", `{}`); !fault.Is(err, "workers.crashed") {
		t.Errorf("a thread without a socket: %v", err)
	}
}

// What a function starts ends with its worker, also when it hides from the worker's process group.
func TestPython_NothingOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux gives a process what its grandchildren leave")
	}
	p := open(t, Config{Language: Python, Workers: 1}, map[string]string{"a.py": `
import os, time
import skygear

@skygear.op("hide")
def hide():
    r, w = os.pipe()
    if os.fork() == 0:
        os.setsid()
        parent = os.getpid()
        if os.fork() == 0:  # a head that grows again when the other one is cut off
            os.setsid()
            os.write(w, b"%d %d " % (parent, os.getpid()))
            while os.getppid() == parent:
                pass
            open(os.environ["HOME"] + "/again", "w").close()
        time.sleep(1000)
    pids = b""
    while pids.count(b" ") < 2:
        pids += os.read(r, 100)
    return [int(pid) for pid in pids.split()]

@skygear.op("leave")
def leave():
    os._exit(0)
`})
	var hidden []int
	got, err := op(t, p, "hide", `{}`)
	if err == nil {
		err = json.Unmarshal([]byte(got), &hidden)
	}
	if err != nil || len(hidden) != 2 {
		t.Fatal(got, err)
	}
	for _, pid := range hidden {
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("process %d ended before its worker: %v", pid, err)
		}
	}
	if _, err := op(t, p, "leave", `{}`); !fault.Is(err, "workers.crashed") {
		t.Error(err)
	}
	waitFor(t, func() bool { return syscall.Kill(hidden[0], 0) != nil && syscall.Kill(hidden[1], 0) != nil })
	if f, ok := p.launcher.(*forker); ok {
		if _, err := os.Stat(filepath.Join(f.dir, "again")); err == nil {
			t.Error("what a function left had time to react before it was killed")
		}
	}
	got, err = op(t, p, "hide", `{}`) // what is forked next is a worker again
	if err == nil {
		err = json.Unmarshal([]byte(got), &hidden)
	}
	if err != nil {
		t.Fatal(got, err)
	}
	p.Stop()
	waitFor(t, func() bool { return syscall.Kill(hidden[0], 0) != nil && syscall.Kill(hidden[1], 0) != nil })
}

// TestSilent_GetsNoMoreCalls holds that what keeps a whole worker busy, which in Python a regular expression does, takes no other
// call with it, neither the first one nor those that come together.
func TestSilent_GetsNoMoreCalls(t *testing.T) {
	t.Parallel()
	for _, l := range []Language{Python, JavaScript} {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			lines := &lockedBuffer{}
			p := open(t, Config{Language: l, Workers: 2, Wait: time.Minute, Log: slog.New(slog.NewTextHandler(lines, nil))}, hostile[l])
			hog := p.workers[0]
			ctx, end := context.WithCancel(t.Context())
			var all sync.WaitGroup
			defer all.Wait()
			defer end()
			all.Go(func() { _, _ = p.Call(ctx, Op, "hog", json.RawMessage(`{"args":{}}`), Caller{}) }) // it never ends by itself
			waitFor(t, func() bool {
				return strings.Contains(lines.String(), "hogging") && time.Now().UnixNano()-hog.heard.Load() > int64(quiet)
			})
			var others sync.WaitGroup
			for range 6 {
				others.Go(func() {
					if got, err := within(t, p, 60*time.Second, "echo", `{"a":1}`); err != nil {
						t.Errorf("another call: %s, %v", got, err)
					}
				})
			}
			others.Wait()
		})
	}
}

// TestSilent_IsAskedOnly holds that a worker whose calls take their time gets more of them: it answers that it listens.
func TestSilent_IsAskedOnly(t *testing.T) {
	t.Parallel()
	for _, l := range []Language{Python, JavaScript} {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			p := open(t, Config{Language: l, Workers: 1, Wait: time.Minute}, hostile[l])
			w := p.workers[0]
			var all sync.WaitGroup
			defer all.Wait()
			ctx, end := context.WithCancel(t.Context())
			defer end()
			all.Go(func() { _, _ = p.Call(ctx, Op, "wait", json.RawMessage(`{"args":{"seconds":50}}`), Caller{}) }) // longer than the test
			waitFor(t, func() bool {
				p.mu.Lock()
				defer p.mu.Unlock()
				return w.busy == 1 && time.Now().UnixNano()-w.heard.Load() > int64(quiet)
			})
			if got, err := within(t, p, 40*time.Second, "echo", `{"a":1}`); err != nil {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
}
