// Actions on many tasks: what to ask for, what a server answers, and the jobs that go on in its background.

public import MartletCore

/// How an action on many tasks shall be carried out.
public struct BulkOptions: Sendable, Hashable {
  /// Must be set where the filter is empty and every task is meant.
  public var all = false
  /// At most this many tasks, the oldest: up to 10,000 without a rate.
  public var limit: Int?
  /// Only counts the tasks that match.
  public var dryRun = false
  /// Tasks a second, 0.001…10,000: the server goes on in the background (`BulkResult.bulkID`). Needed beyond 10,000 tasks.
  public var ratePerSecond: Double?

  /// At once, and no more than the filter says.
  public init() {}
}

/// What an action on many tasks has done.
public struct BulkResult: Sendable, Hashable {
  /// Tasks that it was to change; where it only counts or goes on in the background, those that matched when it was asked.
  public var matched: Int
  public var changed: Int
  /// Those that it could not: to be purged, but kept for their idempotency keys.
  public var failed: Int
  /// The job that goes on in the background.
  public var bulkID: TaskID?
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    let reader = try Reading.object(answer)
    matched = try reader.required("matched", reader.int("matched"))
    changed = try reader.required("changed", reader.int("changed"))
    failed = try reader.int("failed") ?? 0
    bulkID = try reader.id("bulkId")
    json = answer.json
  }
}

/// An action on many tasks, as the server keeps it.
public struct BulkJobState: Sendable, Hashable, Identifiable {
  public var id: TaskID
  /// `cancel`, `retry` or `purge`.
  public var action: String
  /// `RUNNING`, `DONE`, `STOPPED` or `FAILED`.
  public var status: String
  /// Which tasks, as JSON.
  public var filter: [UInt8]
  public var ratePerSecond: Double?
  /// Tasks so far that it was to change; those that it has changed; those that it could not.
  public var matched: Int
  public var changed: Int
  public var failed: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  public var finishedAt: Timestamp?
  public var actor: String
  public var lastError: String?
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    try self.init(Reading.object(answer))
  }

  init(_ reader: ObjectReader) throws(MartletClientError) {
    id = try reader.required("id", reader.id("id"))
    action = try reader.required("action", reader.text("action"))
    status = try reader.required("status", reader.text("status"))
    filter = reader.raw("filter") ?? Array("{}".utf8)
    ratePerSecond = try reader.double("ratePerSecond")
    matched = try reader.int("matched") ?? 0
    changed = try reader.int("changed") ?? 0
    failed = try reader.int("failed") ?? 0
    createdAt = try reader.required("createdAt", reader.time("createdAt"))
    updatedAt = try reader.required("updatedAt", reader.time("updatedAt"))
    finishedAt = try reader.time("finishedAt")
    actor = try reader.text("actor") ?? ""
    lastError = try reader.text("lastError")
    json = reader.slice.bytes
  }
}

/// A part of the list of actions on many tasks, newest first.
public struct BulkJobPage: Sendable, Hashable {
  public var jobs: [BulkJobState]
  /// Where the next page begins; nil after the last.
  public var nextCursor: String?
  /// The whole page as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    jobs = try Reading.data(answer, BulkJobState.init)
    nextCursor = try Reading.object(answer).text("nextCursor")
    json = answer.json
  }
}

extension MartletClient {
  /// Cancels all tasks that match and are not final: waiting ones at once, running ones are told.
  /// - Throws: `problem` with status 422 for an empty filter without `all`, and where more than 10,000 tasks match without a
  ///   limit or a rate.
  public func cancelTasks(_ filter: TaskFilter, _ options: BulkOptions = BulkOptions()) async throws -> BulkResult {
    try BulkResult(await answer(to: .bulk("/tasks/cancel", filter, options)))
  }

  /// Retries all DEAD tasks that match. Errors as of `cancelTasks`.
  public func retryDeadLetters(
    _ filter: TaskFilter, _ options: BulkOptions = BulkOptions()
  ) async throws -> BulkResult {
    try BulkResult(await answer(to: .bulk("/dead-letters/retry", filter, options)))
  }

  /// Deletes all DEAD tasks that match, with their history. What waits for one of them is cancelled. Errors as of `cancelTasks`.
  public func purgeDeadLetters(
    _ filter: TaskFilter, _ options: BulkOptions = BulkOptions()
  ) async throws -> BulkResult {
    try BulkResult(await answer(to: .bulk("/dead-letters/purge", filter, options)))
  }

  /// One page of the actions on many tasks, newest first.
  /// - Parameters:
  ///   - limit: 1…1000. A page may hold fewer, even none, while `nextCursor` is set.
  ///   - cursor: The `nextCursor` of the page before.
  public func bulkJobs(limit: Int = 50, after cursor: String? = nil) async throws -> BulkJobPage {
    try BulkJobPage(await answer(to: .bulkJobs(limit: limit, cursor: cursor)))
  }

  /// One of them.
  /// - Throws: `problem` with status 404 where there is none.
  public func bulkJob(_ id: TaskID) async throws -> BulkJobState {
    try BulkJobState(await answer(to: .bulkJob(id)))
  }

  /// Ends a running one; what it has changed stays changed.
  public func stopBulk(_ id: TaskID) async throws -> BulkJobState {
    try BulkJobState(await answer(to: .stopBulk(id)))
  }
}
