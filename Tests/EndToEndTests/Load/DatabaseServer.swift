// The database of many nodes, read by `psql`. Its faults say more than a file's: other nodes than the one that wrote a row go
// on with it, so all that rows tell together must fit.

internal import PostgresServer

struct DatabaseServer: TaskDatabase {
  let server: PostgresServer
  let name: String

  /// An empty database.
  init(on server: PostgresServer) async throws {
    self.server = server
    name = String(try await server.createDatabase().split(separator: "/").last ?? "")
  }

  private init(server: PostgresServer, name: String) {
    self.server = server
    self.name = name
  }

  /// One with the same contents. Nobody may be connected.
  func copy() async throws -> DatabaseServer {
    let copy = "\(name)_\(UInt16.random(in: 0 ... .max))"
    _ = try await server.query("CREATE DATABASE \(copy) TEMPLATE \(name)")
    return DatabaseServer(server: server, name: copy)
  }

  /// The same one on another server, which has taken over from this one.
  func taken(over server: PostgresServer) -> DatabaseServer { DatabaseServer(server: server, name: name) }

  var url: String { server.url(database: name) }

  /// The same by way of a proxy.
  func url(port: Int) -> String { "postgres://\(PostgresServer.user)@127.0.0.1:\(port)/\(name)" }

  func rows() async throws -> [StoredTask] {
    try await query(
      """
      SELECT r.id, r.status, r.attempt, b.metadata::json ->> 'number'
      FROM martlet.task_runs r LEFT JOIN martlet.task_bodies b ON b.id = r.id ORDER BY r.id
      """
    ).map { try StoredTask(columns: $0) }
  }

  func attempts(ended outcome: Int) async throws -> [StoredAttempt] {
    try await query("SELECT task, number FROM martlet.attempts WHERE outcome = \(outcome)")
      .map { try StoredAttempt(columns: $0) }
  }

  /// Tasks that can still move.
  func restless() async throws -> Int {
    try await number("SELECT count(*) FROM martlet.task_runs WHERE status NOT IN (5, 6, 7)")
  }

  /// One whole number.
  func number(_ sql: String) async throws -> Int {
    let rows = try await query(sql)
    guard let number = rows.first?.first.flatMap({ Int($0) }) else { throw UnreadableRow(columns: rows.first ?? []) }
    return number
  }

  func query(_ sql: String) async throws -> [[String]] {
    try await server.query(sql, database: name)
  }

  func faults() async throws -> [String] {
    let questions = Self.impossible.map { what, sql in
      "SELECT '\(what)' AS what, count(*) AS count, min(found::text) AS first FROM (\(sql)) found"
    }
    return try await query("SELECT * FROM (\(questions.joined(separator: "\nUNION ALL "))) q WHERE count > 0")
      .map { "\($0[0]): \($0[1]), the first: \($0[2])" }
  }

  private static let recount = """
    SELECT l.queue, l.type, r.status, count(*)
    FROM martlet.task_runs r JOIN martlet.lanes l ON l.id = r.lane GROUP BY l.queue, l.type, r.status
    """
  private static let counts = "SELECT queue, type, status, count FROM martlet.task_counts WHERE count <> 0"

  /// Ended attempts, those that only the run row tells of included.
  private static let ended = """
    SELECT task, number, outcome, started_at, finished_at FROM martlet.attempts
    UNION ALL SELECT id, attempt, outcome, started_at, finished_at FROM martlet.task_runs
    WHERE started_sequence > 0 AND outcome IS NOT NULL
    """

  /// The numbers of all events that rows tell of. An attempt's end is told by two of them, but for SUCCESS (1), CANCELLED (5)
  /// and SNOOZED (6), and by one if a cancel made it CANCELLED (7) when it gave back its task or asked for a pause.
  private static let told = """
    SELECT id AS task, 1 AS sequence FROM martlet.task_bodies
    UNION ALL SELECT id, ready_sequence FROM martlet.task_runs WHERE ready_sequence > 0
    UNION ALL SELECT id, started_sequence FROM martlet.task_runs WHERE started_sequence > 0
    UNION ALL SELECT id, sequence FROM martlet.task_runs WHERE started_sequence > 0 AND outcome = 1
    UNION ALL SELECT task, ready_sequence FROM martlet.attempts WHERE ready_sequence > 0
    UNION ALL SELECT task, started_sequence FROM martlet.attempts
    UNION ALL SELECT task, finished_sequence FROM martlet.attempts
    UNION ALL SELECT task, finished_sequence + 1 FROM martlet.attempts
      WHERE outcome IN (2, 3, 4) OR outcome = 7 AND status_after = 2
    UNION ALL SELECT task, sequence FROM martlet.events
    """

  /// Each is a query that must find nothing.
  private static let impossible = [
    ("counted and not there", "\(counts) EXCEPT \(recount)"),
    ("there and not counted", "\(recount) EXCEPT \(counts)"),
    (
      "half of a task",
      """
      SELECT coalesce(r.id, b.id) FROM martlet.task_runs r FULL JOIN martlet.task_bodies b ON b.id = r.id
      WHERE r.id IS NULL OR b.id IS NULL
      """
    ),
    (
      "columns that contradict the status",
      """
      SELECT id, status FROM martlet.task_runs
      WHERE claimable <> (status = 2 AND blocked = 0) OR is_dead <> (status = 6)
        OR (due_at IS NOT NULL) <> (status IN (1, 4) AND unmet = 0) OR (finished_at IS NULL) = (status IN (5, 6, 7))
      """
    ),
    ("a success accepted twice", "SELECT task FROM (\(ended)) e WHERE outcome = 1 GROUP BY task HAVING count(*) > 1"),
    (
      "a success of which the task knows nothing",
      """
      SELECT e.task, e.number FROM (\(ended)) e JOIN martlet.task_runs r ON r.id = e.task
      WHERE e.outcome = 1 AND (r.status <> 5 OR r.attempt <> e.number)
      """
    ),
    (
      "attempts that are missing or told twice",
      """
      SELECT r.id FROM martlet.task_runs r LEFT JOIN (\(ended)) e ON e.task = r.id
      WHERE r.status <> 3 GROUP BY r.id, r.attempt
      HAVING count(e.number) <> r.attempt OR count(DISTINCT e.number) <> r.attempt OR coalesce(max(e.number), 0) <> r.attempt
      """
    ),
    (
      "an attempt that began before the one before had ended",
      """
      SELECT task, number FROM (
        SELECT task, number, started_at, lag(finished_at) OVER (PARTITION BY task ORDER BY number) AS before FROM (\(ended)) e
      ) e WHERE started_at < before
      """
    ),
    (
      "a history with a gap",
      """
      SELECT r.id, r.sequence, array_agg(t.sequence ORDER BY t.sequence)
      FROM martlet.task_runs r LEFT JOIN (\(told)) t ON t.task = r.id GROUP BY r.id, r.sequence
      HAVING count(*) <> r.sequence OR count(DISTINCT t.sequence) <> r.sequence OR max(t.sequence) <> r.sequence
      """
    ),
    (
      "history of a task that is not there",
      """
      SELECT task FROM (SELECT task FROM martlet.attempts UNION SELECT task FROM martlet.events UNION SELECT task FROM martlet.results) h
      WHERE task NOT IN (SELECT id FROM martlet.task_runs)
      """
    ),
  ]
}
