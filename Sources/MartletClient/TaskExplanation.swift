// Why a task is not running, as a server tells it.

public import MartletCore

/// Why a task is not running now.
public struct TaskExplanation: Sendable, Hashable {
  public var status: TaskStatus
  /// Every reason that holds. Empty for a READY task that nothing holds back: it is about to be claimed.
  public var blockers: [Blocker]
  /// 1 is next of its queue; nil unless it is READY, and where more than 1,000 come before it.
  public var queuePosition: Int?
  /// When it may be attempted at the earliest, where that is known.
  public var nextAttemptAt: Timestamp?
  /// The whole object as it came.
  public var json: [UInt8]

  /// One reason.
  public struct Blocker: Sendable, Hashable {
    /// `not-due`, `dependency`, `queue-paused`, `type-paused`, `concurrency-limit`, `rate-limit`, `no-worker`,
    /// `behind-others`, `leased` or `final`.
    public var kind: String
    /// For people.
    public var detail: String
  }

  init(_ answer: Answer) throws(MartletClientError) {
    let reader = try Reading.object(answer)
    let name = try reader.required("status", reader.text("status"))
    guard let status = TaskStatus(rawValue: name) else { throw reader.unexpected("'\(name)' is no status") }
    self.status = status
    blockers = try reader.objects("blockers") { (blocker) throws(MartletClientError) in
      Blocker(
        kind: try blocker.required("kind", blocker.text("kind")), detail: try blocker.text("detail") ?? "")
    }
    queuePosition = try reader.int("queuePosition")
    nextAttemptAt = try reader.time("nextAttemptAt")
    json = answer.json
  }
}

extension MartletClient {
  /// Why the task is not running now.
  /// - Throws: `problem` with status 404 where there is none, or the caller may not see it.
  public func explain(_ id: TaskID) async throws -> TaskExplanation {
    try TaskExplanation(await answer(to: .explain(id)))
  }
}
