// Work given out. Each lane (queue and type) is one range of the index `task_runs_ready`, already in claim order; what is
// claimed leaves the index, so the cost does not know the backlog.

package import MartletCore

extension SQLiteStore {
  package func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    try await writer.write { transaction in
      try requests.map { try transaction.claim($0) }
    }
  }
}

extension WriteTransaction {
  /// Tasks that a claim comes upon and cannot give out, at most: all other writers wait for it.
  private static let mostInVain = 500

  fileprivate func claim(_ request: ClaimRequest) throws -> [ClaimedTask] {
    let lanes = try lanes(of: request)
    var allowances = try allowances(in: lanes)
    var claimed: [ClaimedTask] = []
    var passedOver: Set<TaskID> = []  // READY still, but not for a slot that is not free
    var expired = 0
    var ends: [Lane: Look.Place] = [:]
    var isExhausted = false
    // Of tasks that were named there are few, and each is looked at.
    let mostInVain = request.ids == nil ? Self.mostInVain : .max
    while claimed.count < request.limit, !isExhausted, expired + passedOver.count < mostInVain {
      let look =
        if let ids = request.ids {
          try candidates(ids, in: lanes)
        } else {
          try candidates(in: lanes, limit: request.limit - claimed.count, allowances, behind: &ends)
        }
      isExhausted = look.isComplete
      for place in look.places where claimed.count < request.limit && !passedOver.contains(place.id) {
        let task = try candidate(place.id)
        if let expiresAt = task.expiresAt, task.attempt == 0, expiresAt <= now {
          expired += 1
          guard let row = try expire(place.id) else { continue }
          try settle(after: place.id, .cancelled, hasChildren: row.hasChildren)
          // What has waited for it may stand anywhere.
          if row.hasChildren { ends = [:] }
        } else if task.lost > 0, claimed.count >= request.limit - request.ahead {
          passedOver.insert(place.id)
        } else if allowances[task.lane.queue].map({ $0.left > 0 }) ?? true {
          claimed.append(try take(task, for: request))
          allowances[task.lane.queue]?.take()
        }
      }
    }
    // Whoever waits for the rest looks again. What is only passed over would be so once more.
    if expired > 0, !isExhausted, claimed.count < request.limit { told.append(.work(lanes)) }
    try noteClaim(claimed, of: request)
    try close(allowances, of: lanes)
    return claimed
  }

  /// What a claim looks at, in its order.
  private struct Look {
    struct Place {
      let urgency: Int64
      let availableAt: Int64
      let id: TaskID
    }
    var places: [Place] = []
    /// There is nothing behind these.
    var isComplete = true

    static let beginning = Place(urgency: .min, availableAt: .min, id: TaskID(high: 0, low: 0))
  }

  /// The first of each lane, and so of all of them together. Of a limited queue no more than it allows: what waits behind
  /// that, however many, is not looked at.
  /// - Parameter ends: how far each lane was looked at before.
  private func candidates(
    in lanes: Set<Lane>, limit: Int, _ allowances: Allowances, behind ends: inout [Lane: Look.Place]
  ) throws -> Look {
    let ready = try prepared(
      """
      SELECT urgency, available_at, id FROM task_runs INDEXED BY task_runs_ready
      WHERE status = 2 AND blocked = 0 AND queue = ?1 AND type = ?2 AND (urgency, available_at, id) > (?4, ?5, ?6)
      ORDER BY urgency, available_at, id LIMIT ?3
      """)
    var look = Look()
    var lanesFound = 0
    for lane in lanes {
      let allowed = min(limit, allowances[lane.queue]?.left ?? limit)
      if allowed <= 0 { continue }
      let end = ends[lane] ?? Look.beginning
      let found = try ready.rows(lane.queue, lane.type, allowed, end.urgency, end.availableAt, end.id) {
        Look.Place(urgency: $0.int(), availableAt: $0.int(), id: try $0.id())
      }
      if let last = found.last {
        lanesFound += 1
        ends[lane] = last
      }
      if found.count == allowed { look.isComplete = false }
      look.places += found
    }
    if lanesFound > 1 {
      look.places.sort { ($0.urgency, $0.availableAt, $0.id) < ($1.urgency, $1.availableAt, $1.id) }
    }
    return look
  }

  /// Those of these that are READY there.
  private func candidates(_ ids: [TaskID], in lanes: Set<Lane>) throws -> Look {
    let named = try prepared(
      "SELECT queue, type, urgency, available_at FROM task_runs WHERE id = ?1 AND status = 2 AND blocked = 0")
    var look = Look()
    for id in Set(ids) {
      let found = try named.row(id) { columns in
        let lane = Lane(queue: columns.text(), type: columns.text())
        return (lane, Look.Place(urgency: columns.int(), availableAt: columns.int(), id: id))
      }
      if let (lane, place) = found, lanes.contains(lane) { look.places.append(place) }
    }
    look.places.sort { ($0.urgency, $0.availableAt, $0.id) < ($1.urgency, $1.availableAt, $1.id) }
    return look
  }

  /// Where to look: in the queues named, or all that have anything READY, this transaction's own included; but for what is
  /// paused.
  private func lanes(of request: ClaimRequest) throws -> Set<Lane> {
    let settings = try settings()
    let queues = try queues(of: request).filter { settings.queues[$0]?.isPaused != true }
    let types = request.types.filter { !settings.pausedTypes.contains($0) }
    return Set(queues.flatMap { queue in types.map { Lane(queue: queue, type: $0) } })
  }

  private func queues(of request: ClaimRequest) throws -> Set<String> {
    guard request.takesAllQueues else { return Set(request.queues) }
    let counted = try prepared("SELECT DISTINCT queue FROM counts WHERE status = 2 AND count > 0").rows { $0.text() }
    return readyQueues.union(counted)
  }

  private struct Candidate {
    var id: TaskID
    var lane: Lane
    var urgency: Int64
    var availableAt: Timestamp
    var attempt: Int64
    var maxAttempts: Int64
    var lost: Int64
    var sequence: Int64
    var readyAt: Timestamp?
    var expiresAt: Timestamp?
    var createdAt: Timestamp
    var payload: [UInt8]
    var timeout: Duration
    var lease: Duration
    var runAt: Timestamp?
    var tags: String?
    var metadata: String?
    var traceparent: String?
  }

  private func candidate(_ id: TaskID) throws -> Candidate {
    let found = try prepared(
      """
      SELECT r.queue, r.type, r.urgency, r.available_at, r.attempt, r.max_attempts, r.lost, r.sequence, r.ready_at,
        r.expires_at, b.created_at, b.payload, b.timeout_ms, b.lease_ms, b.run_at, b.tags, b.metadata, b.traceparent
      FROM task_runs r JOIN task_bodies b ON b.id = r.id WHERE r.id = ?1
      """
    ).row(id) { columns in
      Candidate(
        id: id, lane: Lane(queue: columns.text(), type: columns.text()), urgency: columns.int(),
        availableAt: columns.time(), attempt: columns.int(), maxAttempts: columns.int(), lost: columns.int(),
        sequence: columns.int(), readyAt: columns.optionalTime(), expiresAt: columns.optionalTime(),
        createdAt: columns.time(), payload: columns.blob(), timeout: columns.milliseconds(),
        lease: columns.milliseconds(), runAt: columns.optionalTime(), tags: columns.optionalText(),
        metadata: columns.optionalText(), traceparent: columns.optionalText())
    }
    guard let found else { throw UnreadableRow(what: "task \(id) without a body") }
    return found
  }

  private func take(_ task: Candidate, for request: ClaimRequest) throws -> ClaimedTask {
    let lasts = min(task.lease, task.timeout)
    let changed = try prepared(
      """
      UPDATE task_runs SET status = 3, attempt = ?2, sequence = ?3, updated_at = ?4, started_at = ?4,
        started_sequence = ?3, worker = ?5, token = ?6, lease_until = ?7, outcome = NULL, progress_percent = NULL,
        progress_message = NULL
      WHERE id = ?1 AND status = 2
      """
    ).run(
      task.id, task.attempt + 1, task.sequence + 1, now, request.worker, request.token, now + lasts)
    guard changed == 1 else { throw UnreadableRow(what: "task \(task.id) is in an index but not READY") }
    count(task.lane, from: .ready, to: .running)
    return ClaimedTask(
      lease: LeaseID(task: task.id, attempt: Int(task.attempt) + 1, token: request.token), expiresAt: now + lasts,
      expiresIn: lasts, type: task.lane.type, queue: task.lane.queue, payload: task.payload,
      priority: 10 - Int(task.urgency), maxAttempts: Int(task.maxAttempts), timeout: task.timeout,
      leaseDuration: task.lease, createdAt: task.createdAt, runAt: task.runAt, availableAt: task.availableAt,
      startedAt: now, readyAt: task.readyAt ?? task.availableAt, tags: try JSONColumn.strings(task.tags),
      metadata: try JSONColumn.map(task.metadata), traceparent: task.traceparent)
  }

  private func noteClaim(_ claimed: [ClaimedTask], of request: ClaimRequest) throws {
    guard let firstEnd = claimed.map(\.expiresAt).min() else { return }
    try prepared("INSERT INTO claims (check_at, is_local, token, tasks) VALUES (?1, ?2, ?3, ?4)")
      .run(firstEnd, request.isLocal, request.token, bytes(of: claimed.map(\.id)))
  }
}
