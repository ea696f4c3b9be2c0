package app

import (
	"context"
	"log/slog"

	"crema/migrations"
	"crema/server/base/cluster"
	"crema/server/base/config"
	"crema/server/base/fault"
	"crema/server/base/pg"
	"crema/server/core/adoption"
)

// Schema returns the PostgreSQL schema of the app.
func Schema(c *config.Config) string { return "app_" + c.Name }

func (a *App) openDatabase(ctx context.Context) error {
	url := a.c.DatabaseURL.Reveal()
	if url == "" {
		if err := a.startCluster(ctx, a.log); err != nil {
			return err
		}
		url = a.cluster.URL(cluster.Database)
	}
	if err := a.connect(ctx, url); err != nil {
		return err
	}
	if _, err := adoption.Adopt(ctx, adoption.Source{DB: a.db, Migrations: migrations.Files, Log: a.log}); err != nil {
		return err
	}
	n, err := a.db.Migrate(ctx, migrations.Files, a.log)
	if n > 0 {
		a.log.InfoContext(ctx, "migrations applied", "count", n)
	}
	return err
}

func (a *App) connect(ctx context.Context, url string) error {
	db, err := pg.Open(ctx, pg.Config{URL: url, ListenURL: a.c.ListenURL.Reveal(), Schema: Schema(a.c)})
	if err != nil {
		return a.aboutDatabase(err)
	}
	a.db = db
	a.onStop(func(context.Context) { _ = db.Close() })
	a.metrics.WatchPool(db.Stats)
	return nil
}

// aboutDatabase names the setting when the database that it points to cannot be opened.
func (a *App) aboutDatabase(err error) error {
	if a.cluster != nil || fault.From(err).Code == fault.NotConfigured {
		return err
	}
	return fault.Wrap(err, fault.DatabaseUnavailable, "app.database_url",
		"the database of DATABASE_URL cannot be opened; check its address, its user and password, and that PostgreSQL runs there")
}

// startCluster runs the private cluster, which writes to log.
func (a *App) startCluster(ctx context.Context, log *slog.Logger) error {
	c, err := cluster.Start(ctx, cluster.Config{Dir: a.c.DataDir, Log: log})
	if err != nil {
		return err
	}
	a.cluster = c
	a.onStop(func(ctx context.Context) {
		if err := c.Stop(ctx); err != nil {
			a.log.WarnContext(ctx, "PostgreSQL did not stop in order; it recovers at the next start", "error", err)
		}
	})
	go func() {
		<-c.Done()
		if err := c.Err(); err != nil {
			a.failed <- fault.Wrap(err, fault.DatabaseUnavailable, "app.database_died", "the private PostgreSQL ended by itself")
		}
	}()
	return nil
}

// Database is the private cluster without a server, for a process whose children serve.
type Database struct{ *App }

// StartCluster runs the private cluster until Stop.
func StartCluster(ctx context.Context, c *config.Config, log *slog.Logger) (Database, error) {
	a := newApp(c, log)
	return Database{a}, a.open(ctx, func(ctx context.Context) error { return a.startCluster(ctx, log) })
}

// URL is where servers find it. It is a secret.
func (d Database) URL() string { return d.databaseURL() }

// Stop ends it; no server may need it any more.
func (d Database) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), Grace)
	defer cancel()
	d.App.Stop(ctx)
}
