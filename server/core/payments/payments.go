package payments

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"crema/server/base/pg"
	"crema/server/core/payments/provider"
	"crema/server/core/payments/seal"
)

// Mode says whose money moves.
type Mode string

// The modes. In Sandbox no money moves at all.
const (
	Sandbox Mode = "sandbox"
	Test    Mode = "test"
	Live    Mode = "live"
)

// Config is what the room needs.
type Config struct {
	DB             *pg.DB
	Log            *slog.Logger
	Install        string // tells installations that share one provider account apart
	Mode           Mode
	SecretKey      string
	URL            string            // of the sandbox; "" is Stripe
	PublicURL      string            // of the shop, without a slash at its end: where the provider sends shoppers back to
	LinkKey        string            // secret that order links are made with
	WebhookSecrets []string          // several while a secret is rolled
	TokenPath      bool              // card tokens are taken (process_payment); hosted checkout always is
	Every          time.Duration     // between two looks of the reconciler; 0: 5 s
	Alone          bool              // no other server can be on this database: leases that are there belong to the dead
	Limits         Limits            // zero: DefaultLimits
	Failpoint      func(name string) // tests only: called at each point where a crash is worth testing
}

// Service takes payments. Make it with New; Start and Stop run what goes on in the background.
type Service struct {
	c        Config
	db       *pg.DB
	provider provider.Client
	breaker  *provider.Breaker
	sealer   seal.Sealer
	catalog  catalogue
	alarm    alarm
	owner    string // of leases
	work     sync.WaitGroup
	stop     context.CancelFunc
	patience time.Duration // of a caller; then it reads "processing" while the work goes on
	kick     chan struct{} // wakes the worker of notices
}

// Times of the room. A lease is renewed while its attempt is worked on, so it is short: what a dead
// server left is taken over when it ends.
const (
	lease      = 15 * time.Second
	sendBudget = 45 * time.Second // for one round of tries, whatever the browser does
	replyAfter = 10 * time.Second
)

// New returns a service. It does nothing by itself before Start.
func New(c Config) (*Service, error) {
	c.Log = cmp.Or(c.Log, slog.Default())
	sealer, err := seal.New(c.SecretKey)
	if err != nil {
		return nil, err
	}
	if c.Every == 0 {
		c.Every = 5 * time.Second
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits()
	}
	if c.Failpoint == nil {
		c.Failpoint = func(string) {}
	}
	return &Service{
		c: c, db: c.DB, provider: provider.New(c.SecretKey, c.URL, c.Log), breaker: provider.NewBreaker(), sealer: sealer,
		catalog: catalogue{db: c.DB}, owner: uuid.NewString(), patience: replyAfter, kick: make(chan struct{}, 1),
	}, nil
}

// Mode returns whose money moves.
func (s *Service) Mode() Mode { return s.c.Mode }

// TokenPath says whether card tokens are taken.
func (s *Service) TokenPath() bool { return s.c.TokenPath }

// Products returns what is for sale, in the shop's order.
func (s *Service) Products(ctx context.Context) ([]Product, error) { return s.catalog.load(ctx) }

// Start finishes what an earlier server left open, and goes on doing so until Stop.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if s.c.Alone {
		s.dropLeases(ctx)
	}
	s.work.Go(func() { s.every(ctx, s.c.Every, nil, s.reconcile) })
	s.work.Go(func() { s.every(ctx, s.c.Every, s.kick, s.readNotices) })
	s.work.Go(func() { s.every(ctx, sweepEvery, nil, s.sweepYesterday) })
}

// every runs fn now, at every tick and whenever it is kicked.
func (s *Service) every(ctx context.Context, d time.Duration, kick <-chan struct{}, fn func(context.Context)) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		fn(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-kick:
		}
	}
}

func (s *Service) dropLeases(ctx context.Context) {
	for _, q := range []string{dropLeases, dropRefundLeases} {
		if _, err := s.db.Exec(ctx, q, s.owner); err != nil {
			s.c.Log.WarnContext(ctx, "leases of an earlier server stay until they end", "error", err)
		}
	}
}

// Stop ends the background work and waits for running calls to the provider, at most until ctx ends.
// What is still open then is finished by the next server.
func (s *Service) Stop(ctx context.Context) {
	if s.stop != nil {
		s.stop()
	}
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// catalogue remembers the products. What it says is checked again by the statement that sells.
type catalogue struct {
	db    *pg.DB
	mu    sync.Mutex
	known map[string]Product // by name
}

func (c *catalogue) load(ctx context.Context) ([]Product, error) {
	products := []Product{}
	if err := c.db.Select(ctx, &products, selectProducts); err != nil {
		return nil, err
	}
	byName := make(map[string]Product, len(products))
	for _, p := range products {
		byName[p.Name] = p
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = byName
	return products, nil
}

// named returns a product that was for sale when the catalogue was last read.
func (c *catalogue) named(name string) (Product, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.known[name]
	return p, ok
}
