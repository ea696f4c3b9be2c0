package web

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/netip"

	"crema/server/base/fault"
	"crema/server/core/acl"
)

// Credentials are what a request shows, wherever it carries them.
type Credentials struct {
	APIKey  string
	Token   string
	UserID  string // honoured with the master key only
	Address string // of the client, as far as trusted proxies tell
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
	Roles(ctx context.Context, userID string) ([]string, error)
}

// Gate decides who a request acts for, as the preprocessors of Skygear v1 did.
type Gate struct {
	apiKey, masterKey string
	accounts          Accounts
	proxies           proxies
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

// Authenticate refuses a wrong key, a wrong token, and a request with neither.
func (g *Gate) Authenticate(c Credentials) (acl.Actor, error) {
	kind, err := g.Key(c)
	if err != nil {
		return acl.Actor{}, err
	}
	if c.Token != "" { // nobody can log in yet, so no token can be right
		return acl.Actor{}, fault.New(fault.TokenRefused, "web.token_refused", "the access token is unknown or has expired; log in again")
	}
	actor := acl.Actor{Key: kind, Address: c.Address}
	switch kind {
	case acl.NoKey:
		return actor, fault.New(fault.Unauthenticated, "web.key_missing", "send the API key in the header X-Skygear-Api-Key or as api_key")
	case acl.MasterKey:
		actor.UserID = c.UserID
	}
	return actor, nil
}

// Optional is Authenticate for whoever: a failure leaves an anonymous caller.
func (g *Gate) Optional(c Credentials) acl.Actor {
	actor, err := g.Authenticate(c)
	if err != nil {
		kind, _ := g.Key(c)
		return acl.Actor{Key: kind, Address: c.Address}
	}
	return actor
}

// Inject completes an actor: the master key without a user acts as acl.God, and whoever it names has
// an account from now on. An anonymous actor stays anonymous.
func (g *Gate) Inject(ctx context.Context, a acl.Actor) (acl.Actor, error) {
	if a.UserID == "" {
		if !a.Master() {
			return a, nil
		}
		a.UserID = acl.God
	}
	if a.Master() {
		return a, g.accounts.Ensure(ctx, a.UserID)
	}
	roles, err := g.accounts.Roles(ctx, a.UserID)
	a.Roles = roles
	return a, err
}

// Require is Inject that refuses an anonymous actor.
func (g *Gate) Require(ctx context.Context, a acl.Actor) (acl.Actor, error) {
	a, err := g.Inject(ctx, a)
	if err == nil && a.UserID == "" {
		return a, fault.New(fault.Unauthenticated, "web.user_required", "log in first, or use the master key")
	}
	return a, err
}

// ForFunction is the gate of a function: a user, a key, or whoever comes. A user's account and roles
// are looked up only where a function asks for a user.
func (g *Gate) ForFunction(ctx context.Context, c Credentials, userRequired, keyRequired bool) (acl.Actor, error) {
	switch {
	case userRequired:
		a, err := g.Authenticate(c)
		if err != nil {
			return a, err
		}
		return g.Require(ctx, a)
	case keyRequired:
		return g.Authenticate(c)
	}
	return g.Optional(c), nil
}
