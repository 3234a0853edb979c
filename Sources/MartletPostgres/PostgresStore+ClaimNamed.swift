// Tasks claimed by their ids, of which somebody else keeps the order (`Dispatcher`): found by the primary key, and judged as any
// claim judges. And the list of what there is to be claimed, for whoever keeps that order.

package import MartletCore

extension PostgresStore {
  /// As many of these as the request has room for, and as their queues' limits allow.
  func claimNamed(_ ids: [TaskID], _ request: ClaimRequest, _ claimed: inout [ClaimedTask]) async throws {
    let wanted = min(request.limit, ids.count)
    guard claimed.count < wanted else { return }
    let query = named(Self.takeNamed, ids, request, claimed: claimed.count)
    claimed += try await read(try await pool.run(query), for: request).claimed
    guard claimed.count < wanted else { return }
    // The others are gone; or their queues are limited, and counted under a lock.
    let queues = try await pool.run(Query(Self.limitedQueuesOfNamed, .uuids(ids))).map { $0.text() }
    guard !queues.isEmpty else { return }
    let rows = try await pool.transaction([
      Query(Self.lockBuckets, .texts(queues)), named(Self.takeNamedLimited, ids, request, claimed: claimed.count),
    ])
    claimed += try await read(rows[1], for: request).claimed
  }

  private func named(_ statement: Statement, _ ids: [TaskID], _ request: ClaimRequest, claimed: Int) -> Query {
    let wanted = request.limit - claimed
    let free = max(0, request.limit - request.ahead - claimed)
    return Query(
      statement, .uuids(ids), .texts(request.types), .texts(request.queues), .bool(request.takesAllQueues),
      nowParameter, .int8(Int64(wanted)), .int8(Int64(free)), .text(request.worker), .int8(request.token))
  }

  package func claimable(in lanes: Set<Lane>?, limit: Int) async throws(StoreError) -> ClaimableTasks {
    try await repeating { _ in
      let wanted = lanes.map(Array.init) ?? []
      let query = Query(
        Self.listClaimable, .bool(lanes == nil), .texts(wanted.map(\.queue)), .texts(wanted.map(\.type)),
        .int8(Int64(limit)))
      let entries = try await pool.run(query, .background).map { columns in
        let (number, key) = try Self.lane(&columns)
        book.learn(number, key)
        return DispatchEntry(
          id: columns.id(), lane: key.lane, priority: key.priority, availableAt: columns.time())
      }
      return ClaimableTasks(entries: entries, limit: limit)
    }
  }
}

// MARK: - SQL

extension PostgresStore {
  private static let takeNamed = Statement(
    "take_named",
    claimSQL(
      picking: """
        named AS MATERIALIZED (\(namedTasks(where: isFree))),
        best AS MATERIALIZED (SELECT id, urgency FROM named ORDER BY urgency, available_at, id LIMIT $6::bigint),
        \(pickedByID)
        """, isExhausted: "true", isLimited: false))

  /// The same in queues of which the buckets are locked.
  private static let takeNamedLimited = Statement(
    "take_named_limited",
    claimSQL(
      picking: """
        named AS MATERIALIZED (\(namedTasks(where: isLimitedOnly))),
        looks AS MATERIALIZED (SELECT DISTINCT lane, queue FROM named),
        \(roomsOfLooks)
        best AS MATERIALIZED (
          SELECT id, urgency FROM (
            SELECT n.*, o.room, row_number() OVER (PARTITION BY n.queue ORDER BY n.urgency, n.available_at, n.id) AS place
            FROM named n JOIN rooms o ON o.queue = n.queue
          ) b
          WHERE place <= coalesce(room, $6::bigint) ORDER BY urgency, available_at, id LIMIT $6
        ),
        \(pickedByID)
        """, isExhausted: "true", isLimited: true))

  private static let isLimitedOnly =
    "EXISTS (SELECT 1 FROM queue_settings s WHERE s.queue = l.queue AND s.limited AND NOT s.paused)"

  /// Whether it can be claimed is asked so that no plan goes through the index of all that can.
  private static func namedTasks(where condition: String) -> String {
    """
    SELECT r.id, r.lane, r.available_at, l.urgency, l.queue
    FROM unnest($1::uuid[]) AS n(id) CROSS JOIN LATERAL (
        SELECT t.id, t.lane, t.available_at, t.claimable, t.expiry_at, t.has_children FROM task_runs t WHERE t.id = n.id OFFSET 0
      ) r
      JOIN lanes l ON l.id = r.lane
    WHERE coalesce(r.claimable, false) AND l.type = ANY($2::text[]) AND (l.queue = ANY($3::text[]) OR $4::boolean)
      AND \(condition) AND \(isTypeGivenOut) AND \(isOurs)
    """
  }

  private static let pickedByID = """
    picked AS MATERIALIZED (
      SELECT p.*, b.urgency
      FROM best b CROSS JOIN LATERAL (
        SELECT \(pickedColumns)
        FROM task_runs r WHERE r.id = b.id AND coalesce(r.claimable, false) FOR UPDATE OF r SKIP LOCKED
      ) p
    ),
    """

  private static let limitedQueuesOfNamed = Statement(
    "limited_queues_of_named",
    """
    SELECT DISTINCT s.queue
    FROM unnest($1::uuid[]) AS n(id) CROSS JOIN LATERAL (
        SELECT t.lane, t.claimable FROM task_runs t WHERE t.id = n.id OFFSET 0
      ) r
      JOIN lanes l ON l.id = r.lane JOIN queue_settings s ON s.queue = l.queue
    WHERE coalesce(r.claimable, false) AND s.limited AND NOT s.paused
    """)

  private static let listClaimable = Statement(
    "list_claimable",
    """
    SELECT l.id, l.queue, l.type, l.urgency, l.suspect, r.id, r.available_at
    FROM lanes l CROSS JOIN LATERAL (
      SELECT t.id, t.available_at FROM task_runs t WHERE t.claimable AND t.lane = l.id ORDER BY t.available_at, t.id
      LIMIT $4::bigint
    ) r
    WHERE ($1::boolean OR (l.queue, l.type) IN (SELECT * FROM unnest($2::text[], $3::text[])))
      AND \(isFree) AND \(isTypeGivenOut)
    """)
}
