// What `patch` can change, and its body.

public import MartletCore

/// Changes to a waiting task; nil leaves a field as it is.
public struct TaskChanges: Sendable, Hashable {
  /// 1…9, 9 is most urgent.
  public var priority: Int?
  /// When it is next eligible. A time in the past means now.
  public var availableAt: Timestamp?
  /// All of them: at most 16, each 1–64 characters.
  public var tags: [String]?
  /// All of it: at most 32 names of 1–64 characters, values of at most 512.
  public var metadata: [String: String]?

  /// Changes nothing yet.
  public init() {}

  /// Makes the task eligible at once, whatever time this machine thinks it is.
  public static let runNow = {
    var changes = TaskChanges()
    changes.availableAt = Timestamp(milliseconds: 0)
    return changes
  }()

  var json: [UInt8] {
    var writer = JSONWriter(capacity: 128)
    writer.object { writer in
      if let priority { writer.field("priority", priority) }
      if let availableAt { writer.field("availableAt", availableAt) }
      if let tags { writer.field("tags", tags) }
      if let metadata { writer.field("metadata", metadata) }
    }
    return writer.bytes
  }
}
