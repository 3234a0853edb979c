-- Idempotency keys, dependencies, graphs. Columns with constant defaults and new tables only: it takes no longer the more tasks
-- there are.

ALTER TABLE task_bodies
  ADD COLUMN dependencies uuid[],               -- as submitted, NULL for none
  ADD COLUMN on_failure smallint,               -- DependencyPolicy, NULL for HOLD
  ADD COLUMN ref text,
  ADD COLUMN graph_id uuid,
  ADD COLUMN idempotency_key text,
  ADD COLUMN batch_key text,                    -- the key that covers it, where that is not its own
  ADD COLUMN concurrency_key text,
  ADD COLUMN schedule_name text;

-- Set by whoever makes a task wait for this one, and so locks its row: the fast end of plain successes passes by those that
-- have it, and in no index, so that setting it stays on the page.
ALTER TABLE task_runs ADD COLUMN has_children boolean NOT NULL DEFAULT false;

-- A row per key for as long as its tasks are there. Keys are told apart byte by byte.
CREATE TABLE idempotency_keys (
  key         text COLLATE "C" PRIMARY KEY,
  fingerprint bytea NOT NULL,                   -- SHA-256 of the request
  tasks       uuid[] NOT NULL,                  -- in order: one, or all of a batch
  created_at  bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Who waits for whom, for as long as both are there. What is met was taken off the child's `unmet`, once.
CREATE TABLE dependencies (
  parent uuid NOT NULL,
  child  uuid NOT NULL,
  policy smallint NOT NULL,
  met    boolean NOT NULL,
  PRIMARY KEY (parent, child)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Tasks that ended and whose children are not all settled yet, from which child on.
CREATE TABLE settlements (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task   uuid NOT NULL,
  next   uuid NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE graph_members (
  graph uuid NOT NULL,
  task  uuid NOT NULL,
  PRIMARY KEY (graph, task)
);

CREATE OR REPLACE VIEW tasks AS
  SELECT r.id, l.queue, l.type, 10 - l.urgency AS priority,
    (ARRAY['PENDING', 'READY', 'RUNNING', 'RETRY', 'SUCCESS', 'DEAD', 'CANCELLED'])[r.status] AS status,
    r.attempt, r.max_attempts, to_timestamp(b.created_at / 1000.0) AS created_at,
    to_timestamp(r.available_at / 1000.0) AS available_at, to_timestamp(r.started_at / 1000.0) AS started_at,
    to_timestamp(r.finished_at / 1000.0) AS finished_at, r.worker, to_timestamp(r.lease_until / 1000.0) AS lease_until,
    b.payload, b.tags, b.metadata, b.dependencies, r.unmet AS waits_for, b.graph_id, b.ref, b.idempotency_key,
    b.concurrency_key, b.schedule_name
  FROM task_runs r JOIN task_bodies b ON b.id = r.id JOIN lanes l ON l.id = r.lane;
