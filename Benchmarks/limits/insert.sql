-- :batch new tasks in one statement, with all that a submission writes of a plain task but the counts.
WITH new AS MATERIALIZED (
  SELECT lpad(to_hex(nextval('ids')), 32, '0')::uuid AS id,
    floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now
  FROM generate_series(1, :batch)
), bodies AS (
  INSERT INTO task_bodies (id, created_at, payload, retries, backoff)
  SELECT id, now, convert_to('{"to":"user@example.com","note":"' || repeat('leave at the door; ', 8) || '"}', 'UTF8'), 3,
    'exponential 1.0 2.0 3600.0 0.25'
  FROM new
)
INSERT INTO task_runs (id, available_at, updated_at, ready_at, lane, max_attempts, sequence, ready_sequence, timeout_ms,
  lease_ms, status, claimable)
SELECT id, now, now, now, 1, 4, 2, 2, 300000, 30000, 2, true FROM new;
