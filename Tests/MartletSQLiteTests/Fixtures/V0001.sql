-- A database as martlet 0.1.0 wrote it (schema V0001), one task in each state: the output of `.dump`.
PRAGMA application_id = 0x4D41524C;
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
INSERT INTO "attempts" VALUES(X'00000000000470008000000000000000',1,'worker-1',7,0,1769940000000,2,1769940000000,3,1769940000000,4,2,4,NULL,0,'HTTP_503','no room','main.swift:1',NULL);
INSERT INTO "attempts" VALUES(X'00000000000570008000000000000000',1,'worker-1',7,0,1769940000000,2,1769940000000,3,1769940000000,4,1,5,NULL,0,NULL,NULL,NULL,'["said"]');
INSERT INTO "attempts" VALUES(X'00000000000670008000000000000000',1,'worker-1',7,0,1769940000000,2,1769940000000,3,1769940000000,4,2,6,2,0,'HTTP_503','no room','main.swift:1',NULL);
CREATE TABLE checks (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  at INTEGER NOT NULL
) STRICT;
INSERT INTO "checks" VALUES(1,1769940000000);
CREATE TABLE claims (
  number   INTEGER PRIMARY KEY,
  check_at INTEGER NOT NULL,         -- none of its leases ends earlier
  is_local INTEGER NOT NULL,         -- by a worker that lives and dies with the server's process
  token    INTEGER NOT NULL,
  tasks    BLOB NOT NULL             -- their ids, one after the other
) STRICT;
INSERT INTO "claims" VALUES(1,1769940030000,0,7,X'00000000000370008000000000000000');
INSERT INTO "claims" VALUES(2,1769940030000,0,7,X'00000000000470008000000000000000');
INSERT INTO "claims" VALUES(3,1769940030000,0,7,X'00000000000570008000000000000000');
INSERT INTO "claims" VALUES(4,1769940030000,0,7,X'00000000000670008000000000000000');
CREATE TABLE counts (
  queue  TEXT NOT NULL,
  type   TEXT NOT NULL,
  status INTEGER NOT NULL,
  count  INTEGER NOT NULL,
  PRIMARY KEY (queue, type, status)
) STRICT, WITHOUT ROWID;
INSERT INTO "counts" VALUES('default','resize',1,1);
INSERT INTO "counts" VALUES('default','resize',2,1);
INSERT INTO "counts" VALUES('default','resize',3,1);
INSERT INTO "counts" VALUES('default','resize',4,1);
INSERT INTO "counts" VALUES('default','resize',5,1);
INSERT INTO "counts" VALUES('default','resize',6,1);
INSERT INTO "counts" VALUES('default','resize',7,1);
CREATE TABLE events (
  task     BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  type     INTEGER NOT NULL,
  at       INTEGER NOT NULL,
  actor    TEXT NOT NULL,
  cause    TEXT,
  PRIMARY KEY (task, sequence)
) STRICT, WITHOUT ROWID;
INSERT INTO "events" VALUES(X'00000000000770008000000000000000',3,8,1769940000000,'key-1','REQUESTED');
CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY);
INSERT INTO "grdb_migrations" VALUES('V0001_tasks');
CREATE TABLE results (
  task      BLOB NOT NULL PRIMARY KEY,
  result    BLOB,                     -- NULL where it was too long to keep
  truncated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "results" VALUES(X'00000000000570008000000000000000',X'5B315D',0);
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
INSERT INTO "task_bodies" VALUES(X'00000000000170008000000000000000',1769940000000,X'7B22666F72223A2250454E44494E47227D',3,300000,30000,'fixed 60.0 2.0 3600.0 0.0',3600000,NULL,'["old"]','{"k":"v"}',NULL,NULL);
INSERT INTO "task_bodies" VALUES(X'00000000000270008000000000000000',1769940000000,X'7B22666F72223A225245414459227D',3,300000,30000,'fixed 60.0 2.0 3600.0 0.0',NULL,NULL,'["old"]','{"k":"v"}',NULL,NULL);
INSERT INTO "task_bodies" VALUES(X'00000000000370008000000000000000',1769940000000,X'7B22666F72223A2252554E4E494E47227D',3,300000,30000,'fixed 60.0 2.0 3600.0 0.0',NULL,NULL,'["old"]','{"k":"v"}',NULL,NULL);
INSERT INTO "task_bodies" VALUES(X'00000000000470008000000000000000',1769940000000,X'7B22666F72223A225245545259227D',3,300000,30000,'fixed 60.0 2.0 3600.0 0.0',NULL,NULL,'["old"]','{"k":"v"}',NULL,NULL);
INSERT INTO "task_bodies" VALUES(X'00000000000570008000000000000000',1769940000000,X'7B22666F72223A2253554343455353227D',3,300000,30000,'fixed 60.0 2.0 3600.0 0.0',NULL,NULL,'["old"]','{"k":"v"}',NULL,NULL);
INSERT INTO "task_bodies" VALUES(X'00000000000670008000000000000000',1769940000000,X'7B22666F72223A2244454144227D',3,300000,30000,'fixed 60.0 2.0 3600.0 0.0',NULL,NULL,'["old"]','{"k":"v"}',NULL,NULL);
INSERT INTO "task_bodies" VALUES(X'00000000000770008000000000000000',1769940000000,X'7B22666F72223A2243414E43454C4C4544227D',3,300000,30000,'fixed 60.0 2.0 3600.0 0.0',NULL,NULL,'["old"]','{"k":"v"}',NULL,NULL);
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
INSERT INTO "task_runs" VALUES(X'00000000000170008000000000000000','default','resize',1,5,1769943600000,0,4,0,1,1769940000000,0,0,0,0,NULL,0,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(X'00000000000270008000000000000000','default','resize',2,5,1769940000000,0,4,0,2,1769940000000,0,0,0,0,1769940000000,2,NULL,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(X'00000000000370008000000000000000','default','resize',3,5,1769940000000,1,4,0,3,1769940000000,0,0,0,0,1769940000000,2,1769940000000,3,'worker-1',7,1769940030000,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(X'00000000000470008000000000000000','default','resize',4,5,1769940060000,1,4,0,5,1769940000000,0,0,0,0,1769940000000,0,1769940000000,0,'worker-1',7,NULL,2,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(X'00000000000570008000000000000000','default','resize',5,5,1769940000000,1,4,0,4,1769940000000,0,0,0,0,1769940000000,0,1769940000000,0,'worker-1',7,NULL,1,1769940000000,NULL,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(X'00000000000670008000000000000000','default','resize',6,5,1769940000000,1,4,0,5,1769940000000,0,0,0,0,1769940000000,0,1769940000000,0,'worker-1',7,NULL,2,1769940000000,2,NULL,NULL,NULL);
INSERT INTO "task_runs" VALUES(X'00000000000770008000000000000000','default','resize',7,5,1769940000000,0,4,0,3,1769940000000,0,0,0,0,1769940000000,2,NULL,0,NULL,NULL,NULL,NULL,1769940000000,4,NULL,NULL,NULL);
CREATE TABLE workers (
  id           TEXT NOT NULL PRIMARY KEY,
  host         TEXT NOT NULL,
  kind         TEXT NOT NULL,
  types        TEXT NOT NULL,         -- JSON arrays of strings
  queues       TEXT NOT NULL,
  running      INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX task_runs_ready ON task_runs (queue, type, urgency, available_at) WHERE status = 2 AND blocked = 0;
CREATE INDEX task_runs_due ON task_runs (available_at) WHERE status IN (1, 4) AND unmet = 0;
CREATE INDEX task_runs_expiring ON task_runs (expires_at)
  WHERE expires_at IS NOT NULL AND attempt = 0 AND status IN (1, 2);
CREATE INDEX task_runs_dead ON task_runs (id) WHERE status = 6;
CREATE INDEX claims_check ON claims (check_at);
