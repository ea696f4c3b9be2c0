package controller_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"

	"crema/server/base/telemetry"
	"crema/server/core/deploys"
	"crema/server/core/deploys/logs"
	"crema/server/core/deploys/operators"
	"crema/server/testkit"
	"crema/server/web"
	"crema/server/web/controller"
)

const master = "the-master-key"

type nothing struct{}

func (nothing) Prepare(context.Context, deploys.Version, func(string)) (deploys.Ready, error) {
	return nothing{}, nil
}

func (nothing) Switch() func(context.Context) error {
	return func(context.Context) error { return nil }
}
func (nothing) Close() {}

func serve(t *testing.T) *httptest.Server {
	t.Helper()
	s, _ := serveOperators(t)
	return s
}

func serveOperators(t *testing.T) (*httptest.Server, *operators.Service) {
	t.Helper()
	db := testkit.DB(t)
	rooms := deploys.New(deploys.Config{DB: db, Dir: t.TempDir(), Stage: nothing{}, Key: make([]byte, 32)})
	if err := rooms.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rooms.Stop)
	accounts := operators.New(operators.Config{DB: db, MasterKey: master, Cost: 4})
	door := controller.New(controller.Config{
		Look: 10 * time.Millisecond,
		App:  "coffee", Deploys: rooms, Operators: accounts,
		Gate: web.NewGate("api", master, nil), Logs: logs.New(logs.Config{Tap: telemetry.NewTap()}), Key: []byte("key"), MaxBody: 1 << 20,
	})
	r := chi.NewRouter()
	door.Register(r)
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	t.Cleanup(door.Stop)
	return s, accounts
}

func ask(t *testing.T, method, url, authorization, agent, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	r.Header.Set("User-Agent", agent)
	return do(t, r)
}

func do(t *testing.T, r *http.Request) (int, map[string]any) {
	t.Helper()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	return res.StatusCode, answer
}

const skycli = "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)"

func TestDoor_AsksForAToken(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, scheme := range []string{"Token ", "JWT ", "Bearer "} {
		if status, answer := ask(t, http.MethodGet, s.URL+"/v2/apps/", scheme+master, skycli, ""); status != 200 || answer["count"] != 1.0 {
			t.Errorf("%s: %d %v", scheme, status, answer)
		}
	}
	for agent, want := range map[string]int{skycli: 500, "crema": 401} { // skycli shows the message of a 500 only
		if status, answer := ask(t, http.MethodGet, s.URL+"/v2/apps/", "Token wrong", agent, ""); status != want || answer["detail"] == nil {
			t.Errorf("%s: %d %v", agent, status, answer)
		}
	}
	for _, path := range []string{"/v2/apps/coffee/build_jobs", "/v2/apps/coffee/deploys", "/v2/apps/coffee/rollback", "/v2/tokens"} {
		if status, _ := ask(t, http.MethodPost, s.URL+path, "", "crema", "{}"); status != 401 {
			t.Errorf("%s without a token: %d", path, status)
		}
	}
	if status, answer := ask(t, http.MethodPost, s.URL+"/v2/apps/tea/build_jobs", "Token "+master, skycli, "{}"); status != 404 {
		t.Errorf("another app: %d %v", status, answer)
	}
}

func TestDoor_RefusesALogInAsSkycliShowsIt(t *testing.T) {
	t.Parallel()
	s := serve(t)
	status, answer := ask(t, http.MethodPost, s.URL+"/v2/auth/login/", "", skycli, `{"username": "a@example.com", "password": "wrong"}`)
	if list, _ := answer["non_field_errors"].([]any); status != 401 || len(list) != 1 {
		t.Errorf("%d %v", status, answer)
	}
}

// An archive that is cut is taken, and refused at the next step; skycli has to wait before it sends one.
func TestDoor_TellsACutArchiveLater(t *testing.T) {
	t.Parallel()
	s := serve(t)
	begun := time.Now()
	status, answer := ask(t, http.MethodPost, s.URL+"/v2/apps/coffee/artifacts/upload", "Token "+master, skycli, "")
	if took := time.Since(begun); status != 200 || took < 250*time.Millisecond {
		t.Fatalf("%d after %v: %v", status, took, answer)
	}
	upload, _ := answer["upload_request"].(map[string]any)
	target, _ := upload["url"].(string)
	fields, _ := upload["fields"].(map[string]any)
	if key, _ := fields["key"].(string); !strings.HasPrefix(key, "coffee/") || !strings.HasPrefix(target, s.URL) {
		t.Fatalf("%v", answer)
	}
	if status, answer := do(t, form(t, target)); status != 204 {
		t.Errorf("the upload: %d %v", status, answer)
	}
	body := `{"artifact_request": "` + answer["artifact_request"].(string) + `"}`
	if status, answer := ask(t, http.MethodPost, s.URL+"/v2/apps/coffee/artifacts", "Token "+master, skycli, body); status != 400 || !strings.Contains(answer["detail"].(string), "did not arrive whole") {
		t.Errorf("%d %v", status, answer)
	}
	if status, _ := do(t, form(t, s.URL+"/v2/uploads/unknown")); status != 404 {
		t.Errorf("an upload that nobody has announced: %d", status)
	}
}

// form is an archive of ten bytes, as skycli sends it: a part without a filename.
func form(t *testing.T, target string) *http.Request {
	t.Helper()
	var buf bytes.Buffer
	w := multipart.NewWriter(&buf)
	part, err := w.CreatePart(map[string][]string{"Content-Disposition": {`form-data; name="file"`}, "Content-Type": {"application/octet-stream"}})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = part.Write([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, &buf)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", w.FormDataContentType())
	return r
}

func TestDoor_SealsTicketsOfStreams(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for _, token := range []string{"", "9999999999.00", master, strings.Repeat("A", 60)} {
		if status, _ := ask(t, http.MethodGet, s.URL+"/v2/log-stream?token="+token, "", "crema", ""); status != 401 {
			t.Errorf("%q: %d", token, status)
		}
	}
}

// What stands in the address of a build log opens that log, for a while, and nothing else.
func TestDoor_SealsTicketsOfBuildLogs(t *testing.T) {
	t.Parallel()
	s := serve(t)
	status, answer := ask(t, http.MethodPost, s.URL+"/v2/apps/coffee/rollback", "Token "+master, skycli, `{"version": 0}`)
	if status != 200 {
		t.Fatal(answer)
	}
	_, answer = ask(t, http.MethodGet, s.URL+"/v2/apps/coffee/status", "Token "+master, skycli, "")
	last, _ := answer["last_build_job"].(map[string]any)
	target, _ := last["log_url"].(string)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || !strings.Contains(string(text), "live: ") {
		t.Errorf("%d %q, %v", res.StatusCode, text, err)
	}
	for _, path := range []string{"/v2/build-logs/" + last["id"].(string), "/v2/log-stream?token=" + target[strings.LastIndex(target, "/")+1:]} {
		if status, _ := ask(t, http.MethodGet, s.URL+path, "", "crema", ""); status != 401 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// A stream that is open ends when its token does.
func TestDoor_EndsStreamsWithTheirToken(t *testing.T) {
	t.Parallel()
	s, accounts := serveOperators(t)
	if err := accounts.Add(t.Context(), "ann@example.com", "a long password"); err != nil {
		t.Fatal(err)
	}
	made, text, err := accounts.CreateToken(t.Context(), "ann@example.com", "ci")
	if err != nil {
		t.Fatal(err)
	}
	_, ticket := ask(t, http.MethodGet, s.URL+"/v2/apps/coffee/log-stream", "Token "+text, "crema", "")
	socket, _, err := websocket.Dial(t.Context(), s.URL+"/v2/log-stream?token="+ticket["token"].(string), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.CloseNow() }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/v2/apps/coffee/logs?follow=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Token "+text)
	lines, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lines.Body.Close() }()

	if err := accounts.Revoke(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(lines.Body); err != nil {
		t.Errorf("lines: %v", err)
	}
	if _, _, err := socket.Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("socket: %v", err)
	}
	if status, _ := ask(t, http.MethodGet, s.URL+"/v2/log-stream?token="+ticket["token"].(string), "", "crema", ""); status != 401 {
		t.Errorf("the ticket of a revoked token: %d", status)
	}
}

// Whoever was not told where archives go is refused before anything of the body is read.
func TestDoor_ReadsNothingOfStrangers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = io.WriteString(conn, "POST /v2/uploads/unknown HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n--b\r\n")
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 404 ") {
		t.Errorf("%q, %v", line, err)
	}
}

// What an app allows its own clients bounds no list of files: that of a version of 20,000 files has megabytes.
func TestDoor_TakesLongLists(t *testing.T) {
	t.Parallel()
	s := serve(t)
	hashes := make([]string, 20_000)
	for i := range hashes {
		hashes[i] = fmt.Sprintf("%064x", i)
	}
	list, err := json.Marshal(map[string]any{"hashes": hashes})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 1<<20 { // what the door is told
		t.Fatal(len(list))
	}
	if status, answer := ask(t, http.MethodPost, s.URL+"/v2/apps/coffee/files/missing", "Token "+master, "crema", string(list)); status != 200 {
		t.Errorf("%d %.200v", status, answer)
	}
	for target, want := range map[string]bool{
		"POST /v2/apps/coffee/files/missing": true, "POST /v2/apps/coffee/deploys": true, "POST /v2/uploads/id": true, "PUT /v2/apps/coffee/files/00": true,
		"POST /v2/apps/coffee/rollback": false, "PUT /v2/apps/coffee/secrets/A": false, "POST /deploys": false, "POST /v2/auth/login/": false,
	} {
		method, path, _ := strings.Cut(target, " ")
		if got := controller.Uploads(httptest.NewRequestWithContext(t.Context(), method, path, nil)); got != want {
			t.Errorf("%s: %v", target, got)
		}
	}
}
