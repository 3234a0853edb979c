// Time's doing: what is due becomes READY, what is past its `expiresAt` without a first attempt becomes CANCELLED. Nodes that do
// this at once skip what another has in hand. An expired task that others wait for is ended like any other end that settles
// them: by its id, in a transaction of its own.

package import MartletCore

extension PostgresStore {
  package func promote(limit: Int) async throws(StoreError) -> Promotion {
    try await repeating { _ in
      let limit = PostgresValue.int8(Int64(limit))
      var rows = try await pool.transaction([
        Query(Self.expireOverdue, nowParameter, limit), Query(Self.promoteDue, nowParameter, limit),
        Query(Self.nextDue, nowParameter),
      ])
      let promoted = rows[1].map { columns in
        (lane: Int32(columns.int()), availableAt: columns.int(), hasKey: columns.bool())
      }
      let first = Dictionary(promoted.map { ($0.lane, $0.availableAt) }, uniquingKeysWith: min)
      var lanes: Set<Lane> = []
      for (lane, availableAt) in first {
        lanes.insert(try await key(of: lane).lane)
        appeared(in: lane, at: availableAt)
      }
      let overdue = rows[0].map { columns in
        (id: columns.id(), isParent: columns.bool(), hasKey: columns.bool())
      }
      var expired = overdue.count { !$0.isParent }
      let parents = overdue.filter(\.isParent).map(\.id).sorted()
      if !parents.isEmpty {
        rows = try await pool.transaction([
          Query(Self.expireParents, nowParameter, .uuids(parents)), settleEnded(parents),
          Query(Self.nextDue, nowParameter),
        ])
        expired += rows[0].count
        ring(for: Settled(rows[1]))
      }
      if promoted.contains(where: \.hasKey) || overdue.contains(where: \.hasKey) { isUnadmitted() }
      let next = rows[2].first { columns in (now: columns.time(), due: columns.optionalTime()) }
      return Promotion(
        promoted: promoted.count, expired: expired, lanes: lanes,
        nextIn: next.flatMap { next in next.due.map { max(.zero, $0 - next.now) } })
    }
  }

  /// Those that others wait for are only told of.
  private static let expireOverdue = Statement(
    "expire_overdue",
    """
    WITH \(clock),
    overdue AS MATERIALIZED (
      SELECT r.ctid AS place, r.id, r.status, r.has_children, r.blocked FROM task_runs r
      WHERE r.expiry_at IS NOT NULL AND r.expiry_at <= (SELECT now FROM clock)
      ORDER BY r.expiry_at, r.id LIMIT $2::bigint FOR UPDATE SKIP LOCKED
    ),
    expired AS (
      UPDATE task_runs r SET \(expiry)
      FROM overdue o, clock WHERE r.ctid = o.place AND NOT o.has_children
      RETURNING r.id, r.lane, r.sequence, r.blocked, o.status, now
    ),
    \(tellExpired)
    SELECT id, false, blocked = 1 FROM expired UNION ALL SELECT id, true, blocked = 1 FROM overdue WHERE has_children
    """)

  private static let expireParents = Statement(
    "expire_parents",
    """
    WITH \(clock),
    expired AS (
      UPDATE task_runs r SET \(expiry)
      FROM clock, unnest($2::uuid[]) AS i(id) JOIN task_runs o ON o.id = i.id
      WHERE r.id = i.id AND r.status = o.status AND r.expiry_at <= now
      RETURNING r.id, r.lane, r.sequence, o.status, now
    ),
    \(tellExpired)
    SELECT id FROM expired
    """)

  private static let expiry = """
    status = 7, claimable = false, due_at = NULL, expiry_at = NULL, sequence = r.sequence + 1, updated_at = now,
      finished_at = now, reason = 5
    """

  private static let tellExpired = """
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause) SELECT id, sequence, 8, now, 'scheduler', 'EXPIRED' FROM expired
    ),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count) SELECT lane, status, 7, count(*) FROM expired GROUP BY lane, status
    )
    """

  private static let promoteDue = Statement(
    "promote_due",
    """
    WITH \(clock),
    due AS MATERIALIZED (
      SELECT r.ctid AS place, r.status FROM task_runs r
      WHERE r.due_at IS NOT NULL AND r.due_at <= (SELECT now FROM clock)
        AND (r.expiry_at IS NULL OR r.expiry_at > (SELECT now FROM clock))
      ORDER BY r.due_at, r.id LIMIT $2::bigint FOR UPDATE SKIP LOCKED
    ),
    promoted AS (
      UPDATE task_runs r SET status = 2, claimable = r.blocked = 0, due_at = NULL, sequence = r.sequence + 1, updated_at = now,
        ready_at = now, ready_by = 1, ready_sequence = r.sequence + 1
      FROM due d, clock WHERE r.ctid = d.place
      RETURNING r.lane, r.available_at, r.blocked, d.status
    ),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count) SELECT lane, status, 2, count(*) FROM promoted GROUP BY lane, status
    )
    SELECT lane, available_at, blocked = 1 FROM promoted
    """)

  private static let nextDue = Statement(
    "next_due",
    """
    WITH \(clock)
    SELECT now, least(
      (SELECT due_at FROM task_runs WHERE due_at IS NOT NULL ORDER BY due_at, id LIMIT 1),
      (SELECT expiry_at FROM task_runs WHERE expiry_at IS NOT NULL ORDER BY expiry_at, id LIMIT 1))
    FROM clock
    """)
}
