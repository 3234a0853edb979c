// The pool over a real server: who is let through, who waits, what cancellation and closing do, and how a connection begins.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

@testable internal import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct PoolTests {
  @Test func `Many callers share a few connections`() async throws {
    try await withPool(size: 3) { pool in
      let sessions = try await withThrowingTaskGroup(of: Int64?.self) { group in
        for _ in 0..<200 { group.addTask { try await pool.int("SELECT pg_backend_pid()") } }
        return try await group.reduce(into: Set()) { $0.insert($1) }
      }
      #expect((1...3).contains(sessions.count))
    }
  }

  @Test func `Background work never holds back a hot call`() async throws {
    let url = try await PostgresServer.shared.url()
    try await withPool(url, size: 3) { pool in
      let gate = try await Gate(url)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<5 { group.addTask { try await pool.run(gate.statement, .background) } }
        try await gate.holds(2)
        #expect(try await pool.int("SELECT 1") == 1)
        try await gate.open()
        try await group.waitForAll()
      }
    }
  }

  @Test func `Cancellation of the caller does not interrupt a call`() async throws {
    let url = try await PostgresServer.shared.url()
    try await withPool(url, size: 1) { pool in
      let gate = try await Gate(url)
      let call = Task {
        try await pool.transaction([gate.statement, Query(Statement("five", "SELECT 5"))])[1].first { $0.int() }
      }
      let waiting = Task { try await pool.int("SELECT 6") }
      try await gate.holds(1)
      call.cancel()
      waiting.cancel()
      try await gate.open()
      #expect(try await call.value == 5)
      #expect(try await waiting.value == 6)
    }
  }

  @Test func `Closing waits for what is in flight and refuses the rest`() async throws {
    let url = try await PostgresServer.shared.url()
    let pool = ConnectionPool(
      try ConnectionSettings(url: url, schema: schema, limits: .patient), size: 1, report: { _ in })
    let gate = try await Gate(url)
    let order = Lines()
    let call = Task { try await pool.run(gate.statement) }
    try await gate.holds(1)
    let waiting = Task { try await pool.int("SELECT 1") }
    let closing = Task {
      await pool.close()
      order.add("close")
    }
    let closed = PostgresFailure.unavailable("the store is closed")
    await #expect(throws: closed) { try await waiting.value }
    await #expect(throws: closed) { try await pool.int("SELECT 2") }
    order.add("open")
    try await gate.open()
    _ = try await call.value
    await closing.value
    #expect([await order.next(), await order.next()] == ["open", "close"])
    await pool.close()
    await #expect(throws: closed) { try await pool.script("SELECT 3") }
  }

  @Test func `A closed pool leaves no session behind`() async throws {
    let url = try await PostgresServer.shared.createDatabase()
    try await withPool(url, size: 3) { pool in
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<20 { group.addTask { try await pool.run("SELECT 1") } }
        try await group.waitForAll()
      }
    }
    let name = url.split(separator: "/").last ?? ""
    try await withPool { pool in
      while try await pool.int("SELECT count(*) FROM pg_stat_activity WHERE datname = '\(name)'") != 0 {
        await Task.yield()
      }
    }
  }

  // MARK: The first connection

  private func connect(
    _ url: String, greeting: @escaping @Sendable (Greeting) throws(StoreError) -> Void = { _ in }
  ) async throws -> StoreError? {
    var limits = ConnectionSettings.Limits.patient
    limits.patience = .zero
    let pool = ConnectionPool(
      try ConnectionSettings(url: url, schema: schema, limits: limits), size: 2, report: { _ in }, greeting: greeting)
    do throws(StoreError) {
      try await pool.connect()
      await pool.close()
      return nil
    } catch {
      let call = await #expect(throws: PostgresFailure.self) { try await pool.int("SELECT 1") }
      #expect(call == .unavailable(error.message))
      await pool.close()
      return error
    }
  }

  @Test func `The greeting tells what the server is`() async throws {
    let heard = Shared<Greeting?>(nil)
    let error = try await connect(PostgresServer.shared.url()) { greeting in heard.change { $0 = greeting } }
    #expect(error == nil)
    let greeting = try #require(heard.value)
    #expect(greeting.serverVersion >= 140_000)
    #expect(greeting.synchronousCommit == "on")
    #expect(greeting.fsync == "off")
    #expect(greeting.fullPageWrites == "on")
    #expect(greeting.serverEncoding == "UTF8")
    #expect(!greeting.isInRecovery)
  }

  @Test func `A server that is refused is not used`() async throws {
    let error = try await connect(PostgresServer.shared.url()) { _ throws(StoreError) in throw .unusable("not this one")
    }
    #expect(error == .unusable("not this one"))
  }

  @Test func `A session keeps the durability that it was greeted with`() async throws {
    let server = try await PostgresServer.start(durable: false)
    try await withPool(server.url(), size: 1) { pool in
      try await pool.connect()
      _ = try await server.query("ALTER SYSTEM SET synchronous_commit = off")
      _ = try await server.query("SELECT pg_reload_conf()")
      while try await server.query("SHOW synchronous_commit") != [["off"]] { await Task.yield() }
      #expect(try await pool.run("SHOW synchronous_commit").first { $0.text() } == "on")
    }
    await server.remove()
  }

  @Test func `What somebody has to mend is said in one line`() async throws {
    let server = try await PostgresServer.shared
    let place = "connection to server at \"127.0.0.1\", port \(server.port) failed"
    #expect(
      try await connect(server.url(database: "nowhere"))
        == .unusable("\(place): FATAL: database \"nowhere\" does not exist"))
    #expect(
      try await connect(server.url(user: "nobody")) == .unusable("\(place): FATAL: role \"nobody\" does not exist"))
    #expect(
      try await connect(server.url() + "?sslmode=require")
        == .unusable("\(place): server does not support SSL, but SSL was required"))
    let missing = try await connect("postgres://no..host/d")
    guard case .unusable(let reason)? = missing, reason.hasPrefix("could not translate host name") else {
      Issue.record("\(String(describing: missing))")
      return
    }
  }

  @Test func `What passes is not called unusable`() async throws {
    let server = try await PostgresServer.shared
    _ = try await server.query("CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
    let place = "connection to server at \"127.0.0.1\", port"
    #expect(
      try await connect(server.url(user: "crowd"))
        == .unavailable("\(place) \(server.port) failed: FATAL: too many connections for role \"crowd\""))
    let nobody = try await connect("postgres://127.0.0.1:1/d")
    #expect(nobody == .unavailable("\(place) 1 failed: Connection refused"))
  }

  @Test func `A server that shuts down is unavailable`() async throws {
    let server = try await PostgresServer.start(durable: false)
    try await withPool(server.url(), size: 1) { pool in
      try await pool.run("SELECT 1")
      server.signal(SIGTERM)
      while try await connect(server.url()) == nil { await Task.yield() }
      let error = try await connect(server.url())
      guard case .unavailable(let reason)? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(reason.hasSuffix("FATAL: the database system is shutting down"))
    }
    await server.remove()
  }
}
