package users

import (
	"context"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// ChangePassword gives the actor of ctx a new password and a new token; all earlier tokens end. It fails
// with users.no_password, users.wrong_password, users.password_policy, users.too_many_failures,
// users.busy and what Me fails with.
func (s *Service) ChangePassword(ctx context.Context, old, password string) (Auth, error) {
	switch {
	case old == "":
		return Auth{}, fault.Argument("users.no_password", "old_password", "old_password must be the present password")
	case password == "":
		return Auth{}, fault.Argument("users.no_password", "password", "password must be a text that is not empty")
	}
	return s.renew(ctx, acl.FromContext(ctx).UserID, password, func(a account) error {
		if err := s.c.Limits.over(a.failures); err != nil {
			return err
		}
		if s.hasher.matches(a.password, old) {
			return nil
		}
		if err := s.failed(ctx, counted{account: ofAccount(a.id), address: s.address(ctx)}); err != nil {
			return err
		}
		return wrongPassword()
	})
}

// ResetPassword gives an account a password without asking for the old one; all its tokens end, and
// refused log-ins no longer count. For the master key only. It fails with users.no_auth_id,
// users.no_password, users.password_policy, users.account_missing and users.record_missing.
func (s *Service) ResetPassword(ctx context.Context, id, password string) (Auth, error) {
	switch {
	case id == "":
		return Auth{}, fault.Argument("users.no_auth_id", "auth_id", "auth_id must be the id of a user")
	case password == "":
		return Auth{}, fault.Argument("users.no_password", "password", "password must be a text that is not empty")
	}
	auth, err := s.renew(ctx, id, password, func(account) error { return nil })
	if err == nil {
		_, err = s.db.Exec(ctx, deleteFailures, ofAccount(id))
	}
	return auth, err
}

// renew sets a new password, if the account of now passes check.
func (s *Service) renew(ctx context.Context, id, password string, check func(account) error) (Auth, error) {
	var a account
	var hash string
	var profile *records.Record
	err := s.hasher.work(ctx, func() (err error) {
		if a, err = s.byID(ctx, id); err != nil {
			return err
		}
		if a.id == "" {
			return fault.New(fault.AccountMissing, "users.account_missing", "there is no account with this id")
		}
		if err := check(a); err != nil {
			return err
		}
		if profile, err = s.profile(ctx, a); err != nil {
			return err
		}
		if err := s.checkRenewed(ctx, a, profile, password); err != nil {
			return err
		}
		hash, err = s.hasher.hash(password)
		return err
	})
	if err != nil {
		return Auth{}, err
	}
	t := s.newToken(s.now())
	err = s.db.Tx(ctx, func(ctx context.Context, tx *pg.Tx) error { return s.replace(ctx, tx, a, hash, t) })
	return a.auth(profile, t), err
}

// checkRenewed applies the policy, the memory of earlier passwords included.
func (s *Service) checkRenewed(ctx context.Context, a account, profile *records.Record, password string) error {
	p := &s.c.Policy
	if err := p.check(password, profile.Fields); err != nil || !p.keepsHistory() {
		return err
	}
	var hashes []string
	since := s.now().AddDate(0, 0, -p.HistoryDays)
	if err := s.db.Select(ctx, &hashes, selectHistory, a.id, p.HistorySize, since, maxHistory); err != nil {
		return err
	}
	if a.password != nil {
		hashes = append(hashes, *a.password) // an old database has no history yet
	}
	tried := map[string]bool{}
	for _, h := range hashes {
		if tried[h] {
			continue
		}
		tried[h] = true
		if s.hasher.matches(&h, password) {
			return p.reused()
		}
	}
	return nil
}

// replace ends all tokens behind the change, so that none slips between.
func (s *Service) replace(ctx context.Context, tx *pg.Tx, a account, hash string, t token) error {
	n, err := tx.Exec(ctx, updatePassword, a.id, hash, t.issued, a.password)
	if err != nil {
		return err
	}
	if n == 0 {
		return fault.New(fault.CredentialsRefused, "users.changed_meanwhile", "the password was changed by somebody else just now")
	}
	if _, err := tx.Exec(ctx, deleteTokensOf, a.id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insertToken, t.hash, a.id, t.issued, t.expires); err != nil {
		return err
	}
	return s.keepHistory(ctx, tx, a.id, &hash, t.issued)
}

// skygearCost is the cost of Skygear's own hashes. maxPassword is what bcrypt looks at, in bytes.
const (
	skygearCost = 10
	maxPassword = 72
)

// nobodysHash is compared with where there is no password, so that the answer takes as long.
const nobodysHash = "$2a$10$L44WEWBKfrG8XyMpUORVTOIRXLwouyK3AeV.0sZtFZAl73mCpH.ni"

// hasher lets few hash at a time: a flood of log-ins takes its share of the processors and no more.
type hasher struct {
	cost    int
	nobody  []byte
	slots   chan struct{}
	waiting atomic.Int64
}

// perSlot bounds how many wait for one slot. The last of them waits for some ten seconds.
const perSlot = 200

func newHasher(cost, slots int) *hasher {
	h := &hasher{cost: cost, nobody: []byte(nobodysHash), slots: make(chan struct{}, slots)}
	if cost == 0 {
		h.cost = skygearCost
	} else if hash, err := bcrypt.GenerateFromPassword([]byte("nobody"), cost); err == nil {
		h.nobody = hash
	}
	return h
}

// work runs fn in a slot. It fails with users.busy when too many wait already.
func (h *hasher) work(ctx context.Context, fn func() error) error {
	if h.waiting.Add(1) > int64(cap(h.slots)*perSlot) {
		h.waiting.Add(-1)
		return fault.New(fault.RateLimited, "users.busy", "too many log-ins at once; try again in a few seconds")
	}
	defer h.waiting.Add(-1)
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return fault.From(ctx.Err())
	}
	defer func() { <-h.slots }()
	return fn()
}

// hash must run in a slot.
func (h *hasher) hash(password string) (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), h.cost)
	if err != nil {
		return "", fault.Wrap(err, fault.Internal, "users.hash", "the password cannot be hashed")
	}
	return string(hash), nil
}

// matches must run in a slot. No hash, and one that is none, match nothing in the same time.
func (h *hasher) matches(hash *string, password string) bool {
	stored := h.nobody
	if hash != nil {
		if _, err := bcrypt.Cost([]byte(*hash)); err == nil {
			stored = []byte(*hash)
		}
	}
	same := bcrypt.CompareHashAndPassword(stored, []byte(password)) == nil
	return same && hash != nil && string(stored) == *hash
}
