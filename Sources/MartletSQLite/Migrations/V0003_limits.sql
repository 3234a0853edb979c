-- Settings of queues and types, and the slots of concurrency keys.

-- What was ever set, by queue. A queue without a row has what `QueueSettings` begins with.
CREATE TABLE queues (
  queue       TEXT NOT NULL PRIMARY KEY,
  paused      INTEGER NOT NULL,
  concurrency INTEGER,                 -- NULL in any of these: any number
  per_key     INTEGER,
  rate        REAL,
  burst       INTEGER,
  max_depth   INTEGER,
  tokens      REAL,                    -- what the bucket of the rate held
  counted_at  INTEGER                  -- then; NULL, as are the tokens, where there is no rate
) STRICT, WITHOUT ROWID;

CREATE TABLE types (
  type     TEXT NOT NULL PRIMARY KEY,
  paused   INTEGER NOT NULL,
  defaults TEXT NOT NULL               -- a JSON object
) STRICT, WITHOUT ROWID;

-- One row, counted up with every change of settings: who remembers them reads this to know whether they still hold.
CREATE TABLE settings_version (
  id      INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL
) STRICT;
INSERT INTO settings_version (id, version) VALUES (1, 1);

-- It has a concurrency key. Such a task becomes READY blocked, and claimable only by an admission.
ALTER TABLE task_runs ADD COLUMN keyed INTEGER NOT NULL DEFAULT 0;

-- READY and RUNNING tasks with keys. Triggers of `task_runs` keep it, whatever moves a task: what holds a slot is a row here that
-- was admitted, so that a slot can neither leak nor be counted twice. The first task with a key makes them (`KeyLine.swift`).
CREATE TABLE key_line (
  task         BLOB NOT NULL PRIMARY KEY,
  queue        TEXT NOT NULL,
  key          TEXT NOT NULL,
  type         TEXT NOT NULL,
  urgency      INTEGER NOT NULL,
  available_at INTEGER NOT NULL,
  admitted_at  INTEGER,                     -- NULL: waits for a slot
  running      INTEGER NOT NULL DEFAULT 0,
  gives_way_at INTEGER                      -- set while tasks of other types may wait for the slot of one that nobody takes
) STRICT, WITHOUT ROWID;

CREATE INDEX key_line_waiting ON key_line (queue, key, type, urgency, available_at, task) WHERE admitted_at IS NULL;
CREATE INDEX key_line_held ON key_line (queue, key, running) WHERE admitted_at IS NOT NULL;
CREATE INDEX key_line_patience ON key_line (gives_way_at) WHERE gives_way_at IS NOT NULL;
CREATE INDEX key_line_oldest ON key_line (queue, available_at) WHERE admitted_at IS NULL;

-- Keys whose line has changed: somebody may have to be admitted. Worked off before the commit, as far as that is little.
CREATE TABLE key_touches (
  queue TEXT NOT NULL,
  key   TEXT NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;

-- Queues all of whose keys are to be looked at, since a setting has changed, and how far that has come.
CREATE TABLE key_walks (
  queue     TEXT NOT NULL PRIMARY KEY,
  after_key TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- When tasks of a type last had to give way in the line for a key.
CREATE TABLE key_turns (
  queue       TEXT NOT NULL,
  key         TEXT NOT NULL,
  type        TEXT NOT NULL,
  gave_way_at INTEGER NOT NULL,
  PRIMARY KEY (queue, key, type)
) STRICT, WITHOUT ROWID;

CREATE INDEX key_turns_age ON key_turns (gave_way_at);

CREATE TRIGGER key_line_new AFTER INSERT ON key_line
BEGIN
  INSERT INTO key_touches (queue, key) VALUES (NEW.queue, NEW.key) ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER key_line_gone AFTER DELETE ON key_line WHEN OLD.admitted_at IS NOT NULL
BEGIN
  INSERT INTO key_touches (queue, key) VALUES (OLD.queue, OLD.key) ON CONFLICT DO NOTHING;
END;
