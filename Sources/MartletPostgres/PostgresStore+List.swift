// Lists, newest first. No index serves each filter: a page looks at a bounded number of rows and says where to go on, so that a
// list costs the tasks nothing. What a graph or a key has is known without looking.

package import MartletCore

extension PostgresStore {
  /// Rows that one page looks at, at most.
  private static let scan = 20_000
  /// Payloads and results that one page holds, about: it ends with the task that goes beyond.
  private static let pageBytes: Int64 = 8 * 1024 * 1024

  package func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage {
    try await repeating { _ in
      guard let last = query.before.map(\.predecessor) ?? TaskID(high: .max, low: .max) else {
        return TaskPage(tasks: [], next: nil)
      }
      let rows = try await pool.run(try await look(for: query, .uuid(last)), .background)
      var cut: TaskID?
      var page = try rows.map { columns -> (isBeyond: Bool, task: TaskRecord)? in
        cut = columns.optionalID()
        return try columns.optionalBool().map { isBeyond in (isBeyond: isBeyond, task: try TaskRecord(&columns)) }
      }.compactMap(\.self)
      if page.count > query.limit {
        page.removeLast()
        return TaskPage(tasks: page.map(\.task), next: page.last?.task.id)
      }
      if page.last?.isBeyond == true { return TaskPage(tasks: page.map(\.task), next: page.last?.task.id) }
      return TaskPage(tasks: page.map(\.task), next: cut)
    }
  }

  private func look(for query: TaskQuery, _ before: PostgresValue) async throws -> Query {
    let parameters = parameters(query, before)
    if let key = query.idempotencyKey, let tasks = try await tasks(of: key) {
      return Query(Self.listSome, parameters: parameters + [.uuids(tasks)])
    }
    if query.graphID != nil { return Query(Self.listGraph, parameters: parameters) }
    if query.scheduleName != nil { return Query(Self.listScheduled, parameters: parameters) }
    if query.statuses == [.dead] { return Query(Self.listDead, parameters: parameters) }
    return Query(Self.listAll, parameters: parameters)
  }

  /// Nil where the key is not known any more.
  func tasks(of key: String) async throws(PostgresFailure) -> [TaskID]? {
    try await pool.run(Query(Self.tasksOfKey, .text(key)), .background).first { $0.ids() }
  }

  private func parameters(_ query: TaskQuery, _ before: PostgresValue) -> [PostgresValue] {
    func some(_ values: Set<String>) -> PostgresValue {
      values.isEmpty ? PostgresValue(type: TypeID.texts, bytes: nil) : .texts(values.sorted())
    }
    return [
      .bool(query.includesPayload), .bool(query.includesResult), before,
      query.statuses.isEmpty
        ? PostgresValue(type: TypeID.int2s, bytes: nil) : .int2s(query.statuses.map { Int16($0.code) }),
      some(query.types),
      some(query.queues), .text(query.worker), .text(query.tag), .text(JSONColumn.map(query.metadata)),
      .time(query.createdAfter), .time(query.createdBefore), .int8(Int64(query.limit + 1)),
      .uuid(query.graphID), .text(query.idempotencyKey), .text(query.scheduleName),
      query.scope.map { .texts($0.map(\.likePattern)) } ?? PostgresValue(type: TypeID.texts, bytes: nil),
    ]
  }

  private static let listAll = Statement("list_all", listSQL(from: "task_runs WHERE id <= $3::uuid"))
  private static let listDead = Statement("list_dead", listSQL(from: "task_runs WHERE is_dead AND id <= $3::uuid"))
  private static let listSome = Statement(
    "list_some", listSQL(from: "task_runs WHERE id = ANY($17::uuid[]) AND id <= $3::uuid"))
  private static let listGraph = Statement("list_graph", listSQL(of: "graph_members m WHERE m.graph = $13"))
  private static let listScheduled = Statement(
    "list_scheduled", listSQL(of: "schedule_tasks m WHERE m.schedule = $15"))

  private static let tasksOfKey = Statement("tasks_of_key", "SELECT tasks FROM idempotency_keys WHERE key = $1::text")

  /// What a query's filters ask of a row of `task_runs r`, `lanes l` and `task_bodies b`; `$4` to `$11` and `$13` to `$15` are theirs.
  static let taskFilterSQL = """
    ($4::smallint[] IS NULL OR r.status = ANY($4))
      AND ($5::text[] IS NULL OR l.type = ANY($5))
      AND ($6::text[] IS NULL OR l.queue = ANY($6))
      AND ($7::text IS NULL OR r.worker = $7)
      AND ($8::text IS NULL OR b.tags::jsonb ? $8)
      AND ($9::text IS NULL OR b.metadata::jsonb @> $9::jsonb)
      AND ($10::bigint IS NULL OR b.created_at >= $10)
      AND ($11::bigint IS NULL OR b.created_at < $11)
      AND ($13::uuid IS NULL OR b.graph_id = $13)
      AND ($14::text IS NULL OR b.idempotency_key = $14)
      AND ($15::text IS NULL OR b.schedule_name = $15)
    """

  private static func listSQL(from rows: String) -> String {
    listSQL(rows: "SELECT * FROM \(rows)", ids: "SELECT id FROM \(rows)")
  }

  /// Of the tasks that links name: their table as `m`, and which of them.
  private static func listSQL(of links: String) -> String {
    listSQL(
      rows: """
        SELECT t.* FROM (SELECT m.task FROM \(links) AND m.task <= $3::uuid) m
          CROSS JOIN LATERAL (SELECT * FROM task_runs WHERE id = m.task LIMIT 1) t
        """,
      ids: "SELECT m.task AS id FROM \(links) AND m.task <= $3::uuid")
  }

  /// One task more than the limit, to know whether there are more. What a page holds in bytes is added up before the large
  /// columns are fetched. Before each the last row that was looked at, where more than these may match and the page is not full:
  /// in the same statement, so that it is the end of what this page has looked at, whatever is deleted meanwhile.
  private static func listSQL(rows: String, ids: String) -> String {
    """
    WITH matching AS MATERIALIZED (
      SELECT r.id, CASE WHEN $1::boolean THEN octet_length(b.payload) ELSE 0 END
        + CASE WHEN $2::boolean THEN coalesce((SELECT octet_length(x.result) FROM results x WHERE x.task = r.id), 0) ELSE 0 END
        AS bytes
      FROM (SELECT id, lane, status, worker FROM (\(rows)) s ORDER BY id DESC LIMIT \(scan)) r
        CROSS JOIN LATERAL (SELECT queue, type FROM lanes WHERE id = r.lane LIMIT 1) l
        CROSS JOIN LATERAL (SELECT * FROM task_bodies WHERE id = r.id LIMIT 1) b
      WHERE \(taskFilterSQL) AND ($16::text[] IS NULL OR l.queue LIKE ANY ($16))
      ORDER BY r.id DESC LIMIT $12::bigint
    ),
    page AS MATERIALIZED (
      SELECT id, total FROM (SELECT id, sum(bytes) OVER (ORDER BY id DESC) AS total, bytes FROM matching) m
      WHERE total - bytes < \(pageBytes)
    ),
    cut AS MATERIALIZED (
      SELECT CASE WHEN (SELECT count(*) FROM matching) < $12
        THEN (\(ids) ORDER BY id DESC LIMIT 1 OFFSET \(scan - 1)) END AS id
    )
    SELECT cut.id, p.total >= \(pageBytes), \(recordColumns)
    FROM cut LEFT JOIN (page p JOIN task_runs r ON r.id = p.id \(recordJoins)) ON true
    ORDER BY r.id DESC
    """
  }
}

extension QueuePattern {
  /// For LIKE, whose own signs are `%` and `_`; only the latter can be in a name.
  var likePattern: String {
    description.replacing("_", with: "\\_").replacing("*", with: "%")
  }
}

extension TaskID {
  /// The id just before; nil for the first of all.
  fileprivate var predecessor: TaskID? {
    if low > 0 { return TaskID(high: high, low: low - 1) }
    return high > 0 ? TaskID(high: high - 1, low: .max) : nil
  }
}
