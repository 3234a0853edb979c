-- Events in the order in which the relay has told them, kept for a while for those who listen.

CREATE TABLE stream (
  position  bigint PRIMARY KEY,               -- without a gap, in the order of commits
  task      uuid NOT NULL,
  sequence  integer NOT NULL,
  type      smallint NOT NULL,
  queue     text NOT NULL,
  task_type text NOT NULL,
  at        bigint NOT NULL,                  -- when it was written here
  event     bytea NOT NULL,                   -- JSON
  UNIQUE (task, sequence)                     -- told twice, it is written once
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- The last position that was given: outlives the events.
CREATE TABLE stream_place (
  id   smallint PRIMARY KEY CHECK (id = 1),
  last bigint NOT NULL
) WITH (fillfactor = 50);

INSERT INTO stream_place (id, last) VALUES (1, 0);
