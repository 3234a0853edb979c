// PostgreSQL's disk is full. It may refuse writes, or crash where its log has no room; either way nothing that was
// acknowledged may be lost, and all goes on once there is space again.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("A full disk of the database")
  struct DatabaseDiskTests {
    @Test func `what was acknowledged survives a full disk of the database, and all goes on with space again`()
      async throws
    {
      try await Scene.play { scene in
        let disk = try await scene.mount(megabytes: 128)
        let postgres = try await scene.postgres(
          folder: disk, settings: ["min_wal_size": "32MB", "max_wal_size": "32MB", "shared_buffers": "16MB"])
        let database = try await DatabaseServer(on: postgres)
        let server = try await scene.serve(["--database", database.url])
        let filling = String(repeating: "x", count: 20_000)
        let load = Load { number in
          """
          {"type": "FAIL_SOMETIMES", "payload": {"probability": 0, "filling": "\(filling)"},
           "metadata": {"number": "\(number)"},
           "leaseSeconds": 2, "retries": 100, "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}}
          """
        }
        let ballast = disk.appendingPathComponent("ballast")
        let ending = try await load.run(clients: 4) {
          load.aim(at: server.api)
          try await eventually("there are tasks") { load.journal.acknowledged >= 50 }
          try fill(ballast)
          try await eventually("the disk is full") { load.journal.book.unavailable >= 20 }
          try FileManager.default.removeItem(at: ballast)
          let ending = postgres.isRunning ? "refused writes" : "crashed"
          if !postgres.isRunning { try await postgres.startAgain() }
          let acknowledged = load.journal.acknowledged
          try await eventually("submissions are accepted again") {
            // It may also have crashed while it was asked.
            if !postgres.isRunning { try await postgres.startAgain() }
            return load.journal.acknowledged > acknowledged + 20
          }
          return ending
        }
        let book = load.journal.book
        Chaos.report(
          [("full disk at which PostgreSQL \(ending)", 1), ("answers 503", book.unavailable)],
          checked: [("acknowledged", book.acknowledged.count)])
        try await eventually("all tasks are final") { try await database.restless() == 0 }
        try await eventually("the node is ready again") { try await server.api.get("/health/ready").status == 200 }
        let checker = try await Checker(journal: book, effects: nil, api: server.api, database: database)
        #expect(checker.summary() == [])
        #expect(try await database.faults() == [])
        #expect(try await server.stop() == .exited(0))
      }
    }

    /// Writes until there is no space.
    private func fill(_ file: URL) throws {
      let descriptor = open(file.path, O_WRONLY | O_CREAT, 0o644)
      guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown) }
      defer { close(descriptor) }
      for size in [1 << 20, 4096] {
        let bytes = [UInt8](repeating: 0, count: size)
        while write(descriptor, bytes, size) == size {}
      }
    }
  }
}
