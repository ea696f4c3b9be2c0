package checkout_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func sign(body, secret string, at time.Time) string {
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%d.%s", at.Unix(), body)
	return fmt.Sprintf("t=%d,v1=%s", at.Unix(), hex.EncodeToString(mac.Sum(nil)))
}

func (s *shop) notify(body, signature, contentType string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, "/stripe/webhook", strings.NewReader(body))
	r.Header.Set("Stripe-Signature", signature)
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

const notice = `{"id":"evt_%s","object":"event","type":"checkout.session.completed","api_version":"2020-01-01","created":1,"livemode":false,
	"data":{"object":{"id":"cs_test_1","object":"checkout.session"}}}`

const events = `SELECT count(*) FROM app._provider_event`

func TestWebhook_StoresSignedNoticesOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	body := fmt.Sprintf(notice, "1")
	for _, contentType := range []string{"application/json; charset=utf-8", "text/plain", "", "application/x-www-form-urlencoded"} {
		if w := s.notify(body, sign(body, webhookSecret, time.Now()), contentType); w.Code != 200 {
			t.Errorf("%q: %d %s", contentType, w.Code, w.Body)
		}
	}
	if n := s.count(events); n != 1 {
		t.Errorf("%d events are stored, want 1", n)
	}
	old := fmt.Sprintf(notice, "2")
	if w := s.notify(old, sign(old, "whsec_old", time.Now()), ""); w.Code != 200 || s.count(events) != 2 {
		t.Errorf("a secret that is being replaced is refused: %d", w.Code)
	}
	live := strings.Replace(fmt.Sprintf(notice, "3"), `"livemode":false`, `"livemode":true`, 1)
	if w := s.notify(live, sign(live, webhookSecret, time.Now()), ""); w.Code != 200 || s.count(events) != 2 {
		t.Errorf("a notice of another mode: %d, %d events", w.Code, s.count(events))
	}
}

func TestWebhook_RefusesForgeries(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	body := fmt.Sprintf(notice, "1")
	now := time.Now()
	good := sign(body, webhookSecret, now)
	for name, signature := range map[string]string{
		"none": "", "words": "let me in", "another secret": sign(body, "whsec_guess", now), "another body": sign(body+" ", webhookSecret, now),
		"old": sign(body, webhookSecret, now.Add(-time.Hour)), "no secret": sign(body, "", now), "cut": good[:len(good)-2], "no time": good[strings.Index(good, ",")+1:],
	} {
		w := s.notify(body, signature, "application/json")
		if w.Code != 400 || w.Body.String() != `{"error":"signature"}`+"\n" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if n := s.count(events); n != 0 {
		t.Errorf("%d forged events are stored", n)
	}
}

func TestWebhook_Limits(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for _, size := range []int{513 << 10, 10 << 20} {
		big := strings.Repeat("x", size)
		if w := s.notify(big, sign(big, webhookSecret, time.Now()), ""); w.Code != 413 {
			t.Errorf("%d bytes: %d", size, w.Code)
		}
	}
	chunked := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/stripe/webhook", strings.NewReader(strings.Repeat("x", 600<<10)))
	chunked.ContentLength = -1
	w := httptest.NewRecorder()
	if s.handler.ServeHTTP(w, chunked); w.Code != 413 {
		t.Errorf("without a length: %d", w.Code)
	}
	for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
		if w := s.do(method, "/stripe/webhook", ""); w.Code != 405 || w.Header().Get("Allow") != "POST" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
}

// The provider must send again what we could not keep.
func TestWebhook_AsksAgainForWhatIsNotStored(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	_ = s.db.Close()
	body := fmt.Sprintf(notice, "1")
	if w := s.notify(body, sign(body, webhookSecret, time.Now()), ""); w.Code < 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := s.notify(body, "t=1,v1=00", ""); w.Code != 400 {
		t.Errorf("a forgery: %d", w.Code)
	}
}
