// What a scrape of the metrics costs the database.

import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite struct ScrapeTests {
  @Test func `a scrape goes over counts and the heads of indexes, never over tasks`() async throws {
    var options = try await Nodes.options()
    options.connections = 1
    let node = try await PostgresStore.open(options)
    try await scrape(node)
    for start in stride(from: 0, to: 5000, by: 1000) {
      _ = try await node.submit([
        Submission(
          (start..<start + 1000).map { .stub($0, queue: $0 % 2 == 0 ? "default" : "mail", priority: 1 + $0 % 9) })
      ])
    }
    let claimed = try await node.claimStub(limit: 1000)
    _ = try await node.finish(claimed.map { Finish(lease: $0.lease, outcome: .success, randomness: 0) })
    try await node.foldCounts()  // as the pruner does every ten seconds
    try await scrape(node)

    #expect(try await node.counts().map(\.count).reduce(0, +) == 5000)
    for name in ["read_counts", "read_changes", "read_oldest", "read_workers"] {
      let parameters = name == "read_workers" ? "(NULL, NULL)" : ""
      let explain = Statement("explain_\(name)", "EXPLAIN (ANALYZE, TIMING OFF) EXECUTE \(name)\(parameters)")
      let plan = try await node.pool.run(Query(explain)).map { $0.text() }
      #expect(!plan.isEmpty)
      for step in plan {
        for number in step.matches(of: /(?:actual rows=|loops=|Rows Removed by [A-Za-z ]+: )(\d+)/) {
          #expect(Int(number.output.1) ?? .max <= 200, "\(name): \(plan.joined(separator: "\n"))")
        }
      }
    }
    await node.close()
  }

  private func scrape(_ node: PostgresStore) async throws {
    _ = try await node.counts()
    _ = try await node.oldestReady()
    _ = try await node.queueSettings()
    _ = try await node.workers()
    _ = try await node.sinks()
    _ = try await node.waitingNotices()
  }
}
