-- Answers that functions gave under an Idempotency-Key, and who is working on one right now.
-- +goose Up
-- caller is the kind of key and the user id. run names the attempt that holds the lease, so that one
-- that lost it cannot write any more. lease_until is null once result or error stands.
CREATE TABLE app._function_answer (
  function    text NOT NULL,
  caller      text NOT NULL,
  key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  fingerprint bytea NOT NULL,
  run         uuid NOT NULL,
  lease_until timestamptz,
  result      text,
  error       text,
  expires_at  timestamptz NOT NULL,
  PRIMARY KEY (function, caller, key),
  CHECK (lease_until IS NOT NULL AND result IS NULL AND error IS NULL
      OR lease_until IS NULL AND (result IS NULL) <> (error IS NULL))
);
CREATE INDEX _function_answer_expiry ON app._function_answer (expires_at);
