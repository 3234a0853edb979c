// Tasks, attempts and events put together from the rows that tell them.

package import MartletCore

extension PostgresStore {
  package func tasks(_ ids: [TaskID]) async throws(StoreError) -> [TaskRecord?] {
    try await repeating { _ in
      let records = Dictionary(try await records(ids).map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
      return ids.map { records[$0] }
    }
  }

  package func attempts(
    of id: TaskID, after number: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<AttemptRecord>? {
    let range = HistoryRange(after: number, limit: limit)
    return try await repeating { _ in
      let rows = try await pool.transaction(
        [Query(Self.readRun, .uuid(id)), Self.readAttempts.page(of: id, range), Self.readLines.page(of: id, range)],
        .background)
      guard let run = try rows[0].first({ try StoredRun(&$0) }) else { return nil }
      let ended = try rows[1].map { try StoredAttempt(&$0) }
      let lines = try rows[2].map { (Int($0.int()), try JSONColumn.strings($0.text())) }
      return run.page(range, ended: ended, sentBefore: Dictionary(lines, uniquingKeysWith: +))
    }
  }

  package func events(
    of id: TaskID, after sequence: Int, limit: Int
  ) async throws(StoreError) -> HistoryPage<TaskEvent>? {
    let range = HistoryRange(after: sequence, limit: limit)
    return try await repeating { _ in
      let rows = try await pool.transaction(
        [
          Query(Self.readRun, .uuid(id)), Self.readAttemptEvents.page(of: id, range),
          Self.readEvents.page(of: id, range),
        ], .background)
      guard let run = try rows[0].first({ try StoredRun(&$0) }) else { return nil }
      let ended = try rows[1].map { try StoredAttempt(&$0) }
      return run.page(range, ended: ended, told: try rows[2].map { try TaskEvent(&$0) })
    }
  }

  /// Those that there are, in no order.
  func records(_ ids: [TaskID]) async throws -> [TaskRecord] {
    try await pool.run(Query(Self.readRecords, .bool(true), .bool(true), .uuids(Set(ids)))).map { try TaskRecord(&$0) }
  }

  static let readRecords = Statement(
    "read_records", "SELECT \(recordColumns) FROM task_runs r \(recordJoins) WHERE r.id = ANY($3::uuid[])")
}

// MARK: - Tasks

/// The columns of a `TaskRecord`, for every query that reads some. `$1` and `$2` say whether payload and result are wanted.
let recordColumns = """
  r.id, l.type, l.queue, r.status, l.urgency, r.available_at, r.attempt, r.max_attempts, r.sequence, r.updated_at,
  r.cancel_requested, r.started_at, r.worker, r.finished_at, r.reason, b.expires_at, r.progress_percent,
  r.progress_message, b.created_at, b.retries, r.timeout_ms, r.lease_ms, b.backoff, b.run_at, b.tags, b.metadata,
  b.traceparent, b.replay_of, b.delay_ms, CASE WHEN $1::boolean THEN b.payload END,
  CASE WHEN $2::boolean THEN x.result END, x.truncated, e.error_type, e.error_message, e.error_stack,
  b.dependencies, b.on_failure, b.ref, b.graph_id, b.idempotency_key, b.concurrency_key, b.schedule_name,
  b.notify
  """

/// The tables of `recordColumns` besides `task_runs r`.
let recordJoins = """
  JOIN lanes l ON l.id = r.lane
  JOIN task_bodies b ON b.id = r.id
  LEFT JOIN LATERAL (SELECT t.result, t.truncated FROM results t WHERE t.task = r.id LIMIT 1) x ON true
  LEFT JOIN LATERAL (
    SELECT a.error_type, a.error_message, a.error_stack FROM attempts a
    WHERE a.task = r.id AND a.error_type IS NOT NULL ORDER BY a.number DESC LIMIT 1
  ) e ON true
  """

extension TaskRecord {
  /// Reads `recordColumns`.
  init(_ columns: inout Columns) throws {
    let id = columns.id()
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
    let message = columns.optionalText()?.unescaped
    let createdAt = columns.time()
    let retries = Int(columns.int())
    let timeout = columns.milliseconds()
    let lease = columns.milliseconds()
    let backoff = try RetryPolicy(column: columns.text())
    let runAt = columns.optionalTime()
    let tags = try JSONColumn.strings(columns.optionalText())
    let metadata = try JSONColumn.map(columns.optionalText())
    let traceparent = columns.optionalText()
    let replayOf = columns.optionalID()
    let delay = columns.optionalInt().map { Duration.milliseconds($0) }
    let payload = columns.optionalBlob()
    let result = columns.optionalBlob()
    let isTruncated = columns.bool()
    let errorType = columns.optionalText()?.unescaped
    let errorMessage = columns.optionalText()?.unescaped
    let errorStack = columns.optionalText()?.unescaped
    let accepted = AcceptedTask(
      id: id, type: type, queue: queue, payload: payload ?? [], priority: priority, eligible: .at(availableAt),
      runAt: runAt, retries: retries, backoff: backoff, timeout: timeout, lease: lease, expiresAt: expiresAt,
      tags: tags, metadata: metadata, traceparent: traceparent, replayOf: replayOf)
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
    dependencies = columns.ids()
    onDependencyFailure = try columns.optionalInt().map(DependencyPolicy.init(code:)) ?? .hold
    ref = columns.optionalText()
    graphID = columns.optionalID()
    idempotencyKey = columns.optionalText()
    concurrencyKey = columns.optionalText()
    scheduleName = columns.optionalText()
    notify = try [NoticeTarget](column: columns.optionalText())
  }
}

// MARK: - History

extension StoredRun {
  init(_ columns: inout Columns) throws {
    self.init(
      createdAt: columns.time(), submittedBy: columns.optionalText()?.unescaped, attempt: Int(columns.int()),
      sequence: Int(columns.int()), readyBy: columns.int(),
      readyAt: columns.optionalTime(), readySequence: Int(columns.int()), startedAt: columns.optionalTime(),
      startedSequence: Int(columns.int()), worker: columns.optionalText() ?? "",
      outcome: try columns.optionalInt().map(AttemptOutcome.init(code:)), finishedAt: columns.optionalTime())
  }
}

extension TaskEvent {
  init(_ columns: inout Columns) throws {
    self.init(
      sequence: Int(columns.int()), type: try TaskEventType(code: columns.int()), at: columns.time(),
      actor: columns.text(), cause: columns.optionalText())
  }
}

extension StoredAttempt {
  init(_ columns: inout Columns) throws {
    let number = Int(columns.int())
    let worker = columns.text()
    let startedAt = columns.time()
    let finishedAt = columns.time()
    let outcome = try AttemptOutcome(code: columns.int())
    let errorType = columns.optionalText()?.unescaped
    let errorMessage = columns.optionalText()?.unescaped
    let errorStack = columns.optionalText()?.unescaped
    let record = AttemptRecord(
      number: number, worker: worker, startedAt: startedAt, finishedAt: finishedAt, outcome: outcome,
      error: errorType.map { TaskError(type: $0, message: errorMessage ?? "", stack: errorStack) },
      logs: try JSONColumn.strings(columns.optionalText()))
    self.init(
      record: record, readyBy: columns.int(), readyAt: columns.optionalTime(), readySequence: Int(columns.int()),
      startedSequence: Int(columns.int()), finishedSequence: Int(columns.int()),
      statusAfter: try TaskStatus(code: columns.int()),
      reason: try columns.optionalInt().map(FinalReason.init(code:)), rescued: columns.bool())
  }
}

extension PostgresStore {
  private static let readRun = Statement(
    "read_run",
    "SELECT \(runColumns) FROM task_runs r JOIN task_bodies b ON b.id = r.id WHERE r.id = $1::uuid")

  /// The columns of a `StoredRun`.
  static let runColumns = """
    b.created_at, b.submitted_by, r.attempt, r.sequence, r.ready_by, r.ready_at, r.ready_sequence, r.started_at,
    r.started_sequence, r.worker, r.outcome, r.finished_at
    """

  private static let readAttempts = Statement(
    "read_attempts",
    """
    SELECT number, worker, started_at, finished_at, outcome, error_type, error_message, error_stack, logs, ready_by, ready_at,
      ready_sequence, started_sequence, finished_sequence, status_after, reason, rescued
    FROM attempts WHERE task = $1::uuid AND number > $2::bigint AND number <= $3::bigint ORDER BY number
    """)

  /// What attempts tell of events: without errors and log lines.
  private static let readAttemptEvents = Statement(
    "read_attempt_events",
    """
    SELECT number, worker, started_at, finished_at, outcome, NULL::text, NULL::text, NULL::text, NULL::text, ready_by, ready_at,
      ready_sequence, started_sequence, finished_sequence, status_after, reason, rescued
    FROM attempts WHERE task = $1::uuid AND finished_sequence + \(StoredAttempt.mostEnds) > $2::bigint
      AND (CASE WHEN ready_sequence > 0 THEN ready_sequence ELSE started_sequence END) <= $3::bigint
    ORDER BY number
    """)

  /// Log lines that came with renewals, in their order.
  private static let readLines = Statement(
    "read_lines",
    """
    SELECT attempt, lines FROM attempt_lines WHERE task = $1::uuid AND attempt > $2::bigint AND attempt <= $3::bigint
    ORDER BY number
    """)

  private static let readEvents = Statement(
    "read_events",
    """
    SELECT sequence, type, at, actor, cause FROM events
    WHERE task = $1::uuid AND sequence > $2::bigint AND sequence <= $3::bigint ORDER BY sequence
    """)
}

extension Statement {
  fileprivate func page(of id: TaskID, _ range: HistoryRange) -> Query {
    Query(self, .uuid(id), .int8(Int64(range.after)), .int8(Int64(range.through)))
  }
}
