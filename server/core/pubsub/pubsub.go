package pubsub

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"time"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// Hub names one of the sets of channels.
type Hub string

// The hubs.
const (
	Public   Hub = "public"   // wire: /pubsub
	Internal Hub = "internal" // wire: /_/pubsub
	Servers  Hub = "servers"  // the servers of an app among themselves; no door leads here
)

// Config is what the room needs.
type Config struct {
	DB     *pg.DB
	Log    *slog.Logger // nil: discard
	Limits Limits
}

// Limits bound what the room keeps in memory. A zero is replaced by its default.
type Limits struct {
	MessageBytes int           // of the data of one message, at most MaxMessageBytes; 256 KiB
	NameBytes    int           // of a channel's name; 256
	Channels     int           // of one member; 1,000
	QueueBytes   int           // that wait for one member; 256 KiB, and one message at least
	QueueLength  int           // messages that wait for one member; 1,024
	Patience     time.Duration // how long a full member may hold a publisher up before it is cut off; 1 s
}

// MaxMessageBytes is the most that Limits.MessageBytes may be.
const MaxMessageBytes = 4 << 20

// DefaultLimits returns the defaults of Limits.
func DefaultLimits() Limits {
	return Limits{MessageBytes: 256 << 10, NameBytes: 256, Channels: 1000, QueueBytes: 256 << 10, QueueLength: 1024, Patience: time.Second}
}

func (l Limits) filled() Limits {
	d := DefaultLimits()
	for to, n := range map[*int]int{
		&l.MessageBytes: d.MessageBytes, &l.NameBytes: d.NameBytes, &l.Channels: d.Channels,
		&l.QueueBytes: d.QueueBytes, &l.QueueLength: d.QueueLength,
	} {
		if *to <= 0 {
			*to = n
		}
	}
	l.MessageBytes = min(l.MessageBytes, MaxMessageBytes)
	if l.Patience <= 0 {
		l.Patience = d.Patience
	}
	return l
}

// Service is the room. It is safe for concurrent use.
type Service struct {
	db     *pg.DB
	log    *slog.Logger
	limits Limits
	hubs   map[Hub]*hub

	relay    *relay // nil: there are no other servers
	listener *pg.Listener
}

// New returns a Service. It works on its own; Start connects it with the other servers of the app.
func New(c Config) *Service {
	log := c.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		db: c.DB, log: log, limits: c.Limits.filled(),
		hubs: map[Hub]*hub{Public: newHub(), Internal: newHub(), Servers: newHub()},
	}
}

// Start connects the room with the other servers of the app, until Stop. It must be called before anything
// is published that others should hear.
func (s *Service) Start(ctx context.Context) error {
	r := newRelay(s.db, s.log)
	h := &hearing{
		self: r.node, log: s.log, deliver: s.publishHere, nodes: map[string]*node{},
		echo:  func() { r.echoed.Store(time.Now().UnixNano()) },
		other: r.heard,
	}
	l, err := s.db.Listen(ctx, r.channel, h.hear)
	if err != nil {
		return err
	}
	s.relay, s.listener = r, l
	r.start(ctx)
	return nil
}

// Stop sends what still waits for other servers, as long as ctx and the database allow it. Members are the
// doors' business, which end before.
func (s *Service) Stop(ctx context.Context) {
	if s.relay != nil {
		s.relay.stop(ctx)
		s.listener.Stop()
	}
}

// Alone says that no other server can be there.
func (s *Service) Alone() bool { return s.relay == nil || s.relay.alone(time.Now()) }

// Others returns how many other servers have been heard lately.
func (s *Service) Others() int {
	if s.relay == nil {
		return 0
	}
	return s.relay.count(time.Now())
}

// Limits returns what the room goes by.
func (s *Service) Limits() Limits { return s.limits }

// Publish hands data, one JSON value, to every subscriber of a channel on every server. When it returns nil the
// message waits in the queues of this server's subscribers and in the line to the other servers; it is
// lost when this process dies before it is sent. A subscriber that is full holds Publish up for Limits.Patience and
// is then cut off; so does the line when more waits there than the database takes. The error is a fault: pubsub.channel, pubsub.data, or that of an ended ctx. Anybody in
// the server may call it; the name of a channel is all that protects it.
func (s *Service) Publish(ctx context.Context, on Hub, channel string, data json.RawMessage) error {
	m, err := s.message(on, channel, data)
	if err != nil {
		return err
	}
	return s.publish(ctx, m)
}

// PublishOnCommit publishes when tx commits, and never when it is rolled back. It checks its arguments
// at once, with the reasons of Publish. The message does not hold the transaction up: a full
// subscriber is cut off at once. A process that dies right after the commit loses the message, which
// is what all messages here are worth; what must not get lost is a row.
func (s *Service) PublishOnCommit(tx *pg.Tx, on Hub, channel string, data json.RawMessage) error {
	m, err := s.message(on, channel, data)
	if err != nil {
		return err
	}
	tx.AfterCommit(func() { s.publishNow(m) })
	return nil
}

// PublishIn makes a message part of tx: it reaches every server, this one included, when tx commits and
// exactly then, whatever becomes of this process. It must fit into one notice of PostgreSQL, about 7,800
// bytes with the name of the channel; the same message twice in one transaction arrives once. The reasons
// are those of Publish, at once.
func (s *Service) PublishIn(ctx context.Context, tx *pg.Tx, on Hub, channel string, data json.RawMessage) error {
	if s.relay == nil {
		return s.PublishOnCommit(tx, on, channel, data)
	}
	m, err := s.message(on, channel, data)
	if err != nil {
		return err
	}
	text := m.appendTo(nil)
	if len(text) > maxPart {
		return fault.Argument("pubsub.data", "data", "data and the name of the channel are longer than %d bytes; send less", maxPart)
	}
	return sendIn(ctx, tx, s.relay.channel, header{nobody, 1, 1, 1}.String()+string(text))
}

// message is what is published, in the form that every subscriber gets.
type message struct {
	hub     Hub
	channel string
	name    []byte // of the channel, as JSON
	data    []byte
	text    []byte // {"channel":...,"data":...}
}

func (s *Service) message(on Hub, channel string, data []byte) (message, error) {
	if err := s.checkName(channel); err != nil {
		return message{}, err
	}
	data = bytes.TrimSpace(data)
	if len(data) > s.limits.MessageBytes {
		return message{}, fault.Argument("pubsub.data", "data", "data is longer than %d bytes; send less", s.limits.MessageBytes)
	}
	if !json.Valid(data) || !utf8.Valid(data) || string(data) == "null" {
		return message{}, fault.Argument("pubsub.data", "data", "data must be one JSON value that is not null")
	}
	name, err := json.Marshal(channel)
	if err != nil {
		return message{}, fault.From(err)
	}
	return newMessage(on, channel, name, data), nil
}

func newMessage(on Hub, channel string, name, data []byte) message {
	text := make([]byte, 0, len(name)+len(data)+20)
	text = append(append(append(text, `{"channel":`...), name...), `,"data":`...)
	at := len(text)
	text = append(append(text, data...), '}')
	return message{hub: on, channel: channel, name: name, data: text[at : len(text)-1], text: text}
}

func (s *Service) checkName(channel string) error {
	switch {
	case channel == "":
		return fault.Argument("pubsub.channel", "channel", "channel must be a name that is not empty")
	case len(channel) > s.limits.NameBytes:
		return fault.Argument("pubsub.channel", "channel", "channel is longer than %d bytes; take a shorter name", s.limits.NameBytes)
	case !utf8.ValidString(channel):
		return fault.Argument("pubsub.channel", "channel", "channel is not valid UTF-8")
	}
	return nil
}

func (s *Service) publish(ctx context.Context, m message) error {
	if err := s.hubs[m.hub].deliver(ctx, m.channel, m.text, s.limits.Patience); err != nil || s.relay == nil {
		return err
	}
	return s.relay.push(ctx, m, true)
}

// publishNow is publish that waits for nobody.
func (s *Service) publishNow(m message) {
	s.publishHere(m)
	if s.relay != nil {
		_ = s.relay.push(context.Background(), m, false) // what does not wait does not fail
	}
}

// publishHere serves the subscribers of this server only, and waits for nobody.
func (s *Service) publishHere(m message) {
	_ = s.hubs[m.hub].deliver(context.Background(), m.channel, m.text, 0) // what does not wait does not fail
}
