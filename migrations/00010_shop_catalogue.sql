-- What this shop sells. Prices are in minor units: 1000 is 10.00 USD.
-- +goose Up
INSERT INTO app._product (id, name, description, weight_grams, currency, unit_amount, position) VALUES
  ('kenya-aa', 'Kenya AA', 'Blackcurrant, grapefruit and brown sugar. Washed, from the slopes of Mount Kenya.', 200, 'usd', 1000, 1),
  ('colombia', 'Colombia', 'Caramel, red apple and milk chocolate. Washed, from small farms in Huila.', 200, 'usd', 1000, 2),
  ('ethiopia', 'Ethiopia', 'Jasmine, bergamot and ripe peach. Natural, from the gardens of Yirgacheffe.', 200, 'usd', 1000, 3);
