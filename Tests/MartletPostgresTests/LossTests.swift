// The connection breaks, the server hangs, stops and comes back: what each caller is told, and that the next call works.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

@testable internal import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct LossTests {
  private let session = "SELECT pg_backend_pid()"

  /// So many connections, open and idle, and their sessions' numbers.
  private func openAll(_ pool: ConnectionPool, _ count: Int, gate: Gate) async throws -> Set<Int64> {
    try await withThrowingTaskGroup(of: Int64?.self) { group in
      for _ in 0..<count {
        group.addTask {
          try await pool.transaction([gate.statement, Query(Statement("session", session))])[1].first { $0.int() }
        }
      }
      try await gate.holds(Int64(count))
      try await gate.open()
      return try await group.reduce(into: []) { if let id = $1 { $0.insert(id) } }
    }
  }

  private func end(_ sessions: some Collection<Int64>) async throws {
    let list = sessions.map(String.init).joined(separator: ",")
    // Waits until they are gone.
    _ = try await PostgresServer.shared.query(
      "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid IN (\(list))")
  }

  private func isLost(_ failure: PostgresFailure?) -> Bool {
    if case .lost? = failure { true } else { false }
  }

  @Test func `An idle connection that the server ended costs the next call nothing`() async throws {
    let url = try await PostgresServer.shared.url()
    try await withPool(url, size: 4) { pool in
      let sessions = try await openAll(pool, 4, gate: Gate(url))
      try await end(sessions)
      let next = try await pool.int(session)
      #expect(next.map(sessions.contains) == false)
    }
  }

  @Test func `A connection that breaks at work leaves the outcome unknown, and the next call works`() async throws {
    let url = try await PostgresServer.shared.url()
    try await withPool(url, size: 1) { pool in
      let gate = try await Gate(url)
      let call = Task { try await pool.run(gate.statement) }
      try await gate.holds(1)
      let waiting = try await PostgresServer.shared.query(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = \(gate.number)")
      try await end(waiting.flatMap { $0 }.compactMap(Int64.init))
      let failure = await #expect(throws: PostgresFailure.self) { try await call.value }
      let words = "the connection to the database broke: terminating connection due to administrator command"
      #expect(failure == .lost(words))
      let answer = try await pool.int("SELECT 1")
      #expect(answer == 1)
      try await gate.open()
    }
  }

  @Test func `A session ended by the server's own limit is no answer`() async throws {
    try await withPool(size: 1) { pool in
      let suicide = Query(Statement("suicide", "SELECT pg_terminate_backend(pg_backend_pid())"))
      let failure = await #expect(throws: PostgresFailure.self) { try await pool.run(suicide) }
      #expect(isLost(failure))
      let answer = try await pool.int("SELECT 1")
      #expect(answer == 1)
    }
  }

  @Test func `A statement that takes too long is ended by the server, and nothing was changed`() async throws {
    var limits = ConnectionSettings.Limits.patient
    limits.hot = .seconds(10)
    try await withPool(size: 1, limits: limits) { pool in
      let before = try await pool.int(session)
      let failure = await #expect(throws: PostgresFailure.self) { try await pool.run("SELECT pg_sleep(60)") }
      #expect(failure == .refused(sqlState: "57014", message: "canceling statement due to statement timeout"))
      #expect(try await pool.int(session) == before)
    }
  }

  @Test func `A server that hangs leaves what was sent unknown and refuses what was not`() async throws {
    let server = try await PostgresServer.start(durable: false)
    var limits = ConnectionSettings.Limits.patient
    (limits.patience, limits.connect) = (.seconds(5), .seconds(5))
    (limits.hot, limits.silence) = (.seconds(6), .seconds(2))
    let lines = Lines()
    try await withPool(server.url(), size: 1, limits: limits, report: lines.add) { pool in
      try await pool.connect()
      server.signal(SIGSTOP)
      let calls = (2...3).map { n in Task { try await pool.run("SELECT \(n)") } }
      let failures = [await failure { try await calls[0].value }, await failure { try await calls[1].value }]
      #expect(failures.contains(.lost("the connection to the database broke: the database did not answer in time")))
      #expect(failures.contains(.unavailable("the database does not answer")))
      let next = await failure { try await pool.run("SELECT 4") }
      #expect(next == .unavailable("the database did not answer in time") || next == .unavailable(noConnection))
      #expect(await lines.next() == "the database cannot be reached: the database did not answer in time")
      server.signal(SIGCONT)
      #expect(await lines.next() == "the database is back")
      let answer = try await pool.int("SELECT 5")
      #expect(answer == 5)
    }
    await server.remove()
  }

  private let noConnection = "no connection to the database within 5000 ms"

  private func failure(_ call: () async throws -> Rows) async -> PostgresFailure? {
    do {
      _ = try await call()
      return nil
    } catch {
      return error as? PostgresFailure
    }
  }

  @Test(arguments: [PostgresServer.StopMode.fast, .immediate])
  func `After a restart the next call works`(_ mode: PostgresServer.StopMode) async throws {
    let server = try await PostgresServer.start(durable: false)
    let lines = Lines()
    var limits = ConnectionSettings.Limits.patient
    limits.patience = .seconds(60)
    try await withPool(server.url(), size: 4, limits: limits, report: lines.add) { pool in
      _ = try await openAll(pool, 4, gate: Gate(server.url()))
      try await server.stop(mode)
      try await server.startAgain()
      let answer = try await pool.int("SELECT 1")
      #expect(answer == 1)

      try await server.stop(mode)
      let failure = await failure { try await pool.run("SELECT 2") }
      guard case .unavailable(let reason)? = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
      #expect(reason.contains("Connection refused"))
      #expect(!reason.contains("\n"))
      // It may have been told of the first stop, too.
      var line = await lines.next()
      while line != "the database cannot be reached: \(reason)" { line = await lines.next() }
      try await server.startAgain()
      #expect(await lines.next() == "the database is back")
      let answerAgain = try await pool.int("SELECT 3")
      #expect(answerAgain == 3)
    }
    await server.remove()
  }

  @Test func `What callers are told is what was written, while connections are cut`() async throws {
    let url = try await PostgresServer.shared.createDatabase()
    let name = String(url.split(separator: "/").last ?? "")
    try await withPool(url, size: 3) { pool in
      try await pool.script("CREATE TABLE t (n bigint)")
      let insert = Statement("insert", "INSERT INTO t VALUES ($1)")
      let cutter = Task {
        while !Task.isCancelled {
          _ = try await PostgresServer.shared.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '\(name)' ORDER BY random() LIMIT 1"
          )
        }
      }
      let cuts = Shared(0)  // at work, not at rest
      let told = try await withThrowingTaskGroup(of: [(Int64, PostgresFailure?)].self) { group in
        for caller in Int64(0)..<6 {
          group.addTask {
            var told: [(Int64, PostgresFailure?)] = []
            for n in caller * 1_000_000..<(caller + 1) * 1_000_000 where cuts.value < 3 {
              do throws(PostgresFailure) {
                try await pool.transaction([Query(insert, .int8(n)), Query(insert, .int8(-n))])
                told.append((n, nil))
              } catch {
                told.append((n, error))
                if isLost(error) { cuts.change { $0 += 1 } }
              }
            }
            return told
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      cutter.cancel()
      _ = await cutter.result
      let written = try await withPool(url) { other in
        try await other.run("SELECT abs(n), count(*) FROM t GROUP BY 1").map { ($0.int(), $0.int()) }
      }
      let counts = Dictionary(uniqueKeysWithValues: written)
      for (n, failure) in told where n != 0 {
        switch failure {
        case nil: #expect(counts[n] == 2)
        case .lost: #expect(counts[n] == nil || counts[n] == 2)
        case .unavailable, .refused: #expect(counts[n] == nil, "\(String(describing: failure))")
        }
      }
    }
  }
}
