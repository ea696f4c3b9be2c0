package sockets

import (
	"context"
	"math/rand/v2"
	"time"
)

// keepersPerPong is how often the keeper looks around while it waits for one pong.
const keepersPerPong = 8

// Start begins to look after the sockets: peers that give no sign of life or take no message are cut off.
// Stop ends it.
func (d *Door) Start() {
	d.running.Go(func() {
		tick := time.NewTicker(max(time.Millisecond, min(d.c.Ping, d.c.Pong)/keepersPerPong))
		defer tick.Stop()
		for {
			select {
			case <-d.life.Done():
				return
			case now := <-tick.C:
				d.look(now)
			}
		}
	})
}

func (d *Door) look(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping {
		return
	}
	for s := range d.open {
		if since := s.writing.Load(); since != 0 && now.UnixNano()-since > int64(d.c.Pong) {
			s.drop()
		}
		if now.After(s.pingAt) {
			s.pingAt = now.Add(d.c.Ping)
			d.running.Go(s.ping)
		}
	}
}

// firstPing is at any time of the interval, so that not all peers are asked at once.
func (d *Door) firstPing() time.Time {
	return time.Now().Add(time.Duration(rand.Int64N(int64(d.c.Ping))))
}

// drop ends the connection under the websocket. The library's own way waits for a handshake that is under way.
func (s *socket) drop() { _ = s.raw.Close() }

// ping cuts the socket off when the peer does not answer in time. Proxies see that the line is in use.
func (s *socket) ping() {
	ctx, cancel := context.WithTimeout(context.Background(), s.door.c.Pong)
	defer cancel()
	if s.conn.Ping(ctx) != nil {
		s.drop()
	}
}
