// How much statements do for what they are asked for: by index is not enough, where for each row many are looked at. Read from what
// PostgreSQL itself writes down of each statement, those inside of triggers too.

import Foundation
import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite struct WorkTests {
  private static let batch = 250

  @Test func `no statement looks at more than some rows for each row it is about, with an outbox and its backlog`()
    async throws
  {
    let server = try await PostgresServer.start(
      durable: false,
      settings: [
        "session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0",
        "auto_explain.log_analyze": "on", "auto_explain.log_timing": "off",
        "auto_explain.log_nested_statements": "on",
      ])
    var options = PostgresStore.Options(url: server.url())
    options.durability = .relaxed
    options.connections = 2
    let node = try await PostgresStore.open(options)
    _ = try await node.attend(to: ["kafka"])
    for start in stride(from: 0, to: 8 * Self.batch, by: Self.batch) {
      _ = try await node.submit([Submission((start..<start + Self.batch).map { .stub(1 + $0) })])
    }
    for _ in 0..<4 {
      let claimed = try await node.claimStub(limit: Self.batch)
      #expect(claimed.count == Self.batch)
      _ = try await node.renew(claimed.map { Renewal(lease: $0.lease) })
      _ = try await node.finish(
        claimed.enumerated().map { index, task in
          Finish(lease: task.lease, outcome: index % 2 == 0 ? .success : .failed, randomness: 0)
        })
    }
    var told = 0
    while let page = try await node.takePage(for: "kafka", relay: "a", limit: 4 * Self.batch, hold: .seconds(600)),
      !page.entries.isEmpty
    {
      told += page.entries.count
      try await node.settleEntries(delivered: page.entries.map(\.number), putOff: [:], for: "kafka")
    }
    #expect(told == (8 + 4 + 4) * Self.batch)
    await node.close()

    let log = try String(contentsOf: server.logFile, encoding: .utf8)
    #expect(log.contains("INSERT INTO outbox") && log.contains("new_runs"), "statements of triggers are written down")
    let plans = log.components(separatedBy: "plan:\n").dropFirst()
    #expect(plans.count > 100)
    // A page of the outbox is the largest thing that was asked for.
    for plan in plans where Self.work(plan) > 50 * 4 * Self.batch {
      Issue.record("\(Self.work(plan)) rows:\n\(plan.prefix(6000))")
    }
  }

  /// The most rows that any step has looked at.
  private static func work(_ plan: String) -> Int {
    var loops = 1
    var most = 0
    for line in plan.split(separator: "\n") {
      if let match = line.firstMatch(of: /actual rows=(\d+) loops=(\d+)/) {
        loops = Int(match.2) ?? 0
        most = max(most, (Int(match.1) ?? 0) * loops)
      } else if let match = line.firstMatch(of: /Rows Removed by .*: (\d+)/) {
        most = max(most, (Int(match.1) ?? 0) * loops)
      }
    }
    return most
  }
}
