// The power of PostgreSQL's machine goes while clients submit. `stop -m immediate` alone cannot tell a server that waits for
// the disk from one that does not, since the kernel still writes what it was given.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Power cuts of the database")
  struct DatabasePowerCutTests {
    @Test func `what was acknowledged is on the disk when the power of the database goes`() async throws {
      try await Scene.play { scene in
        let times = Chaos.times(3, each: 8)
        let outcome = try await Self.cutPower(of: scene, times: times, [], settings: [:])
        #expect(outcome.summary() == [])
        #expect(outcome.journal.acknowledged.count >= 300)
        Chaos.report([("power cuts", times)], checked: [("acknowledged", outcome.journal.acknowledged.count)])
      }
    }

    @Test func `a server that does not wait for its disk loses tasks in a power cut`() async throws {
      try await Scene.play { scene in
        let outcome = try await Self.cutPower(
          of: scene, times: 1, ["--durability", "relaxed"],
          settings: ["synchronous_commit": "off", "wal_writer_delay": "10s"])
        // If this loses nothing, neither did the cuts of the strict test cut anything.
        let faults = outcome.faults()
        let lost = faults.filter { $0.hasSuffix("was acknowledged and is not there") }
        Chaos.report(
          [("power cuts", 1), ("tasks lost, as they must be", lost.count)],
          checked: [("acknowledged", outcome.journal.acknowledged.count)])
        let others = faults.filter { !lost.contains($0) }
        #expect(others == [])
      }
    }

    private static func cutPower(
      of scene: Scene, times: Int, _ arguments: [String], settings: [String: String]
    ) async throws -> Checker {
      let disk = try await scene.disk(megabytes: 384)
      let postgres = try await scene.postgres(folder: disk.point, settings: settings)
      let database = try await DatabaseServer(on: postgres)
      let server = try await scene.serve(["--database", database.url] + arguments)
      let load = Load { number in
        """
        {"type": "FAIL_SOMETIMES", "payload": {"probability": 0}, "metadata": {"number": "\(number)"}, "leaseSeconds": 2,
         "retries": 100, "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}}
        """
      }
      try await load.run(clients: 8) {
        load.aim(at: server.api)
        // What all tasks stand on is not the subject.
        try await eventually("there are tasks") { load.journal.acknowledged >= 20 }
        _ = try await database.query("CHECKPOINT")
        try await scene.system("sync", ["-f", disk.point.path])
        for _ in 0..<times {
          let goal = load.journal.acknowledged + 120
          try await eventually("\(goal) tasks are acknowledged") { load.journal.acknowledged >= goal }
          let before = load.journal.book
          try disk.cutPower()
          try await eventually("the power goes while answers are on their way") {
            let now = load.journal.book
            return now.unavailable + now.unknown.count > before.unavailable + before.unknown.count
          }
          try await postgres.stop(.immediate)
          try await scene.unmount(disk)
          try await scene.mount(disk)
          try await postgres.startAgain()
        }
      }
      try await eventually("all tasks are final") { try await database.restless() == 0 }
      try await eventually("the node is ready again") { try await server.api.get("/health/ready").status == 200 }
      let checker = try await Checker(journal: load.journal.book, effects: nil, api: server.api, database: database)
      #expect(try await database.faults() == [])
      #expect(try await server.stop() == .exited(0))
      return checker
    }
  }
}
