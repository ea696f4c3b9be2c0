package payments

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"crema/server/base/pg"
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
	DB        *pg.DB
	Log       *slog.Logger
	Install   string // tells installations that share one provider account apart
	Mode      Mode
	SecretKey string
	URL       string        // of the sandbox; "" is Stripe
	Every     time.Duration // between two looks of the reconciler; 0: 5 s
	Alone     bool          // no other server can be on this database: leases that are there belong to the dead
}

// Service takes payments. Make it with New; Start and Stop run the reconciler.
type Service struct {
	c        Config
	db       *pg.DB
	provider provider
	sealer   sealer
	owner    string // of leases
	work     sync.WaitGroup
	stop     context.CancelFunc
	patience time.Duration // of a caller; then it reads "processing" while the work goes on
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
	sealer, err := newSealer(c.SecretKey)
	if err != nil {
		return nil, err
	}
	if c.Every == 0 {
		c.Every = 5 * time.Second
	}
	return &Service{c: c, db: c.DB, provider: newProvider(c.SecretKey, c.URL), sealer: sealer, owner: uuid.NewString(), patience: replyAfter}, nil
}

// Mode returns whose money moves.
func (s *Service) Mode() Mode { return s.c.Mode }

// Products returns what is for sale, in the shop's order.
func (s *Service) Products(ctx context.Context) ([]Product, error) {
	products := []Product{}
	return products, s.db.Select(ctx, &products, selectProducts)
}

// Start finishes what an earlier server left open, and goes on doing so until Stop.
func (s *Service) Start(ctx context.Context) {
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.work.Go(func() {
		if s.c.Alone {
			s.dropLeases(ctx)
		}
		tick := time.NewTicker(s.c.Every)
		defer tick.Stop()
		for {
			s.reconcile(ctx)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

func (s *Service) dropLeases(ctx context.Context) {
	if _, err := s.db.Exec(ctx, dropLeases, s.owner); err != nil {
		s.c.Log.WarnContext(ctx, "leases of an earlier server stay until they end", "error", err)
	}
}

// Stop ends the reconciler and waits for running calls to the provider, at most until ctx ends. What
// is still open then is finished by the next server.
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
