package rpc_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/go-cmp/cmp"

	"crema/server/core/functions"
	"crema/server/lambda"
	"crema/server/testkit"
	"crema/server/web/doortest"
	"crema/server/web/rpc"
)

func mount(d *rpc.Door) http.Handler {
	r := chi.NewRouter()
	d.Register(r)
	return r
}

func do(t *testing.T, h http.Handler, r *http.Request) (*http.Response, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	body, err := io.ReadAll(rec.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return rec.Result(), string(body)
}

func TestDoor_JudgesLikeEveryDoor(t *testing.T) {
	t.Parallel()
	gate, fns := doortest.New(t)
	h := mount(rpc.New(fns, gate))
	doortest.Run(t, func(t *testing.T, q doortest.Request) doortest.Response {
		r := httptest.NewRequest(http.MethodPost, "/lambda/"+q.Function, strings.NewReader(q.Args))
		r.Header.Set("X-Skygear-Api-Key", q.APIKey)
		r.Header.Set("X-Skygear-Access-Token", q.Token)
		resp, body := do(t, h, r)
		var answer struct {
			Result json.RawMessage
			Error  struct{ Code int }
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		return doortest.Response{Status: resp.StatusCode, Code: answer.Error.Code, Result: answer.Result}
	})
}

type sumIn struct {
	A, B float64
}

func sum(_ context.Context, _ *lambda.Call, in sumIn) (float64, error) { return in.A + in.B, nil }

func nothing(context.Context, *lambda.Call, struct{}) (any, error) { return nil, nil }

func newDoor(t *testing.T, c functions.Config) *rpc.Door {
	t.Helper()
	c.Log = slog.New(slog.DiscardHandler)
	fns, err := functions.New(c, lambda.Op("sum", sum), lambda.Op("sso/config", nothing))
	if err != nil {
		t.Fatal(err)
	}
	gate, _ := doortest.New(t)
	return rpc.New(fns, gate)
}

func TestDoor_Requests(t *testing.T) {
	t.Parallel()
	h := mount(newDoor(t, functions.Config{}))
	for _, c := range []struct {
		name, method, path, contentType, body string
		status                                int
		want                                  string // in the body
	}{
		{"result", "POST", "/lambda/sum", "application/json", `{"A":1,"B":2}`, 200, "{\"result\":3}\n"},
		{"no type", "POST", "/lambda/sum", "", `{"A":1,"B":2}`, 200, `{"result":3}`},
		{"charset", "POST", "/lambda/sum", "application/json; charset=UTF-8", `{"A":1,"B":2}`, 200, `{"result":3}`},
		{"suffix", "POST", "/lambda/sum", "application/problem+json", `{"A":1,"B":2}`, 200, `{"result":3}`},
		{"null", "POST", "/lambda/sso/config", "", ``, 200, `{"result":null}`},
		{"colon", "POST", "/lambda/sso:config", "", ` `, 200, `{"result":null}`},
		{"escaped slash", "POST", "/lambda/sso%2Fconfig", "", `{}`, 200, `{"result":null}`},
		{"get", "GET", "/lambda/sum", "", ``, 405, `"functions are called with POST, not GET"`},
		{"delete", "DELETE", "/lambda/sum", "", ``, 405, `117`},
		{"unknown name", "POST", "/lambda/sun", "", ``, 404, `did you mean sum?`},
		{"unknown name, get", "GET", "/lambda/zzzzzz", "", ``, 404, `there is no function \"zzzzzz\"`},
		{"no name", "POST", "/lambda/", "", ``, 404, `"UndefinedOperation"`},
		{"no name, no slash", "POST", "/lambda", "", ``, 404, `"UndefinedOperation"`},
		{"a name with quotes", "POST", "/lambda/%22;drop", "", ``, 404, `117`},
		{"a name with NUL", "POST", "/lambda/sum%00", "", ``, 404, `did you mean sum?`},
		{"form", "POST", "/lambda/sum", "application/x-www-form-urlencoded", `A=1`, 415, `Content-Type: application/json`},
		{"text", "POST", "/lambda/sum", "text/plain", `{"A":1,"B":2}`, 415, `text/plain`},
		{"latin", "POST", "/lambda/sum", "application/json; charset=latin1", `{}`, 415, `latin1`},
		{"no type at all", "POST", "/lambda/sum", ";;", `{}`, 415, `107`},
		{"malformed", "POST", "/lambda/sum", "", "{\"A\":1,\n\"B\":}", 400, `line 2, column 5`},
		{"array", "POST", "/lambda/sum", "", `[1,2]`, 400, `must be one JSON object`},
		{"missing", "POST", "/lambda/sum", "", `{"A":1}`, 400, `"info":{"arguments":["B"]}`},
		{"too large", "POST", "/lambda/sum", "", strings.Repeat(" ", 1<<20) + "{}", 413, `1048576`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			if c.contentType != "" {
				r.Header.Set("Content-Type", c.contentType)
			}
			resp, body := do(t, h, r)
			if resp.StatusCode != c.status || !strings.Contains(body, c.want) {
				t.Errorf("%d %s, want %d with %s", resp.StatusCode, body, c.status, c.want)
			}
			if got := resp.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
			if got := resp.Header.Get("Allow"); (got == "POST") != (c.status == 405) {
				t.Errorf("Allow %q with status %d", got, resp.StatusCode)
			}
		})
	}
}

func TestDoor_RefusesCompressedBodyAndManyKeys(t *testing.T) {
	t.Parallel()
	h := mount(newDoor(t, functions.Config{}))
	r := httptest.NewRequest(http.MethodPost, "/lambda/sum", strings.NewReader("x"))
	r.Header.Set("Content-Encoding", "gzip")
	if resp, body := do(t, h, r); resp.StatusCode != 415 {
		t.Errorf("compressed: %d %s", resp.StatusCode, body)
	}
	r = httptest.NewRequest(http.MethodPost, "/lambda/sum", strings.NewReader(`{"A":1,"B":1}`))
	r.Header["Idempotency-Key"] = []string{"a", "b"}
	if resp, body := do(t, h, r); resp.StatusCode != 400 {
		t.Errorf("two keys: %d %s", resp.StatusCode, body)
	}
}

func TestDoor_ChunkedBodyOverLimit(t *testing.T) {
	t.Parallel()
	d := newDoor(t, functions.Config{})
	d.MaxBody = 100
	srv := httptest.NewServer(mount(d))
	t.Cleanup(srv.Close)
	// io.MultiReader hides the length, so that the body is sent in chunks.
	body := io.MultiReader(strings.NewReader(`{"A":1,`), bytes.NewReader(bytes.Repeat([]byte(" "), 200)))
	resp, err := http.Post(srv.URL+"/lambda/sum", "application/json", body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413", resp.StatusCode)
	}
}

// stubborn makes a server whose function ignores ctx until finish is closed.
func stubborn(t *testing.T, timeout time.Duration) (url string, finish chan struct{}, fns *functions.Service) {
	t.Helper()
	finish = make(chan struct{})
	fns, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler), Timeout: timeout},
		lambda.Op("wait", func(context.Context, *lambda.Call, struct{}) (string, error) {
			<-finish
			return "done", nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	gate, _ := doortest.New(t)
	srv := httptest.NewServer(mount(rpc.New(fns, gate)))
	t.Cleanup(srv.Close)
	return srv.URL, finish, fns
}

func TestDoor_AnswersAtTheDeadlineWhileTheFunctionGoesOn(t *testing.T) {
	t.Parallel()
	url, finish, fns := stubborn(t, 20*time.Millisecond)
	resp, err := http.Post(url+"/lambda/wait", "application/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable || !bytes.Contains(body, []byte(`"code":122`)) || !resp.Close {
		t.Errorf("%d %s, closing %v", resp.StatusCode, body, resp.Close)
	}
	if fns.Abandoned() != 1 {
		t.Errorf("%d abandoned, want the one that goes on", fns.Abandoned())
	}
	close(finish)
	fns.Stop(t.Context())
	if fns.Running() != 0 || fns.Abandoned() != 0 {
		t.Errorf("%d running, %d abandoned after the stop", fns.Running(), fns.Abandoned())
	}
}

func TestDoor_ClientThatLeavesCancelsTheFunction(t *testing.T) {
	t.Parallel()
	started, cancelled := make(chan struct{}), make(chan struct{})
	fns, err := functions.New(functions.Config{Log: slog.New(slog.DiscardHandler)},
		lambda.Op("wait", func(ctx context.Context, _ *lambda.Call, _ struct{}) (any, error) {
			close(started)
			<-ctx.Done()
			close(cancelled)
			return nil, ctx.Err()
		}))
	if err != nil {
		t.Fatal(err)
	}
	gate, _ := doortest.New(t)
	srv := httptest.NewServer(mount(rpc.New(fns, gate)))
	t.Cleanup(srv.Close)
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-started
		leave()
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/lambda/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := http.DefaultClient.Do(r); err == nil {
		t.Errorf("status %s for a client that left", resp.Status)
		_ = resp.Body.Close()
	}
	select {
	case <-cancelled:
	case <-time.After(10 * time.Second):
		t.Error("the function was not cancelled")
	}
}

func TestDoor_IdempotencyKeyReplays(t *testing.T) {
	t.Parallel()
	h := mount(newDoor(t, functions.Config{DB: testkit.DB(t)}))
	call := func(body string) (int, string, string) {
		r := httptest.NewRequest(http.MethodPost, "/lambda/sum", strings.NewReader(body))
		r.Header.Set("Idempotency-Key", "order-1")
		resp, text := do(t, h, r)
		return resp.StatusCode, text, resp.Header.Get("Idempotent-Replayed")
	}
	type answer struct {
		Status         int
		Body, Replayed string
	}
	var got []answer
	for _, body := range []string{`{"A":1,"B":2}`, `{"B":2, "A":1}`} {
		status, text, replayed := call(body)
		got = append(got, answer{status, text, replayed})
	}
	want := []answer{{200, "{\"result\":3}\n", ""}, {200, "{\"result\":3}\n", "true"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if status, text, _ := call(`{"A":5,"B":2}`); status != http.StatusConflict {
		t.Errorf("other arguments: %d %s, want 409", status, text)
	}
}
