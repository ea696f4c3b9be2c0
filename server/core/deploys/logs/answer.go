package logs

import (
	"context"
	"encoding/json"
	"time"

	"crema/server/base/fault"
	"crema/server/core/pubsub"
)

// questions is the channel on which servers ask; the lines come on one for each listener.
const questions = "logs"

func linesOf(stream string) string { return "logs " + stream }

// question says that somebody listens on another server. It comes again while that goes on.
type question struct {
	Stream string `json:"stream"`
	Server string `json:"server"` // the run of the one who asks
	Tail   int    `json:"tail"`
	Follow bool   `json:"follow"`
}

const (
	maxStreams = 100      // listeners that are answered at a time
	maxMessage = 32 << 10 // bytes of the lines in one message, when it has more than one
	overhead   = 64       // bytes of a message beside its lines
)

// answer sends this server's lines to those who ask, until Stop.
func (s *Service) answer() {
	for s.ctx.Err() == nil {
		m := s.c.Room.Join(pubsub.Servers)
		err := m.Subscribe(questions)
		for err == nil {
			var batch [][]byte
			if batch, err = m.Next(s.ctx); err == nil {
				for _, text := range batch {
					s.asked(text)
				}
			}
		}
		m.Leave(err)
		if !fault.Is(err, "pubsub.slow") { // who was cut off begins anew
			return
		}
	}
}

func (s *Service) asked(text []byte) {
	var m struct{ Data question }
	if json.Unmarshal(text, &m) != nil || m.Data.Server == s.self || m.Data.Stream == "" {
		return
	}
	q := m.Data
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.streams[q.Stream]; t != nil {
		t.Reset(s.c.Lease)
		return
	}
	if len(s.streams) >= maxStreams {
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.streams[q.Stream] = time.AfterFunc(s.c.Lease, cancel)
	s.tasks.Go(func() {
		defer cancel()
		s.send(ctx, q)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.streams[q.Stream].Stop()
		delete(s.streams, q.Stream)
	})
}

// send sends the last lines, and with Follow those that come until ctx ends.
func (s *Service) send(ctx context.Context, q question) {
	last, more, stop := s.c.Tap.Listen(q.Tail)
	defer func() { stop() }()
	s.publish(ctx, q.Stream, last, true)
	for q.Follow {
		var lines []string
		select {
		case <-ctx.Done():
			return
		case line, ok := <-more:
			if !ok { // we were too slow
				stop()
				_, more, stop = s.c.Tap.Listen(0)
				line = "time=" + time.Now().Format(time.RFC3339Nano) + " level=WARN msg=\"lines were left out, there were too many\""
			}
			lines = append(lines, line)
		}
		for len(more) > 0 && len(lines) < queued {
			if line, ok := <-more; ok {
				lines = append(lines, line)
			}
		}
		s.publish(ctx, q.Stream, lines, false)
	}
}

// publish sends lines, in as many messages as they need.
func (s *Service) publish(ctx context.Context, stream string, lines []string, past bool) {
	most := s.c.Room.Limits().MessageBytes - overhead
	for first := true; first || len(lines) > 0; first = false {
		n, size := 0, 0
		for n < len(lines) && (n == 0 || size+len(lines[n]) < min(maxMessage, most)/2) { // as JSON a line may be longer
			lines[n] = named(lines[n], s.c.Server)
			size += len(lines[n])
			n++
		}
		data, err := json.Marshal(told{lines[:n], past && n == len(lines)})
		if err == nil && len(data) > most { // a single one
			data, err = json.Marshal(told{[]string{named(lines[0][:min(len(lines[0]), most/6)]+"...", s.c.Server)}, past && n == len(lines)})
		}
		if err == nil {
			err = s.c.Room.Publish(ctx, pubsub.Servers, linesOf(stream), data)
		}
		if err != nil && ctx.Err() == nil {
			s.c.Log.WarnContext(ctx, "lines are missing on another server, where somebody reads them", "error", err.Error())
		}
		lines = lines[n:]
	}
}

// told is what a server sends.
type told struct {
	Lines []string `json:"lines"`
	Past  bool     `json:"past"` // they are the last of those that were there
}

// decode reads what another server has sent.
func decode(text []byte) told {
	var m struct{ Data told }
	_ = json.Unmarshal(text, &m) // else there is nothing
	return m.Data
}
