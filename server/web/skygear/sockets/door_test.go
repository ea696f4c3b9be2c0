package sockets_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"crema/server/base/telemetry"
	"crema/server/core/pubsub"
	"crema/server/web"
	"crema/server/web/doortest"
	"crema/server/web/skygear/sockets"
)

// site is a server with the door in the whole stack, as the app has it.
type site struct {
	addr    string
	door    *sockets.Door
	room    *pubsub.Service
	log     *output
	metrics *telemetry.Metrics
	server  *http.Server
}

// output is a log that is written and read at the same time.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// open serves the door until the test ends.
func open(t *testing.T, c sockets.Config, limits pubsub.Limits) *site {
	t.Helper()
	s := &site{log: &output{}, metrics: telemetry.NewMetrics(), room: pubsub.New(pubsub.Config{Limits: limits})}
	log := telemetry.NewLogger(s.log, slog.LevelDebug, "text")
	c.Gate, _ = doortest.New(t)
	c.Room, c.Log, c.Metrics = s.room, log, s.metrics
	s.door = sockets.New(c)
	s.door.Start()
	r := chi.NewRouter()
	s.door.Register(r)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.server = web.NewServer(s.addr, web.Stack(web.StackConfig{
		Log: log, Metrics: s.metrics, CORSHost: "*", MaxBody: 1 << 20, Timeout: 50 * time.Millisecond,
	})(r), log)
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(l) }()
	t.Cleanup(func() {
		_ = s.server.Close()
		<-done
		s.door.Stop(context.Background())
	})
	return s
}

// client is one end of a socket.
type client struct {
	t    *testing.T
	conn *websocket.Conn
}

func (s *site) dial(t *testing.T, path string) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+s.addr+path+"?api_key="+doortest.APIKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{t, conn}
}

func (c *client) send(frames ...string) {
	c.t.Helper()
	for _, f := range frames {
		if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(f)); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *client) read() (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	_, text, err := c.conn.Read(ctx)
	return string(text), err
}

// wants reads as many frames as it is given and compares them.
func (c *client) wants(frames ...string) {
	c.t.Helper()
	var got []string
	for range frames {
		text, err := c.read()
		if err != nil {
			c.t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(frames, got); diff != "" {
		c.t.Errorf("frames (-want +got):\n%s", diff)
	}
}

// wantsClose reads the close frame.
func (c *client) wantsClose(code websocket.StatusCode) {
	c.t.Helper()
	if text, err := c.read(); websocket.CloseStatus(err) != code {
		c.t.Errorf("got %q, %v; want a close with %d", text, err, code)
	}
}

// sub subscribes and returns when the server has done it.
func (c *client) sub(channels ...string) {
	c.t.Helper()
	for _, name := range channels {
		c.send(`{"action":"sub","channel":"` + name + `"}`)
	}
	c.sync()
}

// sync returns when the server has acted on everything that was sent. Nothing else may be on its way: the
// answer to an action that does not exist must be the next frame.
func (c *client) sync() {
	c.t.Helper()
	c.send(`{"action":"sync"}`)
	c.wants("there is no such action; send sub, unsub or pub")
}

// Appendix A16.
func TestA16_ThePublisherHearsItself(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	for _, path := range []string{"/pubsub", "/_/pubsub"} {
		c := s.dial(t, path)
		c.send(`{"action":"sub","channel":"room"}`, `{"action":"pub","channel":"room","data":{"x":1}}`)
		c.wants(`{"channel":"room","data":{"x":1}}`)
	}
}

func TestPublish_ReachesOthersButNotTheOtherHub(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	a, b, internal := s.dial(t, "/pubsub"), s.dial(t, "/pubsub"), s.dial(t, "/_/pubsub")
	a.sub("room")
	internal.sub("room")
	b.send(`{"action":"pub","channel":"room","data":{"x": [1.50, "\u00e9é"]}}`, `{"action":"pub","channel":"else","data":1}`,
		`{"action":"pub","channel":"room","data":2}`)
	a.wants(`{"channel":"room","data":{"x": [1.50, "\u00e9é"]}}`, `{"channel":"room","data":2}`)
	internal.sync() // and nothing came before
}

func TestSubscribe_TwiceIsOneDelivery(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	c := s.dial(t, "/pubsub")
	c.sub("room", "room")
	c.send(`{"action":"pub","channel":"room","data":1}`)
	c.wants(`{"channel":"room","data":1}`)
	c.sync()
	c.send(`{"action":"unsub","channel":"room"}`, `{"action":"pub","channel":"room","data":2}`)
	c.sync()
}

// B18.
func TestB18_FramesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{QueueLength: 8, Patience: time.Minute})
	a, b := s.dial(t, "/pubsub"), s.dial(t, "/pubsub")
	a.sub("room")
	b.sub("room")
	const n = 2000
	var all sync.WaitGroup
	all.Go(func() {
		for i := range n {
			b.send(`{"action":"pub","channel":"room","data":` + strconv.Itoa(i) + `}`)
		}
	})
	for _, c := range []*client{a, b} {
		all.Go(func() {
			for i := range n {
				if got, err := c.read(); got != `{"channel":"room","data":`+strconv.Itoa(i)+`}` {
					t.Errorf("message %d is %q, %v", i, got, err)
					return
				}
			}
		})
	}
	all.Wait()
}

// T23: the publisher of py-skygear closes at once, without waiting for anything.
func TestT23_WhatWasPublishedRightBeforeTheCloseIsDelivered(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	c := s.dial(t, "/pubsub")
	c.sub("room")
	for i := range 50 {
		p := s.dial(t, "/pubsub")
		frame := `{"action":"pub","channel":"room","data":` + strconv.Itoa(i) + `}`
		p.send(frame)
		if i%2 == 0 {
			_ = p.conn.Close(websocket.StatusNormalClosure, "")
		} else {
			_ = p.conn.CloseNow()
		}
		c.wants(`{"channel":"room","data":` + strconv.Itoa(i) + `}`)
	}
}

func TestErrors_ArePlainTextAndThenTheSocketIsClosed(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{MessageBytes: 1000})
	for name, frame := range map[string]string{
		"no JSON":            `hello`,
		"nothing":            ``,
		"half a frame":       `{"action":"sub","channel":`,
		"two frames":         `{"action":"sub","channel":"a"}{"action":"sub","channel":"b"}`,
		"an array":           `["sub","a"]`,
		"a number as name":   `{"action":"sub","channel":1}`,
		"sub, no channel":    `{"action":"sub"}`,
		"unsub, no channel":  `{"action":"unsub","channel":""}`,
		"pub, no channel":    `{"action":"pub","data":1}`,
		"pub, no data":       `{"action":"pub","channel":"a"}`,
		"pub, null":          `{"action":"pub","channel":"a","data":null}`,
		"a long name":        `{"action":"sub","channel":"` + strings.Repeat("n", 300) + `"}`,
		"no UTF-8":           "{\"action\":\"pub\",\"channel\":\"a\",\"data\":\"\xff\"}",
		"too much data":      `{"action":"pub","channel":"a","data":"` + strings.Repeat("x", 1000) + `"}`,
		"null as everything": `{"action":"pub","channel":null,"data":null}`,
	} {
		c := s.dial(t, "/pubsub")
		c.send(frame)
		text, err := c.read()
		if err != nil || text == "" || json.Valid([]byte(text)) {
			t.Errorf("%s: %q, %v; want a plain text", name, text, err)
		}
		c.wantsClose(websocket.StatusPolicyViolation)
	}
}

func TestErrors_AnUnknownActionLeavesTheSocketOpen(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{Channels: 2})
	c := s.dial(t, "/pubsub")
	for _, frame := range []string{`{"action":"shout","channel":"a","data":1}`, `{"action":"shout"}`, `{}`, `null`} {
		c.send(frame)
		if text, err := c.read(); err != nil || !strings.Contains(text, "action") || json.Valid([]byte(text)) {
			t.Errorf("%s: %q, %v", frame, text, err)
		}
	}
	c.sub("a")
	c.send(`{"action":"sub","channel":"b"}`, `{"action":"sub","channel":"c"}`) // one too many
	if text, err := c.read(); err != nil || !strings.Contains(text, "2 channels") {
		t.Errorf("%q, %v", text, err)
	}
	c.send(`{"action":"pub","channel":"b","data":1}`)
	c.wants(`{"channel":"b","data":1}`)
}

func TestErrors_AFrameOverTheLimitClosesWith1009(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{MessageBytes: 1000})
	c := s.dial(t, "/pubsub")
	c.send(`{"action":"pub","channel":"a","data":"` + strings.Repeat("x", 100_000) + `"}`)
	c.wantsClose(websocket.StatusMessageTooBig)
}

// A frame may come in pieces, and as binary: old clients were not careful.
func TestFrames_InPiecesAndBinary(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	c := s.dial(t, "/pubsub")
	c.sub("a")
	w, err := c.conn.Writer(t.Context(), websocket.MessageBinary)
	for _, piece := range []string{`{"action":"pub",`, `"channel":"a","da`, `ta":1}`} {
		if err == nil {
			_, err = io.WriteString(w, piece)
		}
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	c.wants(`{"channel":"a","data":1}`)
}
