// The database goes away and comes back: nothing is accepted in memory, nobody waits long for a no, and work that was begun
// is finished and reported, or counted as lost.

internal import Foundation
internal import MartletCore
internal import NIOHTTP1
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Outages of the database")
  struct OutageTests {
    private static let plain = #"{"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}"#

    @Test func `without the database a submission is refused soon, and the node says what is wrong`() async throws {
      try await Scene.play { scene in
        let postgres = try await scene.postgres()
        let database = try await DatabaseServer(on: postgres)
        let server = try await scene.serve(["--database", database.url])
        try await server.api.task(server.api.submit(Self.plain), becomes: "SUCCESS")
        try await server.api.becomesReady()

        try await postgres.stop(.fast)
        var fastest = Duration.seconds(3600)
        for _ in 0..<5 {
          let begin = ContinuousClock.now
          let reply = try await server.api.post("/tasks", Self.plain)
          fastest = min(fastest, ContinuousClock.now - begin)
          #expect(reply.status == 503)
          #expect(reply.headers.contains(name: "Retry-After"))
          #expect(try reply.json()["code"]?.string == "store-unavailable")
          #expect(try reply.json()["outcome"]?.string == nil)
        }
        // The promise is one second; the rest is for a machine that has much else to do.
        #expect(fastest < .seconds(3))
        let ready = try await server.api.get("/health/ready")
        #expect(ready.status == 503)
        let store = try ready.json()["components"]?.elements?.first { $0["name"]?.string == "store" }
        #expect(store?["status"]?.string == "failing")
        #expect(try await server.api.get("/health/live").status == 200)

        try await postgres.startAgain()
        try await eventually("it is ready again") { try await server.api.get("/health/ready").status == 200 }
        try await server.api.task(server.api.submit(Self.plain), becomes: "SUCCESS")
        #expect(try await database.number("SELECT count(*) FROM martlet.task_runs") == 2)
        #expect(try await database.faults() == [])
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test(arguments: [PostgresServer.StopMode.fast, .immediate])
    func `a handler goes on through an outage, and its result is reported after it`(
      mode: PostgresServer.StopMode
    ) async throws {
      try await Scene.play { scene in
        let postgres = try await scene.postgres()
        let database = try await DatabaseServer(on: postgres)
        let server = try await scene.serve(by: "TestServer", environment: ["MARTLET_DATABASE_URL": database.url])
        let gate = scene.file("gate")
        let effects = scene.file("effects")
        let id = try await server.api.submit(Self.waiting(for: gate, leaseSeconds: 600, effects: effects))
        try await Self.isBegun(effects)

        try await postgres.stop(mode)
        try Data().write(to: gate)
        try await eventually("the result cannot be reported") { server.program.errors.contains("cannot report") }
        try await postgres.startAgain()
        try await eventually("the task is done") { (try? await server.api.task(id))?["status"]?.string == "SUCCESS" }
        #expect(try await server.api.attempts(of: id).map { $0["outcome"]?.string } == ["SUCCESS"])
        #expect(try await database.faults() == [])
      }
    }

    @Test
    func `a worker that was cut off longer than its lease is counted as lost, and its late report changes nothing`()
      async throws
    {
      try await Scene.play { scene in
        let postgres = try await scene.postgres()
        let database = try await DatabaseServer(on: postgres)
        try await CuttingProxy.serving(before: postgres.port) { proxy in
          let server = try await scene.serve(["--roles", "api,scheduler", "--database", database.url])
          let gate = scene.file("gate")
          func worker(_ name: String, _ url: String) -> Node {
            Node(name, roles: "worker", database: url, executable: "TestServer", in: scene)
          }
          let cutOff = worker("the cut off worker", database.url(port: proxy.port))
          try await cutOff.start()
          let effects = scene.file("effects")
          let id = try await server.api.submit(
            Self.waiting(for: gate, leaseSeconds: 5, isStubborn: true, effects: effects))
          try await Self.isBegun(effects)

          proxy.set(.refuse)
          try await eventually("the lease is lost") {
            try await server.api.attempts(of: id).first?["outcome"]?.string == "LOST"
          }
          let heir = worker("the heir", database.url)
          try await heir.start()
          try await server.api.task(id, becomes: "RUNNING")
          try Data().write(to: gate)
          try await server.api.task(id, becomes: "SUCCESS")
          proxy.set(.pass)
          try await eventually("the late report is refused") { cutOff.lines(with: "a report came too late") >= 1 }

          let outcomes = try await server.api.outcomes(of: id)
          #expect(outcomes.areSuccessAfterLost, "\(outcomes)")
          #expect(try await server.api.task(id)["attempt"]?.int == outcomes.count)
          Chaos.report([("workers cut off past their lease", 1)], checked: [("attempts", outcomes.count)])
          let metrics = try await server.api.get("/metrics").text
          let lost = " \(outcomes.count - 1)"
          #expect(metrics.split(separator: "\n").contains { $0.contains(#"outcome="LOST""#) && $0.hasSuffix(lost) })
          #expect(try await database.faults() == [])
        }
      }
    }

    @Test func `a node goes on with a database that has lost its latest commits`() async throws {
      // As after the failover to a standby that was behind: what the node remembers of the database may be gone.
      try await Scene.play { scene in
        let database = try await DatabaseServer(on: PostgresServer.shared)
        let server = try await scene.serve(["--database", database.url, "--durability", "relaxed"])
        let lost = try await server.api.submit(Self.plain)
        try await server.api.task(lost, becomes: "SUCCESS")
        let tables = try await database.query(
          """
          SELECT string_agg('martlet.' || tablename, ', ') FROM pg_tables
          WHERE schemaname = 'martlet' AND tablename NOT IN ('migrations', 'duties')
          """)
        _ = try await database.query("TRUNCATE \(tables[0][0]) RESTART IDENTITY")
        _ = try await database.query(
          """
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = current_database() AND pid <> pg_backend_pid()
          """)
        let id = try await eventually("a submission is accepted") { try? await server.api.submit(Self.plain) }
        try #require(try await database.number("SELECT count(*) FROM martlet.tasks WHERE id = '\(id)'") == 1)
        try await server.api.task(id, becomes: "SUCCESS")
      }
    }

    /// A claim may be committed and its answer be lost; what has begun is known to its worker.
    private static func isBegun(_ effects: URL) async throws {
      try await eventually("it is begun") { FileManager.default.contents(atPath: effects.path)?.isEmpty == false }
    }

    private static func waiting(for gate: URL, leaseSeconds: Int, isStubborn: Bool = false, effects: URL? = nil)
      -> String
    {
      let effects = effects.map { #", "effects": "\#($0.path)""# } ?? ""
      return """
        {"type": "WAIT_FOR_FILE", "payload": {"path": "\(gate.path)", "isStubborn": \(isStubborn)\(effects)},
         "leaseSeconds": \(leaseSeconds), "timeoutSeconds": 3600, "retries": 20,
         "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}}
        """
    }
  }
}
