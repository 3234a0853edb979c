PRAGMA application_id = 0x4D41524C;  -- "MARL": tells our files from others'

-- The first schema. Times are milliseconds since 1970, statuses and outcomes the codes of Codes.swift, ids UUIDv7 in 16 bytes.

-- What was asked for: written once, read by the claim and by people.
CREATE TABLE task_bodies (
  id            BLOB NOT NULL PRIMARY KEY,
  created_at    INTEGER NOT NULL,
  payload       BLOB NOT NULL,
  retries       INTEGER NOT NULL,
  timeout_ms    INTEGER NOT NULL,
  lease_ms      INTEGER NOT NULL,
  backoff       TEXT NOT NULL,       -- strategy base factor max jitter, separated by spaces
  delay_ms      INTEGER,
  run_at        INTEGER,
  tags          TEXT,                -- JSON array of strings, NULL for none
  metadata      TEXT,                -- JSON object of strings, NULL for none
  traceparent   TEXT,
  replay_of     BLOB
) STRICT, WITHOUT ROWID;

-- Where it stands: narrow, since it is written three times.
CREATE TABLE task_runs (
  id               BLOB NOT NULL PRIMARY KEY,
  queue            TEXT NOT NULL,
  type             TEXT NOT NULL,
  status           INTEGER NOT NULL,
  urgency          INTEGER NOT NULL,            -- 10 - priority, so that the claim order is one ascending key
  available_at     INTEGER NOT NULL,
  attempt          INTEGER NOT NULL DEFAULT 0,
  max_attempts     INTEGER NOT NULL,
  lost             INTEGER NOT NULL DEFAULT 0,  -- attempts that ended LOST
  sequence         INTEGER NOT NULL,            -- of the latest event
  updated_at       INTEGER NOT NULL,
  unmet            INTEGER NOT NULL DEFAULT 0,  -- dependencies still to be met: not due while above 0
  blocked          INTEGER NOT NULL DEFAULT 0,  -- held back by a limit or a pause: not claimable while above 0
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  ready_by         INTEGER NOT NULL DEFAULT 0,  -- 0 the API, 1 the scheduler
  ready_at         INTEGER,
  ready_sequence   INTEGER NOT NULL DEFAULT 0,  -- 0: that event is told by another row
  started_at       INTEGER,                     -- of the latest attempt, as are the next three
  started_sequence INTEGER NOT NULL DEFAULT 0,  -- 0: the attempt has a row of its own
  worker           TEXT,
  token            INTEGER,
  lease_until      INTEGER,
  outcome          INTEGER,                     -- how it ended; NULL while it runs
  finished_at      INTEGER,
  reason           INTEGER,
  expires_at       INTEGER,
  progress_percent REAL,
  progress_message TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX task_runs_ready ON task_runs (queue, type, urgency, available_at) WHERE status = 2 AND blocked = 0;
CREATE INDEX task_runs_due ON task_runs (available_at) WHERE status IN (1, 4) AND unmet = 0;
CREATE INDEX task_runs_expiring ON task_runs (expires_at)
  WHERE expires_at IS NOT NULL AND attempt = 0 AND status IN (1, 2);
CREATE INDEX task_runs_dead ON task_runs (id) WHERE status = 6;

-- One row a claim call: what the rescuer works from, so that a lease costs the run row no index.
CREATE TABLE claims (
  number   INTEGER PRIMARY KEY,
  check_at INTEGER NOT NULL,         -- none of its leases ends earlier
  is_local INTEGER NOT NULL,         -- by a worker that lives and dies with the server's process
  token    INTEGER NOT NULL,
  tasks    BLOB NOT NULL             -- their ids, one after the other
) STRICT;
CREATE INDEX claims_check ON claims (check_at);

-- Ended attempts, but for a success without log lines: the run row says all of that one.
CREATE TABLE attempts (
  task              BLOB NOT NULL,
  number            INTEGER NOT NULL,
  worker            TEXT NOT NULL,
  token             INTEGER NOT NULL,
  ready_by          INTEGER NOT NULL,
  ready_at          INTEGER,
  ready_sequence    INTEGER NOT NULL,
  started_at        INTEGER NOT NULL,
  started_sequence  INTEGER NOT NULL,
  finished_at       INTEGER NOT NULL,
  finished_sequence INTEGER NOT NULL, -- of the first event that tells its end
  outcome           INTEGER NOT NULL,
  status_after      INTEGER NOT NULL,
  reason            INTEGER,
  rescued           INTEGER NOT NULL,
  error_type        TEXT,
  error_message     TEXT,
  error_stack       TEXT,
  logs              TEXT,             -- JSON array of strings, NULL for none
  PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;

-- Events that no other row tells: commands from outside and what came of them.
CREATE TABLE events (
  task     BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  type     INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  actor    TEXT NOT NULL,
  cause    TEXT,
  PRIMARY KEY (task, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
  task      BLOB NOT NULL PRIMARY KEY,
  result    BLOB,                     -- NULL where it was too long to keep
  truncated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Kept by every transaction, so that counting costs nothing.
CREATE TABLE counts (
  queue  TEXT NOT NULL,
  type   TEXT NOT NULL,
  status INTEGER NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (queue, type, status)
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
  id           TEXT NOT NULL PRIMARY KEY,
  host         TEXT NOT NULL,
  kind         TEXT NOT NULL,
  types        TEXT NOT NULL,         -- JSON arrays of strings
  queues       TEXT NOT NULL,
  running      INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row, written by the check that the store can commit.
CREATE TABLE checks (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  at INTEGER NOT NULL
) STRICT;
