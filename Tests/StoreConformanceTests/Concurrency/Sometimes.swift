// What has to come about now and then in concurrent histories: a run without it has compared nothing.

import MartletCore
import MartletTestKit
import Testing

struct Sometimes {
  private(set) var counts: [String: Int] = [:]

  private static let all = [
    overlap, stale, happened, notHappened, rescueRace, cancelRace, "submitted again", "renewed too late",
    "cancel requested", "retried by hand", "rescued",
  ]
  private static let overlap = "operations of one task at once"
  private static let stale = "stale report refused"
  private static let happened = "no answer, and it had happened"
  private static let notHappened = "no answer, and it had not happened"
  private static let rescueRace = "report and rescue at once"
  private static let cancelRace = "report and cancel at once"

  /// - Parameter order: one that explains the history.
  mutating func note(_ history: [TaskOperation], order: [Int], end: TaskState) {
    let carriedOut = Set(order)
    for (index, operation) in history.enumerated() {
      if operation.answer == nil, !operation.isRead {
        add(carriedOut.contains(index) ? Self.happened : Self.notHappened)
      }
      switch (operation.call.kind, operation.answer) {
      case (_, .finished(.lost)): add(Self.stale)
      case (_, .renewed(.lost)): add("renewed too late")
      case (_, .renewed(.cancelRequested)): add("cancel requested")
      case (.steer(.retry, _), .steered(.done)): add("retried by hand")
      case (_, .rescued): add("rescued")
      default: break
      }
      for other in history[(index + 1)...] where operation.overlaps(other) && other.answer != nil {
        guard operation.answer != nil else { continue }
        add(Self.overlap)
        for (one, two) in [(operation, other), (other, operation)] { noteRace(one, two) }
      }
    }
    let accepted = history.count { if case .submitted(.accepted) = $0.answer { true } else { false } }
    if accepted > 1 { add("submitted again") }
  }

  private mutating func noteRace(_ one: TaskOperation, _ two: TaskOperation) {
    switch (one.call.kind, two.call.kind) {
    case (.finish, .rescue): add(Self.rescueRace)
    case (.finish, .steer(.cancel, _)): add(Self.cancelRace)
    default: break
    }
  }

  private mutating func add(_ name: String) { counts[name, default: 0] += 1 }

  /// - Parameter names: those that the run was not made for.
  func expectAll(but names: Set<String> = []) {
    for name in Self.all where !names.contains(name) {
      #expect(counts[name, default: 0] > 0, "\(name): never came about")
    }
  }
}

extension TaskOperation where Call == TaskCall {
  fileprivate var isRead: Bool {
    switch call.kind {
    case .read, .readAttempts, .readEvents: true
    default: false
    }
  }
}
