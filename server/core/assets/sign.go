package assets

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"crema/server/base/fault"
)

// Lifetime is how long a signed URL works.
const Lifetime = 15 * time.Minute

// url is where the asset is read. Functions make the same URLs with the same secret.
func (s *Service) url(name string) string {
	u := s.c.URLPrefix() + "/" + (&url.URL{Path: name}).EscapedPath()
	if s.c.Public {
		return u
	}
	expires := s.c.Now().Add(Lifetime).Unix()
	return u + "?expiredAt=" + strconv.FormatInt(expires, 10) + "&signature=" + base64.URLEncoding.EncodeToString(s.sign(name, expires))
}

// sign is what the runtimes of Skygear's functions compute. Wire: skygear §2.9.
func (s *Service) sign(name string, expires int64) []byte {
	mac := hmac.New(sha256.New, []byte(s.c.Secret))
	mac.Write(strconv.AppendInt([]byte(name), expires, 10))
	return mac.Sum(nil)
}

// Proof is what a URL says for itself.
type Proof struct {
	ExpiredAt string // seconds since 1970
	Signature string // base64 of either alphabet, with or without padding
}

// check returns when the URL of the asset expires. Reasons: assets.bad_expiry, assets.expired,
// assets.unreadable_signature, assets.bad_signature. Wire: skygear §2.9.
func (s *Service) check(name string, p Proof) (time.Time, error) {
	seconds, err := strconv.ParseInt(p.ExpiredAt, 10, 64)
	if err != nil {
		return time.Time{}, fault.Argument("assets.bad_expiry", "expiredAt", "expiredAt must be a whole number of seconds")
	}
	until := time.Unix(seconds, 0)
	if s.c.Now().After(until) {
		return until, fault.New(fault.Denied, "assets.expired", "the URL has expired; fetch the record again to get a new one")
	}
	signature, err := base64.RawURLEncoding.DecodeString(alphabet.Replace(strings.TrimRight(p.Signature, "=")))
	switch {
	case err != nil:
		return until, fault.New(fault.Denied, "assets.unreadable_signature", "the signature is not base64")
	case !hmac.Equal(signature, s.sign(name, seconds)):
		return until, fault.New(fault.SignatureRefused, "assets.bad_signature", "the signature does not belong to this file and time")
	}
	return until, nil
}

// alphabet turns standard base64 into that of URLs. A "+" that nobody escaped has become a blank.
var alphabet = strings.NewReplacer("+", "-", " ", "-", "/", "_")
