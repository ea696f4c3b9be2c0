package users

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// Provider knows people by what they prove elsewhere, such as a function of the app.
type Provider interface {
	// LogIn returns who data, an object or nil, is about, and what to keep with the account: a JSON value. No
	// principal, and an error that is no fault, refuse the log-in; a fault reaches the caller.
	LogIn(ctx context.Context, data json.RawMessage) (principalID string, keep json.RawMessage, err error)
}

// LogIn checks a password or a provider's word. It fails with users.bad_auth_data, users.unknown_name
// (NotFound), users.disabled, users.wrong_password, users.too_many_failures and users.busy
// (RateLimited). The first complete set of auth keys decides who is meant.
func (s *Service) LogIn(ctx context.Context, c Credentials) (Auth, error) {
	if c.Provider != "" {
		return s.logInByProvider(ctx, c)
	}
	who, ok, err := s.identify(c.AuthData)
	if err == nil && !ok {
		err = s.badAuthData()
	}
	if err != nil {
		return Auth{}, err
	}
	var a account
	err = s.hasher.work(ctx, func() error {
		a, err = s.verify(ctx, who, c.Password)
		return err
	})
	if err != nil {
		return Auth{}, err
	}
	return s.letIn(ctx, a)
}

// verify finds the account and compares the password. It runs in the hasher's slot from the first
// question on, so that few can ask before their failures count.
func (s *Service) verify(ctx context.Context, who identity, password string) (account, error) {
	var a account
	against := counted{account: s.hidden("name", names(slices.Concat(who.lookup.keys, who.values))), address: s.address(ctx)}
	args := []any{against.account, against.address, s.now().Add(-s.c.Limits.Window)}
	for _, v := range who.values {
		args = append(args, v)
	}
	err := a.read(ctx, s.db, who.lookup.text, args...)
	if fault.Is(err, "pg.bad_value") { // such a value is in no row
		a, err = account{}, nil
	}
	if err == nil {
		err = s.c.Limits.over(a.failures)
	}
	if err != nil {
		return a, err
	}
	if a.id != "" {
		against.account = ofAccount(a.id)
		if a.standing.disabledAt(s.now()) {
			return a, a.standing.disabledFault()
		}
	}
	if s.hasher.matches(a.password, password) {
		return a, nil
	}
	if err := s.failed(ctx, against); err != nil {
		return a, err
	}
	if a.id == "" {
		return a, fault.New(fault.NotFound, "users.unknown_name", "there is no user with this name")
	}
	return a, wrongPassword()
}

// letIn gives a token to an account whose proof was good, and writes when.
func (s *Service) letIn(ctx context.Context, a account) (Auth, error) {
	return s.issue(ctx, a, issueAtLogIn)
}

// issue answers for an account with a new token. The profile is that of before.
func (s *Service) issue(ctx context.Context, a account, statement string) (Auth, error) {
	profile, err := s.profile(ctx, a)
	if err != nil {
		return Auth{}, err
	}
	t := s.newToken(s.now())
	var n int
	if err := s.db.Get(ctx, &n, statement, a.id, t.issued, a.password, t.hash, t.expires); err != nil {
		return Auth{}, err
	}
	if n == 0 { // the password was changed meanwhile
		return Auth{}, wrongPassword()
	}
	return a.auth(profile, t), nil
}

func (a *account) auth(profile *records.Record, t token) Auth {
	return Auth{UserID: a.id, Profile: profile, Roles: a.roles, Token: t.text, LastLoginAt: a.login, LastSeenAt: a.seen}
}

func (s *Service) profile(ctx context.Context, a account) (*records.Record, error) {
	profile, err := s.c.Records.Read(ctx, acl.Actor{UserID: a.id, Roles: a.roles}, "user", a.id)
	if fault.Is(err, "records.not_found") {
		err = fault.Wrap(err, fault.UserMissing, "users.record_missing", "the user record of this account is missing")
	}
	return profile, err
}

// byID finds an account with the failures that count against it and the address of ctx.
func (s *Service) byID(ctx context.Context, id string) (account, error) {
	var a account
	err := a.read(ctx, s.db, selectByID, id, s.address(ctx), s.now().Add(-s.c.Limits.Window))
	return a, err
}

// Me answers for the actor of ctx with one more token; earlier ones stay good. token is the one that the
// actor showed, "" with the master key. It fails with users.token_refused, users.account_missing and
// users.record_missing. Wire: skygear T40.
func (s *Service) Me(ctx context.Context, token string) (Auth, error) {
	a, err := s.byID(ctx, acl.FromContext(ctx).UserID)
	if err == nil && a.id == "" {
		err = fault.New(fault.AccountMissing, "users.account_missing", "this account is gone")
	}
	if err != nil {
		return Auth{}, err
	}
	if token != "" { // it may have ended since the gate has seen it; from here on the password tells
		var there bool
		if err := s.db.Get(ctx, &there, tokenExists, hashToken(token)); err != nil {
			return Auth{}, err
		}
		if !there {
			return Auth{}, tokenRefused()
		}
	}
	auth, err := s.issue(ctx, a, issueAgain)
	if fault.Is(err, "users.wrong_password") {
		err = tokenRefused()
	}
	return auth, err
}

// principal asks a provider who somebody is. What it refuses counts against the address, as wrong passwords do.
func (s *Service) principal(ctx context.Context, c Credentials) (name string, keep json.RawMessage, err error) {
	var p Provider
	ok := s.c.Providers != nil
	if ok {
		p, ok = s.c.Providers(c.Provider)
	}
	if !ok {
		return "", nil, fault.Argument("users.unknown_provider", "provider", "there is no provider %q", clip(c.Provider))
	}
	address := s.address(ctx)
	if err := s.mayTry(ctx, address); err != nil {
		return "", nil, err
	}
	id, keep, err := p.LogIn(ctx, c.ProviderData)
	var f *fault.Error
	switch {
	case err == nil && id != "":
		return c.Provider + ":" + id, keep, nil
	case !errors.As(err, &f):
		f = fault.Wrap(err, fault.CredentialsRefused, "users.provider_refused", "the provider does not accept this")
	case f.Code != fault.CredentialsRefused:
		return "", nil, err
	}
	if err := s.failed(ctx, counted{address: address}); err != nil {
		return "", nil, err
	}
	return "", nil, f
}

// providerInfo is the value of provider_info.
func providerInfo(principal string, keep json.RawMessage) *string {
	if !json.Valid(keep) {
		keep = json.RawMessage("null")
	}
	b, _ := json.Marshal(map[string]json.RawMessage{principal: keep}) // both are valid
	text := string(b)
	return &text
}

// logInByProvider makes an account for a principal that is new. Wire: skygear §2.2.
func (s *Service) logInByProvider(ctx context.Context, c Credentials) (Auth, error) {
	principal, keep, err := s.principal(ctx, c)
	if err != nil {
		return Auth{}, err
	}
	info := providerInfo(principal, keep)
	var id string
	auth, err := s.admitOnce(ctx, newcomer{provider: info}, "provider "+principal, func(ctx context.Context, q pg.Querier) error {
		return q.Get(ctx, &id, selectByProvider, principal)
	})
	if err != nil || id == "" {
		return auth, err
	}
	if _, err := s.db.Exec(ctx, updateProviderInfo, id, info); err != nil {
		return Auth{}, err
	}
	return s.letInByID(ctx, id)
}

// admitOnce makes an account unless find finds one, also when two servers ask at once. find returns
// pg.no_rows when there is none.
func (s *Service) admitOnce(ctx context.Context, n newcomer, name string, find func(context.Context, pg.Querier) error) (Auth, error) {
	err := find(ctx, s.db)
	if !fault.Is(err, "pg.no_rows") {
		return Auth{}, err
	}
	before := n.before
	n.before = func(ctx context.Context, tx *pg.Tx, id string) error {
		if _, err := tx.Exec(ctx, lockName, name); err != nil {
			return err
		}
		// A statement of its own: only a later one sees what the holder of the lock has left.
		if err := find(ctx, tx); !fault.Is(err, "pg.no_rows") {
			return cmp.Or(err, error(errFound))
		}
		if before == nil {
			return nil
		}
		return before(ctx, tx, id)
	}
	auth, err := s.admit(ctx, n)
	if errors.Is(err, errFound) {
		return Auth{}, find(ctx, s.db)
	}
	return auth, err
}

var errFound = fault.New(fault.Duplicate, "users.found", "somebody else made the account just now")

// letInByID is letIn for an account that somebody vouches for. It fails with users.disabled and
// users.account_missing.
func (s *Service) letInByID(ctx context.Context, id string) (Auth, error) {
	a, err := s.byID(ctx, id)
	switch {
	case err != nil:
		return Auth{}, err
	case a.id == "":
		return Auth{}, fault.New(fault.AccountMissing, "users.account_missing", "this account is gone")
	case a.standing.disabledAt(s.now()):
		return Auth{}, a.standing.disabledFault()
	}
	return s.letIn(ctx, a)
}
