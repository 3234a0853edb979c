// The line for one concurrency key of a queue, as its rows say (`key_line`, kept by triggers): who waits, who holds a slot, and
// the one way into a slot and out of it again. Used by admission (`SQLiteStore+Admit.swift`, `SQLiteStore+GiveWay.swift`).

internal import GRDB
internal import MartletCore

struct KeyLine {
  var queue: String
  /// Told apart by its bytes, which Swift's equality of texts does not do: never a key of a set or dictionary here.
  var key: String

  /// A task that waits in it, or holds a slot and is READY still.
  struct Place {
    var id: TaskID
    var type: String
    var urgency: Int64
    var availableAt: Timestamp
    /// Since when it has its slot.
    var admittedAt: Timestamp?

    init(_ columns: inout Columns) throws {
      id = try columns.id()
      type = columns.text()
      urgency = columns.int()
      availableAt = columns.time()
      admittedAt = columns.optionalTime()
    }

    static let columns = "task, type, urgency, available_at, admitted_at"

    func isBefore(_ other: Place) -> Bool {
      (urgency, availableAt, id) < (other.urgency, other.availableAt, other.id)
    }
  }
}

extension WriteTransaction {
  /// The first of each type that waits, but for paused types. Costs what there are types, however many wait.
  func heads(of line: KeyLine) throws -> [KeyLine.Place] {
    let paused = try settings().pausedTypes
    let next = try prepared(
      """
      SELECT \(KeyLine.Place.columns) FROM key_line INDEXED BY key_line_waiting
      WHERE admitted_at IS NULL AND queue = ?1 AND key = ?2 AND type > ?3
      ORDER BY type, urgency, available_at, task LIMIT 1
      """)
    var heads: [KeyLine.Place] = []
    var type = ""
    while let head = try next.row(line.queue, line.key, type, read: { try KeyLine.Place(&$0) }) {
      if !paused.contains(head.type) { heads.append(head) }
      type = head.type
    }
    return heads
  }

  func head(of line: KeyLine, type: String) throws -> KeyLine.Place? {
    try prepared(
      """
      SELECT \(KeyLine.Place.columns) FROM key_line INDEXED BY key_line_waiting
      WHERE admitted_at IS NULL AND queue = ?1 AND key = ?2 AND type = ?3
      ORDER BY urgency, available_at, task LIMIT 1
      """
    ).row(line.queue, line.key, type) { try KeyLine.Place(&$0) }
  }

  /// How many hold a slot; what is beyond `limit` is not counted.
  func held(in line: KeyLine, limit: Int) throws -> Int {
    try prepared(
      """
      SELECT count(*) FROM (
        SELECT 1 FROM key_line INDEXED BY key_line_held
        WHERE admitted_at IS NOT NULL AND queue = ?1 AND key = ?2 LIMIT ?3)
      """
    ).row(line.queue, line.key, limit) { Int($0.int()) } ?? 0
  }

  /// Those who hold a slot and that nobody has taken yet, in order.
  func untaken(in line: KeyLine) throws -> [KeyLine.Place] {
    try prepared(
      """
      SELECT \(KeyLine.Place.columns) FROM key_line INDEXED BY key_line_held
      WHERE admitted_at IS NOT NULL AND queue = ?1 AND key = ?2 AND running = 0
      """
    ).rows(line.queue, line.key) { try KeyLine.Place(&$0) }
      .sorted { $0.isBefore($1) }
  }

  func admit(_ place: KeyLine.Place, in line: KeyLine) throws {
    try prepared("UPDATE key_line SET admitted_at = ?2 WHERE task = ?1").run(place.id, now)
    let changed = try prepared("UPDATE task_runs SET blocked = 0 WHERE id = ?1 AND status = 2 AND blocked = 1")
      .run(place.id)
    guard changed == 1 else { throw UnreadableRow(what: "task \(place.id) is in the line for a key but does not wait") }
    admissions.lanes.insert(Lane(queue: line.queue, type: place.type))
    admissions.budget -= 1
  }

  /// Sends one that nobody has taken back into the line.
  func sendBack(_ place: KeyLine.Place) throws {
    try prepared("UPDATE key_line SET admitted_at = NULL, gives_way_at = NULL WHERE task = ?1").run(place.id)
    try prepared("UPDATE task_runs SET blocked = 1 WHERE id = ?1 AND status = 2").run(place.id)
  }
}
