// What is known of one task and of those around it, for an explanation.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func facts(of id: TaskID) async throws(StoreError) -> ExplainFacts? {
    let now = clock()
    let workers = try await workers()
    return try await read { database in
      guard let task = try database.record(id, whole: false) else { return nil }
      var facts = ExplainFacts(now: now, task: task)
      facts.workers = workers
      let run = try database.prepared("SELECT lease_until, unmet FROM task_runs WHERE id = ?1").row(id) { columns in
        (leasedUntil: columns.optionalTime(), unmet: Int(columns.int()))
      }
      if task.status == .running { facts.leasedUntil = run?.leasedUntil }
      facts.unmet = run?.unmet ?? 0
      if facts.unmet > 0 { facts.waitsFor = try database.openDependencies(of: task) }
      if task.status == .ready { facts.ahead = try database.ahead(of: task) }
      facts.limits = ExplainFacts.Limits(
        try database.situation(of: task), isReady: task.status == .ready, now: now)
      return facts
    }
  }
}

extension Database {
  /// What limits a task.
  fileprivate func situation(of task: TaskRecord) throws -> ExplainFacts.Situation {
    var situation = ExplainFacts.Situation()
    situation.queue = try queueSettings()[task.queue] ?? QueueSettings()
    situation.isTypePaused =
      try prepared("SELECT paused FROM types WHERE type = ?1").row(task.type) { $0.bool() } ?? false
    situation.running =
      try prepared("SELECT coalesce(sum(count), 0) FROM counts WHERE queue = ?1 AND status = 3")
      .row(task.queue) { Int($0.int()) } ?? 0
    let bucket = try prepared("SELECT tokens, counted_at FROM queues WHERE queue = ?1").row(task.queue) { columns in
      (tokens: columns.optionalDouble(), countedAt: columns.optionalTime())
    }
    if let tokens = bucket?.tokens, let countedAt = bucket?.countedAt {
      situation.bucket = RateBucket(tokens: tokens, countedAt: countedAt)
    }
    situation.slotsTaken = try prepared(
      """
      SELECT (SELECT count(*) FROM key_line h WHERE h.queue = w.queue AND h.key = w.key AND h.admitted_at IS NOT NULL)
      FROM key_line w WHERE w.task = ?1 AND w.admitted_at IS NULL
      """
    ).row(task.id) { Int($0.int()) }
    return situation
  }

  fileprivate func openDependencies(of task: TaskRecord) throws -> [ExplainFacts.Parent] {
    let find = try prepared(
      """
      SELECT r.status FROM dependencies d JOIN task_runs r ON r.id = d.parent
      WHERE d.parent = ?1 AND d.child = ?2 AND d.met = 0
      """)
    var found: [ExplainFacts.Parent] = []
    for parent in Set(task.dependencies).sorted() {
      if found.count == ExplainFacts.mostNamed { break }
      let status = try find.row(parent, task.id) { try TaskStatus(code: $0.int()) }
      if let status { found.append(.init(id: parent, status: status)) }
    }
    return found
  }

  /// Type by type along the index of the claim. Nil for more than are counted.
  fileprivate func ahead(of task: TaskRecord) throws -> Int? {
    let ahead =
      try prepared(
        """
        SELECT count(*) FROM (
          SELECT 1 FROM counts c CROSS JOIN task_runs r INDEXED BY task_runs_ready
          WHERE c.queue = ?1 AND c.status = 2 AND c.count > 0 AND r.queue = ?1 AND r.type = c.type AND r.status = 2
            AND r.blocked = 0 AND (r.urgency, r.available_at, r.id) < (?2, ?3, ?4)
          LIMIT ?5)
        """
      ).row(task.queue, 10 - task.priority, task.availableAt, task.id, ExplainFacts.mostAhead + 1) { Int($0.int()) }
      ?? 0
    return ahead > ExplainFacts.mostAhead ? nil : ahead
  }
}
