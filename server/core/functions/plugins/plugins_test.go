package plugins_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/functions"
	"crema/server/core/functions/plugins"
	"crema/server/lambda"
)

// process is a plugin that remembers what it is asked.
type process struct {
	mu      sync.Mutex
	asked   []string          // kind and name, and all of the request but param of events
	answers map[string]string // by kind and name
	inside  func(name string) // called while an event is served
}

func (p *process) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var in struct{ Kind, Name string }
	_ = json.Unmarshal(body, &in)
	key := in.Kind + " " + in.Name
	p.mu.Lock()
	if in.Kind == "event" {
		p.asked = append(p.asked, in.Name)
	} else {
		p.asked = append(p.asked, string(body))
	}
	answer, ok := p.answers[key]
	p.mu.Unlock()
	if p.inside != nil {
		p.inside(in.Name)
	}
	if !ok {
		answer = `{"result":null}`
	}
	w.WriteHeader(http.StatusTeapot) // nobody looks
	_, _ = io.WriteString(w, answer)
}

func (p *process) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[len(p.asked)-1]
}

func (p *process) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *process) set(key, answer string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[key] = answer
}

const offers = `{"result": {"op":[{"name":"hello","key_required":false}], "event":[{"name":"init"}],
	"handler":[{"name":"cat:feed","methods":["GET"]},{"name":"cat:feed","methods":["POST"]},{"name":"old","methods":["GET"],"auth_required":true}],
	"hook":[{"name":"plugin.check","type":"note","trigger":"beforeSave"},{"name":"plugin.later","type":"note","trigger":"afterSave","async":true},
	{"name":"plugin.mode","type":"note","trigger":"afterSave","async_mode":true}],
	"timer":[{"name":"plugin.tick","spec":"@every 1h"}], "provider":[{"type":"auth","id":"com.example","name":"com.example"}]}}`

// world is a registry with plugins.
type world struct {
	*plugins.Service
	functions *functions.Service
	installed chan struct{}
}

func start(t *testing.T, c plugins.Config) world {
	t.Helper()
	w := world{installed: make(chan struct{}, 100)}
	var err error
	c.Log = slog.New(slog.DiscardHandler)
	if w.functions, err = functions.New(functions.Config{Log: c.Log}); err != nil {
		t.Fatal(err)
	}
	c.Pause = 5 * time.Millisecond
	c.Install = func(_ context.Context, fns []lambda.Function) error {
		set, err := w.functions.Compile(fns...)
		if err == nil {
			w.functions.Switch(set)
			w.installed <- struct{}{}
		}
		return err
	}
	if w.Service, err = plugins.New(c); err != nil {
		t.Fatal(err)
	}
	w.Start()
	t.Cleanup(w.Stop)
	return w
}

func (w world) wait(t *testing.T, what string, over func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !over(); {
		if time.Now().After(limit) {
			t.Fatalf("waited 30 s for: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (w world) ready(t *testing.T) {
	t.Helper()
	w.wait(t, "ready", func() bool { return w.Ready(false, false) == nil })
}

func TestService_TakesPluginsThroughTheirLife(t *testing.T) {
	t.Parallel()
	first, second := &process{answers: map[string]string{"event init": offers}}, &process{answers: map[string]string{"event init": `{"error":{"message":"not yet"}}`}}
	var w world
	var mu sync.Mutex
	var gate []string
	made := make(chan struct{})
	note := func(name string) {
		if name != "before-plugins-ready" && name != "after-plugins-ready" {
			return
		}
		<-made
		mu.Lock()
		defer mu.Unlock()
		gate = append(gate, fmt.Sprint(name, " ", code(w.Ready(false, true)), code(w.Ready(true, false)), code(w.Ready(true, true))))
	}
	first.inside = note
	a, b := httptest.NewServer(first), httptest.NewServer(second)
	defer a.Close()
	defer b.Close()
	w = start(t, plugins.Config{Settings: json.RawMessage(`{"app":{}}`), Plugins: []plugins.Plugin{{Name: "A", URL: a.URL}, {Name: "B", URL: b.URL}}})
	close(made)
	<-w.installed
	w.wait(t, "three attempts", func() bool { return len(second.all()) >= 4 })
	if got := code(w.Ready(true, true)); got != fault.Unavailable {
		t.Errorf("with one plugin left: %q", got)
	}
	second.set("event init", `{"result":{}}`)
	w.ready(t)
	w.wait(t, "the last event", func() bool { return slices.Contains(second.all(), "server-ready") })
	want := []string{"before-config", "init", "after-config", "before-plugins-ready", "after-plugins-ready", "server-ready"}
	if diff := cmp.Diff(want, first.all()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, slices.Compact(second.all())); diff != "" {
		t.Error(diff)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"before-plugins-ready initializinginitializing", "after-plugins-ready "}, gate); diff != "" {
		t.Error(diff)
	}
}

func code(err error) fault.Code {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

func TestService_CallsAsTheWireHasIt(t *testing.T) {
	t.Parallel()
	p := &process{answers: map[string]string{"event init": offers}}
	server := httptest.NewServer(p)
	defer server.Close()
	w := start(t, plugins.Config{Plugins: []plugins.Plugin{{Name: "A", URL: server.URL}}})
	w.ready(t)
	w.wait(t, "the last event", func() bool { return p.last() == "server-ready" })
	ctx := acl.WithActor(t.Context(), acl.Actor{UserID: "u1", Key: acl.ClientKey})

	for _, c := range []struct {
		call func() (json.RawMessage, error)
		want string
	}{
		{func() (json.RawMessage, error) {
			return w.functions.Invoke(functions.WithPayload(ctx, json.RawMessage(`{"action":"hello","x":1}`)), "hello", nil)
		}, `{"kind":"op","name":"hello","param":{"action":"hello","x":1},"context":{"user_id":"u1","access_key_type":"client"}}`},
		{
			func() (json.RawMessage, error) {
				return w.functions.Invoke(t.Context(), "hello", json.RawMessage(`[1]`))
			},
			`{"kind":"op","name":"hello","param":{"action":"hello","args":[1]},"context":{}}`,
		},
		{func() (json.RawMessage, error) {
			return w.functions.RunHook(ctx, "plugin.check", json.RawMessage(`{"record":{},"original":null}`))
		}, `{"kind":"hook","name":"plugin.check","param":{"record":{},"original":null},"context":{"user_id":"u1","access_key_type":"client"}}`},
		{
			func() (json.RawMessage, error) { return nil, w.functions.RunTimer(t.Context(), "plugin.tick") },
			`{"kind":"timer","name":"plugin.tick"}`,
		},
	} {
		if _, err := c.call(); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(c.want, p.last()); diff != "" {
			t.Error(diff)
		}
	}
	for _, hook := range w.functions.Hooks() {
		if hook.Async != (hook.Name != "plugin.check") {
			t.Errorf("hook %s: it is waited for: %v", hook.Name, !hook.Async)
		}
	}
	if old, _, ok, err := w.functions.Handler("GET", "/old"); !ok || err != nil || !old.KeyRequired {
		t.Errorf("a handler of an early plugin: %v, %v, %+v", ok, err, old.Function)
	}
	h, _, ok, err := w.functions.Handler("POST", "/cat/feed")
	if !ok || err != nil {
		t.Fatal("there is no handler", err)
	}
	p.set("handler cat:feed", `{"result":{"status":201,"header":{"X":["1"]},"body":"aGk="}}`)
	h.Serve(ctx, functions.Request{Method: "POST", Path: "/cat/feed", Header: map[string][]string{}}, func(r functions.Response, err error) {
		if err != nil || r.Status != 201 || string(r.Body) != "hi" {
			t.Errorf("%+v, %v", r, err)
		}
	})
	if !strings.Contains(p.last(), `"body":""`) {
		t.Errorf("an empty body: %s", p.last())
	}
}

func TestService_AnnouncesToAll(t *testing.T) {
	t.Parallel()
	const data = `{"note":{"fields":[{"name":"text","type":"string"}]}}`
	heard := make(chan string, 2)
	var all []plugins.Plugin
	for _, name := range []string{"A", "B"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), "schema-changed") {
				heard <- string(body)
			}
			_, _ = io.WriteString(w, `{"result":{}}`)
		}))
		defer server.Close()
		all = append(all, plugins.Plugin{Name: name, URL: server.URL})
	}
	w := start(t, plugins.Config{Plugins: all})
	w.ready(t)
	w.Announce("schema-changed", json.RawMessage(data))
	for range all {
		if diff := cmp.Diff(`{"kind":"event","name":"schema-changed","param":`+data+`}`, <-heard); diff != "" {
			t.Error(diff)
		}
	}
	w.Stop()
	w.Announce("schema-changed", json.RawMessage(data)) // to nobody
}

func TestService_Answers(t *testing.T) {
	t.Parallel()
	p := &process{answers: map[string]string{"event init": offers}}
	server := httptest.NewServer(p)
	defer server.Close()
	w := start(t, plugins.Config{Plugins: []plugins.Plugin{{Name: "A", URL: server.URL}}})
	w.ready(t)
	w.wait(t, "the last event", func() bool { return p.last() == "server-ready" })
	for _, c := range []struct {
		answer, want, reason string
		code                 fault.Code
	}{
		{`{"result":[1, {"a":null}]}`, `[1, {"a":null}]`, "", ""},
		{`{}`, `null`, "", ""},
		{`{"error":{"code":108,"name":"Other","message":"no","info":{"a":1,"trace":"File 1"}}}`, ``, "functions.raised", fault.Invalid},
		{`{"error":{"code":4711}}`, ``, "functions.raised", fault.Custom},
		{`{"error":{}}`, ``, "functions.raised", fault.Internal},
		{`<html>`, ``, "plugins.bad_answer", fault.Internal},
		{`null`, ``, "plugins.bad_answer", fault.Internal},
		{`{"error":"text"}`, ``, "workers.bad_error", fault.Internal},
	} {
		p.set("op hello", c.answer)
		got, err := w.functions.Invoke(t.Context(), "hello", nil)
		if string(got) != c.want || code(err) != c.code || c.reason != "" && !fault.Is(err, c.reason) {
			t.Errorf("%s: %s, %v", c.answer, got, err)
		}
		if err != nil && (fault.From(err).Message == "" || fault.From(err).Details["trace"] != nil) {
			t.Errorf("%s: %+v", c.answer, fault.From(err))
		}
	}
	provider, ok := w.functions.Provider("com.example")
	p.set("provider com.example", `{"result":{"principal_id":"x1","auth_data":{"n":1}}}`)
	id, keep, err := provider.LogIn(t.Context(), json.RawMessage(`{"k":1}`))
	if !ok || id != "x1" || string(keep) != `{"n":1}` || err != nil {
		t.Errorf("%q, %s, %v", id, keep, err)
	}
	if want := `"param":{"action":"login","auth_data":{"k":1}}`; !strings.Contains(p.last(), want) {
		t.Errorf("%s lacks %s", p.last(), want)
	}
	if _, ok := w.functions.Provider("com.other"); ok {
		t.Error("an unknown provider is found")
	}
}

func TestService_AsksAPluginThatComesBack(t *testing.T) {
	t.Parallel()
	old := &process{answers: map[string]string{"event init": offers}}
	server := httptest.NewServer(old)
	w := start(t, plugins.Config{Plugins: []plugins.Plugin{{Name: "A", URL: server.URL}}})
	w.ready(t)
	address := server.Listener.Addr().String()
	server.Close()
	if _, err := w.functions.Invoke(t.Context(), "hello", nil); !fault.Is(err, "plugins.unreachable") || code(err) != fault.Internal {
		t.Errorf("a call of nobody: %v", err)
	}
	if err := w.Ready(false, false); err != nil {
		t.Errorf("the gate is closed again: %v", err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Skip("the port was taken by somebody else")
	}
	next := &process{answers: map[string]string{"event init": `{"result":{"op":[{"name":"bye"}]}}`}}
	again := httptest.NewUnstartedServer(next)
	again.Listener = l
	again.Start()
	defer again.Close()
	w.wait(t, "the new functions", func() bool { return w.functions.Has("bye") && !w.functions.Has("hello") })
	w.wait(t, "the last event", func() bool { return slices.Contains(next.all(), "server-ready") })
}

func TestNew_RefusesBadAddresses(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "127.0.0.1:8000", "ftp://a", "http://"} {
		if _, err := plugins.New(plugins.Config{Plugins: []plugins.Plugin{{Name: "A", URL: url}}}); !fault.Is(err, "plugins.bad_url") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
