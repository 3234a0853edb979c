// A notice on its way: one receiver that is to be told of one ending of one task. Stores write it in the very transaction of the
// ending; the notifier delivers it; people look at it by `GET /notifications`.

/// Which ending of which task, and the place of the receiver in the task's `notify`. The same over all deliveries.
package struct NoticeID: Sendable, Hashable, CustomStringConvertible {
  package var task: TaskID
  /// Of the event that told the ending.
  package var sequence: Int
  package var place: Int

  package init(task: TaskID, sequence: Int, place: Int) {
    self.task = task
    self.sequence = sequence
    self.place = place
  }

  /// `<task>.<sequence>.<place>`
  package var description: String { "\(task).\(sequence).\(place)" }

  /// Nil for everything that `description` did not make.
  package init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let task = TaskID(String(parts[0])), let sequence = Int32(parts[1]),
      let place = Int32(parts[2])
    else { return nil }
    self.init(task: task, sequence: Int(sequence), place: Int(place))
    guard description == text else { return nil }
  }
}

package struct NoticeRecord: Sendable, Hashable {
  package enum Status: String, CaseIterable, Sendable, Hashable {
    /// To be delivered: now, or when the next attempt is due.
    case pending = "PENDING"
    /// The receiver has it and said so.
    case delivered = "DELIVERED"
    /// Given up.
    case dead = "DEAD"

    package var code: Int64 {
      switch self {
      case .pending: 1
      case .delivered: 2
      case .dead: 3
      }
    }

    package init(code: Int64) throws {
      guard let status = Self.allCases.first(where: { $0.code == code }) else {
        throw UnreadableRow(what: "status of a notice \(code)")
      }
      self = status
    }
  }

  package var id: NoticeID
  /// Grows from notice to notice, with gaps.
  package var number: Int64
  package var type: String
  package var queue: String
  package var channel: NoticeChannel
  package var target: String
  package var destination: String
  /// How the task ended, as are the next four: it may have been retried since.
  package var taskStatus: TaskStatus
  package var reason: FinalReason?
  package var attempt: Int
  package var maxAttempts: Int
  package var startedAt: Timestamp?
  package var status: Status
  /// Deliveries begun; never falls.
  package var attempts: Int
  /// It is given up with the last of these.
  package var mostAttempts: Int
  /// Of the task's ending.
  package var createdAt: Timestamp
  package var updatedAt: Timestamp
  /// When it is next tried; nil where it will not be.
  package var nextAttemptAt: Timestamp?
  /// What came of the latest delivery that failed.
  package var lastError: String?

  package init(
    id: NoticeID, number: Int64, type: String, queue: String, channel: NoticeChannel, target: String,
    destination: String, taskStatus: TaskStatus, reason: FinalReason?, attempt: Int, maxAttempts: Int,
    startedAt: Timestamp?, status: Status, attempts: Int, mostAttempts: Int, createdAt: Timestamp, updatedAt: Timestamp,
    nextAttemptAt: Timestamp?, lastError: String?
  ) {
    self.id = id
    self.number = number
    self.type = type
    self.queue = queue
    self.channel = channel
    self.target = target
    self.destination = destination
    self.taskStatus = taskStatus
    self.reason = reason
    self.attempt = attempt
    self.maxAttempts = maxAttempts
    self.startedAt = startedAt
    self.status = status
    self.attempts = attempts
    self.mostAttempts = mostAttempts
    self.createdAt = createdAt
    self.updatedAt = updatedAt
    self.nextAttemptAt = nextAttemptAt
    self.lastError = lastError
  }

  /// `task.succeeded`, `task.failed` or `task.cancelled`
  package var eventType: String {
    switch taskStatus {
    case .success: "task.succeeded"
    case .cancelled: "task.cancelled"
    default: "task.failed"
    }
  }

  /// The task as it was at this ending.
  package func asItEnded(_ task: TaskRecord, attempt latest: AttemptRecord?) -> TaskRecord {
    guard task.sequence != id.sequence else { return task }
    var task = task
    task.status = taskStatus
    task.reason = reason
    task.attempt = attempt
    task.maxAttempts = maxAttempts
    task.startedAt = startedAt
    task.finishedAt = createdAt
    task.lastError = latest?.number == attempt ? latest?.error : nil
    if taskStatus != .success { task.result = nil }
    return task
  }
}

/// How often and how long a notice is tried.
package enum NoticePatience {
  /// Deliveries of one budget; sending again by hand gives another.
  package static let attempts = 15
  /// Whatever its budget, a notice that nobody has been able to send for so long is given up: no node has its channel.
  package static let longest = Duration.seconds(3 * 86_400)
  /// Counting more would cost more than the number is worth.
  package static let mostCounted = 10_000

  /// 5 s after the first failure, three times as long after each further one up to six hours, up to a fifth of it less at random; no
  /// sooner than the receiver has asked for. A budget lasts about two days.
  package static func pause(after failures: Int, asked: Duration? = nil, randomness: Double) -> Duration {
    var longest = Duration.seconds(5)
    for _ in 1..<max(1, min(failures, 20)) where longest < .seconds(21_600) { longest = longest * 3 }
    longest = min(longest, .seconds(21_600))
    return max(longest - longest / 5 * randomness, asked ?? .zero)
  }
}
