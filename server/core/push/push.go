package push

import (
	"context"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// Config is what a Service needs.
type Config struct {
	DB      *pg.DB
	Records *records.Service
	Log     *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Service is the room. It is safe for concurrent use. The actor of each call is acl.FromContext(ctx).
type Service struct {
	c   Config
	db  *pg.DB
	log *slog.Logger
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Service{c: c, db: c.DB, log: c.Log}
}

// maxName bounds ids, tokens and topics, in bytes. Tokens of Google have a few hundred.
const maxName = 4096

// checkText refuses what a text column cannot hold, and what nobody sends.
func checkText(argument, s string) error {
	if len(s) > maxName || strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		return fault.Argument("push.bad_text", argument, "%s must be UTF-8 text of at most %d bytes without NUL characters", argument, maxName)
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
