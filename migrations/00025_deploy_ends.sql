-- A job says which release it has made, written in the release's own transaction: so others can tell how the job of
-- a server that was killed ended.
-- +goose Up
ALTER TABLE app._deploy_job ADD COLUMN release bigint;
