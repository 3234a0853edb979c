// The queues that are known to have a `maxDepth`: submissions to them are judged under a lock from the beginning. One that is
// missing here is noticed by the statement that would write the tasks.

internal import Synchronization

final class DeepQueues: Sendable {
  private let queues = Mutex<Set<String>>([])

  var isEmpty: Bool { queues.withLock(\.isEmpty) }

  func contains(_ queue: String) -> Bool { queues.withLock { $0.contains(queue) } }

  func learn(_ found: [String]) {
    queues.withLock { $0.formUnion(found) }
  }

  /// Limits may have been taken away.
  func forget() {
    queues.withLock { $0 = [] }
  }
}
