// What is handed to the store to be written together, and what it answers.

/// Tasks that are accepted together or not at all.
package struct Submission: Sendable, Hashable {
  package var tasks: [AcceptedTask]
  /// Each covers some of the tasks; no two cover the same one, and none is there twice.
  package var keys: [IdempotencyKey]
  /// Written to the audit if the tasks are.
  package var note: AuditNote?

  package init(_ tasks: [AcceptedTask], keys: [IdempotencyKey] = [], note: AuditNote? = nil) {
    self.tasks = tasks
    self.keys = keys
    self.note = note
  }
}

/// What makes a repeated request known again.
package struct IdempotencyKey: Sendable, Hashable {
  /// 1–255 visible ASCII characters; one name space for the whole installation.
  package var text: String
  /// SHA-256 of the request that it was given with, 32 bytes.
  package var fingerprint: [UInt8]
  /// The positions of the tasks that it stands for: one, or all of a batch.
  package var tasks: [Int]

  package init(_ text: String, fingerprint: [UInt8], tasks: [Int]) {
    self.text = text
    self.fingerprint = fingerprint
    self.tasks = tasks
  }
}

package enum SubmissionVerdict: Sendable, Hashable {
  /// Durable. `at` is the store's time of acceptance: with it `TaskRecord(_:acceptedAt:)` is what was written of each task that
  /// waits for no other.
  case accepted(at: Timestamp)
  /// The same, but the tasks at these positions were there already under their keys, with these ids.
  case replayed(at: Timestamp, earlier: [Int: TaskID])
  /// The key stands for another request; nothing was written.
  case keyReused(String)
  /// These tasks are not stored, nor part of the submission; nothing was written.
  case unknownDependencies([TaskID])
  /// So many tasks wait in this queue, or would with these, that its `maxDepth` forbids it; nothing was written.
  case queueFull(String)

  /// Its tasks are stored.
  package var isWritten: Bool {
    switch self {
    case .accepted, .replayed: true
    case .keyReused, .unknownDependencies, .queueFull: false
    }
  }
}

/// Which graph a new task belongs to.
package enum GraphMembership: Sendable, Hashable {
  case none
  /// This one.
  case member(TaskID)
  /// That of its first dependency; if it has none, both become members of this one.
  case joinsFirstDependency(orElse: TaskID)
}
