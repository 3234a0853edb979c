-- :batch tasks claimed, with their payloads, in one statement and ended in another: all that is written of a plain task but
-- the row of the claim and the counts.
WITH picked AS MATERIALIZED (
  SELECT ctid AS place FROM task_runs WHERE claimable AND lane = 1 ORDER BY available_at, id LIMIT :batch FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE task_runs r SET status = 3, claimable = false, attempt = attempt + 1, sequence = sequence + 1,
    started_sequence = sequence + 1, updated_at = 1, started_at = 1, worker = 'bench', token = 1, lease_until = 1
  FROM picked WHERE r.ctid = picked.place RETURNING r.id
)
SELECT coalesce(array_agg(t.id), '{}') AS ids, sum(length(b.payload)) AS bytes FROM taken t JOIN task_bodies b ON b.id = t.id \gset
UPDATE task_runs SET status = 5, sequence = sequence + 1, updated_at = 2, finished_at = 2, outcome = 1, lease_until = NULL
WHERE id = ANY(:ids::uuid[]) AND status = 3;
