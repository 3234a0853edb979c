// Several queries in one round trip: all or nothing, prepared once, of any size.

internal import MartletCore
internal import PostgresServer
internal import Testing

@testable internal import MartletPostgres

struct PipelineTests {
  private let insert = Statement("insert", "INSERT INTO t (n) VALUES ($1)")
  private let select = Statement("select", "SELECT n FROM t ORDER BY n")

  private func withTable(size: Int = 1, _ body: (ConnectionPool) async throws -> Void) async throws {
    let url = try await PostgresServer.shared.createDatabase()
    try await withPool(url, size: size) { pool in
      try await pool.script("CREATE TABLE t (n bigint PRIMARY KEY)")
      try await body(pool)
    }
  }

  private func numbers(_ pool: ConnectionPool) async throws -> [Int64] {
    try await pool.run(Query(select)).map { $0.int() }
  }

  @Test func `A transaction answers each query`() async throws {
    try await withTable { pool in
      let rows = try await pool.transaction([
        Query(insert, .int8(1)), Query(insert, .int8(2)), Query(select), Query(Statement("delete", "DELETE FROM t")),
      ])
      #expect(rows.map(\.count) == [0, 0, 2, 0])
      #expect(rows.map(\.affected) == [1, 1, 2, 2])
      #expect(rows[2].map { $0.int() } == [1, 2])
      #expect(try await numbers(pool).isEmpty)
    }
  }

  @Test func `A failing statement undoes the whole transaction and leaves the connection usable`() async throws {
    try await withTable { pool in
      try await pool.run(Query(insert, .int8(1)))
      let before = try await pool.int("SELECT pg_backend_pid()")
      let failure = await #expect(throws: PostgresFailure.self) {
        try await pool.transaction([Query(insert, .int8(7)), Query(insert, .int8(1)), Query(insert, .int8(8))])
      }
      #expect(
        failure
          == .refused(
            sqlState: "23505",
            message: "duplicate key value violates unique constraint \"t_pkey\"; Key (n)=(1) already exists."))
      #expect(try await numbers(pool) == [1])
      #expect(try await pool.int("SELECT pg_backend_pid()") == before)
    }
  }

  @Test func `A transaction that fails at its very end is refused`() async throws {
    try await withTable { pool in
      try await pool.script("CREATE TABLE u (n bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)")
      let late = Statement("late", "INSERT INTO u VALUES ($1)")
      let failure = await #expect(throws: PostgresFailure.self) {
        try await pool.transaction([Query(insert, .int8(1)), Query(late, .int8(1)), Query(late, .int8(1))])
      }
      guard case .refused("23505", _)? = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
      #expect(try await numbers(pool).isEmpty)
      try await pool.transaction([Query(late, .int8(1)), Query(late, .int8(2))])
    }
  }

  @Test func `A statement is prepared once per connection`() async throws {
    try await withTable { pool in
      for n in Int64(1)...3 { try await pool.run(Query(insert, .int8(n))) }
      try await pool.transaction([Query(insert, .int8(4)), Query(insert, .int8(5))])
      let uses = try await pool.run(
        "SELECT count(*), sum(generic_plans + custom_plans)::int8 FROM pg_prepared_statements WHERE name = 'insert'"
      ).first { ($0.int(), $0.int()) }
      #expect(uses?.0 == 1)
      #expect(uses?.1 == 5)
    }
  }

  @Test func `Plans are made once, not for each set of parameters`() async throws {
    try await withTable { pool in
      for n in Int64(1)...3 { try await pool.run(Query(insert, .int8(n))) }
      let custom = "SELECT sum(custom_plans)::int8 FROM pg_prepared_statements WHERE name = 'insert'"
      #expect(try await pool.int(custom) == 0)
    }
  }

  @Test func `A statement that cannot be prepared is prepared when it can`() async throws {
    try await withTable { pool in
      let late = Statement("late", "INSERT INTO u SELECT $1")
      let failure = await #expect(throws: PostgresFailure.self) { try await pool.run(Query(late, .int8(1))) }
      guard case .refused("42P01", _)? = failure else {
        Issue.record("\(String(describing: failure))")
        return
      }
      try await pool.script("CREATE TABLE u (n bigint)")
      #expect(try await pool.run(Query(late, .int8(1))).affected == 1)
    }
  }

  @Test func `A statement after the failing one is prepared the next time`() async throws {
    try await withTable { pool in
      let other = Statement("other", "SELECT 5")
      await #expect(throws: PostgresFailure.self) {
        try await pool.transaction([Query(Statement("zero", "SELECT 1 / 0")), Query(other)])
      }
      let answer = try await pool.run(Query(other)).first { $0.int() }
      #expect(answer == 5)
    }
  }

  @Test func `A changed table costs one refusal, not the connection's use`() async throws {
    try await withTable { pool in
      let all = Statement("all", "SELECT * FROM t")
      try await pool.run(Query(all))
      try await pool.script("ALTER TABLE t ADD COLUMN m bigint")
      let failure = await #expect(throws: PostgresFailure.self) { try await pool.run(Query(all)) }
      guard let failure, case .unavailable = StoreError(failure) else {
        Issue.record("\(String(describing: failure))")
        return
      }
      try await pool.run(Query(all))
    }
  }

  @Test func `Thousands of rows of many columns go in one statement`() async throws {
    try await withTable { pool in
      try await pool.script(
        "CREATE TABLE wide (" + (1...15).map { "c\($0) \($0 % 2 == 0 ? "text" : "bigint")" }.joined(separator: ", ")
          + ")")
      let arrays = (1...15).map { "$\($0)::\($0 % 2 == 0 ? "text" : "int8")[]" }.joined(separator: ", ")
      let statement = Statement("wide", "INSERT INTO wide SELECT * FROM unnest(\(arrays))")
      let parameters = (1...15).map { column -> PostgresValue in
        column % 2 == 0
          ? .texts((0..<1000).map { String(repeating: "x", count: 100) + "\($0)" })
          : .int8s(0..<1000 as Range<Int64>)
      }
      // Far more than the sockets hold, in both directions.
      let queries =
        (0..<20).map { _ in Query(statement, parameters: parameters) }
        + (0..<5).map { _ in Query(Statement("read", "SELECT * FROM wide")) }
      let rows = try await pool.transaction(queries, .background)
      #expect(rows[0..<20].allSatisfy { $0.affected == 1000 })
      #expect(rows[20..<25].allSatisfy { $0.count == 20_000 })
    }
  }

  @Test func `A script is one transaction`() async throws {
    try await withTable { pool in
      let before = try await pool.int("SELECT pg_backend_pid()")
      let failure = await #expect(throws: PostgresFailure.self) {
        try await pool.script(
          "INSERT INTO t VALUES (1); CREATE TABLE v (n bigint); SELECT 1 / 0; INSERT INTO t VALUES (2)")
      }
      #expect(failure == .refused(sqlState: "22012", message: "division by zero"))
      #expect(try await numbers(pool).isEmpty)
      #expect(try await pool.int("SELECT pg_backend_pid()") == before)
      try await pool.script("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); SELECT * FROM t")
      #expect(try await numbers(pool) == [1, 2])
    }
  }

  @Test func `A script that fails in a transaction of its own leaves nothing open`() async throws {
    try await withTable { pool in
      await #expect(throws: PostgresFailure.self) {
        try await pool.script("COMMIT; BEGIN; INSERT INTO t VALUES (1); SELECT 1 / 0")
      }
      #expect(try await numbers(pool).isEmpty)
      try await pool.transaction([Query(insert, .int8(1)), Query(insert, .int8(2))])
      #expect(try await numbers(pool) == [1, 2])
    }
  }

  @Test func `A script has more time than a call`() async throws {
    var limits = ConnectionSettings.Limits.patient
    limits.hot = .seconds(10)
    try await withPool(size: 1, limits: limits) { pool in
      try await pool.script("SELECT pg_sleep(11); SELECT 1")
      #expect(try await pool.run("SHOW statement_timeout").first { $0.text() } == "9s")
    }
  }

  @Test func `Parameters beyond what the protocol takes are refused and change nothing`() async throws {
    try await withTable { pool in
      let far = Query(
        Statement("far", "SELECT 1"), parameters: (0..<70_000).map { .int8($0) })
      await #expect(throws: PostgresFailure.self) { try await pool.transaction([Query(insert, .int8(1)), far]) }
      let left = try await numbers(pool)
      #expect(left.isEmpty)
    }
  }

  @Test func `A session has the schema, the limits and the durability that it was opened with`() async throws {
    let url = try await PostgresServer.shared.createDatabase()
    var limits = ConnectionSettings.Limits.patient
    limits.hot = ConnectionSettings.Limits().hot
    let settings = try ConnectionSettings(url: url, schema: "O'Neil \"s\", x", limits: limits)
    let pool = ConnectionPool(settings, size: 1, report: { _ in })
    try await pool.connect()
    func show(_ name: String, _ urgency: Urgency = .hot) async throws -> String? {
      try await pool.run("SELECT current_setting('\(name)')", urgency).first { $0.text() }
    }
    #expect(try await show("search_path") == "\"O'Neil \"\"s\"\", x\"")
    #expect(try await show("plan_cache_mode") == "force_generic_plan")
    #expect(try await show("statement_timeout") == "4500ms")
    #expect(try await show("statement_timeout", .background) == "54s")
    #expect(try await show("statement_timeout") == "4500ms")
    #expect(try await show("tcp_keepalives_idle") == "10")
    #expect(try await show("application_name") == "martlet")
    #expect(try await show("client_encoding") == "UTF8")
    #expect(
      try await pool.run("SELECT source FROM pg_settings WHERE name = 'synchronous_commit'").first { $0.text() }
        == "session")
    await pool.close()
  }

  @Test func `Notices go nowhere`() async throws {
    try await withTable { pool in
      try await pool.script("DO $$ BEGIN RAISE WARNING 'not for standard error'; END $$")
      #expect(try await pool.int("SELECT 1") == 1)
    }
  }
}
