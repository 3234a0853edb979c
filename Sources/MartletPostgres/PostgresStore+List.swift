// Lists, newest first. No index serves each filter: a page looks at a bounded number of rows and says where to go on, so that a
// list costs the tasks nothing.

package import MartletCore

extension PostgresStore {
  /// Rows that one page looks at, at most.
  private static let scan = 20_000
  /// Payloads and results that one page holds, about: it ends with the task that goes beyond.
  private static let pageBytes: Int64 = 8 * 1024 * 1024

  package func list(_ query: TaskQuery) async throws(StoreError) -> TaskPage {
    try await repeating { _ in
      let isDeadOnly = query.statuses == [.dead]
      guard let last = query.before.map(\.predecessor) ?? TaskID(high: .max, low: .max) else {
        return TaskPage(tasks: [], next: nil)
      }
      let before = PostgresValue.uuid(last)
      let rows = try await pool.transaction(
        [
          Query(isDeadOnly ? Self.listDead : Self.listAll, parameters: parameters(query, before)),
          Query(isDeadOnly ? Self.lastDead : Self.lastSeen, before),
        ], .background)
      var page = try rows[0].map { columns in
        let isBeyond = columns.bool()
        return (isBeyond: isBeyond, task: try TaskRecord(&columns))
      }
      if page.count > query.limit {
        page.removeLast()
        return TaskPage(tasks: page.map(\.task), next: page.last?.task.id)
      }
      if page.last?.isBeyond == true { return TaskPage(tasks: page.map(\.task), next: page.last?.task.id) }
      return TaskPage(tasks: page.map(\.task), next: rows[1].first { $0.id() })
    }
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
    ]
  }

  private static let listAll = Statement("list_all", listSQL(from: "WHERE id <= $3::uuid"))
  private static let listDead = Statement("list_dead", listSQL(from: "WHERE is_dead AND id <= $3::uuid"))

  private static let lastSeen = Statement("last_seen", lastSQL(from: "WHERE id <= $1::uuid"))
  private static let lastDead = Statement("last_dead", lastSQL(from: "WHERE is_dead AND id <= $1::uuid"))

  private static func lastSQL(from condition: String) -> String {
    "SELECT id FROM task_runs \(condition) ORDER BY id DESC LIMIT 1 OFFSET \(scan - 1)"
  }

  /// One task more than the limit, to know whether there are more. What a page holds in bytes is added up before the large
  /// columns are fetched.
  private static func listSQL(from condition: String) -> String {
    """
    WITH matching AS MATERIALIZED (
      SELECT r.id, CASE WHEN $1::boolean THEN octet_length(b.payload) ELSE 0 END
        + CASE WHEN $2::boolean THEN coalesce((SELECT octet_length(x.result) FROM results x WHERE x.task = r.id), 0) ELSE 0 END
        AS bytes
      FROM (SELECT id, lane, status, worker FROM task_runs \(condition) ORDER BY id DESC LIMIT \(scan)) r
        JOIN lanes l ON l.id = r.lane JOIN task_bodies b ON b.id = r.id
      WHERE ($4::smallint[] IS NULL OR r.status = ANY($4))
        AND ($5::text[] IS NULL OR l.type = ANY($5))
        AND ($6::text[] IS NULL OR l.queue = ANY($6))
        AND ($7::text IS NULL OR r.worker = $7)
        AND ($8::text IS NULL OR b.tags::jsonb ? $8)
        AND ($9::text IS NULL OR b.metadata::jsonb @> $9::jsonb)
        AND ($10::bigint IS NULL OR b.created_at >= $10)
        AND ($11::bigint IS NULL OR b.created_at < $11)
      ORDER BY r.id DESC LIMIT $12::bigint
    ),
    page AS MATERIALIZED (
      SELECT id, sum(bytes) OVER (ORDER BY id DESC) AS total, bytes FROM matching
    )
    SELECT p.total >= \(pageBytes), \(recordColumns)
    FROM page p JOIN task_runs r ON r.id = p.id \(recordJoins)
    WHERE p.total - p.bytes < \(pageBytes)
    ORDER BY r.id DESC
    """
  }
}

extension TaskID {
  /// The id just before; nil for the first of all.
  fileprivate var predecessor: TaskID? {
    if low > 0 { return TaskID(high: high, low: low - 1) }
    return high > 0 ? TaskID(high: high - 1, low: .max) : nil
  }
}
