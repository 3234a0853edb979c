-- What the outside has not heard yet. As long as there is a sink, triggers of `task_runs` write an entry for each of them with every
-- transition: no way of a task can forget to. Without one they are disabled, and cost nothing.

CREATE TABLE sinks (
  number      smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name        text COLLATE "C" NOT NULL UNIQUE,
  attended_at bigint NOT NULL,              -- when somebody last said that he delivers to it
  relay       text,                         -- who does, until held_until
  held_until  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE outbox (
  sink    smallint NOT NULL,
  number  bigint GENERATED ALWAYS AS IDENTITY,
  task    uuid NOT NULL,
  first   integer NOT NULL,                 -- of its events, as is the next
  last    integer NOT NULL,
  at      bigint NOT NULL,
  tries   integer NOT NULL DEFAULT 0,       -- how often it was put off
  next_at bigint NOT NULL DEFAULT 0,        -- not before
  PRIMARY KEY (sink, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- The installation's name, in what it tells the outside.
INSERT INTO secrets (name, value) VALUES ('installation', substring(uuid_send(gen_random_uuid()) FOR 8));

CREATE INDEX outbox_task ON outbox (task);

-- Of one task the numbers are in the order of its history: whoever moves it next waits for this transaction.
CREATE FUNCTION note_new_tasks() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  INSERT INTO outbox (sink, task, first, last, at)
  SELECT s.number, n.id, 1, n.sequence, n.updated_at FROM new_runs n CROSS JOIN sinks s;
  RETURN NULL;
END $$;

-- Renewals change rows too, and raise no sequence. Nothing is known of how many rows a statement has moved: without these settings
-- (nodes forbid hash joins elsewhere) a thousand might be looked for among a thousand, one by one.
CREATE FUNCTION note_moved_tasks() RETURNS trigger LANGUAGE plpgsql
  SET search_path FROM CURRENT SET enable_nestloop = off SET enable_hashjoin = on AS $$
BEGIN
  INSERT INTO outbox (sink, task, first, last, at)
  SELECT s.number, n.id, o.sequence + 1, n.sequence, n.updated_at
  FROM new_runs n JOIN old_runs o ON o.id = n.id AND n.sequence > o.sequence CROSS JOIN sinks s;
  RETURN NULL;
END $$;

CREATE TRIGGER task_runs_outbox_new AFTER INSERT ON task_runs
  REFERENCING NEW TABLE AS new_runs FOR EACH STATEMENT EXECUTE FUNCTION note_new_tasks();
CREATE TRIGGER task_runs_outbox_moved AFTER UPDATE ON task_runs
  REFERENCING OLD TABLE AS old_runs NEW TABLE AS new_runs FOR EACH STATEMENT EXECUTE FUNCTION note_moved_tasks();
ALTER TABLE task_runs DISABLE TRIGGER task_runs_outbox_new;
ALTER TABLE task_runs DISABLE TRIGGER task_runs_outbox_moved;

-- With the rights of the tables' owner, which nodes need not have. Waits for whoever is writing, so that after its commit nobody
-- moves a task without the triggers.
CREATE FUNCTION switch_outbox(wanted boolean) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF wanted = EXISTS (
    SELECT 1 FROM pg_trigger t WHERE t.tgrelid = 'task_runs'::regclass AND t.tgname = 'task_runs_outbox_moved' AND t.tgenabled <> 'D'
  ) THEN
    RETURN;
  END IF;
  IF wanted THEN
    ALTER TABLE task_runs ENABLE TRIGGER task_runs_outbox_new;
    ALTER TABLE task_runs ENABLE TRIGGER task_runs_outbox_moved;
  ELSE
    ALTER TABLE task_runs DISABLE TRIGGER task_runs_outbox_new;
    ALTER TABLE task_runs DISABLE TRIGGER task_runs_outbox_moved;
  END IF;
END $$;
