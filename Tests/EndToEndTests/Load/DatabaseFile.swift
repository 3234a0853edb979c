// The database as a file, read by SQLite's own shell and by nothing of Martlet.

internal import Foundation

struct DatabaseFile: Sendable {
  let url: URL
  let scene: Scene

  /// A row of `task_runs`, with what its body says.
  struct Row: Sendable, Hashable {
    var id: String
    var status: Int
    var attempt: Int
    /// The number that the client gave it.
    var number: Int?
  }

  /// The codes of statuses and outcomes; they are for ever.
  static let success = 5
  static let lost = 4
  static let released = 7

  func rows() async throws -> [Row] {
    try await query(
      """
      SELECT lower(hex(r.id)), r.status, r.attempt, json_extract(b.metadata, '$.number')
      FROM task_runs r LEFT JOIN task_bodies b ON b.id = r.id ORDER BY r.id
      """
    ).map { columns in
      guard columns.count == 4, let status = Int(columns[1]), let attempt = Int(columns[2]) else {
        throw Unreadable(line: columns.joined(separator: "|"))
      }
      return Row(id: Self.id(columns[0]), status: status, attempt: attempt, number: Int(columns[3]))
    }
  }

  /// Ended attempts with this outcome.
  func attempts(ended outcome: Int) async throws -> Int {
    try await query("SELECT count(*) FROM attempts WHERE outcome = \(outcome)").first?.first.flatMap { Int($0) } ?? -1
  }

  /// What does not hold although no crash may break it.
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

  private static func id(_ hex: String) -> String {
    var id = ""
    for (index, character) in hex.enumerated() {
      if [8, 12, 16, 20].contains(index) { id += "-" }
      id.append(character)
    }
    return id
  }

  struct Unreadable: Error {
    let line: String
  }
}
