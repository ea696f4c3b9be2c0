package controller

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"

	"crema/server/base/fault"
	"crema/server/web"
)

const (
	streamFor = time.Minute // in which a stream may be opened
	writeTime = 10 * time.Second
)

// openStream says where logs are streamed, and signs who may. Wire: G1.
func (d *Door) openStream(r request) error {
	ends := strconv.FormatInt(time.Now().Add(streamFor).Unix(), 10)
	web.WriteJSON(r.w, http.StatusOK, map[string]string{
		"websocket_url": "ws" + strings.TrimPrefix(d.base(r.Request), "http") + "/v2/log-stream", "token": ends + "." + d.sign(ends),
	})
	return nil
}

func (d *Door) sign(ends string) string {
	mac := hmac.New(sha256.New, d.c.Key)
	mac.Write([]byte("log stream " + ends))
	return hex.EncodeToString(mac.Sum(nil))
}

// signed says whether a token of openStream is still good.
func (d *Door) signed(token string) bool {
	ends, mac, _ := strings.Cut(token, ".")
	at, err := strconv.ParseInt(ends, 10, 64)
	return err == nil && hmac.Equal([]byte(mac), []byte(d.sign(ends))) && time.Now().Unix() <= at
}

// stream sends what functions log over a websocket: objects with msg. Wire: G2.
func (d *Door) stream(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if !d.signed(query.Get("token")) {
		fail(w, r, fault.New(fault.TokenRefused, "controller.stream_token", "the token of the log stream is not accepted; run the command again"))
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil { // it has answered
		return
	}
	defer func() { _ = conn.CloseNow() }()
	tail, _ := strconv.Atoi(query.Get("tail")) // else none
	last, more, stop := d.c.Tap.Listen(tail)
	defer stop()
	ctx := conn.CloseRead(r.Context())
	err = d.each(ctx, last, more, func(line string) error {
		text, err := json.Marshal(map[string]string{"msg": line})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, writeTime)
		defer cancel()
		return conn.Write(ctx, websocket.MessageText, text)
	})
	if err == nil {
		_ = conn.Close(websocket.StatusGoingAway, "")
	}
}

// follow sends what functions log as lines of text: the last ones, and with follow those to come.
func (d *Door) follow(r request) error {
	query := r.URL.Query()
	tail, err := strconv.Atoi(query.Get("tail"))
	if err != nil {
		tail = 100
	}
	last, more, stop := d.c.Tap.Listen(tail)
	if query.Get("follow") == "" {
		stop()
	}
	defer stop()
	r.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	r.w.Header().Set("Cache-Control", "no-store")
	flow := http.NewResponseController(r.w)
	_ = flow.Flush() // so that the client knows that it is connected
	return ignoreGone(d.each(r.Context(), last, more, func(line string) error {
		_ = flow.SetWriteDeadline(time.Now().Add(writeTime)) // what is no connection has none
		if _, err := io.WriteString(r.w, line+"\n"); err != nil {
			return err
		}
		return flow.Flush()
	}))
}

// each hands lines on until one cannot be, the client leaves or the server stops.
func (d *Door) each(ctx context.Context, last []string, more <-chan string, send func(string) error) error {
	for _, line := range last {
		if err := send(line); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-d.done:
			return nil
		case line, ok := <-more:
			if !ok {
				return nil
			}
			if err := send(line); err != nil {
				return err
			}
		}
	}
}
