// Attempts whose workers fell silent. `claims` says when to look; the run rows say what is true. Any number of nodes may do this
// at once: each ending is fenced by the very lease that was seen.

package import MartletCore

extension PostgresStore {
  /// Claims looked at in one call.
  private static let mostClaims = 20

  package func rescue(limit: Int, randomness: Double) async throws(StoreError) -> Rescue {
    try await repeating { _ in
      let due = try await pool.run(Query(Self.readDueClaims, nowParameter, .int8(Int64(Self.mostClaims))))
        .map { columns in (number: columns.int(), now: columns.time()) }
      guard let now = due.first?.now else { return Rescue(rescued: [], isPartial: false) }
      let numbers = due.map(\.number)
      let over = try await pool.run(Query(Self.readOver, .int8s(numbers), .time(now)), .background).map { columns in
        (isTimedOut: columns.bool(), row: try RunningRow(&columns))
      }
      let chosen = over.sorted { ($0.row.leaseUntil, $0.row.lease.task) < ($1.row.leaseUntil, $1.row.lease.task) }
        .prefix(limit)
      let endings = chosen.sorted { $0.row.lease.task < $1.row.lease.task }
        .map { Ending.rescued($0.row, isTimedOut: $0.isTimedOut, randomness: randomness) }
      let after = [Query(Self.keepClaims, .int8s(numbers)), Query(Self.dropClaims, .int8s(numbers))]
      let ended = try await endAll(endings, after: after)
      var rescued: [Rescue.Rescued] = []
      for item in chosen {
        guard let status = ended[item.row.lease.task] else { continue }
        rescued.append(
          Rescue.Rescued(
            id: item.row.lease.task, lane: try await key(of: item.row.lane).lane,
            outcome: item.isTimedOut ? .timedOut : .lost, status: status))
      }
      return Rescue(rescued: rescued, isPartial: over.count > limit || due.count == Self.mostClaims)
    }
  }

  private static let readDueClaims = Statement(
    "read_due_claims",
    """
    WITH \(clock)
    SELECT number, now FROM clock, claims WHERE check_at <= now ORDER BY check_at LIMIT $2::bigint
    """)

  private static let readOver = Statement(
    "read_over",
    """
    SELECT r.started_at + r.timeout_ms <= $2::bigint, \(RunningRow.columnList)
    FROM claims c CROSS JOIN unnest(c.tasks) AS t(id)
      CROSS JOIN LATERAL (
        SELECT * FROM task_runs x WHERE x.id = t.id AND x.status = 3 AND x.token = c.token AND x.lease_until <= $2 LIMIT 1
      ) r
      CROSS JOIN LATERAL (SELECT x.retries, x.backoff FROM task_bodies x WHERE x.id = r.id LIMIT 1) b
    WHERE c.number = ANY($1::bigint[])
    """)

  /// What claims still have to be looked at for, and when.
  private static let keepClaims = Statement(
    "keep_claims",
    """
    WITH remaining AS MATERIALIZED (
      SELECT c.number, min(r.lease_until) AS check_at, array_agg(r.id) AS tasks
      FROM claims c CROSS JOIN unnest(c.tasks) AS t(id) CROSS JOIN LATERAL (
        SELECT x.id, x.lease_until FROM task_runs x WHERE x.id = t.id AND x.status = 3 AND x.token = c.token LIMIT 1
      ) r
      WHERE c.number = ANY($1::bigint[]) GROUP BY c.number
    )
    UPDATE claims c SET check_at = n.check_at, tasks = n.tasks FROM remaining n WHERE c.number = n.number
    """)

  private static let dropClaims = Statement(
    "drop_claims",
    """
    DELETE FROM claims c WHERE c.number = ANY($1::bigint[]) AND NOT EXISTS (
      SELECT 1 FROM unnest(c.tasks) AS t(id) JOIN task_runs r ON r.id = t.id AND r.status = 3 AND r.token = c.token)
    """)
}
