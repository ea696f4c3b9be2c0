package controller

import (
	"context"
	"crypto/rand"
	"encoding/base64"
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
	streamFor = time.Minute      // in which a stream may be opened
	lookEvery = 15 * time.Second // for whether whoever reads a stream still may
	writeTime = 10 * time.Second
)

// openStream says where logs are streamed, with a ticket for it. Wire: G1.
func (d *Door) openStream(r request) error {
	web.WriteJSON(r.w, http.StatusOK, map[string]string{
		"websocket_url": "ws" + strings.TrimPrefix(d.base(r.Request), "http") + "/v2/log-stream",
		"token":         d.ticket("stream", token(r.Request), streamFor),
	})
	return nil
}

// ticket is a text for one purpose, sealed so that it may stand in a URL, and good for a while.
func (d *Door) ticket(purpose, text string, life time.Duration) string {
	nonce := make([]byte, d.box.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	text = strconv.FormatInt(time.Now().Add(life).Unix(), 10) + " " + text
	return base64.RawURLEncoding.EncodeToString(d.box.Seal(nonce, nonce, []byte(text), []byte(purpose)))
}

// admitted returns the text in a ticket.
func (d *Door) admitted(purpose, ticket string) (text string, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil || len(sealed) < d.box.NonceSize() {
		return "", false
	}
	opened, err := d.box.Open(nil, sealed[:d.box.NonceSize()], sealed[d.box.NonceSize():], []byte(purpose))
	if err != nil {
		return "", false
	}
	ends, text, _ := strings.Cut(string(opened), " ")
	at, err := strconv.ParseInt(ends, 10, 64)
	return text, err == nil && time.Now().Unix() <= at
}

// stream sends what functions log over a websocket: objects with msg. Wire: G2.
func (d *Door) stream(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	token, ok := d.admitted("stream", query.Get("token"))
	if _, err := d.c.Operators.Who(r.Context(), token); !ok || err != nil {
		fail(w, r, fault.New(fault.TokenRefused, "controller.stream_token", "the token of the log stream is not accepted; run the command again"))
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil { // it has answered
		return
	}
	defer func() { _ = conn.CloseNow() }()
	tail, _ := strconv.Atoi(query.Get("tail")) // else none
	last, more, stop := d.c.Logs.Listen(r.Context(), tail, true)
	defer stop()
	ctx := conn.CloseRead(r.Context())
	err = d.each(ctx, token, last, more, func(line string) error {
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
	last, more, stop := d.c.Logs.Listen(r.Context(), tail, query.Get("follow") != "")
	defer stop()
	r.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	r.w.Header().Set("Cache-Control", "no-store")
	flow := http.NewResponseController(r.w)
	_ = flow.Flush() // so that the client knows that it is connected
	return ignoreGone(d.each(r.Context(), token(r.Request), last, more, func(line string) error {
		_ = flow.SetWriteDeadline(time.Now().Add(writeTime)) // what is no connection has none
		if _, err := io.WriteString(r.w, line+"\n"); err != nil {
			return err
		}
		return flow.Flush()
	}))
}

// each hands lines on until one cannot be, the client leaves, the server stops or the token is no longer good.
func (d *Door) each(ctx context.Context, token string, last []string, more <-chan string, send func(string) error) error {
	look := time.NewTicker(d.c.Look)
	defer look.Stop()
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
		case <-look.C:
			if _, err := d.c.Operators.Who(ctx, token); fault.Is(err, "operators.token_refused") {
				return nil
			}
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
