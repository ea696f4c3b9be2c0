package app

import (
	"context"
	"io/fs"
	"log/slog"

	"crema/migrations"
	"crema/server/base/cluster"
	"crema/server/base/config"
	"crema/server/core/adoption"
	"crema/server/core/assets"
)

// OpenImport opens the database as it is, for Import; the private cluster is made when there is none yet.
// It fails with cluster.in_use while a server has the cluster, and with what Start returns. Stop ends it.
func OpenImport(ctx context.Context, c *config.Config, log *slog.Logger) (Tools, error) {
	a := newApp(c, log)
	return Tools{a}, a.open(ctx, func(ctx context.Context) error {
		url := a.c.DatabaseURL.Reveal()
		if url == "" {
			if err := a.startCluster(ctx, nil); err != nil { // its daily lines are not what was asked for
				return err
			}
			url = a.cluster.URL(cluster.Database)
		}
		return a.connect(ctx, url)
	})
}

// Import restores a dump and adopts it. No server may run on the app meanwhile.
func (t Tools) Import(ctx context.Context, d adoption.Dump) (adoption.Summary, error) {
	return adoption.Import(ctx, adoption.Source{DB: t.db, Migrations: migrations.Files, Log: t.log}, d)
}

// CollectAssets copies the files of assets that have none yet, beside a running server too. Reasons:
// app.old_database, app.new_database and those of assets.Collect.
func (t Tools) CollectAssets(ctx context.Context, folder fs.FS) (assets.Collected, error) {
	if err := t.checkVersion(ctx); err != nil {
		return assets.Collected{}, err
	}
	store, err := t.assetStore(ctx)
	if err != nil {
		return assets.Collected{}, err
	}
	return assets.New(assets.Config{DB: t.db, Store: store, Log: t.log}).Collect(ctx, folder)
}
