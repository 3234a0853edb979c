// Lists, newest first. Few filters have an index: a page looks at a bounded number of rows and says where to go on, so that a
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
      let source = TaskSource(of: query)
      let before = query.before.map { bytes(of: [$0]) } ?? afterAllIDs
      var bytesLeft = Self.pageBytes
      var tasks = try database.page(query, of: source, before: before, scan: Self.scan) { task in
        bytesLeft -= (task.payload?.count ?? 0) + (task.result?.count ?? 0)
        return bytesLeft <= 0
      }
      if tasks.count > query.limit {
        tasks.removeLast()
        return TaskPage(tasks: tasks, next: tasks.last?.id)
      }
      if bytesLeft <= 0 { return TaskPage(tasks: tasks, next: tasks.last?.id) }
      let lastSeen = try database.lastSeen(query, in: source, before: before, scan: Self.scan)
      return TaskPage(tasks: tasks, next: lastSeen)
    }
  }
}

/// What a query's filters ask of a row of `task_runs r`, `task_bodies b` and `task_links l`; `?4` to `?6` and `?8` to `?15` are
/// theirs.
let taskFilter = """
  (?4 IS NULL OR l.graph = ?4)
    AND (?5 IS NULL OR l.idempotency_key = ?5)
    AND (?6 IS NULL OR l.schedule = ?6)
    AND (?8 IS NULL OR r.status IN (SELECT value FROM json_each(?8)))
    AND (?9 IS NULL OR r.type IN (SELECT value FROM json_each(?9)))
    AND (?10 IS NULL OR r.queue IN (SELECT value FROM json_each(?10)))
    AND (?11 IS NULL OR r.worker = ?11)
    AND (?12 IS NULL OR ?12 IN (SELECT value FROM json_each(b.tags)))
    AND (?13 IS NULL OR NOT EXISTS (
      SELECT 1 FROM json_each(?13) wanted
      WHERE NOT EXISTS (SELECT 1 FROM json_each(b.metadata) had WHERE had.key = wanted.key AND had.value = wanted.value)))
    AND (?14 IS NULL OR b.created_at >= ?14)
    AND (?15 IS NULL OR b.created_at < ?15)
  """

/// The narrowest range of ids that a query's tasks all lie in.
enum TaskSource {
  case all, dead, graph, key, schedule

  init(of query: TaskQuery) {
    self =
      if query.graphID != nil {
        .graph
      } else if query.idempotencyKey != nil {
        .key
      } else if query.scheduleName != nil {
        .schedule
      } else {
        query.statuses == [.dead] ? .dead : .all
      }
  }

  /// Its rows of `task_runs` below the id `?3`, from the last.
  var rows: String { rows(order: "DESC") { "\($0) < ?3" } }

  /// Its rows in the order of their ids, as far as `range` holds for these. `?4` to `?6` are graph, key and schedule of the query.
  func rows(order: String, _ range: (_ id: String) -> String) -> String {
    func linked(_ index: String, _ condition: String) -> String {
      """
      SELECT t.* FROM task_links k INDEXED BY \(index) CROSS JOIN task_runs t ON t.id = k.id
      WHERE k.\(condition) AND \(range("k.id")) ORDER BY k.id \(order)
      """
    }
    return switch self {
    case .all: "SELECT * FROM task_runs WHERE \(range("id")) ORDER BY id \(order)"
    case .dead:
      "SELECT * FROM task_runs INDEXED BY task_runs_dead WHERE status = 6 AND \(range("id")) ORDER BY id \(order)"
    case .graph: linked("task_links_graph", "graph = ?4")
    case .key: linked("task_links_key", "idempotency_key = ?5")
    case .schedule: linked("task_links_schedule", "schedule = ?6")
    }
  }
}

/// A byte longer than any id, and above it.
let afterAllIDs = [UInt8](repeating: 0xFF, count: 17)

extension Database {
  /// One task more than the limit, to know whether there are more.
  fileprivate func page(
    _ query: TaskQuery, of source: TaskSource, before: [UInt8], scan: Int, until isEnough: (TaskRecord) -> Bool
  ) throws -> [TaskRecord] {
    try prepared(
      """
      SELECT \(recordColumns)
      FROM (\(source.rows) LIMIT ?7) r \(recordJoins)
      WHERE \(taskFilter)
        AND (?17 IS NULL OR EXISTS (SELECT 1 FROM json_each(?17) wanted WHERE r.queue GLOB wanted.value))
      ORDER BY r.id DESC LIMIT ?16
      """
    ).rows(
      query.includesPayload, query.includesResult, before, query.graphID, query.idempotencyKey, query.scheduleName,
      scan,
      codes(of: query.statuses), JSONColumn.strings(query.types.sorted()), JSONColumn.strings(query.queues.sorted()),
      query.worker, query.tag, JSONColumn.map(query.metadata), query.createdAfter, query.createdBefore, query.limit + 1,
      globs(query.scope), until: isEnough
    ) { try TaskRecord(&$0) }
  }

  /// The last row that such a page has looked at, if there may be more behind it.
  fileprivate func lastSeen(
    _ query: TaskQuery, in source: TaskSource, before: [UInt8], scan: Int
  ) throws -> TaskID? {
    try prepared("SELECT id FROM (\(source.rows) LIMIT 1 OFFSET ?7)")
      .row(false, false, before, query.graphID, query.idempotencyKey, query.scheduleName, scan - 1) { try $0.id() }
  }

  /// What stands for any characters is written alike, and no name has any other of GLOB's signs in it.
  private func globs(_ scope: [QueuePattern]?) -> String? {
    scope.map { JSONColumn.strings($0.map(\.description)) ?? "[]" }
  }
}

func codes(of statuses: Set<TaskStatus>) -> String? {
  statuses.isEmpty ? nil : "[" + statuses.map { String($0.code) }.sorted().joined(separator: ",") + "]"
}
