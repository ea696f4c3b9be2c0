package sockets_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"crema/server/core/pubsub"
	"crema/server/web/doortest"
	"crema/server/web/skygear/sockets"
)

const handshake = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"

// raw sends a request as it is written and returns the answer. The connection stays open.
func (s *site) raw(t *testing.T, text string) (*http.Response, net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp, conn, in
}

func TestUpgrade_WhoMayAndWhatOthersAreTold(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	for name, c := range map[string]struct {
		request      string
		status, code int
	}{
		"key in the query":       {"GET /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\n" + handshake, 101, 0},
		"key in the header":      {"GET /_/pubsub HTTP/1.1\r\nX-Skygear-API-Key: " + doortest.APIKey + "\r\n" + handshake, 101, 0},
		"master key":             {"GET /pubsub?api_key=" + doortest.MasterKey + " HTTP/1.1\r\n" + handshake, 101, 0},
		"any origin":             {"GET /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\nOrigin: https://elsewhere.example\r\n" + handshake, 101, 0},
		"Origin null":            {"GET /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\nOrigin: null\r\n" + handshake, 101, 0},
		"no key":                 {"GET /pubsub HTTP/1.1\r\n" + handshake, 401, 101},
		"wrong key":              {"GET /pubsub?api_key=wrong HTTP/1.1\r\n" + handshake, 401, 103},
		"wrong key in header":    {"GET /_/pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\nX-Skygear-Api-Key: wrong\r\n" + handshake, 401, 103},
		"a token is no key":      {"GET /pubsub?access_token=x HTTP/1.1\r\n" + handshake, 401, 101},
		"POST":                   {"POST /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\nContent-Length: 0\r\n", 404, 117},
		"DELETE":                 {"DELETE /_/pubsub HTTP/1.1\r\n", 404, 117},
		"HEAD":                   {"HEAD /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\nConnection: close\r\n", 404, -1},
		"OPTIONS":                {"OPTIONS /pubsub HTTP/1.1\r\nConnection: close\r\n", 200, -1},
		"no upgrade":             {"GET /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\n", 400, 107},
		"another protocol":       {"GET /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n", 400, 107},
		"an old websocket":       {"GET /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\n" + strings.Replace(handshake, "13", "8", 1), 400, 107},
		"a key that is no nonce": {"GET /pubsub?api_key=" + doortest.APIKey + " HTTP/1.1\r\n" + strings.Replace(handshake, "AAAA", "A", 1), 400, 107},
	} {
		resp, _, _ := s.raw(t, c.request+"Host: x\r\n\r\n")
		if resp.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, c.status)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("X-Skygear-Request-Id") == "" {
			t.Errorf("%s: %v", name, resp.Header)
		}
		if c.code <= 0 {
			continue
		}
		var body struct{ Error struct{ Code int } }
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || body.Error.Code != c.code || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: code %d, want %d; %v, %v", name, body.Error.Code, c.code, err, resp.Header)
		}
	}
}

// clientFrame is a short masked text frame with a mask of zeros.
func clientFrame(text string) string {
	return string([]byte{0x81, byte(0x80 | len(text)), 0, 0, 0, 0}) + text
}

// A client that does not wait for the answer to its handshake.
func TestUpgrade_FramesThatCameWithTheHandshake(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	var frames strings.Builder
	for i := range 60 { // more than the buffer of a socket
		frames.WriteString(clientFrame(`{"action":"sub","channel":"room-` + strconv.Itoa(i) + `"}`))
	}
	frames.WriteString(clientFrame(`{"action":"pub","channel":"room-59","data":7}`))
	resp, _, in := s.raw(t, "GET /pubsub?api_key="+doortest.APIKey+" HTTP/1.1\r\nHost: x\r\n"+handshake+"\r\n"+frames.String())
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp.Status)
	}
	want := `{"channel":"room-59","data":7}`
	got := make([]byte, 2+len(want))
	if _, err := io.ReadFull(in, got); err != nil || string(got[2:]) != want {
		t.Errorf("%q, %v", got, err)
	}
}

// The time limits of requests are over when the socket stands; open uses 50 ms.
func TestUpgrade_DeadlinesOfTheServerDoNotCutASocket(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{}, pubsub.Limits{})
	c := s.dial(t, "/pubsub")
	c.sub("room")
	timer := time.NewTimer(700 * time.Millisecond) // the limit and its grace
	<-timer.C
	c.send(`{"action":"pub","channel":"room","data":1}`)
	c.wants(`{"channel":"room","data":1}`)
	if n := strings.Count(s.log.String(), "path=/pubsub"); n != 1 {
		t.Errorf("%d lines in the access log:\n%s", n, s.log.String())
	}
	if strings.Contains(s.log.String(), doortest.APIKey) {
		t.Errorf("the key is in the log:\n%s", s.log.String())
	}
}

func TestUpgrade_LimitsAreCountedAndGivenBack(t *testing.T) {
	t.Parallel()
	s := open(t, sockets.Config{Sockets: 3, PerAddress: 2}, pubsub.Limits{})
	status := func(key string) int {
		resp, _, _ := s.raw(t, "GET /pubsub?api_key="+key+" HTTP/1.1\r\nHost: x\r\n"+handshake+"\r\n")
		return resp.StatusCode
	}
	first := s.dial(t, "/pubsub")
	s.dial(t, "/_/pubsub")
	if got := status(doortest.APIKey); got != http.StatusTooManyRequests {
		t.Errorf("a third socket of one address: %d", got)
	}
	master, _, err := websocket.Dial(t.Context(), "ws://"+s.addr+"/pubsub", &websocket.DialOptions{HTTPHeader: http.Header{"X-Skygear-Api-Key": {doortest.MasterKey}}})
	if err != nil {
		t.Fatalf("the master key is not counted by address: %v", err)
	}
	if got := status(doortest.MasterKey); got != http.StatusTooManyRequests {
		t.Errorf("a fourth socket: %d", got)
	}
	_ = first.conn.Close(websocket.StatusNormalClosure, "")
	_ = master.CloseNow()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(30 * time.Second); status(doortest.APIKey) != http.StatusSwitchingProtocols; <-again.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d sockets are open", s.door.Open())
		}
	}
}

// metric reads one line of the metrics.
func (s *site) metric(t *testing.T, name string) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	_, rest, ok := strings.Cut(w.Body.String(), "\n"+name+" ")
	if !ok {
		t.Fatalf("no metric %s", name)
	}
	n, _, _ := strings.Cut(rest, "\n")
	return n
}
