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
CREATE INDEX IF NOT EXISTS object_due ON app.object (kind, ((hidden->>'due')::bigint)) WHERE hidden ? 'due';
CREATE INDEX IF NOT EXISTS object_data ON app.object USING gin (data jsonb_path_ops);

CREATE TABLE IF NOT EXISTS app.journal (
  seq       bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  at        timestamptz NOT NULL,
  op        text        NOT NULL CHECK (op IN ('charge', 'refund', 'refund_failed', 'dispute', 'dispute_won')),
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

-- How far the sandbox's clock is ahead of the real one.
CREATE TABLE IF NOT EXISTS app.clock (
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  ahead bigint  NOT NULL DEFAULT 0 -- microseconds
);
INSERT INTO app.clock DEFAULT VALUES ON CONFLICT DO NOTHING;

-- What every enabled webhook endpoint wants. Every event is compared with it, so it stays apart from the
-- many objects.
CREATE TABLE IF NOT EXISTS app.endpoint (
  id     text   PRIMARY KEY,
  events text[] NOT NULL -- '*' is all
);

-- An event on its way to a webhook endpoint. Times are of the real clock.
CREATE TABLE IF NOT EXISTS app.delivery (
  id          bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  event_id    text        NOT NULL,
  endpoint_id text        NOT NULL,
  state       text        NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
  tries       int         NOT NULL DEFAULT 0,
  status      int         NOT NULL DEFAULT 0,     -- last HTTP status; 0: no answer
  next_at     timestamptz NOT NULL DEFAULT now()  -- next try, or end of the lease of the one that runs
);
CREATE INDEX IF NOT EXISTS delivery_due ON app.delivery (next_at, id) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS delivery_event ON app.delivery (event_id);

CREATE OR REPLACE FUNCTION app.refuse_change() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$;
