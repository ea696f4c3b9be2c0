package users

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// Auth is what somebody gets who has logged in or signed up. Wire: skygear §2.2, AuthResponse.
type Auth struct {
	UserID      string
	Profile     *records.Record // the user record as the user sees it
	Roles       []string
	Token       string
	LastLoginAt *time.Time // before this call, UTC; nil when never
	LastSeenAt  *time.Time
}

// Credentials are what somebody signs up or logs in with. Without any of them a sign-up is anonymous.
type Credentials struct {
	AuthData     []records.Field
	Password     string
	Provider     string // name of one of Config.Providers
	ProviderData json.RawMessage
}

// SignUp makes an account and its user record, both or neither. The context's actor decides whether the
// schema may grow for the profile. It fails with users.bad_auth_data, users.key_twice,
// users.no_password, users.long_password, users.password_policy, records.not_unique (Duplicate) when
// somebody has the name, and what a save of the profile fails with.
func (s *Service) SignUp(ctx context.Context, c Credentials, profile []records.Field) (Auth, error) {
	n := newcomer{profile: profile}
	prove := s.proveName
	if c.Provider != "" {
		prove = s.provePrincipal
	}
	err := prove(ctx, &n, c)
	if err == nil {
		n.roles, err = s.defaultRoles(ctx)
	}
	if err != nil {
		return Auth{}, err
	}
	return s.admit(ctx, n)
}

func (s *Service) provePrincipal(ctx context.Context, n *newcomer, c Credentials) error {
	principal, keep, err := s.principal(ctx, c)
	n.provider = providerInfo(principal, keep)
	return err
}

func (s *Service) proveName(ctx context.Context, n *newcomer, c Credentials) error {
	who, given, err := s.identify(c.AuthData)
	n.authData = who.fields
	switch {
	case err != nil:
		return err
	case given:
		n.password, err = s.checkNew(ctx, who.fields, n.profile, c.Password)
	case c.Password != "":
		err = s.badAuthData()
	}
	return err
}

// checkNew returns the hash of a newcomer's password.
func (s *Service) checkNew(ctx context.Context, authData, profile []records.Field, password string) (hash *string, err error) {
	var twice []string
	for _, f := range profile {
		if slices.ContainsFunc(authData, func(a records.Field) bool { return a.Name == f.Name }) {
			twice = append(twice, f.Name)
		}
	}
	if twice != nil {
		return nil, fault.New(fault.Invalid, "users.key_twice", "%q are both in auth_data and in profile", twice).With("arguments", twice)
	}
	if err := s.c.Policy.check(password, append(slices.Clone(authData), profile...)); err != nil {
		return nil, err
	}
	err = s.hasher.work(ctx, func() error {
		text, err := s.hasher.hash(password)
		hash = &text
		return err
	})
	return hash, err
}

func (s *Service) defaultRoles(ctx context.Context) (roles []string, err error) {
	err = s.db.Select(ctx, &roles, selectDefaultRoles)
	return roles, err
}

// newcomer is an account that is about to be made.
type newcomer struct {
	password *string // hash
	provider *string // provider_info, JSON
	authData []records.Field
	profile  []records.Field
	roles    []string
	before   func(ctx context.Context, tx *pg.Tx, id string) error // what else belongs to it, written first; may be nil
}

// lastLogin is the field of a user record that says when the user logged in before.
const lastLogin = "last_login_at"

// admit makes the account, its record and its first token in one transaction.
func (s *Service) admit(ctx context.Context, n newcomer) (Auth, error) {
	now := s.now()
	id, t := uuid.NewString(), s.newToken(now)
	rec := &records.Record{Type: "user", Key: id, Fields: slices.Clone(n.profile)}
	trusted := []string{lastLogin}
	for _, f := range n.authData {
		rec.Set(f.Name, f.Value)
		trusted = append(trusted, f.Name)
	}
	rec.Set(lastLogin, now)
	caller := acl.FromContext(ctx)
	saved, err := s.c.Records.SaveTogether(
		acl.WithActor(ctx, acl.Actor{UserID: id, Roles: n.roles, Address: caller.Address}),
		records.Together{
			Record: rec, Trusted: trusted, MayMigrate: caller.Master(),
			Write: func(ctx context.Context, tx *pg.Tx) error { return s.insert(ctx, tx, id, n, t) },
		})
	if err != nil {
		return Auth{}, err
	}
	s.remember(id)
	saved.Fields = slices.DeleteFunc(saved.Fields, func(f records.Field) bool { return f.Name == lastLogin })
	return Auth{UserID: id, Profile: saved, Roles: n.roles, Token: t.text}, nil
}

func (s *Service) insert(ctx context.Context, tx *pg.Tx, id string, n newcomer, t token) error {
	if n.before != nil {
		if err := n.before(ctx, tx, id); err != nil {
			return err
		}
	}
	var since *time.Time
	if n.password != nil {
		since = &t.issued
	}
	if _, err := tx.Exec(ctx, signUpAccount, id, n.password, n.provider, since, t.issued, pg.Array(n.roles), t.hash, t.expires); err != nil {
		return err
	}
	return s.keepHistory(ctx, tx, id, n.password, t.issued)
}

func (s *Service) keepHistory(ctx context.Context, tx *pg.Tx, id string, hash *string, now time.Time) error {
	p := &s.c.Policy
	if hash == nil || !p.keepsHistory() {
		return nil
	}
	if _, err := tx.Exec(ctx, insertHistory, uuid.NewString(), id, *hash, now); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, deleteHistory, id, max(p.HistorySize, 1), now.AddDate(0, 0, -p.HistoryDays))
	return err
}
