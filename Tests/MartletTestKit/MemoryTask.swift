// One task of the reference model with all of its history, and the few ways in which it changes: it moves to another
// status, it tells an event, an attempt begins, an attempt ends.

internal import MartletCore

struct MemoryTask {
  struct Lease {
    var token: Int64
    var expiresAt: Timestamp
  }

  struct Attempt {
    var record: AttemptRecord
    /// Whose report it was; nil while it runs, and where the rescuer ended it, so that no report is ever taken for a repetition.
    var reportedUnder: Int64?
  }

  var record: TaskRecord
  /// When it last became READY.
  var readyAt: Timestamp
  /// Nil unless it is RUNNING.
  var lease: Lease?
  var attempts: [Attempt] = []
  var events: [TaskEvent] = []
  /// Since the transaction began.
  var endings: [MemoryEnding] = []
  /// Since when it has a slot of its concurrency key; nil for one without a key.
  var admittedAt: Timestamp?
  /// Dependencies that are still to be met.
  var unmet: Set<TaskID>
  /// Dependencies that are still stored.
  var parents: Set<TaskID>

  /// - Parameter unmet: those of its dependencies that are not met yet.
  init(_ task: AcceptedTask, unmet: Set<TaskID>, now: Timestamp) {
    record = TaskRecord(task, acceptedAt: now)
    if !unmet.isEmpty { record.status = .pending }
    readyAt = now
    self.unmet = unmet
    parents = Set(task.dependencies)
    record.sequence = 0
    tell(.received, by: task.submittedBy, now: now)
    if record.status == .ready { tell(.ready, by: Actor.api, now: now) }
  }

  var lane: Lane { Lane(queue: record.queue, type: record.type) }

  /// False for one that waits for a slot of its key.
  var isClaimable: Bool { record.status == .ready && (record.concurrencyKey == nil || admittedAt != nil) }

  var hasLostWorker: Bool { attempts.contains { $0.record.outcome == .lost } }

  /// True for a task that waits for its first attempt and must not have it any more.
  func isExpired(now: Timestamp) -> Bool {
    guard let expiry else { return false }
    return expiry <= now
  }

  /// When a task that waits for its first attempt expires.
  var expiry: Timestamp? {
    record.status.isWaiting && record.attempt == 0 ? record.expiresAt : nil
  }

  /// The end of the running attempt's time, however often its lease is renewed.
  var deadline: Timestamp? { record.startedAt.map { $0 + record.timeout } }

  func holds(_ id: LeaseID) -> Bool {
    record.status == .running && record.attempt == id.attempt && lease?.token == id.token
  }

  /// The end of a lease given or renewed now.
  func leaseEnd(now: Timestamp) -> Timestamp {
    let full = now + record.lease
    return deadline.map { min(full, $0) } ?? full
  }

  // MARK: Changes

  mutating func tell(_ type: TaskEventType, by actor: String, cause: String? = nil, now: Timestamp) {
    record.sequence += 1
    record.updatedAt = now
    events.append(TaskEvent(sequence: record.sequence, type: type, at: now, actor: actor, cause: cause))
    if !record.notify.isEmpty, [.succeeded, .dead, .cancelled].contains(type) {
      endings.append(
        MemoryEnding(
          sequence: record.sequence, status: record.status, reason: record.reason, attempt: record.attempt,
          maxAttempts: record.maxAttempts, startedAt: record.startedAt, at: now))
    }
  }

  mutating func move(to status: TaskStatus, reason: FinalReason? = nil, now: Timestamp) {
    precondition(
      record.status.successors.contains(status),
      "no legal move leads from \(record.status.rawValue) to \(status.rawValue)")
    record.status = status
    record.reason = reason
    record.finishedAt = status.isFinal ? now : nil
    if status == .ready { readyAt = now }
    if status != .running { admittedAt = nil }
    if status != .running { lease = nil }
  }

  mutating func expire(now: Timestamp) {
    move(to: .cancelled, reason: .expired, now: now)
    tell(.cancelled, by: Actor.scheduler, cause: FinalReason.expired.rawValue, now: now)
  }

  mutating func begin(worker: String, token: Int64, now: Timestamp) {
    move(to: .running, now: now)
    record.attempt += 1
    record.worker = worker
    record.startedAt = now
    record.progress = nil
    lease = Lease(token: token, expiresAt: leaseEnd(now: now))
    attempts.append(
      Attempt(
        record: AttemptRecord(
          number: record.attempt, worker: worker, startedAt: now, finishedAt: nil, outcome: nil, error: nil, logs: [])))
    tell(.started, by: worker, cause: "attempt \(record.attempt)", now: now)
  }

  /// Log lines of the running attempt.
  mutating func add(_ lines: [String]) {
    let last = attempts.count - 1
    attempts[last].record.logs = keptLogs(attempts[last].record.logs + lines)
  }

  /// Ends the running attempt as `Transition.after` says. `token` is nil for the rescuer.
  mutating func end(
    _ outcome: Outcome, logs: [String], randomness: Double, by actor: String, token: Int64?, now: Timestamp
  ) {
    let transition = Transition.after(
      outcome,
      of: Transition.Running(
        attempt: record.attempt, maxAttempts: record.maxAttempts, retries: record.retries, backoff: record.backoff,
        cancelRequested: record.cancelRequested),
      randomness: randomness)
    let last = attempts.count - 1
    attempts[last].record.finishedAt = now
    attempts[last].record.outcome = outcome.attemptOutcome
    attempts[last].record.error = outcome.error
    add(logs)
    attempts[last].reportedUnder = token

    move(to: transition.status, reason: transition.reason, now: now)
    record.maxAttempts += transition.addedAttempts
    if let eligible = transition.eligible { record.availableAt = eligible.resolved(now: now) }
    if let error = outcome.error { record.lastError = error }
    if case .success(let result) = outcome { keep(result: result) }
    for event in transition.events(outcome: outcome.attemptOutcome) {
      tell(event, by: actor, cause: cause(of: event, outcome.attemptOutcome, transition), now: now)
    }
  }

  private mutating func keep(result: [UInt8]?) {
    let isTooLong = (result?.count ?? 0) > Limits.resultBytes
    record.result = isTooLong ? nil : result
    record.resultTruncated = isTooLong
  }

  private func cause(of event: TaskEventType, _ outcome: AttemptOutcome, _ transition: Transition) -> String? {
    switch event {
    case .failed: outcome.rawValue
    case .dead, .cancelled: transition.reason?.rawValue
    default: nil
    }
  }
}

// MARK: Bugs on purpose

extension MemoryTask {
  /// For `Sabotage.rewritesAttempts`.
  mutating func rewrite(_ finish: Finish, now: Timestamp) {
    guard let place = attempts.firstIndex(where: { $0.record.number == finish.lease.attempt }),
      attempts[place].record.outcome != nil
    else { return }
    attempts[place].record.outcome = finish.outcome.attemptOutcome
    attempts[place].record.finishedAt = now
  }

  /// For `Sabotage.rewritesEvents`.
  mutating func takeOver() {
    for place in events.indices where events[place].type == .started { events[place].actor = record.worker ?? "" }
  }
}
