// Retention without a server: straight in the database, beside whatever serves it. For `martlet prune`.

package import MartletCore

package struct DirectRetention: Sendable {
  /// What was found, and, unless it was only looked at, deleted.
  package struct Report: Sendable, Hashable {
    /// By status and type: what goes, and what is past its time and kept, with all that keeps it.
    package var counts: [SweepCount] = []
    /// Final tasks that are younger than their status is kept, or kept for ever.
    package var younger: [TaskStatus: Int] = [:]

    package var gone: [SweepCount] { counts.filter(\.protections.isEmpty) }
    package var kept: [SweepCount] { counts.filter { !$0.protections.isEmpty } }

    mutating func add(_ page: SweepPage) {
      for count in page.counts {
        let index = counts.firstIndex {
          ($0.status, $0.type, $0.protections) == (count.status, count.type, count.protections)
        }
        if let index { counts[index].count += count.count } else { counts.append(count) }
      }
    }
  }

  /// For people, and without a password.
  package let database: String
  private let store: any TaskStore

  /// Tasks that one look counts, and one transaction deletes at most, so that nobody waits long for either.
  private static let looks = 20_000
  private static let deletions = 500

  package static func open(_ database: Settings.Database) async throws(StoreError) -> DirectRetention {
    let guest = try await GuestStore.open(database, creates: false)
    return DirectRetention(database: guest.shown, store: guest.store)
  }

  package func close() async {
    await store.close()
  }

  /// What `PATCH /settings` has set for all nodes, as JSON by key: the servers go by it, and so should whoever works beside them.
  package func overrides() async throws(StoreError) -> [String: String] {
    try await store.settingsRevision(after: 0)?.overrides ?? [:]
  }

  /// Goes through all tasks once, from the oldest on.
  /// - Parameters:
  ///   - deletes: false only looks.
  ///   - tell: told how many tasks are gone so far, after each step.
  package func sweep(
    _ policy: RetentionPolicy, deletes: Bool, tell: (Int) -> Void = { _ in }
  ) async throws(StoreError) -> Report {
    var report = Report()
    var cursor: TaskID?
    repeat {
      let page = try await store.sweep(
        policy, after: cursor, limit: deletes ? Self.deletions : Self.looks, deletes: deletes)
      report.add(page)
      cursor = page.next
      tell(report.gone.reduce(0) { $0 + $1.count })
    } while cursor != nil
    report.counts.sort { left, right in
      (left.status.rawValue, left.type, left.protections.count, right.count)
        < (right.status.rawValue, right.type, right.protections.count, left.count)
    }
    for count in try await store.counts() where count.status.isFinal {
      report.younger[count.status, default: 0] += count.count
    }
    for count in deletes ? report.kept : report.counts { report.younger[count.status, default: 0] -= count.count }
    // Tasks that ended, or were retried, while this went on.
    report.younger = report.younger.mapValues { max(0, $0) }
    return report
  }
}
