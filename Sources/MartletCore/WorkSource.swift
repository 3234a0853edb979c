// The three calls by which work is got and given back. The store is a `WorkSource`, and so is a client far away: the same
// `Worker` runs over either. Every call takes many items and judges each by itself.

/// The right to carry out one attempt of one task, and the fence of every write about it: the task's id, the attempt and a
/// random token. Whoever holds it needs no look-up; who does not cannot guess it.
package struct LeaseID: Sendable, Hashable, LosslessStringConvertible {
  package var task: TaskID
  package var attempt: Int
  package var token: Int64

  package init(task: TaskID, attempt: Int, token: Int64) {
    self.task = task
    self.attempt = attempt
    self.token = token
  }

  package init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 3, let task = TaskID(String(parts[0])), let attempt = Int(parts[1]), attempt > 0,
      parts[2].utf8.count == 16, let token = UInt64(parts[2], radix: 16)
    else { return nil }
    self.init(task: task, attempt: attempt, token: Int64(bitPattern: token))
    guard description == text else { return nil }  // one lease, one text
  }

  package var description: String {
    let hex = String(UInt64(bitPattern: token), radix: 16)
    return "\(task).\(attempt).\(String(repeating: "0", count: 16 - hex.utf8.count))\(hex)"
  }
}

package protocol WorkSource: Sendable {
  /// Takes READY tasks, at once or (a remote source) within each request's `patience`. One answer per request, in order.
  func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]]
  /// Prolongs leases. One verdict per renewal, in order.
  func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict]
  /// Reports ended attempts. One verdict per finish, in order; repeating a finish gives the same verdict.
  func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict]
}

package struct ClaimRequest: Sendable, Hashable {
  package var worker: String
  /// `Self.allQueues` among them stands for every queue.
  package var queues: [String]
  package var types: [String]
  /// None but these, where somebody has told which there are; nil: whatever there is.
  package var ids: [TaskID]?
  package var limit: Int
  /// How many of `limit` would have to wait for a free slot. A task that has lost a worker before is given to a free slot only.
  package var ahead: Int
  /// Fresh randomness; part of the lease ids of all that this request gets.
  package var token: Int64
  /// True for a worker inside the server's own process: its leases end with the process.
  package var isLocal: Bool
  /// How long a remote source may hold the request while there is nothing.
  package var patience: Duration

  package init(
    worker: String, queues: [String], types: [String], ids: [TaskID]? = nil, limit: Int, ahead: Int = 0, token: Int64,
    isLocal: Bool = true, patience: Duration = .zero
  ) {
    self.worker = worker
    self.queues = queues
    self.types = types
    self.ids = ids
    self.limit = limit
    self.ahead = ahead
    self.token = token
    self.isLocal = isLocal
    self.patience = patience
  }

  /// No queue can have this name.
  package static let allQueues = "*"

  package var takesAllQueues: Bool { queues.contains(Self.allQueues) }

  package func takes(_ lane: Lane) -> Bool {
    types.contains(lane.type) && (queues.contains(lane.queue) || takesAllQueues)
  }
}

/// All that a worker needs to carry out an attempt.
package struct ClaimedTask: Sendable, Hashable {
  package var lease: LeaseID
  /// By the store's clock, for people and protocols.
  package var expiresAt: Timestamp
  /// How long the lease lasts from the claim: count it from `heldFor` after the claim was sent.
  package var expiresIn: Duration
  /// How long a remote source says that it held the request before it claimed.
  package var heldFor = Duration.zero
  package var type: String
  package var queue: String
  package var payload: [UInt8]
  package var priority: Int
  package var maxAttempts: Int
  package var timeout: Duration
  package var leaseDuration: Duration
  package var createdAt: Timestamp
  package var runAt: Timestamp?
  package var availableAt: Timestamp
  /// When this attempt was claimed.
  package var startedAt: Timestamp
  /// When the task last became READY.
  package var readyAt: Timestamp
  package var tags: [String]
  package var metadata: [String: String]
  package var traceparent: String?

  package var id: TaskID { lease.task }
  package var attempt: Int { lease.attempt }

  package init(
    lease: LeaseID, expiresAt: Timestamp, expiresIn: Duration, type: String, queue: String, payload: [UInt8],
    priority: Int, maxAttempts: Int, timeout: Duration, leaseDuration: Duration, createdAt: Timestamp,
    runAt: Timestamp?, availableAt: Timestamp, startedAt: Timestamp, readyAt: Timestamp, tags: [String],
    metadata: [String: String], traceparent: String?
  ) {
    self.lease = lease
    self.expiresAt = expiresAt
    self.expiresIn = expiresIn
    self.type = type
    self.queue = queue
    self.payload = payload
    self.priority = priority
    self.maxAttempts = maxAttempts
    self.timeout = timeout
    self.leaseDuration = leaseDuration
    self.createdAt = createdAt
    self.runAt = runAt
    self.availableAt = availableAt
    self.startedAt = startedAt
    self.readyAt = readyAt
    self.tags = tags
    self.metadata = metadata
    self.traceparent = traceparent
  }
}

package struct Renewal: Sendable, Hashable {
  package var lease: LeaseID
  /// Nil leaves the stored progress as it is.
  package var progress: Progress?
  /// New since the last renewal. Kept with the attempt, as `keptLogs` cuts all of its lines, even if its worker is lost.
  package var logs: [String]

  package init(lease: LeaseID, progress: Progress? = nil, logs: [String] = []) {
    self.lease = lease
    self.progress = progress
    self.logs = logs
  }
}

package enum RenewalVerdict: Sendable, Hashable {
  /// Prolonged to the lease's full length from now, but never past the attempt's timeout.
  case renewed(expiresAt: Timestamp, expiresIn: Duration)
  /// Prolonged too, and the task's cancellation was asked for.
  case cancelRequested(expiresAt: Timestamp, expiresIn: Duration)
  /// The attempt is no longer this worker's: stop.
  case lost
}

package struct Finish: Sendable, Hashable {
  package var lease: LeaseID
  /// Never `.lost`: that is the rescuer's word.
  package var outcome: Outcome
  /// Kept with the attempt behind those that came with renewals, cut to `Limits.logLines` and `Limits.logBytes`.
  package var logs: [String]
  /// Uniform in 0..<1, for the jitter of a retry's delay.
  package var randomness: Double

  package init(lease: LeaseID, outcome: Outcome, logs: [String] = [], randomness: Double) {
    self.lease = lease
    self.outcome = outcome
    self.logs = logs
    self.randomness = randomness
  }
}

package enum FinishVerdict: Sendable, Hashable {
  /// The attempt ended so, now or when this was reported before; what became of the task.
  case applied(TaskStatus)
  /// The rescuer was first, or the lease never was; nothing changed.
  case lost
}
