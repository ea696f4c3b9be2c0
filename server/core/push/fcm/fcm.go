// Package fcm sends messages to Android devices through Firebase Cloud Messaging, HTTP v1.
//
// Way in: New. Payloads of the two interfaces before it, which old apps send, are translated. No
// credential is in an error.
package fcm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"crema/server/base/fault"
	"crema/server/core/push"
)

// Config is what a Sender needs.
type Config struct {
	ServiceAccount []byte // the JSON file of a service account from Google
	URL            string // "" is Google's
	Transport      http.RoundTripper
}

// Sender implements push.Sender. It is safe for concurrent use.
type Sender struct {
	url    string
	client *http.Client
	tokens oauth2.TokenSource
}

// scope is the right to send, and no other.
const scope = "https://www.googleapis.com/auth/firebase.messaging"

// timeout bounds one request; the answer is a line.
const (
	timeout   = 30 * time.Second
	maxAnswer = 64 << 10
)

// New returns a Sender. It fails with fcm.bad_account.
func New(c Config) (*Sender, error) {
	var a struct {
		Type     string `json:"type"`
		Project  string `json:"project_id"`
		Email    string `json:"client_email"`
		Key      string `json:"private_key"`
		KeyID    string `json:"private_key_id"`
		TokenURL string `json:"token_uri"`
	}
	if json.Unmarshal(c.ServiceAccount, &a) != nil || a.Type != "service_account" || a.Project == "" || a.Email == "" || a.Key == "" || a.TokenURL == "" {
		return nil, fault.New(fault.NotConfigured, "fcm.bad_account", "FCM_SERVICE_ACCOUNT_KEY must be the JSON of a service account from Google, with project_id, client_email, private_key and token_uri")
	}
	if c.URL == "" {
		c.URL = "https://fcm.googleapis.com"
	}
	client := &http.Client{Transport: c.Transport, Timeout: timeout}
	account := &jwt.Config{Email: a.Email, PrivateKey: []byte(a.Key), PrivateKeyID: a.KeyID, Scopes: []string{scope}, TokenURL: a.TokenURL}
	return &Sender{
		url: c.URL + "/v1/projects/" + url.PathEscape(a.Project) + "/messages:send", client: client,
		tokens: account.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, client)),
	}, nil
}

// Send implements push.Sender.
func (s *Sender) Send(ctx context.Context, m push.Message) error {
	body, err := translate(m.Token, m.Payload)
	if err != nil {
		return &push.SendError{Verdict: push.Refused, Reason: err.Error()}
	}
	access, err := s.access(ctx)
	if err != nil {
		return notLetIn(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return fault.From(err)
	}
	req.Header.Set("Content-Type", "application/json")
	access.SetAuthHeader(req)
	res, err := s.client.Do(req)
	if err != nil {
		return fault.Wrap(err, fault.Unavailable, "fcm.unreachable", "Google's push service cannot be reached")
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	switch {
	case res.StatusCode == http.StatusOK:
		return nil
	case err != nil:
		return fault.Wrap(err, fault.Unavailable, "fcm.unreachable", "Google's push service cannot be reached")
	}
	return verdict(res, answer)
}

// access returns an access token. The library knows no ctx, so the log-in may go on for a while after its
// end; what it brings is kept for the next message.
func (s *Sender) access(ctx context.Context) (*oauth2.Token, error) {
	type answer struct {
		token *oauth2.Token
		err   error
	}
	got := make(chan answer, 1)
	go func() {
		token, err := s.tokens.Token()
		got <- answer{token, err}
	}()
	select {
	case a := <-got:
		return a.token, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// notLetIn says that Google gave no access token, without what it answered.
func notLetIn(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fault.From(err)
	}
	var r *oauth2.RetrieveError
	if errors.As(err, &r) {
		return fault.New(fault.NotConfigured, "fcm.not_let_in", "Google does not accept the service account of FCM_SERVICE_ACCOUNT_KEY: status %d", r.Response.StatusCode)
	}
	if strings.Contains(err.Error(), "cannot fetch token") {
		return fault.Wrap(err, fault.Unavailable, "fcm.unreachable", "Google's log-in cannot be reached")
	}
	return fault.New(fault.NotConfigured, "fcm.bad_key", "the private_key of FCM_SERVICE_ACCOUNT_KEY cannot be used")
}

// refusal is Google's error, as far as it is read.
type refusal struct {
	Error struct {
		Status  string
		Message string
		Details []struct {
			ErrorCode       string
			FieldViolations []struct{ Field string }
		}
	}
}

// Times to wait where Google names none, by its own advice.
const (
	whenBusy = time.Minute
	whenDown = 10 * time.Second
)

func verdict(res *http.Response, answer []byte) error {
	var r refusal
	_ = json.Unmarshal(answer, &r) // what cannot be read leaves the status
	e := &push.SendError{Verdict: push.Refused, Reason: strings.TrimSpace(strconv.Itoa(res.StatusCode) + " " + r.Error.Status)}
	for _, d := range r.Error.Details {
		if d.ErrorCode == "UNREGISTERED" {
			e.Verdict = push.Gone
		}
		if d.ErrorCode != "" {
			e.Reason += " " + d.ErrorCode
		}
		for _, v := range d.FieldViolations {
			e.Reason += " " + v.Field
			if v.Field == "message.token" && res.StatusCode == http.StatusBadRequest {
				e.Verdict = push.Gone
			}
		}
	}
	switch code := res.StatusCode; {
	case e.Verdict == push.Gone:
	case code == http.StatusTooManyRequests:
		e.Verdict, e.Wait = push.Later, waitOf(res, whenBusy)
	case code >= 500:
		e.Verdict, e.Wait = push.Later, waitOf(res, whenDown)
	case code == http.StatusUnauthorized: // the access token may have been withdrawn
		e.Verdict = push.Later
	}
	return e
}

// waitOf reads Retry-After, which is a number of seconds or a date.
func waitOf(res *http.Response, otherwise time.Duration) time.Duration {
	after := res.Header.Get("Retry-After")
	if n, err := strconv.Atoi(after); err == nil && n >= 0 && n < 1<<20 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(after); err == nil {
		return max(0, time.Until(t))
	}
	return otherwise
}
