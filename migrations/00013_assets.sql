-- Files: where the bytes of an asset are, and which objects of the store no asset has.
-- +goose Up
ALTER TABLE app._asset
  ADD COLUMN IF NOT EXISTS object        text,      -- in the store; NULL: the bytes lie under the asset's name, as Skygear's did
  ADD COLUMN IF NOT EXISTS awaited_since timestamp; -- until the bytes have come
CREATE UNIQUE INDEX asset_object ON app._asset (object);
CREATE INDEX asset_awaited ON app._asset (awaited_since) WHERE awaited_since IS NOT NULL;

-- Written before an object is made, and when one is replaced; what is still here after a day is removed.
CREATE TABLE app._asset_unused (
  object text PRIMARY KEY,
  since  timestamp NOT NULL
);
CREATE INDEX asset_unused_since ON app._asset_unused (since);
