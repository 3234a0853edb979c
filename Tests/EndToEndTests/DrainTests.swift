// SIGTERM: a server stops claiming, finishes or gives back what it has begun, and leaves with status 0. Nothing is
// lost and nobody pays with a retry.

internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Drains")
  struct DrainTests {
    @Test(arguments: [SIGTERM, SIGINT])
    func `an idle server leaves with status 0`(signal: Int32) async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        server.program.signal(signal)
        #expect(try await server.program.ended() == .exited(0))
        #expect(server.program.errorLines.allSatisfy { $0.contains(" INFO ") })
      }
    }

    @Test func `a drain under load loses nothing and costs no retry`() async throws {
      try await Scene.play { scene in
        let gate = scene.file("gate")
        let file = DatabaseFile(url: scene.file("martlet.db"), scene: scene)
        let settings = ["MARTLET_WORKERS_CONCURRENCY": "8", "MARTLET_WORKERS_SHUTDOWN_GRACE_SECONDS": "5"]
        // One in forty waits for the gate, which opens in the second life; until then it has to be given back.
        let load = Load { number in
          let path = number % 40 == 39 ? gate.path : "/"
          return """
            {"type": "WAIT_FOR_FILE", "payload": {"path": "\(path)"}, "retries": 2, "metadata": {"number": "\(number)"}}
            """
        }
        try await load.run(clients: 8) {
          let server = try await scene.serve(by: "TestServer", environment: settings)
          load.aim(at: server.api)
          try await eventually("there is work to drain") { load.journal.acknowledged >= 400 }
          #expect(try await server.stop() == .exited(0))
          load.aim(at: nil)
        }
        try Data().write(to: gate)
        let server = try await scene.serve(by: "TestServer", environment: settings)
        try await server.api.allAreAtRest()

        let checker = try await Checker(journal: load.journal.book, effects: nil, api: server.api, database: file)
        #expect(checker.summary() == [])
        #expect(try await file.faults() == [])
        #expect(try await server.api.allTasks().allSatisfy { $0["retriesLeft"]?.int == 2 })
        #expect(try await file.attempts(ended: Code.lost).isEmpty)
        // A drain that finds nothing running proves nothing.
        let released = try await file.attempts(ended: Code.released).count
        Chaos.report(
          [("SIGTERM under load", 1), ("attempts given back", released)],
          checked: [("acknowledged", load.journal.acknowledged)])
      }
    }

    @Test func `a further SIGTERM ends a drain at once, and the lease heals`() async throws {
      try await Scene.play { scene in
        let gate = scene.file("gate")
        let server = try await scene.serve(
          by: "TestServer", environment: ["MARTLET_WORKERS_SHUTDOWN_GRACE_SECONDS": "3600"])
        let id = try await server.api.submit(
          #"{"type": "WAIT_FOR_FILE", "payload": {"path": "\#(gate.path)"}, "backoff": {"baseSeconds": 0.05}}"#)
        try await server.api.task(id, becomes: "RUNNING")
        server.program.signal(SIGTERM)
        try await eventually("it drains") { server.program.errors.contains("draining") }
        let ending = try await eventually("a further signal ends it") {
          server.program.signal(SIGTERM)
          return server.program.hasEnded
        }
        #expect(ending == .exited(1))

        try Data().write(to: gate)
        let heir = try await scene.serve(by: "TestServer")
        let task = try await heir.api.task(id, becomes: "SUCCESS")
        #expect(task["retriesLeft"]?.int == 2)
        #expect(try await heir.api.attempts(of: id).map { $0["outcome"]?.string } == ["LOST", "SUCCESS"])
      }
    }

    @Test func `a handler that does not listen cannot keep the process`() async throws {
      try await Scene.play { scene in
        let gate = scene.file("gate")
        let server = try await scene.serve(
          by: "TestServer", environment: ["MARTLET_WORKERS_SHUTDOWN_GRACE_SECONDS": "0.2"])
        let id = try await server.api.submit(
          """
          {"type": "WAIT_FOR_FILE", "payload": {"path": "\(gate.path)", "isStubborn": true},
           "backoff": {"baseSeconds": 0.05}}
          """)
        try await server.api.task(id, becomes: "RUNNING")
        #expect(try await server.stop() == .exited(0))

        try Data().write(to: gate)
        let heir = try await scene.serve(by: "TestServer")
        try await heir.api.task(id, becomes: "SUCCESS")
        #expect(try await heir.api.attempts(of: id).map { $0["outcome"]?.string } == ["LOST", "SUCCESS"])
      }
    }
  }
}
