// The bell. It only ever hints: whoever misses a ring finds the work at its next look.

package import MartletCore
internal import Synchronization

package final class WakeUp: Sendable {
  private struct Listeners {
    var work: [@Sendable (Set<Lane>) -> Void] = []
    var due: [@Sendable (Duration) -> Void] = []
    var cancelled: [@Sendable (TaskID) -> Void] = []
  }
  private let listeners = Mutex(Listeners())

  package init() {}

  /// READY tasks appeared in these lanes.
  package func work(in lanes: Set<Lane>) {
    guard !lanes.isEmpty else { return }
    for listener in listeners.withLock(\.work) { listener(lanes) }
  }

  /// A task was stored that is due in (about) this time.
  package func due(in duration: Duration) {
    for listener in listeners.withLock(\.due) { listener(duration) }
  }

  /// A running task's cancellation was asked for.
  package func cancelled(_ id: TaskID) {
    for listener in listeners.withLock(\.cancelled) { listener(id) }
  }

  package func onWork(_ listener: @escaping @Sendable (Set<Lane>) -> Void) {
    listeners.withLock { $0.work.append(listener) }
  }

  package func onDue(_ listener: @escaping @Sendable (Duration) -> Void) {
    listeners.withLock { $0.due.append(listener) }
  }

  package func onCancelled(_ listener: @escaping @Sendable (TaskID) -> Void) {
    listeners.withLock { $0.cancelled.append(listener) }
  }
}
