// Lists, newest first. No index serves each filter: a page looks at a bounded number of rows and says where to go on, so that a
// list costs the tasks nothing.

internal import GRDB
package import MartletCore

extension SQLiteStore {
  /// Rows that one page looks at, at most.
  private static let scan = 20_000
  /// Payloads and results that one page holds, about: it ends with the task that goes beyond.
  private static let pageBytes = 8 * 1024 * 1024

  package func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage {
    try await read { database in
      let isDeadOnly = query.statuses == [.dead]
      let before = query.before.map { bytes(of: [$0]) } ?? afterAllIDs
      var bytesLeft = Self.pageBytes
      var tasks = try database.page(query, before: before, isDeadOnly: isDeadOnly, scan: Self.scan) { task in
        bytesLeft -= (task.payload?.count ?? 0) + (task.result?.count ?? 0)
        return bytesLeft <= 0
      }
      if tasks.count > query.limit {
        tasks.removeLast()
        return TaskPage(tasks: tasks, next: tasks.last?.id)
      }
      if bytesLeft <= 0 { return TaskPage(tasks: tasks, next: tasks.last?.id) }
      let lastSeen = try database.prepared(
        isDeadOnly
          ? "SELECT id FROM task_runs INDEXED BY task_runs_dead WHERE status = 6 AND id < ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2"
          : "SELECT id FROM task_runs WHERE id < ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2"
      ).row(before, Self.scan - 1) { try $0.id() }
      return TaskPage(tasks: tasks, next: lastSeen)
    }
  }
}

/// A byte longer than any id, and above it.
private let afterAllIDs = [UInt8](repeating: 0xFF, count: 17)

extension Database {
  /// One task more than the limit, to know whether there are more.
  fileprivate func page(
    _ query: TaskQuery, before: [UInt8], isDeadOnly: Bool, scan: Int, until isEnough: (TaskRecord) -> Bool
  ) throws -> [TaskRecord] {
    let source =
      isDeadOnly
      ? "SELECT * FROM task_runs INDEXED BY task_runs_dead WHERE status = 6 AND id < ?3 ORDER BY id DESC LIMIT ?4"
      : "SELECT * FROM task_runs WHERE id < ?3 ORDER BY id DESC LIMIT ?4"
    return try prepared(
      """
      SELECT \(recordColumns)
      FROM (\(source)) r \(recordJoins)
      WHERE (?5 IS NULL OR r.status IN (SELECT value FROM json_each(?5)))
        AND (?6 IS NULL OR r.type IN (SELECT value FROM json_each(?6)))
        AND (?7 IS NULL OR r.queue IN (SELECT value FROM json_each(?7)))
        AND (?8 IS NULL OR r.worker = ?8)
        AND (?9 IS NULL OR ?9 IN (SELECT value FROM json_each(b.tags)))
        AND (?10 IS NULL OR NOT EXISTS (
          SELECT 1 FROM json_each(?10) wanted
          WHERE NOT EXISTS (SELECT 1 FROM json_each(b.metadata) had WHERE had.key = wanted.key AND had.value = wanted.value)))
        AND (?11 IS NULL OR b.created_at >= ?11)
        AND (?12 IS NULL OR b.created_at < ?12)
      ORDER BY r.id DESC LIMIT ?13
      """
    ).rows(
      query.includesPayload, query.includesResult, before, scan, statuses(query.statuses),
      JSONColumn.strings(query.types.sorted()), JSONColumn.strings(query.queues.sorted()), query.worker, query.tag,
      JSONColumn.map(query.metadata), query.createdAfter, query.createdBefore, query.limit + 1,
      until: isEnough
    ) { try TaskRecord(&$0) }
  }

  private func statuses(_ statuses: Set<TaskStatus>) -> String? {
    statuses.isEmpty ? nil : "[" + statuses.map { String($0.code) }.sorted().joined(separator: ",") + "]"
  }
}
