package web

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/netip"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/users"
)

// Credentials are what a request shows, wherever it carries them.
type Credentials struct {
	APIKey string
	Token  string
	UserID string // honoured with the master key only
	// FromPlugin says that a plugin asks while it gets ready; honoured with the master key only.
	FromPlugin bool
	Address    string // of the client, as far as trusted proxies tell
}

// Credentials reads the headers that every Skygear client sends, and who sent them.
func (g *Gate) Credentials(r *http.Request) Credentials {
	return Credentials{
		APIKey: r.Header.Get("X-Skygear-Api-Key"), Token: r.Header.Get("X-Skygear-Access-Token"), Address: g.proxies.clientIP(r),
	}
}

// Accounts is what the gate asks the users room.
type Accounts interface {
	// Ensure makes the account when it does not exist.
	Ensure(ctx context.Context, userID string) error
	// Session finds what an access token stands for; an unknown one is fault.TokenRefused.
	Session(ctx context.Context, token string) (users.Session, error)
	// CheckUser and RequireUser refuse a user who is not verified where that is asked for; RequireUser
	// also makes the user record when there is none.
	CheckUser(ctx context.Context, userID string) error
	RequireUser(ctx context.Context, userID string) error
}

// Caller is who a request acts for, as far as its checks have come.
type Caller struct {
	acl.Actor
	session users.Session // of the token; the zero one without
}

// Admin says whether the caller holds the master key or is a user with an admin role.
func (c Caller) Admin() bool { return c.Master() || c.UserID != "" && c.session.Admin }

// barred says that the account may not act, whatever for.
func (c Caller) barred() bool { return c.session.Missing() != nil || c.session.Refused() != nil }

// anonymous is what stays of a caller whose account may not act.
func (c Caller) anonymous() Caller { return Caller{Actor: acl.Actor{Key: c.Key, Address: c.Address}} }

// Gate decides who a request acts for, as the preprocessors of Skygear v1 did.
type Gate struct {
	apiKey, masterKey string
	accounts          Accounts
	proxies           proxies
	ready             func(master, fromPlugin bool) error
}

// WaitFor lets requests that need the plugins through when ready says so. It is called before the gate is used.
func (g *Gate) WaitFor(ready func(master, fromPlugin bool) error) { g.ready = ready }

// Ready refuses a request while plugins are still starting. Wire: skygear §4.3.
func (g *Gate) Ready(caller Caller, c Credentials) error {
	if g.ready == nil {
		return nil
	}
	return g.ready(caller.Master(), c.FromPlugin)
}

// NewGate returns a gate for these two keys, behind these proxies.
func NewGate(apiKey, masterKey string, accounts Accounts, trusted ...netip.Prefix) *Gate {
	return &Gate{apiKey: apiKey, masterKey: masterKey, accounts: accounts, proxies: trusted}
}

// Key says which key was shown; a key that is neither of ours is refused.
func (g *Gate) Key(c Credentials) (acl.KeyKind, error) {
	switch {
	case c.APIKey == "":
		return acl.NoKey, nil
	case same(c.APIKey, g.masterKey):
		return acl.MasterKey, nil
	case same(c.APIKey, g.apiKey):
		return acl.ClientKey, nil
	}
	return acl.NoKey, fault.New(fault.KeyRefused, "web.key_refused", "the API key is not accepted; send the key that the server printed at its start")
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// Keyed refuses a request without a key, or with a wrong one. Tokens are not looked at.
func (g *Gate) Keyed(c Credentials) (Caller, error) {
	kind, err := g.Key(c)
	if err == nil && kind == acl.NoKey {
		err = keyMissing()
	}
	return Caller{Actor: acl.Actor{Key: kind, Address: c.Address}}, err
}

func keyMissing() *fault.Error {
	return fault.New(fault.Unauthenticated, "web.key_missing", "send the API key in the header X-Skygear-Api-Key or as api_key")
}

// Authenticate refuses a wrong key, a wrong token, and a request with neither. How the account of the
// token stands is not looked at before Inject or Require.
func (g *Gate) Authenticate(ctx context.Context, c Credentials) (Caller, error) {
	kind, err := g.Key(c)
	caller := Caller{Actor: acl.Actor{Key: kind, Address: c.Address}}
	switch {
	case err != nil:
		return caller, err
	case c.Token != "":
		return g.withToken(ctx, caller, c.Token)
	case kind == acl.NoKey:
		return caller, keyMissing()
	case kind == acl.MasterKey:
		caller.UserID = c.UserID
	}
	return caller, nil
}

func (g *Gate) withToken(ctx context.Context, c Caller, token string) (Caller, error) {
	session, err := g.accounts.Session(ctx, token)
	if err != nil {
		return c, err
	}
	c.session, c.UserID, c.Roles = session, session.UserID, session.Roles
	return c, nil
}

// Optional is Authenticate for whoever: a failure leaves an anonymous caller, and so does an account
// that may not act.
func (g *Gate) Optional(ctx context.Context, c Credentials) Caller {
	caller, err := g.Authenticate(ctx, c)
	if err != nil || caller.barred() {
		return caller.anonymous()
	}
	return caller
}

// Inject completes a caller: the master key without a user acts as acl.God, and whoever it names has
// an account from now on. A user who may not act becomes anonymous. Wire: skygear §1.3, T8, T9.
func (g *Gate) Inject(ctx context.Context, c Caller) (Caller, error) {
	c, err := g.settle(ctx, c)
	if err == nil && (c.session.Refused() != nil || c.session.PasswordExpired()) {
		return c.anonymous(), nil
	}
	return c, err
}

// settle finds the account of a caller, disabled or not.
func (g *Gate) settle(ctx context.Context, c Caller) (Caller, error) {
	if c.UserID == "" {
		if !c.Master() {
			return c, nil
		}
		c.UserID = acl.God
	}
	if c.Master() {
		return c, g.accounts.Ensure(ctx, c.UserID)
	}
	return c, c.session.Missing()
}

// Require is Inject that refuses an anonymous caller and says why a user may not act.
func (g *Gate) Require(ctx context.Context, c Caller) (Caller, error) {
	c, err := g.RequireOld(ctx, c)
	if err == nil && c.session.PasswordExpired() {
		return c, fault.New(fault.PasswordExpired, "users.password_expired", "the password has expired; change it first").
			With("reason", "PasswordExpired")
	}
	return c, err
}

// RequireOld is Require for whoever changes the password, which may have expired.
func (g *Gate) RequireOld(ctx context.Context, c Caller) (Caller, error) {
	c, err := g.settle(ctx, c)
	switch {
	case err != nil:
		return c, err
	case c.UserID == "":
		return c, fault.New(fault.Unauthenticated, "web.user_required", "log in first, or use the master key")
	}
	return c, c.session.Refused()
}

// Verify refuses a user who is not verified, where the app wants verified users.
func (g *Gate) Verify(ctx context.Context, c Caller) error {
	if c.UserID == "" || c.Master() {
		return nil
	}
	return g.accounts.CheckUser(ctx, c.UserID)
}

// RequireRecord is Verify that also makes the caller's user record when there is none.
func (g *Gate) RequireRecord(ctx context.Context, c Caller) error {
	return g.accounts.RequireUser(acl.WithActor(ctx, c.Actor), c.UserID)
}

// ForFunction is the gate of a function: a user, a key, or whoever comes. Only a function that asks for
// a user hears why one may not act; for the others such a user is nobody. Last it waits for plugins, see Ready.
func (g *Gate) ForFunction(ctx context.Context, c Credentials, userRequired, keyRequired bool) (Caller, error) {
	caller, err := g.forFunction(ctx, c, userRequired, keyRequired)
	if err == nil {
		err = g.Ready(caller, c)
	}
	return caller, err
}

func (g *Gate) forFunction(ctx context.Context, c Credentials, userRequired, keyRequired bool) (Caller, error) {
	if !userRequired && !keyRequired {
		return g.Optional(ctx, c), nil
	}
	caller, err := g.Authenticate(ctx, c)
	if err != nil {
		return caller, err
	}
	if !userRequired {
		if caller.barred() {
			caller = caller.anonymous()
		}
		return caller, nil
	}
	if caller, err = g.Require(ctx, caller); err != nil {
		return caller, err
	}
	return caller, g.Verify(ctx, caller)
}
