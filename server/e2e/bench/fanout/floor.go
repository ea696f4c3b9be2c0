package fanout

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// Floor is the hub that somebody would write with the websocket library and nothing else, for the
// same frames: no keys, no limits, no log, no other servers, no errors that a client could read. A slow
// subscriber holds everybody up.
func Floor() http.Handler {
	h := &bareHub{channels: map[string]map[*bareMember]struct{}{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/pubsub", h.serve)
	mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	return mux
}

type bareHub struct {
	mu       sync.Mutex
	channels map[string]map[*bareMember]struct{}
}

type bareMember struct {
	queue chan []byte
	gone  <-chan struct{}
}

type bareFrame struct {
	Action  string          `json:"action,omitempty"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

func (h *bareHub) serve(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer conn.CloseNow() //nolint:errcheck // it is being thrown away
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	m := &bareMember{make(chan []byte, 16), ctx.Done()}
	defer h.leave(m)
	go m.write(ctx, conn)
	for {
		_, text, err := conn.Read(ctx)
		var f bareFrame
		if err != nil || json.Unmarshal(text, &f) != nil {
			return
		}
		h.act(f, m)
	}
}

func (m *bareMember) write(ctx context.Context, conn *websocket.Conn) {
	for {
		select {
		case text := <-m.queue:
			if conn.Write(ctx, websocket.MessageText, text) != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (h *bareHub) act(f bareFrame, m *bareMember) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch f.Action {
	case "sub":
		if h.channels[f.Channel] == nil {
			h.channels[f.Channel] = map[*bareMember]struct{}{}
		}
		h.channels[f.Channel][m] = struct{}{}
	case "pub":
		f.Action = ""
		text, _ := json.Marshal(f) // what was read can be written
		for to := range h.channels[f.Channel] {
			select {
			case to.queue <- text:
			case <-to.gone:
			}
		}
	}
}

func (h *bareHub) leave(m *bareMember) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.channels {
		delete(c, m)
	}
}
