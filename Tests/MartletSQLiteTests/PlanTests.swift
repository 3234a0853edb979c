// What the store has SQLite do: how many statements for what, and that none of them reads a table from end to end.

import GRDB
import MartletCore
import MartletTestKit
import Testing

@Suite struct PlanTests {
  @Test func `no statement reads a task table from end to end, or sorts what an index could give in order`()
    async throws
  {
    try await onFile(mostCascaded: 2) { bench, statements in
      _ = statements.take()  // the migrations
      try await useEverything(bench)
      try await useOperations(bench)
      try await useLimits(bench)
      let all = Set(statements.take())
      #expect(all.count >= 90, "the exercise has left out much")
      let queue = try DatabaseQueue(path: bench.directory + "/test.db")
      for sql in all.sorted() {
        let plan = try await queue.read { try Self.plan(of: sql, in: $0) }
        let made = Set(plan.compactMap { $0.name(after: "CO-ROUTINE ") ?? $0.name(after: "MATERIALIZE ") })
        for step in plan {
          if let table = step.name(after: "SCAN "), !made.contains(table), !step.hasSuffix(Self.waiting),
            !Self.firsts.contains(sql)
          {
            #expect(Self.walked.contains(table), "\(sql)\n\(plan.joined(separator: "\n"))")
          }
          if step.contains("TEMP B-TREE") {
            #expect(Self.sorts(sql), "\(sql)\n\(plan.joined(separator: "\n"))")
          }
        }
      }
      try queue.close()
    }
  }

  @Test func `a plain task costs no statement of keys, dependencies and limits, a transaction at most two looks`()
    async throws
  {
    try await onFile { bench, statements in
      try await bench.submit([.stub(2, queue: "other")])  // settings are remembered from here on
      _ = statements.take()
      try await bench.submit([.stub(1)])
      #expect(
        statements.take().map(Self.verb) == [
          "SELECT settings_version", "INSERT task_bodies", "INSERT task_runs", "SELECT task_bodies",
          "SELECT key_touches", "INSERT counts",
        ])
      let claimed = try await bench.claimOne()
      #expect(
        statements.take().map(Self.verb) == [
          "SELECT settings_version", "SELECT task_runs", "SELECT task_runs", "UPDATE task_runs", "INSERT claims",
          "SELECT key_touches", "INSERT counts", "INSERT counts",
        ])
      try await bench.finish(claimed.lease, .success)
      #expect(
        statements.take().map(Self.verb) == [
          "SELECT task_runs", "UPDATE task_runs", "SELECT key_touches", "INSERT counts", "INSERT counts",
        ])
    }
  }

  @Test func `a task with a key costs the same however many wait for it`() async throws {
    var counts: [Int] = []
    for waiting in [10, 1000] {
      try await onFile { bench, statements in
        try await bench.submit((1...waiting).map { .stub($0, key: "big") })
        _ = statements.take()
        for number in 1...9 {
          try await bench.submit([.stub(10_000 + number, key: "big")])
          try await bench.finish(try await bench.claimOne().lease, .success)
        }
        counts.append(statements.take().count)
      }
    }
    #expect(counts[0] == counts[1])
    #expect(counts[1] < 9 * 50)
  }

  @Test func `a claim looks behind a full queue no further than at one that has room`() async throws {
    try await onFile { bench, statements in
      try await bench.set("full") { $0.concurrency = .value(1) }
      try await bench.submit((1...500).map { .stub($0, queue: "full", priority: 9) } + [.stub(501), .stub(502)])
      let first = try await bench.claim(limit: 100, queues: ["full", "default"])
      #expect(Set(first.map(\.id)) == [.stub(1), .stub(501), .stub(502)])
      _ = statements.take()
      #expect(try await bench.claim(limit: 100, queues: ["full", "default"]).isEmpty)
      #expect(statements.take().count < 12)
    }
  }

  @Test func `the work for a graph grows with its tasks and edges, not faster`() async throws {
    var counts: [Int] = []
    for layers in [5, 10, 20] { counts.append(try await statementsOfGraph(layers: layers)) }
    #expect(counts[2] - counts[1] < (counts[1] - counts[0]) * 2 + 200)
  }

  @Test func `each end of a thousand that one waits for costs the same few statements`() async throws {
    try await onFile { bench, statements in
      try await bench.submit((1...1000).map { .stub($0) } + [.stub(1001, after: 1...1000)])
      let finishes = try await bench.claim(limit: 1000).map {
        Finish(lease: $0.lease, outcome: .success, randomness: 0)
      }
      _ = statements.take()
      _ = try await bench.store.finish(finishes)
      #expect(statements.take().count < 7 * 1000)
      #expect(try await bench.record(.stub(1001)).status == .ready)
    }
  }

  @Test func `retention does not look at tasks that are too young for it`() async throws {
    try await onFile { bench, statements in
      let ids = TaskIDGenerator(random: RandomSource(seed: 1))
      for _ in 0..<21 {
        try await bench.submit(
          (0..<1000).map { _ in
            var task = AcceptedTask.stub()
            task.id = ids.next(at: bench.now)
            return task
          })
      }
      bench.advance(.seconds(59))
      _ = statements.take()
      let policy = RetentionPolicy(success: .seconds(60), dead: nil, cancelled: .seconds(90))
      #expect(try await bench.store.prune(policy, limit: 500) == 0)
      #expect(statements.take().count == 2, "one look, at nothing")
      bench.advance(.seconds(1))
      #expect(try await bench.store.prune(policy, limit: 500) == 0)
      #expect(statements.take().count == 4)
    }
  }

  /// Layers of a hundred, each task after three of the layer before; all carried out.
  private func statementsOfGraph(layers: Int) async throws -> Int {
    var count = 0
    try await onFile { bench, statements in
      _ = statements.take()
      for layer in 0..<layers {
        try await bench.submit(
          (0..<100).map { place in
            .stub(layer * 100 + place, after: layer == 0 ? [] : (0..<3).map { (layer - 1) * 100 + (place + $0) % 100 })
          })
      }
      for _ in 0..<layers {
        let claimed = try await bench.claim(limit: 100)
        try #require(claimed.count == 100)
        _ = try await bench.store.finish(claimed.map { Finish(lease: $0.lease, outcome: .success, randomness: 0) })
      }
      #expect(try await bench.countsByStatus() == [.success: layers * 100])
      count = statements.take().count
    }
    return count
  }

  /// One row each, the first in the order of an index.
  private static let firsts: Set<String> = [
    "SELECT id FROM task_runs ORDER BY id DESC LIMIT 1",
    "SELECT id, next_at FROM bulk_jobs INDEXED BY bulk_jobs_due WHERE status = 1 ORDER BY next_at LIMIT 1",
  ]

  /// Small whatever is stored, or read whole by intention.
  private static let walked: Set<String> = [
    "counts", "settlements", "s", "workers", "claims", "json_each", "wanted", "had", "CONSTANT", "queues", "types",
    "key_touches", "key_walks",
  ]

  /// The first of those that are due, which the index gives.
  private static let waiting = "USING INDEX task_runs_due"

  /// A page of a list is put in order once more; the queues of `counts` are few.
  private static func sorts(_ sql: String) -> Bool {
    sql.contains("json_each") || sql.contains("DISTINCT queue")
  }

  private static func plan(of sql: String, in database: Database) throws -> [String] {
    let statement = try database.makeStatement(sql: "EXPLAIN QUERY PLAN \(sql)")
    statement.setUncheckedArguments(StatementArguments())
    return try Row.fetchAll(statement).map { $0["detail"] }
  }

  /// The first word and the table.
  private static func verb(_ sql: String) -> String {
    let words = sql.split(whereSeparator: \.isWhitespace).map(String.init)
    let table = words.first == "UPDATE" ? 1 : (words.firstIndex { $0 == "INTO" || $0 == "FROM" } ?? 0) + 1
    return "\(words[0]) \(words[table])"
  }

  /// Every operation at least once, in the ways in which its SQL differs.
  private func useSchedules(_ bench: StoreBench) async throws {
    let schedule = Schedule(
      name: "nightly", recurrence: .every(milliseconds: 1000), misfire: .skip, overlap: .skip, paused: false,
      task: NewTask(type: "resize"))
    _ = try await bench.store.putSchedule(ScheduleChange(schedule, revision: 1, expected: nil, actor: "key-1"))
    for number in 200...201 {
      bench.advance(.seconds(1))
      let due = try await bench.store.dueSchedules(limit: 10)
      _ = try await bench.store.advanceSchedules(
        due.schedules.map { record in
          record.step(now: due.now, zones: .system) { (task) throws(ValidationFailure) in
            try task.accepted(id: .stub(number), defaults: TaskDefaults(), now: due.now)
          }
        })
    }
    try await bench.steer(.cancel, .stub(200))
    _ = try await bench.store.schedules(after: nil, limit: 10)
    _ = try await bench.store.deleteSchedule("nightly", revision: 1, actor: "key-1")
  }

  private func useEverything(_ bench: StoreBench) async throws {
    let store = bench.store
    let key = IdempotencyKey("key", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0])
    var keyed = AcceptedTask.stub(1)
    keyed.idempotencyKey = "key"
    keyed.scheduleName = "nightly"
    var joining = AcceptedTask.stub(3, after: [1], policy: .cancel)
    joining.graph = .joinsFirstDependency(orElse: .stub(100))
    var expiring = AcceptedTask.stub(10)
    expiring.expiresAt = bench.now + .seconds(1)
    _ = try await store.submit([
      Submission([keyed], keys: [key]), Submission([.stub(2)], keys: [key]), Submission([joining]),
      Submission([.stub(4, after: [3], policy: .cancel), .stub(5, after: [4], policy: .run), .stub(6, after: [4])]),
      Submission([expiring, .stub(11, after: [10], policy: .run), .stub(12, eligible: .after(.seconds(1)))]),
    ])
    var claimed = try await bench.claim()
    _ = try await store.claim([
      ClaimRequest(worker: "w", queues: [ClaimRequest.allQueues], types: ["resize"], limit: 1, token: 1)
    ])
    _ = try await store.renew(claimed.map { Renewal(lease: $0.lease) })
    try await bench.finish(claimed[0].lease, .failed(.stub, .giveUp(.nonRetryable)), logs: ["said"])
    try await bench.finish(claimed[0].lease, .success)
    while try await store.settle(limit: 1).isPartial {}
    for action in [Steering.Action.retry, .patch(TaskPatch(priority: 9, tags: ["t"], metadata: ["k": "v"]))] {
      try await bench.steer(action, .stub(1))
    }
    claimed = try await bench.claim()
    try await bench.steer(.cancel, claimed[0].id)
    try await bench.finish(claimed[0].lease, .success(result: [48]))
    bench.advance(.seconds(60))
    try await bench.promote()
    try await bench.rescue()
    for number in 4...12 { try await bench.steer(.cancel, .stub(number)) }
    _ = try await bench.snapshot()
    var queries = Array(repeating: TaskQuery(), count: 4)
    queries[0].statuses = [.dead]
    queries[1].graphID = .stub(100)
    queries[2].idempotencyKey = "key"
    queries[3].scheduleName = "nightly"
    for query in queries { _ = try await store.list(query) }
    try await useSchedules(bench)
    _ = try await store.graph(.stub(100))
    try await store.register(.stub())
    try await store.unregister(worker: "worker-1")
    try await store.check()
    let all = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .zero)
    while try await store.prune(all, limit: 5) > 0 {}
  }
}

/// Settings of queues and types, and keys, in the ways in which their SQL differs.
private func useLimits(_ bench: StoreBench) async throws {
  try await bench.set {
    $0.ratePerSecond = .value(1)
    $0.burst = .value(2)
    $0.concurrency = .value(3)
    $0.maxDepth = .value(100)
  }
  try await bench.set(type: "held") { $0.isPaused = true }
  try await bench.submit([
    .stub(100, key: "a"), .stub(101, key: "a", type: "other"), .stub(102, key: "a", type: "held"), .stub(103),
    .stub(104),
  ])
  for number in 0..<4 { _ = try await bench.claim(limit: 2, queues: ["*"], token: Int64(number)) }
  try await bench.set(type: "held") { $0.isPaused = false }
  try await bench.set { $0.concurrencyPerKey = .value(2) }
  try await bench.admitAll()
  try await bench.submit([.stub(105, key: "b", type: "other"), .stub(106, key: "b", type: "x"), .stub(107, key: "b")])
  for _ in 0..<3 {
    try await bench.admitAll()
    bench.advance(.seconds(1))
  }
  try await bench.steer(.patch(TaskPatch(priority: 9)), .stub(107))
  _ = try await bench.snapshot()
  _ = try await bench.store.queueSettings()
  _ = try await bench.store.typeSettings()
}

extension PlanTests {
  /// What operators ask for.
  private func useOperations(_ bench: StoreBench) async throws {
    let store = bench.store
    try await bench.submit([.stub(200), .stub(201, after: [200]), .stub(202, type: "mail", priority: 9)])
    for number in [200, 201, 202] { _ = try await store.facts(of: .stub(number)) }
    try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
    var query = AuditQuery()
    _ = try await store.audit(query)
    query.target = "x"
    _ = try await store.audit(query)
    _ = try await store.pruneAudit(olderThan: .seconds(1), limit: 1)
    let filters: [(inout TaskQuery) -> Void] = [
      { $0.tag = "t" }, { $0.graphID = .stub(100) }, { $0.idempotencyKey = "key" }, { $0.scheduleName = "nightly" },
    ]
    for (number, filter) in filters.enumerated() {
      for (offset, action) in BulkAction.allCases.enumerated() {
        let order = BulkOrder.stub(number * 10 + offset, action, filter)
        _ = try await store.begin(order, hold: .zero)
        _ = try await store.dueBulk()
        _ = try await store.count(order, after: nil, limit: 1)
        _ = try await store.carryOn(bulk: order.id, limit: 1, hold: .zero, keys: .zero)
        _ = try await store.endBulk(order.id, error: nil, actor: "a")
      }
    }
    for action in BulkAction.allCases.reversed() {
      let order = BulkOrder.stub(100 + Int(action.code), action)
      _ = try await store.begin(order, hold: .zero)
      while try await store.carryOn(bulk: order.id, limit: 2, hold: .zero, keys: .zero)?.job.status == .running {}
    }
    _ = try await store.bulkJobs(before: nil, limit: 5)
    _ = try await store.pruneBulk(olderThan: .zero, limit: 50)
  }
}

extension String {
  /// The word that follows.
  fileprivate func name(after prefix: String) -> String? {
    hasPrefix(prefix) ? dropFirst(prefix.count).split(separator: " ").first.map(String.init) : nil
  }
}
