package workers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"crema/server/base/fault"
	"crema/server/base/proc"
)

// hostile are functions that do their worst, in both languages under the same names.
var hostile = map[Language]map[string]string{
	Python: {"hostile.py": `
import os, re, signal, sys, threading, time
import skygear
from skygear.container import SkygearContainer

@skygear.op("echo")
def echo(**kwargs):
    return kwargs

@skygear.op("pid")
def pid():
    return os.getpid()

@skygear.op("wait")
def wait(seconds):
    time.sleep(seconds)
    return "waited"

@skygear.op("spin")
def spin():
    while True:
        pass

@skygear.op("hog")
def hog():
    print("hogging")
    re.match("(a+)+$", "a" * 60 + "b")

@skygear.op("exit")
def leave():
    print("last words", file=sys.stderr)
    os._exit(3)

@skygear.op("close")
def close():
    os.closerange(0, 200)

@skygear.op("allocate")
def allocate():
    return len(bytearray(10 << 30))

@skygear.op("shout")
def shout():
    for _ in range(50000):
        print("x" * 1000)
    sys.stdout.write("y" * (5 << 20))
    return "hoarse"

@skygear.op("swell")
def swell():
    return "x" * (17 << 20)

@skygear.op("bomb")
def bomb():
    made = 0
    try:
        while made < 2000:
            if os.fork() == 0:
                time.sleep(1000)
            made += 1
    except OSError:
        pass
    return made

@skygear.op("nest")
def nest(levels):
    if levels == 0:
        return "bottom"
    return SkygearContainer(api_key="k").send_action("nest", {"args": {"levels": levels - 1}})

@skygear.op("say")
def say(text):
    print(text)
`},
	JavaScript: {"hostile.js": `
const {op, getContainer} = require('skygear/cloud');
op('echo', ({args}) => args);
op('pid', () => process.pid);
op('wait', ({args: {seconds}}) => new Promise((done) => setTimeout(done, seconds * 1000, 'waited')));
op('spin', () => { for (;;); });
op('hog', () => { console.log('hogging'); for (;;); });
op('exit', () => { console.error('last words'); process.exit(3); });
op('close', () => { for (let fd = 3; fd < 100; fd++) try { require('fs').closeSync(fd); } catch {} });
op('allocate', () => { const all = []; for (let i = 0; i < 100; i++) all.push(Buffer.alloc(100 << 20, 1)); return all.length; });
op('shout', () => { for (let i = 0; i < 50000; i++) console.log('x'.repeat(1000)); return 'hoarse'; });
op('swell', () => 'x'.repeat(17 << 20));
op('nest', async ({args: {levels}}) => levels === 0 ? 'bottom' : getContainer().makeRequest('nest', {args: {levels: levels - 1}}));
op('say', ({args: {text}}) => { console.log(text); return null; });
`},
}

// each runs a test in both languages.
func each(t *testing.T, c Config, run func(t *testing.T, p *Pool)) {
	t.Helper()
	for _, l := range []Language{Python, JavaScript} {
		t.Run(string(l), func(t *testing.T) {
			t.Parallel()
			c := c
			c.Language = l
			c.Env = map[string]string{"MASTER_KEY": "k"}
			var p *Pool
			c.Action = func(ctx context.Context, body json.RawMessage) json.RawMessage {
				var a struct{ Action string }
				if err := json.Unmarshal(body, &a); err != nil {
					return json.RawMessage(`{"error":{"code":107,"message":"no JSON"}}`)
				}
				result, err := p.Call(ctx, Op, a.Action, body, Caller{})
				if err != nil {
					return fmt.Appendf(nil, `{"error":{"code":108,"message":%q}}`, fault.From(err).Message)
				}
				return fmt.Appendf(nil, `{"result":%s}`, result)
			}
			p = open(t, c, hostile[l])
			run(t, p)
		})
	}
}

// within calls with a deadline of its own.
func within(t *testing.T, p *Pool, d time.Duration, name, args string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	result, err := p.Call(ctx, Op, name, json.RawMessage(`{"args":`+args+`}`), Caller{})
	return string(result), err
}

// works says that the pool answers, as it must after whatever has happened.
func works(t *testing.T, p *Pool) {
	t.Helper()
	var last error
	for start := time.Now(); time.Since(start) < 60*time.Second; {
		if _, last = within(t, p, 60*time.Second, "echo", `{"a":1}`); last == nil {
			return
		}
	}
	t.Fatalf("the pool does not recover: %v", last)
}

func TestDeadline_EndsABusyLoop(t *testing.T) {
	t.Parallel()
	each(t, Config{Workers: 1}, func(t *testing.T, p *Pool) {
		before, err := within(t, p, 60*time.Second, "pid", `{}`)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := within(t, p, 300*time.Millisecond, "spin", `{}`); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an endless loop: %v", err)
		}
		works(t, p)
		if after, err := within(t, p, 60*time.Second, "pid", `{}`); err != nil || after == before {
			t.Errorf("the loop still has its worker %s (%v)", after, err)
		}
	})
}

func TestDeadline_LetsOtherCallsOfTheWorkerFinish(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python, Workers: 1}, hostile[Python])
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := within(t, p, 200*time.Millisecond, "wait", `{"seconds": 30}`); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the long one: %v", err)
		}
	})
	all.Go(func() {
		if got, err := within(t, p, 60*time.Second, "wait", `{"seconds": 0.6}`); err != nil || got != `"waited"` {
			t.Errorf("the other one: %s, %v", got, err)
		}
	})
	all.Wait()
	works(t, p)
}

func TestCrash_FailsItsOwnCallsOnly(t *testing.T) {
	t.Parallel()
	each(t, Config{}, func(t *testing.T, p *Pool) {
		for range 3 {
			if _, err := within(t, p, 60*time.Second, "exit", `{}`); !fault.Is(err, "workers.crashed") && !fault.Is(err, "workers.down") {
				t.Errorf("a worker that exits: %v", err)
			}
			works(t, p)
		}
		if _, err := within(t, p, 60*time.Second, "close", `{}`); err != nil && !fault.Is(err, "workers.crashed") {
			t.Errorf("a worker that closes everything: %v", err)
		}
		works(t, p)
	})
}

func TestCrash_TellsTheLastLines(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	p := open(t, Config{Language: Python, Log: slog.New(slog.NewTextHandler(&log, nil))}, hostile[Python])
	if _, err := within(t, p, 60*time.Second, "exit", `{}`); err == nil {
		t.Error("a worker that exits answers")
	}
	works(t, p) // the log is written before the next worker starts
	if text := log.String(); strings.Contains(text, `\x02`) || !strings.Contains(text, "last words") || !strings.Contains(text, "exit status 3") {
		t.Errorf("the log does not tell why the worker ended:\n%s", text)
	}
	if text := log.String(); !strings.Contains(text, "next_start_in=0s") { // only who keeps dying has to wait
		t.Errorf("the first worker that ends is not replaced at once:\n%s", text)
	}
}

func TestLimits_AFunctionCannotTakeTheMachine(t *testing.T) {
	t.Parallel()
	each(t, Config{Processes: 64, Memory: 256 << 20}, func(t *testing.T, p *Pool) {
		if got, err := within(t, p, 60*time.Second, "allocate", `{}`); err == nil {
			t.Errorf("10 GB were allocated: %.100s", got)
		}
		works(t, p)
		if got, err := within(t, p, 60*time.Second, "shout", `{}`); err != nil || got != `"hoarse"` {
			t.Errorf("much output: %.100s, %v", got, err)
		}
		works(t, p)
		if _, err := within(t, p, 60*time.Second, "swell", `{}`); !fault.Is(err, "functions.raised") || !strings.Contains(err.Error(), "possible") {
			t.Errorf("a result of 17 MiB: %.200v", err)
		}
		works(t, p)
	})
}

func TestLimits_ForkBomb(t *testing.T) {
	t.Parallel()
	if proc.Unprivileged() == nil {
		t.Skip("needs root: the limit of an ordinary user leaves room for all that the user runs beside this test")
	}
	p := open(t, Config{Language: Python, Processes: 64}, hostile[Python])
	if f, ok := p.launcher.(*forker); ok && f.account == nil {
		t.Skip("the functions run as root here")
	}
	got, err := within(t, p, 60*time.Second, "bomb", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	var made int
	if err := json.Unmarshal([]byte(got), &made); err != nil || made >= 2000 {
		t.Errorf("a fork bomb made %s processes", got)
	}
	pid, err := within(t, p, 60*time.Second, "pid", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := within(t, p, 60*time.Second, "exit", `{}`); err == nil {
		t.Error("the worker did not exit")
	}
	works(t, p)
	if n := processesOf(t, pid); n > 0 {
		t.Errorf("%d processes are left of the bomb", n)
	}
}

// processesOf counts the living processes of a group.
func processesOf(t *testing.T, group string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("there is no /proc to count processes")
	}
	for _, e := range entries {
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); len(f) > 2 && f[2] == group && f[0] != "Z" {
			n++
		}
	}
	return n
}

func TestQueue_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python, Workers: 1, Slots: 1, Queue: 1, Wait: 30 * time.Second}, hostile[Python])
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begin := func() <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := p.Call(ctx, Op, "wait", json.RawMessage(`{"args":{"seconds":1000}}`), Caller{})
			done <- err
		}()
		return done
	}
	begin()
	waitFor(t, func() bool { return p.busyAndWaiting() == [2]int{1, 0} })
	begin()
	waitFor(t, func() bool { return p.busyAndWaiting() == [2]int{1, 1} })
	_, err := within(t, p, 60*time.Second, "echo", `{}`)
	if f := fault.From(err); f == nil || f.Code != fault.RateLimited || f.RetryAfter < time.Second {
		t.Errorf("a call beyond the queue: %v", err)
	}
}

// busyAndWaiting counts calls that run and calls that wait.
func (p *Pool) busyAndWaiting() (n [2]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.workers {
		n[0] += w.busy
	}
	n[1] = len(p.waiting)
	return n
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for tick := time.NewTicker(2 * time.Millisecond); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

func TestNested_NeverWaitsBehindItself(t *testing.T) {
	t.Parallel()
	each(t, Config{Workers: 1, Slots: 1, Queue: 1}, func(t *testing.T, p *Pool) {
		got, err := within(t, p, 60*time.Second, "nest", `{"levels": 5}`)
		if err != nil || strings.Count(got, "result") != 5 || !strings.Contains(got, "bottom") {
			t.Errorf("five levels: %s, %v", got, err)
		}
		got, err = within(t, p, 60*time.Second, "nest", `{"levels": 100}`)
		if !strings.Contains(got+fmt.Sprint(err), "more than 8 levels") {
			t.Errorf("a hundred levels: %.200s, %v", got, err)
		}
		works(t, p)
	})
}

func TestLines_CarryTheCall(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	each(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))}, func(t *testing.T, p *Pool) {
		text := "hello from " + string(p.c.Language)
		if _, err := within(t, p, 60*time.Second, "say", `{"text": "`+text+`"}`); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return strings.Contains(log.String(), text) })
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, text) && (!strings.Contains(line, "call=") || !strings.Contains(line, "worker=")) {
				t.Errorf("the line does not tell its call: %s", line)
			}
		}
	})
}

// lockedBuffer takes the log of several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// What a worker sends is not believed: clients get JSON, or an error.
func TestResults_AreJSON(t *testing.T) {
	t.Parallel()
	p := open(t, Config{Language: Python}, map[string]string{"a.py": `
import skygear
from skygear.error import SkygearException

@skygear.op("nan")
def nan():
    return float("nan")

@skygear.op("object")
def an_object():
    return object()

@skygear.op("circle")
def circle():
    a = []
    a.append(a)
    return a

@skygear.op("lie")
def lie():
    from crema_runtime import frames, worker
    lane = worker.current.lane
    lane.channel.write(frames.RESULT, lane.call, b'{"half":')
    lane.channel.write(frames.RESULT, 424242, b'{}')
    lane.channel.write(99, lane.call, b'{}')

@skygear.op("list")
def a_list():
    raise SkygearException("listed", 2002, ["a"])
`})
	for name, want := range map[string]string{"nan": "JSON", "object": "JSON", "circle": "recursion", "lie": "no JSON", "list": "listed"} {
		if got, err := op(t, p, name, `{}`); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v, want an error with %q", name, got, err, want)
		}
	}
	if got, err := op(t, p, "no_such", `{}`); err == nil {
		t.Errorf("%s", got)
	}
}
