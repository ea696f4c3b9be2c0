-- Records that the server itself makes: only the master key writes them over the wire. The field * stands
-- for all of a type. A type of this name in an old database is its app's own and lacks the column that ours has.
-- +goose Up
INSERT INTO app._schema_kept (record_type, record_field)
  SELECT 'payment_record', '*'
    FROM (SELECT p.* FROM (SELECT) none LEFT JOIN app.payment_record p ON false) row
   WHERE jsonb_exists(to_jsonb(row), 'amount_minor');
