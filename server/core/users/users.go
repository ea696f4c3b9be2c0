package users

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/records"
	"crema/server/core/schema"
)

// maxKnown bounds the ids that are remembered. maxID bounds one of them, so that a stranger's request
// cannot fill the memory.
const (
	maxKnown = 10000
	maxID    = 255
)

// Config is what a Service needs.
type Config struct {
	DB      *pg.DB
	Records *records.Service
	Schema  *schema.Service
	// AuthKeys are the sets of fields of a user that identify one; nil: username, or email.
	AuthKeys          [][]string
	TokenLife         time.Duration // 0: tokens do not expire
	CustomTokenSecret string        // "" switches log-in by custom token off
	VerifyRequired    bool          // users must be verified before they may act
	Policy            Policy
	Limits            Limits
	HashKey           string                             // hides names and addresses in the counts of refused log-ins
	Providers         func(name string) (Provider, bool) // nil: there are none
	HashCost          int                                // of bcrypt; 0: that of Skygear, 10
	Now               func() time.Time                   // nil: time.Now
}

// Service knows the accounts of one app. It is safe for concurrent use.
type Service struct {
	c       Config
	db      *pg.DB
	lookups []lookup
	hasher  *hasher
	mu      sync.RWMutex
	known   map[string]struct{} // ids whose row exists
}

// New returns a Service. Start must run before anybody signs up.
func New(c Config) *Service {
	if c.AuthKeys == nil {
		c.AuthKeys = [][]string{{"username"}, {"email"}}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Limits = c.Limits.withDefaults()
	s := &Service{c: c, db: c.DB, known: map[string]struct{}{}, hasher: newHasher(c.HashCost, max(1, runtime.GOMAXPROCS(0)/2))}
	for _, keys := range c.AuthKeys {
		s.lookups = append(s.lookups, lookup{keys: keys, text: selectByKeys(keys)})
	}
	return s
}

// now is in UTC, as the columns are, and as exact as they are.
func (s *Service) now() time.Time { return s.c.Now().UTC().Truncate(time.Microsecond) }

// Ensure makes the account row of id exist. Ids that it has seen cost no round trip. It fails with
// users.bad_id. Wire: skygear T9.
func (s *Service) Ensure(ctx context.Context, id string) error {
	s.mu.RLock()
	_, ok := s.known[id]
	s.mu.RUnlock()
	if ok {
		return nil
	}
	if !validID(id) {
		return fault.Argument("users.bad_id", "_user_id", "_user_id must be 1 to %d bytes of UTF-8 text without NUL characters", maxID)
	}
	if _, err := s.db.Exec(ctx, insertAccount, id); err != nil {
		return err
	}
	s.remember(id)
	return nil
}

func validID(id string) bool {
	return id != "" && len(id) <= maxID && strings.IndexByte(id, 0) < 0 && utf8.ValidString(id)
}

func (s *Service) remember(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxKnown { // forgetting costs one statement per id that comes again
		clear(s.known)
	}
	s.known[strings.Clone(id)] = struct{}{}
}

// forget is for accounts that somebody removed from the database.
func (s *Service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

// Disable says whether an account may act; what was said before is replaced. An account that may act
// again has no message and no expiry. Nil expiry is for ever. It fails with users.unknown (NotFound).
func (s *Service) Disable(ctx context.Context, id string, disabled bool, message string, expiry *time.Time) error {
	var text *string
	switch {
	case !disabled:
		expiry = nil
	case message != "":
		text = &message
	}
	if expiry != nil {
		utc := expiry.UTC()
		expiry = &utc
	}
	n, err := s.db.Exec(ctx, updateDisabled, id, disabled, text, expiry)
	if err == nil && n == 0 {
		return unknownUser(id)
	}
	return err
}

func unknownUser(id string) *fault.Error {
	return fault.New(fault.NotFound, "users.unknown", "there is no user %q", clip(id))
}

func clip(s string) string { return strings.ToValidUTF8(s[:min(len(s), 80)], "") }
