package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/cluster"
	"crema/server/testkit"
)

// tool runs a program of PostgreSQL.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	b, err := cluster.FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(b.Path(name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// oldDatabase makes a database as Skygear v1 leaves it and returns its URL.
func oldDatabase(t *testing.T) string {
	t.Helper()
	url := testkit.EmptyDatabaseURL(t)
	tool(t, "psql", "-qAtv", "ON_ERROR_STOP=1", "-f", filepath.Join(testkit.Root(), "server", "core", "adoption", "testdata", "reference.sql"), url)
	return url
}

// oldApp speaks to a server as an old app does.
type oldApp struct {
	t      *testing.T
	server *testkit.Server
	token  string
}

// do sends an action and returns the result as JSON.
func (a oldApp) do(action, params string) string {
	a.t.Helper()
	body := fmt.Sprintf(`{"action": %q, "access_token": %q, %s`, action, a.token, strings.TrimPrefix(params, "{"))
	if a.token == "" {
		body = fmt.Sprintf(`{"action": %q, %s`, action, strings.TrimPrefix(params, "{"))
	}
	got := post(a.t, a.server.URL+"/"+strings.ReplaceAll(action, ":", "/"), a.server.APIKey, body)
	var answer struct{ Result, Error json.RawMessage }
	if err := json.Unmarshal([]byte(got.Body), &answer); err != nil {
		a.t.Fatalf("%s: %s", action, got.Body)
	}
	if answer.Error != nil {
		return string(answer.Error)
	}
	return string(answer.Result)
}

// as logs in.
func (a oldApp) as(authData, password string) oldApp {
	a.t.Helper()
	var auth struct {
		Token string `json:"access_token"`
	}
	got := a.do("auth:login", fmt.Sprintf(`{"auth_data": %s, "password": %q}`, authData, password))
	if err := json.Unmarshal([]byte(got), &auth); err != nil || auth.Token == "" {
		a.t.Fatalf("log-in with %s: %s", authData, got)
	}
	return oldApp{a.t, a.server, auth.Token}
}

// records returns the ids in a result, or the texts of its errors.
func (a oldApp) records(action, params string) string {
	a.t.Helper()
	got := a.do(action, params)
	var list []struct {
		ID      string `json:"_id"`
		Message string
	}
	if err := json.Unmarshal([]byte(got), &list); err != nil {
		return got
	}
	var ids []string
	for _, r := range list {
		ids = append(ids, strings.TrimSpace(r.ID+" "+r.Message))
	}
	return strings.Join(ids, ", ")
}

func TestImport_AnOldAppLivesOn(t *testing.T) {
	t.Parallel()
	dump, files, dir := filepath.Join(t.TempDir(), "old.dump"), t.TempDir(), testkit.AppDir(t)
	tool(t, "pg_dump", "-Fc", "-f", dump, oldDatabase(t))
	if err := os.MkdirAll(filepath.Join(files, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"8fd1b0f5-bean.txt": "beans", "folder/5b2c-leaf.txt": "leaf", "stray.txt": "nobody's"} {
		if err := os.WriteFile(filepath.Join(files, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	half := filepath.Join(t.TempDir(), "half.dump")
	whole, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(half, whole[:len(whole)*3/4], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{2, "cannot be read", []string{"nothing.dump"}},
		{2, "--assets must be a folder", []string{dump, "--assets", dump}},
		{1, "cannot read the dump", []string{half}},
		{1, "does not hold the app shop", []string{dump, "--app-name", "shop"}},
		{0, "4 users", []string{dump, "--assets", files}}, // after all that failed
		{1, "is in use", []string{dump}},
	} {
		out, code := testkit.Run(t, dir, nil, append([]string{"import", "skygear"}, c.args...)...)
		if code != c.code || !strings.Contains(out, c.says) {
			t.Fatalf("import %q: exit code %d\n%s", c.args, code, out)
		}
		if code == 0 && !strings.Contains(out, "2 copied, 0 there already, 1 missing") || strings.Contains(out, "Left out") {
			t.Errorf("import says\n%s", out)
		}
	}
	s := testkit.StartServer(t, dir)
	if log := s.Log(); strings.Contains(log, "taking it over") || strings.Contains(log, "migrations applied") {
		t.Errorf("the start after an import is not quiet:\n%s", log)
	}
	refused(t, s, 4, "in use", "import", "skygear", dump)
	if out := must(t, s, "import", "assets", files); !strings.Contains(out, `0 copied, 2 there already, 1 missing`) || !strings.Contains(out, `"gone.png"`) {
		t.Errorf("copying files again says\n%s", out)
	}
	useOldApp(t, s)
	useOldFiles(t, s)
}

// useOldApp does what the app of the dump did.
func useOldApp(t *testing.T, s *testkit.Server) {
	t.Helper()
	anybody := oldApp{t, s, ""}
	alice, bob := anybody.as(`{"username": "ALICE"}`, "correct horse"), anybody.as(`{"username": "bob"}`, "batterý staple")
	carol := anybody.as(`{"email": "carol@example.com"}`, "tr0ub4dor")
	const all = `{"database_id": "_public", "record_type": "Note", "sort": [[{"$type": "keypath", "$val": "_created_at"}, "asc"]]}`
	for _, c := range []struct {
		what, got, want string
	}{
		{"a wrong password", anybody.records("auth:login", `{"auth_data": {"username": "alice"}, "password": "x"}`), `"code":105`},
		{"a disabled user", anybody.records("auth:login", `{"auth_data": {"username": "dave"}, "password": "batterý staple"}`), `moved away`},
		{"what anybody sees", anybody.records("record:query", all), "Note/n-1"},
		{"what its owner sees", alice.records("record:query", all), "Note/n-1, Note/n-4"},
		{"what a member sees", bob.records("record:query", all), "Note/n-1, Note/n-2, Note/n-4"},
		{"what one that is named sees", carol.records("record:query", all), "Note/n-1, Note/n-4"},
		{"the private database", bob.records("record:query", strings.Replace(all, "_public", "_private", 1)), "Note/n-3"},
		{"another's", alice.records("record:query", strings.Replace(all, "_public", "_private", 1)), ""},
		{"a friend", alice.do("relation:query", `{"name": "friend", "direction": "mutual"}`), `"id":"u-bob"`},
		{"roles", alice.do("role:get", `{"users": ["u-alice"]}`), `"Admin"`},
		{"who may create", bob.records("record:save", `{"database_id": "_public", "records": [{"_id": "category/tea", "name": "Tea"}]}`), "category/tea"},
		{"another's private note", bob.records("record:delete", `{"database_id": "_public", "ids": ["Note/n-4"]}`), "Note/n-4 "},
		{"a key that is taken", alice.records("record:save", `{"database_id": "_public", "records": [{"_id": "Note/n-3", "title": "mine"}]}`), "Note/n-3 "},
		{"near", anybody.records("record:query", `{"database_id": "_public", "record_type": "Note", "predicate": ["lt", ["func", "distance", {"$type": "keypath", "$val": "place"}, {"$type": "geo", "$lat": 22.3, "$lng": 114.17}], 10]}`), "Note/n-1"},
		{"deleting", bob.records("record:delete", `{"database_id": "_public", "ids": ["Note/n-2"]}`), "Note/n-2"},
		{"a sign-up", anybody.do("auth:signup", `{"auth_data": {"username": "Erin"}, "password": "secret"}`), `"user_id"`},
		{"a name that is taken", anybody.do("auth:signup", `{"auth_data": {"username": "aLiCe"}, "password": "secret"}`), `"code":109`},
	} {
		if !strings.Contains(c.got, c.want) || c.want == "" && c.got != "" || c.got == "category/tea" {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
	checkOldValues(t, alice)
}

// checkOldValues reads a record with a field of every kind, and changes it.
func checkOldValues(t *testing.T, alice oldApp) {
	t.Helper()
	const want = `{"_id": "Note/n-1", "_type": "record", "_access": null, "_ownerID": "u-alice",
		"_created_at": "2017-06-01T01:02:03.040506Z", "_created_by": "u-alice", "_updated_by": "u-alice",
		"title": "Übung; -- no comment\n-- Name: trap; Type: ACL; Schema: x; Owner: y\n\\.\n$$ it's", "nick": "Nick", "price": %s, "pieces": 3, "big": 9007199254740993, "done": true,
		"due": {"$type": "date", "$date": "2018-02-03T04:05:06.789Z"}, "tags": {"a": [1, "two", null]}, "place": {"$type": "geo", "$lng": 114.17, "$lat": 22.3},
		"area": {"$type": "geojson", "$val": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}}, "category": {"$type": "ref", "$id": "category/beans"},
		"number": 1, "odd \"name\"": "odd", "cost": {"$type": "unknown", "$underlying_type": "money"}, "blurb": {"$type": "unknown", "$underlying_type": "varchar"}}`
	for _, c := range []struct{ action, params, price string }{
		{"record:fetch", `{"database_id": "_public", "ids": ["Note/n-1"]}`, "2.5"},
		{"record:save", `{"database_id": "_public", "records": [{"_id": "Note/n-1", "price": 3}]}`, "3"},
		{"record:fetch", `{"database_id": "_public", "ids": ["Note/n-1"]}`, "3"},
	} {
		var got []map[string]any
		answer := alice.do(c.action, c.params)
		if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got) != 1 {
			t.Fatalf("%s: %s", c.action, answer)
		}
		for _, unstable := range []string{"_updated_at", "picture"} {
			if got[0][unstable] == nil {
				t.Errorf("%s: no %s in %s", c.action, unstable, answer)
			}
			delete(got[0], unstable)
		}
		var record map[string]any
		if err := json.Unmarshal(fmt.Appendf(nil, want, c.price), &record); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(record, got[0]); diff != "" {
			t.Errorf("%s:\n%s", c.action, diff)
		}
	}
	if got := alice.do("record:save", `{"database_id": "_public", "records": [{"_id": "Note/n-9", "title": "new", "colour": "red"}]}`); !strings.Contains(got, `"number":5`) || !strings.Contains(got, `"colour":"red"`) {
		t.Errorf("a new record: %s", got)
	}
}

// useOldFiles reads files of old assets, and adds one.
func useOldFiles(t *testing.T, s *testkit.Server) {
	t.Helper()
	anybody := oldApp{t, s, ""}
	alice := anybody.as(`{"username": "alice"}`, "correct horse")
	picture := func(id string) string {
		var got []struct {
			Picture struct {
				URL         string `json:"$url"`
				ContentType string `json:"$content_type"`
			}
		}
		answer := alice.do("record:fetch", `{"database_id": "_public", "ids": ["`+id+`"]}`)
		if err := json.Unmarshal([]byte(answer), &got); err != nil || len(got) != 1 || got[0].Picture.ContentType != "text/plain" {
			t.Fatalf("%s: %s", id, answer)
		}
		return read(t, got[0].Picture.URL)
	}
	if got := picture("Note/n-1"); got != "beans" {
		t.Errorf("a file: %q", got)
	}
	if got := picture("Note/n-4"); got != "leaf" {
		t.Errorf("a file in a folder: %q", got)
	}
	var put struct {
		Post struct {
			Action string
			Fields map[string]string `json:"extra-fields"`
		} `json:"post-request"`
		Asset struct {
			Name string `json:"$name"`
		}
	}
	answer := anybody.do("asset:put", `{"filename": "cup.txt", "content-type": "text/plain", "content-size": 3}`)
	if err := json.Unmarshal([]byte(answer), &put); err != nil {
		t.Fatalf("asset:put: %s", answer)
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range put.Post.Fields {
		_ = form.WriteField(name, value)
	}
	part, _ := form.CreatePart(map[string][]string{"Content-Disposition": {`form-data; name="file"; filename="cup.txt"`}, "Content-Type": {"text/plain"}})
	_, _ = part.Write([]byte("cup"))
	_ = form.Close()
	req, err := http.NewRequest(http.MethodPost, s.URL+put.Post.Action, &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("X-Skygear-Api-Key", s.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	alice.do("record:save", `{"database_id": "_public", "records": [{"_id": "Note/n-1", "picture": {"$type": "asset", "$name": "`+put.Asset.Name+`"}}]}`)
	if got := picture("Note/n-1"); got != "cup" {
		t.Errorf("a new file: %q, upload answered %s", got, resp.Status)
	}
}

func read(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestServe_OnAnOldDatabase starts two servers at once where Skygear has stopped.
func TestServe_OnAnOldDatabase(t *testing.T) {
	t.Parallel()
	env := []string{"DATABASE_URL=" + oldDatabase(t), "APP_NAME=old"}
	servers := make(chan *testkit.Server, 2)
	dirs := []string{testkit.AppDir(t), testkit.AppDir(t)}
	for _, dir := range dirs {
		go func() {
			defer func() { servers <- nil }()
			servers <- testkit.StartServer(t, dir, env...)
		}()
	}
	var running []*testkit.Server
	for ended := 0; ended < 2; {
		if s := <-servers; s != nil {
			running = append(running, s)
		} else {
			ended++
		}
	}
	if len(running) != 2 {
		t.Fatal("a server did not start")
	}
	if n := strings.Count(running[0].Log()+running[1].Log(), "is taken over"); n != 1 {
		t.Errorf("%d servers have taken it over:\n%s\n%s", n, running[0].Log(), running[1].Log())
	}
	useOldApp(t, running[1])
	eventually(t, running[0], `select count(*) from public.pending_notification`, "0") // its triggers write on
	for _, s := range running {
		if code := s.Signal(t, syscall.SIGTERM); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
	again := testkit.StartServer(t, dirs[0], env...)
	if log := again.Log(); strings.Contains(log, "taken over") || strings.Contains(log, "taking it over") || strings.Contains(log, "migrations applied") {
		t.Errorf("the second start is not quiet:\n%s", log)
	}
	if got := (oldApp{t, again, ""}).as(`{"username": "alice"}`, "correct horse").records("record:fetch", `{"database_id": "_public", "ids": ["Note/n-9"]}`); got != "Note/n-9" {
		t.Errorf("the new record: %s", got)
	}
}

func TestServe_RefusesAnUnknownDatabase(t *testing.T) {
	t.Parallel()
	url := oldDatabase(t)
	tool(t, "psql", "-qc", `ALTER TABLE app_old."Note" DROP COLUMN _owner_id`, url)
	out, code := testkit.Run(t, testkit.AppDir(t), []string{"DATABASE_URL=" + url, "APP_NAME=old", "HOST=127.0.0.1:0"}, "serve")
	if code != 4 || !strings.Contains(out, "Note has no column _owner_id") || !strings.Contains(out, "nothing was changed") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if got := tool(t, "psql", "-Atc", `SELECT count(*) FROM pg_class WHERE relname IN ('_migration', '_order')`, url); got != "0" {
		t.Errorf("%s tables were made", got)
	}
}
