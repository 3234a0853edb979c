// What a client wants done to many tasks, and what it is told.

package import MartletCore

package struct BulkRequest: Sendable, Hashable {
  package var action: BulkAction
  package var selection: BulkSelection
  /// At most this many tasks, the oldest.
  package var limit: Int?
  /// Only counts.
  package var isDryRun = false
  /// Tasks a second, in the background.
  package var ratePerSecond: Double?
  /// An empty filter is meant.
  package var all = false

  package init(_ action: BulkAction, _ selection: BulkSelection) {
    self.action = action
    self.selection = selection
  }

  /// Tasks that one call changes before it answers.
  package static let mostAtOnce = 10_000

  package var problems: [ValidationProblem] {
    var problems = Problems()
    if selection.isEmpty, !all {
      problems.add("/filter", "names nothing to go by: give \"all\": true to mean every task")
    }
    let isAtOnce = ratePerSecond == nil && !isDryRun
    problems.check(limit, in: 1...(isAtOnce ? Self.mostAtOnce : 1_000_000_000), at: "/limit")
    problems.check(ratePerSecond, in: 0.001...10_000, at: "/ratePerSecond")
    return problems.all
  }
}

package struct BulkAnswer: Sendable, Hashable {
  /// Where it only counts or goes on in the background, those that match now.
  package var matched: Int
  package var changed: Int
  /// Those that it could not change: to be purged, but kept for their idempotency keys.
  package var failed: Int
  /// Of a job that goes on.
  package var id: TaskID?

  package init(matched: Int, changed: Int = 0, failed: Int = 0, id: TaskID? = nil) {
    self.matched = matched
    self.changed = changed
    self.failed = failed
    self.id = id
  }
}
