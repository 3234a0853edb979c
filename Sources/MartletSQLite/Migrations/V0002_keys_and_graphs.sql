-- Idempotency keys, dependencies and graphs. New columns on old rows would be quick only where they need no index, so what few
-- tasks have stands in tables of its own: a plain task costs what it did before.

-- Somebody depends, or depended, on it: its end has to be told. Never unset.
ALTER TABLE task_runs ADD COLUMN has_children INTEGER NOT NULL DEFAULT 0;

-- What ties a task to others: a row only for those that have any of it. Written at submission; a graph may come later.
CREATE TABLE task_links (
  id              BLOB NOT NULL PRIMARY KEY,
  dependencies    BLOB,              -- their ids as submitted, one after the other; NULL for none
  on_failure      INTEGER NOT NULL,  -- the code of its DependencyPolicy
  ref             TEXT,
  graph           BLOB,
  idempotency_key TEXT,
  concurrency_key TEXT,
  schedule        TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX task_links_graph ON task_links (graph) WHERE graph IS NOT NULL;
CREATE INDEX task_links_key ON task_links (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX task_links_schedule ON task_links (schedule) WHERE schedule IS NOT NULL;

-- Who waits for whom, and whether it still does. There as long as both tasks are.
CREATE TABLE dependencies (
  parent     BLOB NOT NULL,
  child      BLOB NOT NULL,
  on_failure INTEGER NOT NULL,       -- the child's, so that those who wait on need not be read
  met        INTEGER NOT NULL,
  PRIMARY KEY (parent, child)
) STRICT, WITHOUT ROWID;

-- Ended tasks whose dependants are not all told yet: what a cascade has left over.
CREATE TABLE settlements (
  task  BLOB NOT NULL PRIMARY KEY,
  after BLOB NOT NULL                -- the last dependant that was told; no bytes for none
) STRICT, WITHOUT ROWID;

-- A row for each task that a key stands for, in the order of `position`.
CREATE TABLE idempotency_keys (
  key         TEXT NOT NULL,
  position    INTEGER NOT NULL,
  task        BLOB NOT NULL,
  fingerprint BLOB NOT NULL,         -- 32 bytes, the same in all rows of a key
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (key, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_task ON idempotency_keys (task, created_at);
