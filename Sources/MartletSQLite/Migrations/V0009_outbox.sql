-- What the outside has not heard yet. As long as there is a sink, triggers of `task_runs` write an entry for each of them with every
-- transition (`SQLiteStore+Outbox.swift` makes and removes them): no way of a task can forget to.

CREATE TABLE sinks (
  number      INTEGER PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE,
  attended_at INTEGER NOT NULL,        -- when somebody last said that he delivers to it
  relay       TEXT,                    -- who does, until held_until
  held_until  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE outbox (
  number  INTEGER PRIMARY KEY,
  sink    INTEGER NOT NULL,
  task    BLOB NOT NULL,
  first   INTEGER NOT NULL,            -- of its events, as is the next
  last    INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  tries   INTEGER NOT NULL DEFAULT 0,  -- how often it was put off
  next_at INTEGER NOT NULL DEFAULT 0   -- not before
) STRICT;

-- The installation's name, in what it tells the outside.
INSERT INTO secrets (name, value) VALUES ('installation', randomblob(8));

CREATE INDEX outbox_sink ON outbox (sink, number);
CREATE INDEX outbox_task ON outbox (task);
