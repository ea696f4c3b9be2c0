package app

import (
	"context"

	"crema/server/core/assets"
	"crema/server/core/assets/disk"
)

func (a *App) openAssets(ctx context.Context) error {
	c := a.c.Assets
	secret := c.Secret.Reveal()
	if secret == "" {
		secret = a.derive("asset signatures")
	}
	store := disk.New(c.Dir)
	a.onStop(func(context.Context) { _ = store.Close() })
	a.rooms.assets = assets.New(assets.Config{
		DB: a.db, Store: store, Secret: secret, URLPrefix: a.filesURL, Public: c.Public, MaxSize: c.MaxBytes, Log: a.log,
	})
	a.rooms.assets.Start(ctx)
	a.onStop(func(context.Context) { a.rooms.assets.Stop() })
	return nil
}

// filesURL is where clients reach the files.
func (a *App) filesURL() string {
	if a.c.Assets.URLPrefix != "" {
		return a.c.Assets.URLPrefix
	}
	return a.publicURL() + "/files"
}
