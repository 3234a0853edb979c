// The decisions of the state machine, all of them and all pure: what a finished attempt, a cancel, a retry by hand or a patch
// does to a task. The stores call these inside their transactions and write down what they answer.

/// What becomes of a task whose attempt has ended.
package struct Transition: Sendable, Hashable {
  package let status: TaskStatus
  /// When the task is next eligible; nil where it is final.
  package let eligible: When?
  /// Why it is DEAD or CANCELLED.
  package let reason: FinalReason?
  /// Snoozes and releases give the attempt back: 1, else 0.
  package let addedAttempts: Int

  /// What the decision needs to know of the running task.
  package struct Running: Sendable, Hashable {
    package var attempt: Int
    package var maxAttempts: Int
    /// Retries of a full budget, as submitted.
    package var retries: Int
    package var backoff: RetryPolicy
    package var cancelRequested: Bool

    package init(attempt: Int, maxAttempts: Int, retries: Int, backoff: RetryPolicy, cancelRequested: Bool) {
      self.attempt = attempt
      self.maxAttempts = maxAttempts
      self.retries = retries
      self.backoff = backoff
      self.cancelRequested = cancelRequested
    }

    /// Retries left in the current budget.
    package var retriesLeft: Int { max(0, maxAttempts - attempt) }
    /// The number of the retry that would come next, counted within the current budget: 1 is its first.
    package var nextRetry: Int { max(1, retries - retriesLeft + 1) }
  }

  /// Decides. A reported success stays a success whatever was requested meanwhile; a requested cancel wins over all else.
  package static func after(_ outcome: Outcome, of task: Running, randomness: Double) -> Transition {
    if case .success = outcome { return .final(.success, nil) }
    if task.cancelRequested { return .final(.cancelled, .requested) }
    switch outcome {
    case .success, .cancelled:
      return .final(.cancelled, .requested)
    case .snoozed(let duration):
      return Transition(status: .pending, eligible: .after(duration), reason: nil, addedAttempts: 1)
    case .released:
      return Transition(status: .ready, eligible: .now, reason: nil, addedAttempts: 1)
    case .failed(_, .giveUp(let reason)):
      return .final(.dead, reason)
    case .failed(_, .retryAfter(let delay)):
      return task.retriesLeft > 0 ? .retry(after: delay) : .final(.dead, .retriesExhausted)
    case .failed(_, .retry), .timedOut, .lost:
      guard task.retriesLeft > 0 else { return .final(.dead, .retriesExhausted) }
      return .retry(after: task.backoff.delay(beforeRetry: task.nextRetry, randomness: randomness))
    }
  }

  /// The events that this end of an attempt is told by, in order.
  package func events(outcome: AttemptOutcome) -> [TaskEventType] {
    Self.events(outcome: outcome, status: status)
  }

  /// The same, for an attempt that ended so and left its task in `status`.
  package static func events(outcome: AttemptOutcome, status: TaskStatus) -> [TaskEventType] {
    switch (outcome, status) {
    case (.success, _): [.succeeded]
    case (.cancelled, _): [.cancelled]
    case (.snoozed, .pending): [.snoozed]
    case (.released, .ready): [.released, .ready]
    case (_, .retry): [.failed, .retry]
    case (_, .dead): [.failed, .dead]
    case (.snoozed, _), (.released, _): [.cancelled]
    default: [.failed, .cancelled]
    }
  }

  private static func final(_ status: TaskStatus, _ reason: FinalReason?) -> Transition {
    Transition(status: status, eligible: nil, reason: reason, addedAttempts: 0)
  }

  private static func retry(after delay: Duration) -> Transition {
    Transition(status: .retry, eligible: .after(delay), reason: nil, addedAttempts: 0)
  }
}

/// What a command from outside does to a task in a given state.
package enum SteeringDecision: Sendable, Hashable {
  case move(to: TaskStatus)
  /// The worker will be told at its next renewal.
  case requestCancel
  /// It is so already: answer as if done.
  case unchanged
  /// 409 `invalid-state`.
  case illegal

  package static func cancel(_ status: TaskStatus) -> SteeringDecision {
    switch status {
    case .pending, .ready, .retry: .move(to: .cancelled)
    case .running: .requestCancel
    case .cancelled: .unchanged
    case .success, .dead: .illegal
    }
  }

  /// A retry by hand: READY at once with a fresh budget, or PENDING while it waits for others.
  package static func retry(_ status: TaskStatus, waitsForOthers: Bool = false) -> SteeringDecision {
    switch status {
    case .dead, .cancelled, .retry: .move(to: waitsForOthers ? .pending : .ready)
    case .pending, .ready, .running, .success: .illegal
    }
  }

  package static func replay(_ status: TaskStatus) -> SteeringDecision {
    status.isFinal ? .unchanged : .illegal
  }

  /// A patch of a waiting task; `due` tells whether its (new) time has come, nil when the time is not patched. No time makes a
  /// task READY that waits for others.
  package static func patch(_ status: TaskStatus, due: Bool?, waitsForOthers: Bool = false) -> SteeringDecision {
    guard status.isWaiting else { return .illegal }
    if waitsForOthers { return .unchanged }
    switch (status, due) {
    case (_, nil): return .unchanged
    case (.ready, true), (.pending, false), (.retry, false): return .unchanged
    case (_, true): return .move(to: .ready)
    case (_, false): return .move(to: .pending)
    }
  }
}
