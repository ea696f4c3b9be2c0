-- Which fields of record types the server itself works with, and who is related to whom.
-- +goose Up

-- A field that is listed here is neither renamed nor deleted over the wire.
CREATE TABLE app._schema_kept (
  record_type  text NOT NULL,
  record_field text NOT NULL,
  PRIMARY KEY (record_type, record_field)
);
INSERT INTO app._schema_kept (record_type, record_field) VALUES
  ('user', 'username'), ('user', 'email'), ('user', 'last_login_at'),
  ('payment_record', 'receipt_email'), ('payment_record', 'product'), ('payment_record', 'amount'),
  ('payment_record', 'amount_minor'), ('payment_record', 'currency'), ('payment_record', 'charge_id'),
  ('payment_record', 'order_id'), ('payment_record', 'status');

-- Directed pairs: left_id is whose relation it is, right_id whom it points to.
CREATE TABLE IF NOT EXISTS app._friend (
  left_id  text REFERENCES app._auth (id),
  right_id text REFERENCES app._auth (id),
  PRIMARY KEY (left_id, right_id)
);
CREATE INDEX IF NOT EXISTS _friend_right ON app._friend (right_id, left_id);

CREATE TABLE IF NOT EXISTS app._follow (
  left_id  text REFERENCES app._auth (id),
  right_id text REFERENCES app._auth (id),
  PRIMARY KEY (left_id, right_id)
);
CREATE INDEX IF NOT EXISTS _follow_right ON app._follow (right_id, left_id);
