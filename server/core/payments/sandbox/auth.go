package sandbox

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"

	"crema/server/core/payments/sandbox/wire"
)

// authenticate says whether the caller has the secret key; the publishable key is the other success.
func (s *Sandbox) authenticate(q *request) (secret bool, err error) {
	key := q.credential()
	switch {
	case key == "":
		return false, refuse("You did not provide an API key. Send it in the Authorization header, as Bearer YOUR_SECRET_KEY.")
	case strings.Contains(key, "_live_"):
		return false, refuse("Invalid API Key provided: %s. This is a live key and this is a sandbox. Keep live keys away from it; if the key was sent by mistake, roll it.", mask(key))
	case s.isSecret(key) && q.browser:
		return false, refuse("A secret key was sent from a page. Use the publishable key there, %s; everybody can read what a page sends.", mask(s.c.PublishableKey))
	case s.isSecret(key):
		return true, nil
	case equal(key, s.c.PublishableKey):
		return false, nil
	}
	return false, refuse("Invalid API Key provided: %s. This is the offline sandbox: use its own key, %s, which crema keys prints.", mask(key), mask(s.c.SecretKey))
}

// isSecret takes the secret key and its restricted twin, rk_test_ with the same ending.
func (s *Sandbox) isSecret(key string) bool {
	return equal(key, s.c.SecretKey) || equal(key, "rk_test_"+strings.TrimPrefix(s.c.SecretKey, "sk_test_"))
}

// credential finds the key: Bearer, the user of Basic, or the form's key=.
func (q *request) credential() string {
	scheme, value, _ := strings.Cut(q.r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return strings.TrimSpace(value)
	case strings.EqualFold(scheme, "Basic"):
		plain, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value))
		if err != nil {
			return "malformed"
		}
		user, _, _ := strings.Cut(string(plain), ":")
		return user
	}
	if v := q.form["key"]; v != nil && strings.HasPrefix(v.Text, "pk_") {
		return v.Text
	}
	return ""
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func refuse(format string, args ...any) *wire.Error {
	e := wire.Invalid("", format, args...)
	e.Status = http.StatusUnauthorized
	return e
}

// mask shows the kind of a key and its last four characters.
func mask(key string) string {
	if len(key) < 13 {
		return "****"
	}
	prefix := ""
	if strings.HasPrefix(key[2:], "_test_") || strings.HasPrefix(key[2:], "_live_") {
		prefix = key[:8]
	}
	return prefix + "****" + key[len(key)-4:]
}
