// What the clients of a server were told, kept outside of it: the witness against which the database is held.

internal import Synchronization

final class Journal: Sendable {
  struct Book: Sendable {
    /// Ids of tasks that were answered 201, with the number that the client gave them.
    var acknowledged: [String: Int] = [:]
    /// Numbers of tasks whose answer was lost: they may or may not be there.
    var unknown: Set<Int> = []
    /// Of these, the ids under which they would be there, where the client was told so.
    var named: [Int: String] = [:]
    /// Submissions that certainly came to nothing: no connection, or a 503 that says so.
    var refused = 0
    /// Of these, those that a server answered.
    var unavailable = 0
    /// Answers that a client should never see.
    var faults: [String] = []
    /// The number of the next task.
    var next = 0
  }

  private let state = Mutex(Book())

  var book: Book { state.withLock(\.self) }
  var acknowledged: Int { state.withLock(\.acknowledged.count) }

  func nextNumber() -> Int {
    state.withLock { book in
      defer { book.next += 1 }
      return book.next
    }
  }

  func note(_ change: (inout Book) -> Void) {
    state.withLock { change(&$0) }
  }
}
