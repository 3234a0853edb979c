// The bell. It only ever hints: whoever misses a ring finds the work at its next look.

package import MartletCore
internal import Synchronization

package final class WakeUp: Sendable {
  private struct Listeners {
    var work: [@Sendable (Set<Lane>) -> Void] = []
    var ready: [@Sendable ([DispatchEntry]) -> Void] = []
    var due: [@Sendable (Duration) -> Void] = []
    var cancelled: [@Sendable (TaskID) -> Void] = []
    var unsettled: [@Sendable () -> Void] = []
    var unadmitted: [@Sendable () -> Void] = []
    var settings: [@Sendable () -> Void] = []
    var schedules: [@Sendable () -> Void] = []
    var moved: [@Sendable () -> Void] = []
  }
  private let listeners = Mutex(Listeners())

  package init() {}

  /// READY tasks appeared in these lanes.
  package func work(in lanes: Set<Lane>) {
    guard !lanes.isEmpty else { return }
    for listener in listeners.withLock(\.work) { listener(lanes) }
  }

  /// Whether somebody wants to know which tasks became READY, not only where.
  var namesTasks: Bool { listeners.withLock { !$0.ready.isEmpty } }

  /// These tasks became READY.
  package func ready(_ entries: [DispatchEntry]) {
    guard !entries.isEmpty else { return }
    let listeners = listeners.withLock(\.ready)
    if listeners.isEmpty { return work(in: Set(entries.map(\.lane))) }
    for listener in listeners { listener(entries) }
  }

  /// A task was stored that is due in (about) this time.
  package func due(in duration: Duration) {
    for listener in listeners.withLock(\.due) { listener(duration) }
  }

  /// A running task's cancellation was asked for.
  package func cancelled(_ id: TaskID) {
    for listener in listeners.withLock(\.cancelled) { listener(id) }
  }

  /// A cascade has left tasks that wait for it.
  package func unsettled() {
    for listener in listeners.withLock(\.unsettled) { listener() }
  }

  /// Slots of concurrency keys may have become free.
  package func unadmitted() {
    for listener in listeners.withLock(\.unadmitted) { listener() }
  }

  /// Settings of queues or types were changed.
  package func settingsChanged() {
    for listener in listeners.withLock(\.settings) { listener() }
  }

  /// A schedule was written.
  package func schedules() {
    for listener in listeners.withLock(\.schedules) { listener() }
  }

  /// Tasks may have moved: there may be something to tell the sinks.
  package func moved() {
    for listener in listeners.withLock(\.moved) { listener() }
  }

  package func onWork(_ listener: @escaping @Sendable (Set<Lane>) -> Void) {
    listeners.withLock { $0.work.append(listener) }
  }

  /// Whoever listens here is not told of the same by `onWork`.
  package func onReady(_ listener: @escaping @Sendable ([DispatchEntry]) -> Void) {
    listeners.withLock { $0.ready.append(listener) }
  }

  package func onDue(_ listener: @escaping @Sendable (Duration) -> Void) {
    listeners.withLock { $0.due.append(listener) }
  }

  package func onCancelled(_ listener: @escaping @Sendable (TaskID) -> Void) {
    listeners.withLock { $0.cancelled.append(listener) }
  }

  package func onUnsettled(_ listener: @escaping @Sendable () -> Void) {
    listeners.withLock { $0.unsettled.append(listener) }
  }

  package func onUnadmitted(_ listener: @escaping @Sendable () -> Void) {
    listeners.withLock { $0.unadmitted.append(listener) }
  }

  package func onSettingsChanged(_ listener: @escaping @Sendable () -> Void) {
    listeners.withLock { $0.settings.append(listener) }
  }

  package func onSchedules(_ listener: @escaping @Sendable () -> Void) {
    listeners.withLock { $0.schedules.append(listener) }
  }

  package func onMoved(_ listener: @escaping @Sendable () -> Void) {
    listeners.withLock { $0.moved.append(listener) }
  }
}
