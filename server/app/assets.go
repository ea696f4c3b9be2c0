package app

import (
	"context"
	"strconv"
	"time"

	"crema/server/base/fault"
	"crema/server/core/assets"
	"crema/server/core/assets/disk"
	"crema/server/core/assets/s3"
)

func (a *App) openAssets(ctx context.Context) error {
	c := a.c.Assets
	store, err := a.assetStore(ctx)
	if err != nil {
		return err
	}
	a.rooms.assets = assets.New(assets.Config{
		DB: a.db, Store: store, Secret: a.assetSecret(), URLPrefix: a.filesURL, Public: c.Public, MaxSize: c.MaxBytes, Log: a.log,
	})
	a.rooms.assets.Start(ctx)
	a.onStop(func(context.Context) { a.rooms.assets.Stop() })
	return nil
}

// storePatience is how long the start waits for an S3 store.
const storePatience = 5 * time.Second

// assetStore opens the store. One that does not answer now does not keep the shop closed.
func (a *App) assetStore(ctx context.Context) (assets.Store, error) {
	c := a.c.Assets
	if c.S3 == nil {
		store := disk.New(c.Dir)
		a.onStop(func(context.Context) { _ = store.Close() })
		return store, nil
	}
	store, err := s3.New(s3.Config{
		Endpoint: c.S3.Endpoint, Region: c.S3.Region, Bucket: c.S3.Bucket, AccessKey: c.S3.AccessKey, SecretKey: c.S3.SecretKey.Reveal(),
	})
	if err != nil {
		return nil, err
	}
	asked, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	err = store.Check(asked)
	if fault.HasCode(err, fault.NotConfigured) {
		return nil, err
	}
	if err != nil {
		a.log.WarnContext(ctx, "the store of files does not answer", "bucket", c.S3.Bucket, "error", err)
	}
	return store, nil
}

// filesURL is where clients reach the files.
func (a *App) filesURL() string {
	if a.c.Assets.URLPrefix != "" {
		return a.c.Assets.URLPrefix
	}
	return a.publicURL() + "/files"
}

// assetSecret signs the URLs of files: the configured secret, or one of the app's own.
func (a *App) assetSecret() string {
	if s := a.c.Assets.Secret.Reveal(); s != "" {
		return s
	}
	return a.derive("asset signatures")
}

// assetEnvironment is what functions need to sign URLs of files themselves. Wherever the bytes are, the
// URLs are those of a folder.
func (a *App) assetEnvironment() map[string]string {
	return map[string]string{
		"ASSET_STORE": "fs", "ASSET_STORE_PUBLIC": strconv.FormatBool(a.c.Assets.Public),
		"ASSET_STORE_URL_PREFIX": a.filesURL(), "ASSET_STORE_SECRET": a.assetSecret(),
	}
}
