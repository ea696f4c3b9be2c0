package skygear

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"crema/server/base/fault"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/core/users"
	"crema/server/web"
)

func (d *Door) authActions() map[string]action {
	return map[string]action{
		"auth:signup":         {keyed, d.signUp},
		"auth:login":          {keyed, d.logIn},
		"auth:logout":         {tokened, d.logOut},
		"auth:password":       {renewing, d.changePassword},
		"auth:reset_password": {masterKeyed, d.resetPassword},
		"auth:disable:set":    {admin, d.disable},
		"me":                  {whole, d.me},

		"sso:oauth:login":        {masterKeyed, d.oauthLogIn},
		"sso:oauth:signup":       {masterKeyed, d.oauthSignUp},
		"sso:oauth:link":         {masterKeyed, d.oauthLink},
		"sso:oauth:unlink":       {masterKeyed, d.oauthUnlink},
		"sso:custom_token:login": {keyed, d.customTokenLogIn},
	}
}

func (d *Door) signUp(ctx context.Context, w http.ResponseWriter, c call) error {
	credentials, err := credentialsOf(c.params)
	if err != nil {
		return err
	}
	profile, err := fields(c.params, "profile")
	if err != nil {
		return err
	}
	return answerAuth(w, func() (users.Auth, error) { return d.c.Users.SignUp(ctx, credentials, profile) })
}

func (d *Door) logIn(ctx context.Context, w http.ResponseWriter, c call) error {
	credentials, err := credentialsOf(c.params)
	if err != nil {
		return err
	}
	return answerAuth(w, func() (users.Auth, error) { return d.c.Users.LogIn(ctx, credentials) })
}

func credentialsOf(p records.Params) (c users.Credentials, err error) {
	if c.AuthData, err = fields(p, "auth_data"); err != nil {
		return c, err
	}
	if c.ProviderData = notNull(p["provider_auth_data"]); c.ProviderData != nil && c.ProviderData[0] != '{' {
		return c, wrongType("provider_auth_data", "an object")
	}
	return c, optionalTexts(p, map[string]*string{"password": &c.Password, "provider": &c.Provider})
}

func (d *Door) logOut(ctx context.Context, w http.ResponseWriter, c call) error {
	if err := d.c.Users.LogOut(ctx, c.credentials.Token); err != nil {
		return err
	}
	return status(ctx, w, c)
}

func (d *Door) changePassword(ctx context.Context, w http.ResponseWriter, c call) error {
	var old, password string
	if err := optionalTexts(c.params, map[string]*string{"old_password": &old, "password": &password}); err != nil {
		return err
	}
	return answerAuth(w, func() (users.Auth, error) { return d.c.Users.ChangePassword(ctx, old, password) })
}

func (d *Door) resetPassword(ctx context.Context, w http.ResponseWriter, c call) error {
	var id, password string
	if err := optionalTexts(c.params, map[string]*string{"auth_id": &id, "password": &password}); err != nil {
		return err
	}
	return answerAuth(w, func() (users.Auth, error) { return d.c.Users.ResetPassword(ctx, id, password) })
}

func (d *Door) me(ctx context.Context, w http.ResponseWriter, c call) error {
	return answerAuth(w, func() (users.Auth, error) { return d.c.Users.Me(ctx, c.credentials.Token) })
}

// disable takes a missing "disabled" for false. Wire: skygear B3.
func (d *Door) disable(ctx context.Context, w http.ResponseWriter, c call) error {
	var id, message, until string
	if err := optionalTexts(c.params, map[string]*string{"auth_id": &id, "message": &message, "expiry": &until}); err != nil {
		return err
	}
	var disabled bool
	if raw := c.params["disabled"]; raw != nil && json.Unmarshal(raw, &disabled) != nil {
		return wrongType("disabled", "true or false")
	}
	var expiry *time.Time
	if disabled && until != "" {
		t, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return fault.Argument("skygear.bad_expiry", "expiry", "expiry must be a moment such as 2024-06-01T00:00:00Z")
		}
		expiry = &t
	}
	if err := d.c.Users.Disable(ctx, id, disabled, message, expiry); err != nil {
		return err
	}
	return status(ctx, w, c)
}

func principalOf(p records.Params) (users.Principal, error) {
	o := users.Principal{Token: notNull(p["token_response"]), Profile: notNull(p["provider_profile"])}
	return o, optionalTexts(p, map[string]*string{"provider": &o.Provider, "principal_id": &o.ID})
}

func (d *Door) oauthLogIn(ctx context.Context, w http.ResponseWriter, c call) error {
	p, err := principalOf(c.params)
	if err != nil {
		return err
	}
	return answerAuth(w, func() (users.Auth, error) { return d.c.Users.OAuthLogIn(ctx, p) })
}

func (d *Door) oauthSignUp(ctx context.Context, w http.ResponseWriter, c call) error {
	p, err := principalOf(c.params)
	if err != nil {
		return err
	}
	profile, err := fields(c.params, "profile")
	if err != nil {
		return err
	}
	return answerAuth(w, func() (users.Auth, error) { return d.c.Users.OAuthSignUp(ctx, p, profile) })
}

func (d *Door) oauthLink(ctx context.Context, w http.ResponseWriter, c call) error {
	p, err := principalOf(c.params)
	if err != nil {
		return err
	}
	var user string
	if err := optionalTexts(c.params, map[string]*string{"user_id": &user}); err != nil {
		return err
	}
	return answerOK(w, d.c.Users.OAuthLink(ctx, p, user))
}

func (d *Door) oauthUnlink(ctx context.Context, w http.ResponseWriter, c call) error {
	var provider, user string
	if err := optionalTexts(c.params, map[string]*string{"provider": &provider, "user_id": &user}); err != nil {
		return err
	}
	return answerOK(w, d.c.Users.OAuthUnlink(ctx, provider, user))
}

func (d *Door) customTokenLogIn(ctx context.Context, w http.ResponseWriter, c call) error {
	var token string
	if err := optionalTexts(c.params, map[string]*string{"token": &token}); err != nil {
		return err
	}
	return answerAuth(w, func() (users.Auth, error) { return d.c.Users.CustomTokenLogIn(ctx, token) })
}

// answerAuth sends what do returns as an AuthResponse. Wire: skygear §2.2.
func answerAuth(w http.ResponseWriter, do func() (users.Auth, error)) error {
	a, err := do()
	if err != nil {
		return err
	}
	b := append(make([]byte, 0, 512), `{"result":{"user_id":`...)
	b = acl.AppendString(b, a.UserID)
	b = append(b, `,"profile":`...)
	b = records.AppendJSON(b, a.Profile)
	for i, r := range a.Roles {
		if i == 0 {
			b = append(b, `,"roles":[`...)
		} else {
			b = append(b, ',')
		}
		b = acl.AppendString(b, r)
		if i == len(a.Roles)-1 {
			b = append(b, ']')
		}
	}
	b = append(b, `,"access_token":`...)
	b = acl.AppendString(b, a.Token)
	b = appendMoment(b, `,"last_login_at":"`, a.LastLoginAt)
	b = appendMoment(b, `,"last_seen_at":"`, a.LastSeenAt)
	w.Header().Set("Cache-Control", "no-store")
	web.WriteRaw(w, http.StatusOK, append(b, "}}\n"...))
	return nil
}

func appendMoment(b []byte, key string, t *time.Time) []byte {
	if t == nil {
		return b
	}
	b = t.UTC().AppendFormat(append(b, key...), time.RFC3339Nano)
	return append(b, '"')
}

func answerOK(w http.ResponseWriter, err error) error {
	if err == nil {
		web.WriteRaw(w, http.StatusOK, []byte("{\"result\":\"OK\"}\n"))
	}
	return err
}

// optionalTexts reads parameters that are strings; missing and null ones stay empty.
func optionalTexts(p records.Params, into map[string]*string) error {
	for name, to := range into {
		if raw := notNull(p[name]); raw != nil && json.Unmarshal(raw, to) != nil {
			return wrongType(name, "a text")
		}
	}
	return nil
}

// fields reads a parameter that is an object of fields, as records have them.
func fields(p records.Params, name string) ([]records.Field, error) {
	raw := notNull(p[name])
	switch {
	case raw == nil:
		return nil, nil
	case raw[0] != '{':
		return nil, wrongType(name, "an object")
	}
	return records.DecodeFields(raw)
}

func wrongType(name, want string) error {
	return fault.New(fault.BadRequest, "skygear.wrong_type", "%s must be %s", name, want)
}

// notNull returns the JSON without space around it, nil for null and for nothing.
func notNull(raw json.RawMessage) json.RawMessage {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] == 'n' {
		return nil
	}
	return raw
}
