package payments

import (
	"cmp"
	"context"
	"log/slog"
	"math"
	"slices"
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
		catalog: catalogue{db: c.DB, log: c.Log}, owner: uuid.NewString(), patience: replyAfter, kick: make(chan struct{}, 1),
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
	s.work.Go(func() { s.every(ctx, sweepEvery, nil, s.sweepDue) })
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
	log   *slog.Logger
	mu    sync.Mutex
	known map[string]Product // by name
}

// load reads what is for sale. What the provider would refuse to charge is not.
func (c *catalogue) load(ctx context.Context) ([]Product, error) {
	products := []Product{}
	if err := c.db.Select(ctx, &products, selectProducts); err != nil {
		return nil, err
	}
	products = slices.DeleteFunc(products, func(p Product) bool {
		why := p.price().Fault()
		if why != "" {
			c.log.ErrorContext(ctx, "a product is not sold: the provider would refuse its price", "product_id", p.ID, "why", why)
		}
		return why != ""
	})
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

// Health is how the room stands, for monitoring. It names no shopper, no key and no id.
type Health struct {
	Status         string   `json:"status"`                 // ok or degraded
	Why            []string `json:"why,omitempty"`          // of degraded
	Mode           Mode     `json:"mode"`                   // whose money moves
	Key            string   `json:"key"`                    // kind of the secret key: sk_live_, rk_live_, sk_test_, ...
	WebhookSecrets int      `json:"webhook_secrets"`        // how many are configured
	LastNotice     *float64 `json:"last_webhook_seconds"`   // since one came; null: none ever did
	Waiting        int      `json:"webhooks_waiting"`       // stored, not looked into yet
	Open           int      `json:"unknown"`                // attempts whose outcome is not known
	OldestOpen     float64  `json:"oldest_unknown_seconds"` // since it was sent
	NeedsReview    int      `json:"needs_review"`           // attempts that an operator must decide
	OtherMode      int      `json:"open_in_other_mode"`     // open attempts that were made in another mode
	OldRefunds     int      `json:"refunds_open_over_hour"`
	Breaks         int      `json:"breaks_open"`
	Breaker        bool     `json:"breaker_open"`        // the provider does not answer: new attempts are refused
	Alarm          bool     `json:"declines_alarm"`      // too many declined cards: new attempts are refused
	Skew           *float64 `json:"clock_ahead_seconds"` // of the provider's; null: it has not answered yet
}

// Bounds of what is healthy.
const (
	// MaxSkew is what the clock may differ from the provider's: notices over five minutes old are refused.
	MaxSkew = 240 * time.Second
	// MaxUnknown is how long an outcome may stay unknown.
	MaxUnknown = 5 * time.Minute
)

// Health reads a few indexes and asks nobody outside.
func (s *Service) Health(ctx context.Context) (Health, error) {
	var n struct {
		Open        int      `db:"open"`
		OldestOpen  float64  `db:"oldest_open"`
		NeedsReview int      `db:"needs_review"`
		OtherMode   int      `db:"other_mode"`
		Breaks      int      `db:"breaks"`
		OldRefunds  int      `db:"old_refunds"`
		Waiting     int      `db:"notices_waiting"`
		LastNotice  *float64 `db:"last_notice"`
	}
	if err := s.db.Get(ctx, &n, selectHealth, string(s.c.Mode)); err != nil {
		return Health{}, err
	}
	alarm, err := s.closed(ctx)
	h := Health{
		Status: "ok", Mode: s.c.Mode, Key: s.c.SecretKey[:min(8, len(s.c.SecretKey)/2)], WebhookSecrets: len(s.c.WebhookSecrets),
		LastNotice: n.LastNotice, Waiting: n.Waiting, Open: n.Open, OldestOpen: n.OldestOpen, NeedsReview: n.NeedsReview,
		OtherMode: n.OtherMode, OldRefunds: n.OldRefunds, Breaks: n.Breaks, Breaker: s.breaker.Open(), Alarm: alarm,
	}
	if ahead, ok := s.provider.Skew(); ok {
		seconds := ahead.Seconds()
		h.Skew = &seconds
	}
	h.judge()
	return h, err
}

func (h *Health) judge() {
	for why, bad := range map[string]bool{
		"the provider does not answer clearly":                                 h.Breaker,
		"so many cards are declined that new payments are closed":              h.Alarm,
		"the outcome of a payment has been unknown for more than five minutes": h.OldestOpen > MaxUnknown.Seconds(),
		"this machine's clock differs from the provider's":                     h.Skew != nil && math.Abs(*h.Skew) > MaxSkew.Seconds(),
	} {
		if bad {
			h.Status, h.Why = "degraded", append(h.Why, why)
		}
	}
	slices.Sort(h.Why)
}
