package sandbox

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/payments/sandbox/api"
	"crema/server/core/payments/sandbox/ledger"
)

// keepReplies is how long the answer of an idempotency key is replayed, on the sandbox's clock.
const keepReplies = 24 * time.Hour

// Config is what a sandbox needs.
type Config struct {
	DB             *pg.DB           // bound to the app's schema; the tables live in schema "stripe_<app's schema>"
	Log            *slog.Logger     // nil: no log
	Now            func() time.Time // the sandbox's clock; nil: time.Now
	SecretKey      string           // sk_test_...
	PublishableKey string           // pk_test_...
	AdminToken     string           // bearer token of /_sandbox/*; empty: those paths do not exist
}

// Move is one move of money. Amount is in minor units and positive.
type Move = ledger.Move

// Sandbox is a running offline Stripe. It is safe for concurrent use.
type Sandbox struct {
	c      Config
	ledger *ledger.Ledger
	routes []api.Route
	faults *faults

	life context.Context // ends with Stop: nobody waits in a delay any longer
	end  context.CancelFunc
	mu   sync.Mutex
	http *http.Server
}

// New makes the tables where they are missing; several servers may start together. It fails with
// sandbox.live_key or sandbox.bad_key when the keys are not those of a test mode.
func New(ctx context.Context, c Config) (*Sandbox, error) {
	if err := checkKeys(c); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	l, err := ledger.Open(ctx, c.DB)
	if err != nil {
		return nil, err
	}
	if err := l.PruneReplies(ctx, c.Now().Add(-keepReplies).Unix()); err != nil {
		return nil, err
	}
	s := &Sandbox{c: c, ledger: l, routes: api.Routes(), faults: newFaults()}
	s.life, s.end = context.WithCancel(context.Background())
	return s, nil
}

func checkKeys(c Config) error {
	for key, prefix := range map[string]string{c.SecretKey: "sk_test_", c.PublishableKey: "pk_test_"} {
		if strings.Contains(key, "_live_") {
			return fault.New(fault.NotConfigured, "sandbox.live_key", "the sandbox never takes a live key; give it test keys")
		}
		if !strings.HasPrefix(key, prefix) || len(key) < len(prefix)+8 {
			return fault.New(fault.NotConfigured, "sandbox.bad_key", "a key of the sandbox must begin with %s and have at least 8 characters more", prefix)
		}
	}
	return nil
}

// API answers everything under /v1 and /_sandbox. Serve it on loopback only.
func (s *Sandbox) API() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, controlPrefix) {
			s.control(w, r)
			return
		}
		s.serve(w, r, false)
	})
}

// Browser answers POST /v1/tokens, below any prefix, for pages of any origin, with the publishable key.
func (s *Sandbox) Browser() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, tokensPath) || r.Method != http.MethodPost && r.Method != http.MethodOptions {
			http.NotFound(w, r)
			return
		}
		inner := r.Clone(r.Context())
		inner.URL.Path = tokensPath
		s.serve(w, inner, true)
	})
}

// Listen serves API on a free loopback port until Stop and returns its URL, without a final slash.
func (s *Sandbox) Listen(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return "", fault.New(fault.Internal, "sandbox.listening", "the sandbox listens already")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "sandbox.listen", "the sandbox cannot listen on loopback")
	}
	server := &http.Server{
		Handler: s.API(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.c.Log.Handler(), slog.LevelWarn),
	}
	s.http = server
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.c.Log.Error("the sandbox stopped listening", "err", err)
		}
	}()
	return "http://" + l.Addr().String(), nil
}

// Stop ends Listen: running calls finish until ctx ends, then their connections are cut. Delays end at once.
func (s *Sandbox) Stop(ctx context.Context) error {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return nil
	}
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close()
		err = fault.From(err)
	}
	s.http = nil
	return err
}

// Journal returns the moves after the given Seq, oldest first, at most 1000.
func (s *Sandbox) Journal(ctx context.Context, after int64) ([]Move, error) {
	return s.ledger.Moves(ctx, after, 1000)
}
