-- The sandbox's tables. Every statement may run again. The token "app." is the sandbox's own schema.
CREATE TABLE IF NOT EXISTS app.object (
  id      text   PRIMARY KEY,
  seq     bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  kind    text   NOT NULL,
  created bigint NOT NULL,             -- unix seconds of the sandbox's clock
  data    jsonb  NOT NULL,             -- what Stripe would show
  hidden  jsonb  NOT NULL DEFAULT '{}' -- what only the sandbox knows
);
CREATE INDEX IF NOT EXISTS object_kind_seq ON app.object (kind, seq DESC);
CREATE INDEX IF NOT EXISTS object_data ON app.object USING gin (data jsonb_path_ops);

CREATE TABLE IF NOT EXISTS app.journal (
  seq       bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  at        timestamptz NOT NULL,
  op        text        NOT NULL CHECK (op IN ('charge', 'refund', 'refund_failed', 'dispute')),
  amount    bigint      NOT NULL CHECK (amount > 0),
  currency  text        NOT NULL,
  object_id text        NOT NULL,
  charge_id text        NOT NULL,
  key       text        NOT NULL
);

CREATE TABLE IF NOT EXISTS app.reply (
  key        text   PRIMARY KEY,
  path       text   NOT NULL,
  params     bytea  NOT NULL,          -- SHA-256 of the canonical form
  status     int    NOT NULL,
  body       bytea  NOT NULL,
  request_id text   NOT NULL,
  created    bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS reply_created ON app.reply (created);

CREATE OR REPLACE FUNCTION app.refuse_change() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$;
