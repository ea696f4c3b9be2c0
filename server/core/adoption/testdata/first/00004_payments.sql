-- The catalogue, the orders, the attempts to pay them, what happened to the money afterwards, and the
-- record that operators read. Amounts are in minor units.
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
  email        public.citext,
  currency     char(3) NOT NULL,
  amount_total bigint NOT NULL CHECK (amount_total BETWEEN 1 AND 99999999),
  status       text NOT NULL CHECK (status IN ('open', 'paid', 'cancelled', 'partially_refunded', 'refunded', 'disputed')),
  mode         text NOT NULL CHECK (mode IN ('sandbox', 'test', 'live')),
  created_at   timestamptz NOT NULL DEFAULT now(),
  updated_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX _order_created ON app._order (created_at);

CREATE TABLE app._order_item (
  order_id      uuid NOT NULL REFERENCES app._order (id),
  product_id    text NOT NULL REFERENCES app._product (id),
  name_snapshot text NOT NULL,
  quantity      int NOT NULL CHECK (quantity BETWEEN 1 AND 999),
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
  url             text,            -- the provider's page, while the shopper has to act there
  amount          bigint NOT NULL CHECK (amount > 0),
  currency        char(3) NOT NULL,
  amount_refunded bigint NOT NULL DEFAULT 0 CHECK (amount_refunded BETWEEN 0 AND amount),
  dispute_id      text,
  dispute_state   text,
  dispute_due     timestamptz,
  client_hash     bytea,           -- of the shopper's network address, and below of the e-mail: limits count by them
  email_hash      bytea,
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
CREATE INDEX _payment_review ON app._payment (updated_at) WHERE state = 'needs_review';
CREATE INDEX _payment_created ON app._payment (created_at);
CREATE INDEX _payment_client_declined ON app._payment (client_hash, created_at) WHERE state IN ('failed', 'sent');
CREATE INDEX _payment_email_declined ON app._payment (email_hash, created_at) WHERE state IN ('failed', 'sent');

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

-- Money given back. Like an attempt, a refund is written before the provider is called.
CREATE TABLE app._refund (
  id              uuid PRIMARY KEY,
  payment_id      uuid NOT NULL REFERENCES app._payment (id),
  amount          bigint NOT NULL CHECK (amount > 0),
  reason          text NOT NULL,
  note            text NOT NULL DEFAULT '',
  idempotency_key text NOT NULL UNIQUE,
  state           text NOT NULL CHECK (state IN ('sent', 'unknown', 'pending', 'succeeded', 'failed', 'needs_review')),
  provider_id     text UNIQUE,
  cause           text NOT NULL DEFAULT '',
  requested_by    text NOT NULL,
  ambiguous_seen  boolean NOT NULL DEFAULT false,
  tries           int NOT NULL DEFAULT 0,
  next_try_at     timestamptz NOT NULL DEFAULT now(),
  lease_until     timestamptz,
  lease_owner     text,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX _refund_payment ON app._refund (payment_id);
CREATE INDEX _refund_due ON app._refund (next_try_at) WHERE state IN ('sent', 'unknown', 'pending');

-- What the provider told us by itself. Only which object changed: what it changed to is read from the
-- provider, so late, repeated and reordered notices do no harm.
CREATE TABLE app._provider_event (
  event_id     text PRIMARY KEY,
  type         text NOT NULL,
  api_version  text NOT NULL,
  object       text NOT NULL,
  object_id    text NOT NULL,
  charge_id    text NOT NULL DEFAULT '',
  happened_at  timestamptz NOT NULL,
  received_at  timestamptz NOT NULL DEFAULT now(),
  processed_at timestamptz,
  tries        int NOT NULL DEFAULT 0,
  next_try_at  timestamptz NOT NULL DEFAULT now(),
  last_error   text
);
CREATE INDEX _provider_event_due ON app._provider_event (next_try_at) WHERE processed_at IS NULL;
CREATE INDEX _provider_event_received ON app._provider_event (received_at);

-- Differences between the provider's books and ours that nobody has explained yet.
CREATE TABLE app._reconciliation_break (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind        text NOT NULL,
  payment_id  uuid REFERENCES app._payment (id),
  provider_id text NOT NULL DEFAULT '',
  detail      text NOT NULL,
  opened_at   timestamptz NOT NULL DEFAULT now(),
  closed_at   timestamptz,
  closed_by   text
);
CREATE UNIQUE INDEX _reconciliation_break_open ON app._reconciliation_break (kind, coalesce(payment_id::text, ''), provider_id)
  WHERE closed_at IS NULL;

-- Which days have been compared with the provider, and by whom: one server does it.
CREATE TABLE app._sweep (
  day         date PRIMARY KEY,
  started_at  timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz
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
