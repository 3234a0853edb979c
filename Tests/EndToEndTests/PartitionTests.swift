// The network loses packets without a word, between nodes and their database and between a worker and its server: connections hang
// and nobody is told. MARTLET_CHAOS_SECONDS makes it last (`make chaos`), MARTLET_CHAOS_SEED repeats a run.

internal import Foundation
internal import MartletCore
internal import Testing

extension EndToEnd {
  @Suite("Partitions")
  struct PartitionTests {
    /// Whose words are lost.
    private enum Loss: CaseIterable {
      case everything
      /// What the node writes is committed, and it does not hear of it.
      case answers
      case requests
    }

    private struct Tally {
      var cuts: [String: Int] = [:]
      var forgottenSessions = 0
      var lateReports = 0
    }

    @Test func `nodes that their database cannot hear, or they not it, lose nothing and do nothing twice`() async throws
    {
      var random = SplitMix(seed: SplitMix.seed(from: "MARTLET_CHAOS_SEED"))
      let end = ContinuousClock.now + Chaos.duration
      try await Scene.play { scene in
        let fleet = try await DividedFleet.start(in: scene)
        var tally = Tally()
        try await fleet.load.run(clients: 4) {
          try await fleet.works()
          for loss in Loss.allCases.shuffled(using: &random) {
            guard let victim = fleet.nodes.randomElement(using: &random) else { return }
            try await Self.cutOff(victim, loss, of: fleet, &tally, isLong: loss == .everything)
          }
          try await Self.cutOffAll(of: fleet, &tally)
          while ContinuousClock.now < end {
            let loss = Loss.allCases.randomElement(using: &random) ?? .everything
            if Int.random(in: 0..<4, using: &random) == 0 {
              try await Self.cutOffAll(of: fleet, &tally)
            } else if let victim = fleet.nodes.randomElement(using: &random) {
              try await Self.cutOff(victim, loss, of: fleet, &tally, isLong: Int.random(in: 0..<5, using: &random) == 0)
            }
          }
        }
        try await eventually("all tasks are final") { try await fleet.database.restless() == 0 }
        try await Self.judge(fleet, tally)
      }
    }

    /// One node loses the database; the other one works on, and takes over what the one held.
    private static func cutOff(
      _ victim: Node, _ loss: Loss, of fleet: DividedFleet, _ tally: inout Tally, isLong: Bool
    ) async throws {
      print("partition: \(victim.name) loses \(loss)")
      guard let witness = fleet.nodes.first(where: { $0 !== victim }) else { return }
      let (gate, held) = try await fleet.hold(by: victim)
      try await lose(loss, between: victim, and: fleet)
      // Not even its own kind can tell it anything.
      if loss == .everything { try await fleet.network.cut(fleet.network["one"], fleet.network["two"]) }
      try await isMissed(by: victim)
      tally.cuts["\(loss)", default: 0] += 1
      try await eventually("what the node held is lost to it") {
        Set(try await fleet.database.attempts(ended: Code.lost)).isSuperset(of: held)
      }
      try await fleet.goesOn(witness)
      if isLong {
        // Whatever they were at, transactions of a node that is gone must not keep locks and old snapshots until the day after.
        try await eventually("the database has let go of its sessions") {
          try await fleet.sessions(of: victim) == 0
        }
        tally.forgottenSessions += 1
      }
      try Data().write(to: gate)
      try await fleet.network.heal()
      try await fleet.works()
      try await eventually("its late reports are refused") {
        held.allSatisfy { victim.lines(with: "a report came too late", "outcome=SUCCESS", $0.task) > 0 }
      }
      tally.lateReports += held.count
    }

    private static func cutOffAll(of fleet: DividedFleet, _ tally: inout Tally) async throws {
      print("partition: all nodes lose the database")
      for node in fleet.nodes { try await lose(.everything, between: node, and: fleet) }
      for node in fleet.nodes { try await isMissed(by: node) }
      tally.cuts["everything, of all", default: 0] += 1
      let before = fleet.load.journal.book.unavailable
      try await eventually("submissions are refused") { fleet.load.journal.book.unavailable > before + 5 }
      try await fleet.network.heal()
      try await fleet.works()
    }

    private static func lose(_ loss: Loss, between node: Node, and fleet: DividedFleet) async throws {
      let (there, database) = (fleet.network[node.name], fleet.network[DividedFleet.databasePlace])
      if loss != .answers { try await fleet.network.lose(from: there, to: database) }
      if loss != .requests { try await fleet.network.lose(from: database, to: there) }
    }

    /// The proof that the network is cut where it should be, and nowhere else.
    private static func isMissed(by node: Node) async throws {
      guard let api = node.api else { throw NeverCame(what: "an API of \(node.name)") }
      try await eventually("\(node.name) says that it has no database") {
        let ready = try await api.get("/health/ready")
        let store = try ready.json()["components"]?.elements?.first { $0["name"]?.string == "store" }
        return ready.status == 503 && store?["status"]?.string == "failing"
      }
      #expect(try await api.get("/health/live").status == 200)
    }

    private static func judge(_ fleet: DividedFleet, _ tally: Tally) async throws {
      let book = fleet.load.journal.book
      guard let api = fleet.nodes[0].api else { throw NeverCame(what: "an API") }
      let effects = fleet.effects.all
      let checker = try await Checker(journal: book, effects: effects, api: api, database: fleet.database)
      let committed = checker.stored.count { $0.number.map(book.unknown.contains) ?? false }
      let kinds = Loss.allCases.map { "\($0)" } + ["everything, of all"]
      Chaos.report(
        kinds.map { ("losses of \($0)", tally.cuts[$0] ?? 0) } + [
          ("times sessions of the lost were ended", tally.forgottenSessions),
          ("late reports refused", tally.lateReports), ("commits of which nobody heard", committed),
          ("answers 503", book.unavailable),
        ], checked: [("acknowledged", book.acknowledged.count), ("effects", effects.count)])
      #expect(checker.summary() == [])
      #expect(try await fleet.database.faults() == [])
      #expect(try await checker.brokenHistories(api, limit: 300) == [])
      for node in fleet.nodes {
        #expect(node.lifeCount == 1 && node.isAlive, "\(node.name) has left by itself")
        #expect(try await node.stop() == .exited(0), "\(node.name)")
      }

      #expect(book.acknowledged.count >= 200)
    }
  }
}
