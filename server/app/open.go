package app

import (
	"context"
	"log/slog"
	"net/url"
	"strings"

	"crema/migrations"
	"crema/server/base/cluster"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/payments"
)

// Tools are the parts that a command works with, beside a running server or without one.
type Tools struct{ *App }

// Open opens the database and the payments room for a command. It serves nobody, changes no table and
// starts no work in the background. The private cluster is attached to when it runs, else it runs until
// Stop; with the built-in sandbox, another one opens on the same database. Reasons: app.no_data,
// app.old_database, app.new_database and what Start returns.
func Open(ctx context.Context, c *config.Config, log *slog.Logger) (Tools, error) {
	t, err := OpenDatabase(ctx, c, log)
	if err == nil {
		err = t.OpenPayments(ctx)
	}
	return t, err
}

// OpenDatabase is Open without the payments room, which OpenPayments adds.
func OpenDatabase(ctx context.Context, c *config.Config, log *slog.Logger) (Tools, error) {
	a := newApp(c, log)
	return Tools{a}, a.open(ctx, a.attachDatabase)
}

// OpenOperators is OpenDatabase that refuses tables of another version.
func OpenOperators(ctx context.Context, c *config.Config, log *slog.Logger) (Tools, error) {
	a := newApp(c, log)
	return Tools{a}, a.open(ctx, a.attachDatabase, a.checkVersion)
}

// OpenAccount opens the payments room without a database: only the provider can be talked to.
func OpenAccount(ctx context.Context, c *config.Config, log *slog.Logger) (Tools, error) {
	a := newApp(c, log)
	if c.Stripe.Sandbox() && c.Stripe.SandboxURL == "" {
		return Tools{a}, fault.New(fault.NotConfigured, "app.no_account",
			"no Stripe account is configured, and the built-in sandbox needs nothing made at it; set STRIPE_SECRET_KEY first")
	}
	return Tools{a}, a.open(ctx, a.openPayments)
}

// OpenPayments opens the room. When it fails, everything is stopped.
func (t Tools) OpenPayments(ctx context.Context) error {
	return t.open(ctx, t.checkVersion, t.openPayments)
}

// Database is the app's database.
func (t Tools) Database() *pg.DB { return t.db }

// ShopURL is where shoppers find the shop, without a slash at its end.
func (t Tools) ShopURL() string { return t.c.PublicURL }

// HasPublicURL says that PUBLIC_URL was given.
func (t Tools) HasPublicURL() bool { return t.c.PublicURLGiven }

// InSandbox says that no Stripe account is used.
func (t Tools) InSandbox() bool { return t.c.Stripe.Sandbox() }

// Payments is the room. It has not been started.
func (t Tools) Payments() *payments.Service { return t.rooms.payments }

// Sandbox is an offline Stripe in a process of its own.
type Sandbox struct {
	*App
	URL string
}

// StartSandbox serves a sandbox on a loopback address, for servers that are given STRIPE_SANDBOX_URL. Its
// keys are the configured test keys, else those that such a server derives. Stop ends it.
func StartSandbox(ctx context.Context, c *config.Config, log *slog.Logger, address string) (Sandbox, error) {
	a := newApp(c, log)
	s := Sandbox{App: a}
	if c.Stripe.Live() {
		return s, fault.New(fault.NotConfigured, "app.live_sandbox", "STRIPE_SECRET_KEY is a live key; the sandbox takes test keys only")
	}
	return s, a.open(ctx, a.attachDatabase, func(ctx context.Context) (err error) {
		a.rooms.keys = a.providerKeys()
		if s.URL, err = a.runSandbox(ctx, address, nil); err == nil {
			a.rooms.sandbox.Start(ctx)
		}
		return err
	})
}

func (a *App) attachDatabase(ctx context.Context) error {
	url := a.c.DatabaseURL.Reveal()
	if url == "" {
		var err error
		if url, err = a.attachCluster(ctx); err != nil {
			return err
		}
	}
	return a.connect(ctx, url)
}

// attachCluster finds the private cluster, or runs it.
func (a *App) attachCluster(ctx context.Context) (string, error) {
	if !cluster.Exists(a.c.DataDir) {
		return "", NoData(a.c)
	}
	url, _, err := cluster.Attach(a.c.DataDir)
	if !fault.Is(err, "cluster.not_running") {
		return url, err
	}
	if err := a.startCluster(ctx, nil); err != nil { // its daily lines are not what the command was asked for
		return "", err
	}
	return a.cluster.URL(cluster.Database), nil
}

// NoData says that there is no private database where the configuration points to.
func NoData(c *config.Config) error {
	return fault.New(fault.NotConfigured, "app.no_data",
		"there is no database in %s; go to the folder of app.json, set CREMA_DATA, or start the server first (make run)", c.DataDir)
}

// checkVersion keeps a command from working on tables that it does not know.
func (a *App) checkVersion(ctx context.Context) error {
	have, newest, err := a.db.Version(ctx, migrations.Files)
	switch {
	case err != nil:
		return err
	case have < newest:
		return fault.New(fault.NotConfigured, "app.old_database",
			"the tables in %s are of version %d and this program needs %d; start the server once, it brings them up to date", a.db.Named(), have, newest)
	case have > newest:
		return fault.New(fault.NotConfigured, "app.new_database",
			"the tables in %s are of version %d and this program knows %d; use the newer program", a.db.Named(), have, newest)
	}
	return nil
}

// Loopback says whether an address host:port is one of this machine's own.
func Loopback(address string) bool {
	u, err := url.Parse("http://" + address)
	return err == nil && u.Port() != "" && (u.Hostname() == "localhost" || u.Hostname() == "::1" || strings.HasPrefix(u.Hostname(), "127."))
}
