package logs

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"crema/server/base/telemetry"
	"crema/server/core/pubsub"
)

// Config is what the service works with.
type Config struct {
	Room     *pubsub.Service // nil: there are no other servers
	Tap      *telemetry.Tap
	Server   string        // this one's name, as operators read it
	Patience time.Duration // with others that do not answer; 0: 400 ms
	Lease    time.Duration // for how long a listener is sent lines without asking again; 0: 30 s
	Log      *slog.Logger  // nil: the default logger
}

// Service knows the lines of all servers. It is safe for concurrent use.
type Service struct {
	c      Config
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	self   string // names this run

	mu      sync.Mutex
	streams map[string]*time.Timer // that others listen to here, and what ends them
}

const queued = 1000 // lines that a listener may be behind

// New returns a service that nobody else hears yet.
func New(c Config) *Service {
	c.Patience, c.Lease = cmp.Or(c.Patience, 400*time.Millisecond), cmp.Or(c.Lease, 30*time.Second)
	c.Log = cmp.Or(c.Log, slog.Default())
	s := &Service{c: c, self: rand.Text(), streams: map[string]*time.Timer{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start lets the other servers ask for this one's lines.
func (s *Service) Start() {
	if s.c.Room != nil {
		s.tasks.Go(s.answer)
	}
}

// Stop sends nobody anything any more. Whoever listens here must have stopped.
func (s *Service) Stop() {
	s.cancel()
	s.tasks.Wait()
}

// Listen returns the last lines of all servers, at most tail and 1000, oldest first, and with follow those that come. The
// channel is closed by stop, with ctx, when its reader falls behind, and at once without follow.
func (s *Service) Listen(ctx context.Context, tail int, follow bool) (last []string, more <-chan string, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	own, local, stopLocal := s.c.Tap.Listen(tail)
	l := listener{service: s, id: rand.Text(), local: local, out: make(chan string, queued)}
	for _, line := range own {
		last = append(last, named(line, s.c.Server))
	}
	if s.c.Room != nil && !s.c.Room.Alone() {
		l.others = s.c.Room.Join(pubsub.Servers)
		if err := l.others.Subscribe(linesOf(l.id)); err != nil {
			s.c.Log.WarnContext(ctx, "the lines of other servers are missing", "error", err.Error())
		}
		l.ask(ctx, tail, follow)
		last = append(last, l.past(ctx)...)
	}
	slices.SortStableFunc(last, func(a, b string) int { return timeOf(a).Compare(timeOf(b)) })
	last = last[max(0, len(last)-min(max(tail, 0), queued)):]
	end := func() {
		cancel()
		stopLocal()
		if l.others != nil {
			l.others.Leave(context.Canceled)
		}
	}
	if !follow {
		end()
		close(l.out)
		return last, l.out, func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx)
	}()
	return last, l.out, func() {
		end()
		<-done
	}
}

// listener is somebody who listens on this server.
type listener struct {
	service *Service
	id      string
	local   <-chan string
	others  *pubsub.Member // nil: there are none
	out     chan string
}

// ask tells the other servers that somebody listens.
func (l *listener) ask(ctx context.Context, tail int, follow bool) {
	q := question{Stream: l.id, Server: l.service.self, Tail: tail, Follow: follow}
	data, err := json.Marshal(q)
	if err == nil {
		err = l.service.c.Room.Publish(ctx, pubsub.Servers, questions, data)
	}
	if err != nil && ctx.Err() == nil {
		l.service.c.Log.WarnContext(ctx, "the lines of other servers are missing", "error", err.Error())
	}
}

// past gathers the last lines of the other servers, until all that have been heard lately have answered. What comes
// in between is among them.
func (l *listener) past(ctx context.Context) (lines []string) {
	ctx, cancel := context.WithTimeout(ctx, l.service.c.Patience)
	defer cancel()
	for missing := max(1, l.service.c.Room.Others()); missing > 0; {
		batch, err := l.others.Next(ctx)
		if err != nil {
			break
		}
		for _, text := range batch {
			told := decode(text)
			lines = append(lines, told.Lines...)
			if told.Past {
				missing--
			}
		}
	}
	return lines
}

// run hands on lines until ctx ends or the reader falls behind.
func (l *listener) run(ctx context.Context) {
	defer close(l.out)
	remote := make(chan []string)
	var reading sync.WaitGroup
	defer reading.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if l.others != nil {
		reading.Go(func() { l.read(ctx, remote) })
	}
	again := time.NewTicker(l.service.c.Lease / 3)
	defer again.Stop()
	for {
		var lines []string
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			if l.others != nil {
				l.ask(ctx, 0, true)
			}
			continue
		case line, ok := <-l.local:
			if !ok {
				return
			}
			lines = []string{named(line, l.service.c.Server)}
		case lines = <-remote:
		}
		for _, line := range lines {
			select {
			case l.out <- line:
			default:
				return
			}
		}
	}
}

// read takes what other servers send.
func (l *listener) read(ctx context.Context, to chan<- []string) {
	for {
		batch, err := l.others.Next(ctx)
		if err != nil {
			return
		}
		for _, text := range batch {
			select {
			case to <- decode(text).Lines:
			case <-ctx.Done():
				return
			}
		}
	}
}

// named is a line with the server that it comes from.
func named(line, server string) string { return line + " server=" + server }

// timeOf is when a line was logged. A line that does not say so comes first.
func timeOf(line string) (at time.Time) {
	text, _, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
	at, _ = time.Parse(time.RFC3339Nano, text) // else zero
	return at
}
