package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crema/server/base/pg"
	"crema/server/testkit"
)

// world is a server and those who use it.
type world struct {
	t      *testing.T
	s      *testkit.Server
	db     *pg.DB
	people []*person
}

// person is a user with a device of their own.
type person struct {
	s         *testkit.Server
	client    *http.Client
	name      string
	anonymous bool
	id        string
	token     string
	device    string
	made      int // records
}

// named is how many people have a password; hashing one takes the detector most of a second. The others are
// anonymous.
const named = 4

// prepare signs everybody up.
func (w *world) prepare() {
	w.t.Helper()
	for i := range people {
		p := &person{s: w.s, name: fmt.Sprintf("user%d", i), client: &http.Client{Transport: &http.Transport{}, Timeout: 2 * time.Minute}}
		if p.anonymous = i >= named; p.anonymous {
			p.name = "anonymous" + fmt.Sprint(i)
		}
		if err := p.enter("auth:signup"); err != nil {
			w.t.Fatal(err)
		}
		device, err := p.ask("device:register", `"type":"android","device_token":"`+p.name+`"`)
		if err != nil {
			w.t.Fatal(err)
		}
		p.device, _ = device.(map[string]any)["id"].(string)
		if err := errors.Join(p.save(1), p.subscribe()); err != nil {
			w.t.Fatal(err)
		}
		w.people = append(w.people, p)
	}
}

// action is something that people do, so many times of a thousand.
type action struct {
	name  string
	share int
	do    func(p *person, r *rand.Rand) error
}

var actions = []action{
	{"query", 372, (*person).query},
	{"save", 280, func(p *person, r *rand.Rand) error { return p.save(1 + r.IntN(3)) }},
	{"fetch", 100, (*person).fetch},
	{"delete", 100, (*person).remove},
	{"refused", 50, (*person).misbehave},
	{"me", 20, func(p *person, _ *rand.Rand) error { return p.enter("me") }},
	{"log-in", 16, (*person).logIn},
	{"subscribe", 20, func(p *person, _ *rand.Rand) error { return p.resubscribe() }},
	{"friends", 12, (*person).befriend},
	{"socket", 20, func(p *person, _ *rand.Rand) error { return p.chat() }},
	{"file", 10, func(p *person, _ *rand.Rand) error { return p.upload() }},
}

func choose(r *rand.Rand) action {
	n := r.IntN(1000)
	for _, a := range actions {
		if n -= a.share; n < 0 {
			return a
		}
	}
	return actions[0]
}

// send makes a request and returns its answer, an error when that is one of the server.
func (p *person) send(method, path, contentType string, body []byte) (int, []byte, error) {
	req, err := http.NewRequest(method, p.s.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = http.Header{"X-Skygear-Api-Key": {p.s.APIKey}, "Content-Type": {contentType}}
	if p.token != "" {
		req.Header.Set("X-Skygear-Access-Token", p.token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 500 {
		err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode, text, err
}

// ask does an action that must succeed, and returns its result.
func (p *person) ask(action, params string) (any, error) {
	status, text, err := p.send(http.MethodPost, "/"+strings.ReplaceAll(action, ":", "/"), "application/json", []byte("{"+params+"}"))
	if err != nil {
		return nil, err
	}
	var answer struct{ Result any }
	if err := json.Unmarshal(text, &answer); err != nil || status != http.StatusOK || bytes.Contains(text, []byte(`"_type":"error"`)) {
		return nil, fmt.Errorf("{%s}: %d %s", params, status, text)
	}
	return answer.Result, nil
}

// enter is a sign-up, a log-in or a me, which all give a token.
func (p *person) enter(action string) error {
	who := `"auth_data":{"username":"` + p.name + `"},"password":"secret"`
	if p.anonymous {
		who = `"auth_data":null`
	}
	got, err := p.ask(action, who)
	if err != nil {
		return err
	}
	m, _ := got.(map[string]any)
	p.token, _ = m["access_token"].(string)
	p.id, _ = m["user_id"].(string)
	return nil
}

// logIn logs out as well, and back in where a password lets one.
func (p *person) logIn(_ *rand.Rand) error {
	if p.anonymous {
		return p.enter("me")
	}
	if _, err := p.ask("auth:logout", ""); err != nil {
		return err
	}
	return p.enter("auth:login")
}

func (p *person) key(n int) string { return fmt.Sprintf("bean/%s-%d", p.name, n%200) }

func (p *person) save(n int) error {
	var list []string
	for range n {
		p.made++
		access := []string{`null`, `[]`, `[{"public":true,"level":"read"}]`}[p.made%3]
		list = append(list, fmt.Sprintf(`{"_id":%q,"_access":%s,"title":"bean %d","price":%d,"tags":["a","b"],"owner":{"$type":"ref","$id":"user/%s"}}`, p.key(p.made), access, p.made, p.made%50, p.id))
	}
	_, err := p.ask("record:save", `"atomic":`+fmt.Sprint(n > 1)+`,"records":[`+strings.Join(list, ",")+`]`)
	return err
}

func keyPath(name string) string { return `{"$type":"keypath","$val":"` + name + `"}` }

func (p *person) query(r *rand.Rand) error {
	_, err := p.ask("record:query", fmt.Sprintf(`"record_type":"bean","predicate":["and",["lt",%s,%d],["like",%s,"bean%%"]],"sort":[[%s,"desc"]],"include":{"o":%s},"limit":20,"count":true`,
		keyPath("price"), r.IntN(50), keyPath("title"), keyPath("_created_at"), keyPath("owner")))
	return err
}

// fetch reads a record that may be gone.
func (p *person) fetch(r *rand.Rand) error {
	_, _, err := p.send(http.MethodPost, "/record/fetch", "application/json", []byte(`{"ids":["`+p.key(r.IntN(p.made+1))+`"]}`))
	return err
}

func (p *person) remove(r *rand.Rand) error {
	_, _, err := p.send(http.MethodPost, "/record/delete", "application/json", []byte(`{"ids":["`+p.key(r.IntN(p.made+1))+`","`+p.key(r.IntN(p.made+1))+`"]}`))
	return err
}

// misbehave sends what must be refused.
func (p *person) misbehave(r *rand.Rand) error {
	for path, body := range map[string]string{
		"/brew": `{"action":"brew"}`, "/record/save": `{"records":7}`, "/me": `{"access_token":7,"api_key":"wrong"}`, "/role/assign": `{"users":["x"],"roles":["Admin"]}`, "/asset/put": `{`,
	} {
		status, text, err := p.send(http.MethodPost, path, "application/json", []byte(body))
		if err != nil || status < 400 && path != "/me" {
			return errors.Join(err, fmt.Errorf("%s %s: %d %s", path, body, status, text))
		}
	}
	return nil
}

func (p *person) subscribe() error {
	_, err := p.ask("subscription:save", `"device_id":"`+p.device+`","subscriptions":[{"id":"cheap","type":"query","query":{"record_type":"bean","predicate":["lt",`+keyPath("price")+`,5]}}]`)
	return err
}

func (p *person) resubscribe() error {
	if _, err := p.ask("subscription:delete", `"device_id":"`+p.device+`","subscription_ids":["cheap"]`); err != nil {
		return err
	}
	return p.subscribe()
}

func (p *person) befriend(r *rand.Rand) error {
	for _, action := range []string{"relation:add", "relation:remove"} {
		if _, err := p.ask(action, `"name":"friend","targets":["`+p.id+`"]`); err != nil {
			return err
		}
	}
	_, err := p.ask("relation:query", `"name":"follow","direction":"inward"`)
	return err
}

func (p *person) upload() error {
	got, err := p.ask("asset:put", `"filename":"a.txt","content-type":"text/plain","content-size":1000`)
	if err != nil {
		return err
	}
	m, _ := got.(map[string]any)
	post, _ := m["post-request"].(map[string]any)
	action, _ := post["action"].(string)
	if status, text, err := p.send(http.MethodPut, action, "text/plain", bytes.Repeat([]byte("x"), 1000)); err != nil || status != http.StatusOK {
		return errors.Join(err, fmt.Errorf("%s: %d %s", action, status, text))
	}
	asset, _ := m["asset"].(map[string]any)
	signed, _ := asset["$url"].(string)
	body, err := get(p.client, signed, p.s.APIKey)
	if err == nil && len(body) != 1000 {
		err = fmt.Errorf("%s has %d bytes", signed, len(body))
	}
	return err
}

func get(client *http.Client, url, key string) (string, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Skygear-Api-Key", key)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", url, resp.StatusCode, text)
	}
	return string(text), err
}

func (p *person) dial(ctx context.Context, path string, frames ...string) (*websocket.Conn, error) {
	conn, _, err := websocket.Dial(ctx, strings.Replace(p.s.URL, "http", "ws", 1)+path+"?api_key="+p.s.APIKey, &websocket.DialOptions{HTTPClient: &http.Client{Transport: p.client.Transport}})
	for _, f := range frames {
		if err == nil {
			err = conn.Write(ctx, websocket.MessageText, []byte(f))
		}
	}
	return conn, err
}

// chat opens a socket, says something in a room of its own, hears it, and goes, in one of three ways.
func (p *person) chat() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p.made++
	room := fmt.Sprintf("room-%s-%d", p.name, p.made)
	conn, err := p.dial(ctx, "/pubsub", `{"action":"sub","channel":"`+room+`"}`, `{"action":"pub","channel":"`+room+`","data":"hello"}`)
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	if _, text, err := conn.Read(ctx); err != nil || string(text) != `{"channel":"`+room+`","data":"hello"}` {
		return fmt.Errorf("heard %q, %w", text, err)
	}
	switch p.made % 3 {
	case 0:
		return conn.Close(websocket.StatusNormalClosure, "")
	case 1: // what ends a socket from the server's side
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"action":"pub"}`)); err != nil {
			return err
		}
		_, _, _ = conn.Read(ctx)
	}
	return nil
}

// hear opens the socket that every client has open all the time. The function that it returns waits for a last notice and closes
// the socket.
func (p *person) hear(w *world) (end func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	conn, err := p.dial(ctx, "/_/pubsub", `{"action":"sub","channel":"_sub_`+p.device+`"}`)
	if err != nil {
		cancel()
		w.t.Error(err)
		return func() {}
	}
	done, heard := make(chan struct{}), make(chan struct{}, 1)
	go func() {
		defer close(done)
		for {
			if _, _, err := conn.Read(ctx); err != nil {
				return
			}
			select {
			case heard <- struct{}{}:
			default:
			}
		}
	}()
	return func() {
		if _, err := p.ask("record:save", `"records":[{"_id":"bean/`+p.name+`-last","price":0}]`); err != nil {
			w.t.Error(err)
		}
		select {
		case <-heard:
		case <-time.After(settling):
			w.t.Errorf("%s heard of no bean", p.name)
		}
		cancel()
		<-done
		_ = conn.CloseNow()
	}
}
