// Retention. A cursor walks over all tasks by id, a bounded number of rows a call, and begins again at the end: no index has to
// be kept for it by every finish.

internal import GRDB
package import MartletCore
internal import Synchronization

extension SQLiteStore {
  /// Rows that one call looks at, at most.
  private static let scan = 20_000

  package func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    let now = clock()
    func cutoff(_ kept: Duration?) -> Timestamp? { kept.map { now + (.zero - $0) } }
    let cutoffs = Cutoffs(
      success: cutoff(policy.success), dead: cutoff(policy.dead), cancelled: cutoff(policy.cancelled))
    let start = pruneCursor.withLock(\.self)
    var found = try await expired(cutoffs, after: start, limit: limit)
    if found.next == nil, start != nil, found.ids.count < limit {
      let rest = try await expired(cutoffs, after: nil, limit: limit - found.ids.count)
      found = (found.ids + rest.ids, rest.next)
    }
    let (ids, next) = found
    let pruned = ids.isEmpty ? 0 : try await writer.write { try $0.delete(ids, cutoffs) }
    pruneCursor.withLock { $0 = next }
    return pruned
  }

  private func expired(
    _ cutoffs: Cutoffs, after cursor: TaskID?, limit: Int
  ) async throws(StoreError) -> (ids: [TaskID], next: TaskID?) {
    try await read { database in
      let start = cursor.map { bytes(of: [$0]) } ?? []  // no bytes are before all ids
      let ids = try database.prepared(
        """
        SELECT id FROM (SELECT id, status, finished_at FROM task_runs WHERE id > ?1 ORDER BY id LIMIT ?2)
        WHERE (status = 5 AND finished_at <= ?3) OR (status = 6 AND finished_at <= ?4) OR (status = 7 AND finished_at <= ?5)
        ORDER BY id LIMIT ?6
        """
      ).rows(start, Self.scan, cutoffs.success, cutoffs.dead, cutoffs.cancelled, limit) { try $0.id() }
      if ids.count == limit { return (ids, ids.last) }
      let lastSeen = try database.prepared("SELECT id FROM task_runs WHERE id > ?1 ORDER BY id LIMIT 1 OFFSET ?2")
        .row(start, Self.scan - 1) { try $0.id() }
      return (ids, lastSeen)
    }
  }
}

/// Tasks final since before these times may go; nil keeps for ever.
struct Cutoffs: Sendable {
  var success: Timestamp?
  var dead: Timestamp?
  var cancelled: Timestamp?
}

extension WriteTransaction {
  /// Deletes those that are still final and old enough; how many.
  fileprivate func delete(_ ids: [TaskID], _ cutoffs: Cutoffs) throws -> Int {
    let deleteRun = try prepared(
      """
      DELETE FROM task_runs WHERE id = ?1 AND ((status = 5 AND finished_at <= ?2) OR (status = 6 AND finished_at <= ?3)
        OR (status = 7 AND finished_at <= ?4))
      """)
    let rest = try [
      "DELETE FROM task_bodies WHERE id = ?1", "DELETE FROM attempts WHERE task = ?1",
      "DELETE FROM events WHERE task = ?1", "DELETE FROM results WHERE task = ?1",
    ].map { try prepared($0) }
    var deleted = 0
    for id in ids {
      guard let row = try waitingRow(id), try deleteRun.run(id, cutoffs.success, cutoffs.dead, cutoffs.cancelled) == 1
      else { continue }
      for statement in rest { try statement.run(id) }
      count(row.lane, from: row.status, to: nil)
      deleted += 1
    }
    try prepared("DELETE FROM counts WHERE count = 0").run()
    return deleted
  }
}
