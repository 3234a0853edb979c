// Retention told: the same judgement as the pruner's (`SQLiteStore+Prune.swift`), in pieces, with what keeps each task that is past its
// time. A page is one transaction, so what it deletes is what it has counted.

package import MartletCore

extension SQLiteStore {
  package func sweep(
    _ policy: RetentionPolicy, after cursor: TaskID?, limit: Int, deletes: Bool
  ) async throws(StoreError) -> SweepPage {
    let now = clock()
    guard limit > 0, let end = policy.firstTooYoung(now: now) else {
      try await read { _ in }
      return SweepPage(counts: [], next: nil)
    }
    let cutoffs = Cutoffs(policy, now: now)
    if deletes {
      return try await writer.write { transaction in
        let page = try judged(cutoffs, after: cursor, before: end, limit: limit) { try transaction.prepared($0) }
        let free = page.tasks.filter(\.protections.isEmpty).map(\.id)
        let deleted = try transaction.delete(free, cutoffs)
        guard deleted == free.count else { throw UnreadableRow(what: "a task was judged in two ways") }
        return page.told
      }
    }
    return try await read { database in
      try judged(cutoffs, after: cursor, before: end, limit: limit) { try database.prepared($0) }.told
    }
  }
}

private struct Judged {
  var tasks: [(id: TaskID, status: TaskStatus, type: String, protections: Set<Protection>)]
  var next: TaskID?

  var told: SweepPage { SweepPage(tasks.map { ($0.status, $0.type, $0.protections) }, next: next) }
}

private func judged(
  _ cutoffs: Cutoffs, after cursor: TaskID?, before end: TaskID, limit: Int,
  prepared: (String) throws -> PreparedStatement
) throws -> Judged {
  let start = cursor.map { bytes(of: [$0]) } ?? []  // no bytes are before all ids
  let lastSeen = try prepared("SELECT id FROM task_runs WHERE id > ?1 AND id < ?3 ORDER BY id LIMIT 1 OFFSET ?2")
    .row(start, limit - 1, end) { try $0.id() }
  let tasks = try prepared(
    """
    SELECT r.id, r.status, r.type,
      1 * (r.has_children AND EXISTS (
        SELECT 1 FROM dependencies d CROSS JOIN task_runs c ON c.id = d.child
        WHERE d.parent = r.id AND c.status NOT IN (5, 6, 7)))
      + 2 * EXISTS (SELECT 1 FROM idempotency_keys k WHERE k.task = r.id AND k.created_at > ?4)
      + 4 * EXISTS (SELECT 1 FROM outbox o WHERE o.task = r.id)
      + 8 * EXISTS (SELECT 1 FROM notices n WHERE n.task = r.id AND n.status = 1)
    FROM task_runs r
    WHERE r.id > ?5 AND r.id < ?6 AND r.id <= ?7 AND \(isPastItsTime)
    ORDER BY r.id
    """
  ).rows(
    cutoffs.success, cutoffs.dead, cutoffs.cancelled, cutoffs.keys, start, end,
    lastSeen.map { bytes(of: [$0]) } ?? afterAllIDs
  ) { columns in
    (
      id: try columns.id(), status: try TaskStatus(code: columns.int()), type: columns.text(),
      protections: Protection.all(in: columns.int())
    )
  }
  return Judged(tasks: tasks, next: lastSeen)
}
