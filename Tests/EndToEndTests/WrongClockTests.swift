// Nodes whose clocks are wrong by minutes, one ahead and one behind: what is due, leased, retried and told goes by the
// database's clock, so nobody sees any of it.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Wrong clocks")
  struct WrongClockTests {
    @Test func `two nodes share the work, though one is ten minutes ahead and the other ten behind`() async throws {
      try await Scene.play { scene in
        let preload = try await WrongClock.preload(in: scene)
        let database = try await DatabaseServer(on: PostgresServer.shared)
        func serve(wrongBy seconds: Int) async throws -> Server {
          try await scene.serve(
            by: "TestServer",
            environment: [
              "LD_PRELOAD": preload.path, "WRONG_CLOCK_SECONDS": "\(seconds)", "MARTLET_DATABASE_URL": database.url,
              "MARTLET_DATABASE_DURABILITY": "relaxed", "MARTLET_WORKERS_CONCURRENCY": "1",
            ])
        }
        let ahead = try await serve(wrongBy: 600)
        let behind = try await serve(wrongBy: -600)
        #expect(try await WrongClock.error(of: ahead.api) > 500)
        #expect(try await WrongClock.error(of: behind.api) < -500)

        // Each node has one slot, so each carries out one of them; and both outlive their leases.
        let gate = scene.file("gate")
        let begin = Self.now
        var held: [String] = []
        for server in [ahead, behind] { held.append(try await server.api.submit(Self.waiting(for: gate))) }
        for id in held { try await ahead.api.task(id, becomes: "RUNNING") }
        var submitted: [String] = []
        for server in [ahead, behind] {
          submitted.append(try await server.api.submit(#"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#))
          submitted.append(
            try await server.api.submit(
              #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}, "delaySeconds": 5}"#))
          submitted.append(
            try await server.api.submit(
              #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}, "runAt": "\#(Self.now + .seconds(5))"}"#))
        }
        let failing = try await behind.api.submit(
          """
          {"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 1,
           "backoff": {"strategy": "fixed", "baseSeconds": 2, "jitter": 0}}
          """)
        let expiring = try await ahead.api.submit(
          """
          {"type": "FAIL_SOMETIMES", "payload": {"probability": 0}, "expiresAt": "\(Self.now + .seconds(300))"}
          """)
        try await eventually("the leases would have ended twice") { Self.now - begin > .seconds(35) }
        try Data().write(to: gate)
        try await ahead.api.allAreAtRest()
        let end = Self.now

        for id in held + submitted + [expiring] {
          let task = try await behind.api.task(id)
          #expect(task["status"]?.string == "SUCCESS")
          #expect(task["attempt"]?.int == 1)
          let times = try ["createdAt", "availableAt", "startedAt", "finishedAt"].map { name in
            try #require(task[name]?.string.flatMap { Timestamp($0) })
          }
          #expect(times == times.sorted())
          // By the clock of the machine, which is the database's.
          #expect(times[0] + .seconds(1) >= begin && times[3] <= end + .seconds(1))
        }
        #expect(try await ahead.api.task(failing)["status"]?.string == "DEAD")
        let attempts = try await ahead.api.attempts(of: failing)
        try #require(attempts.count == 2)
        let firstEnded = try #require(attempts[0]["finishedAt"]?.string.flatMap { Timestamp($0) })
        let secondBegan = try #require(attempts[1]["startedAt"]?.string.flatMap { Timestamp($0) })
        #expect(secondBegan >= firstEnded + .seconds(2))

        let workers = try await database.query("SELECT DISTINCT worker FROM martlet.tasks WHERE type = 'WAIT_FOR_FILE'")
        #expect(workers.count == 2)
        Chaos.report([("clocks wrong by ten minutes", 2)], checked: [("tasks", held.count + submitted.count + 2)])
        #expect(try await database.faults() == [])
        #expect(try await ahead.stop() == .exited(0))
        #expect(try await behind.stop() == .exited(0))
      }
    }

    private static var now: Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }

    private static func waiting(for gate: URL) -> String {
      #"{"type": "WAIT_FOR_FILE", "payload": {"path": "\#(gate.path)"}, "leaseSeconds": 15, "timeoutSeconds": 3600}"#
    }
  }
}
