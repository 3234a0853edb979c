// Retention. A cursor walks over the tasks by id, a bounded number of rows a call, and begins again at the end: no index has to
// be kept for it by every finish. The end is where tasks are younger than all that may go.

internal import GRDB
package import MartletCore
internal import Synchronization

extension SQLiteStore {
  /// Rows that one look of a call has, and looks that a call takes, at most: so it gets on with what is kept for long, and costs
  /// nobody much.
  private static let scan = 20_000
  private static let mostScans = 5

  package func prune(_ policy: RetentionPolicy, limit: Int) async throws(StoreError) -> Int {
    let now = clock()
    guard limit > 0, let end = policy.firstTooYoung(now: now) else { return 0 }
    let cutoffs = Cutoffs(policy, now: now)
    var cursor = pruneCursor.withLock(\.self)
    var pruned = 0
    for scan in 1...Self.mostScans {
      let start = cursor
      let found = try await expired(cutoffs, after: start, before: end, limit: limit - pruned)
      if !found.ids.isEmpty { pruned += try await writer.write { try $0.delete(found.ids, cutoffs) } }
      cursor = found.next
      pruneCursor.withLock { $0 = found.next }
      // At the end there is more to see only for who had begun somewhere in the middle.
      if pruned >= limit || cursor == nil && (start == nil || scan > 1) { break }
    }
    return pruned
  }

  private func expired(
    _ cutoffs: Cutoffs, after cursor: TaskID?, before end: TaskID, limit: Int
  ) async throws(StoreError) -> (ids: [TaskID], next: TaskID?) {
    try await read { database in
      let start = cursor.map { bytes(of: [$0]) } ?? []  // no bytes are before all ids
      let lastSeen = try database.prepared(
        "SELECT id FROM task_runs WHERE id > ?1 AND id < ?3 ORDER BY id LIMIT 1 OFFSET ?2"
      ).row(start, Self.scan - 1, end) { try $0.id() }
      let ids = try database.prepared(
        "SELECT r.id FROM task_runs r WHERE r.id > ?5 AND r.id < ?8 AND r.id <= ?6 AND \(mayGo) ORDER BY r.id LIMIT ?7"
      ).rows(
        cutoffs.success, cutoffs.dead, cutoffs.cancelled, cutoffs.keys, start,
        lastSeen.map { bytes(of: [$0]) } ?? afterAllIDs, limit, end
      ) { try $0.id() }
      return (ids, ids.count == limit ? ids.last : lastSeen)
    }
  }
}

/// Tasks final since before these times may go; nil keeps for ever.
struct Cutoffs: Sendable {
  var success: Timestamp?
  var dead: Timestamp?
  var cancelled: Timestamp?
  /// Keys taken before this time may go.
  var keys: Timestamp

  init(_ policy: RetentionPolicy, now: Timestamp) {
    func cutoff(_ kept: Duration?) -> Timestamp? { kept.map { now + (.zero - $0) } }
    success = cutoff(policy.success)
    dead = cutoff(policy.dead)
    cancelled = cutoff(policy.cancelled)
    keys = now + (.zero - policy.keys)
  }
}

/// True of a row `r` that is final for longer than its status is kept. `?1` to `?3` are the cutoffs.
let isPastItsTime = """
  ((r.status = 5 AND r.finished_at <= ?1) OR (r.status = 6 AND r.finished_at <= ?2) OR (r.status = 7 AND r.finished_at <= ?3))
  """

/// True of a row `r` that retention takes. `?1` to `?4` are the cutoffs.
private let mayGo = """
  \(isPastItsTime)
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys k WHERE k.task = r.id AND k.created_at > ?4)
    AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.task = r.id)
    AND NOT EXISTS (SELECT 1 FROM notices n WHERE n.task = r.id AND n.status = 1)
    AND NOT (r.has_children AND EXISTS (
      SELECT 1 FROM dependencies d CROSS JOIN task_runs c ON c.id = d.child
      WHERE d.parent = r.id AND c.status NOT IN (5, 6, 7)))
  """

extension WriteTransaction {
  /// Deletes those that still may go; how many.
  func delete(_ ids: [TaskID], _ cutoffs: Cutoffs) throws -> Int {
    let deleteRun = try prepared("DELETE FROM task_runs AS r WHERE r.id = ?5 AND \(mayGo)")
    var deleted = 0
    for id in ids {
      guard let row = try waitingRow(id),
        try deleteRun.run(cutoffs.success, cutoffs.dead, cutoffs.cancelled, cutoffs.keys, id) == 1
      else { continue }
      try forget(row)
      deleted += 1
    }
    hasDeleted = hasDeleted || deleted > 0
    return deleted
  }

  /// All that there is of a task whose run row is deleted.
  func forget(_ row: WaitingRow) throws {
    for statement in [
      "DELETE FROM task_bodies WHERE id = ?1", "DELETE FROM attempts WHERE task = ?1",
      "DELETE FROM events WHERE task = ?1", "DELETE FROM results WHERE task = ?1",
      "DELETE FROM attempt_lines WHERE task = ?1", "DELETE FROM notices WHERE task = ?1",
    ] {
      try prepared(statement).run(row.id)
    }
    try deleteEdges(of: row)
    try deleteKeys(of: row.id)
    count(row.lane, from: row.status, to: nil)
  }
}
