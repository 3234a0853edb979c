// A task that a claim came upon, as its statement tells it.

internal import MartletCore

/// A row of the index that a look came upon, with its task.
struct Picked {
  enum Kind: Int64 {
    case taken = 1
    case expired, passedOver
  }

  var kind: Kind
  var id: TaskID
  var lane: Int32
  var availableAt: Int64
  var attempt: Int
  var maxAttempts: Int
  var readyAt: Timestamp?
  var startedAt: Timestamp
  var leaseUntil: Timestamp
  var timeout: Duration
  var lease: Duration
  var createdAt: Timestamp
  var payload: [UInt8]
  var runAt: Timestamp?
  var tags: String?
  var metadata: String?
  var traceparent: String?
  /// It waits for slots of its concurrency key, or has left one.
  var hasKey: Bool

  /// Nil for the row that says that there is none.
  init?(_ columns: inout Columns) throws {
    guard let code = columns.optionalInt() else { return nil }
    kind = Kind(rawValue: code) ?? .passedOver
    id = columns.id()
    lane = Int32(columns.int())
    availableAt = columns.int()
    attempt = Int(columns.int())
    maxAttempts = Int(columns.int())
    readyAt = columns.optionalTime()
    startedAt = columns.time()
    leaseUntil = columns.time()
    timeout = columns.milliseconds()
    lease = columns.milliseconds()
    createdAt = columns.time()
    payload = columns.blob()
    runAt = columns.optionalTime()
    tags = columns.optionalText()
    metadata = columns.optionalText()
    traceparent = columns.optionalText()
    hasKey = columns.bool()
  }

  func task(in key: LaneKey, token: Int64) throws -> ClaimedTask {
    ClaimedTask(
      lease: LeaseID(task: id, attempt: attempt, token: token), expiresAt: leaseUntil,
      expiresIn: leaseUntil - startedAt, type: key.type, queue: key.queue, payload: payload, priority: key.priority,
      maxAttempts: maxAttempts, timeout: timeout, leaseDuration: lease, createdAt: createdAt, runAt: runAt,
      availableAt: Timestamp(milliseconds: availableAt), startedAt: startedAt,
      readyAt: readyAt ?? Timestamp(milliseconds: availableAt), tags: try JSONColumn.strings(tags),
      metadata: try JSONColumn.map(metadata), traceparent: traceparent)
  }
}
