package sockets

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"crema/server/base/fault"
	"crema/server/core/pubsub"
)

// Why a socket ends, when it is not a fault of the room.
var (
	errGone     = errors.New("the peer is gone")
	errRefused  = errors.New("a frame was refused")
	errTooLarge = errors.New("a frame was too large")
	errStopping = errors.New("the server is stopping")
)

// socket is one websocket and its member of the room.
type socket struct {
	door    *Door
	log     *slog.Logger
	address string // whose sockets are counted; "" is the master key
	conn    *websocket.Conn
	raw     net.Conn // under conn
	member  *pubsub.Member
	began   time.Time
	pingAt  time.Time    // the keeper's
	writing atomic.Int64 // since when a message is being written, in Unix nanoseconds; 0 is none
}

// run lives as long as the socket.
func (s *socket) run() {
	defer s.door.release(s)
	written := make(chan error, 1)
	go func() { written <- s.write() }()
	s.member.Leave(s.read())
	why := <-written
	_ = s.conn.CloseNow() // the handshake was made or is impossible
	label := labelOf(why)
	s.door.closed.Add(1, label)
	if label == "slow" {
		s.log.Info("a socket was cut off: its peer reads too slowly")
	}
	s.log.Debug("a socket is closed", "why", why, "open", time.Since(s.began))
}

// labelOf names an end for the metrics.
func labelOf(why error) string {
	switch {
	case errors.Is(why, errGone):
		return "gone"
	case errors.Is(why, errStopping):
		return "stopping"
	case fault.Is(why, "pubsub.slow"):
		return "slow"
	}
	return "refused"
}

// read acts on frames until there are no more, and says why.
func (s *socket) read() error {
	for {
		// A context with a deadline would cost a timer for each frame; closing ends the reading too.
		_, text, err := s.conn.Read(context.Background())
		switch {
		case errors.Is(err, websocket.ErrMessageTooBig):
			return errTooLarge
		case err != nil:
			return errGone
		}
		if err := s.act(text); err != nil {
			return err
		}
	}
}

// act does what a frame asks for. What is refused is told in plain text. Wire: skygear §2.10.
func (s *socket) act(text []byte) error {
	f, err := decode(text)
	if err == nil {
		switch f.Action {
		case "sub":
			err = s.member.Subscribe(f.Channel)
		case "unsub":
			err = s.member.Unsubscribe(f.Channel)
		case "pub":
			err = s.member.Publish(s.door.life, f.Channel, f.Data)
		default:
			s.member.Tell([]byte("there is no such action; send sub, unsub or pub"))
		}
	}
	if err == nil || s.door.life.Err() != nil {
		return nil
	}
	s.member.Tell([]byte(fault.From(err).Message))
	if fault.HasCode(err, fault.Invalid) || fault.HasCode(err, fault.BadRequest) {
		return errRefused
	}
	return nil
}

// write sends what waits for the member until nothing more comes, and says why.
func (s *socket) write() error {
	for {
		batch, err := s.member.Next(context.Background())
		if err != nil {
			s.close(err)
			return err
		}
		for _, text := range batch {
			s.writing.Store(time.Now().UnixNano()) // the keeper ends what takes too long
			if err := s.conn.Write(context.Background(), websocket.MessageText, text); err != nil {
				s.stopWriting()
				return errGone
			}
		}
		s.writing.Store(0)
	}
}

// lingering is how long a peer that takes nothing more is still listened to.
const lingering = 5 * time.Second

// stopWriting leaves the reader time for what the peer sent before it went: its last messages count.
func (s *socket) stopWriting() {
	s.member.Leave(errGone)
	_ = s.raw.SetReadDeadline(time.Now().Add(lingering))
}

// close tells the peer why, and waits some seconds for its answer.
func (s *socket) close(why error) {
	switch {
	case errors.Is(why, errGone):
		_ = s.conn.CloseNow()
	case errors.Is(why, errRefused):
		_ = s.conn.Close(websocket.StatusPolicyViolation, "a frame was refused")
	case errors.Is(why, errTooLarge):
		_ = s.conn.Close(websocket.StatusMessageTooBig, "a frame was too large")
	case errors.Is(why, errStopping):
		_ = s.conn.Close(websocket.StatusGoingAway, "the server is stopping")
	default:
		_ = s.conn.Close(websocket.StatusTryAgainLater, fault.From(why).Message)
	}
}
