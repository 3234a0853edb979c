// Opening a schema: made once by whoever comes first, refused where it cannot be trusted.

import MartletCore
import MartletPostgres
import MartletTestKit
import PostgresServer
import Testing

@Suite struct OpeningTests {
  @Test func `ten nodes that start at once make the schema once, and all open it`() async throws {
    let options = try await Nodes.options()
    let nodes = try await withThrowingTaskGroup(of: PostgresStore.self) { group in
      for _ in 0..<10 { group.addTask { try await PostgresStore.open(options) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    for node in nodes {
      try await node.check()
      await node.close()
    }
    let (known, applied) = try await PostgresStore.migrationStatus(options)
    #expect(known == applied && !known.isEmpty)
  }

  @Test func `a fresh database has no migrations, and asking makes none`() async throws {
    let options = try await Nodes.options()
    #expect(try await PostgresStore.migrationStatus(options).applied == [])
    #expect(try await PostgresServer.shared.query("SELECT to_regnamespace('\(options.schema)') IS NULL") == [["t"]])
  }

  @Test func `a schema of a newer martlet is refused`() async throws {
    let options = try await Nodes.options()
    try await PostgresStore.migrate(options)
    _ = try await PostgresServer.shared.query("INSERT INTO \(options.schema).migrations (name) VALUES ('V9999_future')")
    await refuses(options, "the schema \(options.schema) was written by a newer martlet (V9999_future)")
  }

  @Test func `a schema that holds somebody else's tables is refused and left alone`() async throws {
    let options = try await Nodes.options()
    _ = try await PostgresServer.shared.query(
      "CREATE SCHEMA \(options.schema); CREATE TABLE \(options.schema).orders (id integer)")
    await refuses(options, "holds another program's tables")
    #expect(try await PostgresStore.migrationStatusIsRefused(options))
  }

  @Test func `a role that may not create the schema is told so`() async throws {
    var options = try await Nodes.options()
    _ = try await PostgresServer.shared.query("CREATE ROLE \(options.schema)_role LOGIN")
    options.url = try await PostgresServer.shared.url(user: "\(options.schema)_role")
    await refuses(options, "the role lacks rights")
  }

  @Test func `a role that may not look into the schema is told so`() async throws {
    var options = try await Nodes.options()
    try await PostgresStore.migrate(options)
    _ = try await PostgresServer.shared.query("CREATE ROLE \(options.schema)_role LOGIN")
    options.url = try await PostgresServer.shared.url(user: "\(options.schema)_role")
    await refuses(options, "the role may not use the schema \(options.schema)")
  }

  @Test func `a role that may not write is told so`() async throws {
    var options = try await Nodes.options()
    try await PostgresStore.migrate(options)
    let role = "\(options.schema)_role"
    _ = try await PostgresServer.shared.query(
      """
      CREATE ROLE \(role) LOGIN; GRANT USAGE ON SCHEMA \(options.schema) TO \(role);
      GRANT SELECT ON ALL TABLES IN SCHEMA \(options.schema) TO \(role)
      """)
    options.url = try await PostgresServer.shared.url(user: role)
    await refuses(options, "the role lacks rights in the schema \(options.schema)")
  }

  @Test func `a role that owns nothing but may use everything is welcome`() async throws {
    var options = try await Nodes.options()
    try await PostgresStore.migrate(options)
    let role = "\(options.schema)_role"
    _ = try await PostgresServer.shared.query(
      """
      CREATE ROLE \(role) LOGIN; GRANT USAGE ON SCHEMA \(options.schema) TO \(role);
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \(options.schema) TO \(role)
      """)
    options.url = try await PostgresServer.shared.url(user: role)
    let node = try await PostgresStore.open(options)
    try await node.submitStub(.stub(1))
    #expect(try await node.claimStub().count == 1)
    await node.close()
  }

  @Test func `a server that does not wait for the disk is refused unless that is wanted`() async throws {
    var options = try await Nodes.options()
    options.durability = .strict
    await refuses(options, "fsync = off")
  }

  private func refuses(_ options: PostgresStore.Options, _ words: String) async {
    let error = await #expect(throws: StoreError.self) { await (try await PostgresStore.open(options)).close() }
    guard case .unusable(let message) = error else {
      Issue.record("throws \(String(describing: error))")
      return
    }
    #expect(message.contains(words))
    #expect(!message.contains("\n"))
  }
}

extension PostgresStore {
  fileprivate static func migrationStatusIsRefused(_ options: Options) async throws -> Bool {
    do {
      _ = try await migrationStatus(options)
      return false
    } catch {
      return true
    }
  }
}
