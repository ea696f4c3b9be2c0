-- What the record tables need beside themselves: the version that servers compare their picture of the
-- schema with, and who may see and change single fields.
-- +goose Up
CREATE TABLE app._schema_version (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  version bigint  NOT NULL
);
INSERT INTO app._schema_version (version) VALUES (1);

CREATE TABLE IF NOT EXISTS app._record_field_access (
  record_type  text    NOT NULL,
  record_field text    NOT NULL,
  user_role    text    NOT NULL,
  writable     boolean NOT NULL,
  readable     boolean NOT NULL,
  comparable   boolean NOT NULL,
  discoverable boolean NOT NULL,
  PRIMARY KEY (record_type, record_field, user_role)
);
INSERT INTO app._record_field_access
  (record_type, record_field, user_role, writable, readable, comparable, discoverable)
SELECT * FROM (VALUES
  ('user', 'username', '_owner',    true,  true, true, true),
  ('user', 'username', '_any_user', false, true, true, true),
  ('user', 'email',    '_owner',    true,  true, true, true),
  ('user', 'email',    '_any_user', false, true, true, true)
) seed WHERE NOT EXISTS (SELECT FROM app._record_field_access);

CREATE INDEX IF NOT EXISTS user_owner ON app."user" (_owner_id);
CREATE INDEX IF NOT EXISTS user_created ON app."user" (_created_at);
CREATE INDEX IF NOT EXISTS user_access ON app."user" USING gin (_access jsonb_path_ops);
