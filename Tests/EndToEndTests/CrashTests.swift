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
      let seed = SplitMix.seed(from: "MARTLET_TEST_SEED")
      try await Scene.play { scene in
        try await ScriptedServer.serving({ _, _ in .json(200, "{}") }) { target in
          try await Self.killAndCheck(scene, target, seed: seed)
        }
      }
    }

    private static func killAndCheck(_ scene: Scene, _ target: ScriptedServer, seed: UInt64) async throws {
      var random = SplitMix(seed: seed)
      let kills = Chaos.times(10, each: 1.5)
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

      let effects = target.requests.map { Checker.Effect(headers: $0.headers) }
      let book = load.journal.book
      let lost = try await file.attempts(ended: Code.lost).count
      Chaos.report(
        [("kills", kills), ("answers lost", book.unknown.count), ("attempts LOST", lost)],
        checked: [("acknowledged", book.acknowledged.count), ("effects", effects.count)])
      let checker = try await Checker(journal: book, effects: effects, api: server.api, database: file)
      #expect(checker.summary() == [])
      #expect(try await file.faults() == [])
      #expect(try await checker.brokenHistories(server.api) == [])
      // Without these nothing was put to the test.
      #expect(book.acknowledged.count >= 1000)
    }

    /// Some of the tasks are due later, so that the scheduler is killed at its work, too.
    private static func task(_ number: Int, calling address: String) -> String {
      """
      {"type": "WEBHOOK_CALL", "payload": {"url": "\(address)/effects"}, "metadata": {"number": "\(number)"},
       "priority": \(1 + number % 9), "delaySeconds": \(number % 5 == 0 ? 0.3 : 0), "retries": 100,
       "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}}
      """
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
        Chaos.report([("servers that died of a task", crashes)], checked: [("innocent tasks", 20)])
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
