package workers

import (
	"net"
	"strings"
	"testing"
)

func TestPython_PublishesToChannels(t *testing.T) {
	t.Parallel()
	frames := make(chan []byte, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go answerWebSocket(t, listener, frames)
	p := open(t, Config{Language: Python, Env: map[string]string{"PUBSUB_URL": "ws://" + listener.Addr().String() + "/pubsub", "API_KEY": "k"}}, map[string]string{
		"a.py": "import skygear\nfrom skygear.pubsub import publish\n\n@skygear.op('tell')\ndef tell():\n    publish(['a', 'b'], {'n': 1})\n",
	})
	if _, err := op(t, p, "tell", `{}`); err != nil {
		t.Fatal(err)
	}
	got := string(<-frames)
	for _, want := range []string{`{"action": "pub", "channel": "a", "data": {"n": 1}}`, `"channel": "b"`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %s", got, want)
		}
	}
}

// answerWebSocket takes one connection and sends on what its client said, without the masks.
func answerWebSocket(t *testing.T, listener net.Listener, frames chan<- []byte) {
	c, err := listener.Accept()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	defer close(frames)
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if head := string(buf[:n]); err != nil || !strings.Contains(head, "X-Skygear-API-Key: k\r\n") || !strings.HasPrefix(head, "GET /pubsub HTTP/1.1\r\n") {
		t.Errorf("the handshake is %q, %v", head, err)
	}
	_, _ = c.Write([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"))
	var text []byte
	for { // frames of clients: two bytes, four of a mask, and what they hold, at most 125 bytes
		n, err := c.Read(buf)
		if err != nil {
			break
		}
		text = append(text, buf[:n]...)
		if len(text) > 2 && text[len(text)-8]&0x0f == 8 {
			break
		}
	}
	var plain []byte
	for len(text) >= 6 {
		size, mask := int(text[1]&0x7f), text[2:6]
		for i := range size {
			plain = append(plain, text[6+i]^mask[i%4])
		}
		text = text[6+size:]
	}
	frames <- plain
}
