package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"crema/server/testkit"
)

// TestPush_Configured gives the server an account whose log-in refuses it: messages are taken and wait, and
// nothing of the account comes into the log.
func TestPush_Configured(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	google := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.PostFormValue("assertion")
		http.Error(w, "no", http.StatusForbidden)
	}))
	defer google.Close()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "beans", "client_email": "crema@beans.example", "private_key": secret, "token_uri": google.URL,
	})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(file, account, 0o600); err != nil {
		t.Fatal(err)
	}
	s := testkit.StartServer(t, testkit.AppDir(t), "DATABASE_URL="+testkit.EmptyDatabaseURL(t), "FCM_ENABLE=yes", "FCM_SERVICE_ACCOUNT_KEY_PATH="+file)
	ann := wireUser(t, s, "ann")
	device := ann.call("device:register", `"type":"android","device_token":"t"`)["id"].(string)
	got := ann.call("push:device", `"device_ids":["`+device+`"],"notification":{"gcm":{"data":{"a":"b"}}}`)
	if got["_id"] != device {
		t.Errorf("got %v", got)
	}
	var assertion string
	for range 2 { // it is tried again
		select {
		case assertion = <-asked:
		case <-time.After(time.Minute):
			t.Fatalf("Google was not asked:\n%s", s.Log())
		}
	}
	s.Stop(t)
	log := s.Log()
	for _, hidden := range []string{strings.Split(secret, "\n")[1], assertion, `"private_key"`} {
		if strings.Contains(log, hidden) {
			t.Errorf("the log holds %.20s...", hidden)
		}
	}
	if !strings.Contains(log, "fcm.not_let_in") {
		t.Errorf("the log does not tell what is wrong:\n%s", log)
	}
}

func TestPush_BadAccountEndsTheStart(t *testing.T) {
	t.Parallel()
	dir := testkit.AppDir(t)
	out, code := testkit.Run(t, dir, []string{"HOST=127.0.0.1:0", "DATABASE_URL=" + testkit.EmptyDatabaseURL(t), "FCM_ENABLE=1", "FCM_SERVICE_ACCOUNT_KEY=AIzaSecret"}, "serve")
	if code == 0 || !strings.Contains(out, "FCM_SERVICE_ACCOUNT_KEY must be") || strings.Contains(out, "AIzaSecret") {
		t.Errorf("%d: %s", code, out)
	}
}
