package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crema/server/testkit"
)

// socket is one end of a websocket of pubsub.
type socket struct {
	t    *testing.T
	conn *websocket.Conn
}

func dial(t *testing.T, s *testkit.Server, path string) *socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(s.URL, "http", "ws", 1)+path+"?api_key="+s.APIKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &socket{t, conn}
}

func (c *socket) send(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(f)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *socket) read() (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	_, text, err := c.conn.Read(ctx)
	return string(text), err
}

func (c *socket) wants(frame string) {
	c.t.Helper()
	if got, err := c.read(); err != nil || got != frame {
		c.t.Fatalf("got %q, %v; want %q", got, err, frame)
	}
}

// sub subscribes and returns when the server has done it.
func (c *socket) sub(channel string) {
	c.t.Helper()
	c.send(`{"action":"sub","channel":"`+channel+`"}`, `{"action":"ready?"}`)
	if text, err := c.read(); err != nil || !strings.Contains(text, "action") {
		c.t.Fatalf("%q, %v", text, err)
	}
}

// Two processes on one database hear each other; one that is killed takes nothing away from the other, and its successor
// takes part at once.
func TestPubsub_ServersOnOneDatabase(t *testing.T) {
	t.Parallel()
	env := "DATABASE_URL=" + testkit.DatabaseURL(t)
	a, b := testkit.StartServer(t, testkit.AppDir(t), env), testkit.StartServer(t, testkit.AppDir(t), env)
	onA, onB, hidden := dial(t, a, "/pubsub"), dial(t, b, "/pubsub"), dial(t, b, "/_/pubsub")
	onA.sub("room")
	onB.sub("room")
	hidden.sub("room")
	const n = 300
	for i := range n {
		onA.send(fmt.Sprintf(`{"action":"pub","channel":"room","data":%d}`, i))
	}
	for i := range n {
		want := fmt.Sprintf(`{"channel":"room","data":%d}`, i)
		onA.wants(want)
		onB.wants(want)
	}
	large := `"` + strings.Repeat("é", 60_000) + `"`
	onB.conn.SetReadLimit(1 << 20)
	onA.conn.SetReadLimit(1 << 20)
	onB.send(`{"action":"pub","channel":"room","data":` + large + `}`)
	for _, c := range []*socket{onA, onB} {
		c.wants(`{"channel":"room","data":` + large + `}`)
	}
	b.Kill()
	if text, err := onB.read(); err == nil {
		t.Errorf("a socket of a dead server says %q", text)
	}
	onA.send(`{"action":"pub","channel":"room","data":"alone"}`)
	onA.wants(`{"channel":"room","data":"alone"}`)
	c := testkit.StartServer(t, testkit.AppDir(t), env)
	onC := dial(t, c, "/pubsub")
	onC.sub("room")
	onA.send(`{"action":"pub","channel":"room","data":"again"}`)
	onA.wants(`{"channel":"room","data":"again"}`)
	onC.wants(`{"channel":"room","data":"again"}`)
	onC.send(`{"action":"pub","channel":"room","data":"here"}`)
	onA.wants(`{"channel":"room","data":"here"}`)
}

// A server that is asked to stop says so to its sockets and does not wait for them.
func TestPubsub_StopClosesSockets(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.DatabaseURL(t))
	silent, polite := dial(t, s, "/_/pubsub"), dial(t, s, "/pubsub")
	polite.sub("room")
	silent.sub("room") // and then it never reads
	closed := make(chan error, 1)
	go func() {
		_, err := polite.read()
		closed <- err
	}()
	start := time.Now()
	if code := s.Signal(t, syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d:\n%s", code, s.Log())
	}
	if err := <-closed; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the polite socket ended with %v", err)
	}
	if took := time.Since(start); took > 9*time.Second { // requests would get ten
		t.Errorf("stopping took %s", took)
	}
	if strings.Contains(s.Log(), "cut off") {
		t.Errorf("log:\n%s", s.Log())
	}
}

// Without a key there is no socket, and the answer is JSON.
func TestPubsub_NoKey(t *testing.T) {
	t.Parallel()
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.DatabaseURL(t))
	for _, path := range []string{"/pubsub", "/_/pubsub?api_key=x"} {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s, %v", path, resp.Status, resp.Header)
		}
	}
}
