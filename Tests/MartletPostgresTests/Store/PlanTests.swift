// Each statement is planned once, perhaps while its tables are empty, and kept: none of them may read a table from end to end.
// Looked at in the very session that carries them out.

import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite struct PlanTests {
  @Test func `no statement reads a task table from end to end, planned on empty, on tiny or on full tables`()
    async throws
  {
    var options = try await Nodes.options()
    options.connections = 1
    let node = try await PostgresStore.open(options)
    try await keepStatistics(node)
    try await useEverything(node, from: 1)
    try await check(node)
    try await analyze(node)
    try await useEverything(node, from: 100)
    try await check(node)
    for start in stride(from: 10_000, to: 30_000, by: 1000) {
      _ = try await node.submit([Submission((start..<start + 1000).map { .stub($0, priority: 1 + $0 % 9) })])
    }
    let claimed = try await node.claimStub(limit: 5000)
    _ = try await node.finish(
      claimed.enumerated().map { index, task in
        Finish(lease: task.lease, outcome: index % 2 == 0 ? .success : .failed, randomness: 0)
      })
    try await analyze(node)
    try await useEverything(node, from: 1000)
    try await check(node)
    await node.close()
  }

  /// Plans are made by what this test has analysed, not by what the server has in the background.
  private func keepStatistics(_ node: PostgresStore) async throws {
    let commands = try await tables(of: node).map { "ALTER TABLE \($0) SET (autovacuum_enabled = off);" }
    _ = try await PostgresServer.shared.query(commands.joined(separator: " "))
  }

  /// Only what is this test's own: others have theirs on the same server.
  private func analyze(_ node: PostgresStore) async throws {
    _ = try await PostgresServer.shared.query("ANALYZE \(try await tables(of: node).joined(separator: ", "))")
  }

  private func tables(of node: PostgresStore) async throws -> [String] {
    try await PostgresServer.shared.query("SELECT tablename FROM pg_tables WHERE schemaname = '\(node.schema)'")
      .map { "\(node.schema).\($0[0])" }
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
      for table in Self.tables where !Self.walks.contains("\(name) \(table)") {
        #expect(!plan.contains("Seq Scan on \(table) "), "\(name):\n\(plan)")
      }
      for scan in Self.scansOfWholeIndexes(plan)
      where !Self.walks.contains("\(name) \(scan)") && !Self.small.contains(where: scan.hasPrefix)
        && !scan.hasPrefix("pg_")  // of the server, which has as many schemas as there are tests
      {
        Issue.record("\(name) walks over all of \(scan):\n\(plan)")
      }
      #expect(!plan.contains("Hash Join") && !plan.contains("Merge Join"), "\(name):\n\(plan)")
      if name == "prune_stream" || name == "forget_stream" {
        // Each of those that go is looked for once, however many stay.
        #expect(plan.contains(#"Index Cond: ("position" <= "#) && !plan.contains("Materialize"), "\(name):\n\(plan)")
      }
      if name.hasPrefix("claim_"), name != "claim_bulk" {
        #expect(plan.contains("task_runs_ready") && plan.contains("Tid Scan on task_runs"), "\(name):\n\(plan)")
      }
    }
  }

  private static let tables = [
    "task_runs", "task_bodies", "attempts", "events", "results", "claims", "count_changes", "idempotency_keys",
    "dependencies", "settlements", "graph_members", "schedules", "schedule_tasks", "audit", "key_line", "key_touches",
    "attempt_lines", "outbox", "stream", "notices",
  ]

  /// Few rows by nature: what operators have set, and actions in bulk.
  private static let small = ["queue_settings", "queue_buckets", "type_settings", "lanes_", "bulk_jobs", "sinks_"]

  /// What is read whole by intention, or from its beginning as far as there is a limit: changes not folded yet, the claims after
  /// a lost answer, what is due next, the oldest rows of a queue.
  private static let walks: Set<String> = [
    "read_counts count_changes", "read_changes count_changes", "read_changes count_changes_pkey",
    "claimed_under claims", "fold_counts count_changes_pkey", "read_due_claims claims_check", "next_due task_runs_due",
    "next_due task_runs_expiring", "settle_left settlements_pkey", "read_workers workers_pkey",
    "next_giving_way key_line_giving_way", "sweep_keys key_sweeps_pkey", "find_limited queue_settings_limited",
    "due_schedules schedules_due", "prune_audit audit_at", "read_oldest key_line_oldest",
    "read_changes count_changes_lane", "begin_bulk task_runs_pkey", "due_bulk bulk_jobs_due",
    "list_bulk bulk_jobs_pkey", "forget_entries outbox_pkey", "forget_stream stream_pkey", "prune_stream stream_pkey",
    "count_waiting_notices notices_pending", "abandon_notices notices_pending",
  ]

  /// The indexes that a plan reads without a condition on their columns.
  private static func scansOfWholeIndexes(_ plan: String) -> [String] {
    let lines = plan.split(separator: "\n")
    return lines.indices.compactMap { index in
      let words = lines[index].split(separator: " ")
      guard let using = words.firstIndex(of: "using"), lines[index].contains("Scan") else { return nil }
      let isNarrowed = index + 1 < lines.count && lines[index + 1].contains("Index Cond")
      return isNarrowed ? nil : String(words[using + 1])
    }
  }

  /// What operators ask for.
  private func useOperations(_ node: PostgresStore, from start: Int) async throws {
    let type = "plan-\(start)"
    var child = AcceptedTask.stub(start + 1, type: type)
    child.dependencies = [.stub(start)]
    child.graph = .member(.stub(start + 9))
    for task in [AcceptedTask.stub(start, type: type), child, .stub(start + 2, type: type)] {
      try await node.submitStub(task)
    }
    for number in start...start + 2 { _ = try await node.facts(of: .stub(number)) }
    for claimed in try await node.claimStub(limit: 1, types: [type]) {
      _ = try await node.finish([
        Finish(lease: claimed.lease, outcome: .failed(.stub, .giveUp(.nonRetryable)), randomness: 0)
      ])
    }
    var query = AuditQuery()
    _ = try await node.audit(query)
    query.target = "x"
    _ = try await node.audit(query)
    _ = try await node.pruneAudit(olderThan: .seconds(100_000), limit: 1)
    let filters: [(inout TaskQuery) -> Void] = [
      { $0.types = [type] }, { $0.graphID = .stub(start + 9) }, { $0.idempotencyKey = "plan-\(start - 30)" },
      { $0.scheduleName = "plan-\(start + 20)" },
    ]
    for (number, filter) in filters.enumerated() {
      for action in [BulkAction.purge, .retry, .cancel] {
        let order = BulkOrder.stub(start + number * 10 + Int(action.code), action, filter)
        _ = try await node.begin(order, hold: .zero)
        _ = try await node.dueBulk()
        _ = try await node.count(order, after: nil, limit: 5)
        _ = try await node.carryOn(bulk: order.id, limit: 5, hold: .zero, keys: .zero)
        _ = try await node.endBulk(order.id, error: nil, actor: "a")
      }
    }
    let jobs = try await node.bulkJobs(before: nil, limit: 5)
    _ = try await node.bulkJobs(before: jobs.first?.id, limit: 5)
    _ = try await node.pruneBulk(olderThan: .seconds(100_000), limit: 5)
  }

  private static let prepared = Statement(
    "list_prepared",
    """
    SELECT name, cardinality(parameter_types) FROM pg_prepared_statements
    WHERE name NOT LIKE 'explain%' AND name <> 'list_prepared' AND from_sql = false
    """)

  private func useSchedules(_ node: PostgresStore, from start: Int) async throws {
    let schedule = Schedule(
      name: "plan-\(start)", recurrence: .every(milliseconds: 1), misfire: .fireOnce, overlap: .skip, paused: false,
      task: NewTask(type: "plan-\(start)"))
    for (revision, expected) in [(1, nil), (2, 1)] as [(Int64, Int64?)] {
      _ = try await node.putSchedule(
        ScheduleChange(schedule, revision: revision, expected: expected, actor: "key-1"))
    }
    let due = try await node.dueSchedules(limit: 10)
    _ = try await node.advanceSchedules(
      due.schedules.enumerated().map { offset, record in
        record.step(now: due.now + .milliseconds(2), zones: .system) { (task) throws(ValidationFailure) in
          try task.accepted(id: .stub(start + offset), defaults: TaskDefaults(), now: due.now)
        }
      })
    _ = try await node.schedule(schedule.name)
    _ = try await node.schedules(after: nil, limit: 10)
    var query = TaskQuery()
    query.scheduleName = schedule.name
    _ = try await node.list(query)
    _ = try await node.deleteSchedule(schedule.name, revision: 2, actor: "key-1")
  }

  /// Every operation at least once, in the ways in which its SQL differs.
  private func useEverything(_ node: PostgresStore, from start: Int) async throws {
    let ids = (start..<start + 9).map { TaskID.stub($0) }
    for number in start..<start + 9 { try await node.submitStub(.stub(number, type: "plan-\(start)")) }
    try await node.submitStub(.stub(start, type: "plan-\(start)"))  // there already
    try await node.submitStub(.stub(start + 20, type: "plan-\(start)", eligible: .after(.milliseconds(1))))
    _ = try await node.claimStub(types: ["nobody's"])
    _ = try await node.claimable(in: nil, limit: 10)
    _ = try await node.claim([
      ClaimRequest(worker: "w", queues: ["*"], types: ["nobody's"], ids: ids, limit: 9, token: Int64(start))
    ])
    let claimed = try await node.claimStub(limit: 8, types: ["plan-\(start)"])
    _ = try await node.claimStub(limit: 1, types: ["plan-\(start)"])
    _ = try await node.renew(claimed.map { Renewal(lease: $0.lease) })
    _ = try await node.renew(claimed.map { Renewal(lease: $0.lease, logs: ["here"]) })
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
    try await useLinks(node, from: start + 30)
    try await useLimits(node, from: start + 50)
    try await useSchedules(node, from: start + 80)
    try await useOperations(node, from: start + 60)
    try await tellOutside(node, from: start + 90)
    _ = try await node.promote(limit: 10)
    _ = try await node.settle(limit: 10)
    _ = try await node.rescue(limit: 10, randomness: 0)
    _ = try await node.prune(RetentionPolicy(success: .seconds(60), dead: nil, cancelled: nil), limit: 10)
    _ = try await node.tasks(ids)
    var query = TaskQuery()
    _ = try await node.list(query)
    query.statuses = [.dead]
    _ = try await node.list(query)
    query.graphID = .stub(1)
    _ = try await node.list(query)
    query.idempotencyKey = "plan-\(start + 30)"
    _ = try await node.list(query)
    _ = try await node.graph(.stub(1))
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

  /// Keys and dependencies: fresh, repeated, met, failed, expired.
  private func useLinks(_ node: PostgresStore, from start: Int) async throws {
    func task(_ number: Int, after parents: Int..., policy: DependencyPolicy = .cancel) -> AcceptedTask {
      var task = AcceptedTask.stub(number, type: "plan-\(start)", retries: 0)
      task.dependencies = parents.map { .stub($0) }
      task.onDependencyFailure = policy
      task.graph = .joinsFirstDependency(orElse: .stub(1))
      return task
    }
    var keyed = task(start)
    keyed.idempotencyKey = "plan-\(start)"
    keyed.graph = .member(.stub(1))
    let key = IdempotencyKey("plan-\(start)", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0])
    let batch = Submission([
      task(start + 1), task(start + 2, after: start + 1, start), task(start + 3, after: start + 2),
    ])
    for _ in 1...2 {
      _ = try await node.submit([Submission([keyed], keys: [key])])
      _ = try await node.submit([batch])
    }
    _ = try await node.submit([
      Submission([task(start + 4), task(start + 5, after: start + 4)], keys: [key])
    ])
    var late = task(start + 6, policy: .run)
    late.expiresAt = .earliest
    _ = try await node.submit([Submission([late, task(start + 7, after: start + 6, policy: .run)])])
    _ = try await node.promote(limit: 10)
    let claimed = try await node.claimStub(limit: 8, types: ["plan-\(start)"])
    for (task, outcome) in zip(claimed, [Outcome.success, .success(result: [48]), .failed]) {
      _ = try await node.finish([Finish(lease: task.lease, outcome: outcome, randomness: 0)])
    }
  }

  /// Queues that are paused, limited, deep; keys that wait, are admitted, give way.
  private func useLimits(_ node: PostgresStore, from start: Int) async throws {
    let type = "plan-\(start)"
    func task(_ number: Int, type: String, key: String? = nil) -> AcceptedTask {
      var task = AcceptedTask.stub(number, type: type, queue: "limited")
      task.concurrencyKey = key
      return task
    }
    for queue in ["limited", "free"] {
      try await node.set(queue) {
        $0.concurrency = .value(4)
        $0.ratePerSecond = .value(1000)
        $0.maxDepth = .value(100_000)
        $0.concurrencyPerKey = .value(2)
      }
    }
    try await node.set("free") {
      $0.concurrency = .none
      $0.ratePerSecond = .none
      $0.maxDepth = .none
    }
    for number in 0..<3 {
      _ = try await node.submit([Submission([task(start + number, type: type)])])
      _ = try await node.submit([Submission([task(start + 3 + number, type: type, key: "a")])])
    }
    var child = task(start + 6, type: type + "-other", key: "a")
    child.dependencies = [.stub(start)]
    _ = try await node.submit([Submission([child])])
    _ = try await node.submit([Submission([task(start + 7, type: type + "-other", key: "a")])])
    _ = try await node.admit(limit: 10)
    // Nobody has taken those that were admitted.
    let past = "UPDATE key_line SET admitted_at = admitted_at - 2000, give_way_at = give_way_at - 2000"
    _ = try await PostgresServer.shared.query("SET search_path = \(node.schema); \(past)")
    _ = try await node.admit(limit: 10)
    let claimed = try await node.claimStub(limit: 3, types: [type])
    _ = try await node.claimStub(limit: 3, types: [type, type + "-other"])
    _ = try await node.finish(claimed.map { Finish(lease: $0.lease, outcome: .released, randomness: 0) })
    try await node.put(type: type, TypeSettings(), actor: "key-1")
    _ = try await node.admit(limit: 10)
    _ = try await node.queueSettings()
    _ = try await node.typeSettings()
  }

  /// The outbox, the stream, notices.
  private func tellOutside(_ node: PostgresStore, from start: Int) async throws {
    _ = try await node.attend(to: ["kafka", StreamPage.sink])
    for number in start..<start + 3 {
      var task = AcceptedTask.stub(number, type: "plan-\(start)", retries: 0)
      task.notify = [NoticeTarget(.webhook("https://example.com/\(number)"), on: [.success, .dead])]
      try await node.submitStub(task)
    }
    for claimed in try await node.claimStub(limit: 3, types: ["plan-\(start)"]) {
      _ = try await node.finish([Finish(lease: claimed.lease, outcome: .failed, randomness: 0)])
    }
    for sink in ["kafka", StreamPage.sink] {
      let page = try #require(try await node.takePage(for: sink, relay: "a", limit: 1000, hold: .seconds(60)))
      #expect(!page.entries.isEmpty)
      if sink == StreamPage.sink {
        let events = OutgoingPage(page, deadLetters: [:], source: "/martlet/plan").events
        #expect(try await node.appendToStream(events, relay: "a"))
      }
      let (first, others) = (page.entries[0].number, page.entries.dropFirst().map(\.number))
      try await node.settleEntries(delivered: others, putOff: [first: .milliseconds(1)], for: sink)
      try await node.release(sink: sink, relay: "a")
    }
    _ = try await node.sinks()
    _ = try await node.streamPage(after: 3, limit: 10)
    _ = try await node.pruneStream(olderThan: .seconds(100_000), limit: 10)
    let taken = try await node.takeNotices(.init(limit: 10, perDestination: 2, hold: .seconds(60))).notices
    try await node.settleNotices(taken.map { NoticeReport(id: $0.id, attempt: $0.attempts, outcome: .dead("no")) })
    for notice in taken.prefix(1) {
      _ = try await node.notice(notice.id)
      _ = try await node.resend(notice: notice.id, actor: "a")
    }
    var query = NoticeQuery()
    _ = try await node.notices(query)
    query.task = .stub(start)
    _ = try await node.notices(query)
    _ = try await node.abandonNotices(limit: 10)
    _ = try await node.waitingNotices()
  }

  // MARK: Inside the triggers

  @Test func `what the triggers of the line do is by index too, and nothing of it is done for a task without a key`()
    async throws
  {
    var options = try await Nodes.options()
    options.connections = 1
    let node = try await PostgresStore.open(options)
    func keyed(_ number: Int) -> AcceptedTask {
      var task = AcceptedTask.stub(number)
      task.concurrencyKey = "k\(number % 100)"
      return task
    }
    for start in stride(from: 1000, to: 6000, by: 1000) {
      _ = try await node.submit([Submission((start..<start + 1000).map(keyed))])
    }
    while try await node.admit(limit: 1000).isPartial {}
    try await analyze(node)
    let before = try await scans(node)
    for number in 10_000..<10_020 { try await node.submitStub(keyed(number)) }
    let claimed = try await node.claimStub(limit: 50)
    _ = try await node.finish(claimed.map { Finish(lease: $0.lease, outcome: .success, randomness: 0) })
    _ = try await node.steer([
      Steering(.patch(TaskPatch(priority: 9)), task: .stub(1500), actor: "a"),
      Steering(.cancel, task: .stub(1501), actor: "a"),
    ])
    while try await node.admit(limit: 1000).isPartial {}
    #expect(try await scans(node) == before)

    let lines = try await node.number("SELECT count(*) FROM key_line")
    let touched = try await node.number("SELECT last_value FROM key_touches_number_seq")
    try await node.submitStub(.stub(1))
    let plain = try await node.claimStub(limit: 200).filter { $0.id == .stub(1) }
    #expect(plain.count == 1)
    _ = try await node.finish(plain.map { Finish(lease: $0.lease, outcome: .success, randomness: 0) })
    #expect(try await node.number("SELECT count(*) FROM key_line") == lines)
    #expect(try await node.number("SELECT last_value FROM key_touches_number_seq") == touched)
    await node.close()
  }

  /// How often each table was read from end to end.
  private func scans(_ node: PostgresStore) async throws -> [String: Int64] {
    _ = try await node.pool.run(Query(Statement("explain_flush", "SELECT pg_stat_force_next_flush()")))
    _ = try await node.pool.run(Query(Statement("explain_flushed", "SELECT 1")))
    let tables = Self.tables.map { "'\($0)'" }.joined(separator: ", ")
    let rows = try await PostgresServer.shared.query(
      """
      SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = '\(node.schema)' AND relname IN (\(tables))
      """)
    return Dictionary(uniqueKeysWithValues: rows.map { ($0[0], Int64($0[1]) ?? -1) })
  }
}
