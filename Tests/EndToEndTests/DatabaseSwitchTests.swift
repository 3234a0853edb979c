// The database takes no writes any more, or is lost for good and a standby takes its place. MARTLET_CHAOS_SECONDS makes it last
// (`make chaos`).

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Switches of the database")
  struct DatabaseSwitchTests {
    @Test func `a database that takes no writes is as one that is away, and all goes on when it takes them again`()
      async throws
    {
      try await Scene.play { scene in
        let postgres = try await scene.postgres()
        let database = try await DatabaseServer(on: postgres)
        let server = try await scene.serve(by: "TestServer", environment: ["MARTLET_DATABASE_URL": database.url])
        let effects = EffectsFile(url: scene.file("effects"))
        let load = Load(pause: .milliseconds(20)) { Self.task($0, effects) }
        let times = Chaos.times(2, each: 8)
        let ids = try await load.run(clients: 4) {
          load.aim(at: server.api)
          var ids: [String] = []
          for turn in 0..<times {
            let acknowledged = load.journal.acknowledged
            try await eventually("tasks are accepted") { load.journal.acknowledged >= acknowledged + 50 }
            let gate = scene.file("gate-\(turn)")
            await load.submit(to: server.api) { Self.task($0, effects, until: gate) }
            let id = try await eventually("it is at work") {
              let found = try await database.query(
                """
                SELECT r.id FROM martlet.task_runs r JOIN martlet.task_bodies b ON b.id = r.id
                WHERE r.status = 3 AND convert_from(b.payload, 'UTF8') LIKE '%gate-\(turn)"%'
                """
              ).first?[0]
              return found.flatMap { id in effects.all.contains { $0.task == id } ? id : nil }
            }
            ids.append(id)
            let before = load.journal.book.unavailable
            let reports = server.program.errorLines.count { $0.contains("cannot report") }
            try await Self.setReadOnly(true, postgres)
            try await eventually("submissions are refused") { load.journal.book.unavailable >= before + 20 }
            try await eventually("the node says why") {
              let ready = try await server.api.get("/health/ready")
              return ready.status == 503 && ready.text.contains("read-only")
            }
            try Data().write(to: gate)
            try await eventually("a result cannot be reported") {
              server.program.errorLines.count { $0.contains("cannot report") } > reports
            }
            try await Self.setReadOnly(false, postgres)
          }
          let acknowledged = load.journal.acknowledged
          try await eventually("tasks are accepted") { load.journal.acknowledged >= acknowledged + 50 }
          return ids
        }
        try await eventually("all tasks are final") { try await database.restless() == 0 }
        let book = load.journal.book
        Chaos.report(
          [("times read-only", times), ("answers 503", book.unavailable)],
          checked: [("acknowledged", book.acknowledged.count), ("effects", effects.lines.count)])
        let checker = try await Checker(journal: book, effects: effects.all, api: server.api, database: database)
        #expect(checker.summary() == [])
        #expect(try await database.faults() == [])
        // What was at work is done once.
        for id in ids { #expect(try await server.api.attempts(of: id).map { $0["outcome"]?.string } == ["SUCCESS"]) }
        #expect(try await server.stop() == .exited(0))
      }
    }

    @Test func `where a standby has to have it, what was acknowledged survives the loss of the primary`() async throws {
      for _ in 0..<Chaos.times(1, each: 45) {
        try await Scene.play { scene in
          let (checker, database, nodes) = try await Self.switchOver(scene, isBehind: false)
          #expect(checker.summary() == [])
          #expect(try await database.faults() == [])
          let book = checker.journal
          #expect(book.acknowledged.count >= 300)
          Chaos.report(
            [("primaries lost", 1), ("answers 503", book.unavailable)],
            checked: [("acknowledged", book.acknowledged.count), ("effects", checker.effects?.count ?? 0)])
          for node in nodes { #expect(node.lifeCount == 1) }
          for node in nodes { #expect(try await node.stop() == .exited(0)) }
        }
      }
    }

    @Test func `a standby that was behind lacks tasks that were acknowledged`() async throws {
      try await Scene.play { scene in
        let (checker, database, _) = try await Self.switchOver(scene, isBehind: true)
        // If this loses nothing, the primary of the other test was not lost either.
        let faults = checker.faults()
        let lost = faults.filter { $0.hasSuffix("was acknowledged and is not there") }
        Chaos.report(
          [("primaries lost", 1), ("tasks lost, as they must be", lost.count)],
          checked: [("acknowledged", checker.journal.acknowledged.count)])
        #expect(lost.count >= 100)
        let others = faults.filter { !lost.contains($0) }
        #expect(others == [])
        #expect(try await database.faults() == [])
      }
    }

    /// Under load the primary is lost for good, and its standby is made the primary.
    private static func switchOver(
      _ scene: Scene, isBehind: Bool
    ) async throws -> (Checker, DatabaseServer, [Node]) {
      let primary = try await scene.postgres()
      let first = try await DatabaseServer(on: primary)
      let standby = try await scene.standby(of: primary, named: "heir")
      let database = first.taken(over: standby)
      if !isBehind {
        _ = try await primary.query("ALTER SYSTEM SET synchronous_standby_names = 'heir'")
        _ = try await primary.query("SELECT pg_reload_conf()")
        try await eventually("the standby is synchronous") {
          try await primary.query("SELECT sync_state FROM pg_stat_replication") == [["sync"]]
        }
      }
      let url = "postgres://\(PostgresServer.user)@127.0.0.1:\(primary.port),127.0.0.1:\(standby.port)/\(first.name)"
      let nodes = ["one", "two"].map {
        Node(
          $0, roles: "api,scheduler,worker", database: url + "?target_session_attrs=read-write",
          executable: "TestServer", in: scene)
      }
      for node in nodes { try await node.start() }
      let effects = EffectsFile(url: scene.file("effects"))
      let load = Load(pause: .milliseconds(10)) { task($0, effects) }
      try await load.run(clients: 4) {
        load.aim(at: nodes.compactMap(\.api))
        try await eventually("there are tasks") { load.journal.acknowledged >= 200 }
        if isBehind {
          // All that there is comes over; from here on nothing does.
          try await eventually("the standby has the tables") {
            try await standby.query("SELECT to_regclass('martlet.migrations') IS NOT NULL", database: first.name)
              == [["t"]]
          }
          _ = try await standby.query("ALTER SYSTEM SET primary_conninfo = ''")
          _ = try await standby.query("SELECT pg_reload_conf()")
          try await eventually("the standby hears nothing any more") {
            try await primary.query("SELECT 1 FROM pg_stat_replication").isEmpty
          }
          let acknowledged = load.journal.acknowledged
          try await eventually("tasks are accepted") { load.journal.acknowledged >= acknowledged + 150 }
        }
        let unavailable = load.journal.book.unavailable
        try await primary.stop(.immediate)
        try await eventually("submissions are refused") { load.journal.book.unavailable > unavailable + 5 }
        // It is there, but it is no primary yet: nobody may take it for one.
        #expect(try await standby.query("SELECT pg_is_in_recovery()") == [["t"]])
        _ = try await standby.query("SELECT pg_promote()")
        for node in nodes {
          try await eventually("\(node.name) has found it") { try await node.api?.get("/health/ready").status == 200 }
        }
        let acknowledged = load.journal.acknowledged
        try await eventually("tasks are accepted") { load.journal.acknowledged >= acknowledged + 100 }
      }
      try await eventually("all tasks are final") { try await database.restless() == 0 }
      guard let api = nodes[0].api else { throw NeverCame(what: "an API") }
      let book = load.journal.book
      // What was done by those that are lost is done by nobody.
      let done = isBehind ? nil : effects.all
      return (try await Checker(journal: book, effects: done, api: api, database: database), database, nodes)
    }

    private static func setReadOnly(_ isReadOnly: Bool, _ postgres: PostgresServer) async throws {
      _ = try await postgres.query(
        "ALTER SYSTEM SET default_transaction_read_only = \(isReadOnly ? "on" : "off")")
      _ = try await postgres.query("SELECT pg_reload_conf()")
    }

    private static func task(_ number: Int, _ effects: EffectsFile, until gate: URL? = nil) -> String {
      """
      {"type": "WAIT_FOR_FILE", "metadata": {"number": "\(number)"}, "leaseSeconds": \(gate == nil ? 2 : 600),
       "payload": {"path": "\(gate?.path ?? "/")", "effects": "\(effects.url.path)"}, "timeoutSeconds": 3600,
       "retries": 100, "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}}
      """
    }
  }
}
