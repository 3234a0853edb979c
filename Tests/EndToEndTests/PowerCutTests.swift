// The power goes while clients submit: `kill -9` alone cannot tell a server that waits for the disk from one that
// does not, since the kernel still writes what a killed process has handed over.

internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Power cuts")
  struct PowerCutTests {
    @Test func `what was acknowledged is on the disk when the power goes`() async throws {
      try await Scene.play { scene in
        let outcome = try await Self.cutPower(of: scene, durability: "strict")
        #expect(outcome.summary() == [])
        #expect(outcome.journal.acknowledged.count >= 500)
        Chaos.report(
          [("power cuts", Self.cuts), ("answers lost in one", outcome.journal.unknown.count)],
          checked: [("acknowledged", outcome.journal.acknowledged.count)])
      }
    }

    @Test func `with relaxed durability a power cut costs tasks, and the database stays whole`() async throws {
      try await Scene.play { scene in
        let outcome = try await Self.cutPower(of: scene, durability: "relaxed")
        // If this loses nothing, neither did the cuts of the strict test cut anything.
        let faults = outcome.faults()
        Chaos.report(
          [("power cuts", Self.cuts), ("tasks lost, as they must be", faults.count)],
          checked: [("acknowledged", outcome.journal.acknowledged.count)])
        #expect(faults.allSatisfy { $0.hasSuffix("was acknowledged and is not there") }, "\(outcome.summary())")
      }
    }

    private static var cuts: Int { Chaos.times(5, each: 5) }

    private static func cutPower(of scene: Scene, durability: String) async throws -> Checker {
      let disk = try await scene.disk(megabytes: 64)
      let file = DatabaseFile(url: disk.point.appendingPathComponent("martlet.db"), scene: scene)
      let arguments = ["--database", "sqlite:\(file.url.path)", "--durability", durability]
      let load = Load { number in
        """
        {"type": "FAIL_SOMETIMES", "payload": {"probability": 0}, "metadata": {"number": "\(number)"}}
        """
      }
      let server = try await load.run(clients: 8) {
        for _ in 0..<cuts {
          let server = try await scene.serve(arguments)
          load.aim(at: server.api)
          let goal = load.journal.acknowledged + 120
          try await eventually("\(goal) tasks are acknowledged") { load.journal.acknowledged >= goal }
          // Without power nobody answers any more. ext4 does for a moment: an fsync under way at its forced shutdown may be told
          // that all is well, since its transaction is over, though it was given up.
          server.freeze()
          try disk.cutPower()
          try await server.kill()
          load.aim(at: nil)
          try await scene.unmount(disk)
          try await scene.mount(disk)
        }
        return try await scene.serve(arguments)
      }
      try await server.api.allAreAtRest()
      let checker = try await Checker(journal: load.journal.book, effects: nil, api: server.api, database: file)
      #expect(try await file.faults() == [])
      #expect(try await server.stop() == .exited(0))
      return checker
    }
  }
}
