-- Whom to tell how tasks ended. Triggers of `task_runs` write a notice for each receiver with the ending itself: no way of a task can
-- forget to. They are switched on when the first task with `notify` is accepted.

ALTER TABLE task_bodies ADD COLUMN notify text;                          -- JSON array of receivers, NULL for none
ALTER TABLE task_runs ADD COLUMN notifies smallint NOT NULL DEFAULT 0;   -- a bit for each status that somebody is told of
ALTER TABLE queue_settings ADD COLUMN notify text;  -- the same for tasks that do not say it; NULL leaves it to the installation

CREATE TABLE notices (
  number        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  task          uuid NOT NULL,
  sequence      integer NOT NULL,                -- of the event that told the ending
  place         integer NOT NULL,                -- of the receiver in the task's `notify`
  type          text NOT NULL,
  queue         text NOT NULL,
  channel       text NOT NULL,
  target        text NOT NULL,
  destination   text COLLATE "C" NOT NULL,       -- what a receiver that does not answer blocks
  task_status   smallint NOT NULL,               -- how the task ended, as are the next four
  reason        smallint,
  attempt       integer NOT NULL,
  max_attempts  integer NOT NULL,
  started_at    bigint,
  status        smallint NOT NULL DEFAULT 1,     -- 1 pending, 2 delivered, 3 dead
  attempts      integer NOT NULL DEFAULT 0,      -- deliveries begun; whoever begins one holds it by this number
  most_attempts integer NOT NULL DEFAULT 15,
  created_at    bigint NOT NULL,
  updated_at    bigint NOT NULL,
  pending_since bigint NOT NULL,
  next_at       bigint NOT NULL,                 -- not before; while it is being delivered, when that must have ended
  is_held       boolean NOT NULL DEFAULT false,  -- somebody is delivering it, until next_at
  error         text
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE UNIQUE INDEX notices_task ON notices (task, sequence, place);
CREATE INDEX notices_pending ON notices (destination, next_at, number) WHERE status = 1;

CREATE FUNCTION write_notices() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO notices (task, sequence, place, type, queue, channel, target, destination, task_status, reason, attempt,
    max_attempts, started_at, created_at, updated_at, pending_since, next_at)
  SELECT NEW.id, NEW.sequence, t.number - 1, l.type, l.queue, CASE WHEN t.value ? 'webhook' THEN 'webhook' ELSE 'email' END,
    coalesce(t.value ->> 'webhook', t.value ->> 'email'), t.value ->> 'destination', NEW.status, NEW.reason, NEW.attempt,
    NEW.max_attempts, NEW.started_at, NEW.updated_at, NEW.updated_at, NEW.updated_at, NEW.updated_at
  FROM (SELECT notify FROM task_bodies WHERE id = NEW.id LIMIT 1) b
    CROSS JOIN (SELECT queue, type FROM lanes WHERE id = NEW.lane LIMIT 1) l
    CROSS JOIN jsonb_array_elements(b.notify::jsonb) WITH ORDINALITY AS t(value, number)
  WHERE t.value -> 'on' ? CASE NEW.status WHEN 5 THEN 'SUCCESS' WHEN 6 THEN 'DEAD' ELSE 'CANCELLED' END
  ORDER BY t.number;
  RETURN NULL;
END $$;

-- A new task is told of its receivers by a statement after the one that writes it: what has ended by then is told too.
CREATE TRIGGER task_runs_notices AFTER UPDATE OF status, notifies ON task_runs FOR EACH ROW
  WHEN ((NEW.notifies::integer >> NEW.status::integer) & 1 = 1
    AND (NEW.status <> OLD.status OR NEW.notifies <> OLD.notifies))
  EXECUTE FUNCTION write_notices();
ALTER TABLE task_runs DISABLE TRIGGER task_runs_notices;

-- With the rights of the table's owner, which nodes need not have. Waits for whoever is writing.
CREATE FUNCTION switch_notices_on() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (
    SELECT 1 FROM pg_trigger t WHERE t.tgrelid = 'task_runs'::regclass AND t.tgname = 'task_runs_notices' AND t.tgenabled <> 'D'
  ) THEN
    RETURN;
  END IF;
  ALTER TABLE task_runs ENABLE TRIGGER task_runs_notices;
END $$;
