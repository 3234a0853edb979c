// What a worker has to say about an attempt, before anyone decides what follows from it.

/// An attempt's failure as data: it is stored and shown, never thrown on.
public struct TaskError: Sendable, Hashable {
  /// A short name to group by: `TIMEOUT`, `HTTP_503`, a Swift type.
  public var type: String
  public var message: String
  public var stack: String?

  public init(type: String, message: String, stack: String? = nil) {
    self.type = type
    self.message = message
    self.stack = stack
  }
}

/// What happened in an attempt. `Transition.after` turns it into what happens to the task.
package enum Outcome: Sendable, Hashable {
  /// `result` is one JSON value, or nil.
  case success(result: [UInt8]?)
  case failed(TaskError, FailureAdvice)
  case timedOut
  /// The lease ended without a word. Only the rescuer says so.
  case lost
  case cancelled
  case snoozed(Duration)
  /// Given back unfinished: a draining worker.
  case released

  package var attemptOutcome: AttemptOutcome {
    switch self {
    case .success: .success
    case .failed: .failed
    case .timedOut: .timedOut
    case .lost: .lost
    case .cancelled: .cancelled
    case .snoozed: .snoozed
    case .released: .released
    }
  }

  /// The error to show with the attempt, if its end is one.
  package var error: TaskError? {
    switch self {
    case .failed(let error, _): error
    case .timedOut: TaskError(type: "TIMEOUT", message: "the attempt ran past its timeoutSeconds")
    case .lost: TaskError(type: "LEASE_LOST", message: "the worker fell silent and its lease ended")
    case .success, .cancelled, .snoozed, .released: nil
    }
  }
}

/// What a failure asks for.
package enum FailureAdvice: Sendable, Hashable {
  /// By the task's backoff.
  case retry
  /// After this long instead of the backoff (Retry-After).
  case retryAfter(Duration)
  /// No retry can help.
  case giveUp(FinalReason)
}
