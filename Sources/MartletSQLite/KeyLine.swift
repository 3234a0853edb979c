// The line for one concurrency key of a queue, as its rows say (`key_line`, kept by triggers, which the first task with a key
// makes): who waits, who holds a slot, and the one way into a slot and out of it again. Used by admission (`SQLiteStore+Admit.swift`, `SQLiteStore+GiveWay.swift`).

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
  /// To be called before a task with a key is written. Where there never was one, no task pays for the triggers: a table with
  /// triggers writes each of its rows more slowly, whatever their conditions say.
  func makeKeyTriggers() throws {
    guard !memory.hasKeyTriggers else { return }
    try database.execute(sql: keyTriggers)
    memory.hasKeyTriggers = true
  }

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

private let keyTriggers = """
  CREATE TRIGGER IF NOT EXISTS task_runs_keyed_new AFTER INSERT ON task_runs WHEN NEW.keyed = 1 AND NEW.status = 2
  BEGIN
    INSERT INTO key_line (task, queue, key, type, urgency, available_at)
    SELECT NEW.id, NEW.queue, l.concurrency_key, NEW.type, NEW.urgency, NEW.available_at
    FROM task_links l WHERE l.id = NEW.id;
  END;

  -- One trigger for all moves: each costs a task without key a comparison.
  CREATE TRIGGER IF NOT EXISTS task_runs_keyed_moved AFTER UPDATE OF status, urgency, available_at ON task_runs
    WHEN NEW.keyed = 1
  BEGIN
    DELETE FROM key_line WHERE task = NEW.id AND NEW.status <> OLD.status AND NEW.status <> 3;
    UPDATE key_line SET running = 1, gives_way_at = NULL WHERE task = NEW.id AND NEW.status = 3;
    UPDATE key_line SET urgency = NEW.urgency, available_at = NEW.available_at
    WHERE task = NEW.id AND NEW.status = 2 AND OLD.status = 2;
    UPDATE task_runs SET blocked = 1 WHERE id = NEW.id AND NEW.status = 2 AND OLD.status <> 2 AND blocked = 0;
    INSERT INTO key_line (task, queue, key, type, urgency, available_at)
    SELECT NEW.id, NEW.queue, l.concurrency_key, NEW.type, NEW.urgency, NEW.available_at
    FROM task_links l WHERE l.id = NEW.id AND NEW.status = 2 AND OLD.status <> 2;
  END;

  CREATE TRIGGER IF NOT EXISTS task_runs_keyed_gone AFTER DELETE ON task_runs WHEN OLD.keyed = 1
  BEGIN
    DELETE FROM key_line WHERE task = OLD.id;
  END;
  """
