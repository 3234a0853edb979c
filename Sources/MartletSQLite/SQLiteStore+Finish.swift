// Ended attempts, fenced by their leases. A success with nothing more to say is two columns of the run row; any other end gets a
// row in `attempts`. The rescuer ends attempts by the same function.

package import MartletCore

extension SQLiteStore {
  package func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    try await writer.write { transaction in
      try finishes.map { try transaction.finish($0) }
    }
  }
}

/// A RUNNING row, as far as its end needs it.
struct RunningRow {
  var id: TaskID
  var lane: Lane
  var attempt: Int64
  var maxAttempts: Int64
  var sequence: Int64
  var cancelRequested: Bool
  var readyBy: Int64
  var readyAt: Timestamp?
  var readySequence: Int64
  var startedAt: Timestamp
  var startedSequence: Int64
  var worker: String
  var token: Int64
  var leaseUntil: Timestamp
  var hasChildren: Bool
}

extension WriteTransaction {
  fileprivate func finish(_ finish: Finish) throws -> FinishVerdict {
    let lease = finish.lease
    guard let row = try runningRow(lease.task, token: lease.token), row.attempt == Int64(lease.attempt) else {
      return try repeated(finish)
    }
    return .applied(
      try end(row, outcome: finish.outcome, logs: keptLogs(finish.logs), randomness: finish.randomness, rescued: false))
  }

  /// The row of a task that runs under this token.
  func runningRow(_ id: TaskID, token: Int64) throws -> RunningRow? {
    try prepared(
      """
      SELECT queue, type, attempt, max_attempts, sequence, cancel_requested, ready_by, ready_at, ready_sequence, started_at,
        started_sequence, worker, lease_until, has_children
      FROM task_runs WHERE id = ?1 AND status = 3 AND token = ?2
      """
    ).row(id, token) { columns in
      RunningRow(
        id: id, lane: Lane(queue: columns.text(), type: columns.text()), attempt: columns.int(),
        maxAttempts: columns.int(), sequence: columns.int(), cancelRequested: columns.bool(), readyBy: columns.int(),
        readyAt: columns.optionalTime(), readySequence: columns.int(), startedAt: columns.time(),
        startedSequence: columns.int(), worker: columns.text(), token: token, leaseUntil: columns.time(),
        hasChildren: columns.bool())
    }
  }

  /// Ends a running attempt: decides, and writes down what was decided.
  func end(
    _ row: RunningRow, outcome: Outcome, logs: [String], randomness: Double, rescued: Bool
  ) throws -> TaskStatus {
    if case .success(let result) = outcome {
      try keep(result, of: row.id)
      if logs.isEmpty {
        try write(
          .init(row, status: .success, sequence: row.sequence + 1, outcome: .success, keepsAttempt: true))
        return .success
      }
    }
    let transition = Transition.after(outcome, of: try running(row, outcome: outcome), randomness: randomness)
    let events = transition.events(outcome: outcome.attemptOutcome)
    try writeAttempt(row, outcome: outcome, transition: transition, logs: logs, rescued: rescued)
    try write(
      .init(
        row, status: transition.status, sequence: row.sequence + Int64(events.count), outcome: outcome.attemptOutcome,
        keepsAttempt: false, reason: transition.reason, availableAt: transition.eligible?.resolved(now: now),
        addedAttempts: Int64(transition.addedAttempts)))
    return transition.status
  }

  private func running(_ row: RunningRow, outcome: Outcome) throws -> Transition.Running {
    let budget = try prepared("SELECT retries, backoff FROM task_bodies WHERE id = ?1").row(row.id) {
      (retries: $0.int(), backoff: try RetryPolicy(column: $0.text()))
    }
    guard let budget else { throw UnreadableRow(what: "task \(row.id) without a body") }
    return Transition.Running(
      attempt: Int(row.attempt), maxAttempts: Int(row.maxAttempts), retries: Int(budget.retries),
      backoff: budget.backoff,
      cancelRequested: row.cancelRequested)
  }

  /// How a run row is left by the end of its attempt.
  private struct End {
    var row: RunningRow
    var status: TaskStatus
    var sequence: Int64
    var outcome: AttemptOutcome
    /// The run row goes on telling this attempt: there is no row in `attempts`.
    var keepsAttempt: Bool
    var reason: FinalReason?
    var availableAt: Timestamp?
    var addedAttempts: Int64

    init(
      _ row: RunningRow, status: TaskStatus, sequence: Int64, outcome: AttemptOutcome, keepsAttempt: Bool,
      reason: FinalReason? = nil, availableAt: Timestamp? = nil, addedAttempts: Int64 = 0
    ) {
      self.row = row
      self.status = status
      self.sequence = sequence
      self.outcome = outcome
      self.keepsAttempt = keepsAttempt
      self.reason = reason
      self.availableAt = availableAt
      self.addedAttempts = addedAttempts
    }
  }

  private func write(_ end: End) throws {
    let row = end.row
    let changed = try prepared(
      """
      UPDATE task_runs SET status = ?4, sequence = ?5, updated_at = ?6, outcome = ?7, reason = ?8,
        finished_at = ?9, available_at = coalesce(?10, available_at), max_attempts = max_attempts + ?11,
        lost = lost + ?12, ready_at = CASE WHEN ?4 = 2 THEN ?6 ELSE ready_at END,
        ready_sequence = CASE WHEN ?13 THEN ready_sequence ELSE 0 END,
        started_sequence = CASE WHEN ?13 THEN started_sequence ELSE 0 END, lease_until = NULL
      WHERE id = ?1 AND status = 3 AND attempt = ?2 AND token = ?3
      """
    ).run(
      row.id, row.attempt, row.token, end.status.code, end.sequence, now, end.outcome.code, end.reason?.code,
      end.status.isFinal ? now : nil, end.availableAt, end.addedAttempts, end.outcome == .lost, end.keepsAttempt)
    guard changed == 1 else { throw UnreadableRow(what: "task \(row.id) changed under its own lease") }
    count(row.lane, from: .running, to: end.status)
    try settle(after: row.id, end.status, hasChildren: row.hasChildren)
  }

  private func writeAttempt(
    _ row: RunningRow, outcome: Outcome, transition: Transition, logs: [String], rescued: Bool
  ) throws {
    try prepared(
      """
      INSERT INTO attempts (task, number, worker, token, ready_by, ready_at, ready_sequence, started_at, started_sequence,
        finished_at, finished_sequence, outcome, status_after, reason, rescued, error_type, error_message, error_stack, logs)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
      """
    ).run(
      row.id, row.attempt, row.worker, row.token, row.readyBy, row.readyAt, row.readySequence, row.startedAt,
      row.startedSequence, now, row.sequence + 1, outcome.attemptOutcome.code, transition.status.code,
      transition.reason?.code, rescued, outcome.error?.type, outcome.error?.message, outcome.error?.stack,
      JSONColumn.strings(logs))
  }

  private func keep(_ result: [UInt8]?, of id: TaskID) throws {
    guard let result else { return }
    let isTooLong = result.count > Limits.resultBytes
    try prepared("INSERT OR REPLACE INTO results (task, result, truncated) VALUES (?1, ?2, ?3)")
      .run(id, isTooLong ? nil : result, isTooLong)
  }

  /// A report of an attempt that is over: the same as before, or too late. What the rescuer said is nobody's report.
  private func repeated(_ finish: Finish) throws -> FinishVerdict {
    let lease = finish.lease
    let run = try prepared("SELECT status, outcome, attempt, token, started_sequence FROM task_runs WHERE id = ?1")
      .row(lease.task) { columns in
        (
          status: try TaskStatus(code: columns.int()), outcome: columns.optionalInt(), attempt: columns.int(),
          token: columns.optionalInt(), isOwnRow: columns.int() > 0
        )
      }
    guard let run else { return .lost }
    let told = finish.outcome.attemptOutcome.code
    if run.isOwnRow, run.attempt == Int64(lease.attempt), run.token == lease.token {
      return run.outcome == told ? .applied(run.status) : .lost
    }
    let earlier = try prepared(
      "SELECT outcome FROM attempts WHERE task = ?1 AND number = ?2 AND token = ?3 AND rescued = 0"
    ).row(lease.task, lease.attempt, lease.token) { $0.int() }
    return earlier == told ? .applied(run.status) : .lost
  }
}
