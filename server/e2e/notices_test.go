package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crema/server/base/pg"
	"crema/server/testkit"
)

// TestNotices_TwoServers subscribes at one server, listens at the other, and changes records at both and by
// SQL. One of them is killed in the middle.
func TestNotices_TwoServers(t *testing.T) {
	t.Parallel()
	url := testkit.EmptyDatabaseURL(t)
	one := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+url, "APP_NAME=notices")
	two := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+url, "APP_NAME=notices")
	ann := wireUser(t, one, "ann")
	device := ann.call("device:register", `"type":"android","device_token":"t"`)["id"].(string)
	ann.call("record:save", `"records":[{"_id":"bean/0","roast":"dark"}]`)
	ann.call("subscription:save", `"device_id":"`+device+`","subscriptions":[{"id":"dark","type":"query",
		"query":{"record_type":"bean","predicate":["eq",{"$type":"keypath","$val":"roast"},"dark"]}}]`)
	notices := listenInternal(t, two, "_sub_"+device)

	ann.call("record:save", `"records":[{"_id":"bean/1","roast":"dark"},{"_id":"bean/2","roast":"light"}]`)
	first := notices(1)
	eve := wireUser(t, two, "eve")
	eve.call("record:save", `"records":[{"_id":"bean/hidden","_access":[],"roast":"dark"}]`)
	eve.call("record:save", `"records":[{"_id":"bean/3","roast":"dark"}]`)
	one.Kill()
	eve.call("record:save", `"records":[{"_id":"bean/4","roast":"dark"}]`)
	db, err := pg.Open(t.Context(), pg.Config{URL: url, Schema: "app_notices", MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(t.Context(), `UPDATE app.bean SET roast = 'dark' WHERE _id = $1`, "2"); err != nil {
		t.Fatal(err)
	}
	for i, seq := range notices(3) {
		if seq != first[0]+1+int64(i) {
			t.Errorf("notice %d has the number %d, the first had %d", i+1, seq, first[0])
		}
	}
}

// wire is a logged-in user at a server.
type wire struct {
	t      *testing.T
	server *testkit.Server
	token  string
}

func wireUser(t *testing.T, s *testkit.Server, name string) *wire {
	t.Helper()
	u := &wire{t: t, server: s}
	u.token = u.call("auth:signup", `"auth_data":{"username":"`+name+`"},"password":"secret"`)["access_token"].(string)
	return u
}

// call returns the result, or the first entry of a list; errors end the test.
func (u *wire) call(action, params string) map[string]any {
	u.t.Helper()
	body := fmt.Sprintf(`{"action":%q,"api_key":%q,"access_token":%q,%s}`, action, u.server.APIKey, u.token, params)
	if u.token == "" {
		body = strings.Replace(body, `"access_token":"",`, "", 1)
	}
	var answer struct{ Result, Error any }
	if err := json.Unmarshal([]byte(post(u.t, u.server.URL, "", body).Body), &answer); err != nil || answer.Error != nil {
		u.t.Fatalf("%s: %v, %v", action, answer.Error, err)
	}
	list, isList := answer.Result.([]any)
	if isList {
		answer.Result = list[0]
	}
	m, ok := answer.Result.(map[string]any)
	if !ok || m["_type"] == "error" {
		u.t.Fatalf("%s: %v", action, answer.Result)
	}
	return m
}

// listenInternal joins a channel of the internal socket, and returns a way to await the numbers of some
// notices.
func listenInternal(t *testing.T, s *testkit.Server, channel string) func(n int) []int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	c, _, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+"/_/pubsub?api_key="+s.APIKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	// When the probe comes back the channel is joined.
	for _, frame := range []string{`{"action":"sub","channel":"` + channel + `"}`, `{"action":"pub","channel":"` + channel + `","data":"probe"}`} {
		if err := c.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
	}
	next := func() []byte {
		t.Helper()
		_, frame, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return frame
	}
	if frame := next(); !bytes.Contains(frame, []byte(`"probe"`)) {
		t.Fatalf("got %s", frame)
	}
	return func(n int) (seqs []int64) {
		t.Helper()
		for range n {
			frame := next()
			var m struct {
				Channel string
				Data    struct {
					Seq int64  `json:"seq-num"`
					ID  string `json:"subscription-id"`
				}
			}
			if err := json.Unmarshal(frame, &m); err != nil || m.Channel != channel || m.Data.ID != "dark" || m.Data.Seq == 0 {
				t.Fatalf("got %s, %v", frame, err)
			}
			seqs = append(seqs, m.Data.Seq)
		}
		return seqs
	}
}
