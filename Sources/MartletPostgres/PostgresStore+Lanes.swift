// The numbers of lanes: remembered, else asked for, else given out. A number is never changed, so that what is remembered stays
// true.

internal import MartletCore

extension PostgresStore {
  /// One number per task, in order.
  func lanes(of tasks: [AcceptedTask]) async throws -> [Int32] {
    try await lanes(of: tasks.indices.map { LaneKey(tasks[$0]) })
  }

  func lanes(of keys: [LaneKey]) async throws -> [Int32] {
    var numbers: [LaneKey: Int32] = [:]
    var missing: Set<LaneKey> = []
    for key in keys where numbers[key] == nil {
      if let number = book.number(of: key) { numbers[key] = number } else { missing.insert(key) }
    }
    if !missing.isEmpty {
      // In one order, or two nodes could wait for each other.
      let made = try await number(missing.sorted { ($0.type, $0.queue, $0.urgency) < ($1.type, $1.queue, $1.urgency) })
      numbers.merge(made) { first, _ in first }
    }
    return try keys.map { key in
      guard let number = numbers[key] else { throw UnreadableRow(what: "lane \(key) without a number") }
      return number
    }
  }

  /// What lane a number stands for.
  func key(of lane: Int32) async throws -> LaneKey {
    if let key = book.key(of: lane) { return key }
    let rows = try await pool.run(Query(Self.findLane, .int4(lane))).map { try Self.lane(&$0) }
    guard let row = rows.first else { throw UnreadableRow(what: "lane \(lane)") }
    book.learn(row.number, row.key)
    return row.key
  }

  private func number(_ keys: [LaneKey]) async throws -> [LaneKey: Int32] {
    let parameters: [PostgresValue] = [
      .texts(keys.map(\.queue)), .texts(keys.map(\.type)), .int2s(keys.map(\.urgency)),
      .bools(keys.map(\.isSuspect)),
    ]
    let rows = try await pool.transaction([
      Query(Self.makeLanes, parameters: parameters), Query(Self.findLanes, parameters: parameters),
    ])
    let made = try rows[1].map { try Self.lane(&$0) }
    for row in made { book.learn(row.number, row.key) }
    return Dictionary(made.map { ($0.key, $0.number) }) { first, _ in first }
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

  private static let findLane = Statement(
    "find_lane", "SELECT id, queue, type, urgency, suspect FROM lanes WHERE id = $1::integer")
}
