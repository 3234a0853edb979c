// What a client wants to have submitted, and what it is told.

package import MartletCore

/// Tasks that are submitted together, all or none.
package struct SubmitRequest: Sendable {
  package struct Item: Sendable {
    package var task: NewTask
    /// SHA-256 of the request in its canonical form (`CanonicalJSON`) without its key; needed where the task has a key.
    package var fingerprint: [UInt8]

    package init(_ task: NewTask, fingerprint: [UInt8] = []) {
      self.task = task
      self.fingerprint = fingerprint
    }
  }

  /// A key that stands for all of the tasks.
  package struct Key: Sendable {
    package var text: String
    package var fingerprint: [UInt8]

    package init(_ text: String, fingerprint: [UInt8]) {
      self.text = text
      self.fingerprint = fingerprint
    }
  }

  package var items: [Item]
  /// Problems are told of `/tasks/0` and so on, and the tasks may name each other by `ref`.
  package var isBatch: Bool
  package var key: Key?

  package init(_ items: [Item], isBatch: Bool, key: Key? = nil) {
    self.items = items
    self.isBatch = isBatch
    self.key = key
  }

  /// The JSON Pointer of a task.
  func place(_ index: Int) -> String { isBatch ? "/tasks/\(index)" : "" }
}

/// A task that is stored.
package struct SubmittedTask: Sendable, Hashable {
  package var record: TaskRecord
  /// True where the request is known by its key, and this is the task that it made then, as it is now.
  package var isReplay: Bool

  package init(_ record: TaskRecord, isReplay: Bool) {
    self.record = record
    self.isReplay = isReplay
  }
}
