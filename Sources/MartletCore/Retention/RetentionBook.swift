// The part of the store's contract that says what retention takes and what it has to keep, and why: for `martlet prune`, which tells
// people before and after. The duty uses `TaskStore.prune`, which takes the same tasks.

package protocol RetentionBook: Sendable {
  /// Looks at the next `limit` tasks or more behind `cursor`, by their ids: those that are past their time by the policy, and nothing
  /// else keeps, are deleted with all that there is of them if `deletes` says so. What is counted as gone is, or would be, deleted;
  /// what is past its time and kept is told with all that keeps it. Tasks younger than the shortest retention are not looked at.
  func sweep(
    _ policy: RetentionPolicy, after cursor: TaskID?, limit: Int, deletes: Bool
  ) async throws(StoreError) -> SweepPage
}

/// What keeps a final task that is past its time.
package enum Protection: Int, CaseIterable, Sendable, Hashable {
  /// A task that is not final depends on it.
  case dependants = 1
  /// An idempotency key that stands for it is young.
  case idempotencyKey = 2
  /// A sink has not heard everything of it.
  case events = 4
  /// A notice of its end is PENDING.
  case notices = 8

  /// Of a sum of raw values.
  package static func all(in mask: Int64) -> Set<Protection> {
    Set(allCases.filter { mask & Int64($0.rawValue) != 0 })
  }
}

/// Some tasks that are past their time.
package struct SweepCount: Sendable, Hashable {
  package var status: TaskStatus
  package var type: String
  /// Empty where nothing keeps them.
  package var protections: Set<Protection>
  package var count: Int

  package init(status: TaskStatus, type: String, protections: Set<Protection>, count: Int) {
    self.status = status
    self.type = type
    self.protections = protections
    self.count = count
  }
}

package struct SweepPage: Sendable, Hashable {
  package var counts: Set<SweepCount>
  /// The last task that was looked at; nil at the end.
  package var next: TaskID?

  package init(counts: Set<SweepCount>, next: TaskID?) {
    self.counts = counts
    self.next = next
  }

  package init(_ judged: [(status: TaskStatus, type: String, protections: Set<Protection>)], next: TaskID?) {
    let grouped = Dictionary(grouping: judged) {
      SweepCount(status: $0.status, type: $0.type, protections: $0.protections, count: 0)
    }
    self.init(
      counts: Set(
        grouped.map { key, tasks in
          var count = key
          count.count = tasks.count
          return count
        }), next: next)
  }
}
