// The database as a file, read by SQLite's own shell.

internal import Foundation

struct DatabaseFile: TaskDatabase {
  let url: URL
  let scene: Scene

  func rows() async throws -> [StoredTask] {
    try await query(
      """
      SELECT \(Self.id("r.id")), r.status, r.attempt, json_extract(b.metadata, '$.number')
      FROM task_runs r LEFT JOIN task_bodies b ON b.id = r.id ORDER BY r.id
      """
    ).map { try StoredTask(columns: $0) }
  }

  func attempts(ended outcome: Int) async throws -> [StoredAttempt] {
    try await query("SELECT \(Self.id("task")), number FROM attempts WHERE outcome = \(outcome)")
      .map { try StoredAttempt(columns: $0) }
  }

  func faults() async throws -> [String] {
    var faults: [String] = []
    let integrity = try await query("PRAGMA integrity_check").map { $0.joined(separator: "|") }
    if integrity != ["ok"] { faults.append("integrity_check says \(integrity)") }
    let recount = "SELECT queue, type, status, count(*) FROM task_runs GROUP BY queue, type, status"
    let counts = "SELECT queue, type, status, count FROM counts WHERE count <> 0"
    for (one, other) in [(recount, counts), (counts, recount)] {
      faults += try await query("\(one) EXCEPT \(other)").map { "counts and recount differ: \($0)" }
    }
    let half = """
      SELECT hex(id) FROM task_runs WHERE id NOT IN (SELECT id FROM task_bodies)
      UNION ALL SELECT hex(id) FROM task_bodies WHERE id NOT IN (SELECT id FROM task_runs)
      """
    faults += try await query(half).map { "half of a task is stored: \($0)" }
    return faults
  }

  func query(_ sql: String) async throws -> [[String]] {
    try await scene.system("sqlite3", ["-batch", "-separator", "\t", url.path, sql])
      .split(separator: "\n").map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
  }

  /// SQL that shows the bytes of an id as people write it.
  private static func id(_ column: String) -> String {
    [(1, 8), (9, 4), (13, 4), (17, 4), (21, 12)]
      .map { "substr(lower(hex(\(column))), \($0.0), \($0.1))" }.joined(separator: " || '-' || ")
  }
}
