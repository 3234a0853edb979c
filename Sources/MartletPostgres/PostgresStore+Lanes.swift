// The numbers of lanes: remembered, else asked for, else given out. A number is never changed, so that what is remembered stays
// true.

internal import MartletCore

extension PostgresStore {
  /// One number per task, in order.
  func lanes(of tasks: [AcceptedTask]) async throws -> [Int32] {
    try await lanes(of: tasks.map { LaneKey($0) })
  }

  func lanes(of keys: [LaneKey]) async throws -> [Int32] {
    let missing = Set(keys).filter { book.number(of: $0) == nil }
    if !missing.isEmpty {
      // In one order, or two nodes could wait for each other.
      try await number(missing.sorted { ($0.type, $0.queue, $0.urgency) < ($1.type, $1.queue, $1.urgency) })
    }
    return try keys.map { key in
      guard let number = book.number(of: key) else { throw UnreadableRow(what: "lane \(key) without a number") }
      return number
    }
  }

  /// What lane a number stands for.
  func key(of lane: Int32) async throws -> LaneKey {
    if let key = book.key(of: lane) { return key }
    for row in try await pool.run(Query(Self.allLanes)).map({ try Self.lane(&$0) }) { book.learn(row.number, row.key) }
    guard let key = book.key(of: lane) else { throw UnreadableRow(what: "lane \(lane)") }
    return key
  }

  private func number(_ keys: [LaneKey]) async throws {
    let parameters: [PostgresValue] = [
      .texts(keys.map(\.queue)), .texts(keys.map(\.type)), .int2s(keys.map(\.urgency)),
      .bools(keys.map(\.isSuspect)),
    ]
    let rows = try await pool.transaction([
      Query(Self.makeLanes, parameters: parameters), Query(Self.findLanes, parameters: parameters),
    ])
    for row in try rows[1].map({ try Self.lane(&$0) }) { book.learn(row.number, row.key) }
  }

  static func lane(_ columns: inout Columns) throws -> (number: Int32, key: LaneKey) {
    (
      Int32(columns.int()),
      LaneKey(
        queue: columns.text(), type: columns.text(), urgency: Int16(columns.int()), isSuspect: columns.bool())
    )
  }

  private static let makeLanes = Statement(
    "make_lanes",
    """
    INSERT INTO lanes (queue, type, urgency, suspect)
    SELECT * FROM unnest($1::text[], $2::text[], $3::smallint[], $4::boolean[])
    ON CONFLICT DO NOTHING
    """)

  private static let findLanes = Statement(
    "find_lanes",
    """
    SELECT l.id, l.queue, l.type, l.urgency, l.suspect
    FROM unnest($1::text[], $2::text[], $3::smallint[], $4::boolean[]) AS wanted(queue, type, urgency, suspect)
      JOIN lanes l USING (queue, type, urgency, suspect)
    """)

  private static let allLanes = Statement("all_lanes", "SELECT id, queue, type, urgency, suspect FROM lanes")
}
