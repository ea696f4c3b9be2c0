-- Work that is done later, devices that can be pushed to, and what they want to hear of.
-- +goose Up
-- due_at is when the work may begin and, while a server works on it, when its lease ends. run counts the
-- leases: who does not hold the last one cannot write any more. A job that is done has no row.
CREATE TABLE app._job (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind       text NOT NULL,
  payload    json NOT NULL,
  due_at     timestamptz NOT NULL DEFAULT now(),
  run        int NOT NULL DEFAULT 0,
  tries      int NOT NULL DEFAULT 0,
  last_error text,
  dead_at    timestamptz, -- given up; kept for the operator
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX _job_due ON app._job (due_at, id) WHERE dead_at IS NULL;
CREATE INDEX _job_dead ON app._job (dead_at) WHERE dead_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS app._device (
  id                 text PRIMARY KEY,
  auth_id            text REFERENCES app._auth (id),
  type               text NOT NULL,
  token              text,
  topic              text,
  last_registered_at timestamp NOT NULL,
  UNIQUE (auth_id, type, token)
);
CREATE INDEX _device_token ON app._device (token);

-- auth_id is the database: empty for the public one, else the user that it belongs to.
CREATE TABLE IF NOT EXISTS app._subscription (
  id                text NOT NULL,
  auth_id           text NOT NULL,
  device_id         text NOT NULL REFERENCES app._device (id) ON DELETE CASCADE,
  type              text NOT NULL,
  notification_info jsonb,
  query             jsonb,
  PRIMARY KEY (auth_id, device_id, id)
);
-- seq numbers the notices of one subscription: a number for all would tell how much else changes.
ALTER TABLE app._subscription
  ADD COLUMN IF NOT EXISTS seq bigint NOT NULL DEFAULT floor(extract(epoch FROM now()) * 1000);
CREATE INDEX _subscription_device ON app._subscription (device_id);
CREATE INDEX _subscription_record_type ON app._subscription ((query ->> 'record_type'), auth_id);

-- Changes of records that somebody may want to hear of; each is removed when the notices about it have
-- gone out.
CREATE TABLE app._record_change (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  record_type text NOT NULL,
  database    text NOT NULL, -- empty for the public one, else the user that it belongs to
  record      json NOT NULL  -- the row, by column; of a deleted one as it was
);

-- Stands on the tables of record types that have, or had, a subscription. Whoever may write such a table
-- gets its changes noted, without rights on the tables behind.
-- +goose StatementBegin
CREATE FUNCTION app._note_record_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM app._subscription WHERE query ->> 'record_type' = TG_TABLE_NAME) THEN
    -- json and not jsonb, which cannot hold all that a column can: a write must not fail because of us.
    IF TG_OP = 'DELETE' THEN
      INSERT INTO app._record_change (record_type, database, record)
      VALUES (TG_TABLE_NAME, coalesce(OLD._database_id, ''), to_json(OLD));
    ELSE
      INSERT INTO app._record_change (record_type, database, record)
      VALUES (TG_TABLE_NAME, coalesce(NEW._database_id, ''), to_json(NEW));
    END IF;
    PERFORM pg_notify('record_change', '');
  END IF;
  RETURN NULL;
END
$$;
-- +goose StatementEnd
