-- Who changed what, and the actions on many tasks that are carried out step by step.

-- Only ever added to, until entries are too old.
CREATE TABLE audit (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  number   bigint NOT NULL UNIQUE,              -- of the act: repeated, it is written down once
  at       bigint NOT NULL,
  actor    text NOT NULL,
  action   text NOT NULL,
  target   text NOT NULL,
  detail   text                                 -- JSON object
);

CREATE INDEX audit_at ON audit (at, sequence);
CREATE INDEX audit_target ON audit (target, at, sequence);

-- An action on many tasks, and how far it has come: it goes up through the ids from `cursor` to `last`.
CREATE TABLE bulk_jobs (
  id            uuid PRIMARY KEY,
  action        smallint NOT NULL,
  filter        text NOT NULL,                  -- JSON object as clients write it
  queues        text,                           -- JSON array of patterns: only queues that one of them matches
  task_limit    bigint,
  rate          double precision,               -- tasks a second
  actor         text NOT NULL,
  status        smallint NOT NULL,
  matched       bigint NOT NULL DEFAULT 0,
  changed       bigint NOT NULL DEFAULT 0,
  failed        bigint NOT NULL DEFAULT 0,
  created_at    bigint NOT NULL,
  updated_at    bigint NOT NULL,
  finished_at   bigint,
  last_error    text,
  last          uuid NOT NULL,
  cursor        uuid NOT NULL,
  next_at       bigint NOT NULL,                -- not to be carried on before
  claim         bigint,                         -- of whoever carries out a page: the fence of what it writes
  claimed_until bigint NOT NULL DEFAULT 0
);

CREATE INDEX bulk_jobs_due ON bulk_jobs (next_at) WHERE status = 1;
CREATE INDEX bulk_jobs_finished ON bulk_jobs (finished_at) WHERE finished_at IS NOT NULL;
