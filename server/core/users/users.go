package users

import (
	"context"
	"strings"
	"sync"
	"unicode/utf8"

	"crema/server/base/fault"
	"crema/server/base/pg"
)

// maxKnown bounds the ids that are remembered. maxID bounds one of them, so that a stranger's request
// cannot fill the memory.
const (
	maxKnown = 10000
	maxID    = 255
)

// Service knows the accounts of one app. It is safe for concurrent use.
type Service struct {
	db    *pg.DB
	mu    sync.RWMutex
	known map[string]struct{} // ids whose row exists; rows of accounts are never removed
}

// New returns a Service.
func New(db *pg.DB) *Service { return &Service{db: db, known: map[string]struct{}{}} }

// Ensure makes the account row of id exist. Ids that it has seen cost no round trip. It fails with
// users.bad_id. Wire: skygear T9.
func (s *Service) Ensure(ctx context.Context, id string) error {
	s.mu.RLock()
	_, ok := s.known[id]
	s.mu.RUnlock()
	if ok {
		return nil
	}
	if id == "" || len(id) > maxID || strings.IndexByte(id, 0) >= 0 || !utf8.ValidString(id) {
		return fault.Argument("users.bad_id", "_user_id", "_user_id must be 1 to %d bytes of UTF-8 text without NUL characters", maxID)
	}
	if _, err := s.db.Exec(ctx, insertAccount, id); err != nil {
		return err
	}
	s.remember(id)
	return nil
}

func (s *Service) remember(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.known) >= maxKnown { // forgetting costs one statement per id that comes again
		clear(s.known)
	}
	s.known[strings.Clone(id)] = struct{}{}
}

// Roles returns the roles of an account, sorted; none for an unknown one.
func (s *Service) Roles(ctx context.Context, id string) ([]string, error) {
	var roles []string
	err := s.db.Select(ctx, &roles, selectRoles, id)
	return roles, err
}
