-- Who changed what, and the actions on many tasks that are carried out step by step.

-- Only ever added to, until entries are too old.
CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  number   INTEGER NOT NULL UNIQUE,  -- of the act: repeated, it is written down once
  at       INTEGER NOT NULL,
  actor    TEXT NOT NULL,
  action   TEXT NOT NULL,
  target   TEXT NOT NULL,
  detail   TEXT                      -- JSON object
) STRICT;

CREATE INDEX audit_at ON audit (at, sequence);
CREATE INDEX audit_target ON audit (target, at, sequence);

-- An action on many tasks, and how far it has come: it goes up through the ids from `cursor` to `last`.
CREATE TABLE bulk_jobs (
  id          BLOB NOT NULL PRIMARY KEY,
  action      INTEGER NOT NULL,
  filter      TEXT NOT NULL,         -- JSON object as clients write it
  queues      TEXT,                  -- JSON array of patterns: only queues that one of them matches
  task_limit  INTEGER,
  rate        REAL,                  -- tasks a second
  actor       TEXT NOT NULL,
  status      INTEGER NOT NULL,
  matched     INTEGER NOT NULL DEFAULT 0,
  changed     INTEGER NOT NULL DEFAULT 0,
  failed      INTEGER NOT NULL DEFAULT 0,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  finished_at INTEGER,
  last_error  TEXT,
  last        BLOB NOT NULL,         -- no bytes where there was no task
  cursor      BLOB NOT NULL,         -- no bytes at the beginning
  next_at     INTEGER NOT NULL       -- not to be carried on before
) STRICT, WITHOUT ROWID;

CREATE INDEX bulk_jobs_due ON bulk_jobs (next_at) WHERE status = 1;
CREATE INDEX bulk_jobs_finished ON bulk_jobs (finished_at) WHERE finished_at IS NOT NULL;
