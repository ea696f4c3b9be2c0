package sockets_test

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crema/server/core/pubsub"
	"crema/server/web/doortest"
	"crema/server/web/skygear/sockets"
)

func TestStop_ClosesWith1001AfterWhatWaits(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	a, b := s.dial(t, "/pubsub"), s.dial(t, "/_/pubsub")
	a.sub("room")
	b.sync()
	if err := s.room.Publish(t.Context(), pubsub.Public, "room", []byte(`"last"`)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan string, 2)
	go func() { // peers answer a close by themselves, when they read
		text, err := a.read()
		if err == nil {
			_, err = a.read()
		}
		closed <- text + " " + websocket.CloseStatus(err).String()
	}()
	go func() {
		_, err := b.read()
		closed <- websocket.CloseStatus(err).String()
	}()
	s.door.Stop(t.Context())
	got := map[string]bool{<-closed: true, <-closed: true}
	if !got["StatusGoingAway"] || !got[`{"channel":"room","data":"last"} StatusGoingAway`] {
		t.Errorf("%v", got)
	}
	resp, _, _ := s.raw(t, "GET /pubsub?api_key="+doortest.APIKey+" HTTP/1.1\r\nHost: x\r\n"+handshake+"\r\n")
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new socket: %s", resp.Status)
	}
}

// A peer that never reads is not waited for.
func TestStop_DoesNotWaitForAPeerThatIsGoneOrSilent(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	_, conn, _ := s.raw(t, "GET /pubsub?api_key="+doortest.APIKey+" HTTP/1.1\r\nHost: x\r\n"+handshake+"\r\n")
	defer conn.Close() //nolint:errcheck // the server has closed it
	start := time.Now()
	s.door.Stop(t.Context())
	if took := time.Since(start); took > 4900*time.Millisecond { // a closing handshake would take 5 s
		t.Errorf("Stop took %s", took)
	}
	if n := s.door.Open(); n != 0 {
		t.Errorf("%d sockets are open", n)
	}
}

// stuff publishes until the silent peer's buffers in the kernel are full and its socket is cut off.
func (s *site) stuff(t *testing.T, channel string, gone func() bool) {
	t.Helper()
	data := []byte(`"` + strings.Repeat("x", 100_000) + `"`)
	for deadline := time.Now().Add(30 * time.Second); !gone(); {
		if time.Now().After(deadline) {
			t.Fatal("the slow reader is still there")
		}
		if err := s.room.Publish(t.Context(), pubsub.Public, channel, data); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSlowReader_IsCutOffAndOthersAreServed(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{Pong: 3 * time.Second, Ping: time.Hour}, pubsub.Limits{Patience: 100 * time.Millisecond})
	s.silent(t, "room")
	good := s.dial(t, "/pubsub")
	good.sub("else")
	s.stuff(t, "room", func() bool { return s.door.Open() == 1 })
	good.send(`{"action":"pub","channel":"else","data":1}`)
	good.wants(`{"channel":"else","data":1}`)
}

// silent opens a socket that subscribes to a channel and then never reads.
func (s *site) silent(t *testing.T, channel string) net.Conn {
	t.Helper()
	_, conn, in := s.raw(t, "GET /pubsub?api_key="+doortest.APIKey+" HTTP/1.1\r\nHost: x\r\n"+handshake+"\r\n"+
		clientFrame(`{"action":"sub","channel":"`+channel+`"}`)+clientFrame(`{"action":"pub","channel":"`+channel+`","data":0}`))
	if _, err := in.Peek(2); err != nil { // its own message: the server has acted
		t.Fatal(err)
	}
	return conn
}

func TestKeeper_CutsOffAPeerThatGivesNoSignOfLife(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{Ping: 50 * time.Millisecond, Pong: 5 * time.Second}, pubsub.Limits{})
	good := s.dial(t, "/pubsub")
	closed := good.conn.CloseRead(context.Background()) // reads, and so answers pings
	s.silent(t, "room")
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(30 * time.Second); s.door.Open() > 1; <-look.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets are open", s.door.Open())
		}
	}
	if closed.Err() != nil {
		t.Error("the good peer was cut off")
	}
}

// Not parallel: it counts goroutines.
func TestSockets_LeaveNoGoroutinesBehind(t *testing.T) {
	s := open(t, sockets.Config{}, pubsub.Limits{})
	before := runtime.NumGoroutine()
	for i := range 20 {
		c := s.dial(t, "/pubsub")
		c.sub("room")
		switch i % 4 {
		case 0:
			_ = c.conn.Close(websocket.StatusNormalClosure, "")
		case 1:
			_ = c.conn.CloseNow()
		case 2:
			c.send(`nonsense`)
			_, _ = c.read()
			_, _ = c.read()
		}
	}
	s.door.Stop(t.Context())
	_ = s.server.Close()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(30 * time.Second); runtime.NumGoroutine() > before; <-look.C {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
	for name, want := range map[string]string{
		"crema_http_requests_in_flight": "0", "crema_sockets_open": "0",
		`crema_sockets_closed_total{why="gone"}`: "10", `crema_sockets_closed_total{why="refused"}`: "5", `crema_sockets_closed_total{why="stopping"}`: "5",
	} {
		if got := s.metric(t, name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
