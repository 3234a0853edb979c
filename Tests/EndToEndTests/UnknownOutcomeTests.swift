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
        var known: String?
        var unknown: Set<String> = []
        for _ in 0..<Self.rounds where known == nil {
          let answer = try await Self.cutting(proxy, Self.submission, cut, expecting: 201) {
            try await server.api.post("/tasks", Self.task)
          }
          switch answer {
          case .known(let task): known = try #require(task["id"]?.string)
          case .unknown(let task): unknown.insert(task)
          case .notCut: break
          }
        }
        let id = try #require(known, "no submission was answered after a cut")
        Self.report(proxy, "submissions")
        let stored = try await database.rows().map(\.id)
        #expect(stored.filter { !unknown.contains($0) } == [id])
        #expect(cut == .beforeCommit || unknown.isSubset(of: stored))
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
        var answered: String?
        for _ in 0..<Self.rounds where answered == nil {
          let id = try await eventually("a submission is accepted") { try? await server.api.submit(Self.task) }
          var isAnswered = true
          for (command, text, status) in [
            ("cancel", "CANCELLED AS (", "CANCELLED"), ("retry", "RETRIED AS (", "READY"),
          ] where isAnswered {
            let answer = try await Self.cutting(proxy, text, cut, expecting: 200) {
              try await server.api.post("/tasks/\(id)/\(command)")
            }
            switch answer {
            case .known(let task): #expect(task["status"]?.string == status)
            case .unknown(let task):
              #expect(task == id)
              isAnswered = false
            case .notCut: isAnswered = false
            }
          }
          if isAnswered { answered = id }
        }
        let id = try #require(answered, "no two commands were answered after a cut")
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

    /// How often it is tried to be answered after a cut.
    private static let rounds = 20

    /// What is said to a call that was cut at its commit.
    private enum Answer {
      /// As if nothing had happened.
      case known(JSONSlice)
      /// Calls are repeated for half a second, for which a machine can be too slow: this is the task to look for.
      case unknown(String)
      /// The store was away before it came to a commit.
      case notCut
    }

    private static func cutting(
      _ proxy: CuttingProxy, _ text: String, _ cut: CuttingProxy.Cut, expecting status: Int,
      _ call: () async throws -> Reply
    ) async throws -> Answer {
      let before = cuts(by: proxy)
      proxy.cutNext(text, cut)
      let reply = try await call()
      let count = cuts(by: proxy) - before
      if reply.status == 503, count == 0 { return .notCut }
      #expect(count == 1)
      let json = try reply.json()
      guard reply.status == 503 else {
        #expect(reply.status == status)
        return .known(json)
      }
      #expect(json["outcome"]?.string == "unknown")
      return .unknown(try #require(json["taskId"]?.string))
    }

    private static func cuts(by proxy: CuttingProxy) -> Int {
      let counts = proxy.counts
      return counts.beforeCommit + counts.afterCommit
    }

    private static func report(_ proxy: CuttingProxy, _ what: String) {
      let count = cuts(by: proxy)
      Chaos.report([("cuts at the commit of \(what)", count)], checked: [(what, count)])
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
