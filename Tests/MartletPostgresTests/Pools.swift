// What the tests of this folder share: pools over a real server, a gate that holds statements back, and lines that can be
// awaited.

internal import MartletCore
internal import PostgresServer
internal import Synchronization

@testable internal import MartletPostgres

/// Where the tests' tables are.
let schema = "public"

extension ConnectionSettings.Limits {
  /// For a machine that is busy with other tests: what must not fail has all the time that it needs.
  static let patient = {
    var limits = ConnectionSettings.Limits()
    (limits.connect, limits.patience, limits.hot, limits.silence) = (
      .seconds(30), .seconds(30), .seconds(60), .seconds(60)
    )
    return limits
  }()
}

func withPool<Value>(
  _ url: String? = nil, size: Int = 2, limits: ConnectionSettings.Limits = .patient,
  report: @escaping @Sendable (String) -> Void = { _ in },
  _ body: (ConnectionPool) async throws -> Value
) async throws -> Value {
  var place = url
  if place == nil { place = try await PostgresServer.shared.url() }
  let pool = ConnectionPool(
    try ConnectionSettings(url: place ?? "", schema: schema, limits: limits), size: size, report: report)
  do {
    let value = try await body(pool)
    await pool.close()
    return value
  } catch {
    await pool.close()
    throw error
  }
}

extension ConnectionPool {
  /// Text without parameters; the text is its own name.
  @discardableResult
  func run(_ sql: String, _ urgency: Urgency = .hot) async throws(PostgresFailure) -> Rows {
    try await run(Query(Statement(String(sql.suffix(60)), sql)), urgency)
  }

  func int(_ sql: String, _ urgency: Urgency = .hot) async throws(PostgresFailure) -> Int64? {
    try await run(sql, urgency).first { $0.int() }
  }
}

/// Statements that pass it wait until it is opened: an advisory lock, held by a session of its own.
final class Gate: Sendable {
  let number = Int64.random(in: 1...Int64(Int32.max))
  private let pool: ConnectionPool

  init(_ url: String) async throws {
    pool = ConnectionPool(
      try ConnectionSettings(url: url, schema: schema, limits: .patient), size: 1, report: { _ in })
    try await pool.run("SELECT pg_advisory_lock(\(number))")
  }

  var statement: Query { Query(Statement("gate", "SELECT pg_advisory_xact_lock($1)"), .int8(number)) }

  /// Returns when so many statements stand before it.
  /// - Throws: they do not come, since some of them were given up before.
  func holds(_ count: Int64) async throws {
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = \(number)"
    let deadline = ContinuousClock.now + .seconds(240)
    while try await pool.int(waiting) != count {
      guard ContinuousClock.now < deadline, !Task.isCancelled else { throw NobodyCame() }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  struct NobodyCame: Error {}

  func open() async throws {
    try await pool.run("SELECT pg_advisory_unlock(\(number))")
    await pool.close()
  }
}

/// Lines that were reported, to be awaited one by one.
final class Lines: Sendable {
  private let stream: AsyncStream<String>
  private let continuation: AsyncStream<String>.Continuation

  init() {
    (stream, continuation) = AsyncStream.makeStream()
  }

  func add(_ line: String) { continuation.yield(line) }

  func next() async -> String? {
    for await line in stream { return line }
    return nil
  }
}

/// A value that several tasks may look at and change.
final class Shared<Value: Sendable>: Sendable {
  private let mutex: Mutex<Value>

  init(_ value: Value) {
    mutex = Mutex(value)
  }

  var value: Value { mutex.withLock { $0 } }

  func change(_ body: (inout Value) -> Void) {
    mutex.withLock { body(&$0) }
  }
}
