// What Martlet does where it cannot work: it says so in one clear line and an exit code, or in a 503, and changes
// nothing.

internal import Foundation
internal import MartletCore
internal import NIOHTTP1
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("Refusals")
  struct RefusalTests {
    @Test func `a second server on the same file is refused and names the first`() async throws {
      try await Scene.play { scene in
        let first = try await scene.serve()
        try await scene.refuses(["serve", "--port", "0"], "is already served by another martlet (process ")
        try await first.api.task(
          first.api.submit(#"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#), becomes: "SUCCESS")
      }
    }

    @Test(arguments: [["serve", "--port", "0"], ["migrate", "status"]])
    func `a database of a newer martlet is refused`(command: [String]) async throws {
      try await Scene.play { scene in
        let file = try await database(in: scene)
        _ = try await file.query("INSERT INTO grdb_migrations VALUES ('V9999_from_the_future')")
        try await scene.refuses(command, "was written by a newer martlet")
      }
    }

    @Test func `another program's database is refused and left alone`() async throws {
      try await Scene.play { scene in
        let file = DatabaseFile(url: scene.file("martlet.db"), scene: scene)
        _ = try await file.query("CREATE TABLE birds (name TEXT)")
        try await scene.refuses(["serve", "--port", "0"], "holds another program's database")
        #expect(try await file.query("SELECT name FROM sqlite_schema") == [["birds"]])
      }
    }

    @Test(arguments: [["serve", "--port", "0"], ["migrate", "up"]])
    func `a file that is no database is refused and left alone`(command: [String]) async throws {
      try await Scene.play { scene in
        let text = Data("Dear diary, today I saw a swift that never lands.\n".utf8)
        try text.write(to: scene.file("martlet.db"))
        try await scene.refuses(command, "is no SQLite database")
        #expect(FileManager.default.contents(atPath: scene.file("martlet.db").path) == text)
      }
    }

    @Test(arguments: [["serve", "--port", "0"], ["migrate", "status"]])
    func `a damaged database is refused`(command: [String]) async throws {
      try await Scene.play { scene in
        let file = try await database(in: scene)
        _ = try await file.query("PRAGMA wal_checkpoint(TRUNCATE)")
        // The first page stays: it still looks like a database.
        let handle = try FileHandle(forUpdating: file.url)
        let size = try handle.seekToEnd()
        try handle.seek(toOffset: 4096)
        try handle.write(contentsOf: Data(repeating: 0xA5, count: Int(size) - 4096))
        try handle.close()
        try await scene.refuses(command, "damaged")
      }
    }

    @Test func `a file system that cannot be written is refused`() async throws {
      try await Scene.play { scene in
        let disk = try await scene.mount(megabytes: 8)
        let path = disk.appendingPathComponent("martlet.db").path
        let server = try await scene.serve(["--database", "sqlite:\(path)"])
        #expect(try await server.stop() == .exited(0))
        try await scene.system("mount", ["-o", "remount,ro", disk.path])
        let serve = ["serve", "--port", "0", "--database", "sqlite:\(path)"]
        try await scene.refuses(serve, "read-only")
      }
    }

    @Test func `a database in a folder that is not there is refused`() async throws {
      try await Scene.play { scene in
        try await scene.refuses(
          ["serve", "--port", "0", "--database", "sqlite:/no/such/folder/martlet.db"],
          "/no/such/folder")
      }
    }

    @Test func `a full disk means 503 with nothing lost or half written; with space again, all goes on`() async throws {
      try await Scene.play { scene in
        let disk = try await scene.mount(megabytes: 16)
        let ballast = disk.appendingPathComponent("ballast")
        try Data(count: 13 << 20).write(to: ballast)
        let file = DatabaseFile(url: disk.appendingPathComponent("martlet.db"), scene: scene)
        let server = try await scene.serve(["--database", "sqlite:\(file.url.path)"])
        let filling = String(repeating: "x", count: 10_000)
        let load = Load { number in
          """
          {"type": "FAIL_SOMETIMES", "payload": {"probability": 0, "filling": "\(filling)"},
           "metadata": {"number": "\(number)"}}
          """
        }
        try await load.run(clients: 2) {
          load.aim(at: server.api)
          try await eventually("the disk is full") { load.journal.book.refused >= 50 }
          let refusal = try await eventually("a submission is refused") { () -> Reply? in
            let reply = try await server.api.post("/tasks", #"{"type": "x", "payload": "\#(filling)"}"#)
            return reply.status == 503 ? reply : nil
          }
          #expect(try refusal.json()["code"]?.string == "store-unavailable")
          #expect(refusal.headers.contains(name: "Retry-After"))
          #expect(try await server.api.get("/health/live").status == 200)
          #expect(try await server.api.get("/tasks").status == 200)

          try FileManager.default.removeItem(at: ballast)
          let acknowledged = load.journal.acknowledged
          try await eventually("submissions are accepted again") { load.journal.acknowledged > acknowledged + 20 }
        }
        try await server.api.allAreAtRest()
        let checker = try await Checker(journal: load.journal.book, effects: nil, api: server.api, database: file)
        #expect(checker.summary() == [])
        Chaos.report(
          [("full disks", 1), ("answers 503", load.journal.book.unavailable)],
          checked: [("acknowledged", load.journal.acknowledged)])
        #expect(try await file.faults() == [])
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `each fault of a configuration is told on a line of its own, exit code 2`() async throws {
      try await Scene.play { scene in
        for command in [["serve"], ["config", "check"]] {
          let (ending, program) = try await scene.martlet(
            command + ["--port", "eighty", "--database", "mysql:x"], environment: ["MARTLET_MAX_RETRYS": "4"])
          #expect(ending == .exited(2))
          #expect(program.output == "")
          let lines = program.errorLines
          #expect(lines.count == 4)
          #expect(lines.first == "martlet: the configuration has 3 faults")
          for name in [
            "server.port = \"eighty\" (--port)", "database.url = \"mysql:x\" (--database)", "MARTLET_MAX_RETRYS",
          ] {
            #expect(lines.contains { $0.contains(name) }, "\(name)")
          }
        }
      }
    }

    @Test func `a port in use is refused`() async throws {
      try await Scene.play { scene in
        let first = try await scene.serve()
        let port = first.api.address.split(separator: ":").last.map(String.init) ?? ""
        try await scene.refuses(
          ["serve", "--port", port, "--database", "sqlite:other.db"],
          "cannot listen on 127.0.0.1:\(port): address already in use")
      }
    }

    @Test func `a server that cannot be reached is exit code 3`() async throws {
      try await Scene.play { scene in
        let address = try ScriptedServer.deafAddress()
        for command in [["tasks", "list"], ["submit", "email"], ["stats"]] {
          try await scene.refuses(command + ["--server", address], "cannot reach the server at \(address)", status: 3)
        }
      }
    }

    /// A database that a server has used and left.
    private func database(in scene: Scene) async throws -> DatabaseFile {
      let server = try await scene.serve(["--roles", "api"])
      for _ in 0..<50 { _ = try await server.api.submit(#"{"type": "nobody-knows", "payload": "x"}"#) }
      #expect(try await server.stop() == .exited(0))
      return DatabaseFile(url: scene.file("martlet.db"), scene: scene)
    }
  }
}
