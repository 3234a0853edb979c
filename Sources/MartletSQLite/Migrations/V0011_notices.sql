-- Whom to tell how tasks ended. Triggers of `task_runs` write a notice for each receiver with the ending itself: no way of a task can
-- forget to. They are made when the first task with `notify` is accepted (`SQLiteStore+Notices.swift`).

ALTER TABLE task_bodies ADD COLUMN notify TEXT;                          -- JSON array of receivers, NULL for none
ALTER TABLE task_runs ADD COLUMN notifies INTEGER NOT NULL DEFAULT 0;    -- a bit for each status that somebody is told of
ALTER TABLE queues ADD COLUMN notify TEXT;  -- the same for tasks that do not say it; NULL leaves it to the installation

CREATE TABLE notices (
  number        INTEGER PRIMARY KEY AUTOINCREMENT,
  task          BLOB NOT NULL,
  sequence      INTEGER NOT NULL,               -- of the event that told the ending
  place         INTEGER NOT NULL,               -- of the receiver in the task's `notify`
  type          TEXT NOT NULL,
  queue         TEXT NOT NULL,
  channel       TEXT NOT NULL,
  target        TEXT NOT NULL,
  destination   TEXT NOT NULL,                  -- what a receiver that does not answer blocks
  task_status   INTEGER NOT NULL,               -- how the task ended, as are the next four
  reason        INTEGER,
  attempt       INTEGER NOT NULL,
  max_attempts  INTEGER NOT NULL,
  started_at    INTEGER,
  status        INTEGER NOT NULL DEFAULT 1,     -- 1 pending, 2 delivered, 3 dead
  attempts      INTEGER NOT NULL DEFAULT 0,     -- deliveries begun; whoever begins one holds it by this number
  most_attempts INTEGER NOT NULL DEFAULT 15,
  created_at    INTEGER NOT NULL,
  updated_at    INTEGER NOT NULL,
  pending_since INTEGER NOT NULL,
  next_at       INTEGER NOT NULL,               -- not before; while it is being delivered, when that must have ended
  is_held       INTEGER NOT NULL DEFAULT 0,     -- somebody is delivering it, until next_at
  error         TEXT
) STRICT;

CREATE UNIQUE INDEX notices_task ON notices (task, sequence, place);
CREATE INDEX notices_pending ON notices (destination, next_at) WHERE status = 1;
