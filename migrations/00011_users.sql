-- Log-in: access tokens, refused log-ins, and what Skygear v1's plugins find beside the accounts. Tables of
-- an old database may be there already.
-- +goose Up

-- What a client shows is 256 random bits; here is only its SHA-256. Without a foreign key, because
-- functions may delete accounts, and a token whose account is gone must say so.
CREATE TABLE app._access_token (
  hash       bytea     PRIMARY KEY,
  auth_id    text      NOT NULL,
  issued_at  timestamp NOT NULL,
  expires_at timestamp
);
CREATE INDEX _access_token_auth ON app._access_token (auth_id);
CREATE INDEX _access_token_expires ON app._access_token (expires_at) WHERE expires_at IS NOT NULL;

-- One row for each refused log-in and each thing that it counts against.
CREATE TABLE app._login_failure (
  counted text      NOT NULL, -- account:<id>, or a keyed hash of a name or an address
  at      timestamp NOT NULL
);
CREATE INDEX _login_failure_counted ON app._login_failure (counted, at);
CREATE INDEX _login_failure_at ON app._login_failure (at);

CREATE TABLE IF NOT EXISTS app._password_history (
  id        text      PRIMARY KEY,
  auth_id   text      NOT NULL,
  password  text,
  logged_at timestamp NOT NULL
);
CREATE INDEX IF NOT EXISTS _password_history_auth ON app._password_history (auth_id, logged_at DESC);

CREATE TABLE IF NOT EXISTS app._sso_oauth (
  user_id        text      NOT NULL,
  provider       text      NOT NULL,
  principal_id   text      NOT NULL,
  token_response jsonb,
  profile        jsonb,
  _created_at    timestamp NOT NULL,
  _updated_at    timestamp NOT NULL,
  PRIMARY KEY (provider, principal_id),
  UNIQUE (user_id, provider)
);

CREATE TABLE IF NOT EXISTS app._sso_custom_token (
  user_id      text      PRIMARY KEY,
  principal_id text      NOT NULL UNIQUE,
  _created_at  timestamp NOT NULL
);

CREATE TABLE IF NOT EXISTS app._verify_code (
  id           text      PRIMARY KEY,
  auth_id      text      NOT NULL,
  record_key   text      NOT NULL,
  record_value text      NOT NULL,
  code         text      NOT NULL,
  consumed     boolean   NOT NULL DEFAULT false,
  created_at   timestamp NOT NULL
);
CREATE INDEX IF NOT EXISTS _verify_code_auth ON app._verify_code (auth_id);

CREATE INDEX IF NOT EXISTS _auth_provider_info ON app._auth USING gin (provider_info);

-- A view that joins cannot be updated by itself, and old plugins do: "UPDATE _user SET password = ...".
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION app._user_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE app._auth SET password = NEW.password, provider_info = NEW.auth,
         token_valid_since = NEW.token_valid_since, last_seen_at = NEW.last_seen_at
   WHERE id = OLD.id;
  IF (NEW.username::text, NEW.email::text, NEW.last_login_at) IS DISTINCT FROM (OLD.username::text, OLD.email::text, OLD.last_login_at) THEN
    UPDATE app."user" SET username = NEW.username, email = NEW.email, last_login_at = NEW.last_login_at
     WHERE _id = OLD.id;
  END IF;
  RETURN NEW;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER _user_update INSTEAD OF UPDATE ON app._user
  FOR EACH ROW EXECUTE FUNCTION app._user_update();
