// A task, its attempts and its events as a server shows them.

public import MartletCore

/// A task at the moment of the answer. Payload and result are JSON, byte for byte as the server keeps them.
public struct RemoteTask: Sendable, Hashable, Identifiable {
  public var id: TaskID
  public var type: String
  public var queue: String
  public var status: TaskStatus
  /// Why it is DEAD or CANCELLED: `RETRIES_EXHAUSTED`, `NON_RETRYABLE`, `BAD_PAYLOAD`, `REQUESTED`, `EXPIRED`,
  /// `DEPENDENCY_FAILED`; later servers may know more.
  public var reason: String?
  /// 1…9, 9 is most urgent.
  public var priority: Int
  /// Attempts started so far.
  public var attempt: Int
  public var maxAttempts: Int
  /// `maxAttempts − attempt`, never negative.
  public var retriesLeft: Int
  /// Retries of a budget: 0…100; nil from a server that does not tell, as with all that follows up to `leaseSeconds`.
  public var retries: Int?
  public var backoff: NewTask.Backoff?
  /// Bounds one attempt.
  public var timeoutSeconds: Double?
  /// How long a silent worker keeps it.
  public var leaseSeconds: Double?
  /// One JSON value in UTF-8; nil where a list left it out.
  public var payload: [UInt8]?
  /// One JSON value in UTF-8, once it is SUCCESS and its handler had something to show; nil where a list left it out.
  public var result: [UInt8]?
  /// The result was over 256 KiB and was left out: `result` is nil.
  public var resultTruncated: Bool
  /// As it was submitted.
  public var delaySeconds: Double?
  /// When the client wanted it, if it said so.
  public var runAt: Timestamp?
  /// When it is, or last became, eligible.
  public var availableAt: Timestamp?
  public var expiresAt: Timestamp?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  /// Of the latest attempt.
  public var startedAt: Timestamp?
  /// When it became final.
  public var finishedAt: Timestamp?
  /// Of the latest attempt.
  public var worker: String?
  public var progress: Progress?
  public var cancelRequested: Bool
  /// How the latest failed attempt failed.
  public var lastError: TaskError?
  public var tags: [String]
  public var metadata: [String: String]
  /// The tasks that it waits for, or waited for.
  public var dependencies: [TaskID]
  /// What happens when one of them ends DEAD or CANCELLED; nil where this library does not know the word.
  public var onDependencyFailure: DependencyPolicy?
  /// How the other tasks of its batch named it.
  public var ref: String?
  /// The graph that it belongs to.
  public var graphID: TaskID?
  public var idempotencyKey: String?
  public var concurrencyKey: String?
  /// In an answer to `submit`: it was there already, by its idempotency key, and is as it is now. Of a batch true only where every
  /// task was there: the server does not tell of which. False in every other answer.
  public var isReplay: Bool
  /// The task that this one repeats.
  public var replayOf: TaskID?
  /// The schedule that made it.
  public var scheduleName: String?
  /// The whole object as it came: fields newer than this library are there.
  public var json: [UInt8]

  /// How far a running attempt says it is.
  public struct Progress: Sendable, Hashable {
    /// 0…100
    public var percent: Double
    public var message: String?
  }

  init(_ answer: Answer, isReplay: Bool = false) throws(MartletClientError) {
    try self.init(Reading.object(answer), isReplay: isReplay)
  }

  init(_ reader: ObjectReader) throws(MartletClientError) {
    try self.init(reader, isReplay: false)
  }

  init(_ reader: ObjectReader, isReplay: Bool) throws(MartletClientError) {
    self.isReplay = isReplay
    id = try reader.required("id", reader.id("id"))
    type = try reader.required("type", reader.text("type"))
    queue = try reader.required("queue", reader.text("queue"))
    let statusName = try reader.required("status", reader.text("status"))
    guard let status = TaskStatus(rawValue: statusName) else {
      throw reader.unexpected("'\(statusName)' is not a status that this version knows")
    }
    self.status = status
    reason = try reader.text("reason")
    priority = try reader.required("priority", reader.int("priority"))
    attempt = try reader.required("attempt", reader.int("attempt"))
    maxAttempts = try reader.required("maxAttempts", reader.int("maxAttempts"))
    retriesLeft = try reader.int("retriesLeft") ?? max(0, maxAttempts - attempt)
    retries = try reader.int("retries")
    backoff = try reader.backoff()
    timeoutSeconds = try reader.double("timeoutSeconds")
    leaseSeconds = try reader.double("leaseSeconds")
    payload = reader.raw("payload")
    // A handler without a result and one whose result is `null` look the same on the wire.
    result = reader.raw("result").flatMap { $0 == Array("null".utf8) ? nil : $0 }
    resultTruncated = try reader.bool("resultTruncated") ?? false
    delaySeconds = try reader.double("delaySeconds")
    runAt = try reader.time("runAt")
    availableAt = try reader.time("availableAt")
    expiresAt = try reader.time("expiresAt")
    createdAt = try reader.required("createdAt", reader.time("createdAt"))
    updatedAt = try reader.required("updatedAt", reader.time("updatedAt"))
    startedAt = try reader.time("startedAt")
    finishedAt = try reader.time("finishedAt")
    worker = try reader.text("worker")
    progress = try reader.object("progress").flatMap { (progress) throws(MartletClientError) in
      guard let percent = try progress.double("percent") else { return nil }
      return Progress(percent: percent, message: try progress.text("message"))
    }
    cancelRequested = try reader.bool("cancelRequested") ?? false
    lastError = try reader.error("lastError")
    tags = try reader.texts("tags")
    metadata = try reader.textMap("metadata")
    dependencies = try reader.ids("dependencies")
    onDependencyFailure = try reader.text("onDependencyFailure").flatMap(DependencyPolicy.init(rawValue:))
    ref = try reader.text("ref")
    graphID = try reader.id("graphId")
    idempotencyKey = try reader.text("idempotencyKey")
    concurrencyKey = try reader.text("concurrencyKey")
    replayOf = try reader.id("replayOf")
    scheduleName = try reader.text("scheduleName")
    json = reader.slice.bytes
  }
}

/// One attempt of a task.
public struct RemoteAttempt: Sendable, Hashable {
  /// 1 is the first.
  public var number: Int
  public var worker: String?
  public var startedAt: Timestamp
  /// Nil while it runs.
  public var finishedAt: Timestamp?
  /// `SUCCESS`, `FAILED`, `TIMED_OUT`, `LOST`, `CANCELLED`, `SNOOZED` or `RELEASED`; nil while it runs.
  public var outcome: String?
  public var error: TaskError?
  /// At most 1,000 lines and 64 KiB, the last ones.
  public var logs: [String]

  init(_ reader: ObjectReader) throws(MartletClientError) {
    number = try reader.required("number", reader.int("number"))
    worker = try reader.text("worker")
    startedAt = try reader.required("startedAt", reader.time("startedAt"))
    finishedAt = try reader.time("finishedAt")
    outcome = try reader.text("outcome")
    error = try reader.error("error")
    logs = try reader.texts("logs")
  }
}

/// One transition of a task.
public struct RemoteEvent: Sendable, Hashable {
  /// 1 is the first; no number is left out.
  public var sequence: Int
  /// `martlet.task.received`, `.ready`, `.started`, `.succeeded`, `.failed`, `.retry`, `.dead`, `.cancelled`,
  /// `.snoozed`, `.released`, `.retried`, `.updated`
  public var type: String
  public var at: Timestamp
  /// A worker's id, or who or what else did it.
  public var actor: String?
  /// Why, where there is something to say.
  public var cause: String?

  /// The last part of `type`: `received`.
  public var name: String { type.split(separator: ".").last.map(String.init) ?? type }

  init(_ reader: ObjectReader) throws(MartletClientError) {
    sequence = try reader.required("sequence", reader.int("sequence"))
    type = try reader.required("type", reader.text("type"))
    at = try reader.required("at", reader.time("at"))
    actor = try reader.text("actor")
    cause = try reader.text("cause")
  }
}

extension ObjectReader {
  fileprivate func backoff() throws(MartletClientError) -> NewTask.Backoff? {
    guard let reader = try object("backoff") else { return nil }
    var backoff = NewTask.Backoff()
    backoff.strategy = try reader.text("strategy").flatMap(RetryPolicy.Strategy.init(rawValue:))
    backoff.baseSeconds = try reader.double("baseSeconds")
    backoff.factor = try reader.double("factor")
    backoff.maxSeconds = try reader.double("maxSeconds")
    backoff.jitter = try reader.double("jitter")
    return backoff
  }

  fileprivate func ids(_ name: String) throws(MartletClientError) -> [TaskID] {
    let texts = try texts(name)
    let ids = texts.compactMap { TaskID($0) }
    guard ids.count == texts.count else { throw unexpected("'\(name)' is not an array of ids") }
    return ids
  }

  fileprivate func error(_ name: String) throws(MartletClientError) -> TaskError? {
    guard let reader = try object(name) else { return nil }
    return TaskError(
      type: try reader.text("type") ?? "", message: try reader.text("message") ?? "", stack: try reader.text("stack"))
  }
}
