// A task, an attempt and a worker as they are read back.

/// Everything known of a task now.
package struct TaskRecord: Sendable, Hashable {
  package var id: TaskID
  package var type: String
  package var queue: String
  /// Nil where a list left it out.
  package var payload: [UInt8]?
  package var priority: Int
  package var status: TaskStatus
  package var reason: FinalReason?
  /// Attempts claimed so far; never falls.
  package var attempt: Int
  package var maxAttempts: Int
  package var retries: Int
  package var backoff: RetryPolicy
  package var timeout: Duration
  package var lease: Duration
  /// As submitted.
  package var delay: Duration?
  package var runAt: Timestamp?
  /// When it is, or last became, eligible.
  package var availableAt: Timestamp
  package var expiresAt: Timestamp?
  package var createdAt: Timestamp
  package var updatedAt: Timestamp
  /// Of the latest attempt.
  package var startedAt: Timestamp?
  /// When the task became final.
  package var finishedAt: Timestamp?
  /// Of the latest attempt.
  package var worker: String?
  package var progress: Progress?
  package var cancelRequested: Bool
  package var result: [UInt8]?
  package var resultTruncated: Bool
  package var lastError: TaskError?
  package var tags: [String]
  package var metadata: [String: String]
  package var traceparent: String?
  package var replayOf: TaskID?
  /// As submitted.
  package var dependencies: [TaskID]
  package var onDependencyFailure: DependencyPolicy
  package var ref: String?
  package var graphID: TaskID?
  package var idempotencyKey: String?
  package var concurrencyKey: String?
  package var scheduleName: String?
  /// Who is told how it ends.
  package var notify: [NoticeTarget]
  /// The number of the latest event.
  package var sequence: Int

  package var retriesLeft: Int { max(0, maxAttempts - attempt) }

  /// What is written of a task that waits for no other; of one that does, the store knows more.
  package init(_ task: AcceptedTask, acceptedAt now: Timestamp) {
    let (status, availableAt) = task.initial(now: now)
    id = task.id
    type = task.type
    queue = task.queue
    payload = task.payload
    priority = task.priority
    self.status = status
    attempt = 0
    maxAttempts = task.retries + 1
    retries = task.retries
    backoff = task.backoff
    timeout = task.timeout
    lease = task.lease
    if case .after(let delay) = task.eligible { self.delay = delay }
    runAt = task.runAt
    self.availableAt = availableAt
    expiresAt = task.expiresAt
    createdAt = now
    updatedAt = now
    cancelRequested = false
    resultTruncated = false
    tags = task.tags
    metadata = task.metadata
    traceparent = task.traceparent
    replayOf = task.replayOf
    dependencies = task.dependencies
    onDependencyFailure = task.onDependencyFailure
    ref = task.ref
    if case .member(let graph) = task.graph { graphID = graph }
    idempotencyKey = task.idempotencyKey
    concurrencyKey = task.concurrencyKey
    scheduleName = task.scheduleName
    notify = task.notify
    sequence = status == .ready ? 2 : 1
  }
}

/// How far a running attempt says it is.
package struct Progress: Sendable, Hashable {
  /// 0…100
  package var percent: Double
  package var message: String?

  package init(percent: Double, message: String?) {
    self.percent = percent
    self.message = message
  }
}

/// One attempt: ended, or running while `outcome` is nil.
package struct AttemptRecord: Sendable, Hashable {
  package var number: Int
  package var worker: String
  package var startedAt: Timestamp
  package var finishedAt: Timestamp?
  package var outcome: AttemptOutcome?
  package var error: TaskError?
  package var logs: [String]

  package init(
    number: Int, worker: String, startedAt: Timestamp, finishedAt: Timestamp?, outcome: AttemptOutcome?,
    error: TaskError?, logs: [String]
  ) {
    self.number = number
    self.worker = worker
    self.startedAt = startedAt
    self.finishedAt = finishedAt
    self.outcome = outcome
    self.error = error
    self.logs = logs
  }
}

/// A worker that is alive, or was a short while ago.
package struct WorkerRecord: Sendable, Hashable {
  package enum Kind: String, Sendable { case node, remote }

  package var id: String
  package var host: String
  package var kind: Kind
  package var types: [String]
  package var queues: [String]
  package var running: Int
  package var lastSeenAt: Timestamp

  package init(
    id: String, host: String, kind: Kind, types: [String], queues: [String], running: Int, lastSeenAt: Timestamp
  ) {
    self.id = id
    self.host = host
    self.kind = kind
    self.types = types
    self.queues = queues
    self.running = running
    self.lastSeenAt = lastSeenAt
  }

  /// A worker not seen for this long is gone: lists leave it out.
  package static let lifetime = Duration.seconds(60)
}
