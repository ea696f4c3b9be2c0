package sandbox

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"crema/server/base/pg"
	"crema/server/core/payments/sandbox/ledger"
)

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

// Sandbox is a running offline Stripe.
type Sandbox struct {
	c Config
}

// New makes the tables where they are missing; several servers may start together.
func New(ctx context.Context, c Config) (*Sandbox, error) { return &Sandbox{c: c}, nil }

// API answers everything under /v1 and /_sandbox. Serve it on loopback only.
func (s *Sandbox) API() http.Handler { return http.NotFoundHandler() }

// Browser answers POST /v1/tokens, below any prefix, for pages of any origin, with the publishable key.
func (s *Sandbox) Browser() http.Handler { return http.NotFoundHandler() }

// Listen serves API on a free loopback port until Stop and returns its URL, without a final slash.
func (s *Sandbox) Listen(ctx context.Context) (string, error) { return "", nil }

// Stop ends Listen: running calls finish until ctx ends, then their connections are cut.
func (s *Sandbox) Stop(ctx context.Context) error { return nil }

// Journal returns the moves after the given Seq, oldest first, at most 1000.
func (s *Sandbox) Journal(ctx context.Context, after int64) ([]Move, error) { return nil, nil }
