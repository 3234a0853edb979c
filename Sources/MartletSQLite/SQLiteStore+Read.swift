// Tasks, attempts and events put together from the rows that tell them.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  package func tasks(_ ids: [TaskID]) async throws(StoreError) -> [TaskRecord?] {
    try await read { database in try ids.map { try database.record($0) } }
  }

  package func attempts(
    of id: TaskID, after number: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<AttemptRecord>? {
    let range = HistoryRange(after: number, limit: limit)
    return try await read { database in
      guard let run = try database.historyRow(id) else { return nil }
      let ended = try database.endedAttempts(id, range, errors: true, logs: true, if: "number > ?4 AND number <= ?5")
      return run.page(range, ended: ended, sentBefore: try database.sentLines(id, range))
    }
  }

  package func events(
    of id: TaskID, after sequence: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<TaskEvent>? {
    let range = HistoryRange(after: sequence, limit: limit)
    return try await read { database in
      guard let run = try database.historyRow(id) else { return nil }
      let ended = try database.endedAttempts(id, range, errors: false, logs: false, if: areTold)
      return run.page(range, ended: ended, told: try database.toldEvents(id, range))
    }
  }
}

/// True of attempts that tell events of the range.
private let areTold = """
  finished_sequence + \(StoredAttempt.mostEnds) > ?4
  AND (CASE WHEN ready_sequence > 0 THEN ready_sequence ELSE started_sequence END) <= ?5
  """

// MARK: - Tasks

/// The columns of a `TaskRecord`, for every query that reads some. `?1` and `?2` say whether payload and result are wanted.
let recordColumns = """
  r.id, r.type, r.queue, r.status, r.urgency, r.available_at, r.attempt, r.max_attempts, r.sequence, r.updated_at,
  r.cancel_requested, r.started_at, r.worker, r.finished_at, r.reason, r.expires_at, r.progress_percent,
  r.progress_message, b.created_at, b.retries, b.timeout_ms, b.lease_ms, b.backoff, b.run_at, b.tags, b.metadata,
  b.traceparent, b.replay_of, b.delay_ms, CASE WHEN ?1 THEN b.payload END, CASE WHEN ?2 THEN x.result END, x.truncated, e.error_type,
  e.error_message, e.error_stack, l.dependencies, l.on_failure, l.ref, l.graph, l.idempotency_key, l.concurrency_key,
  l.schedule, b.notify
  """

/// The tables of `recordColumns` besides `task_runs r`.
let recordJoins = """
  JOIN task_bodies b ON b.id = r.id
  LEFT JOIN task_links l ON l.id = r.id
  LEFT JOIN results x ON x.task = r.id
  LEFT JOIN attempts e ON e.task = r.id
    AND e.number = (SELECT max(number) FROM attempts WHERE task = r.id AND error_type IS NOT NULL)
  """

extension Database {
  /// - Parameter whole: with payload and result.
  func record(_ id: TaskID, whole: Bool = true) throws -> TaskRecord? {
    try prepared("SELECT \(recordColumns) FROM task_runs r \(recordJoins) WHERE r.id = ?3")
      .row(whole, whole, id) { try TaskRecord(&$0) }
  }
}

extension TaskRecord {
  /// Reads `recordColumns`.
  init(_ columns: inout Columns) throws {
    let id = try columns.id()
    let type = columns.text()
    let queue = columns.text()
    let status = try TaskStatus(code: columns.int())
    let priority = 10 - Int(columns.int())
    let availableAt = columns.time()
    let attempt = Int(columns.int())
    let maxAttempts = Int(columns.int())
    let sequence = Int(columns.int())
    let updatedAt = columns.time()
    let cancelRequested = columns.bool()
    let startedAt = columns.optionalTime()
    let worker = columns.optionalText()
    let finishedAt = columns.optionalTime()
    let reason = try columns.optionalInt().map(FinalReason.init(code:))
    let expiresAt = columns.optionalTime()
    let percent = columns.optionalDouble()
    let message = columns.optionalText()
    let createdAt = columns.time()
    let retries = Int(columns.int())
    let timeout = columns.milliseconds()
    let lease = columns.milliseconds()
    let backoff = try RetryPolicy(column: columns.text())
    let runAt = columns.optionalTime()
    let tags = try JSONColumn.strings(columns.optionalText())
    let metadata = try JSONColumn.map(columns.optionalText())
    let traceparent = columns.optionalText()
    let replayOf = try columns.optionalID()
    let delay = columns.optionalInt().map { Duration.milliseconds($0) }
    let payload = columns.optionalBlob()
    let result = columns.optionalBlob()
    let isTruncated = columns.optionalInt() == 1
    let errorType = columns.optionalText()
    let errorMessage = columns.optionalText()
    let errorStack = columns.optionalText()
    var accepted = AcceptedTask(
      id: id, type: type, queue: queue, payload: payload ?? [], priority: priority, eligible: .at(availableAt),
      runAt: runAt, retries: retries, backoff: backoff, timeout: timeout, lease: lease, expiresAt: expiresAt,
      tags: tags, metadata: metadata, traceparent: traceparent, replayOf: replayOf)
    try accepted.readLinks(&columns)
    accepted.notify = try [NoticeTarget](column: columns.optionalText())
    self.init(accepted, acceptedAt: createdAt)
    self.delay = delay
    self.payload = payload
    self.status = status
    self.availableAt = availableAt
    self.attempt = attempt
    self.maxAttempts = maxAttempts
    self.sequence = sequence
    self.updatedAt = updatedAt
    self.cancelRequested = cancelRequested
    self.startedAt = startedAt
    self.worker = worker
    self.finishedAt = finishedAt
    self.reason = reason
    self.progress = percent.map { Progress(percent: $0, message: message) }
    self.result = result
    self.resultTruncated = isTruncated
    self.lastError = errorType.map { TaskError(type: $0, message: errorMessage ?? "", stack: errorStack) }
  }
}

extension AcceptedTask {
  /// Reads the columns of `task_links`, which are NULL where a task has no row there.
  fileprivate mutating func readLinks(_ columns: inout Columns) throws {
    dependencies = taskIDs(in: columns.blob())
    onDependencyFailure = try columns.optionalInt().map(DependencyPolicy.init(code:)) ?? .hold
    ref = columns.optionalText()
    graph = try columns.optionalID().map { GraphMembership.member($0) } ?? GraphMembership.none
    idempotencyKey = columns.optionalText()
    concurrencyKey = columns.optionalText()
    scheduleName = columns.optionalText()
  }
}

// MARK: - History

extension Database {
  fileprivate func historyRow(_ id: TaskID) throws -> StoredRun? {
    try prepared(
      """
      SELECT b.created_at, b.submitted_by, r.attempt, r.sequence, r.ready_by, r.ready_at, r.ready_sequence, r.started_at,
        r.started_sequence, r.worker, r.outcome, r.finished_at
      FROM task_runs r JOIN task_bodies b ON b.id = r.id WHERE r.id = ?1
      """
    ).row(id) { columns in
      StoredRun(
        createdAt: columns.time(), submittedBy: columns.optionalText(), attempt: Int(columns.int()),
        sequence: Int(columns.int()), readyBy: columns.int(),
        readyAt: columns.optionalTime(), readySequence: Int(columns.int()), startedAt: columns.optionalTime(),
        startedSequence: Int(columns.int()), worker: columns.optionalText() ?? "",
        outcome: try columns.optionalInt().map(AttemptOutcome.init(code:)), finishedAt: columns.optionalTime())
    }
  }

  /// What entries of the outbox tell of a task; nil where it is gone.
  func story(of id: TaskID, _ range: HistoryRange) throws -> TaskStory? {
    guard let record = try record(id, whole: false), let run = try historyRow(id) else { return nil }
    let ended = try endedAttempts(id, range, errors: true, logs: false, if: areTold)
    return run.story(of: record, range, ended: ended, told: try toldEvents(id, range))
  }

  fileprivate func endedAttempts(
    _ id: TaskID, _ range: HistoryRange, errors: Bool, logs: Bool, if condition: String
  ) throws -> [StoredAttempt] {
    try prepared(
      """
      SELECT number, worker, started_at, finished_at, outcome, CASE WHEN ?2 THEN error_type END,
        CASE WHEN ?2 THEN error_message END, CASE WHEN ?2 THEN error_stack END, CASE WHEN ?3 THEN logs END, ready_by,
        ready_at, ready_sequence, started_sequence, finished_sequence, status_after, reason, rescued
      FROM attempts WHERE task = ?1 AND \(condition) ORDER BY number
      """
    ).rows(id, errors, logs, range.after, range.through) { columns in
      let number = Int(columns.int())
      let worker = columns.text()
      let startedAt = columns.time()
      let finishedAt = columns.time()
      let outcome = try AttemptOutcome(code: columns.int())
      let errorType = columns.optionalText()
      let errorMessage = columns.optionalText()
      let errorStack = columns.optionalText()
      let record = AttemptRecord(
        number: number, worker: worker, startedAt: startedAt, finishedAt: finishedAt, outcome: outcome,
        error: errorType.map { TaskError(type: $0, message: errorMessage ?? "", stack: errorStack) },
        logs: try JSONColumn.strings(columns.optionalText()))
      return StoredAttempt(
        record: record, readyBy: columns.int(), readyAt: columns.optionalTime(), readySequence: Int(columns.int()),
        startedSequence: Int(columns.int()), finishedSequence: Int(columns.int()),
        statusAfter: try TaskStatus(code: columns.int()),
        reason: try columns.optionalInt().map(FinalReason.init(code:)), rescued: columns.bool())
    }
  }

  /// Log lines that came with renewals, by the numbers of attempts.
  fileprivate func sentLines(_ id: TaskID, _ range: HistoryRange) throws -> [Int: [String]] {
    let rows = try prepared(
      "SELECT attempt, lines FROM attempt_lines WHERE task = ?1 AND attempt > ?2 AND attempt <= ?3"
    ).rows(id, range.after, range.through) { columns in
      (Int(columns.int()), try JSONColumn.strings(columns.text()))
    }
    return Dictionary(rows, uniquingKeysWith: { first, _ in first })
  }

  fileprivate func toldEvents(_ id: TaskID, _ range: HistoryRange) throws -> [TaskEvent] {
    try prepared(
      "SELECT sequence, type, at, actor, cause FROM events WHERE task = ?1 AND sequence > ?2 AND sequence <= ?3"
    ).rows(id, range.after, range.through) { columns in
      TaskEvent(
        sequence: Int(columns.int()), type: try TaskEventType(code: columns.int()), at: columns.time(),
        actor: columns.text(), cause: columns.optionalText())
    }
  }
}
