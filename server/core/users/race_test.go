package users

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/acl"
	"crema/server/core/records"
	"crema/server/core/schema"
	"crema/server/testkit"
)

func newService(t testing.TB, db *pg.DB, change func(*Config)) *Service {
	t.Helper()
	own := schema.New(db)
	c := Config{DB: db, Schema: own, Records: records.New(records.Config{DB: db, Schema: own, DevMode: true}), HashCost: bcrypt.MinCost}
	if change != nil {
		change(&c)
	}
	s := New(c)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func name(s string) []records.Field { return []records.Field{{Name: "username", Value: s}} }

func signUp(t testing.TB, s *Service, who, password string) Auth {
	t.Helper()
	a, err := s.SignUp(t.Context(), Credentials{AuthData: name(who), Password: password}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Somebody who has proved the old password, or has shown an old token, must not get a new token once the
// password has changed, however close the two are.
func TestIssue_NothingSlipsPastANewPassword(t *testing.T) {
	t.Parallel()
	s := newService(t, testkit.DB(t), nil)
	for who, statement := range map[string]string{"bob": issueAtLogIn, "ann": issueAgain} {
		bob := signUp(t, s, who, "old")
		asBob := acl.WithActor(t.Context(), acl.Actor{UserID: bob.UserID})
		proved, err := s.byID(asBob, bob.UserID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.ChangePassword(asBob, "old", "new"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.issue(asBob, proved, statement); !fault.Is(err, "users.wrong_password") {
			t.Errorf("got %v", err)
		}
		if _, err := s.Me(asBob, bob.Token); !fault.Is(err, "users.token_refused") {
			t.Errorf("me with a token of before: %v", err)
		}
	}
}

// The row of the account makes the two wait for each other: a token that is issued while the password
// changes is either refused or ended.
func TestIssue_WhileThePasswordChanges(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := newService(t, db, nil)
	bob := signUp(t, s, "bob", "old")
	proved, err := s.byID(t.Context(), bob.UserID)
	if err != nil {
		t.Fatal(err)
	}
	issued := make(chan error, 1)
	err = db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error {
		if err := s.replace(ctx, tx, proved, "$2a$04$new", s.newToken(s.now())); err != nil {
			return err
		}
		go func() {
			_, err := s.issue(t.Context(), proved, issueAtLogIn)
			issued <- err
		}()
		return waitForLock(ctx, db)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-issued; !fault.Is(err, "users.wrong_password") {
		t.Errorf("a token was issued: %v", err)
	}
}

// waitForLock returns when somebody waits for a lock in this database.
func waitForLock(ctx context.Context, db *pg.DB) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		var n int
		err := db.Get(ctx, &n, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = $1", "Lock")
		if err != nil || n > 0 {
			return err
		}
	}
}

func TestHasher_FewAtATimeAndFewWait(t *testing.T) {
	t.Parallel()
	h := newHasher(bcrypt.MinCost, 2)
	var mu sync.Mutex
	running, most := 0, 0
	hold := make(chan struct{})
	started := make(chan struct{}, 2)
	var wg sync.WaitGroup
	work := func() error {
		return h.work(t.Context(), func() error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			select {
			case started <- struct{}{}:
			default:
			}
			<-hold
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		})
	}
	results := make(chan error, 2*perSlot+50)
	for range cap(results) {
		wg.Go(func() { results <- work() })
	}
	<-started
	<-started
	busy := 0
	for range 50 { // those beyond the bound answer at once
		if err := <-results; fault.Is(err, "users.busy") {
			busy++
		}
	}
	close(hold)
	wg.Wait()
	if busy != 50 || most != 2 {
		t.Errorf("%d were sent away, %d ran at once", busy, most)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h = newHasher(bcrypt.MinCost, 1)
	h.slots <- struct{}{}
	if err := h.work(ctx, work); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that is gone waits: %v", err)
	}
}

// Whoever has no account, or one without a usable hash, costs a whole comparison.
func TestMatches_NobodyCostsAsMuch(t *testing.T) {
	t.Parallel()
	for _, cost := range []int{0, 6} {
		h := newHasher(cost, 1)
		if got, err := bcrypt.Cost(h.nobody); err != nil || got != h.cost {
			t.Errorf("nobody's hash costs %d, %v; want %d", got, err, h.cost)
		}
	}
	const cost = 10
	hash, err := bcrypt.GenerateFromPassword([]byte("pw"), cost)
	if err != nil {
		t.Fatal(err)
	}
	quickest := func(fn func()) time.Duration {
		best := time.Hour
		for range 2 {
			start := time.Now()
			fn()
			best = min(best, time.Since(start))
		}
		return best
	}
	s := newService(t, testkit.DB(t), func(c *Config) { c.HashCost = cost })
	signUp(t, s, "bob", "pw")
	signUp(t, s, "none", "pw")
	if _, err := s.db.Exec(t.Context(), "UPDATE app._auth SET password = NULL WHERE id = (SELECT _id FROM app.\"user\" WHERE username = $1)", "none"); err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{"bob", "nobody", "none"} {
		one := quickest(func() { _ = bcrypt.CompareHashAndPassword(hash, []byte("x")) })
		took := quickest(func() {
			if _, err := s.LogIn(t.Context(), Credentials{AuthData: name(who), Password: "wrong"}); err == nil {
				t.Error("a wrong password was right")
			}
		})
		if took < one/10 { // without a comparison it would be a hundredth
			t.Errorf("%s was refused after %v; a comparison takes %v", who, took, one)
		}
	}
}

func TestSecrets_NoneIsStoredOrTold(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := newService(t, db, func(c *Config) { c.CustomTokenSecret, c.Policy.HistorySize = "very-secret", 3 })
	const password, wrong = "correct horse", "battery staple"
	bob := signUp(t, s, "bob", password)
	asBob := acl.WithActor(t.Context(), acl.Actor{UserID: bob.UserID})
	var hash string
	if err := db.Get(t.Context(), &hash, "SELECT password FROM app._auth WHERE id = $1", bob.UserID); err != nil {
		t.Fatal(err)
	}
	var errs []error
	add := func(_ any, err error) { errs = append(errs, err) }
	add(s.LogIn(t.Context(), Credentials{AuthData: name("bob"), Password: wrong}))
	add(s.SignUp(t.Context(), Credentials{AuthData: name("bob"), Password: wrong}, nil))
	add(s.ChangePassword(asBob, wrong, wrong))
	add(s.ChangePassword(asBob, password, password))
	add(s.Session(t.Context(), bob.Token+"x"))
	add(s.Me(asBob, bob.Token+"x"))
	add(s.CustomTokenLogIn(t.Context(), "eyJhbGciOiJub25lIn0."+wrong+".x"))
	for i, err := range errs {
		if err == nil {
			t.Errorf("call %d did not fail", i)
			continue
		}
		for _, secret := range []string{password, wrong, bob.Token, hash, "very-secret"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("an error tells a secret: %v", err)
			}
		}
	}
	for _, table := range []string{"_auth", "_access_token", "_login_failure", "_password_history", `"user"`} {
		var rows []string
		if err := db.Select(t.Context(), &rows, "SELECT t::text FROM app."+table+" t"); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(rows, "\n")
		for _, secret := range []string{password, wrong, bob.Token} {
			if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString([]byte(secret))) {
				t.Errorf("table %s holds a secret: %s", table, text)
			}
		}
	}
	var stored []byte
	if err := db.Get(t.Context(), &stored, "SELECT hash FROM app._access_token LIMIT 1"); err != nil || !bytes.Equal(stored, hashToken(bob.Token)) {
		t.Errorf("%x, %v", stored, err)
	}
}

func TestTokens_ExpireAndAreSwept(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var mu sync.Mutex
	s := newService(t, testkit.DB(t), func(c *Config) {
		c.TokenLife = time.Hour
		c.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	bob := signUp(t, s, "bob", "pw")
	if got, err := s.Session(t.Context(), bob.Token); err != nil || got.UserID != bob.UserID || got.Refused() != nil {
		t.Fatalf("%+v, %v", got, err)
	}
	mu.Lock()
	now = now.Add(time.Hour + time.Second)
	mu.Unlock()
	if _, err := s.Session(t.Context(), bob.Token); !fault.Is(err, "users.token_refused") {
		t.Errorf("an expired token: %v", err)
	}
	for range 2 { // the first log-in sweeps
		if _, err := s.LogIn(t.Context(), Credentials{AuthData: name("bob"), Password: "pw"}); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := s.db.Get(t.Context(), &n, "SELECT count(*) FROM app._access_token"); err != nil || n != 2 {
		t.Errorf("%d tokens are stored, %v; want 2", n, err)
	}
}

// Plugins cut the mark to seconds, so a token may be up to a second older. Wire: skygear §1.3.
func TestSession_ToleratesASecond(t *testing.T) {
	t.Parallel()
	s := newService(t, testkit.DB(t), nil)
	bob := signUp(t, s, "bob", "pw")
	for late, refused := range map[string]bool{"0.9 s": false, "1.1 s": true} {
		if _, err := s.db.Exec(t.Context(), "UPDATE app._auth SET token_valid_since = (SELECT issued_at FROM app._access_token) + $1::interval", late); err != nil {
			t.Fatal(err)
		}
		got, err := s.Session(t.Context(), bob.Token)
		if err != nil || (got.Refused() != nil) != refused {
			t.Errorf("%s: %v, %v", late, got.Refused(), err)
		}
	}
}

// Old plugins change passwords and names through the view. Wire: skygear T39.
func TestUserView_CanBeUpdatedT39(t *testing.T) {
	t.Parallel()
	s := newService(t, testkit.DB(t), nil)
	signUp(t, s, "bob", "pw")
	hash, err := bcrypt.GenerateFromPassword([]byte("pw2"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec(t.Context(), "UPDATE app._user SET password = $1, username = 'Bob', email = 'b@bean.example' WHERE username = 'bob'", string(hash)); err != nil {
		t.Fatal(err)
	}
	got, err := s.LogIn(t.Context(), Credentials{AuthData: []records.Field{{Name: "email", Value: "b@bean.example"}}, Password: "pw2"})
	if err != nil || got.Profile.Get("username") != "Bob" {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkSession(b *testing.B) {
	s := newService(b, testkit.DB(b), nil)
	bob := signUp(b, s, "bob", "pw")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Session(b.Context(), bob.Token); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLogIn_RefusalsOfProvidersCountAgainstTheAddress(t *testing.T) {
	t.Parallel()
	s := newService(t, testkit.DB(t), func(c *Config) {
		c.Limits.FailuresPerAddress = 3
		c.Providers = func(name string) (Provider, bool) { return saying(strings.TrimPrefix(name, "no")), true }
	})
	from := func(address string) context.Context {
		return acl.WithActor(t.Context(), acl.Actor{Key: acl.ClientKey, Address: address})
	}
	for range 3 {
		if _, err := s.LogIn(from("192.0.2.1"), Credentials{Provider: "no"}); !fault.Is(err, "users.provider_refused") {
			t.Fatal(err)
		}
	}
	for provider, want := range map[string]string{"no": "users.too_many_failures", "lee": "users.too_many_failures"} {
		if _, err := s.LogIn(from("192.0.2.1"), Credentials{Provider: provider}); !fault.Is(err, want) {
			t.Errorf("%s: %v", provider, err)
		}
	}
	for _, address := range []string{"192.0.2.2", ""} {
		if _, err := s.LogIn(from(address), Credentials{Provider: "lee"}); err != nil {
			t.Errorf("from %q: %v", address, err)
		}
	}
}

type saying string

func (p saying) LogIn(context.Context, json.RawMessage) (string, json.RawMessage, error) {
	return string(p), nil, nil
}

// Two servers that meet a principal for the first time at once make one account.
func TestLogIn_OneAccountForAPrincipal(t *testing.T) {
	t.Parallel()
	db := testkit.DB(t)
	s := newService(t, db, func(c *Config) {
		c.Providers = func(string) (Provider, bool) { return saying("lee"), true }
	})
	bob := signUp(t, s, "bob", "pw")
	type outcome struct {
		auth Auth
		err  error
	}
	done := make(chan outcome, 1)
	err := db.Tx(t.Context(), func(ctx context.Context, tx *pg.Tx) error { // the other server
		if _, err := tx.Exec(ctx, lockName, "provider p:lee"); err != nil {
			return err
		}
		go func() {
			auth, err := s.LogIn(t.Context(), Credentials{Provider: "p"})
			done <- outcome{auth, err}
		}()
		if err := waitForLock(ctx, db); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, updateProviderInfo, bob.UserID, *providerInfo("p:lee", nil))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := <-done; o.err != nil || o.auth.UserID != bob.UserID {
		t.Errorf("got %+v, want the account that the other server made: %s", o, bob.UserID)
	}
	var n int
	if err := db.Get(t.Context(), &n, "SELECT count(*) FROM app._auth"); err != nil || n != 1 {
		t.Errorf("%d accounts, %v", n, err)
	}
}
