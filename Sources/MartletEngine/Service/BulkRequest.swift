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
  package var matched: Int
  package var changed: Int
  /// Of a job that goes on; the counts are those so far.
  package var id: TaskID?

  package init(matched: Int, changed: Int, id: TaskID? = nil) {
    self.matched = matched
    self.changed = changed
    self.id = id
  }
}
