package handlers_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"testing"

	"crema/server/core/functions"
	"crema/server/lambda"
	"crema/server/web/doortest"
	"crema/server/web/handlers"
)

// serve starts a server that has these handlers and answers 418 for what is no handler's.
func serve(t *testing.T, fns ...lambda.Function) string {
	t.Helper()
	service, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)}, fns...)
	if err != nil {
		t.Fatal(err)
	}
	gate, _ := doortest.New(t)
	door := handlers.New(handlers.Config{Functions: service, Gate: gate, MaxBody: 1000})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h, ok := door.Match(r); ok {
			h.ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// echo answers with what it was asked.
func echo(_ context.Context, c *lambda.Call, r lambda.Request) (lambda.Response, error) {
	return lambda.Response{
		Status: http.StatusCreated, Header: map[string][]string{"X-Two": {"a"}, "x-two": {"b"}, "Content-Length": {"3"}, "Content-Type": {"text/x"}},
		Body: []byte(strings.Join([]string{r.Method, r.Path, r.Query, string(r.Body), c.Actor.Key}, " ")),
	}, nil
}

func do(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestDoor_Routes(t *testing.T) {
	t.Parallel()
	url := serve(t,
		lambda.HTTP("shop:quote", []string{"GET", "POST"}, echo),
		lambda.HTTP("tree/", []string{"GET"}, echo),
		lambda.HTTP("tree/branch", []string{"GET"}, echo),
		lambda.HTTP("secret", []string{"GET"}, echo, lambda.KeyRequired()),
		lambda.HTTP("status/", []string{"GET"}, func(_ context.Context, _ *lambda.Call, r lambda.Request) (lambda.Response, error) {
			status, err := strconv.Atoi(path.Base(r.Path))
			return lambda.Response{Status: status, Body: []byte("body")}, err
		}))
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/shop/quote?a=1&a=2", "", 201, "GET /shop/quote a=1&a=2"},
		{"POST", "/shop/quote", "binary\x00\xff", 201, "binary\x00\xff"},
		{"DELETE", "/shop/quote", "", 404, "takes no DELETE"},
		{"POST", "/shop/quote", strings.Repeat("x", 1001), 413, `"code":107`},
		{"GET", "/shop/quote/more", "", 418, ""},
		{"GET", "/shop", "", 418, ""},
		{"GET", "/tree/a/b", "", 201, "/tree/a/b"},
		{"GET", "/tree/branch", "", 201, "/tree/branch"},
		{"GET", "/tree/branch/x", "", 201, "/tree/branch/x"},
		{"GET", "/tree?x=1", "", 301, ""},
		{"GET", "/secret", "", 401, `"code":101`},
		{"GET", "/secret?api_key=" + doortest.APIKey, "", 201, "client"},
		{"GET", "/secret?api_key=wrong", "", 401, `"code":103`},
		{"GET", "/", "", 418, ""},
		{"GET", "/status/204", "", 204, ""},
		{"GET", "/status/0", "", 200, ""},
		{"GET", "/status/451", "", 451, "body"},
		{"GET", "/status/999", "", 999, "body"}, // the wire takes it as it is
		{"GET", "/status/100", "", 500, `"code":10000`},
		{"GET", "/status/1000", "", 500, `"code":10000`},
		{"GET", "/status/-1", "", 500, `"code":10000`},
	} {
		resp, body := do(t, c.method, url+c.path, c.body)
		if resp.StatusCode != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s %s: %d %.200q, want %d %q", c.method, c.path, resp.StatusCode, body, c.status, c.want)
		}
		if c.status == 301 && resp.Header.Get("Location") != "/tree/?x=1" {
			t.Errorf("redirected to %s", resp.Header.Get("Location"))
		}
	}
	resp, _ := do(t, "GET", url+"/shop/quote", "")
	head, body := do(t, "HEAD", url+"/shop/quote", "")
	if head.StatusCode != 201 || body != "" || head.Header.Get("Content-Length") != resp.Header.Get("Content-Length") {
		t.Errorf("HEAD: %d %q %v", head.StatusCode, body, head.Header)
	}
	if got := resp.Header["X-Two"]; len(got) != 2 || resp.Header.Get("Content-Type") != "text/x" {
		t.Errorf("headers: %v", resp.Header)
	}
}

func TestNew_RefusesBadHandlers(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]lambda.Function{
		{lambda.HTTP("a", []string{"GET"}, echo), lambda.HTTP("/a", []string{"GET"}, echo)},
		{lambda.HTTP("a", []string{"BREW"}, echo)},
		{lambda.HTTP("", []string{"GET"}, echo)},
		{lambda.HTTP("a?b", []string{"GET"}, echo)},
	} {
		if _, err := functions.New(functions.Config{}, bad...); err == nil {
			t.Errorf("%q is taken", bad[0].Name)
		}
	}
}
