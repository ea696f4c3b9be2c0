package deploys_test

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"crema/server/base/pg"
	"crema/server/core/deploys"
	"crema/server/testkit"
)

// wire stands between a server and its PostgreSQL.
type wire struct {
	network, to string
	armed       atomic.Bool // the next COMMIT gets no answer
	lost        atomic.Bool // it reaches PostgreSQL or not
}

// through returns a database that is reached through w.
func through(t *testing.T, w *wire, db *pg.DB) *pg.DB {
	t.Helper()
	u, err := url.Parse(db.URL())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w.network, w.to = "tcp", u.Host
	if q := u.Query(); u.Host == "" {
		w.network, w.to = "unix", filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port"))
		q.Del("host")
		q.Del("port")
		u.RawQuery = q.Encode()
	}
	u.Host = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.carry(c)
		}
	}()
	other, err := pg.Open(t.Context(), pg.Config{URL: u.String(), Schema: testkit.Schema, MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return other
}

func (w *wire) carry(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial(w.network, w.to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	back := make(chan struct{})
	var cut atomic.Bool
	go func() {
		defer close(back)
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil || cut.Load() { // the answer to the COMMIT ends here
				_ = client.Close()
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if err == nil && bytes.Contains(buffer[:n], []byte("COMMIT")) && w.armed.CompareAndSwap(true, false) {
			cut.Store(true)
			if w.lost.Load() {
				return
			}
			if _, err := server.Write(buffer[:n]); err == nil {
				<-back
			}
			return
		}
		if err == nil {
			_, err = server.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// When the answer to the commit of a release is lost, what is told and what is live are what was committed.
func TestDeploy_WhenTheAnswerToTheCommitIsLost(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"committed": false, "not committed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := testkit.DB(t)
			w := &wire{}
			w.lost.Store(lost)
			st := &stage{}
			s := deploys.New(deploys.Config{DB: through(t, w, db), Dir: t.TempDir(), Stage: st, Key: make([]byte, 32), Failpoint: func(at string) {
				if at == "deploy-releasing" {
					w.armed.Store(true)
				}
			}})
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			j := send(t, s, map[string]string{"public_html/index.html": "first"})
			want, live := deploys.Success, "first"
			if lost {
				want, live = deploys.Failed, "folder"
			}
			if j.State != want || !st.is(live)() || w.armed.Load() {
				t.Errorf("%+v, and live is %q", j, st.live)
			}
		})
	}
}

// A power cut may leave a file of a copy empty, however whole its folder appeared.
func TestStart_MakesDamagedCopiesAgain(t *testing.T) {
	t.Parallel()
	db, dir := testkit.DB(t), t.TempDir()
	s, _ := start(t, db, dir)
	if j := send(t, s, map[string]string{"public_html/index.html": "first", "public_html/sub/a.css": "a"}); j.State != deploys.Success {
		t.Fatalf("%+v", j)
	}
	s.Stop()
	pages, err := filepath.Glob(filepath.Join(dir, "versions", "*", "public_html", "index.html"))
	if err != nil || len(pages) != 1 {
		t.Fatal(pages, err)
	}
	if err := os.Truncate(pages[0], 0); err != nil {
		t.Fatal(err)
	}
	if _, st := start(t, db, dir); !st.is("first")() {
		t.Errorf("%q is live", st.live)
	}
}

// forgetful is a stage during which another server forgets the version.
type forgetful struct {
	*stage
	db *pg.DB
}

func (f forgetful) Prepare(ctx context.Context, v deploys.Version, say func(string)) (deploys.Ready, error) {
	for _, sql := range []string{"DELETE FROM app._deploy_release WHERE version = $1", "DELETE FROM app._deploy_version WHERE id = $1"} {
		if _, err := f.db.Exec(ctx, sql, v.ID); err != nil {
			return nil, err
		}
	}
	return f.stage.Prepare(ctx, v, say)
}

func TestRelease_OfAVersionThatIsForgotten(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := deploys.New(deploys.Config{DB: db, Dir: t.TempDir(), Stage: forgetful{&stage{}, db}, Key: make([]byte, 32)})
	t.Cleanup(s.Stop)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if j := send(t, s, map[string]string{"public_html/index.html": "x"}); j.State != deploys.Failed || !strings.Contains(j.Log, "just been forgotten") {
		t.Errorf("%+v", j)
	}
}
