// A server is killed again and again, at random moments and under load; then the witnesses are heard. What was
// acknowledged must be there and done, and no attempt may have been carried out twice.

internal import Foundation
internal import MartletCore
internal import ScriptedServer
internal import Synchronization
internal import Testing

extension EndToEnd {
  @Suite("Crashes")
  struct CrashTests {
    @Test func `what was acknowledged survives kill -9 at any moment, and is carried out`() async throws {
      let seed =
        ProcessInfo.processInfo.environment["MARTLET_TEST_SEED"].flatMap { UInt64($0) } ?? .random(in: 0...(.max))
      print("crash test: MARTLET_TEST_SEED=\(seed)")
      try await Scene.play { scene in
        try await ScriptedServer.serving({ _, _ in .json(200, "{}") }) { target in
          try await Self.killAndCheck(scene, target, seed: seed)
        }
      }
    }

    private static func killAndCheck(_ scene: Scene, _ target: ScriptedServer, seed: UInt64) async throws {
      var random = SplitMix(state: seed)
      let kills = 10
      let file = DatabaseFile(url: scene.file("martlet.db"), scene: scene)
      let load = Load { number in task(number, calling: target.address) }

      let server = try await load.run(clients: 8) {
        for _ in 0..<kills {
          let server = try await scene.serve()
          load.aim(at: server.api)
          let goal = load.journal.acknowledged + Int.random(in: 100...250, using: &random)
          try await eventually("\(goal) tasks are acknowledged") { load.journal.acknowledged >= goal }
          try await Task.sleep(for: .microseconds(Int.random(in: 0...50_000, using: &random)))
          try await server.kill()
          load.aim(at: nil)
        }
        return try await scene.serve()
      }
      try await server.api.allAreAtRest()

      let effects = target.requests.map { request in
        Checker.Effect(
          task: request.headers["idempotency-key"] ?? "", attempt: Int(request.headers["x-martlet-attempt"] ?? "") ?? -1
        )
      }
      let book = load.journal.book
      let lost = try await file.attempts(ended: DatabaseFile.lost)
      print(
        """
        crash test: \(kills) kills, \(book.acknowledged.count) acknowledged, \(book.unknown.count) answers lost, \
        \(effects.count) effects, \(lost) attempts LOST
        """)
      let checker = try await Checker(journal: book, effects: effects, api: server.api, file: file)
      #expect(checker.summary() == [])
      #expect(try await file.faults() == [])
      #expect(try await brokenHistories(checker, server.api) == [])
      // Without these nothing was put to the test.
      #expect(book.acknowledged.count >= 1000)
      #expect(book.unknown.count > 0)
      #expect(lost > 0)
    }

    /// Some of the tasks are due later, so that the scheduler is killed at its work, too.
    private static func task(_ number: Int, calling address: String) -> String {
      """
      {"type": "WEBHOOK_CALL", "payload": {"url": "\(address)/effects"}, "metadata": {"number": "\(number)"},
       "priority": \(1 + number % 9), "delaySeconds": \(number % 5 == 0 ? 0.3 : 0), "retries": 100,
       "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}}
      """
    }

    /// Tasks that lost an attempt tell all of it: every attempt, and every event without a gap.
    private static func brokenHistories(_ checker: Checker, _ api: API) async throws -> [String] {
      var faults: [String] = []
      for row in checker.stored where row.attempt > 1 {
        let attempts = try await api.attempts(of: row.id)
        let outcomes = attempts.map { $0["outcome"]?.string ?? "none" }
        let expected = Array(repeating: "LOST", count: row.attempt - 1) + ["SUCCESS"]
        if outcomes != expected { faults.append("\(row.id): attempts \(outcomes) instead of \(expected)") }
        if attempts.map({ $0["number"]?.int }) != Array(1...row.attempt) {
          faults.append("\(row.id): numbers of attempts")
        }
        let sequence = try await api.events(of: row.id).map { $0["sequence"]?.int }
        if sequence != Array(1...max(1, sequence.count)) { faults.append("\(row.id): events \(sequence)") }
      }
      return faults
    }

    @Test func `a task that kills its process ends DEAD, and takes no innocent task with it`() async throws {
      try await Scene.play { scene in
        let ready = scene.file("ready")
        try Data().write(to: ready)
        let idle = try await scene.serve(["--roles", "api"])
        let poison = try await idle.api.submit(
          #"{"type": "POISON", "retries": 2, "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}}"#)
        for _ in 0..<20 {
          _ = try await idle.api.submit(#"{"type": "WAIT_FOR_FILE", "payload": {"path": "\#(ready.path)"}}"#)
        }
        #expect(try await idle.stop() == .exited(0))

        // Whoever keeps the server running starts it again each time.
        var crashes = 0
        let server = try await eventually("a server lives") {
          let server = try await lifetime(of: scene, until: poison)
          if server == nil { crashes += 1 }
          return server
        }
        #expect(crashes == 3)
        try await server.api.allAreAtRest()

        let task = try await server.api.task(poison)
        #expect(task["reason"]?.string == "RETRIES_EXHAUSTED")
        #expect(try await server.api.attempts(of: poison).map { $0["outcome"]?.string } == ["LOST", "LOST", "LOST"])
        let statuses = try await server.api.allTasks().map { $0["status"]?.string ?? "" }
        #expect(statuses.filter { $0 == "SUCCESS" }.count == 20)
      }
    }

    /// Starts a server; nil if it dies before the task is DEAD.
    private func lifetime(of scene: Scene, until poison: String) async throws -> Server? {
      let server: Server
      do {
        server = try await scene.serve(by: "TestServer")
      } catch let error as Server.DidNotStart where error.ending == .killed(SIGKILL) {
        return nil  // it had no time for its banner
      }
      let lives = try await eventually("the task ends, or the server") { () -> Bool? in
        if server.program.hasEnded != nil { return false }
        let task = try? await server.api.task(poison)  // no answer: it is about to end
        return task?["status"]?.string == "DEAD" ? true : nil
      }
      return lives ? server : nil
    }
  }
}

/// Random numbers that a seed repeats.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
