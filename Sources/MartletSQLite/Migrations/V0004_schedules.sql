-- Recurring tasks: a row each, which says what is to be made when, and how far its ticks are handled.

CREATE TABLE schedules (
  name          TEXT NOT NULL PRIMARY KEY,
  revision      INTEGER NOT NULL,          -- of the definition: another random number with each change
  cron          TEXT,                      -- as it was written, with its zone; or else every_ms
  time_zone     TEXT,
  every_ms      INTEGER,                   -- counted from created_at
  misfire       TEXT NOT NULL,
  overlap       TEXT NOT NULL,
  paused        INTEGER NOT NULL,
  task          TEXT NOT NULL,             -- JSON, without the payload
  payload       BLOB NOT NULL,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  handled       INTEGER NOT NULL,          -- the latest tick that was decided on
  latest_tick   INTEGER,                   -- the latest that has made a task
  look_at       INTEGER,                   -- when a scheduler has to look at it; NULL for never
  last_run_at   INTEGER,
  last_task     BLOB,
  error_kind    TEXT,
  error_message TEXT,
  error_at      INTEGER
) STRICT;

CREATE INDEX schedules_due ON schedules (look_at, name) WHERE look_at IS NOT NULL;
