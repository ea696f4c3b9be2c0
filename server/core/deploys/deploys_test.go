package deploys_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/deploys"
	"crema/server/testkit"
)

// stage remembers what was made live. A version whose page says "broken" does not start.
type stage struct {
	mu     sync.Mutex
	live   []string // the pages, in their order
	closed []string
	last   deploys.Version // that got ready
	shown  int64           // the version that is live
	during func()          // a version gets ready; may be nil
}

type ready struct {
	s       *stage
	page    string
	version int64
}

func (s *stage) Prepare(_ context.Context, v deploys.Version, _ func(string)) (deploys.Ready, error) {
	page, err := os.ReadFile(filepath.Join(v.Site, "index.html"))
	if v.ID == 0 {
		page, err = []byte("folder"), nil
	}
	if err != nil || strings.Contains(string(page), "broken") {
		return nil, errors.Join(err, fault.New(fault.Invalid, "test.broken", "it does not start"))
	}
	if s.during != nil {
		s.during()
	}
	if v.Secrets["BROKEN"] != "" || v.Secrets["NEEDED"] == "" && strings.Contains(string(page), "needs") {
		return nil, fault.New(fault.Invalid, "test.broken", "it does not start with these secrets")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = v
	return &ready{s, string(page), v.ID}, nil
}

func (r *ready) Switch() func(context.Context) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.live, r.s.shown = append(r.s.live, r.page), r.version
	return func(context.Context) error { return nil }
}

func (r *ready) Close() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.closed = append(r.s.closed, r.page)
}

func (s *stage) is(page string) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.live) > 0 && s.live[len(s.live)-1] == page
	}
}

// before are the pages of the versions before the live one, and for how long they stay.
func (s *stage) before(t *testing.T, now time.Time) (all []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.last.Before {
		page := []byte("folder")
		if b.Site != "" {
			var err error
			if page, err = os.ReadFile(filepath.Join(b.Site, "index.html")); err != nil {
				t.Error(err)
			}
		}
		all = append(all, fmt.Sprintf("%s %v", page, b.Until.Sub(now).Round(time.Hour)))
	}
	return all
}

func (s *stage) secrets() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last.Secrets
}

func start(t *testing.T, db *pg.DB, dir string) (*deploys.Service, *stage) {
	t.Helper()
	return startAt(t, db, dir, nil)
}

func startAt(t *testing.T, db *pg.DB, dir string, now func() time.Time) (*deploys.Service, *stage) {
	t.Helper()
	st := &stage{}
	s := deploys.New(deploys.Config{DB: db, Dir: dir, Stage: st, Key: make([]byte, 32), MasterKey: "the-master-key", Reserved: []string{"MASTER_KEY"}, Now: now})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s, st
}

// send deploys files and returns the job when it has ended.
func send(t *testing.T, s *deploys.Service, contents map[string]string) deploys.Job {
	t.Helper()
	return wait(t, s, begin(t, s, contents))
}

func begin(t *testing.T, s *deploys.Service, contents map[string]string) (job string) {
	t.Helper()
	var files []deploys.File
	for path, body := range contents {
		sum := sha256.Sum256([]byte(body))
		if missing, err := s.Missing(t.Context(), [][]byte{sum[:]}); err != nil {
			t.Fatal(err)
		} else if len(missing) > 0 {
			if err := s.Keep(t.Context(), sum[:], strings.NewReader(body)); err != nil {
				t.Fatal(err)
			}
		}
		files = append(files, deploys.File{Path: path, Hash: sum[:], Size: int64(len(body)), Mode: 0o644})
	}
	id, err := s.Begin(t.Context(), "me@example.com", files)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wait(t *testing.T, s *deploys.Service, id string) deploys.Job {
	t.Helper()
	for {
		j, err := s.Job(t.Context(), id, 1<<30, 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if j.State != deploys.Running {
			return j
		}
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(end) {
			t.Fatal("it does not happen")
		}
	}
}

func TestDeploy_KnowsWhatWasLiveInTheLastDay(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	deploy := func(s *deploys.Service, page string) {
		t.Helper()
		if j := send(t, s, map[string]string{"public_html/index.html": page}); j.State != deploys.Success {
			t.Fatalf("%+v", j)
		}
	}
	want := func(st *stage, now time.Time, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, st.before(t, now)); diff != "" {
			t.Error(diff)
		}
	}
	one, here := start(t, db, t.TempDir())
	want(here, time.Now())
	deploy(one, "first")
	want(here, time.Now(), "folder 24h0m0s")
	deploy(one, "second")
	want(here, time.Now(), "first 24h0m0s", "folder 24h0m0s")
	if id, err := one.Rollback(t.Context(), "me@example.com", nil); err != nil || wait(t, one, id).State != deploys.Success {
		t.Fatal(err)
	}
	want(here, time.Now(), "second 24h0m0s", "folder 24h0m0s")

	if _, err := db.Exec(t.Context(), "UPDATE app._deploy_release SET made_at = made_at - interval '20 hours' WHERE seq < 3"); err != nil {
		t.Fatal(err)
	}
	_, there := start(t, db, t.TempDir()) // without any copies of versions
	want(there, time.Now(), "second 24h0m0s", "folder 4h0m0s")
	late := time.Now().Add(5 * time.Hour)
	later, st := startAt(t, db, t.TempDir(), func() time.Time { return late })
	want(st, late, "second 19h0m0s")
	late = late.Add(20 * time.Hour)
	if id, err := later.SetSecret(t.Context(), "me@example.com", "A_SECRET", "a"); err != nil || wait(t, later, id).State != deploys.Success {
		t.Fatal(err)
	}
	want(st, late)
}

func TestDeploy_IsLiveOnEveryServer(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	one, here := start(t, db, t.TempDir())
	_, there := start(t, db, t.TempDir())
	if j := send(t, one, map[string]string{"public_html/index.html": "first"}); j.State != deploys.Success || !here.is("first")() {
		t.Fatalf("%+v", j)
	}
	eventually(t, there.is("first"))
	if j := send(t, one, map[string]string{"public_html/index.html": "second"}); j.State != deploys.Success {
		t.Fatalf("%+v", j)
	}
	eventually(t, there.is("second"))
	id, err := one.Rollback(t.Context(), "me", nil)
	if err != nil {
		t.Fatal(err)
	}
	if j := wait(t, one, id); j.State != deploys.Success || !here.is("first")() {
		t.Fatalf("%+v", j)
	}
	eventually(t, there.is("first"))
	_, late := start(t, db, t.TempDir())
	if !late.is("first")() {
		t.Error("a server that starts now serves something else")
	}
}

func TestDeploy_AFailureLeavesTheLiveVersion(t *testing.T) {
	t.Parallel()
	s, st := start(t, testkit.DB(t), t.TempDir())
	if j := send(t, s, map[string]string{"public_html/index.html": "good"}); j.State != deploys.Success {
		t.Fatalf("%+v", j)
	}
	for _, bad := range []map[string]string{
		{"public_html/index.html": "broken"},
		{"public_html/index.html": "x", "public_html/a.js": `"sk_live_` + `4eC39HqLyjWDarjtT1zdp7dc"`},
		{"public_html/index.html": "the-master-key"},
	} {
		if j := send(t, s, bad); j.State != deploys.Failed || !strings.Contains(j.Log, "failed: ") {
			t.Errorf("%+v", j)
		}
	}
	if !st.is("good")() {
		t.Error("something else is live")
	}
}

func TestDeploy_WarnsOfPlaceholders(t *testing.T) {
	t.Parallel()
	s, _ := start(t, testkit.DB(t), t.TempDir())
	j := send(t, s, map[string]string{"public_html/index.html": `<your-api-key>`, "public_html/a.css": "<your-thing>"})
	if j.State != deploys.Success || !strings.Contains(j.Log, "warning: public_html/index.html still has the placeholder <your-api-key>") || strings.Contains(j.Log, "thing") {
		t.Errorf("%+v", j)
	}
}

func TestBegin_Refuses(t *testing.T) {
	t.Parallel()
	s, _ := start(t, testkit.DB(t), t.TempDir())
	sum := sha256.Sum256([]byte("x"))
	for path, reason := range map[string]string{"index.html": "archive.no_project", "public_html/../../a": "archive.refused", "public_html/a": "deploys.file_missing"} {
		if _, err := s.Begin(t.Context(), "me", []deploys.File{{Path: path, Hash: sum[:], Size: 1, Mode: 0o644}}); !fault.Is(err, reason) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := s.Keep(t.Context(), sum[:], strings.NewReader("y")); !fault.Is(err, "deploys.bad_hash") {
		t.Error(err)
	}
}

func TestRollback_OfTheFirstDeployIsTheFolder(t *testing.T) {
	t.Parallel()
	s, st := start(t, testkit.DB(t), t.TempDir())
	send(t, s, map[string]string{"public_html/index.html": "first"})
	id, err := s.Rollback(t.Context(), "me", nil)
	if err != nil {
		t.Fatal(err)
	}
	if j := wait(t, s, id); j.State != deploys.Success || !st.is("folder")() {
		t.Errorf("%+v", j)
	}
	gone := int64(99)
	if id, err = s.Rollback(t.Context(), "me", &gone); err != nil {
		t.Fatal(err)
	}
	if j := wait(t, s, id); j.State != deploys.Failed || !strings.Contains(j.Log, "no version 99") {
		t.Errorf("%+v", j)
	}
}

// What an operator has been told to have failed must not come later.
func TestDeploy_GivenUpByOthersIsNeverLive(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s, st := start(t, db, t.TempDir())
	other, _ := start(t, db, t.TempDir())
	st.during = func() { // this server was away for a minute, whatever it has just said of itself
		for end := time.Now().Add(30 * time.Second); ; {
			var id string
			if err := db.Get(t.Context(), &id, `UPDATE app._deploy_job SET beat_at = now() - interval '1 minute' RETURNING id`); err != nil {
				t.Error(err)
			}
			j, err := other.Job(t.Context(), id, 0, 0)
			if err == nil && j.State == deploys.Failed && strings.Contains(j.Log, "run the same command again") {
				return
			}
			if err != nil || time.Now().After(end) {
				t.Errorf("%+v, %v", j, err)
				return
			}
		}
	}
	if j := send(t, s, map[string]string{"public_html/index.html": "late"}); j.State != deploys.Failed || !st.is("folder")() {
		t.Errorf("%+v", j)
	}
}

func TestDeploys_KeepTheirNumber(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, st := start(t, testkit.DB(t), dir)
	for i := range 15 {
		if j := send(t, s, map[string]string{"public_html/index.html": strings.Repeat("x", i+1), "public_html/same": "same"}); j.State != deploys.Success {
			t.Fatalf("%+v", j)
		}
	}
	eventually(t, func() bool { // tidying is beside
		all, err := s.Versions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(all) == 10
	})
	s.Stop()
	if st.mu.Lock(); len(st.closed) != len(st.live) {
		t.Errorf("%d were live, %d are closed", len(st.live), len(st.closed))
	}
	st.mu.Unlock()
}

func TestDeploy_TwoServersAtOnceEndAlike(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	one, here := start(t, db, t.TempDir())
	two, there := start(t, db, t.TempDir())
	var wg sync.WaitGroup
	for who, s := range map[string]*deploys.Service{"one": one, "two": two} {
		wg.Go(func() {
			for i := range 5 {
				j := send(t, s, map[string]string{"public_html/index.html": who + strings.Repeat("x", i)})
				if j.State != deploys.Success && !strings.Contains(j.Log, "begun later") { // of two jobs the later one wins
					t.Errorf("%+v", j)
				}
			}
		})
	}
	wg.Wait()
	var newest int64
	if err := db.Get(t.Context(), &newest, "SELECT version FROM app._deploy_release ORDER BY seq DESC LIMIT 1"); err != nil {
		t.Fatal(err)
	}
	is := func(st *stage) func() bool {
		return func() bool {
			st.mu.Lock()
			defer st.mu.Unlock()
			return st.shown == newest
		}
	}
	eventually(t, is(here))
	eventually(t, is(there))
}

// What was refused stays unpublished, whichever way is tried.
func TestRollback_OnlyToWhatWasLive(t *testing.T) {
	t.Parallel()
	s, st := start(t, testkit.DB(t), t.TempDir())
	if j := send(t, s, map[string]string{"public_html/index.html": "-----BEGIN " + "PRIVATE KEY-----"}); j.State != deploys.Failed {
		t.Fatalf("%+v", j)
	}
	for _, version := range []int64{1, 2, -1} {
		id, err := s.Rollback(t.Context(), "me@example.com", &version)
		if err != nil {
			t.Fatal(err)
		}
		if j := wait(t, s, id); j.State != deploys.Failed || !strings.Contains(j.Log, "no version") {
			t.Errorf("%d: %+v", version, j)
		}
	}
	if !st.is("folder")() {
		t.Error(st.live)
	}
}

// A client may say of its files what it likes.
func TestBegin_CountsBytesItself(t *testing.T) {
	t.Parallel()
	s, _ := start(t, testkit.DB(t), t.TempDir())
	body := strings.Repeat("x", 20<<20)
	sum := sha256.Sum256([]byte(body))
	if err := s.Keep(t.Context(), sum[:], strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	var files []deploys.File
	for i := range 13 {
		files = append(files, deploys.File{Path: fmt.Sprintf("public_html/%d", i), Hash: sum[:], Size: -1, Mode: 0o644})
	}
	if _, err := s.Begin(t.Context(), "me@example.com", files); !fault.Is(err, "archive.too_large") {
		t.Errorf("260 MB: %v", err)
	}
}

func TestDeploys_ForgetTheFolder(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	db := testkit.DB(t)
	s := deploys.New(deploys.Config{DB: db, Dir: t.TempDir(), Stage: &stage{}, Key: make([]byte, 32), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	folder := int64(0)
	for range 3 {
		id, err := s.Rollback(t.Context(), "me@example.com", &folder)
		if err != nil {
			t.Fatal(err)
		}
		wait(t, s, id)
	}
	eventually(t, func() bool {
		var n int
		err := db.Get(t.Context(), &n, "SELECT count(*) FROM app._deploy_release")
		return err == nil && n == 1
	})
	s.Stop()
	if strings.Contains(log.String(), "level=WARN") {
		t.Error(log.String())
	}
}
