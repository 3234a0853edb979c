-- Events in the order in which the relay has told them, kept for a while for those who listen.

CREATE TABLE stream (
  position  INTEGER PRIMARY KEY,  -- without a gap, in the order of commits
  task      BLOB NOT NULL,
  sequence  INTEGER NOT NULL,
  type      INTEGER NOT NULL,
  queue     TEXT NOT NULL,
  task_type TEXT NOT NULL,
  at        INTEGER NOT NULL,     -- when it was written here
  event     BLOB NOT NULL,        -- JSON
  UNIQUE (task, sequence)         -- told twice, it is written once
) STRICT;

-- The last position that was given: outlives the events.
CREATE TABLE stream_place (
  id   INTEGER PRIMARY KEY CHECK (id = 1),
  last INTEGER NOT NULL
) STRICT;

INSERT INTO stream_place (id, last) VALUES (1, 0);
