-- The first schema; search_path is the installation's. Times are milliseconds since 1970 by the database's clock, statuses and
-- outcomes the codes of Codes.swift. For people there is the view `tasks` at the end.

-- Where tasks are waited for: a queue, a type and a priority, and apart from the others those tasks that have lost a worker.
-- Rows are never changed or removed, so nodes remember them.
CREATE TABLE lanes (
  id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue   text NOT NULL,
  type    text NOT NULL,
  urgency smallint NOT NULL,                    -- 10 - priority, so that the claim order is ascending
  suspect boolean NOT NULL,                     -- its tasks have lost a worker: they are given to free slots only
  UNIQUE (type, queue, urgency, suspect)
);

-- What was asked for: written once, read by the claim and by people.
CREATE TABLE task_bodies (
  id          uuid PRIMARY KEY,
  created_at  bigint NOT NULL,
  payload     bytea NOT NULL,                   -- as it came; JSON of PostgreSQL's would change or refuse it
  retries     integer NOT NULL,
  backoff     text NOT NULL,                    -- strategy base factor max jitter, separated by spaces
  delay_ms    bigint,
  run_at      bigint,
  expires_at  bigint,                           -- NULL again after a retry by hand
  tags        text,                             -- JSON array of strings, NULL for none
  metadata    text,                             -- JSON object of strings, NULL for none
  traceparent text,
  replay_of   uuid
);

-- Where it stands: narrow, since it is written three times. What the path of a plain task changes after its claim is in no
-- index and no index's condition, so that its end stays on its page (HOT); hence columns of their own for what indexes need.
CREATE TABLE task_runs (
  id               uuid PRIMARY KEY,
  available_at     bigint NOT NULL,
  updated_at       bigint NOT NULL,
  due_at           bigint,                      -- available_at while it waits for its time, else NULL
  expiry_at        bigint,                      -- expires_at while it waits for its first attempt, else NULL
  ready_at         bigint,
  started_at       bigint,                      -- of the latest attempt
  finished_at      bigint,
  lease_until      bigint,
  token            bigint,
  lane             integer NOT NULL,
  attempt          integer NOT NULL DEFAULT 0,
  max_attempts     integer NOT NULL,
  lost             integer NOT NULL DEFAULT 0,  -- attempts that ended LOST
  sequence         integer NOT NULL,            -- of the latest event
  ready_sequence   integer NOT NULL DEFAULT 0,  -- 0: that event is told by another row
  started_sequence integer NOT NULL DEFAULT 0,  -- 0: the attempt has a row of its own
  timeout_ms       integer NOT NULL,
  lease_ms         integer NOT NULL,
  unmet            integer NOT NULL DEFAULT 0,  -- dependencies still to be met: not due while above 0
  status           smallint NOT NULL,
  blocked          smallint NOT NULL DEFAULT 0, -- held back by a limit or a pause: not claimable while above 0
  outcome          smallint,                    -- how the latest attempt ended; NULL while it runs
  reason           smallint,
  ready_by         smallint NOT NULL DEFAULT 0, -- 0 the API, 1 the scheduler
  claimable        boolean NOT NULL,            -- READY and not blocked
  is_dead          boolean NOT NULL DEFAULT false,
  cancel_requested boolean NOT NULL DEFAULT false,
  worker           text,
  progress_percent double precision,
  progress_message text
) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX task_runs_ready ON task_runs (lane, available_at, id) WHERE claimable;
CREATE INDEX task_runs_due ON task_runs (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX task_runs_expiring ON task_runs (expiry_at, id) WHERE expiry_at IS NOT NULL;
CREATE INDEX task_runs_dead ON task_runs (id) WHERE is_dead;

-- One row a claim call: what the rescuer works from, so that a lease costs the run row no index.
CREATE TABLE claims (
  number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  check_at bigint NOT NULL,                     -- none of its leases ends earlier
  token    bigint NOT NULL,
  tasks    uuid[] NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX claims_check ON claims (check_at);

-- Ended attempts, but for a success without log lines: the run row says all of that one.
CREATE TABLE attempts (
  task              uuid NOT NULL,
  number            integer NOT NULL,
  token             bigint NOT NULL,
  ready_at          bigint,
  started_at        bigint NOT NULL,
  finished_at       bigint NOT NULL,
  ready_sequence    integer NOT NULL,
  started_sequence  integer NOT NULL,
  finished_sequence integer NOT NULL,           -- of the first event that tells its end
  ready_by          smallint NOT NULL,
  outcome           smallint NOT NULL,
  status_after      smallint NOT NULL,
  reason            smallint,
  rescued           boolean NOT NULL,
  worker            text NOT NULL,
  error_type        text,
  error_message     text,
  error_stack       text,
  logs              text,                       -- JSON array of strings, NULL for none
  PRIMARY KEY (task, number)
);

-- Events that no other row tells: commands from outside and what came of them.
CREATE TABLE events (
  task     uuid NOT NULL,
  sequence integer NOT NULL,
  type     smallint NOT NULL,
  at       bigint NOT NULL,
  command  bigint,                              -- which command wrote it: a repeated one finds itself here
  actor    text NOT NULL,
  cause    text,
  PRIMARY KEY (task, sequence)
);

CREATE TABLE results (
  task      uuid PRIMARY KEY,
  result    bytea,                              -- NULL where it was too long to keep
  truncated boolean NOT NULL
);

-- Counting costs nothing: every transaction adds what it moved, in rows of its own, so that no two wait for each other. From
-- time to time they are folded into `counts`.
CREATE TABLE count_changes (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  lane   integer NOT NULL,
  old    smallint NOT NULL,                     -- the status before, 0 for a new task
  new    smallint NOT NULL,                     -- the status after, 0 for a deleted one
  count  integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000);
CREATE TABLE counts (
  lane   integer NOT NULL,
  status smallint NOT NULL,
  count  bigint NOT NULL,
  PRIMARY KEY (lane, status)
) WITH (fillfactor = 50);
CREATE VIEW task_counts AS
  SELECT l.queue, l.type, c.status, sum(c.count)::bigint AS count
  FROM (
    SELECT lane, status, count FROM counts
    UNION ALL SELECT lane, old, -count FROM count_changes WHERE old > 0
    UNION ALL SELECT lane, new, count FROM count_changes WHERE new > 0
  ) c JOIN lanes l ON l.id = c.lane
  GROUP BY l.queue, l.type, c.status
  HAVING sum(c.count) <> 0;

CREATE TABLE workers (
  id           text PRIMARY KEY,
  host         text NOT NULL,
  kind         text NOT NULL,
  types        text NOT NULL,                   -- JSON arrays of strings
  queues       text NOT NULL,
  running      integer NOT NULL,
  last_seen_at bigint NOT NULL
);

-- How far a duty has come that walks over all tasks; whoever does a step of it holds its row.
CREATE TABLE duties (
  name   text PRIMARY KEY,
  cursor uuid
);
INSERT INTO duties (name) VALUES ('prune');

-- One row, written by the check that the store can commit.
CREATE TABLE checks (
  id integer PRIMARY KEY CHECK (id = 1),
  at bigint NOT NULL
);

-- For people at a prompt; no program reads it.
CREATE VIEW tasks AS
  SELECT r.id, l.queue, l.type, 10 - l.urgency AS priority,
    (ARRAY['PENDING', 'READY', 'RUNNING', 'RETRY', 'SUCCESS', 'DEAD', 'CANCELLED'])[r.status] AS status,
    r.attempt, r.max_attempts, to_timestamp(b.created_at / 1000.0) AS created_at,
    to_timestamp(r.available_at / 1000.0) AS available_at, to_timestamp(r.started_at / 1000.0) AS started_at,
    to_timestamp(r.finished_at / 1000.0) AS finished_at, r.worker, to_timestamp(r.lease_until / 1000.0) AS lease_until,
    b.payload, b.tags, b.metadata
  FROM task_runs r JOIN task_bodies b ON b.id = r.id JOIN lanes l ON l.id = r.lane;
