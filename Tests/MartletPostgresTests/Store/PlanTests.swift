// Each statement is planned once, perhaps while its tables are empty, and kept: none of them may read a table from end to end.
// Looked at in the very session that carries them out.

import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite struct PlanTests {
  @Test func `no statement reads a task table from end to end, planned on empty tables or on full ones`() async throws {
    var options = try await Nodes.options()
    options.connections = 1
    let node = try await PostgresStore.open(options)
    try await useEverything(node, from: 1)
    try await check(node)
    for start in stride(from: 10_000, to: 30_000, by: 1000) {
      _ = try await node.submit([Submission((start..<start + 1000).map { .stub($0, priority: 1 + $0 % 9) })])
    }
    let claimed = try await node.claimStub(limit: 5000)
    _ = try await node.finish(
      claimed.enumerated().map { index, task in
        Finish(lease: task.lease, outcome: index % 2 == 0 ? .success : .failed, randomness: 0)
      })
    _ = try await PostgresServer.shared.query("SET search_path = \(options.schema); ANALYZE")
    try await useEverything(node, from: 1000)
    try await check(node)
    await node.close()
  }

  private func check(_ node: PostgresStore) async throws {
    let prepared = try await node.pool.run(Query(Self.prepared)).map { columns in
      (name: columns.text(), parameters: Int(columns.int()))
    }
    #expect(prepared.count >= 30, "the exercise has left out much: \(prepared.map(\.name))")
    for (name, parameters) in prepared {
      let nulls = Array(repeating: "NULL", count: parameters).joined(separator: ", ")
      let explain = Statement("explain_\(name)", "EXPLAIN EXECUTE \(name)\(parameters > 0 ? "(\(nulls))" : "")")
      let plan = try await node.pool.run(Query(explain)).map { $0.text() }.joined(separator: "\n")
      for table in ["task_runs", "task_bodies", "attempts", "events", "results", "claims", "count_changes"]
      where !Self.walks.contains("\(name) \(table)") {
        #expect(!plan.contains("Seq Scan on \(table)"), "\(name):\n\(plan)")
      }
      #expect(!plan.contains("Hash Join") && !plan.contains("Merge Join"), "\(name):\n\(plan)")
      if name.hasPrefix("claim_") {
        #expect(plan.contains("task_runs_ready") && plan.contains("Tid Scan on task_runs"), "\(name):\n\(plan)")
      }
    }
  }

  /// What is read whole by intention: changes not folded yet, and the claims after a lost answer.
  private static let walks: Set<String> = [
    "read_counts count_changes", "read_changes count_changes", "claimed_under claims",
  ]

  private static let prepared = Statement(
    "list_prepared",
    """
    SELECT name, cardinality(parameter_types) FROM pg_prepared_statements
    WHERE name NOT LIKE 'explain%' AND name <> 'list_prepared' AND from_sql = false
    """)

  /// Every operation at least once, in the ways in which its SQL differs.
  private func useEverything(_ node: PostgresStore, from start: Int) async throws {
    let ids = (start..<start + 9).map { TaskID.stub($0) }
    for number in start..<start + 9 { try await node.submitStub(.stub(number, type: "plan-\(start)")) }
    try await node.submitStub(.stub(start, type: "plan-\(start)"))  // there already
    try await node.submitStub(.stub(start + 20, type: "plan-\(start)", eligible: .after(.milliseconds(1))))
    _ = try await node.claimStub(types: ["nobody's"])
    let claimed = try await node.claimStub(limit: 8, types: ["plan-\(start)"])
    _ = try await node.claimStub(limit: 1, types: ["plan-\(start)"])
    _ = try await node.renew(claimed.map { Renewal(lease: $0.lease) })
    let outcomes: [Outcome] = [.success, .success(result: [48]), .failed, .snoozed(.zero), .released]
    let finishes = zip(claimed, outcomes).map { Finish(lease: $0.lease, outcome: $1, randomness: 0) }
    _ = try await node.finish([finishes[0]])
    _ = try await node.finish([finishes[1]])
    _ = try await node.finish(finishes)
    let first = try #require(claimed.first)
    _ = try await node.finish([Finish(lease: first.lease, outcome: .failed, randomness: 0)])  // too late
    for id in ids {
      for action: Steering.Action in [.patch(TaskPatch(priority: 3, tags: ["t"])), .cancel, .retry] {
        _ = try await node.steer([Steering(action, task: id, actor: "key-1")])
      }
    }
    _ = try await node.promote(limit: 10)
    _ = try await node.rescue(limit: 10, randomness: 0)
    _ = try await node.prune(RetentionPolicy(success: .seconds(60), dead: nil, cancelled: nil), limit: 10)
    _ = try await node.tasks(ids)
    var query = TaskQuery()
    _ = try await node.list(query)
    query.statuses = [.dead]
    _ = try await node.list(query)
    _ = try await node.attempts(of: ids[0])
    _ = try await node.events(of: ids[0])
    _ = try await node.counts()
    _ = try await node.oldestReady()
    try await node.register(.stub())
    _ = try await node.workers()
    try await node.unregister(worker: "worker-1")
    try await node.check()
    _ = try await node.now()
  }
}
