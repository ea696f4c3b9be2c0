package apns_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/push"
	"crema/server/core/push/apns"
)

const (
	keyID  = "ABC123DEFG"
	teamID = "TEAM000001"
	device = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"
)

// apple is a double of the Apple Push Notification service, by its published contract.
type apple struct {
	*httptest.Server
	key *ecdsa.PrivateKey

	mu       sync.Mutex
	requests []request
	refusals []refusal // for the next messages, in this order
}

type request struct{ Path, Topic, Type, Priority, Payload string }

type refusal struct {
	status int
	body   string
}

func newApple(t *testing.T) *apple {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &apple{key: key}
	a.Server = httptest.NewUnstartedServer(a)
	a.EnableHTTP2 = true
	a.StartTLS()
	t.Cleanup(a.Close)
	return a
}

func (a *apple) p8(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (a *apple) sender(t *testing.T) *apns.Sender {
	t.Helper()
	s, err := apns.New(apns.Config{KeyID: keyID, TeamID: teamID, Key: a.p8(t), Topic: "shop.default", URL: a.URL, Transport: a.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ServeHTTP takes a message, or refuses it.
func (a *apple) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	payload, _ := io.ReadAll(r.Body)
	got := request{r.URL.Path, r.Header.Get("Apns-Topic"), r.Header.Get("Apns-Push-Type"), r.Header.Get("Apns-Priority"), string(payload)}
	a.requests = append(a.requests, got)
	switch {
	case r.ProtoMajor != 2:
		answer(w, 505, "not HTTP/2")
	case r.Method != http.MethodPost:
		answer(w, 405, "MethodNotAllowed")
	case !a.isSigned(r.Header.Get("Authorization")):
		answer(w, 403, "InvalidProviderToken")
	case got.Topic == "":
		answer(w, 400, "MissingTopic")
	case got.Type == "background" && got.Priority != "5":
		answer(w, 400, "BadPriority")
	case len(payload) > 4096:
		answer(w, 413, "PayloadTooLarge")
	case len(a.refusals) > 0:
		no := a.refusals[0]
		a.refusals = a.refusals[1:]
		w.WriteHeader(no.status)
		_, _ = io.WriteString(w, no.body)
	}
}

func answer(w http.ResponseWriter, status int, reason string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"reason":%q}`, reason)
}

// isSigned checks the provider token: ES256 over the key's and the team's ids.
func (a *apple) isSigned(header string) bool {
	token, ok := strings.CutPrefix(header, "bearer ")
	parts := strings.Split(token, ".")
	if !ok || len(parts) != 3 {
		return false
	}
	var head struct{ Alg, Kid string }
	var claims struct {
		Iss string
		Iat int64
	}
	for i, into := range []any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil || json.Unmarshal(raw, into) != nil {
			return false
		}
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return false
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return head.Alg == "ES256" && head.Kid == keyID && claims.Iss == teamID &&
		time.Since(time.Unix(claims.Iat, 0)) < time.Hour && ecdsa.Verify(&a.key.PublicKey, sum[:], r, s)
}

func TestSend_SpeaksTheContract(t *testing.T) {
	t.Parallel()
	a := newApple(t)
	s := a.sender(t)
	for name, c := range map[string]struct {
		topic, payload string
		want           request
	}{
		"an alert": {"shop.app", `{"aps":{"alert":{"body":"B"}},"x":[1]}`, request{Topic: "shop.app", Type: "alert", Priority: "10"}},
		"a badge":  {"", `{"aps":{"badge":0,"content-available":1}}`, request{Topic: "shop.default", Type: "alert", Priority: "10"}},
		"silent":   {"", `{"aps":{"content-available":1}}`, request{Topic: "shop.default", Type: "background", Priority: "5"}},
		"no aps":   {"", `{"hello":"there"}`, request{Topic: "shop.default", Type: "alert", Priority: "10"}},
	} {
		if err := s.Send(t.Context(), push.Message{Token: device, Topic: c.topic, Payload: json.RawMessage(c.payload)}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.want.Path, c.want.Payload = "/3/device/"+device, c.payload
		if diff := cmp.Diff(c.want, a.requests[len(a.requests)-1]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSend_Refusals(t *testing.T) {
	t.Parallel()
	since := time.Unix(1700000000, 0)
	for name, c := range map[string]struct {
		refusal refusal
		want    push.SendError
	}{
		"unregistered":      {refusal{410, `{"reason":"Unregistered","timestamp":1700000000000}`}, push.SendError{Verdict: push.Gone, Since: since, Reason: "Unregistered"}},
		"expired":           {refusal{410, `{"reason":"ExpiredToken","timestamp":1700000000000}`}, push.SendError{Verdict: push.Gone, Since: since, Reason: "ExpiredToken"}},
		"a bad token first": {refusal{400, `{"reason":"BadDeviceToken"}`}, push.SendError{Verdict: push.Refused, Reason: "BadDeviceToken; is APNS_ENV right?"}},
		"another topic":     {refusal{400, `{"reason":"DeviceTokenNotForTopic"}`}, push.SendError{Verdict: push.Refused, Reason: "DeviceTokenNotForTopic"}},
		"too large":         {refusal{413, `{"reason":"PayloadTooLarge"}`}, push.SendError{Verdict: push.Refused, Reason: "PayloadTooLarge"}},
		"too many":          {refusal{429, `{"reason":"TooManyRequests"}`}, push.SendError{Verdict: push.Later, Wait: time.Minute, Reason: "TooManyRequests"}},
		"down":              {refusal{503, `{"reason":"Shutdown"}`}, push.SendError{Verdict: push.Later, Wait: 15 * time.Second, Reason: "Shutdown"}},
		"an old signature":  {refusal{403, `{"reason":"ExpiredProviderToken"}`}, push.SendError{Verdict: push.Later, Reason: "ExpiredProviderToken"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApple(t)
			a.refusals = []refusal{c.refusal}
			err := a.sender(t).Send(t.Context(), push.Message{Token: device, Payload: json.RawMessage(`{"aps":{}}`)})
			var got *push.SendError
			if !errors.As(err, &got) {
				t.Fatalf("got %v", err)
			}
			if diff := cmp.Diff(c.want, *got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Only after Apple has taken a message is a bad token the fault of the token and not of the settings.
func TestSend_ABadTokenIsGoneOnceTheSettingsAreProven(t *testing.T) {
	t.Parallel()
	a := newApple(t)
	s := a.sender(t)
	m := push.Message{Token: device, Payload: json.RawMessage(`{"aps":{}}`)}
	if err := s.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	a.refusals = []refusal{{400, `{"reason":"BadDeviceToken"}`}}
	var got *push.SendError
	if err := s.Send(t.Context(), m); !errors.As(err, &got) || got.Verdict != push.Gone {
		t.Errorf("got %v", err)
	}
	for _, token := range []string{"", "../../etc", "xyz", device + "?x=1"} {
		m.Token = token
		if err := s.Send(t.Context(), m); !errors.As(err, &got) || got.Verdict != push.Gone {
			t.Errorf("%s: %v", token, err)
		}
	}
	if len(a.requests) != 2 {
		t.Errorf("%d requests", len(a.requests))
	}
}

func TestSend_TellsNoSecrets(t *testing.T) {
	t.Parallel()
	a := newApple(t)
	s := a.sender(t)
	a.Close()
	err := s.Send(t.Context(), push.Message{Token: device, Payload: json.RawMessage(`{}`)})
	if !fault.Is(err, "apns.unreachable") || strings.Contains(err.Error(), device) {
		t.Errorf("got %v", err)
	}
}

func TestNew_RefusesWhatIsNoKey(t *testing.T) {
	t.Parallel()
	a := newApple(t)
	for _, c := range []apns.Config{{}, {Key: a.p8(t)}, {Key: []byte("secret"), KeyID: keyID, TeamID: teamID}} {
		if _, err := apns.New(c); !fault.Is(err, "apns.bad_key") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := apns.New(apns.Config{Certificate: []byte("secret")}); !fault.Is(err, "apns.bad_certificate") {
		t.Errorf("got %v", err)
	}
}
