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

// Importer brings in what an old server has left. No server runs on the app meanwhile.
type Importer struct{ *App }

// OpenImport opens the database as it is; the private cluster is made when there is none yet. It fails
// with cluster.in_use while a server has the cluster, and with what Start returns. Stop ends it.
func OpenImport(ctx context.Context, c *config.Config, log *slog.Logger) (Importer, error) {
	a := newApp(c, log)
	return Importer{a}, a.open(ctx, func(ctx context.Context) error {
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

// Import restores a dump and adopts it.
func (i Importer) Import(ctx context.Context, d adoption.Dump) (adoption.Summary, error) {
	return adoption.Import(ctx, adoption.Source{DB: i.db, Migrations: migrations.Files, Log: i.log}, d)
}

// CollectAssets copies the files of assets that have none yet.
func (i Importer) CollectAssets(ctx context.Context, folder fs.FS) (assets.Collected, error) {
	store, err := i.assetStore(ctx)
	if err != nil {
		return assets.Collected{}, err
	}
	return assets.New(assets.Config{DB: i.db, Store: store, Log: i.log}).Collect(ctx, folder)
}
