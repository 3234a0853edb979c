// What people are told of a task that has come to its end. The notifier makes it from the stored task and gives it away as a
// webhook (`Notice+Webhook.swift`) or as a mail (`Notice+Mail.swift`).

package import MartletCore

package struct Notice: Sendable, Hashable {
  /// How a task ended, in the words of notices: a DEAD task has failed.
  package enum Status: String, CaseIterable, Sendable {
    case success = "SUCCESS"
    case failed = "FAILED"
    case cancelled = "CANCELLED"

    /// Nil for a status that is not final.
    package init?(_ status: TaskStatus) {
      switch status {
      case .success: self = .success
      case .dead: self = .failed
      case .cancelled: self = .cancelled
      case .pending, .ready, .running, .retry: return nil
      }
    }

    /// `task.succeeded`
    package var eventType: String {
      switch self {
      case .success: "task.succeeded"
      case .failed: "task.failed"
      case .cancelled: "task.cancelled"
      }
    }
  }

  package let status: Status
  package let taskStatus: TaskStatus
  /// When the task came to its end: the same over all deliveries.
  package let timestamp: Timestamp
  package let taskID: TaskID
  package let taskType: String
  package let queue: String
  package let reason: FinalReason?
  package let attempt: Int
  package let maxAttempts: Int
  /// One JSON value.
  package let result: [UInt8]?
  package let error: TaskError?
  package let logs: [String]
  package let createdAt: Timestamp
  package let startedAt: Timestamp?
  package let finishedAt: Timestamp?
  package let metadata: [String: String]

  /// Nil for a task that is not final.
  /// - Parameter logs: the lines of its last attempts; the last ones are kept, as many as a history keeps of an attempt.
  package init?(_ task: TaskRecord, logs: [String]) {
    guard let status = Status(task.status) else { return nil }
    self.status = status
    taskStatus = task.status
    timestamp = task.finishedAt ?? task.updatedAt
    taskID = task.id
    taskType = task.type
    queue = task.queue
    reason = task.reason
    attempt = task.attempt
    maxAttempts = task.maxAttempts
    result = task.result
    error = task.lastError
    self.logs = keptLogs(logs)
    createdAt = task.createdAt
    startedAt = task.startedAt
    finishedAt = task.finishedAt
    metadata = task.metadata
  }
}
