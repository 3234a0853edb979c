// Retention told: the same judgement as the pruner's (`PostgresStore+Prune.swift`), in pieces from wherever the caller is, with what
// keeps each task that is past its time. A page is one statement. It does not take the pruners' turn: what both want to delete is
// deleted once.

package import MartletCore

extension PostgresStore {
  package func sweep(
    _ policy: RetentionPolicy, after cursor: TaskID?, limit: Int, deletes: Bool
  ) async throws(StoreError) -> SweepPage {
    guard limit > 0, let shortest = policy.shortest else {
      _ = try await now()
      return SweepPage(counts: [], next: nil)
    }
    func kept(_ duration: Duration?) -> PostgresValue { .int8(duration?.wholeMilliseconds) }
    return try await repeating { _ in
      var next: TaskID?
      let counts = try await pool.run(
        Query(
          Self.sweepPage, nowParameter, kept(policy.success), kept(policy.dead), kept(policy.cancelled),
          .int8(Int64(limit)), kept(policy.keys), kept(shortest),
          .uuid(cursor ?? TaskID(high: 0, low: 0)), .bool(deletes)), .background
      ).map { columns -> SweepCount? in
        next = columns.optionalID()
        guard let status = columns.optionalInt() else {
          columns.pass(3)
          return nil
        }
        return SweepCount(
          status: try TaskStatus(code: status), type: columns.text(), protections: Protection.all(in: columns.int()),
          count: Int(columns.int()))
      }
      return SweepPage(counts: Set(counts.compactMap(\.self)), next: next)
    }
  }

  private static let sweepPage = Statement(
    "sweep_page",
    """
    WITH \(clock),
    ending AS MATERIALIZED (
      SELECT rpad(lpad(to_hex(greatest(now - $7::bigint + 1, 0)), 12, '0'), 32, '0')::uuid AS end_id FROM clock
    ),
    seen AS MATERIALIZED (
      SELECT s.* FROM ending CROSS JOIN LATERAL (
        SELECT r.id, r.lane, r.status, r.finished_at, r.has_children FROM task_runs r
        WHERE r.id > $8::uuid AND r.id < end_id ORDER BY r.id LIMIT $5::bigint
      ) s
    ),
    aged AS MATERIALIZED (
      SELECT seen.* FROM seen, clock
      WHERE (status = 5 AND finished_at <= now - $2::bigint) OR (status = 6 AND finished_at <= now - $3::bigint)
        OR (status = 7 AND finished_at <= now - $4::bigint)
    ),
    judged AS MATERIALIZED (
      SELECT a.id, a.lane, a.status,
        CASE WHEN w.is_waiting THEN 1 ELSE 0 END + CASE WHEN k.is_young THEN 2 ELSE 0 END
          + CASE WHEN t.is_untold THEN 4 ELSE 0 END + CASE WHEN n.is_pending THEN 8 ELSE 0 END AS protections
      FROM clock CROSS JOIN aged a
      \(keepingJoins)
    ),
    old AS MATERIALIZED (
      SELECT j.id, p.place FROM (SELECT id FROM judged WHERE $9::boolean AND protections = 0 ORDER BY id) j
      \(lockedPlace)
    ),
    \(deletionSQL),
    next AS MATERIALIZED (
      SELECT CASE WHEN (SELECT count(*) FROM seen) = $5 THEN (SELECT id FROM seen ORDER BY id DESC LIMIT 1) END AS cursor
    ),
    -- What somebody else has deleted or moved meanwhile is not counted.
    counted_as AS (
      SELECT l.type, j.status, j.protections, count(*) AS count FROM judged j JOIN lanes l ON l.id = j.lane
      WHERE NOT ($9 AND j.protections = 0) OR EXISTS (SELECT 1 FROM gone g WHERE g.id = j.id)
      GROUP BY l.type, j.status, j.protections
    )
    SELECT next.cursor, c.status, c.type, c.protections, c.count FROM next LEFT JOIN counted_as c ON true
    """)
}
