// New tasks: one body row, one run row each, and a row of links for the few that have any. What keys and dependencies make of a
// submission stands in `SQLiteStore+Keys.swift` and `SQLiteStore+Dependencies.swift`.

package import MartletCore

extension SQLiteStore {
  package func submit(_ submissions: [Submission]) async throws(StoreError) -> [SubmissionVerdict] {
    try await writer.write { transaction in
      try submissions.map { submission in
        let verdict = try transaction.submit(submission)
        if let note = submission.note, verdict.isWritten { try transaction.audit(note) }
        return verdict
      }
    }
  }
}

extension WriteTransaction {
  fileprivate func submit(_ submission: Submission) throws -> SubmissionVerdict {
    if submission.isPlain {
      if let queue = try fullQueue(adding: submission.tasks) { return .queueFull(queue) }
      for index in submission.tasks.indices { try insert(submission.tasks[index], unmet: 0, hasChildren: false) }
      return .accepted(at: try acceptance(of: submission.tasks.first))
    }
    let keys: KnownKeys
    switch try knownKeys(of: submission) {
    case .known(let known): keys = known
    case .reused(let key): return .keyReused(key)
    }
    let accepted = submission.tasks.enumerated().filter { keys.earlier[$0.offset] == nil }.map { offset, task in
      var task = task
      task.dependencies = task.dependencies.map { keys.replaced[$0] ?? $0 }
      return task
    }
    let parents = try parents(of: accepted)
    if !parents.unknown.isEmpty { return .unknownDependencies(parents.unknown.sorted()) }
    if let queue = try fullQueue(adding: accepted) { return .queueFull(queue) }
    try take(keys.new, of: submission)
    try insert(accepted, among: parents)
    let at = try acceptance(of: accepted.first)
    return keys.earlier.isEmpty ? .accepted(at: at) : .replayed(at: at, earlier: keys.earlier)
  }

  /// Writes a task that is not there yet. False if it is.
  /// - Parameter unmet: how many of its dependencies are still to be met.
  @discardableResult
  func insert(_ task: AcceptedTask, unmet: Int, hasChildren: Bool) throws -> Bool {
    let isNew = try prepared(
      """
      INSERT INTO task_bodies (id, created_at, payload, retries, timeout_ms, lease_ms, backoff, run_at, tags, metadata,
        traceparent, replay_of, delay_ms, submitted_by, notify)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
      ON CONFLICT DO NOTHING
      """
    ).run(
      task.id, now, task.payload, task.retries, task.timeout.wholeMilliseconds, task.lease.wholeMilliseconds,
      column(of: task.backoff), task.runAt, JSONColumn.strings(task.tags), JSONColumn.map(task.metadata),
      task.traceparent,
      task.replayOf, task.delayMilliseconds, task.submittedBy == Actor.api ? nil : task.submittedBy,
      task.notify.column)
    guard isNew == 1 else { return false }
    let (initial, availableAt) = task.initial(now: now)
    let status = unmet > 0 ? .pending : initial
    if task.hasLinks { try insertLinks(of: task) }  // the run row's trigger looks for its key there
    let isKeyed = task.concurrencyKey != nil
    if isKeyed { try makeKeyTriggers() }
    if !task.notify.isEmpty { try noticesAreWritten() }
    try prepared(
      """
      INSERT INTO task_runs (id, queue, type, status, urgency, available_at, max_attempts, sequence, updated_at, ready_at,
        ready_sequence, expires_at, unmet, has_children, keyed, blocked, notifies)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15, ?16)
      """
    ).run(
      task.id, task.queue, task.type, status.code, 10 - task.priority, availableAt, task.retries + 1,
      status == .ready ? 2 : 1, now, status == .ready ? now : nil, status == .ready ? 2 : 0, task.expiresAt, unmet,
      hasChildren, isKeyed, task.notify.mask)
    count(Lane(queue: task.queue, type: task.type), from: nil, to: status)
    return true
  }

  /// Nearly always the same policy: written as text once.
  private func column(of policy: RetryPolicy) -> String {
    if let last = lastBackoff, last.policy == policy { return last.column }
    let column = policy.column
    lastBackoff = (policy, column)
    return column
  }

  private func insertLinks(of task: AcceptedTask) throws {
    try prepared(
      """
      INSERT INTO task_links (id, dependencies, on_failure, ref, graph, idempotency_key, concurrency_key, schedule)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
      """
    ).run(
      task.id, task.dependencies.isEmpty ? nil : bytes(of: task.dependencies), task.onDependencyFailure.code, task.ref,
      try graph(of: task), task.idempotencyKey, task.concurrencyKey, task.scheduleName)
  }

  /// When it was accepted: now, or by the call that this one repeats.
  private func acceptance(of task: AcceptedTask?) throws -> Timestamp {
    guard let task else { return now }
    return try prepared("SELECT created_at FROM task_bodies WHERE id = ?1").row(task.id) { $0.time() } ?? now
  }
}

extension Submission {
  /// Nothing in it asks for more than the rows of its tasks. Looked at in place: a copy of a task is dear.
  fileprivate var isPlain: Bool {
    keys.isEmpty && tasks.indices.allSatisfy { tasks[$0].dependencies.isEmpty }
  }
}

extension AcceptedTask {
  fileprivate var delayMilliseconds: Int64? {
    if case .after(let delay) = eligible { delay.wholeMilliseconds } else { nil }
  }

  /// Has anything to say in `task_links`.
  fileprivate var hasLinks: Bool {
    !dependencies.isEmpty || onDependencyFailure != .hold || ref != nil || graph != .none || idempotencyKey != nil
      || concurrencyKey != nil || scheduleName != nil
  }
}
