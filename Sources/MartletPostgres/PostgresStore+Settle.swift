// Tasks that wait for others. Whoever ends a task settles those that wait for it, in the same transaction but in a statement
// of its own: it sees every edge that was there when the end had locked the task's row. Each edge is met once, by its flag, and
// each child's count is changed under its lock, so that of any two last parents the later one releases it. What a statement
// does not reach, and what cascades further, is left in `settlements` for `settle`.

package import MartletCore

extension PostgresStore {
  /// Edges that one statement settles, at most: a task may have any number of children.
  static let mostEdges = 2000

  package func settle(limit: Int) async throws(StoreError) -> Settlement {
    try await repeating { _ in
      let rows = try await pool.run(Query(Self.settleLeft, nowParameter, .int8(Int64(limit))), .background)
      let settled = Settled(rows)
      var lanes: Set<Lane> = []
      for lane in settled.ready {
        lanes.insert(try await key(of: lane).lane)
        appeared(in: lane, at: settled.now)
      }
      if let due = settled.due { isDue(in: due) }
      if settled.hasKeys { isUnadmitted() }
      return Settlement(
        lanes: lanes, cancelled: settled.cancelled, isPartial: settled.left > 0 || settled.done == limit)
    }
  }

  /// Part of the transaction that ends these tasks, after the statement that does. Those that it has not ended are left alone.
  func settleEnded(_ tasks: [TaskID]) -> Query {
    Query(Self.settleEnded, nowParameter, .uuids(tasks))
  }

  /// Tells this node, which is not told by the answer, and the others what `settleEnded` has brought about.
  func ring(for settled: Settled) {
    for lane in settled.ready { wasReleased(in: lane, at: settled.now) }
    if let due = settled.due { isDue(in: due) }
    if settled.left > 0 { isUnsettled() }
    if settled.hasKeys { isUnadmitted() }
  }

  /// What one of the two statements answered.
  struct Settled {
    var now: Int64 = 0
    /// Lanes in which tasks became READY now.
    var ready: [Int32] = []
    /// When the first is due of those that wait for their time only.
    var due: Duration?
    var cancelled = 0
    /// Tasks whose children are still to be settled.
    var left = 0
    /// Rows of `settlements` that were worked off.
    var done = 0
    /// Some of what moved has concurrency keys.
    var hasKeys = false

    init(_ rows: Rows) {
      for row in rows.map({ Row(&$0) }) {
        (now, cancelled, left, done, hasKeys) = (row.now, row.cancelled, row.left, row.done, row.hasKeys)
        if let lane = row.lane { ready.append(lane) }
        if let time = row.due { due = .milliseconds(max(0, time - row.now)) }
      }
    }

    private struct Row {
      var now: Int64
      var cancelled: Int
      var left: Int
      var done: Int
      var hasKeys: Bool
      var lane: Int32?
      var due: Int64?

      init(_ columns: inout Columns) {
        now = columns.int()
        cancelled = Int(columns.int())
        left = Int(columns.int())
        done = Int(columns.int())
        hasKeys = columns.bool()
        lane = columns.optionalInt().map { Int32($0) }
        due = columns.optionalInt()
      }
    }
  }
}

// MARK: - SQL

extension PostgresStore {
  /// Only those that this transaction has written: what others have ended they have settled.
  private static let settleEnded = Statement(
    "settle_ended",
    settleSQL(
      claimed: "SELECT id AS task, \(firstChild) AS next FROM unnest($2::uuid[]) AS i(id)",
      condition: "AND t.xmin = pg_current_xact_id_if_assigned()::xid", done: "SELECT WHERE false"))

  /// Rows that another node has in hand are skipped.
  private static let settleLeft = Statement(
    "settle_left",
    settleSQL(
      claimed: "SELECT number, task, next FROM settlements ORDER BY number LIMIT $2::bigint FOR UPDATE SKIP LOCKED",
      condition: "",
      done: "DELETE FROM settlements s USING claimed c WHERE s.number = c.number RETURNING 1"))

  /// No child comes before it.
  private static let firstChild = "'00000000-0000-0000-0000-000000000000'::uuid"

  /// `edges` come parent by parent and child by child, so that one more than are settled says where to carry on. The lateral
  /// look-ups end with LIMIT to stay look-ups whatever the planner thinks of the size of these tables.
  private static func settleSQL(claimed: String, condition: String, done: String) -> String {
    """
    WITH \(clock),
    claimed AS MATERIALIZED (\(claimed)),
    ended AS MATERIALIZED (
      SELECT DISTINCT ON (r.id) r.id, r.status, c.next
      FROM claimed c CROSS JOIN LATERAL (
        SELECT t.id, t.status FROM task_runs t
        WHERE t.id = c.task AND t.has_children AND t.status IN (5, 6, 7) \(condition) LIMIT 1
      ) r
      ORDER BY r.id, c.next
    ),
    edges AS MATERIALIZED (
      SELECT o.*, row_number() OVER () AS number, \(DependencyPolicy.effectSQL(policy: "o.policy", of: "o.status")) AS effect
      FROM (
        SELECT p.id AS parent, p.status, e.* FROM ended p CROSS JOIN LATERAL (
          SELECT d.ctid AS place, d.child, d.policy FROM dependencies d
          WHERE d.parent = p.id AND d.child >= p.next AND NOT d.met ORDER BY d.child LIMIT \(mostEdges + 1)
        ) e
        LIMIT \(mostEdges + 1)
      ) o
    ),
    rest AS MATERIALIZED (SELECT parent, child FROM edges WHERE number > \(mostEdges)),
    met AS (
      UPDATE dependencies d SET met = true FROM edges e
      WHERE d.ctid = e.place AND e.effect = 1 AND e.number <= \(mostEdges) AND NOT d.met
      RETURNING d.child
    ),
    changes AS MATERIALIZED (
      SELECT child, sum(met)::integer AS met, bool_or(fails) AS fails
      FROM (
        SELECT child, 1 AS met, false AS fails FROM met
        UNION ALL SELECT child, 0, true FROM edges WHERE effect = 2 AND number <= \(mostEdges)
      ) c
      GROUP BY child ORDER BY child
    ),
    locked AS MATERIALIZED (
      SELECT r.*, c.met, c.fails FROM changes c CROSS JOIN LATERAL (
        SELECT t.id, t.lane, t.status, t.unmet, t.sequence, t.available_at, t.blocked, t.has_children FROM task_runs t
        WHERE t.id = c.child LIMIT 1 FOR NO KEY UPDATE OF t
      ) r
    ),
    moved AS MATERIALIZED (
      SELECT l.*, now, l.unmet - l.met AS still_unmet, CASE
        WHEN l.status <> 1 THEN l.status
        WHEN l.fails THEN 7
        WHEN l.unmet = l.met AND l.available_at <= now THEN 2
        ELSE 1 END AS new_status
      FROM locked l, clock
    ),
    settled AS (
      UPDATE task_runs r SET unmet = still_unmet, status = new_status,
        claimable = CASE WHEN new_status = 2 AND m.status = 1 THEN m.blocked = 0 ELSE r.claimable END,
        due_at = CASE WHEN new_status = 1 AND still_unmet = 0 THEN r.available_at END,
        available_at = CASE WHEN new_status = 2 AND m.status = 1 THEN now ELSE r.available_at END,
        ready_at = CASE WHEN new_status = 2 AND m.status = 1 THEN now ELSE r.ready_at END,
        ready_by = CASE WHEN new_status = 2 AND m.status = 1 THEN 1 ELSE r.ready_by END,
        ready_sequence = CASE WHEN new_status = 2 AND m.status = 1 THEN m.sequence + 1 ELSE r.ready_sequence END,
        expiry_at = CASE WHEN new_status = 7 THEN NULL ELSE r.expiry_at END,
        finished_at = CASE WHEN new_status = 7 AND m.status = 1 THEN now ELSE r.finished_at END,
        reason = CASE WHEN new_status = 7 AND m.status = 1 THEN 6 ELSE r.reason END,
        sequence = m.sequence + CASE WHEN new_status <> m.status THEN 1 ELSE 0 END,
        updated_at = CASE WHEN new_status <> m.status THEN now ELSE r.updated_at END
      FROM moved m WHERE r.id = m.id AND (m.met > 0 OR new_status <> m.status)
    ),
    told AS (
      INSERT INTO events (task, sequence, type, at, actor, cause)
      SELECT id, sequence + 1, 8, now, 'scheduler', 'DEPENDENCY_FAILED' FROM moved WHERE new_status = 7 AND status = 1
    ),
    counted AS (
      INSERT INTO count_changes (lane, old, new, count)
      SELECT lane, status, new_status, count(*) FROM moved WHERE new_status <> status GROUP BY lane, status, new_status
    ),
    done AS (\(done)),
    further AS (
      INSERT INTO settlements (task, next)
      SELECT id, \(firstChild) FROM moved WHERE new_status = 7 AND status = 1 AND has_children
      UNION ALL SELECT p.id, CASE WHEN p.id = rest.parent THEN rest.child ELSE p.next END
        FROM ended p, rest WHERE p.id >= rest.parent
      RETURNING 1
    )
    SELECT now, (SELECT count(*) FROM moved WHERE new_status = 7 AND status = 1), (SELECT count(*) FROM further),
      (SELECT count(*) FROM claimed),
      EXISTS (SELECT 1 FROM moved WHERE blocked = 1 AND new_status <> status), t.lane, t.due_at
    FROM clock LEFT JOIN (
      SELECT lane, NULL::bigint AS due_at FROM moved WHERE new_status = 2 AND status = 1 GROUP BY lane
      UNION ALL SELECT NULL, min(available_at) FROM moved WHERE new_status = 1 AND still_unmet = 0 HAVING count(*) > 0
    ) t ON true
    """
  }
}
