// Clocks that are set while everything works: those of nodes, by hours and back, which nobody notices; and that of the database, on
// which leases end early and nothing else. MARTLET_CHAOS_SECONDS makes it last (`make chaos`), MARTLET_CHAOS_SEED repeats a run.

internal import Foundation
internal import MartletCore
internal import PostgresServer
internal import Testing

extension EndToEnd {
  @Suite("Clock jumps")
  struct ClockJumpTests {
    @Test func `clocks of nodes jump by hours, forward and back, and nothing is early, late, lost or done twice`()
      async throws
    {
      var random = SplitMix(seed: SplitMix.seed(from: "MARTLET_CHAOS_SEED"))
      try await Scene.play { scene in
        let preload = try await WrongClock.preload(in: scene)
        let database = try await DatabaseServer(on: try await scene.postgres())
        let clocks = try ["one", "two"].map { try WrongClock(named: $0, preload: preload, in: scene) }
        let nodes = ["one", "two"].map {
          Node($0, roles: "api,scheduler,worker", database: database.url, executable: "TestServer", in: scene)
        }
        for (node, clock) in zip(nodes, clocks) { try await node.start(clock.environment) }
        let apis = nodes.compactMap(\.api)
        let effects = EffectsFile(url: scene.file("effects"))
        let load = Load(pause: .milliseconds(30)) { Self.task($0, effects) }
        let begin = Self.now

        let schedule = try await apis[0].post("/schedules", Self.schedule)
        #expect(schedule.status == 201)
        // These are at work through all jumps, and their leases are renewed again and again.
        let gate = scene.file("gate")
        for _ in 0..<4 {
          await load.submit(to: apis[0]) { Self.task($0, effects, until: gate) }
        }
        // Long over by a clock that is a day ahead.
        let expiry = Self.now + .seconds(7200)
        let jumps = Chaos.times(6, each: 4)
        let hours = [1, -1, 24, -24, 0, 2]
        var seen = 0
        try await load.run(clients: 4) {
          load.aim(at: apis)
          for jump in 0..<jumps {
            let (place, error) = (jump % 2, 3600 * (hours.randomElement(using: &random) ?? 1) + jump + 1)
            try clocks[place].jump(to: error)
            let felt = try await WrongClock.error(of: apis[place])
            if abs(felt - Double(error)) < 300 { seen += 1 }
            await load.submit(to: apis[place]) { Self.task($0, effects, rest: #""expiresAt": "\#(expiry)""#) }
            let goal = effects.lines.count + 40
            try await eventually("tasks are carried out") { effects.lines.count >= goal }
          }
          try await eventually("leases have ended several times") { Self.now - begin > .seconds(35) }
          try await eventually("five ticks have come") {
            try await apis[0].found("/tasks?scheduleName=tick&limit=1000")["data"]?.elements?.count ?? 0 >= 5
          }
          try Data().write(to: gate)
        }
        _ = try await apis[0].delete("/schedules/tick")
        try await apis[0].allAreAtRest()
        let end = Self.now

        let book = load.journal.book
        let tasks = try await apis[1].allTasks()
        let ticks = tasks.filter { $0["type"]?.string == "FAIL_SOMETIMES" }
        Chaos.report(
          [("jumps of nodes' clocks", seen)],
          checked: [
            ("acknowledged", book.acknowledged.count), ("effects", effects.lines.count), ("ticks", ticks.count),
          ])
        var checker = try await Checker(journal: book, effects: effects.all, api: apis[0], database: database)
        // Of what a schedule makes no client knows.
        let made = Set(ticks.compactMap { $0["id"]?.string })
        checker.listed.removeAll { made.contains($0.id) }
        checker.stored.removeAll { made.contains($0.id) }
        #expect(checker.summary() == [])
        #expect(try await database.faults() == [])
        // With the clock of anybody else leases would have been over, by hours.
        #expect(try await database.attempts(ended: Code.lost) == [])
        #expect(tasks.allSatisfy { $0["attempt"]?.int == 1 })
        for task in tasks {
          let times = try ["createdAt", "availableAt", "startedAt", "finishedAt"].map { name in
            try #require(task[name]?.string.flatMap { Timestamp($0) })
          }
          #expect(times == times.sorted())
          #expect(times[0] + .seconds(1) >= begin && times[3] <= end + .seconds(1))
        }
        let due = ticks.compactMap { $0["runAt"]?.string.flatMap(Timestamp.init) }.sorted()
        // Of several that are due only the latest counts: on a slow machine one may be left out, and none comes twice.
        let gaps = zip(due, due.dropFirst()).map { ($1 - $0).wholeMilliseconds }
        #expect(gaps.allSatisfy { $0 > 0 && $0 % 5000 == 0 }, "each tick has at most one task: \(gaps)")
        #expect(due.allSatisfy { $0 >= begin && $0 <= end + .seconds(1) })
        for node in nodes { #expect(try await node.stop() == .exited(0)) }

        // Without these nothing was put to the test.
        #expect(seen == jumps)
        #expect(book.acknowledged.count >= 200 && ticks.count >= 5)
      }
    }

    @Test func `a database whose clock jumps forward ends leases early, and what comes too late then is refused`()
      async throws
    {
      try await Scene.play { scene in
        let clock = try WrongClock(named: "database", preload: try await WrongClock.preload(in: scene), in: scene)
        let postgres = try await scene.postgres(
          through: ["/usr/bin/env"] + clock.environment.map { "\($0.key)=\($0.value)" })
        let database = try await DatabaseServer(on: postgres)
        let nodes = ["one", "two"].map {
          Node($0, roles: "api,scheduler,worker", database: database.url, executable: "TestServer", in: scene)
        }
        for node in nodes { try await node.start() }
        let apis = nodes.compactMap(\.api)
        let effects = EffectsFile(url: scene.file("effects"))
        let load = Load(pause: .milliseconds(30)) { Self.task($0, effects) }
        let gate = scene.file("gate")
        try await load.run(clients: 4) {
          load.aim(at: apis)
          for _ in 0..<4 { await load.submit(to: apis[0]) { Self.task($0, effects, until: gate, isStubborn: true) } }
          let held = try await eventually("they run") {
            let running = try await database.query(Self.held)
            return running.count == 4 ? try running.map { try StoredAttempt(columns: $0) } : nil
          }
          try await eventually("they have begun") {
            effects.all.count { held.map(\.task).contains($0.task) } == held.count
          }
          try clock.jump(to: 1800)  // beyond their leases, and not beyond their timeout
          try await eventually("their leases are over") {
            Set(try await database.attempts(ended: Code.lost)).isSuperset(of: held)
          }
          let goal = effects.lines.count + 60
          try await eventually("tasks are carried out") { effects.lines.count >= goal }
          try Data().write(to: gate)
          try await eventually("the late reports are refused") {
            nodes.reduce(0) { $0 + $1.lines(with: "a report came too late", "outcome=SUCCESS") } >= held.count
          }
        }
        try await apis[0].allAreAtRest()
        let checker = try await Checker(
          journal: load.journal.book, effects: effects.all, api: apis[0], database: database)
        #expect(checker.summary() == [])
        #expect(try await database.faults() == [])
        for node in nodes { #expect(try await node.stop() == .exited(0)) }
        let ahead = try await database.number(
          "SELECT (max(created_at) / 1000 - \(Int(Date().timeIntervalSince1970)))::int FROM martlet.task_bodies")
        #expect(ahead > 900, "the database's clock has jumped")
        let lost = try await database.attempts(ended: Code.lost).count
        Chaos.report(
          [("jumps of the database's clock", 1), ("leases ended early", lost)],
          checked: [("acknowledged", load.journal.acknowledged), ("effects", effects.lines.count)])
      }
    }

    private static var now: Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }

    private static let held = """
      SELECT r.id, r.attempt FROM martlet.task_runs r JOIN martlet.task_bodies b ON b.id = r.id
      WHERE r.status = 3 AND convert_from(b.payload, 'UTF8') LIKE '%gate%'
      """

    private static let schedule = #"""
      {"name": "tick", "everySeconds": 5, "misfire": "FIRE_ONCE",
       "task": {"type": "FAIL_SOMETIMES", "payload": {"probability": 0}}}
      """#

    /// Done at once, or held until a file is there.
    private static func task(
      _ number: Int, _ effects: EffectsFile, until gate: URL? = nil, isStubborn: Bool = false,
      rest: String = #""priority": 5"#
    ) -> String {
      """
      {"type": "WAIT_FOR_FILE", "metadata": {"number": "\(number)"}, "delaySeconds": \(number % 5 == 4 ? 0.3 : 0),
       "payload": {"path": "\(gate?.path ?? "/")", "effects": "\(effects.url.path)", "isStubborn": \(isStubborn)},
       "leaseSeconds": 15, "timeoutSeconds": 3600, "retries": 100,
       "backoff": {"strategy": "fixed", "baseSeconds": 0.05, "jitter": 0}, \(rest)}
      """
    }
  }
}
