// Backups taken from live servers under load, and restored elsewhere: all that was acknowledged before the backup began is there, and
// goes on.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Backups")
  struct BackupTests {
    @Test(arguments: [".backup", "VACUUM INTO"])
    func `a backup of a served file has all that was acknowledged before, and serves elsewhere`(
      command: String
    ) async throws {
      try await Scene.play { scene in
        let copy = scene.file("copy.db")
        let load = Load(Self.task)
        let before = try await load.run(clients: 4) {
          let server = try await scene.serve()
          load.aim(at: server.api)
          try await eventually("300 tasks are acknowledged") { load.journal.acknowledged >= 300 }
          let before = load.journal.book.acknowledged
          // SQLite's shell waits for the server's locks only if it is told to.
          let sql = command == ".backup" ? ".backup '\(copy.path)'" : "VACUUM INTO '\(copy.path)'"
          try await scene.system("sqlite3", ["-cmd", ".timeout 60000", scene.file("martlet.db").path, sql])
          try await eventually("it goes on meanwhile") { load.journal.acknowledged >= before.count + 100 }
          try await server.kill()
          load.aim(at: nil)
          return before
        }
        #expect(load.journal.book.faults == [])

        let restored = try await scene.serve(["--database", "sqlite:\(copy.path)"])
        try await Self.expect(before, in: restored.api, of: load)
        try await restored.api.allAreAtRest()
        #expect(try await restored.stop() == .exited(0))
        #expect(try await DatabaseFile(url: copy, scene: scene).faults() == [])
      }
    }

    @Test func `a dump of a served schema has all that was acknowledged before, and serves elsewhere`() async throws {
      try await Scene.play { scene in
        let server = try await PostgresServer.shared
        let database = try await DatabaseServer(on: server)
        let relaxed = ["MARTLET_DATABASE_DURABILITY": "relaxed"]
        let dump = scene.file("martlet.dump").path
        let load = Load(Self.task)
        let before = try await load.run(clients: 4) {
          let node = try await scene.serve(["--database", database.url], environment: relaxed)
          load.aim(at: node.api)
          try await eventually("300 tasks are acknowledged") { load.journal.acknowledged >= 300 }
          let before = load.journal.book.acknowledged
          try await run(
            server, "pg_dump", ["-U", PostgresServer.user, "-n", "martlet", "-F", "c", "-f", dump, database.name])
          try await eventually("it goes on meanwhile") { load.journal.acknowledged >= before.count + 100 }
          try await node.kill()
          load.aim(at: nil)
          return before
        }
        #expect(load.journal.book.faults == [])

        let other = try await DatabaseServer(on: server)
        try await run(
          server, "pg_restore", ["-U", PostgresServer.user, "-d", other.name, "--exit-on-error", dump])
        let restored = try await scene.serve(["--database", other.url], environment: relaxed)
        try await Self.expect(before, in: restored.api, of: load)
        // What notices, keys and the outbox hang on came with it.
        try await restored.api.allAreAtRest()
        #expect(try await restored.stop() == .exited(0))
        #expect(try await other.faults() == [])
      }
    }

    @Test func `a base backup of a server under load starts again with all that was acknowledged before`()
      async throws
    {
      try await Scene.play { scene in
        let original = try await scene.postgres(settings: ["max_wal_senders": "4"])
        let database = try await DatabaseServer(on: original)
        let load = Load(Self.task)
        let folder = scene.file("base")
        let before = try await load.run(clients: 4) {
          let node = try await scene.serve(["--database", database.url])
          load.aim(at: node.api)
          try await eventually("200 tasks are acknowledged") { load.journal.acknowledged >= 200 }
          let before = load.journal.book.acknowledged
          try await run(
            original, "pg_basebackup", ["-U", PostgresServer.user, "-D", folder.path, "-X", "stream", "-c", "fast"])
          try await node.kill()
          load.aim(at: nil)
          return before
        }
        // The same programs on a copy of the folder, as after the loss of the first machine.
        try await original.stop(.immediate)
        try await scene.system("chown", ["-R", "--reference", original.dataFolder.path, folder.path])
        try FileManager.default.removeItem(at: original.dataFolder)
        try await scene.system("cp", ["-a", folder.path, original.dataFolder.path])
        try await original.startAgain()
        let node = try await scene.serve(["--database", database.url])
        try await Self.expect(before, in: node.api, of: load)
        try await node.api.allAreAtRest()
        #expect(try await database.faults() == [])
      }
    }

    /// Some wait for a while, so that there is something of everything in a backup.
    @Sendable private static func task(_ number: Int) -> String {
      """
      {"type": "FAIL_SOMETIMES", "payload": {"probability": 0.2}, "metadata": {"number": "\(number)"}, "retries": 100,
       "delaySeconds": \(number % 5 == 0 ? 0.3 : 0), "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0},
       "idempotencyKey": "number-\(number)"\(number % 3 == 0 ? #", "concurrencyKey": "three""# : "")}
      """
    }

    private static func expect(_ before: [String: Int], in api: API, of load: Load) async throws {
      let there = Set(try await api.allTasks().compactMap { $0["id"]?.string })
      let missing = before.keys.filter { !there.contains($0) }
      #expect(missing == [], "acknowledged before the backup, and not in it")
      // A client that repeats itself gets what it got, by its key.
      for (id, number) in before.prefix(3) {
        let reply = try await api.post("/tasks", task(number))
        #expect(reply.status == 200)
        #expect(try reply.json()["id"]?.string == id)
      }
    }
  }
}

private func run(_ server: PostgresServer, _ program: String, _ arguments: [String]) async throws {
  let (status, _, errors) = try await server.run(program, arguments)
  guard status == 0 else { throw ToolFailed(what: "\(program): \(errors)") }
}

private struct ToolFailed: Error {
  let what: String
}
