// Values with sensible defaults, so that a test states only what it is about.

package import MartletCore

extension TaskID {
  /// A UUIDv7 that sorts by `number`.
  package static func stub(_ number: Int) -> TaskID {
    TaskID(high: UInt64(number) << 16 | 0x7000, low: 0x8000_0000_0000_0000)
  }
}

extension AcceptedTask {
  /// A due task with three retries after a fixed second each, a timeout of five minutes and a lease of thirty seconds.
  package static func stub(
    _ number: Int = 1, type: String = "resize", queue: String = "default", payload: String = "{}", priority: Int = 5,
    eligible: When = .now, runAt: Timestamp? = nil, retries: Int = 3,
    backoff: RetryPolicy = RetryPolicy(strategy: .fixed, baseSeconds: 1, jitter: 0),
    timeout: Duration = .seconds(300), lease: Duration = .seconds(30), expiresAt: Timestamp? = nil,
    tags: [String] = [], metadata: [String: String] = [:], traceparent: String? = nil, replayOf: TaskID? = nil
  ) -> AcceptedTask {
    var task: AcceptedTask
    do {
      task = try NewTask(type: type).accepted(id: .stub(number), defaults: TaskDefaults(), now: .earliest)
    } catch {
      preconditionFailure("a stub that is not valid: \(error.problems)")
    }
    task.queue = queue
    task.payload = Array(payload.utf8)
    task.priority = priority
    task.eligible = eligible
    task.runAt = runAt
    task.retries = retries
    task.backoff = backoff
    task.timeout = timeout
    task.lease = lease
    task.expiresAt = expiresAt
    task.tags = tags
    task.metadata = metadata
    task.traceparent = traceparent
    task.replayOf = replayOf
    return task
  }
}

extension WorkerRecord {
  package static func stub(_ id: String = "worker-1", running: Int = 0) -> WorkerRecord {
    WorkerRecord(
      id: id, host: "host-1", kind: .node, types: ["resize"], queues: ["default"], running: running,
      lastSeenAt: .earliest)
  }
}

extension BulkOrder {
  /// All that the action is about, as fast as it goes.
  package static func stub(
    _ number: Int = 1, _ action: BulkAction = .cancel, limit: Int? = nil, ratePerSecond: Double? = nil,
    queues: [String]? = nil, _ filter: (inout TaskQuery) -> Void = { _ in }
  ) -> BulkOrder {
    var query = TaskQuery()
    filter(&query)
    return BulkOrder(
      id: .stub(1_000_000 + number), action, BulkSelection(query, queues: queues?.compactMap { QueuePattern($0) }),
      limit: limit, ratePerSecond: ratePerSecond, actor: "key:bulk")
  }
}

extension TaskError {
  package static let stub = TaskError(type: "HTTP_503", message: "no room", stack: "main.swift:1")
}

extension Outcome {
  package static let failed = Outcome.failed(.stub, .retry)
  package static let success = Outcome.success(result: nil)
}
