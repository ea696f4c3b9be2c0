package fcm_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/core/push"
	"crema/server/core/push/fcm"
)

const (
	project = "shop-1"
	email   = "crema@shop-1.iam.example"
	access  = "ya29.access"
)

// google is a double of Google's log-in and of FCM, by their published contracts.
type google struct {
	*httptest.Server
	t   *testing.T
	key *rsa.PrivateKey

	mu       sync.Mutex
	logins   int
	messages []json.RawMessage
	answer   func(w http.ResponseWriter) // nil: taken
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &google{t: t, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", g.token)
	mux.HandleFunc("POST /v1/projects/"+project+"/messages:send", g.send)
	g.Server = httptest.NewTLSServer(mux)
	t.Cleanup(g.Close)
	return g
}

func (g *google) account(change ...string) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(g.key)
	if err != nil {
		g.t.Fatal(err)
	}
	a := map[string]string{
		"type": "service_account", "project_id": project, "client_email": email, "private_key_id": "k1", "token_uri": g.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	}
	for i := 0; i < len(change); i += 2 {
		a[change[i]] = change[i+1]
	}
	b, err := json.Marshal(a)
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

func (g *google) sender(account []byte) *fcm.Sender {
	g.t.Helper()
	s, err := fcm.New(fcm.Config{ServiceAccount: account, URL: g.URL, Transport: g.Client().Transport})
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// token gives an access token for a signed assertion.
func (g *google) token(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.PostFormValue("assertion"), ".")
	if r.PostFormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(parts) != 3 {
		http.Error(w, `{"error":"invalid_request"}`, http.StatusBadRequest)
		return
	}
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct{ Iss, Scope, Aud string }
	if rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], signature) != nil || json.Unmarshal(claims, &c) != nil ||
		c.Iss != email || c.Aud != g.URL+"/token" || c.Scope != "https://www.googleapis.com/auth/firebase.messaging" {
		http.Error(w, `{"error":"invalid_grant","secret":"never show this"}`, http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	g.logins++
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3599}`, access)
}

func (g *google) send(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Authorization") != "Bearer "+access || r.Header.Get("Content-Type") != "application/json" {
		refuse(w, 401, "UNAUTHENTICATED", "")
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.messages = append(g.messages, body)
	if g.answer != nil {
		g.answer(w)
		return
	}
	_, _ = io.WriteString(w, `{"name":"projects/shop-1/messages/0:1"}`)
}

// refuse answers as FCM does.
func refuse(w http.ResponseWriter, status int, name, detail string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"error":{"code":%d,"message":"no","status":%q,"details":[%s]}}`, status, name, detail)
}

func fcmError(code string) string {
	return `{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"` + code + `"}`
}

func TestSend_Translates(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	s := g.sender(g.account())
	for name, c := range map[string]struct{ payload, want string }{
		"the first interface": {
			`{"to":"x","collapse_key":"c","priority":"high","time_to_live":3600,"delay_while_idle":true,"data":{"n":1,"s":"t","o":{"a":[]}},
			  "notification":{"title":"T","body":"B","icon":"i","sound":"default","tag":"g","color":"#fff","click_action":"A","body_loc_key":"k","body_loc_args":"[\"1\"]","android_channel_id":"ch"}}`,
			`{"message":{"token":"tok","data":{"n":"1","s":"t","o":"{\"a\":[]}"},"notification":{"title":"T","body":"B"},
			  "android":{"collapse_key":"c","priority":"high","ttl":"3600s","notification":{"icon":"i","sound":"default","tag":"g","color":"#fff","click_action":"A","body_loc_key":"k","body_loc_args":["1"],"channel_id":"ch"}}}}`,
		},
		"HTTP v1":            {`{"notification":{"title":"T"},"android":{"ttl":"1s"},"data":{"n":1},"topic":"all"}`, `{"message":{"token":"tok","notification":{"title":"T"},"android":{"ttl":"1s"},"data":{"n":"1"}}}`},
		"HTTP v1 as a whole": {`{"message":{"token":"another","data":{"a":"b"}},"validate_only":true}`, `{"message":{"token":"tok","data":{"a":"b"}},"validate_only":true}`},
		"a dry run":          {`{"dry_run":true,"data":null}`, `{"message":{"token":"tok"},"validate_only":true}`},
		"nothing":            {`{}`, `{"message":{"token":"tok"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Send(t.Context(), push.Message{Token: "tok", Payload: json.RawMessage(c.payload)}); err != nil {
				t.Fatal(err)
			}
			g.mu.Lock()
			defer g.mu.Unlock()
			var got, want any
			if err := errors.Join(json.Unmarshal(g.messages[len(g.messages)-1], &got), json.Unmarshal([]byte(c.want), &want)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if g.logins != 1 {
		t.Errorf("logged in %d times", g.logins)
	}
}

func TestSend_Refusals(t *testing.T) {
	t.Parallel()
	badToken := `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.token","description":"no"}]},` + fcmError("INVALID_ARGUMENT")
	badData := `{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"message.data","description":"no"}]},` + fcmError("INVALID_ARGUMENT")
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   push.SendError
	}{
		"unregistered":    {func(w http.ResponseWriter) { refuse(w, 404, "NOT_FOUND", fcmError("UNREGISTERED")) }, push.SendError{Verdict: push.Gone, Reason: "404 NOT_FOUND UNREGISTERED"}},
		"no token":        {func(w http.ResponseWriter) { refuse(w, 400, "INVALID_ARGUMENT", badToken) }, push.SendError{Verdict: push.Gone, Reason: "400 INVALID_ARGUMENT message.token INVALID_ARGUMENT"}},
		"bad data":        {func(w http.ResponseWriter) { refuse(w, 400, "INVALID_ARGUMENT", badData) }, push.SendError{Verdict: push.Refused, Reason: "400 INVALID_ARGUMENT message.data INVALID_ARGUMENT"}},
		"another sender":  {func(w http.ResponseWriter) { refuse(w, 403, "PERMISSION_DENIED", fcmError("SENDER_ID_MISMATCH")) }, push.SendError{Verdict: push.Refused, Reason: "403 PERMISSION_DENIED SENDER_ID_MISMATCH"}},
		"a wrong project": {func(w http.ResponseWriter) { refuse(w, 404, "NOT_FOUND", "") }, push.SendError{Verdict: push.Refused, Reason: "404 NOT_FOUND"}},
		"too many": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "77")
			refuse(w, 429, "RESOURCE_EXHAUSTED", fcmError("QUOTA_EXCEEDED"))
		}, push.SendError{Verdict: push.Later, Wait: 77 * time.Second, Reason: "429 RESOURCE_EXHAUSTED QUOTA_EXCEEDED"}},
		"down":      {func(w http.ResponseWriter) { refuse(w, 503, "UNAVAILABLE", fcmError("UNAVAILABLE")) }, push.SendError{Verdict: push.Later, Wait: 10 * time.Second, Reason: "503 UNAVAILABLE UNAVAILABLE"}},
		"nonsense":  {func(w http.ResponseWriter) { w.WriteHeader(502) }, push.SendError{Verdict: push.Later, Wait: 10 * time.Second, Reason: "502"}},
		"withdrawn": {func(w http.ResponseWriter) { refuse(w, 401, "UNAUTHENTICATED", "") }, push.SendError{Verdict: push.Later, Reason: "401 UNAUTHENTICATED"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGoogle(t)
			g.answer = c.answer
			err := g.sender(g.account()).Send(t.Context(), push.Message{Token: "tok", Payload: json.RawMessage(`{}`)})
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

func TestSend_PayloadsThatAreNone(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	s := g.sender(g.account())
	for _, payload := range []string{`null`, `[]`, `{"message":1}`, `{"data":[]}`, `{"notification":"x"}`, `{"time_to_live":"soon"}`} {
		var got *push.SendError
		if err := s.Send(t.Context(), push.Message{Token: "tok", Payload: json.RawMessage(payload)}); !errors.As(err, &got) || got.Verdict != push.Refused {
			t.Errorf("%s: %v", payload, err)
		}
	}
	if len(g.messages) != 0 {
		t.Error("some were sent")
	}
}

func TestSend_TellsNoSecrets(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, c := range map[string]struct {
		account []byte
		reason  string
	}{
		"not let in":  {g.account("client_email", "else@example"), "fcm.not_let_in"},
		"a bad key":   {g.account("private_key", "-----BEGIN PRIVATE KEY-----\nsecret\n"), "fcm.bad_key"},
		"unreachable": {g.account("token_uri", gone.URL), "fcm.unreachable"},
	} {
		err := g.sender(c.account).Send(t.Context(), push.Message{Token: "tok", Payload: json.RawMessage(`{}`)})
		if !fault.Is(err, c.reason) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if text := err.Error(); strings.Contains(text, "secret") || strings.Contains(text, "PRIVATE") || strings.Contains(text, "assertion") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestNew_RefusesWhatIsNoAccount(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	for _, account := range [][]byte{nil, []byte("{}"), []byte("AIzaServerKey"), g.account("type", "authorized_user"), g.account("project_id", "")} {
		if _, err := fcm.New(fcm.Config{ServiceAccount: account}); !fault.Is(err, "fcm.bad_account") {
			t.Errorf("%.30s: %v", account, err)
		}
	}
}
