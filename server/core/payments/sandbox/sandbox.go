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
	Now            func() time.Time // nil: time.Now. The sandbox's clock is this and what was added to it, see Advance
	SecretKey      string           // sk_test_...
	PublishableKey string           // pk_test_...
	AdminToken     string           // bearer token of /_sandbox/*; empty: those paths do not exist
	PublicURL      func() string    // the origin under which browsers reach Browser, without a final slash; nil or "": the address that a call was sent to
	WebhookSecret  string           // signs what goes to the endpoints that Endpoint makes; empty: derived from the secret key
	Retries        []time.Duration  // waits between the tries of a webhook; nil: 1 s, 5 s, 30 s
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
	wake chan struct{} // there may be something to deliver
	mu   sync.Mutex
	http *http.Server
	work sync.WaitGroup // the courier
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
	if c.Retries == nil {
		c.Retries = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second}
	}
	l, err := ledger.Open(ctx, c.DB)
	if err != nil {
		return nil, err
	}
	if err := l.PruneReplies(ctx, c.Now().Add(-keepReplies).Unix()); err != nil {
		return nil, err
	}
	s := &Sandbox{c: c, ledger: l, routes: api.Routes(), faults: newFaults(), wake: make(chan struct{}, 1)}
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

// Handler is API and Browser on one address.
func (s *Sandbox) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.API())
	mux.Handle(browserPrefix, s.Browser())
	return mux
}

// Start runs the courier, which delivers webhooks and ends what has expired, until Stop. Without Start
// both are only written down. Several sandboxes on one database share the work.
func (s *Sandbox) Start(context.Context) {
	s.work.Go(s.courier)
}

// Listen is ListenOn a free loopback port.
func (s *Sandbox) Listen(ctx context.Context) (string, error) { return s.ListenOn(ctx, "127.0.0.1:0") }

// ListenOn serves Handler on an address until Stop and returns its URL, without a final slash. Keep the
// address on loopback: whoever has the secret key may do everything.
func (s *Sandbox) ListenOn(ctx context.Context, address string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return "", fault.New(fault.Internal, "sandbox.listening", "the sandbox listens already")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fault.Wrap(err, fault.Unavailable, "sandbox.listen", "the sandbox cannot listen on %s", address)
	}
	server := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
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

// Stop ends Start and Listen: running calls finish until ctx ends, then their connections are cut. Delays
// end at once; deliveries that run are taken up again later.
func (s *Sandbox) Stop(ctx context.Context) error {
	s.end()
	s.work.Wait()
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

// Advance moves the sandbox's clock forward, for every sandbox on the database, and does what is due by
// then: sessions expire, refunds settle, idempotency keys are forgotten.
func (s *Sandbox) Advance(ctx context.Context, d time.Duration) error {
	if err := s.ledger.Advance(ctx, d); err != nil {
		return err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	if err := s.ledger.PruneReplies(ctx, now.Add(-keepReplies).Unix()); err != nil {
		return err
	}
	return s.settle(ctx)
}

// Now is the sandbox's time.
func (s *Sandbox) Now(ctx context.Context) (now time.Time, err error) {
	err = s.ledger.Tx(ctx, func(ctx context.Context, tx *ledger.Tx) error {
		now, err = s.now(ctx, tx)
		return err
	})
	return now, err
}

func (s *Sandbox) now(ctx context.Context, tx *ledger.Tx) (time.Time, error) {
	ahead, err := tx.Ahead(ctx)
	return s.c.Now().Add(ahead), err
}
