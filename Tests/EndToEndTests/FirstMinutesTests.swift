// What somebody meets who tries Martlet for the first time: the banner, the first requests, a task that fails, the
// commands.

internal import Foundation
internal import MartletCore
internal import NIOHTTP1
internal import ScriptedServer
internal import Testing

extension EndToEnd {
  @Suite("First minutes")
  struct FirstMinutesTests {
    @Test func `the banner names the address and the absolute path of the database`() async throws {
      try await Scene.play { scene in
        let server = try await scene.serve()
        #expect(server.api.address.hasPrefix("http://127.0.0.1:"))
        #expect(server.database == scene.file("martlet.db").path)
        try await server.api.becomesReady()
        #expect(server.program.errors == "")
      }
    }

    @Test func `the first body of the documentation is taken and waits for its time`() async throws {
      try await Scene.play { scene in
        let api = try await scene.serve().api
        let reply = try await api.post(
          "/tasks",
          """
          {"type":"email","payload":{"to":"user@example.com","subject":"Welcome"},"delaySeconds":60,"retries":3,\
          "dependencies":[]}
          """)
        let task = try reply.json()
        let id = try #require(task["id"]?.string)
        #expect(reply.status == 201)
        #expect(reply.headers.first(name: "Location") == "/tasks/\(id)")
        #expect(task["status"]?.string == "PENDING")
        #expect(task["retries"]?.int == 3)
        #expect(try await api.task(id)["status"]?.string == "PENDING")
      }
    }

    @Test func `the second body of the documentation is taken and carried out when its time has come`() async throws {
      try await Scene.play { scene in
        let api = try await scene.serve().api
        let reply = try await api.post(
          "/tasks",
          """
          {"type":"SEND_EMAIL","payload":{"to":"user@example.com","subject":"Welcome to Our Platform!",\
          "content":"<h1>…","from":"no-reply@example.com"},"runAt":"2026-02-01T10:00:00.000Z",\
          "availableAt":"2026-02-01T10:00:00.000Z"}
          """)
        let task = try reply.json()
        let id = try #require(task["id"]?.string)
        #expect(reply.status == 201)
        #expect(task["runAt"]?.string == "2026-02-01T10:00:00.000Z")
        let isDue = Date().timeIntervalSince1970 * 1000 >= 1_769_940_000_000
        #expect(task["status"]?.string == (isDue ? "READY" : "PENDING"))
        if isDue {
          let done = try await api.task(id, becomes: "SUCCESS")
          #expect(done["result"]?["simulated"]?.bool == true)
        }
      }
    }

    @Test func `a task that always fails is seen to retry, and becomes a dead letter`() async throws {
      try await Scene.play { scene in
        let api = try await scene.serve().api
        let id = try await api.submit(
          """
          {"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 2,
           "backoff": {"strategy": "fixed", "baseSeconds": 0.3, "jitter": 0}}
          """)
        let dead = try await api.task(id, becomes: "DEAD")
        #expect(dead["reason"]?.string == "RETRIES_EXHAUSTED")
        #expect(dead["lastError"]?["type"]?.string == "SIMULATED_FAILURE")
        #expect(dead["retriesLeft"]?.int == 0)
        #expect(try await api.attempts(of: id).map { $0["outcome"]?.string } == ["FAILED", "FAILED", "FAILED"])
        let events = try await api.events(of: id).compactMap { $0["type"]?.string?.split(separator: ".").last }
        #expect(
          events == [
            "received", "ready", "started", "failed", "retry", "ready", "started", "failed", "retry", "ready",
            "started",
            "failed", "dead",
          ])
        let letters = try await api.found("/dead-letters")["data"]?.elements?.map { $0["id"]?.string }
        #expect(letters == [id])
      }
    }

    @Test func `a webhook that answers 500, 500, 200 succeeds at its third attempt`() async throws {
      try await Scene.play { scene in
        let api = try await scene.serve().api
        try await ScriptedServer.serving({ _, number in .json(number < 2 ? 500 : 200, #"{"welcome": true}"#) }) {
          hook in
          let id = try await api.submit(
            """
            {"type": "WEBHOOK_CALL", "payload": {"url": "\(hook.address)/hook", "body": {"bird": "martlet"}},
             "backoff": {"strategy": "fixed", "baseSeconds": 0.1}}
            """)
          let task = try await api.task(id, becomes: "SUCCESS")
          #expect(task["attempt"]?.int == 3)
          #expect(task["retriesLeft"]?.int == 1)
          #expect(task["result"]?["status"]?.int == 200)
          #expect(try await api.attempts(of: id).map { $0["outcome"]?.string } == ["FAILED", "FAILED", "SUCCESS"])
          #expect(hook.requests.map(\.text) == Array(repeating: #"{"bird": "martlet"}"#, count: 3))
          #expect(hook.requests.map { $0.headers["x-martlet-attempt"] } == ["1", "2", "3"])
          #expect(hook.requests.allSatisfy { $0.headers["idempotency-key"] == id })
        }
      }
    }

    @Test func `submit --wait follows a task to its end, and tasks show tells all of it`() async throws {
      try await Scene.play { scene in
        let server = ["MARTLET_SERVER": try await scene.serve().api.address]
        let (ending, submit) = try await scene.martlet(
          ["submit", "email", "--payload", #"{"to": "user@example.com", "subject": "Hello"}"#, "--wait"],
          environment: server)
        #expect(ending == .exited(0))
        #expect(submit.errors == "")
        #expect(submit.output.contains("SUCCESS after 1 attempt"))
        let id = try #require(submit.output.split(separator: "\n").first.map(String.init))

        let (_, show) = try await scene.martlet(["tasks", "show", id], environment: server)
        for part in [id, "SUCCESS", "mail to user@example.com: Hello", "received", "started", "succeeded"] {
          #expect(show.output.contains(part), "\(part)")
        }
        let (failed, wait) = try await scene.martlet(
          ["submit", "FAIL_SOMETIMES", "--payload", #"{"probability": 1}"#, "--retries", "0", "--wait"],
          environment: server)
        #expect(failed == .exited(1))
        #expect(wait.output.contains("DEAD (RETRIES_EXHAUSTED) after 1 attempt"))
        let (unknown, _) = try await scene.martlet(
          ["tasks", "show", "01a1fc66-b7cd-72c7-92c8-bb5de2131a06"], environment: server)
        #expect(unknown == .exited(4))
      }
    }

    @Test func `the demo shows one task of each type and ends well`() async throws {
      try await Scene.play { scene in
        let address = try await scene.serve().api.address
        let (ending, demo) = try await scene.martlet(["demo", "--server", address])
        #expect(ending == .exited(0))
        #expect(demo.errors == "")
        for type in ["DELAYED_MESSAGE", "SEND_EMAIL", "FAIL_SOMETIMES", "WEBHOOK_CALL"] {
          #expect(demo.output.contains(type), "\(type)")
        }
      }
    }

    @Test func `config check and config show tell what a server would do, and why`() async throws {
      try await Scene.play { scene in
        try Data("workers:\n  concurrency: 7\n".utf8).write(to: scene.file("martlet.yaml"))
        let (ending, check) = try await scene.martlet(["config", "check"])
        #expect(ending == .exited(0))
        #expect(check.output.hasPrefix("the configuration is valid"))
        let (_, show) = try await scene.martlet(["config", "show"], environment: ["MAX_RETRIES": "9"])
        let rows = show.output.split(separator: "\n").map { $0.split(separator: " ", omittingEmptySubsequences: true) }
        #expect(
          rows.contains { $0.starts(with: ["workers.concurrency", "7"]) && $0.last?.contains("martlet.yaml") == true })
        #expect(rows.contains { $0.starts(with: ["tasks.maxRetries", "9"]) && $0.last == "MAX_RETRIES" })
      }
    }

    @Test func `migrate status tells what is missing, migrate up applies it`() async throws {
      try await Scene.play { scene in
        let (before, pending) = try await scene.martlet(["migrate", "status"])
        #expect(before == .exited(1))
        #expect(pending.output.contains("pending"))
        #expect(!FileManager.default.fileExists(atPath: scene.file("martlet.db").path))
        #expect(try await scene.martlet(["migrate", "up"]).ending == .exited(0))
        let (after, applied) = try await scene.martlet(["migrate", "status"])
        #expect(after == .exited(0))
        #expect(!applied.output.contains("pending"))
        let server = try await scene.serve(["--no-migrate"])
        #expect(try await scene.martlet(["migrate", "status"]).ending == .exited(0))  // beside a server, too
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `promtool finds nothing to say against the metrics`() async throws {
      try await Scene.play { scene in
        let api = try await scene.serve().api
        let done = try await api.submit(#"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#)
        let failed = try await api.submit(#"{"type": "FAIL_SOMETIMES", "payload": {"probability": 1}, "retries": 0}"#)
        try await api.task(done, becomes: "SUCCESS")
        try await api.task(failed, becomes: "DEAD")
        let scrape = try await api.get("/metrics")
        #expect(scrape.status == 200)
        for part in ["martlet_attempts_total{", #"outcome="SUCCESS""#, #"outcome="FAILED""#] {
          #expect(scrape.text.contains(part), "\(part)")
        }
        try Data(scrape.body).write(to: scene.file("scrape"))
        let command = "\(try Tool.installed("promtool").path) check metrics < scrape"
        let (ending, promtool) = try await scene.run(Tool.installed("sh"), ["-c", command])
        #expect(ending == .exited(0))
        #expect(promtool.output + promtool.errors == "")
      }
    }
  }
}
