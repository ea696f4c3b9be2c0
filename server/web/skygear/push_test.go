package skygear_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/jobs"
	"crema/server/base/pg"
	"crema/server/core/functions"
	"crema/server/core/push"
	"crema/server/core/records"
	"crema/server/core/schema"
	"crema/server/core/users"
	"crema/server/testkit"
	"crema/server/web"
	"crema/server/web/skygear"
)

const (
	pushClientKey = "client-key"
	pushMasterKey = "master-key"
)

// pushWire is a door with real rooms behind it.
type pushWire struct {
	db   *pg.DB
	door *skygear.Door
}

func newPushWire(t *testing.T, change ...func(*push.Config)) *pushWire {
	t.Helper()
	db := testkit.DB(t)
	types := schema.New(db)
	recs := records.New(records.Config{DB: db, Schema: types, DevMode: true})
	c := push.Config{DB: db, Records: recs, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&c)
	}
	room := push.New(c)
	types.OnCreate(room.Created)
	fns, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return &pushWire{db: db, door: skygear.New(skygear.Config{
		Gate: web.NewGate(pushClientKey, pushMasterKey, tokens{users.New(users.Config{DB: db})}), Records: recs, Functions: fns, Push: room, MaxBody: 1 << 20,
	})}
}

// pushAnswer is what the wire said.
type pushAnswer struct {
	Status int
	Result any
	Code   int
	Info   map[string]any
}

// tokens lets everybody in with a token that is the user's name; the rest is as it is.
type tokens struct{ *users.Service }

func (a tokens) Session(ctx context.Context, token string) (users.Session, error) {
	if err := a.Ensure(ctx, token); err != nil {
		return users.Session{}, err
	}
	roles, err := a.Roles(ctx, token)
	return users.Session{UserID: token, Roles: roles}, err
}

// send calls an action for a user; "" is nobody, and "*ann" is the master key that acts as ann.
func (p *pushWire) send(t *testing.T, action, user, body string) pushAnswer {
	t.Helper()
	params := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(body), &params); err != nil {
		t.Fatal(err)
	}
	params["action"], params["api_key"] = json.RawMessage(`"`+action+`"`), json.RawMessage(`"`+pushClientKey+`"`)
	if name, master := strings.CutPrefix(user, "*"); master {
		params["api_key"], params["_user_id"] = json.RawMessage(`"`+pushMasterKey+`"`), json.RawMessage(`"`+name+`"`)
	} else if user != "" {
		params["access_token"] = json.RawMessage(`"` + user + `"`)
	}
	text, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.door.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(text))))
	var got struct {
		Result any
		Error  struct {
			Code int
			Info map[string]any
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return pushAnswer{w.Code, got.Result, got.Error.Code, got.Error.Info}
}

// register makes a device of a user and returns its id.
func (p *pushWire) register(t *testing.T, user, token string) string {
	t.Helper()
	got := p.send(t, "device:register", user, `{"type":"ios","device_token":"`+token+`"}`)
	id, _ := got.Result.(map[string]any)["id"].(string)
	if got.Status != 200 || id == "" {
		t.Fatalf("got %+v", got)
	}
	return id
}

func (p *pushWire) count(t *testing.T, q string, args ...any) (n int) {
	t.Helper()
	if err := p.db.Get(t.Context(), &n, q, args...); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDevice_WhatIsRefused(t *testing.T) {
	t.Parallel()
	p := newPushWire(t)
	mine := p.register(t, "ann", "tok")
	for name, c := range map[string]struct {
		action, user, body string
		status, code       int
	}{
		"anonymous registers":            {"device:register", "", `{"type":"ios"}`, 401, 101},
		"anonymous unregisters":          {"device:unregister", "", `{"id":"x"}`, 401, 101},
		"no type":                        {"device:register", "ann", `{}`, 400, 108},
		"an unknown type":                {"device:register", "ann", `{"type":"tin can"}`, 400, 108},
		"a type that is no text":         {"device:register", "ann", `{"type":1}`, 400, 107},
		"a token that is no text":        {"device:register", "ann", `{"type":"ios","device_token":[]}`, 400, 107},
		"a NUL in the token":             {"device:register", "ann", `{"type":"ios","device_token":"\u0000"}`, 400, 108},
		"a token without end":            {"device:register", "ann", `{"type":"ios","device_token":"` + strings.Repeat("x", 5000) + `"}`, 400, 108},
		"an unknown id":                  {"device:register", "ann", `{"type":"ios","id":"nowhere","device_token":"t2"}`, 404, 110},
		"the id of another user (B12)":   {"device:register", "eve", `{"type":"ios","id":"` + mine + `","device_token":"t3"}`, 404, 110},
		"unregister without id":          {"device:unregister", "ann", `{}`, 400, 108},
		"unregister an unknown id":       {"device:unregister", "ann", `{"id":"nowhere"}`, 404, 110},
		"unregister a number":            {"device:unregister", "ann", `{"id":5}`, 400, 107},
		"a database of somebody else":    {"device:register", "ann", `{"type":"ios","database_id":"_nonsense"}`, 400, 108},
		"unregister with a NUL":          {"device:unregister", "ann", `{"id":"\u0000"}`, 400, 108},
		"register with an id with a NUL": {"device:register", "ann", `{"type":"ios","id":"\u0000"}`, 400, 108},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := p.send(t, c.action, c.user, c.body); got.Status != c.status || got.Code != c.code {
				t.Errorf("got %+v, want %d/%d", got, c.status, c.code)
			}
			if n := p.count(t, "SELECT count(*) FROM app._device WHERE id = $1 AND auth_id = 'ann' AND token = 'tok'", mine); n != 1 {
				t.Error("the device has changed")
			}
		})
	}
}

func TestDevice_Life(t *testing.T) {
	t.Parallel()
	p := newPushWire(t)
	first := p.register(t, "ann", "tok-1")
	got := p.send(t, "device:register", "ann", `{"id":"`+first+`","type":"android","device_token":"tok-2","topic":"shop"}`)
	if diff := cmp.Diff(map[string]any{"id": first}, got.Result); diff != "" {
		t.Error(diff)
	}
	if n := p.count(t, "SELECT count(*) FROM app._device WHERE id = $1 AND type = 'android' AND token = 'tok-2' AND topic = 'shop'", first); n != 1 {
		t.Error("the device was not brought up to date")
	}
	silent := p.send(t, "device:register", "ann", `{"type":"ios","device_token":null}`)
	other := p.send(t, "device:register", "ann", `{"type":"ios"}`)
	if silent.Status != 200 || other.Status != 200 || cmp.Equal(silent.Result, other.Result) {
		t.Errorf("devices without token: %+v, %+v", silent, other)
	}
	got = p.send(t, "device:unregister", "ann", `{"id":"`+first+`"}`)
	if diff := cmp.Diff(map[string]any{"id": first}, got.Result); diff != "" {
		t.Error(diff)
	}
	if got := p.send(t, "device:unregister", "ann", `{"id":"`+first+`"}`); got.Code != 110 {
		t.Errorf("the second time: %+v", got)
	}
}

// The phone has a new owner: the device of the one before goes, and its subscriptions with it.
func TestDevice_ATokenIsOneDevice(t *testing.T) {
	t.Parallel()
	p := newPushWire(t)
	old := p.register(t, "ann", "phone")
	p.send(t, "subscription:save", "ann", `{"device_id":"`+old+`","subscriptions":[{"id":"s","type":"query","query":{"record_type":"note"}}]}`)
	p.register(t, "bob", "phone")
	if n := p.count(t, "SELECT count(*) FROM app._device WHERE $1 = $1", 1); n != 1 {
		t.Errorf("%d devices", n)
	}
	if n := p.count(t, "SELECT count(*) FROM app._subscription WHERE $1 = $1", 1); n != 0 {
		t.Errorf("%d subscriptions", n)
	}
	errs := make(chan pushAnswer, 8)
	for i := range cap(errs) {
		go func() {
			errs <- p.send(t, "device:register", string(rune('a'+i)), `{"type":"ios","device_token":"race"}`)
		}()
	}
	for range cap(errs) {
		if got := <-errs; got.Status != 200 {
			t.Errorf("got %+v", got)
		}
	}
	if n := p.count(t, "SELECT count(*) FROM app._device WHERE token = $1", "race"); n != 1 {
		t.Errorf("%d devices with one token", n)
	}
}

func TestSubscription_WhatIsRefused(t *testing.T) {
	t.Parallel()
	p := newPushWire(t)
	mine := p.register(t, "ann", "tok")
	good := `"subscriptions":[{"id":"s","type":"query","query":{"record_type":"note"}}]`
	for name, c := range map[string]struct {
		action, user, body string
		status, code       int
	}{
		"anonymous":                        {"subscription:save", "", `{"device_id":"` + mine + `",` + good + `}`, 401, 101},
		"no subscriptions":                 {"subscription:save", "ann", `{"device_id":"` + mine + `"}`, 400, 108},
		"no subscriptions on union (B13)":  {"subscription:save", "*ann", `{"database_id":"_union","device_id":"` + mine + `","subscriptions":[]}`, 400, 108},
		"save on union":                    {"subscription:save", "*ann", `{"database_id":"_union","device_id":"` + mine + `",` + good + `}`, 501, 112},
		"fetch on union":                   {"subscription:fetch", "*ann", `{"database_id":"_union","device_id":"` + mine + `","subscription_ids":["s"]}`, 501, 112},
		"fetch_all on union":               {"subscription:fetch_all", "*ann", `{"database_id":"_union","device_id":"` + mine + `"}`, 501, 112},
		"delete on union":                  {"subscription:delete", "*ann", `{"database_id":"_union","device_id":"` + mine + `","subscription_ids":["s"]}`, 501, 112},
		"save without device":              {"subscription:save", "ann", `{` + good + `}`, 400, 108},
		"fetch without device":             {"subscription:fetch", "ann", `{"subscription_ids":["s"]}`, 400, 108},
		"fetch_all without device":         {"subscription:fetch_all", "ann", `{}`, 400, 108},
		"delete without device":            {"subscription:delete", "ann", `{"subscription_ids":["s"]}`, 400, 108},
		"subscriptions that are no list":   {"subscription:save", "ann", `{"device_id":"` + mine + `","subscriptions":{}}`, 400, 107},
		"a subscription that is no object": {"subscription:save", "ann", `{"device_id":"` + mine + `","subscriptions":["s"]}`, 400, 107},
		"ids that are no texts":            {"subscription:fetch", "ann", `{"device_id":"` + mine + `","subscription_ids":[1]}`, 400, 107},
		"an id with a NUL":                 {"subscription:fetch", "ann", `{"device_id":"` + mine + `","subscription_ids":["\u0000"]}`, 400, 108},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := p.send(t, c.action, c.user, c.body); got.Status != c.status || got.Code != c.code {
				t.Errorf("got %+v, want %d/%d", got, c.status, c.code)
			}
		})
	}
}

// codesOf returns the code of every entry of a list, 0 for what was done.
func codesOf(t *testing.T, a pushAnswer) []int {
	t.Helper()
	list, ok := a.Result.([]any)
	if !ok {
		t.Fatalf("no list: %+v", a)
	}
	codes := make([]int, len(list))
	for i := range list {
		if m := list[i].(map[string]any); m["_type"] == "error" {
			n, _ := m["code"].(float64)
			codes[i] = int(n)
		}
	}
	return codes
}

func TestSubscription_EntriesThatAreRefused(t *testing.T) {
	t.Parallel()
	p := newPushWire(t)
	mine := p.register(t, "ann", "tok")
	p.send(t, "record:save", "ann", `{"records":[{"_id":"note/1","title":"x","secret":"y","where":{"$type":"geo","$lat":1,"$lng":2}}]}`)
	if _, err := p.db.Exec(t.Context(), `INSERT INTO app._record_field_access VALUES ('note', 'secret', '_owner', $1, true, true, true)`, true); err != nil {
		t.Fatal(err)
	}
	if _, err := p.db.Exec(t.Context(), `UPDATE app._schema_version SET version = version + $1`, 1); err != nil {
		t.Fatal(err)
	}
	p.send(t, "record:save", "ann", `{"records":[{"_id":"other/1"}]}`) // meets the new version
	query := func(q string) string { return `{"id":"s","type":"query","query":` + q + `}` }
	for name, c := range map[string]struct {
		entry string
		code  int
	}{
		"no id":                    {`{"type":"query","query":{"record_type":"note"}}`, 108},
		"no type":                  {`{"id":"s","query":{"record_type":"note"}}`, 108},
		"another type":             {`{"id":"s","type":"poll","query":{"record_type":"note"}}`, 108},
		"no query":                 {`{"id":"s","type":"query"}`, 108},
		"null for a query":         {query(`null`), 108},
		"a query that is a text":   {query(`"note"`), 108},
		"no record type":           {query(`{}`), 108},
		"a system table":           {query(`{"record_type":"_auth"}`), 108},
		"a predicate of nothing":   {query(`{"record_type":"note","predicate":["eq"]}`), 108},
		"an unknown field":         {query(`{"record_type":"note","predicate":["eq",{"$type":"keypath","$val":"nowhere"},1]}`), 120},
		"a guarded field":          {query(`{"record_type":"note","predicate":["eq",{"$type":"keypath","$val":"secret"},"y"]}`), 124},
		"a comparison of objects":  {query(`{"record_type":"note","predicate":["eq",{"$type":"keypath","$val":"title"},{"a":1}]}`), 111},
		"a NUL":                    {query(`{"record_type":"note","predicate":["eq",{"$type":"keypath","$val":"title"},"\u0000"]}`), 108},
		"an info that is a text":   {`{"id":"s","type":"query","query":{"record_type":"note"},"notification_info":"x"}`, 108},
		"an empty predicate":       {query(`{"record_type":"note","predicate":[]}`), 0},
		"an empty predicate as {}": {query(`{"record_type":"note","predicate":{}}`), 0},
		"a type of the future":     {query(`{"record_type":"tea","predicate":["eq",{"$type":"keypath","$val":"leaf"},"big"]}`), 0},
		"a null info":              {`{"id":"s","type":"query","query":{"record_type":"note"},"notification_info":null}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := p.send(t, "subscription:save", "ann", `{"device_id":"`+mine+`","subscriptions":[`+c.entry+`,`+query(`{"record_type":"note"}`)+`]}`)
			if diff := cmp.Diff([]int{c.code, 0}, codesOf(t, got)); diff != "" {
				t.Errorf("%+v: %s", got, diff)
			}
		})
	}
}

func TestSubscription_Life(t *testing.T) {
	t.Parallel()
	p := newPushWire(t)
	mine := p.register(t, "ann", "tok")
	on := func(rest string) string { return `{"device_id":"` + mine + `"` + rest + `}` }
	all := func(user, rest string) any { return p.send(t, "subscription:fetch_all", user, on(rest)).Result }
	if got := all("ann", ""); got != nil {
		t.Errorf("none: %v", got)
	}
	a := map[string]any{
		"id": "a", "type": "query", "device_id": mine, "query": map[string]any{"record_type": "note", "predicate": []any{"eq", map[string]any{"$type": "keypath", "$val": "_id"}, "1"}},
		"notification_info": map[string]any{"aps": map[string]any{"alert": map[string]any{"body": "B"}, "should-badge": true}},
	}
	b := map[string]any{"id": "b", "type": "query", "device_id": mine, "query": map[string]any{"record_type": "note"}}
	list, err := json.Marshal([]any{b, a})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time they replace themselves
		got := p.send(t, "subscription:save", "ann", on(`,"subscriptions":`+string(list)))
		if diff := cmp.Diff([]any{b, a}, got.Result); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff([]any{a, b}, all("ann", "")); diff != "" {
		t.Error(diff)
	}
	if got := all("ann", `,"database_id":"_private"`); got != nil {
		t.Errorf("in the private database: %v", got)
	}
	got := p.send(t, "subscription:fetch", "ann", on(`,"subscription_ids":["b","c","a"]`))
	if diff := cmp.Diff([]int{0, 110, 0}, codesOf(t, got)); diff != "" {
		t.Error(diff)
	}
	missing := got.Result.([]any)[1].(map[string]any)
	delete(missing, "message")
	if diff := cmp.Diff(map[string]any{"_id": "c", "_type": "error", "name": "ResourceNotFound", "code": 110.0, "info": map[string]any{"id": "c"}}, missing); diff != "" {
		t.Error(diff)
	}
	if got := p.send(t, "subscription:fetch", "ann", on("")); !cmp.Equal(got.Result, []any{}) {
		t.Errorf("no ids: %+v", got)
	}
	got = p.send(t, "subscription:delete", "ann", on(`,"subscription_ids":["b","c"]`))
	if diff := cmp.Diff(map[string]any{"id": "b"}, got.Result.([]any)[0]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{0, 110}, codesOf(t, got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{a}, all("ann", "")); diff != "" {
		t.Error(diff)
	}
}

// A device that is unknown and one of somebody else look the same.
func TestSubscription_DevicesOfOthersDoNotExist(t *testing.T) {
	t.Parallel()
	p := newPushWire(t)
	mine := p.register(t, "ann", "tok")
	save := `"subscriptions":[{"id":"s","type":"query","query":{"record_type":"note"}}]`
	p.send(t, "subscription:save", "ann", `{"device_id":"`+mine+`",`+save+`}`)
	for _, device := range []string{mine, "nowhere"} {
		for action, rest := range map[string]string{"subscription:save": save, "subscription:fetch": `"subscription_ids":["s"]`, "subscription:delete": `"subscription_ids":["s"]`} {
			got := p.send(t, action, "eve", `{"device_id":"`+device+`",`+rest+`}`)
			if diff := cmp.Diff([]int{110}, codesOf(t, got)); diff != "" {
				t.Errorf("%s on %s: %s", action, device, diff)
			}
		}
		if got := p.send(t, "subscription:fetch_all", "eve", `{"device_id":"`+device+`"}`); got.Result != nil || got.Status != 200 {
			t.Errorf("fetch_all on %s: %+v", device, got)
		}
	}
	if n := p.count(t, "SELECT count(*) FROM app._subscription WHERE $1 = $1", 1); n != 1 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// nowhere is a push service that is never asked: the queue of these tests does not run.
type nowhere struct{}

func (nowhere) Send(context.Context, push.Message) error { return nil }

func TestPush_OnTheWire(t *testing.T) {
	t.Parallel()
	bare := newPushWire(t)
	p := newPushWire(t, func(c *push.Config) {
		c.Senders = map[string]push.Sender{"ios": nowhere{}}
		c.Jobs = jobs.New(jobs.Config{DB: c.DB, Log: c.Log})
	})
	device := p.register(t, "ann", "aa")
	p.send(t, "device:register", "ann", `{"type":"ios","device_token":"bb","topic":"game"}`)
	const note = `"notification":{"apns":{"aps":{"badge":1}}}`
	for name, c := range map[string]struct {
		wire               *pushWire
		action, user, body string
		status, code       int
		result             any
	}{
		"without a service":       {bare, "push:user", "", `{"user_ids":["ann"],` + note + `}`, 500, 10003, nil},
		"devices without service": {bare, "push:device", "", `{"device_ids":["d"],` + note + `}`, 500, 10003, nil},
		"a user's database first": {bare, "push:user", "", `{"database_id":"_private","user_ids":["ann"],` + note + `}`, 401, 101, nil},
		"nobody to push to":       {p, "push:user", "", `{` + note + `}`, 400, 108, nil},
		"no devices":              {p, "push:device", "", `{"device_ids":[],` + note + `}`, 400, 108, nil},
		"nothing to push":         {p, "push:user", "", `{"user_ids":["ann"]}`, 400, 108, nil},
		"a text to push":          {p, "push:user", "", `{"user_ids":["ann"],"notification":"hi"}`, 400, 107, nil},
		"users that are no list":  {p, "push:user", "", `{"user_ids":"ann",` + note + `}`, 400, 107, nil},
		"the client key may push": {p, "push:user", "", `{"user_ids":["ann"],` + note + `}`, 200, 0, []any{map[string]any{"_id": "ann"}}},
		"a device":                {p, "push:device", "", `{"device_ids":["` + device + `"],` + note + `}`, 200, 0, []any{map[string]any{"_id": device}}},
		"of another topic":        {p, "push:device", "", `{"device_ids":["` + device + `"],"topic":"game",` + note + `}`, 200, 0, []any{}},
		"an unknown device": {p, "push:device", "", `{"device_ids":["d"],` + note + `}`, 200, 0, []any{
			map[string]any{"_id": "d", "_type": "error", "name": "ResourceNotFound", "code": 110.0, "message": `there is no device "d"`, "info": map[string]any{"id": "d"}},
		}},
		"an unknown user": {p, "push:user", "", `{"user_ids":["u"],` + note + `}`, 200, 0, []any{
			map[string]any{"_id": "u", "_type": "error", "name": "ResourceNotFound", "code": 110.0, "message": `there is no user "u"`, "info": map[string]any{"id": "u"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.wire.send(t, c.action, c.user, c.body)
			if diff := cmp.Diff(c.result, got.Result); got.Status != c.status || got.Code != c.code || diff != "" {
				t.Errorf("got %+v, want %d/%d %s", got, c.status, c.code, diff)
			}
		})
	}
	// To ann: both devices by her name, one by its id.
	if n := p.count(t, "SELECT count(*) FROM app._job WHERE kind = $1", "push.send"); n != 3 {
		t.Errorf("%d jobs", n)
	}
}

func TestPush_NeedsAKey(t *testing.T) {
	t.Parallel()
	p := newPushWire(t)
	for _, c := range []struct {
		body string
		code float64
	}{{`{"action":"push:user","access_token":"ann"}`, 101}, {`{"action":"push:device","api_key":"wrong"}`, 103}} { // T7
		w := httptest.NewRecorder()
		p.door.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.body)))
		var got struct{ Error struct{ Code float64 } }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 401 || got.Error.Code != c.code {
			t.Errorf("%s: %d %s", c.body, w.Code, w.Body)
		}
	}
}
