// What PostgreSQL must be and have before Martlet entrusts tasks to it; each lack is one clear line and exit code 1.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Refused databases")
  struct DatabaseRefusalTests {
    @Test func `a server that may lose what it has acknowledged is refused, unless that is accepted`() async throws {
      try await Scene.play { scene in
        let postgres = try await scene.postgres(settings: ["synchronous_commit": "off"])
        let database = try await DatabaseServer(on: postgres)
        try await scene.refuses(Self.serve(database.url), "synchronous_commit")
        #expect(try await database.query("SELECT 1 FROM pg_namespace WHERE nspname = 'martlet'") == [])
        try await serves(scene, Self.serve(database.url) + ["--durability", "relaxed"])

        // What counts is what holds for this role.
        _ = try await database.query("ALTER ROLE app SET synchronous_commit = on")
        try await serves(scene, Self.serve(database.url))
      }
      let relaxed = try await DatabaseServer(on: PostgresServer.shared)
      try await Scene.play { scene in
        try await scene.refuses(Self.serve(relaxed.url), "fsync")
        let server = try await serves(scene, Self.serve(relaxed.url) + ["--durability", "relaxed"])
        #expect(try await server.api.get("/health/ready").text.contains("durability relaxed"))
      }
    }

    @Test(arguments: [["serve", "--port", "0"], ["migrate", "status"]])
    func `a schema of a newer martlet is refused`(command: [String]) async throws {
      try await Scene.play { scene in
        let database = try await Self.migrated(scene)
        _ = try await database.query("INSERT INTO martlet.migrations (name) VALUES ('V9999_from_the_future')")
        try await scene.refuses(command + ["--database", database.url], "newer martlet", environment: Self.relaxed)
      }
    }

    @Test func `another program's schema is refused and left alone`() async throws {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: PostgresServer.shared)
        _ = try await database.query("CREATE SCHEMA martlet")
        _ = try await database.query("CREATE TABLE martlet.birds (name text)")
        try await scene.refuses(Self.relaxed(database.url), "another program")
        #expect(
          try await database.query("SELECT tablename FROM pg_tables WHERE schemaname = 'martlet'") == [["birds"]])
      }
    }

    @Test func `a role that may not create the schema is refused`() async throws {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: PostgresServer.shared)
        let role = try await Self.role(on: database)
        try await scene.refuses(Self.relaxed(database.server.url(database: database.name, user: role)), "lacks rights")
      }
    }

    @Test func `a role without rights on the tables is refused`() async throws {
      try await Scene.play { scene in
        let database = try await Self.migrated(scene)
        let role = try await Self.role(on: database)
        let url = database.server.url(database: database.name, user: role)
        try await scene.refuses(Self.relaxed(url), "the role may not use the schema martlet")
        _ = try await database.query("GRANT USAGE ON SCHEMA martlet TO \(role)")
        _ = try await database.query("GRANT SELECT ON ALL TABLES IN SCHEMA martlet TO \(role)")
        try await scene.refuses(Self.relaxed(url), "lacks rights")
        _ = try await database.query("GRANT ALL ON ALL TABLES IN SCHEMA martlet TO \(role)")
        try await serves(scene, Self.relaxed(url))
      }
    }

    @Test func `a wrong password is refused, and neither said nor logged`() async throws {
      try await Scene.play { scene in
        let postgres = try await scene.postgres(durable: false)
        let database = try await DatabaseServer(on: postgres)
        _ = try await database.query("CREATE ROLE guarded LOGIN SUPERUSER PASSWORD 'right-and-secret'")
        let rules = postgres.dataFolder.appendingPathComponent("pg_hba.conf")
        let rest = try String(contentsOf: rules, encoding: .utf8)
        try Data(("host all guarded 127.0.0.1/32 scram-sha-256\n" + rest).utf8).write(to: rules)
        _ = try await database.query("SELECT pg_reload_conf()")

        let place = "127.0.0.1:\(postgres.port)/\(database.name)"
        try await eventually("the rule holds") {
          let (ending, _) = try await scene.martlet(Self.relaxed("postgres://guarded@\(place)"))
          return ending == .exited(1)
        }
        for credentials in ["guarded", "guarded:wrong-and-secret"] {
          try await scene.refuses(Self.relaxed("postgres://\(credentials)@\(place)"), "password")
          let (_, program) = try await scene.martlet(Self.relaxed("postgres://\(credentials)@\(place)"))
          #expect(!program.errors.contains("and-secret"))
        }
        let server = try await serves(scene, Self.relaxed("postgres://guarded:right-and-secret@\(place)"))
        #expect(!(server.program.output + server.program.errors).contains("and-secret"))
      }
    }

    @Test func `a database that is not there is refused`() async throws {
      try await Scene.play { scene in
        let url = try await PostgresServer.shared.url(database: "no_such_database")
        try await scene.refuses(Self.relaxed(url), "no_such_database")
      }
    }

    @Test func `a port at which nothing listens is refused`() async throws {
      try await Scene.play { scene in
        let place = try ScriptedServer.deafAddress().dropFirst("http://".count)
        try await scene.refuses(Self.serve("postgres://app@\(place)/martlet"), "refused")
      }
    }

    @Test func `a database that cannot hold every text is refused`() async throws {
      try await Scene.play { scene in
        let postgres = try await PostgresServer.shared
        let name = "latin_\(UInt32.random(in: 0 ... .max))"
        _ = try await postgres.query(
          "CREATE DATABASE \(name) TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
        try await scene.refuses(Self.relaxed(postgres.url(database: name)), "UTF8")
      }
    }

    @Test func `ten nodes that start at once on an empty database migrate it once, and all of them serve`() async throws
    {
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: PostgresServer.shared)
        let nodes = (1...10).map { number in
          Node("node \(number)", roles: "api", database: database.url, executable: "martlet", in: scene)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
          for node in nodes { group.addTask { try await node.start(Self.relaxed) } }
          try await group.waitForAll()
        }
        var ids: Set<String> = []
        for node in nodes {
          // A database that is too slow to answer ends a node, and on a loaded machine it is; nothing else may.
          let slow = [
            "cannot be reached", "did not answer in time", "does not answer", "no connection to the database within",
            "connections to the database are busy",
          ].reduce(0) { $0 + node.lines(with: "martlet: ", $1, inAllLives: true) }
          #expect(node.lifeCount <= 1 + slow, "\(node.name) had to be started again")
          if let api = node.api { ids.insert(try await api.submit(#"{"type": "nobody-knows"}"#)) }
        }
        #expect(ids.count == 10)
        #expect(try await database.query("SELECT name FROM martlet.migrations").count == Self.migrations())
        #expect(try await database.number("SELECT count(*) FROM martlet.task_runs") == 10)
      }
    }

    /// As many as there are files, read where they are.
    private static func migrations() throws -> Int {
      let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("../../Sources/MartletPostgres/Migrations").standardizedFileURL
      return try FileManager.default.contentsOfDirectory(atPath: folder.path).count { $0.hasSuffix(".sql") }
    }

    private static func serve(_ url: String) -> [String] {
      ["serve", "--port", "0", "--roles", "api", "--database", url]
    }

    /// For the shared server, which does not wait for the disk.
    private static let relaxed = ["MARTLET_DATABASE_DURABILITY": "relaxed"]

    private static func relaxed(_ url: String) -> [String] {
      serve(url) + ["--durability", "relaxed"]
    }

    @discardableResult
    private func serves(_ scene: Scene, _ arguments: [String]) async throws -> Server {
      let server = try await scene.serve(Array(arguments.dropFirst(3)))
      _ = try await server.api.submit(#"{"type": "nobody-knows"}"#)
      return server
    }

    /// A database that a server has used and left.
    private static func migrated(_ scene: Scene) async throws -> DatabaseServer {
      let database = try await DatabaseServer(on: PostgresServer.shared)
      let (ending, program) = try await scene.martlet(
        ["migrate", "up", "--database", database.url], environment: Self.relaxed)
      #expect(ending == .exited(0), "\(program.errors)")
      return database
    }

    /// A role that may log in and nothing else.
    private static func role(on database: DatabaseServer) async throws -> String {
      let role = "guest_\(UInt32.random(in: 0 ... .max))"
      _ = try await database.query("CREATE ROLE \(role) LOGIN")
      return role
    }
  }
}
