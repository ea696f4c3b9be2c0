-- A database as Skygear v1 leaves it, written by hand after the wire's description (skygear 3.3, 3.4).
-- The passwords were hashed by libxcrypt: alice "correct horse", bob "batterý staple", carol "tr0ub4dor".
CREATE EXTENSION IF NOT EXISTS citext;
CREATE EXTENSION IF NOT EXISTS postgis;

CREATE TABLE public.pending_notification (
  id serial PRIMARY KEY, op text NOT NULL, appname text NOT NULL, recordtype text NOT NULL, record jsonb NOT NULL
);
CREATE FUNCTION public.notify_record_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed record;
  noted integer;
BEGIN
  IF TG_OP = 'DELETE' THEN changed := OLD; ELSE changed := NEW; END IF;
  INSERT INTO public.pending_notification (op, appname, recordtype, record)
  VALUES (TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME, row_to_json(changed)::jsonb) RETURNING id INTO noted;
  PERFORM pg_notify('record_change', noted::text);
  RETURN NULL; -- it isn't looked at
END
$$;

CREATE SCHEMA app_old;
SET search_path TO app_old, public;

CREATE TABLE _version (version_num character varying(32) NOT NULL);
INSERT INTO _version VALUES ('7469be11899e');

CREATE TABLE _auth (
  id text PRIMARY KEY, password text, provider_info jsonb,
  token_valid_since timestamp without time zone, last_seen_at timestamp without time zone,
  disabled boolean DEFAULT false NOT NULL, disabled_message text, disabled_expiry timestamp without time zone
);
CREATE TABLE "user" (
  _id text NOT NULL, _database_id text NOT NULL, _owner_id text NOT NULL, _access jsonb,
  _created_at timestamp without time zone NOT NULL, _created_by text,
  _updated_at timestamp without time zone NOT NULL, _updated_by text,
  username citext, email citext, last_login_at timestamp without time zone,
  PRIMARY KEY (_id, _database_id, _owner_id), UNIQUE (_id),
  CONSTRAINT auth_record_keys_user_username_key UNIQUE (username),
  CONSTRAINT auth_record_keys_user_email_key UNIQUE (email)
);
CREATE VIEW _user AS
  SELECT a.id, a.password, u.username, u.email, a.provider_info AS auth, a.token_valid_since, u.last_login_at, a.last_seen_at
    FROM _auth a JOIN "user" u ON u._id = a.id;
CREATE TABLE _role (id text PRIMARY KEY, by_default boolean DEFAULT false, is_admin boolean DEFAULT false);
CREATE TABLE _auth_role (auth_id text NOT NULL REFERENCES _auth (id), role_id text NOT NULL REFERENCES _role (id), PRIMARY KEY (auth_id, role_id));
CREATE TABLE _asset (id text PRIMARY KEY, content_type text NOT NULL, size bigint NOT NULL);
CREATE TABLE _device (
  id text PRIMARY KEY, auth_id text REFERENCES _auth (id), type text NOT NULL, token text, topic text,
  last_registered_at timestamp without time zone NOT NULL, UNIQUE (auth_id, type, token)
);
CREATE TABLE _subscription (
  id text NOT NULL, auth_id text NOT NULL, device_id text NOT NULL REFERENCES _device (id) ON DELETE CASCADE,
  type text NOT NULL, notification_info jsonb, query jsonb, PRIMARY KEY (auth_id, device_id, id)
);
CREATE TABLE _friend (left_id text NOT NULL, right_id text NOT NULL REFERENCES _auth (id), PRIMARY KEY (left_id, right_id));
CREATE TABLE _follow (left_id text NOT NULL, right_id text NOT NULL REFERENCES _auth (id), PRIMARY KEY (left_id, right_id));
CREATE TABLE _record_creation (record_type text NOT NULL, role_id text REFERENCES _role (id), UNIQUE (record_type, role_id));
CREATE TABLE _record_default_access (record_type text NOT NULL UNIQUE, default_access jsonb);
CREATE TABLE _record_field_access (
  record_type text NOT NULL, record_field text NOT NULL, user_role text NOT NULL,
  writable boolean NOT NULL, readable boolean NOT NULL, comparable boolean NOT NULL, discoverable boolean NOT NULL,
  PRIMARY KEY (record_type, record_field, user_role)
);
CREATE TABLE _sso_oauth (
  user_id text NOT NULL, provider text NOT NULL, principal_id text NOT NULL, token_response jsonb, profile jsonb,
  _created_at timestamp without time zone NOT NULL, _updated_at timestamp without time zone NOT NULL,
  PRIMARY KEY (provider, principal_id), UNIQUE (user_id, provider)
);
CREATE TABLE _sso_custom_token (user_id text PRIMARY KEY, principal_id text NOT NULL UNIQUE, _created_at timestamp without time zone NOT NULL);
CREATE TABLE _password_history (id text PRIMARY KEY, auth_id text NOT NULL, password text, logged_at timestamp without time zone NOT NULL);
CREATE TABLE _verify_code (
  id text PRIMARY KEY, auth_id text NOT NULL, record_key text NOT NULL, record_value text NOT NULL,
  code text NOT NULL, consumed boolean DEFAULT false NOT NULL, created_at timestamp without time zone NOT NULL
);

CREATE TABLE category (
  _id text NOT NULL, _database_id text NOT NULL, _owner_id text NOT NULL, _access jsonb,
  _created_at timestamp without time zone NOT NULL, _created_by text,
  _updated_at timestamp without time zone NOT NULL, _updated_by text,
  name text, PRIMARY KEY (_id, _database_id, _owner_id), UNIQUE (_id)
);
-- A field of every kind; "Note" is written as the app's author liked it.
CREATE TABLE "Note" (
  _id text NOT NULL, _database_id text NOT NULL, _owner_id text NOT NULL, _access jsonb,
  _created_at timestamp without time zone NOT NULL, _created_by text,
  _updated_at timestamp without time zone NOT NULL, _updated_by text,
  title text, nick citext, price double precision, pieces integer, big bigint, done boolean,
  due timestamp without time zone, tags jsonb, place geometry(Point), area geometry,
  category text, picture text, number serial UNIQUE, "odd ""name""" text, cost money, blurb character varying(20),
  PRIMARY KEY (_id, _database_id, _owner_id), UNIQUE (_id),
  CONSTRAINT fk_category_category__id FOREIGN KEY (category) REFERENCES category (_id),
  CONSTRAINT fk_picture__asset_id FOREIGN KEY (picture) REFERENCES _asset (id)
);
CREATE TABLE plugin_log (at timestamp without time zone, line text);
INSERT INTO plugin_log VALUES ('2017-01-01', E'two\nlines; and a \\ and a tab\t, and an end\r\nof Windows.');

INSERT INTO _role (id, by_default, is_admin) VALUES ('Admin', false, true), ('member', true, NULL);
INSERT INTO _auth (id, password, last_seen_at, provider_info, disabled, disabled_message) VALUES
  ('u-alice', '$2a$10$N9qo8uLOickgx2ZMRZoMye7hLCKuEIm4BcKHuoCJsBy/5Q0NErxWS', '2018-03-04 05:06:07.891011', NULL, false, NULL),
  ('u-bob', '$2b$10$abcdefghijklmnopqrstuuXJgV2T1QPgeKD1kl0cUQm8Go6V5hNgO', NULL, '{"com.example:bob": {"mail": "bob@example.com"}}', false, NULL),
  ('u-carol', '$2y$10$ABCDEFGHIJKLMNOPQRSTUuDH/cWZTynVEX0xR7Bxawo0TXKEK.p4C', NULL, NULL, false, NULL),
  ('u-dave', '$2b$10$abcdefghijklmnopqrstuuXJgV2T1QPgeKD1kl0cUQm8Go6V5hNgO', NULL, NULL, true, 'moved away'),
  ('_god', NULL, NULL, NULL, false, NULL);
INSERT INTO "user" (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by, username, email, last_login_at) VALUES
  ('u-alice', '', 'u-alice', NULL, '2017-05-06 07:08:09.101112', 'u-alice', '2017-05-06 07:08:09.101112', 'u-alice', 'Alice', 'alice@example.com', '2018-03-04 05:06:07'),
  ('u-bob', '', 'u-bob', NULL, '2017-05-06 07:08:09', 'u-bob', '2017-05-06 07:08:09', 'u-bob', 'bob', NULL, NULL),
  ('u-carol', '', 'u-carol', NULL, '2017-05-06 07:08:09', 'u-carol', '2017-05-06 07:08:09', 'u-carol', NULL, 'Carol@Example.com', NULL),
  ('u-dave', '', 'u-dave', NULL, '2017-05-06 07:08:09', 'u-dave', '2017-05-06 07:08:09', 'u-dave', 'dave', NULL, NULL);
INSERT INTO _auth_role VALUES ('u-alice', 'Admin'), ('u-bob', 'member');
INSERT INTO _asset VALUES ('8fd1b0f5-bean.txt', 'text/plain', 5), ('folder/5b2c-leaf.txt', 'text/plain', 4), ('gone.png', 'image/png', 10);
INSERT INTO _device VALUES ('d-1', 'u-alice', 'ios', 'token-1', NULL, '2018-01-01'), ('d-2', 'u-bob', 'android', 'token-2', 'com.example', '2018-01-01');
INSERT INTO _subscription VALUES ('s-1', '', 'd-1', 'query', '{"apns": {"aps": {"alert": "new"}}}', '{"record_type": "Note", "predicate": null}');
INSERT INTO _friend VALUES ('u-alice', 'u-bob'), ('u-bob', 'u-alice');
INSERT INTO _follow VALUES ('u-carol', 'u-alice');
INSERT INTO _record_creation VALUES ('category', 'Admin');
INSERT INTO _record_default_access VALUES ('category', '[{"level": "read", "public": true}]');
INSERT INTO _record_field_access VALUES
  ('user', 'username', '_owner', true, true, true, true), ('user', 'username', '_any_user', false, true, true, true),
  ('user', 'email', '_owner', true, true, true, true);
INSERT INTO _sso_oauth VALUES ('u-carol', 'google', 'g-1', '{}', '{"name": "Carol"}', '2018-01-01', '2018-01-01');
INSERT INTO _sso_custom_token VALUES ('u-carol', 'c-1', '2018-01-01');
INSERT INTO _password_history VALUES ('p-1', 'u-alice', '$2a$10$N9qo8uLOickgx2ZMRZoMye7hLCKuEIm4BcKHuoCJsBy/5Q0NErxWS', '2017-05-06');
INSERT INTO _verify_code VALUES ('v-1', 'u-alice', 'email', 'alice@example.com', '1234', false, '2018-01-01');

INSERT INTO category (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by, name) VALUES
  ('beans', '', 'u-alice', '[{"level": "read", "public": true}]', '2017-06-01', 'u-alice', '2017-06-01', 'u-alice', 'Beans');
INSERT INTO "Note" (_id, _database_id, _owner_id, _access, _created_at, _created_by, _updated_at, _updated_by,
  title, nick, price, pieces, big, done, due, tags, place, area, category, picture, number, "odd ""name""", cost, blurb) VALUES
  ('n-1', '', 'u-alice', NULL, '2017-06-01 01:02:03.040506', 'u-alice', '2017-06-01 01:02:03.040506', 'u-alice',
   E'Übung; -- no comment\n-- Name: trap; Type: ACL; Schema: x; Owner: y\n\\.\n$$ it''s', 'Nick', 2.5, 3, 9007199254740993, true, '2018-02-03 04:05:06.789',
   '{"a": [1, "two", null]}', ST_MakePoint(114.17, 22.3), ST_GeomFromText('LINESTRING(0 0, 1 1)'), 'beans', '8fd1b0f5-bean.txt', 1, 'odd', 12.5, 'blurb'),
  ('n-2', '', 'u-bob', '[]', '2017-06-02', 'u-bob', '2017-06-02', 'u-bob',
   'only bob', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'gone.png', 2, NULL, NULL, NULL),
  ('n-3', 'u-bob', 'u-bob', NULL, '2017-06-03', 'u-bob', '2017-06-03', 'u-bob',
   'private', NULL, 1e300, -1, NULL, false, NULL, '[]', NULL, NULL, NULL, NULL, 3, '', NULL, NULL),
  ('n-4', '', 'u-alice', '[{"role": "member", "level": "read"}, {"user_id": "u-carol", "level": "write"}]', '2017-06-04', 'u-alice', '2017-06-04', 'u-alice',
   'for members', NULL, NULL, NULL, NULL, NULL, NULL, '"text"', NULL, NULL, NULL, 'folder/5b2c-leaf.txt', 4, NULL, NULL, NULL);
SELECT setval('"Note_number_seq"', 4);

CREATE TRIGGER trigger_notify_record_change AFTER INSERT OR UPDATE OR DELETE ON "user" FOR EACH ROW EXECUTE PROCEDURE public.notify_record_change();
CREATE TRIGGER trigger_notify_record_change AFTER INSERT OR UPDATE OR DELETE ON category FOR EACH ROW EXECUTE PROCEDURE public.notify_record_change();
CREATE TRIGGER trigger_notify_record_change AFTER INSERT OR UPDATE OR DELETE ON "Note" FOR EACH ROW EXECUTE PROCEDURE public.notify_record_change();
RESET search_path;
