// The states of a task and the one table of legal transitions between them. Stores may only make moves that stand here;
// the conformance suite and the random histories check every move they make against this table.

/// Where a task stands. The raw values are the names on the wire.
public enum TaskStatus: String, CaseIterable, Sendable, Hashable, Codable {
  /// Stored; waiting for its time (or, later, for its dependencies).
  case pending = "PENDING"
  /// Can be claimed.
  case ready = "READY"
  /// Leased to a worker.
  case running = "RUNNING"
  /// Waiting out its backoff.
  case retry = "RETRY"
  case success = "SUCCESS"
  /// Retries used up, or a failure that no retry can mend.
  case dead = "DEAD"
  case cancelled = "CANCELLED"

  /// No transition leaves a final state but a retry by hand.
  public var isFinal: Bool {
    switch self {
    case .success, .dead, .cancelled: true
    case .pending, .ready, .running, .retry: false
    }
  }

  /// Waiting states: nobody holds a lease and the task is not final.
  package var isWaiting: Bool { !isFinal && self != .running }

  /// Every legal move from this state, each with who makes it.
  package var successors: Set<TaskStatus> {
    switch self {
    case .pending: [.ready, .cancelled]  // promote or patch; cancel or expire
    case .ready: [.running, .pending, .cancelled]  // claim; patch to a later time; cancel or expire
    case .running: [.success, .dead, .retry, .pending, .ready, .cancelled]  // finish, rescue; snooze; release
    case .retry: [.ready, .cancelled]  // promote, patch or retry by hand; cancel
    case .dead: [.ready, .pending]  // retry by hand
    case .cancelled: [.ready, .pending]  // retry by hand
    case .success: []
    }
  }

  /// Reads a name of the contract, including `FAILED` and `DEAD_LETTER`, which other systems use for `DEAD`.
  package init?(wireName: some StringProtocol) {
    switch wireName {
    case "FAILED", "DEAD_LETTER": self = .dead
    default: self.init(rawValue: String(wireName))
    }
  }
}

/// Why a task is `DEAD` or `CANCELLED`.
package enum FinalReason: String, CaseIterable, Sendable, Codable {
  case retriesExhausted = "RETRIES_EXHAUSTED"
  case nonRetryable = "NON_RETRYABLE"
  case badPayload = "BAD_PAYLOAD"
  case requested = "REQUESTED"
  case expired = "EXPIRED"
  case dependencyFailed = "DEPENDENCY_FAILED"
}

/// How one attempt ended.
package enum AttemptOutcome: String, CaseIterable, Sendable, Codable {
  case success = "SUCCESS"
  case failed = "FAILED"
  case timedOut = "TIMED_OUT"
  case lost = "LOST"
  case cancelled = "CANCELLED"
  case snoozed = "SNOOZED"
  case released = "RELEASED"
}
