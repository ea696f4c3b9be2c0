// Package apns sends messages to Apple's devices: the HTTP/2 interface of the Apple Push Notification
// service, with a signing key of the developer's team or with a certificate.
//
// Way in: New. No credential is in an error.
package apns

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"sync/atomic"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"

	"crema/server/base/fault"
	"crema/server/core/push"
)

// Config is what a Sender needs: a key with its two ids, or a certificate with its key.
type Config struct {
	KeyID, TeamID  string
	Key            []byte // .p8
	Certificate    []byte // PEM, instead of Key
	CertificateKey []byte // PEM
	Topic          string // of messages to devices that registered without one
	Production     bool   // else Apple's sandbox
	URL            string // "" is Apple's
	Transport      http.RoundTripper
}

// Sender implements push.Sender. It is safe for concurrent use.
type Sender struct {
	client *apns2.Client
	topic  string
	proven atomic.Bool // Apple has taken a message: the environment is the right one
}

// New returns a Sender. It fails with apns.bad_key or apns.bad_certificate.
func New(c Config) (*Sender, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	client.Development()
	if c.Production {
		client.Production()
	}
	if c.URL != "" {
		client.Host = c.URL
	}
	if c.Transport != nil {
		client.HTTPClient.Transport = c.Transport
	}
	return &Sender{client: client, topic: c.Topic}, nil
}

func (c Config) client() (*apns2.Client, error) {
	if len(c.Certificate) > 0 {
		pair, err := tls.X509KeyPair(c.Certificate, c.CertificateKey)
		if err != nil {
			return nil, fault.New(fault.NotConfigured, "apns.bad_certificate", "APNS_CERTIFICATE and APNS_PRIVATE_KEY are not a certificate and its key in PEM form")
		}
		return apns2.NewClient(pair), nil
	}
	key, err := token.AuthKeyFromBytes(c.Key)
	if err != nil || c.KeyID == "" || c.TeamID == "" {
		return nil, fault.New(fault.NotConfigured, "apns.bad_key", "APNS_TOKEN_KEY must be the text of the .p8 file from Apple, with its APNS_KEY_ID and the APNS_TEAM_ID")
	}
	return apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: c.KeyID, TeamID: c.TeamID}), nil
}

// deviceToken is what Apple gives out; the address of a message holds it.
var deviceToken = regexp.MustCompile(`^[0-9a-fA-F]{1,200}$`)

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message) error {
	if !deviceToken.MatchString(m.Token) {
		return &push.SendError{Verdict: push.Gone, Reason: "the device token is not hexadecimal"}
	}
	n := &apns2.Notification{DeviceToken: m.Token, Topic: m.Topic, Payload: []byte(m.Payload)}
	if n.Topic == "" {
		n.Topic = s.topic
	}
	n.PushType, n.Priority = apns2.PushTypeAlert, apns2.PriorityHigh
	if isSilent(m.Payload) {
		n.PushType, n.Priority = apns2.PushTypeBackground, apns2.PriorityLow
	}
	r, err := s.client.PushWithContext(ctx, n)
	if err != nil {
		return withoutAddress(err)
	}
	if r.Sent() {
		s.proven.Store(true)
		return nil
	}
	return s.verdict(r)
}

// isSilent says whether a payload only wakes the app up. Apple wants to be told.
func isSilent(payload json.RawMessage) bool {
	var p struct {
		APS map[string]json.RawMessage `json:"aps"`
	}
	if json.Unmarshal(payload, &p) != nil {
		return false
	}
	for _, name := range []string{"alert", "badge", "sound"} {
		if _, ok := p.APS[name]; ok {
			return false
		}
	}
	_, wakes := p.APS["content-available"]
	return wakes
}

// withoutAddress takes the address, which holds the device's token, out of an error.
func withoutAddress(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fault.Wrap(err, fault.Unavailable, "apns.unreachable", "Apple's push service cannot be reached")
}

// Times to wait where Apple names none.
const (
	whenBusy = time.Minute
	whenDown = 15 * time.Second // Apple's own advice
)

// verdict reads a refusal. Apple calls a token bad also when it belongs to the other environment; only
// once this one has taken a message is that the token's fault, so that a wrong setting removes no device.
func (s *Sender) verdict(r *apns2.Response) error {
	e := &push.SendError{Verdict: push.Refused, Reason: r.Reason}
	switch {
	case r.Reason == apns2.ReasonUnregistered || r.Reason == apns2.ReasonExpiredToken || r.StatusCode == http.StatusGone:
		e.Verdict, e.Since = push.Gone, r.Timestamp.Time
	case r.Reason == apns2.ReasonBadDeviceToken && s.proven.Load():
		e.Verdict = push.Gone
	case r.Reason == apns2.ReasonBadDeviceToken:
		e.Reason += "; is APNS_ENV right?"
	case r.StatusCode == http.StatusTooManyRequests:
		e.Verdict, e.Wait = push.Later, whenBusy
	case r.StatusCode >= 500 || r.StatusCode == 0:
		e.Verdict, e.Wait = push.Later, whenDown
	case r.StatusCode == http.StatusForbidden: // the key or the certificate, which somebody may be mending
		e.Verdict = push.Later
	}
	return e
}
