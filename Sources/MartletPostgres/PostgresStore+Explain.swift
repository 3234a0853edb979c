// What is known of one task and of those around it, for an explanation.

package import MartletCore

extension PostgresStore {
  package func facts(of id: TaskID) async throws(StoreError) -> ExplainFacts? {
    let workers = try await workers()
    return try await repeating { _ in
      let rows = try await pool.transaction(
        [
          Query(Self.readSituation, nowParameter, .uuid(id)),
          Query(Self.readRecords, .bool(false), .bool(false), .uuids([id])),
          Query(Self.readOpenDependencies, .uuid(id)), Query(Self.countAhead, .uuid(id)),
          Query(Self.readLimits, .uuid(id)),
        ], .background)
      let situation = rows[0].first { columns in
        (now: columns.time(), leasedUntil: columns.optionalTime(), unmet: Int(columns.int()))
      }
      guard let situation, let task = try rows[1].first({ try TaskRecord(&$0) }) else { return nil }
      var facts = ExplainFacts(now: situation.now, task: task)
      if task.status == .running { facts.leasedUntil = situation.leasedUntil }
      facts.unmet = situation.unmet
      facts.waitsFor = try rows[2].map { columns in
        ExplainFacts.Parent(id: columns.id(), status: try TaskStatus(code: columns.int()))
      }
      let ahead = rows[3].first { Int($0.int()) } ?? 0
      facts.ahead = ahead > ExplainFacts.mostAhead ? nil : ahead
      let limits = try rows[4].first { try Self.limits(&$0) } ?? ExplainFacts.Situation()
      facts.limits = ExplainFacts.Limits(limits, isReady: task.status == .ready, now: situation.now)
      facts.workers = workers
      return facts
    }
  }

  private static func limits(_ columns: inout Columns) throws -> ExplainFacts.Situation {
    var situation = ExplainFacts.Situation()
    situation.isTypePaused = columns.bool()
    situation.running = Int(columns.int())
    situation.slotsTaken = columns.optionalInt().map { Int($0) }
    let isSet = columns.bool()
    let tokens = columns.optionalDouble()
    let countedAt = columns.optionalTime()
    if isSet { situation.queue = try QueueSettings(&columns) }
    if let tokens, let countedAt { situation.bucket = RateBucket(tokens: tokens, countedAt: countedAt) }
    return situation
  }

  private static let readLimits = Statement(
    "read_limits",
    """
    SELECT coalesce((SELECT t.paused FROM type_settings t WHERE t.type = l.type), false), u.count, w.taken,
      s.queue IS NOT NULL, b.tokens, b.counted_at, s.paused, s.concurrency, s.per_key, s.rate, s.burst, s.max_depth,
      s.notify
    FROM task_runs r CROSS JOIN LATERAL (SELECT queue, type FROM lanes WHERE id = r.lane LIMIT 1) l
      CROSS JOIN LATERAL (\(countSQL([.running], in: "l.queue", if: "true"))) u
      LEFT JOIN queue_settings s ON s.queue = l.queue
      LEFT JOIN queue_buckets b ON b.queue = l.queue AND s.rate IS NOT NULL
      LEFT JOIN LATERAL (
        SELECT t.queue, t.key, t.admitted_at FROM key_line t WHERE t.task = r.id OFFSET 0
      ) k ON k.admitted_at IS NULL
      LEFT JOIN LATERAL (
        SELECT count(*) AS taken FROM key_line h
        WHERE h.queue = k.queue AND h.key = k.key AND h.admitted_at IS NOT NULL
      ) w ON k.queue IS NOT NULL
    WHERE r.id = $1::uuid
    """)

  private static let readSituation = Statement(
    "read_situation",
    "WITH \(clock) SELECT now, r.lease_until, r.unmet FROM clock, task_runs r WHERE r.id = $2::uuid")

  private static let readOpenDependencies = Statement(
    "read_open_dependencies",
    """
    SELECT p.id, r.status FROM (SELECT id, dependencies FROM task_bodies WHERE id = $1::uuid) b
    CROSS JOIN LATERAL (SELECT DISTINCT id FROM unnest(b.dependencies) AS p(id) ORDER BY id) p
    CROSS JOIN LATERAL (SELECT 1 FROM dependencies d WHERE d.parent = p.id AND d.child = b.id AND NOT d.met LIMIT 1) d
    CROSS JOIN LATERAL (SELECT t.status FROM task_runs t WHERE t.id = p.id LIMIT 1) r
    ORDER BY p.id LIMIT \(ExplainFacts.mostNamed)
    """)

  /// Lane by lane along the index of the claim; one more than are counted is enough to know.
  private static let countAhead = Statement(
    "count_ahead",
    """
    WITH task AS MATERIALIZED (
      SELECT r.id, r.available_at, l.queue, l.urgency FROM task_runs r JOIN lanes l ON l.id = r.lane
      WHERE r.id = $1::uuid AND r.status = 2
    )
    SELECT count(*) FROM (
      SELECT 1 FROM task JOIN lanes l ON l.queue = task.queue AND l.urgency < task.urgency CROSS JOIN LATERAL (
        SELECT 1 FROM task_runs r WHERE r.lane = l.id AND r.claimable LIMIT \(ExplainFacts.mostAhead + 1)
      ) a
      UNION ALL
      SELECT 1 FROM task JOIN lanes l ON l.queue = task.queue AND l.urgency = task.urgency CROSS JOIN LATERAL (
        SELECT 1 FROM task_runs r
        WHERE r.lane = l.id AND r.claimable AND (r.available_at, r.id) < (task.available_at, task.id)
        LIMIT \(ExplainFacts.mostAhead + 1)
      ) a
      LIMIT \(ExplainFacts.mostAhead + 1)
    ) ahead
    """)
}
