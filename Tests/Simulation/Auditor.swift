// Looks at each transaction of the store as it commits, and holds it against the promises: only legal moves, by whoever held the
// lease, told in the same transaction, in time and within limits. What it knows it has from earlier transactions, not from the store.

internal import MartletCore
package import MartletTestKit
internal import Synchronization

package final class Auditor: StepObserver {
  struct State {
    /// As they are now.
    var tasks: [TaskID: TaskImage] = [:]
    /// Those that retention has deleted, as they were then, and when.
    var deleted: [TaskID: (image: TaskImage, at: Timestamp)] = [:]
    /// Of those that were asked to wait: until when, counted from what was asked for.
    var notBefore: [TaskID: Timestamp] = [:]
    /// Tasks of ticks.
    var ticks: [String: TaskID] = [:]
    var jobs: [TaskID: BulkWatch] = [:]
    var violations: [Violation] = []
  }

  private let state = Mutex(State())
  private let chronicle: Chronicle
  private let counters: Counters
  /// How many tasks of a concurrency key may run.
  private let slots: Int
  /// The most generous of those that are in force somewhere.
  private let retention: RetentionPolicy

  init(chronicle: Chronicle, counters: Counters, slots: Int, retention: RetentionPolicy) {
    self.chronicle = chronicle
    self.counters = counters
    self.slots = slots
    self.retention = retention
  }

  /// The first promise that was broken.
  var violation: Violation? { state.withLock { $0.violations.first } }

  /// Every task there ever was, as it is or was when it was deleted.
  var all: [TaskID: TaskImage] {
    state.withLock { $0.tasks.merging($0.deleted.mapValues(\.image)) { $1 } }
  }

  /// Actions in bulk as they are now.
  var jobs: [BulkJob] { state.withLock { $0.jobs.values.map(\.job) } }

  func deletedAt(_ id: TaskID) -> Timestamp? { state.withLock { $0.deleted[id]?.at } }

  package func saw(_ step: StoreStep) {
    state.withLock { state in
      guard state.violations.isEmpty else { return }
      write(step)
      var rules = Rules(step: step, state: state, slots: slots, retention: retention, counters: counters)
      rules.check()
      state = rules.state
      state.violations = rules.violations
    }
  }

  private func write(_ step: StoreStep) {
    let changes = step.changes.sorted { $0.key < $1.key }.compactMap { id, change -> Chronicle.Change? in
      guard change.before != change.after else { return nil }
      let image = change.after ?? change.before
      return Chronicle.Change(
        task: id, from: change.before?.record.status, to: change.after?.record.status,
        attempt: image?.record.attempt ?? 0, last: change.after?.events.last?.type)
    }
    if case .renew = step.call, changes.allSatisfy({ $0.from == $0.to }) { return }  // there are thousands
    if !changes.isEmpty { chronicle.write(step.call.name, at: step.now, changes: changes) }
  }
}

extension StoreStep.Call {
  var name: String {
    switch self {
    case .submit: "submit"
    case .claim: "claim"
    case .renew: "renew"
    case .finish: "finish"
    case .rescue: "rescue"
    case .steer: "steer"
    case .advance: "schedule"
    case .prune: "prune"
    case .beginBulk, .bulk: "bulk"
    case .other: "duty"
    }
  }
}
