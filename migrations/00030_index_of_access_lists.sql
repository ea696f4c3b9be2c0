-- The index of access lists holds records without a list too, as the list that means the same: with it
-- PostgreSQL finds what somebody may read without looking at every record.
-- +goose Up
-- +goose StatementBegin
DO $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT i.indrelid::regclass AS records, i.indexrelid::regclass AS outdated
      FROM pg_catalog.pg_index i
      JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
      JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
      JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'gin'
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] AND a.attname = '_access'
     WHERE c.relnamespace = (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = (SELECT v.tableoid FROM app._schema_version v LIMIT 1))
  LOOP
    EXECUTE format('DROP INDEX %s', found.outdated);
    EXECUTE format('CREATE INDEX ON %s USING gin (coalesce(_access, %L::jsonb) jsonb_path_ops)', found.records, '[{"level":"write","public":true}]');
  END LOOP;
END $$;
-- +goose StatementEnd
