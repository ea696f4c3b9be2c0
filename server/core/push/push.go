package push

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/jobs"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// Config is what a Service needs.
type Config struct {
	DB      *pg.DB
	Records *records.Service
	Publish Publish
	Jobs    *jobs.Queue       // not yet started; nil where nothing is pushed
	Senders map[string]Sender // by the type of the device; empty: no push service is configured
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
	Pause   time.Duration    // after notices could not be sent; 0: a second
}

// Publish hands one JSON value to who listens on a channel of the internal websocket, on all servers, when
// tx commits.
type Publish func(ctx context.Context, tx *pg.Tx, channel string, data json.RawMessage) error

// Service is the room. It is safe for concurrent use. The actor of each call is acl.FromContext(ctx).
type Service struct {
	c    Config
	db   *pg.DB
	log  *slog.Logger
	wake chan struct{}
	stop func()
	deaf bool // the changes that old triggers noted could not be read; of the goroutine that sends
}

// New returns a Service.
func New(c Config) *Service {
	c.Pause = cmp.Or(c.Pause, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{c: c, db: c.DB, log: c.Log, wake: make(chan struct{}, 1), stop: func() {}}
	if c.Jobs != nil {
		c.Jobs.Handle(pushJob, pushTries, s.deliver)
	}
	return s
}

// Bounds, in bytes. Tokens of Google have a few hundred; an id travels in notices.
const (
	maxID    = 255
	maxToken = 4096
)

// checkText refuses what a text column cannot hold, and what nobody sends.
func checkText(argument, s string, most int) error {
	if len(s) > most || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return fault.Argument("push.bad_text", argument, "%s must be UTF-8 text of at most %d bytes without NUL characters", argument, most)
	}
	return nil
}

// user is who acts; the chains of the doors have asked for one.
func user(ctx context.Context) (acl.Actor, error) {
	a := acl.FromContext(ctx)
	switch {
	case a.UserID != "":
	case a.Master():
		a.UserID = acl.God
	default:
		return a, fault.New(fault.Unauthenticated, "push.no_user", "log in first; devices belong to users")
	}
	return a, nil
}

func noDevice(id string) *fault.Error {
	return fault.New(fault.NotFound, "push.no_device", "there is no device %.100q", id).With("id", id)
}
