-- The catalogue, the orders, the attempts to pay them, and the record that operators read.
-- +goose Up
CREATE TABLE app._product (
  id           text PRIMARY KEY,
  name         text NOT NULL UNIQUE,
  description  text NOT NULL DEFAULT '',
  weight_grams int    NOT NULL CHECK (weight_grams > 0),
  currency     char(3) NOT NULL CHECK (currency = lower(currency)),
  unit_amount  bigint NOT NULL CHECK (unit_amount BETWEEN 1 AND 99999999),
  position     int NOT NULL DEFAULT 0,
  active       boolean NOT NULL DEFAULT true
);

-- order_key is the page's name for one purchase: the same key never makes a second order.
CREATE TABLE app._order (
  id           uuid PRIMARY KEY,
  order_key    text NOT NULL UNIQUE,
  user_id      text,
  email        public.citext NOT NULL,
  currency     char(3) NOT NULL,
  amount_total bigint NOT NULL CHECK (amount_total > 0),
  status       text NOT NULL CHECK (status IN ('open', 'paid')),
  mode         text NOT NULL CHECK (mode IN ('sandbox', 'test', 'live')),
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app._order_item (
  order_id      uuid NOT NULL REFERENCES app._order (id),
  product_id    text NOT NULL REFERENCES app._product (id),
  name_snapshot text NOT NULL,
  quantity      int NOT NULL CHECK (quantity > 0),
  unit_amount   bigint NOT NULL CHECK (unit_amount > 0),
  PRIMARY KEY (order_id, product_id)
);

-- One attempt to pay an order. The row is written before the provider is called; its id is the
-- provider's idempotency key. request holds what was sent, so that it can be sent again unchanged.
CREATE TABLE app._payment (
  id              uuid PRIMARY KEY,
  order_id        uuid NOT NULL REFERENCES app._order (id),
  attempt         int NOT NULL CHECK (attempt > 0),
  mode            text NOT NULL CHECK (mode IN ('sandbox', 'test', 'live')),
  kind            text NOT NULL CHECK (kind IN ('charge', 'payment_intent', 'checkout_session')),
  idempotency_key text NOT NULL UNIQUE,
  request         jsonb NOT NULL,  -- without the card token
  token_hash      bytea,           -- the same token for the same order is the same attempt
  token_sealed    bytea,           -- encrypted for a replay, gone when the attempt is final
  state           text NOT NULL CHECK (state IN ('pending', 'sent', 'unknown', 'requires_action',
                                                 'succeeded', 'failed', 'voided', 'needs_review')),
  provider_id     text UNIQUE,
  charge_id       text UNIQUE,
  amount          bigint NOT NULL CHECK (amount > 0),
  currency        char(3) NOT NULL,
  failure_code    text,
  decline_code    text,
  request_id      text,
  card_brand      text,
  card_last4      text,
  ambiguous_seen  boolean NOT NULL DEFAULT false, -- a try may have been executed without our knowing
  error_stored    boolean NOT NULL DEFAULT false, -- the provider answers every replay with its own error
  tries           int NOT NULL DEFAULT 0,
  sent_at         timestamptz,
  next_try_at     timestamptz NOT NULL DEFAULT now(),
  lease_until     timestamptz,
  lease_owner     text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  UNIQUE (order_id, attempt)
);
-- The last line of defence: no second attempt while the first may still turn into money.
CREATE UNIQUE INDEX _payment_one_open_attempt ON app._payment (order_id)
  WHERE state IN ('pending', 'sent', 'unknown', 'requires_action', 'succeeded', 'needs_review');
CREATE INDEX _payment_due ON app._payment (next_try_at)
  WHERE state IN ('pending', 'sent', 'unknown', 'requires_action');

CREATE TABLE app._payment_transition (
  payment_id uuid NOT NULL REFERENCES app._payment (id),
  seq        bigint GENERATED ALWAYS AS IDENTITY,
  from_state text,
  to_state   text NOT NULL,
  cause      text NOT NULL,
  actor      text NOT NULL,
  at         timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (payment_id, seq)
);

-- A record table: apps query it over the wire, operators with psql. Nothing but a charge's own row may
-- carry its charge_id.
CREATE TABLE app.payment_record (
  _id           text UNIQUE,
  _database_id  text,
  _owner_id     text,
  _access       jsonb,
  _created_at   timestamp NOT NULL,
  _created_by   text,
  _updated_at   timestamp NOT NULL,
  _updated_by   text,
  receipt_email text,
  product       text,
  amount        double precision,
  amount_minor  bigint,
  currency      text,
  charge_id     text UNIQUE,
  order_id      text,
  status        text,
  PRIMARY KEY (_id, _database_id, _owner_id)
);
CREATE INDEX payment_record_owner ON app.payment_record (_owner_id);
CREATE INDEX payment_record_created ON app.payment_record (_created_at);
