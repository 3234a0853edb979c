// Behind PgBouncer in transaction mode each transaction may run on another session: nothing may be left in one, and nothing may
// be missing from one.

internal import ChildProcess
internal import MartletCore
internal import PostgresServer
internal import Testing

@testable internal import MartletPostgres

@Suite(.serialized)
struct PgBouncerTests {
  private struct Place {
    let server: PostgresServer
    let bouncer: PgBouncer
    let database: String

    var url: String { bouncer.url(database, parameters: "?pgbouncer=true") }
  }

  private func withBouncer(sessions: Int = 2, _ body: (Place) async throws -> Void) async throws {
    let server = try await PostgresServer.shared
    let database = String(try await server.createDatabase().split(separator: "/").last ?? "")
    let bouncer = try PgBouncer(before: server, sessions: sessions)
    let place = Place(server: server, bouncer: bouncer, database: database)
    let end = ContinuousClock.now + .seconds(60)
    while try await psql(place, "SELECT 1").status != 0 {
      guard .now < end else { throw ChildFailed(description: "pgbouncer does not answer") }
    }
    try await body(place)
  }

  /// Another client of the same PgBouncer, who sees the sessions that we used.
  private func psql(_ place: Place, _ sql: String) async throws -> (status: Int32, output: String, errors: String) {
    try await place.server.run(
      "psql",
      ["-p", "\(place.bouncer.port)", "-X", "-A", "-t", "-U", PostgresServer.user, "-d", place.database, "-c", sql])
  }

  @Test func `Many connections work over few sessions and leave nothing in them`() async throws {
    try await withBouncer { place in
      let settings = try ConnectionSettings(url: place.url, schema: "of its own", limits: .patient)
      let pool = ConnectionPool(settings, size: 4, report: { _ in })
      try await pool.script("CREATE SCHEMA \"of its own\"; CREATE TABLE t (n bigint, s text)")
      let insert = Statement("insert", "INSERT INTO t SELECT * FROM unnest($1::int8[], $2::text[])")
      try await withThrowingTaskGroup(of: Void.self) { group in
        for n in Int64(0)..<40 {
          group.addTask {
            try await pool.transaction([
              Query(insert, .int8s([n]), .texts(["a"])), Query(insert, .int8s([n, n]), .texts(["b", nil])),
            ])
          }
        }
        try await group.waitForAll()
      }
      #expect(try await pool.int("SELECT count(*) FROM t") == 120)
      #expect(try await pool.run("SHOW search_path").first { $0.text() } == "\"of its own\"")
      #expect(try await pool.run("SHOW plan_cache_mode").first { $0.text() } == "force_generic_plan")
      #expect(try await pool.run("SHOW statement_timeout", .background).first { $0.text() } == "54s")
      #expect(try await pool.int("SELECT count(*) FROM pg_prepared_statements") == 0)
      #expect(
        try await pool.run("SELECT source FROM pg_settings WHERE name = 'synchronous_commit'").first { $0.text() }
          == "session")
      await pool.close()
      let left =
        "SELECT current_setting('search_path'), current_setting('plan_cache_mode'), current_setting('statement_timeout')"
      #expect(try await psql(place, left).output == "\"$user\", public|auto|0\n")
    }
  }

  @Test func `A failing statement undoes the whole transaction`() async throws {
    try await withBouncer { place in
      try await withPool(place.url, size: 1) { pool in
        try await pool.script("CREATE TABLE t (n bigint PRIMARY KEY)")
        let insert = Statement("insert", "INSERT INTO t VALUES ($1)")
        let failure = await #expect(throws: PostgresFailure.self) {
          try await pool.transaction([Query(insert, .int8(1)), Query(insert, .int8(2)), Query(insert, .int8(1))])
        }
        guard case .refused("23505", _)? = failure else {
          Issue.record("\(String(describing: failure))")
          return
        }
        #expect(try await pool.int("SELECT count(*) FROM t") == 0)
        await #expect(throws: PostgresFailure.self) {
          try await pool.script("INSERT INTO t VALUES (1); SELECT 1 / 0")
        }
        #expect(try await pool.int("SELECT count(*) FROM t") == 0)
      }
    }
  }

  @Test func `A session that the server ended is not noticed`() async throws {
    try await withBouncer { place in
      try await withPool(place.url, size: 1) { pool in
        try await pool.run("SELECT 1")
        _ = try await place.server.query(
          "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '\(place.database)'")
        let answer = try await pool.int("SELECT 2")
        #expect(answer == 2)
      }
    }
  }

  @Test func `Who forgot to say that PgBouncer is there is told`() async throws {
    try await withBouncer(sessions: 1) { place in
      let query = Query(Statement("same", "SELECT 1"))
      try await withPool(place.bouncer.url(place.database), size: 1) { first in
        try await first.run(query)
        try await withPool(place.bouncer.url(place.database), size: 1) { second in
          let failure = await #expect(throws: PostgresFailure.self) { try await second.run(query) }
          guard let failure, case .unusable(let message) = StoreError(failure) else {
            Issue.record("\(String(describing: failure))")
            return
          }
          #expect(message.hasSuffix("behind PgBouncer in transaction mode the URL needs pgbouncer=true"))
        }
      }
    }
  }

  @Test func `Nothing listens there`() async throws {
    try await withBouncer { place in
      let listener = Listener(
        try ConnectionSettings(url: place.url, schema: schema), channel: "c", report: { Issue.record("\($0)") },
        hear: { Issue.record("\($0)") }, onGap: { Issue.record("a gap") })
      listener.start()
      await listener.close()
    }
  }
}
