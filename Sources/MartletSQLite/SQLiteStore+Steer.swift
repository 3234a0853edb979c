// Commands from outside: cancel, retry, patch. These are the transitions that no other row tells, so each writes its events.

package import MartletCore

extension SQLiteStore {
  package func steer(_ commands: [Steering]) async throws(StoreError) -> [SteeringVerdict] {
    try await writer.write { transaction in
      try commands.map { try transaction.steer($0) }
    }
  }
}

/// A row that no worker holds, or whose worker does not matter to a command.
struct WaitingRow {
  var id: TaskID
  var lane: Lane
  var status: TaskStatus
  var attempt: Int64
  var sequence: Int64
  var availableAt: Timestamp
  /// Dependencies still to be met.
  var unmet: Int64
  var hasChildren: Bool
  var cancelRequested: Bool
  var readyBy: Int64
  var readyAt: Timestamp?
  var readySequence: Int64
}

extension WriteTransaction {
  func steer(_ command: Steering) throws -> SteeringVerdict {
    guard let row = try waitingRow(command.task) else { return .notFound }
    let decision: SteeringDecision
    var isChange = false
    switch command.action {
    case .cancel:
      decision = SteeringDecision.cancel(row.status)
      if case .move(let status) = decision {
        try cancel(row, reason: .requested, actor: command.actor)
        try settle(after: row.id, status, hasChildren: row.hasChildren)
        isChange = true
      }
      if decision == .requestCancel, !row.cancelRequested {
        try requestCancel(row, actor: command.actor)
        isChange = true
      }
    case .retry:
      decision = SteeringDecision.retry(row.status, waitsForOthers: row.unmet > 0)
      if case .move(let status) = decision {
        try retry(row, to: status, actor: command.actor)
        isChange = true
      }
    case .patch(let patch):
      let due = patch.available.map { $0.resolved(now: now) <= now }
      decision = SteeringDecision.patch(row.status, due: due, waitsForOthers: row.unmet > 0)
      if decision != .illegal, !patch.fields.isEmpty {
        try apply(patch, to: row, decision: decision, actor: command.actor)
        isChange = true
      }
    }
    if isChange { try audit(command.note()) }
    guard decision != .illegal else { return .illegal(row.status) }
    guard let record = try database.record(command.task) else { return .notFound }
    return .done(record)
  }

  func waitingRow(_ id: TaskID) throws -> WaitingRow? {
    try prepared(
      """
      SELECT queue, type, status, attempt, sequence, available_at, unmet, has_children, cancel_requested, ready_by, ready_at,
        ready_sequence
      FROM task_runs WHERE id = ?1
      """
    ).row(id) { columns in
      WaitingRow(
        id: id, lane: Lane(queue: columns.text(), type: columns.text()), status: try TaskStatus(code: columns.int()),
        attempt: columns.int(), sequence: columns.int(), availableAt: columns.time(), unmet: columns.int(),
        hasChildren: columns.bool(), cancelRequested: columns.bool(), readyBy: columns.int(),
        readyAt: columns.optionalTime(), readySequence: columns.int())
    }
  }

  /// Whoever waits for it is not told yet.
  func cancel(_ row: WaitingRow, reason: FinalReason, actor: String) throws {
    try prepared(
      """
      UPDATE task_runs SET status = 7, sequence = ?3, updated_at = ?4, finished_at = ?4, reason = ?5
      WHERE id = ?1 AND status = ?2
      """
    ).run(row.id, row.status.code, row.sequence + 1, now, reason.code)
    try tell(.cancelled, of: row.id, sequence: row.sequence + 1, actor: actor, cause: reason.rawValue)
    count(row.lane, from: row.status, to: .cancelled)
  }

  func requestCancel(_ row: WaitingRow, actor: String) throws {
    try prepared(
      "UPDATE task_runs SET cancel_requested = 1, sequence = ?2, updated_at = ?3 WHERE id = ?1 AND status = 3"
    ).run(row.id, row.sequence + 1, now)
    try tell(.updated, of: row.id, sequence: row.sequence + 1, actor: actor, cause: "cancel requested")
  }

  func retry(_ row: WaitingRow, to status: TaskStatus, actor: String) throws {
    try tellReady(of: row)
    let isReady = status == .ready
    try prepared(
      """
      UPDATE task_runs SET status = ?5, sequence = ?3, updated_at = ?4, available_at = ?4, ready_at = ?4, ready_sequence = 0,
        max_attempts = attempt + 1 + (SELECT retries FROM task_bodies WHERE id = ?1), cancel_requested = 0, reason = NULL,
        finished_at = NULL, expires_at = NULL
      WHERE id = ?1 AND status = ?2
      """
    ).run(row.id, row.status.code, row.sequence + (isReady ? 2 : 1), now, status.code)
    try tell(.retried, of: row.id, sequence: row.sequence + 1, actor: actor, cause: nil)
    if isReady { try tell(.ready, of: row.id, sequence: row.sequence + 2, actor: actor, cause: nil) }
    count(row.lane, from: row.status, to: status)
  }

  private func apply(_ patch: TaskPatch, to row: WaitingRow, decision: SteeringDecision, actor: String) throws {
    try tellReady(of: row)
    var status = row.status
    if case .move(let new) = decision { status = new }
    let becomesReady = status == .ready && row.status != .ready
    let sequence = row.sequence + (becomesReady ? 2 : 1)
    try prepared(
      """
      UPDATE task_runs SET status = ?3, sequence = ?4, updated_at = ?5, urgency = coalesce(?6, urgency),
        available_at = coalesce(?7, available_at), ready_at = CASE WHEN ?8 THEN ?5 ELSE ready_at END, ready_sequence = 0
      WHERE id = ?1 AND status = ?2
      """
    ).run(
      row.id, row.status.code, status.code, sequence, now, patch.priority.map { 10 - $0 },
      patch.available?.resolved(now: now), becomesReady)
    if let tags = patch.tags {
      try prepared("UPDATE task_bodies SET tags = ?2 WHERE id = ?1").run(row.id, JSONColumn.strings(tags))
    }
    if let metadata = patch.metadata {
      try prepared("UPDATE task_bodies SET metadata = ?2 WHERE id = ?1").run(row.id, JSONColumn.map(metadata))
    }
    try tell(
      .updated, of: row.id, sequence: row.sequence + 1, actor: actor, cause: patch.fields.joined(separator: ","))
    if becomesReady { try tell(.ready, of: row.id, sequence: sequence, actor: actor, cause: nil) }
    count(row.lane, from: row.status, to: status)
  }

  /// Writes down the `ready` event that the run row tells, before something new takes its place there.
  private func tellReady(of row: WaitingRow) throws {
    guard row.readySequence > 0, let at = row.readyAt else { return }
    try prepared("INSERT INTO events (task, sequence, type, at, actor) VALUES (?1, ?2, 2, ?3, ?4)")
      .run(row.id, row.readySequence, at, Actor.readyBy(row.readyBy))
  }

  private func tell(_ type: TaskEventType, of id: TaskID, sequence: Int64, actor: String, cause: String?) throws {
    try prepared("INSERT INTO events (task, sequence, type, at, actor, cause) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
      .run(id, sequence, type.code, now, actor, cause)
  }
}
