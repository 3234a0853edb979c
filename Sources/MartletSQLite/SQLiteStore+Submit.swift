// New tasks: one body row, one run row each.

package import MartletCore

extension SQLiteStore {
  package func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict] {
    try await writer.write { transaction in
      try submissions.map { try transaction.submit($0) }
    }
  }
}

extension AcceptedTask {
  fileprivate var delayMilliseconds: Int64? {
    if case .after(let delay) = eligible { delay.wholeMilliseconds } else { nil }
  }
}

extension WriteTransaction {
  fileprivate func submit(_ submission: Submission) throws -> SubmissionVerdict {
    let insertBody = try prepared(
      """
      INSERT INTO task_bodies (id, created_at, payload, retries, timeout_ms, lease_ms, backoff, run_at, tags, metadata,
        traceparent, replay_of, delay_ms)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
      ON CONFLICT DO NOTHING
      """)
    let insertRun = try prepared(
      """
      INSERT INTO task_runs (id, queue, type, status, urgency, available_at, max_attempts, sequence, updated_at, ready_at,
        ready_sequence, expires_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
      """)
    for task in submission.tasks {
      let (status, availableAt) = task.initial(now: now)
      let isNew = try insertBody.run(
        task.id, now, task.payload, task.retries, task.timeout.wholeMilliseconds, task.lease.wholeMilliseconds,
        task.backoff.column, task.runAt, JSONColumn.strings(task.tags), JSONColumn.map(task.metadata), task.traceparent,
        task.replayOf, task.delayMilliseconds)
      guard isNew == 1 else { continue }
      let sequence = status == .ready ? 2 : 1
      try insertRun.run(
        task.id, task.queue, task.type, status.code, 10 - task.priority, availableAt, task.retries + 1, sequence, now,
        status == .ready ? now : nil, status == .ready ? 2 : 0, task.expiresAt)
      count(Lane(queue: task.queue, type: task.type), from: nil, to: status)
    }
    return .accepted(at: try acceptance(of: submission))
  }

  /// When it was accepted: now, or by the call that this one repeats.
  private func acceptance(of submission: Submission) throws -> Timestamp {
    guard let first = submission.tasks.first else { return now }
    return try prepared("SELECT created_at FROM task_bodies WHERE id = ?1").row(first.id) { $0.time() } ?? now
  }
}
