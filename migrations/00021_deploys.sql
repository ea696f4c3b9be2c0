-- Deploys: who may deploy, the files of versions by their content, the versions, which of them was live when,
-- and the secrets that functions get.
-- +goose Up

CREATE TABLE app._operator (
  email      text        PRIMARY KEY,
  password   text        NOT NULL, -- bcrypt
  created_at timestamptz NOT NULL DEFAULT now()
);

-- What a client shows is 256 random bits; here is only its SHA-256.
CREATE TABLE app._operator_token (
  hash       bytea       PRIMARY KEY,
  id         text        NOT NULL UNIQUE,
  email      text        NOT NULL REFERENCES app._operator (email) ON DELETE CASCADE,
  label      text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz
);

-- One row for each refused log-in and each thing that it counts against.
CREATE TABLE app._operator_failure (
  subject text        NOT NULL,
  at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX _operator_failure_subject ON app._operator_failure (subject, at);

CREATE TABLE app._deploy_blob (
  hash    bytea       PRIMARY KEY, -- SHA-256 of the content
  size    bigint      NOT NULL,
  used_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app._deploy_part (
  hash bytea NOT NULL REFERENCES app._deploy_blob (hash) ON DELETE CASCADE,
  part int   NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (hash, part)
);

CREATE TABLE app._deploy_version (
  id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest  text        NOT NULL, -- of paths, contents and modes
  made_by text        NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app._deploy_file (
  version bigint NOT NULL REFERENCES app._deploy_version (id) ON DELETE CASCADE,
  path    text   NOT NULL,
  hash    bytea  NOT NULL REFERENCES app._deploy_blob (hash),
  size    bigint NOT NULL,
  mode    int    NOT NULL,
  PRIMARY KEY (version, path)
);
CREATE INDEX _deploy_file_hash ON app._deploy_file (hash);

-- The newest row is live. Without a version it is the folder of the server.
CREATE TABLE app._deploy_release (
  seq     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  version bigint      REFERENCES app._deploy_version (id),
  reason  text        NOT NULL,
  made_by text        NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now()
);

-- An archive that the command line of Skygear v1 has been told to send.
CREATE TABLE app._deploy_upload (
  id      text        PRIMARY KEY,
  made_by text        NOT NULL,
  version bigint      REFERENCES app._deploy_version (id) ON DELETE SET NULL,
  problem text        NOT NULL DEFAULT '',
  taken   boolean     NOT NULL DEFAULT false,
  made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app._deploy_job (
  id      text        PRIMARY KEY,
  made_by text        NOT NULL,
  state   text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'success', 'failed')),
  log     text        NOT NULL DEFAULT '',
  made_at timestamptz NOT NULL DEFAULT now(),
  beat_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE app._secret (
  name       text        PRIMARY KEY,
  sealed     bytea       NOT NULL, -- AES-256-GCM; the key comes from the master key
  changed_at timestamptz NOT NULL DEFAULT now()
);
