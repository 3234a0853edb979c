// Concurrent histories on the real stores: whatever callers at once were told of a task must fit some order of one thing after the
// other. `RandomHistoryTests` compares what single callers see with the model; here they get into each other's way, and some of
// their answers are lost.

import MartletCore
import MartletPostgres
import MartletTestKit
import PostgresServer
import Testing

@Suite(.timeLimit(.minutes(30))) struct ConcurrentHistoryTests {
  private static let real = stores.filter { ["sqlite", "postgres"].contains($0.name) }

  @Test(arguments: real)
  func `what callers at once are told of a task fits some order of one thing after the other`(
    store: StoreUnderTest
  ) async throws {
    var sometimes = Sometimes()
    for seed in 1...RandomHistoryTests.seeds {
      let problems = try await store.play(seed: seed, sometimes: &sometimes)
      #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
      if !problems.isEmpty { return }
    }
    sometimes.expectAll()
  }

  @Test func `so they are while PostgreSQL ends sessions before their commits and after them`() async throws {
    let server = try await PostgresServer.start(durable: false)
    let cutter = SessionCutter(server)
    var sometimes = Sometimes()
    for seed in 1...max(4, RandomHistoryTests.seeds / 10) {
      var options = PostgresStore.Options(url: try await server.createDatabase())
      options.durability = .relaxed
      options.connections = 3
      options.answerWithin = .seconds(120)
      let time = ManualTime()
      options.clock = time.clock
      let nodes = [try await PostgresStore.open(options), try await PostgresStore.open(options)]
      var run = ConcurrentRun(seed: seed, time: time, nodes: nodes.map { StoreCalls($0) })
      run.isCut = true
      try await run.play(last: StoreCalls(nodes[0]), beside: cutter)
      for node in nodes { await node.close() }
      let problems = run.problems(sometimes: &sometimes)
      #expect(problems.isEmpty, "\(problems.joined(separator: "\n"))")
      if !problems.isEmpty { break }
    }
    await server.remove()
    #expect(cutter.counts.committed > 0 && cutter.counts.others > 0, "\(cutter.counts)")
  }

  @Test(arguments: Sabotage.allCases)
  func `a bug put into a real store is found`(_ sabotage: Sabotage) async throws {
    let sqlite = try #require(Self.real.first { $0.name == "sqlite" })
    var sometimes = Sometimes()
    for seed: UInt64 in 1...40 {
      let problems = try await sqlite.play(seed: seed, sometimes: &sometimes, break: sabotage.breaks)
      if let problem = problems.first {
        #expect(problem.contains("seed \(seed), task") && problem.contains("fit no order"))
        return
      }
    }
    Issue.record("it was not found")
  }
}

extension StoreUnderTest {
  /// One history on a fresh store, with two nodes where two can share a database.
  func play(
    seed: UInt64, sometimes: inout Sometimes, break breaks: (StoreCalls) -> StoreCalls = { $0 }
  ) async throws -> [String] {
    var problems: [String] = []
    try await onBench { bench in
      let second = name == "postgres" ? try await make(bench.time, bench.directory) : nil
      let nodes = [bench.store] + (second.map { [$0] } ?? [])
      let run = ConcurrentRun(
        seed: seed, time: bench.time,
        nodes: nodes.enumerated().map { number, node in
          breaks(StoreCalls(FaultyStore(node, fault: faults(seed: seed, node: number))))
        })
      try await run.play(last: breaks(StoreCalls(bench.store)))
      problems = run.problems(sometimes: &sometimes)
      await second?.close()
    }
    return problems
  }
}

/// One call in fifteen fails before it is carried out or after it.
private func faults(seed: UInt64, node: Int) -> @Sendable (StoreOperation, Int) -> Fault? {
  { operation, number in
    let operations = StoreOperation.allCases
    let place = UInt64(operations.firstIndex(of: operation) ?? 0)
    var random = SplitMix64(state: (seed &* 1000 + place) &* 1000 + UInt64(node * 500 + number))
    return switch random.next() % 30 {
    case 0: .before
    case 1: .after
    default: nil
    }
  }
}

extension ConcurrentRun {
  fileprivate func play(last: StoreCalls, beside cutter: SessionCutter) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await cutter.run() }
      group.addTask { try await play(last: last) }
      // Whichever fails ends the other; the cutter never ends by itself.
      try await group.next()
      group.cancelAll()
      try await group.waitForAll()
    }
  }
}
