package users

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// Session is what an access token stands for, and how its account stands. The zero Session is that of
// nobody, whom nothing is held against.
type Session struct {
	UserID string
	Roles  []string // sorted
	Admin  bool     // one of the roles is an admin role

	missing, refused error
	expired          bool
}

// Missing says that the account is gone: users.account_missing, else nil.
func (s *Session) Missing() error { return s.missing }

// Refused says why the account may not act with this token, else nil: users.disabled (with what the
// operator said), users.token_outdated after the password changed.
func (s *Session) Refused() error { return s.refused }

// PasswordExpired says that the policy wants a new password first.
func (s *Session) PasswordExpired() bool { return s.expired }

// Session finds what a token stands for, in one statement. It fails with users.token_refused.
func (s *Service) Session(ctx context.Context, token string) (Session, error) {
	var row sessionRow
	now := s.now()
	err := row.read(ctx, s.db, hashToken(token), now)
	if err == nil && row.userID == "" {
		err = tokenRefused()
	}
	if err != nil {
		return Session{}, err
	}
	out := Session{UserID: row.userID, Roles: row.roles, Admin: row.admin}
	switch {
	case row.missing:
		s.forget(row.userID)
		out.missing = fault.New(fault.AccountMissing, "users.account_missing", "the account of this access token is gone")
	case row.standing.disabledAt(now):
		out.refused = row.standing.disabledFault()
	case row.standing.outdates(row.issued):
		out.refused = fault.New(fault.TokenRefused, "users.token_outdated", "the password was changed since this access token was issued; log in again")
	}
	out.expired = s.c.Policy.expired(row.standing, now)
	return out, nil
}

func tokenRefused() *fault.Error {
	return fault.New(fault.TokenRefused, "users.token_refused", "the access token is unknown or has expired; log in again")
}

// standing is how an account stands.
type standing struct {
	disabled    bool
	message     *string
	expiry      *time.Time
	validSince  *time.Time
	hasPassword bool
}

func (s *standing) disabledAt(now time.Time) bool {
	return s.disabled && (s.expiry == nil || now.Before(*s.expiry))
}

func (s *standing) disabledFault() error {
	err := fault.New(fault.Disabled, "users.disabled", "this account is disabled")
	if s.message != nil {
		err = err.With("message", *s.message)
	}
	if s.expiry != nil {
		err = err.With("expiry", s.expiry.UTC().Format(time.RFC3339Nano))
	}
	return err
}

// tolerance is how much older than the account's mark a token may be: old plugins cut the mark to
// seconds. Wire: skygear §1.3.
const tolerance = time.Second

func (s *standing) outdates(issued time.Time) bool {
	return s.validSince != nil && issued.Before(s.validSince.Add(-tolerance))
}

// token is a new access token: what the client gets, and what is stored.
type token struct {
	text    string
	hash    []byte
	issued  time.Time
	expires *time.Time
}

func (s *Service) newToken(now time.Time) token {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	t := token{text: base64.RawURLEncoding.EncodeToString(random[:]), issued: now}
	t.hash = hashToken(t.text)
	if s.c.TokenLife > 0 {
		end := now.Add(s.c.TokenLife)
		t.expires = &end
	}
	return t
}

// hashToken needs no salt and no slowness: a token has 256 random bits.
func hashToken(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// LogOut ends a token. One that nobody knows is none any more either way.
func (s *Service) LogOut(ctx context.Context, token string) error {
	if token == "" {
		return nil
	}
	_, err := s.db.Exec(ctx, deleteToken, hashToken(token))
	return err
}

// CheckUser refuses a user who is not verified where the app wants verified users
// (users.not_verified). A user without a record passes. Wire: skygear §1.3.
func (s *Service) CheckUser(ctx context.Context, id string) error {
	if !s.c.VerifyRequired {
		return nil
	}
	u, err := s.record(ctx, id)
	if err != nil || !u.Exists || u.Verified {
		return err
	}
	return notVerified()
}

// RequireUser is CheckUser that makes the user record when there is none. It fails with
// users.record_missing when that is impossible. The actor of ctx owns what is made.
func (s *Service) RequireUser(ctx context.Context, id string) error {
	u, err := s.record(ctx, id)
	if err != nil {
		return err
	}
	if !u.Exists {
		_, err := s.c.Records.SaveTogether(ctx, records.Together{Record: &records.Record{Type: "user", Key: id}})
		if err != nil {
			return fault.Wrap(err, fault.UserMissing, "users.record_missing", "the user record of this account is missing and cannot be made")
		}
	}
	if s.c.VerifyRequired && !u.Verified && !acl.FromContext(ctx).Master() {
		return notVerified()
	}
	return nil
}

func notVerified() *fault.Error {
	return fault.New(fault.VerificationRequired, "users.not_verified", "this account must be verified first")
}
