-- Settings of queues and types, and the lines for concurrency keys. But for the tasks that have such a key it takes no longer the
-- more tasks there are than to read their bodies once.

-- No row: nothing was ever set.
CREATE TABLE queue_settings (
  queue       text COLLATE "C" PRIMARY KEY,
  paused      boolean NOT NULL DEFAULT false,
  concurrency integer,                          -- NULL is no limit, here and below
  per_key     integer DEFAULT 1,
  rate        double precision,                 -- a second
  burst       integer,
  max_depth   integer,
  -- Claims have to be counted: they are made under the lock of the queue's bucket.
  limited     boolean NOT NULL GENERATED ALWAYS AS (concurrency IS NOT NULL OR rate IS NOT NULL) STORED
);
-- What every claim and every submission looks into has only what matters to it: nearly always nothing.
CREATE INDEX queue_settings_apart ON queue_settings (queue) WHERE paused OR limited;
CREATE INDEX queue_settings_limited ON queue_settings (queue) WHERE limited;
CREATE INDEX queue_settings_deep ON queue_settings (queue) WHERE max_depth IS NOT NULL;

-- Apart from the settings, since it is written by every claim where there is a rate. One for each row of `queue_settings`.
CREATE TABLE queue_buckets (
  queue      text COLLATE "C" PRIMARY KEY,
  tokens     double precision NOT NULL DEFAULT 0,
  counted_at bigint NOT NULL DEFAULT 0          -- when it held these
) WITH (fillfactor = 50);

CREATE TABLE type_settings (
  type     text COLLATE "C" PRIMARY KEY,
  paused   boolean NOT NULL DEFAULT false,
  defaults text NOT NULL DEFAULT '{}'           -- JSON
);
CREATE INDEX type_settings_paused ON type_settings (type) WHERE paused;

-- What runs and what waits in a queue is summed up by its lanes.
CREATE INDEX lanes_queue ON lanes (queue, type);
CREATE INDEX count_changes_lane ON count_changes (lane);

-- From here on `task_runs.blocked` is 1 for each task with a concurrency key, for ever: no transition makes it claimable, only
-- its admission does. `key_line` has a row for each of them that is READY or RUNNING, kept by triggers of `task_runs` alone:
-- a slot is held by a row with `admitted_at` and by nothing else, so that no way out of an attempt can forget to free it.
CREATE TABLE key_line (
  task         uuid PRIMARY KEY,
  queue        text COLLATE "C" NOT NULL,
  key          text COLLATE "C" NOT NULL,
  type         text COLLATE "C" NOT NULL,
  urgency      smallint NOT NULL,
  available_at bigint NOT NULL,
  admitted_at  bigint,                          -- NULL: it waits
  -- When it has to make room if nobody has taken it, where tasks of other types wait. NULL: not looked at yet; the greatest
  -- number: somebody has taken it.
  give_way_at  bigint
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX key_line_waiting ON key_line (queue, key, type, urgency, available_at, task) WHERE admitted_at IS NULL;
CREATE INDEX key_line_oldest ON key_line (queue, available_at) WHERE admitted_at IS NULL;
CREATE INDEX key_line_held ON key_line (queue, key) WHERE admitted_at IS NOT NULL;
CREATE INDEX key_line_giving_way ON key_line (give_way_at) WHERE give_way_at < 9223372036854775807;

-- Keys of which a slot may have become free, or a task begun to wait. Only added to and deleted, so that no two transactions wait
-- for each other.
CREATE TABLE key_touches (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue  text COLLATE "C" NOT NULL,
  key    text COLLATE "C" NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- All keys with somebody waiting are to be touched, behind this one: settings were changed.
CREATE TABLE key_sweeps (
  number      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue       text COLLATE "C",                 -- NULL: of every queue
  after_queue text COLLATE "C" NOT NULL,
  after_key   text COLLATE "C" NOT NULL DEFAULT ''
);

-- When tasks of a type last had to make room in the line for a key.
CREATE TABLE key_turns (
  queue text COLLATE "C" NOT NULL,
  key   text COLLATE "C" NOT NULL,
  type  text COLLATE "C" NOT NULL,
  at    bigint NOT NULL,
  PRIMARY KEY (queue, key, type)
);
CREATE INDEX key_turns_at ON key_turns (at);

-- Nobody moves a task from here to the commit.
LOCK TABLE task_runs IN SHARE ROW EXCLUSIVE MODE;

UPDATE task_runs r SET blocked = 1, claimable = false FROM task_bodies b
WHERE b.id = r.id AND b.concurrency_key IS NOT NULL;

-- Those that run hold a slot, even if they are too many; the others take their places.
INSERT INTO key_line (task, queue, key, type, urgency, available_at, admitted_at)
SELECT r.id, l.queue, b.concurrency_key, l.type, l.urgency, r.available_at,
  CASE WHEN r.status = 3 THEN floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint END
FROM task_bodies b JOIN task_runs r ON r.id = b.id JOIN lanes l ON l.id = r.lane
WHERE b.concurrency_key IS NOT NULL AND r.status IN (2, 3);

INSERT INTO key_touches (queue, key) SELECT DISTINCT queue, key FROM key_line;

-- Into the line, or back to waiting.
CREATE FUNCTION join_key_line() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  WITH joined AS (
    INSERT INTO key_line AS k (task, queue, key, type, urgency, available_at)
    SELECT NEW.id, l.queue, b.concurrency_key, l.type, l.urgency, NEW.available_at
    FROM lanes l, task_bodies b WHERE l.id = NEW.lane AND b.id = NEW.id
    ON CONFLICT (task) DO UPDATE SET queue = excluded.queue, key = excluded.key, type = excluded.type,
      urgency = excluded.urgency, available_at = excluded.available_at, admitted_at = NULL, give_way_at = NULL
    RETURNING k.queue, k.key
  )
  INSERT INTO key_touches (queue, key) SELECT queue, key FROM joined;
  RETURN NULL;
END $$;

CREATE FUNCTION leave_key_line() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  WITH gone AS (DELETE FROM key_line k WHERE k.task = OLD.id RETURNING k.queue, k.key)
  INSERT INTO key_touches (queue, key) SELECT queue, key FROM gone;
  RETURN NULL;
END $$;

CREATE FUNCTION move_in_key_line() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  WITH moved AS (
    UPDATE key_line k SET queue = l.queue, type = l.type, urgency = l.urgency, available_at = NEW.available_at
    FROM lanes l WHERE l.id = NEW.lane AND k.task = NEW.id
    RETURNING k.queue, k.key
  )
  INSERT INTO key_touches (queue, key) SELECT queue, key FROM moved;
  RETURN NULL;
END $$;

-- A task without a key pays for the first comparison of each.
CREATE TRIGGER task_runs_submitted AFTER INSERT ON task_runs FOR EACH ROW
  WHEN (NEW.blocked = 1 AND NEW.status = 2) EXECUTE FUNCTION join_key_line();
CREATE TRIGGER task_runs_readied AFTER UPDATE ON task_runs FOR EACH ROW
  WHEN (NEW.blocked = 1 AND NEW.status = 2 AND (OLD.status <> 2 OR OLD.claimable AND NOT NEW.claimable))
  EXECUTE FUNCTION join_key_line();
CREATE TRIGGER task_runs_moved AFTER UPDATE ON task_runs FOR EACH ROW
  WHEN (NEW.blocked = 1 AND NEW.status = 2 AND OLD.status = 2 AND (OLD.lane <> NEW.lane OR OLD.available_at <> NEW.available_at))
  EXECUTE FUNCTION move_in_key_line();
CREATE TRIGGER task_runs_left AFTER UPDATE ON task_runs FOR EACH ROW
  WHEN (NEW.blocked = 1 AND OLD.status IN (2, 3) AND NEW.status NOT IN (2, 3)) EXECUTE FUNCTION leave_key_line();
CREATE TRIGGER task_runs_deleted AFTER DELETE ON task_runs FOR EACH ROW
  WHEN (OLD.blocked = 1 AND OLD.status IN (2, 3)) EXECUTE FUNCTION leave_key_line();
