package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"crema/server/testkit"
)

// reply is an answer of the server.
type reply struct {
	Status int
	Body   string
}

// post sends JSON with a key; "" sends none.
func post(t testing.TB, url, key, body string) reply {
	t.Helper()
	r, err := tryPost(url, key, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func tryPost(url, key, body string) (reply, error) {
	req, err := http.NewRequest(http.MethodPost, url, bytes.NewBufferString(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("X-Skygear-Api-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, string(b)}, err
}

// payment is what process_payment answers.
type payment struct {
	Result struct {
		Result  []map[string]any
		Results string
		Error   struct{ Code, Message string }
		OrderID string `json:"order_id"`
	}
}

func payBody(token, orderKey string) string {
	b, _ := json.Marshal(map[string]any{
		"product_name": "Kenya AA", "product_price": 1000, "stripe_token": token,
		"user_email": "ada@example.com", "order_key": orderKey,
	})
	return string(b)
}

func pay(t testing.TB, s *testkit.Server, token, orderKey string) payment {
	t.Helper()
	r := post(t, s.URL+"/lambda/process_payment", s.APIKey, payBody(token, orderKey))
	var p payment
	if err := json.Unmarshal([]byte(r.Body), &p); err != nil || r.Status != http.StatusOK {
		t.Fatalf("%d %s", r.Status, r.Body)
	}
	return p
}

// psql runs one statement as the operator does.
func psql(t testing.TB, s *testkit.Server, statement string) string {
	t.Helper()
	out, err := s.Run(t, "psql", "-At", "-c", statement)
	if err != nil {
		t.Fatalf("%s: %v\n%s", statement, err, out)
	}
	return out
}

// eventually waits until the statement gives want.
func eventually(t testing.TB, s *testkit.Server, statement, want string) {
	t.Helper()
	var got string
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
		if got = psql(t, s, statement); got == want {
			return
		}
	}
	t.Fatalf("%s: got %q, want %q\n%s", statement, got, want, s.Log())
}
