-- Recurring tasks: a row each, which says what is to be made when, and how far its ticks are handled.

CREATE TABLE schedules (
  name          text COLLATE "C" PRIMARY KEY,
  revision      bigint NOT NULL,           -- of the definition: another random number with each change
  cron          text,                      -- as it was written, with its zone; or else every_ms
  time_zone     text,
  every_ms      bigint,                    -- counted from created_at
  misfire       text NOT NULL,
  overlap       text NOT NULL,
  paused        boolean NOT NULL,
  task          text NOT NULL,             -- JSON, without the payload
  payload       bytea NOT NULL,
  created_at    bigint NOT NULL,
  updated_at    bigint NOT NULL,
  handled       bigint NOT NULL,           -- the latest tick that was decided on
  latest_tick   bigint,                    -- the latest that has made a task
  look_at       bigint,                    -- when a scheduler has to look at it; NULL for never
  last_run_at   bigint,
  last_task     uuid,
  error_kind    text,
  error_message text,
  error_at      bigint
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

CREATE INDEX schedules_due ON schedules (look_at, name) WHERE look_at IS NOT NULL;

-- Which tasks a schedule has made, for as long as they are there.
CREATE TABLE schedule_tasks (
  schedule text COLLATE "C" NOT NULL,
  task     uuid NOT NULL,
  PRIMARY KEY (schedule, task)
);
