// Retention. A cursor walks over all tasks by id, a bounded number of rows a call, and begins again at the end. It stands in the
// database: the nodes take turns at one walk, and whoever comes while another does a step has nothing to do.

package import MartletCore

extension PostgresStore {
  /// Rows that one call looks at, at most.
  private static let scan = 20_000

  package func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    try await repeating { _ in
      try await foldCounts()
      func kept(_ duration: Duration?) -> PostgresValue { .int8(duration?.wholeMilliseconds) }
      func step(_ limit: Int) -> Query {
        Query(
          Self.pruneStep, nowParameter, kept(policy.success), kept(policy.dead), kept(policy.cancelled),
          .int8(Int64(limit)))
      }
      func read(_ rows: Rows) -> (deleted: Int, hasWrapped: Bool) {
        rows.first { columns in (deleted: Int(columns.int()), hasWrapped: columns.bool()) } ?? (0, false)
      }
      let first = read(try await pool.run(step(limit), .background))
      guard first.hasWrapped, first.deleted < limit else { return first.deleted }
      // It had begun somewhere in the middle and has reached the end: once more from the beginning.
      return first.deleted + read(try await pool.run(step(limit - first.deleted), .background)).deleted
    }
  }

  private static let pruneStep = Statement(
    "prune_step",
    """
    WITH \(clock),
    turn AS MATERIALIZED (SELECT cursor FROM duties WHERE name = 'prune' FOR UPDATE SKIP LOCKED),
    seen AS MATERIALIZED (
      SELECT s.* FROM turn CROSS JOIN LATERAL (
        SELECT r.id, r.lane, r.status, r.finished_at FROM task_runs r
        WHERE r.id >= coalesce(turn.cursor, '00000000-0000-0000-0000-000000000000'::uuid) ORDER BY r.id LIMIT \(scan)
      ) s
    ),
    old AS MATERIALIZED (
      SELECT id FROM seen, clock
      WHERE (status = 5 AND finished_at <= now - $2::bigint) OR (status = 6 AND finished_at <= now - $3::bigint)
        OR (status = 7 AND finished_at <= now - $4::bigint)
      ORDER BY id LIMIT $5::bigint
    ),
    gone AS (
      DELETE FROM task_runs r USING old, clock
      WHERE r.id = old.id AND ((r.status = 5 AND r.finished_at <= now - $2) OR (r.status = 6 AND r.finished_at <= now - $3)
        OR (r.status = 7 AND r.finished_at <= now - $4))
      RETURNING r.id, r.lane, r.status
    ),
    bodies AS (DELETE FROM task_bodies b USING gone WHERE b.id = gone.id),
    ended AS (DELETE FROM attempts a USING gone WHERE a.task = gone.id),
    told AS (DELETE FROM events e USING gone WHERE e.task = gone.id),
    kept AS (DELETE FROM results x USING gone WHERE x.task = gone.id),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count) SELECT lane, status, 0, count(*) FROM gone GROUP BY lane, status
    ),
    -- Where the limit cut the step short, the next goes on behind what was deleted; at the end it begins anew.
    next AS MATERIALIZED (
      SELECT CASE
        WHEN (SELECT count(*) FROM old) = $5 THEN (SELECT id FROM old ORDER BY id DESC LIMIT 1)
        WHEN (SELECT count(*) FROM seen) = \(scan) THEN (SELECT id FROM seen ORDER BY id DESC LIMIT 1)
      END AS cursor
    ),
    moved AS (UPDATE duties SET cursor = next.cursor FROM next, turn WHERE name = 'prune')
    SELECT (SELECT count(*) FROM gone), turn.cursor IS NOT NULL AND next.cursor IS NULL FROM turn, next
    """)
}
