// Notices as a server shows them: whom was told how tasks ended.

public import MartletCore

/// One receiver that is told of one ending of one task.
public struct NoticeState: Sendable, Hashable, Identifiable {
  /// The `webhook-id` of all its deliveries.
  public var id: String
  public var taskID: TaskID
  public var taskType: String
  public var queue: String
  /// `webhook` or `email`; later servers may know more.
  public var channel: String
  /// The URL or the address.
  public var target: String
  /// `task.succeeded`, `task.failed` or `task.cancelled`.
  public var type: String
  /// `PENDING`, `DELIVERED` or `DEAD`.
  public var status: String
  /// Deliveries begun.
  public var attempts: Int
  public var maxAttempts: Int
  public var nextAttemptAt: Timestamp?
  public var lastError: String?
  /// When the task ended.
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  /// The whole object as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    try self.init(Reading.object(answer))
  }

  init(_ reader: ObjectReader) throws(MartletClientError) {
    id = try reader.required("id", reader.text("id"))
    taskID = try reader.required("taskId", reader.id("taskId"))
    taskType = try reader.text("taskType") ?? ""
    queue = try reader.text("queue") ?? ""
    channel = try reader.text("channel") ?? ""
    target = try reader.text("target") ?? ""
    type = try reader.text("type") ?? ""
    status = try reader.required("status", reader.text("status"))
    attempts = try reader.int("attempts") ?? 0
    maxAttempts = try reader.int("maxAttempts") ?? 0
    nextAttemptAt = try reader.time("nextAttemptAt")
    lastError = try reader.text("lastError")
    createdAt = try reader.required("createdAt", reader.time("createdAt"))
    updatedAt = try reader.required("updatedAt", reader.time("updatedAt"))
    json = reader.slice.bytes
  }
}

/// A part of a list of notices, the latest first.
public struct NoticePage: Sendable, Hashable {
  public var notices: [NoticeState]
  /// Where the next page begins; nil after the last.
  public var nextCursor: String?
  /// The whole page as it came.
  public var json: [UInt8]

  init(_ answer: Answer) throws(MartletClientError) {
    notices = try Reading.data(answer, NoticeState.init)
    nextCursor = try Reading.object(answer).text("nextCursor")
    json = answer.json
  }
}

extension MartletClient {
  /// One page of notices, the latest first.
  /// - Parameters:
  ///   - task: Those of this task alone.
  ///   - statuses: `PENDING`, `DELIVERED`, `DEAD`; empty is all.
  ///   - limit: 1…1000. A page may hold fewer, even none, while `nextCursor` is set.
  ///   - cursor: The `nextCursor` of the page before, with the same filter.
  public func notices(
    of task: TaskID? = nil, statuses: Set<String> = [], limit: Int = 50, after cursor: String? = nil
  ) async throws -> NoticePage {
    try NoticePage(await answer(to: .notices(task, statuses, limit: limit, cursor: cursor)))
  }

  /// Sends a notice again: at once, with a fresh budget.
  /// - Throws: `problem` with status 404 where there is none.
  public func resendNotice(_ id: String) async throws -> NoticeState {
    try NoticeState(await answer(to: .resendNotice(id)))
  }
}

extension Call {
  package static func notices(_ task: TaskID?, _ statuses: Set<String>, limit: Int, cursor: String?) -> Call {
    var call = Call(method: .get, path: "/notifications")
    if let task { call.query.append(("taskId", task.description)) }
    if !statuses.isEmpty { call.query.append(("status", statuses.sorted().joined(separator: ","))) }
    call.query.append(("limit", String(limit)))
    if let cursor { call.query.append(("cursor", cursor)) }
    return call
  }

  package static func resendNotice(_ id: String) -> Call {
    Call(method: .post, path: "/notifications/\(escaped(id))/resend")
  }
}
