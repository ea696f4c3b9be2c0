package users

import (
	"context"
	"encoding/json"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
)

// Principal is somebody as an OAuth provider knows them. What asks for the master key vouches for it.
// Wire: skygear §2.3.
type Principal struct {
	Provider string
	ID       string
	Token    json.RawMessage // the provider's answer, kept as it is; nil for none
	Profile  json.RawMessage // likewise
}

// check refuses a principal without a name. A nil field stands for SQL NULL.
func (p *Principal) check() error {
	switch {
	case p.Provider == "":
		return missing("provider")
	case p.ID == "":
		return missing("principal_id")
	}
	return nil
}

func missing(argument string) error {
	return fault.Argument("users.argument_missing", argument, "%s must be a text that is not empty", argument)
}

func nullable(raw json.RawMessage) *string {
	if len(raw) == 0 {
		return nil
	}
	s := string(raw)
	return &s
}

// OAuthLogIn lets the user in whom a principal is linked to. It fails with users.not_linked
// (CredentialsRefused), users.disabled, users.account_missing and users.record_missing.
func (s *Service) OAuthLogIn(ctx context.Context, p Principal) (Auth, error) {
	if err := p.check(); err != nil {
		return Auth{}, err
	}
	var id string
	err := s.db.Get(ctx, &id, selectOAuth, p.Provider, p.ID)
	if fault.Is(err, "pg.no_rows") {
		return Auth{}, fault.New(fault.CredentialsRefused, "users.not_linked", "no user is linked to this principal")
	}
	if err != nil {
		return Auth{}, err
	}
	auth, err := s.letInByID(ctx, id)
	if err == nil {
		_, err = s.db.Exec(ctx, touchOAuth, p.Provider, p.ID, nullable(p.Token), nullable(p.Profile), s.now())
	}
	return auth, err
}

// OAuthSignUp makes a user who is linked to a principal. It fails with users.linked (Invalid) and what
// SignUp fails with for the profile.
func (s *Service) OAuthSignUp(ctx context.Context, p Principal, profile []records.Field) (Auth, error) {
	if err := p.check(); err != nil {
		return Auth{}, err
	}
	roles, err := s.defaultRoles(ctx)
	if err != nil {
		return Auth{}, err
	}
	return s.admit(ctx, newcomer{profile: profile, roles: roles, before: func(ctx context.Context, tx *pg.Tx, id string) error {
		return s.link(ctx, tx, id, p)
	}})
}

func (s *Service) link(ctx context.Context, q pg.Querier, id string, p Principal) error {
	_, err := q.Exec(ctx, insertOAuth, id, p.Provider, p.ID, nullable(p.Token), nullable(p.Profile), s.now())
	if fault.Is(err, "pg.unique") {
		return fault.Wrap(err, fault.Invalid, "users.linked", "this principal or this user is linked already")
	}
	return err
}

// OAuthLink links a user to a principal. It fails with users.unknown (NotFound) and users.linked.
func (s *Service) OAuthLink(ctx context.Context, p Principal, userID string) error {
	if err := p.check(); err != nil {
		return err
	}
	if userID == "" {
		return missing("user_id")
	}
	a, err := s.byID(ctx, userID)
	if err == nil && a.id == "" {
		err = unknownUser(userID)
	}
	if err != nil {
		return err
	}
	return s.link(ctx, s.db, userID, p)
}

// OAuthUnlink ends the link of a user to a provider. It fails with users.not_linked (NotFound).
func (s *Service) OAuthUnlink(ctx context.Context, provider, userID string) error {
	switch {
	case provider == "":
		return missing("provider")
	case userID == "":
		return missing("user_id")
	}
	n, err := s.db.Exec(ctx, deleteOAuth, userID, provider)
	if err == nil && n == 0 {
		return fault.New(fault.NotFound, "users.not_linked", "this user is not linked to this provider")
	}
	return err
}

// customClaims are what a custom token says.
type customClaims struct {
	jwt.RegisteredClaims
	Profile json.RawMessage `json:"skyprofile,omitempty"`
}

// CustomTokenLogIn lets somebody in whom a token of the app's own back end names; who is new gets an
// account, and the profile of the token goes into the user record. It fails with
// users.no_custom_tokens (NotConfigured), users.bad_custom_token (BadRequest) when the token does not
// verify or has expired, users.custom_claims (CredentialsRefused) when it lacks sub, iat or exp, and
// what SignUp and a save fail with for the profile.
func (s *Service) CustomTokenLogIn(ctx context.Context, text string) (Auth, error) {
	claims, profile, err := s.customToken(text)
	if err != nil {
		return Auth{}, err
	}
	roles, err := s.defaultRoles(ctx)
	if err != nil {
		return Auth{}, err
	}
	var id string
	n := newcomer{profile: profile, roles: roles, before: func(ctx context.Context, tx *pg.Tx, id string) error {
		_, err := tx.Exec(ctx, insertCustom, id, claims.Subject, s.now())
		return err
	}}
	auth, err := s.admitOnce(ctx, n, "custom token "+claims.Subject, func(ctx context.Context, q pg.Querier) error {
		return q.Get(ctx, &id, selectCustom, claims.Subject)
	})
	if err != nil || id == "" {
		return auth, err
	}
	if err := s.mergeProfile(ctx, id, profile); err != nil {
		return Auth{}, err
	}
	return s.letInByID(ctx, id)
}

func (s *Service) customToken(text string) (*customClaims, []records.Field, error) {
	if s.c.CustomTokenSecret == "" {
		return nil, nil, fault.New(fault.NotConfigured, "users.no_custom_tokens", "custom tokens need the setting CUSTOM_TOKEN_SECRET")
	}
	claims := &customClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256", "HS384", "HS512"}), jwt.WithTimeFunc(s.c.Now))
	_, err := parser.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return []byte(s.c.CustomTokenSecret), nil })
	switch {
	case err != nil: // its text may hold parts of the token
		return nil, nil, fault.New(fault.BadRequest, "users.bad_custom_token", "the token is no JWT that verifies with CUSTOM_TOKEN_SECRET, or it has expired")
	case claims.Subject == "" || claims.IssuedAt == nil || claims.ExpiresAt == nil:
		return nil, nil, fault.New(fault.CredentialsRefused, "users.custom_claims", "the token must have the claims sub, iat and exp")
	case claims.IssuedAt.After(s.now().Add(skew)):
		return nil, nil, fault.New(fault.BadRequest, "users.bad_custom_token", "the token was issued in the future")
	case len(claims.Profile) == 0 || string(claims.Profile) == "null":
		return claims, nil, nil
	}
	profile, err := records.DecodeFields(claims.Profile)
	return claims, profile, err
}

// skew is how far the clock of the app's back end may be ahead.
const skew = time.Minute

// mergeProfile writes fields into a user record as the user.
func (s *Service) mergeProfile(ctx context.Context, id string, profile []records.Field) error {
	if len(profile) == 0 {
		return nil
	}
	a, err := s.byID(ctx, id)
	if err != nil {
		return err
	}
	if a.standing.disabledAt(s.now()) {
		return a.standing.disabledFault()
	}
	_, err = s.c.Records.SaveTogether(acl.WithActor(ctx, acl.Actor{UserID: id, Roles: a.roles}), records.Together{
		Record: &records.Record{Type: "user", Key: id, Fields: profile}, MayMigrate: acl.FromContext(ctx).Master(),
	})
	return err
}
