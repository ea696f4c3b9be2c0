-- Which ticks of timers have been started, so that one server starts each, however many there are.
-- +goose Up
-- scheduled_at is the tick, not the moment of the start: all servers compute the same one.
CREATE TABLE app._timer_run (
  name         text NOT NULL,
  scheduled_at timestamptz NOT NULL,
  PRIMARY KEY (name, scheduled_at)
);
CREATE INDEX _timer_run_expiry ON app._timer_run (scheduled_at);
