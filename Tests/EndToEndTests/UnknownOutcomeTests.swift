// A connection that breaks at COMMIT leaves it open whether anything was written. Where the call can be repeated nobody
// notices; where it cannot, the client is told which task to look for.

internal import Foundation
internal import MartletCore
internal import NIOHTTP1
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Unknown outcomes")
  struct UnknownOutcomeTests {
    private static let submission = "INSERT INTO task_bodies"
    private static let task = #"{"type": "nobody-knows", "metadata": {"number": "1"}}"#

    @Test(arguments: [CuttingProxy.Cut.beforeCommit, .afterCommit])
    func `the proxy cuts at the commit: before it nothing is written, after it everything`(
      cut: CuttingProxy.Cut
    ) async throws {
      let postgres = try await PostgresServer.shared
      let database = try await DatabaseServer(on: postgres)
      _ = try await database.query("CREATE TABLE birds (name text)")
      try await Scene.play { scene in
        let script = scene.file("script.sql")
        try Data("INSERT INTO birds VALUES ('swift');\n".utf8).write(to: script)
        try await CuttingProxy.serving(before: postgres.port) { proxy in
          func insertFive() async throws -> Int32 {
            try await postgres.run(
              "pgbench",
              [
                "-M", "extended", "-n", "-c", "1", "-t", "5", "-f", script.path, "-p", "\(proxy.port)", "-U",
                PostgresServer.user, database.name,
              ]
            ).status
          }
          let first = try await insertFive()
          #expect(first == 0)
          proxy.cutNext("INSERT INTO birds", cut)
          let second = try await insertFive()
          #expect(second != 0)
          let birds = try await database.number("SELECT count(*) FROM birds")
          #expect(birds == (cut == .afterCommit ? 6 : 5))
          #expect(proxy.counts.afterCommit == (cut == .afterCommit ? 1 : 0))
          #expect(proxy.counts.beforeCommit == (cut == .beforeCommit ? 1 : 0))
        }
      }
    }

    @Test(arguments: [CuttingProxy.Cut.beforeCommit, .afterCommit])
    func `a submission cut at its commit is repeated, and is there once`(cut: CuttingProxy.Cut) async throws {
      try await Self.serving { server, proxy, database in
        proxy.cutNext(Self.submission, cut)
        let id = try await server.api.submit(Self.task)
        #expect(proxy.counts.beforeCommit + proxy.counts.afterCommit == 1)
        Self.report(proxy, "submissions")
        #expect(try await database.rows().map(\.id) == [id])
        #expect(try await database.faults() == [])
      }
    }

    @Test(arguments: [CuttingProxy.Cut.beforeCommit, .afterCommit])
    func `where a cut submission cannot be repeated the answer names the task, and the client can look`(
      cut: CuttingProxy.Cut
    ) async throws {
      try await Self.serving { server, proxy, database in
        proxy.cutNext(Self.submission, cut, then: .refuse)
        let reply = try await server.api.post("/tasks", Self.task)
        #expect(reply.status == 503)
        #expect(reply.headers.contains(name: "Retry-After"))
        let problem = try reply.json()
        #expect(problem["code"]?.string == "store-unavailable")
        #expect(problem["outcome"]?.string == "unknown")
        let id = try #require(problem["taskId"]?.string)

        proxy.set(.pass)
        let status = try await eventually("the store is back") {
          let status = try await server.api.get("/tasks/\(id)").status
          return status == 503 ? nil : status
        }
        // Cut before its commit it may be there all the same: a repetition was on its way when all was refused.
        #expect(status == 200 || (status == 404 && cut == .beforeCommit))
        #expect(try await database.rows().map(\.id) == (status == 200 ? [id] : []))
      }
    }

    @Test(arguments: [CuttingProxy.Cut.beforeCommit, .afterCommit])
    func `a command cut at its commit is carried out once, and answered as if nothing had happened`(
      cut: CuttingProxy.Cut
    ) async throws {
      try await Self.serving { server, proxy, database in
        let id = try await server.api.submit(Self.task)
        proxy.cutNext("CANCELLED AS (", cut)
        #expect(try await server.api.post("/tasks/\(id)/cancel").status == 200)
        proxy.cutNext("RETRIED AS (", cut)
        let retried = try await server.api.post("/tasks/\(id)/retry")
        #expect(retried.status == 200)
        #expect(try retried.json()["status"]?.string == "READY")
        #expect(proxy.counts.beforeCommit + proxy.counts.afterCommit == 2)
        Self.report(proxy, "commands")
        let told = try await server.api.events(of: id).compactMap { $0["type"]?.string }
        #expect(
          told.map { $0.split(separator: ".").last ?? "" } == ["received", "ready", "cancelled", "retried", "ready"])
        #expect(try await database.faults() == [])
      }
    }

    @Test(arguments: [CuttingProxy.Cut.beforeCommit, .afterCommit])
    func `a claim or a report cut at its commit costs no attempt`(cut: CuttingProxy.Cut) async throws {
      try await Self.serving(roles: "api,worker") { server, proxy, database in
        let email = #"{"type": "email", "payload": {"to": "user@example.com", "subject": "Welcome"}}"#
        for text in ["JUDGED AS MATERIALIZED", "ENDED AS ("] {
          proxy.cutNext(text, cut)
          let id = try await server.api.submit(email)
          try await server.api.task(id, becomes: "SUCCESS")
          #expect(try await server.api.attempts(of: id).map { $0["outcome"]?.string } == ["SUCCESS"])
        }
        #expect(proxy.counts.beforeCommit + proxy.counts.afterCommit == 2)
        Self.report(proxy, "claims and reports")
        #expect(try await database.faults() == [])
      }
    }

    private static func report(_ proxy: CuttingProxy, _ what: String) {
      let cuts = proxy.counts.beforeCommit + proxy.counts.afterCommit
      Chaos.report([("cuts at the commit of \(what)", cuts)], checked: [(what, cuts)])
    }

    /// One node behind the proxy.
    private static func serving(
      roles: String = "api", _ body: (Server, CuttingProxy, DatabaseServer) async throws -> Void
    ) async throws {
      let postgres = try await PostgresServer.shared
      let database = try await DatabaseServer(on: postgres)
      // The node goes first: it would connect once more while the proxy leaves.
      try await CuttingProxy.serving(before: postgres.port) { proxy in
        try await Scene.play { scene in
          let arguments = ["--roles", roles, "--durability", "relaxed", "--database", database.url(port: proxy.port)]
          try await body(try await scene.serve(arguments), proxy, database)
        }
      }
    }
  }
}
