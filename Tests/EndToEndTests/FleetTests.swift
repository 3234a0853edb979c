// Many nodes on one PostgreSQL, and everything that can happen to them and to it. MARTLET_CHAOS_SECONDS makes it last
// (`make chaos`), MARTLET_CHAOS_SEED repeats a run.

internal import Foundation
internal import Testing

extension EndToEnd {
  @Suite("The fleet")
  struct FleetTests {
    @Test func `a fleet loses nothing and does nothing twice, whatever happens to it`() async throws {
      let seed = SplitMix.seed(from: "MARTLET_CHAOS_SEED")
      let end = ContinuousClock.now + Chaos.duration
      let faults = try Fault.asked()
      try await Scene.play { scene in
        var tally = Tally()
        try await Fleet.serving(in: scene, seed: seed) { fleet in
          var mischief = Mischief(fleet, faults, seed: seed)
          try await mischief.doAll()
          while ContinuousClock.now < end { try await mischief.doOne() }
          tally = mischief.tally
        } after: { fleet in
          try await Self.judge(fleet, faults, tally)
        }
      }
    }

    private static func judge(_ fleet: Fleet, _ faults: [Fault], _ tally: Tally) async throws {
      let book = fleet.load.journal.book
      let cuts = fleet.proxy.counts
      let effects = fleet.effects
      let lost = try await fleet.database.attempts(ended: Code.lost).count
      let late = fleet.nodes.reduce(0) { $0 + $1.lines(with: "a report came too late", inAllLives: true) }
      print(
        """
        fleet: \(book.acknowledged.count) acknowledged, \(book.unknown.count) answers unknown (\(book.named.count) of them \
        with a name), \(book.refused) refused (\(book.unavailable) of them with 503), \(effects.count) effects, \(lost) attempts \
        LOST, \(late) reports too late, \(cuts.beforeCommit) cuts before a commit and \(cuts.afterCommit) after one
        fleet: \(tally)
        fleet: cut statements \(cuts.statements.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })
        """)
      guard let api = fleet.apis[0].api else { throw NeverCame(what: "an API") }
      let checker = try await Checker(journal: book, effects: effects, api: api, database: fleet.database)
      #expect(checker.summary() == [])
      #expect(try await fleet.database.faults() == [])
      #expect(
        try await checker.brokenHistories(api, limit: 300, failures: ["LOST", "FAILED", "TIMED_OUT"]) == [])
      for node in fleet.nodes {
        #expect(node.isAlive, "\(node.name) has left by itself")
        #expect(try await node.stop() == .exited(0), "\(node.name)")
      }

      // Without these nothing was put to the test.
      let happened: [Fault: [(String, Int)]] = [
        .kill: [("kills", tally.kills)],
        .freeze: [("freezes", tally.freezes), ("reports of zombies refused", tally.lateReports)],
        .crashDatabase: [("crashes of the database", tally.databaseCrashes)],
        .endConnections: [("connections ended", tally.endedConnections)],
        .cutCommits: [("cuts before a commit", cuts.beforeCommit), ("cuts after one", cuts.afterCommit)],
        .stall: [("stalls of the database", tally.stalls)],
        .part: [("partings from it", tally.partings)],
      ]
      Chaos.report(
        faults.flatMap { happened[$0] ?? [] },
        checked: [("acknowledged", book.acknowledged.count), ("effects", effects.count), ("attempts LOST", lost)])
      #expect(book.acknowledged.count >= (faults == Fault.allCases ? 500 : 100))
      guard faults == Fault.allCases else { return }
      #expect(tally.kills >= 2)
      #expect(book.unknown.count > 0)
      #expect(book.unavailable > 0)
      #expect(lost > 0)
      #expect(late > 0)
    }
  }
}
