-- The system tables that apps and functions of Skygear v1 expect beside the record tables.
-- +goose Up
CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public;

CREATE TABLE app._auth (
  id                text PRIMARY KEY,
  password          text,
  provider_info     jsonb,
  token_valid_since timestamp,
  last_seen_at      timestamp,
  disabled          boolean NOT NULL DEFAULT false,
  disabled_message  text,
  disabled_expiry   timestamp
);

CREATE TABLE app."user" (
  _id           text UNIQUE,
  _database_id  text,
  _owner_id     text,
  _access       jsonb,
  _created_at   timestamp NOT NULL,
  _created_by   text,
  _updated_at   timestamp NOT NULL,
  _updated_by   text,
  username      public.citext CONSTRAINT auth_record_keys_user_username_key UNIQUE,
  email         public.citext CONSTRAINT auth_record_keys_user_email_key UNIQUE,
  last_login_at timestamp,
  PRIMARY KEY (_id, _database_id, _owner_id)
);

CREATE VIEW app._user AS
  SELECT a.id, a.password, u.username, u.email, a.provider_info AS auth, a.token_valid_since,
         u.last_login_at, a.last_seen_at
    FROM app._auth a JOIN app."user" u ON u._id = a.id;

CREATE TABLE app._role (
  id         text PRIMARY KEY,
  by_default boolean NOT NULL DEFAULT false,
  is_admin   boolean NOT NULL DEFAULT false
);
INSERT INTO app._role (id, is_admin) VALUES ('Admin', true);

CREATE TABLE app._auth_role (
  auth_id text REFERENCES app._auth (id),
  role_id text REFERENCES app._role (id),
  PRIMARY KEY (auth_id, role_id)
);

CREATE TABLE app._asset (
  id           text PRIMARY KEY,
  content_type text   NOT NULL,
  size         bigint NOT NULL
);

CREATE TABLE app._record_creation (
  record_type text NOT NULL,
  role_id     text REFERENCES app._role (id),
  UNIQUE (record_type, role_id)
);

CREATE TABLE app._record_default_access (
  record_type    text NOT NULL UNIQUE,
  default_access jsonb
);
