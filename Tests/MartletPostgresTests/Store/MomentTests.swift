// What others write between two statements of one call, or between two of its transactions: held up there, looked at, let go.

import MartletCore
import MartletTestKit
import PostgresServer
import Testing

@testable import MartletPostgres

@Suite(.timeLimit(.minutes(10))) struct MomentTests {
  // MARK: Pages

  /// Whoever reads the table waits at the gate with the first row that it finds: its statement has begun, and sees nothing of what
  /// is written from then on.
  private func holdReaders(of table: String, at gate: Gate, _ node: PostgresStore) async throws {
    _ = try await PostgresServer.shared.query(
      """
      SET search_path = \(node.schema); ALTER TABLE \(table) RENAME TO held_\(table);
      CREATE VIEW \(table) AS SELECT * FROM held_\(table) WHERE pg_advisory_xact_lock_shared(\(gate.number)) IS NOT NULL
      """)
  }

  @Test func `what is deleted while a page is looked for hides nothing from those that follow`() async throws {
    var options = try await Nodes.options()
    options.connections = 4
    let node = try await PostgresStore.open(options)
    let count = 20_002  // two more than a page looks at
    for start in stride(from: 1, through: count, by: 1000) {
      let tasks = (start...min(start + 999, count)).map { number in
        AcceptedTask.stub(number, type: number == 1 ? "first" : number == count ? "last" : "resize")
      }
      _ = try await node.submit([Submission(tasks)])
    }
    let gate = try await Gate(options.url)
    try await holdReaders(of: "lanes", at: gate, node)
    let order = BulkOrder.stub(1, .cancel) { $0.types = ["last"] }
    var query = TaskQuery()
    query.types = ["first"]
    let list = query
    async let counting = node.count(order, after: nil, limit: 10)
    async let listing = node.list(list)
    try await gate.holds(2)
    let some = (100..<103).map { "'\(TaskID.stub($0))'" }.joined(separator: ", ")
    _ = try await PostgresServer.shared.query(
      "SET search_path = \(node.schema); DELETE FROM task_runs WHERE id IN (\(some))")
    try await gate.open()

    let counted = try await counting
    #expect(counted == BulkCount(matched: 0, next: .stub(count - 2)))
    let rest = try await node.count(order, after: counted.next, limit: 10)
    #expect(rest == BulkCount(matched: 1, next: nil))
    let page = try await listing
    #expect(page.tasks.isEmpty && page.next == .stub(3))
    query.before = page.next
    let last = try await node.list(query)
    #expect(last.tasks.map(\.id) == [.stub(1)] && last.next == nil)
    await node.close()
  }

  @Test func `entries forgotten while a page of the audit is looked for hide nothing from those that follow`()
    async throws
  {
    try await Nodes.run(1) { nodes in
      let node = nodes[0]
      _ = try await PostgresServer.shared.query(
        """
        SET search_path = \(node.schema); INSERT INTO audit (number, at, actor, action, target)
        SELECT n, n, CASE n WHEN 1 THEN 'rare' ELSE 'a' END, 'x', 't' FROM generate_series(1, 20002) n
        """)
      let gate = try await Gate(try await PostgresServer.shared.url())
      try await holdReaders(of: "audit", at: gate, node)
      var query = AuditQuery()
      query.actor = "rare"
      let first = query
      async let reading = node.audit(first)
      try await gate.holds(1)
      _ = try await PostgresServer.shared.query(
        "SET search_path = \(node.schema); DELETE FROM held_audit WHERE at BETWEEN 100 AND 102")
      try await gate.open()
      let page = try await reading
      #expect(page.entries.isEmpty && page.next?.at == Timestamp(milliseconds: 3))
      query.after = page.next
      let last = try await node.audit(query)
      #expect(last.entries.map(\.actor) == ["rare"] && last.next == nil)
    }
  }

  // MARK: Commands

  /// Runs `body` while a session of its own keeps a task's row from being written to; `body` lets go of it.
  private func holding(
    _ task: TaskID, of node: PostgresStore, _ body: (Gate) async throws -> Void
  ) async throws {
    let url = try await PostgresServer.shared.url()
    let gate = try await Gate(url)
    let lock = "SELECT 1 FROM \(node.schema).task_runs WHERE id = '\(task)' FOR UPDATE"
    try await withPool(url) { pool in
      async let held = pool.transaction([Query(Statement("lock", lock)), gate.statement])
      try await gate.holds(1)
      try await body(gate)
      _ = try await held
    }
  }

  /// Returns when so many sessions have got, or stand in line for, a lock of this mode on the table of tasks.
  private func sessions(
    _ count: Int64, have mode: String, isGranted: Bool = true, _ node: PostgresStore
  ) async throws {
    try await eventually {
      try await node.number(
        """
        SELECT count(*) FROM pg_locks WHERE relation = '\(node.schema).task_runs'::regclass AND mode = '\(mode)'
          AND \(isGranted ? "" : "NOT ") granted
        """) == count
    }
  }

  @Test func `what a command has done it answers, whatever befalls the database then`() async throws {
    var options = try await Nodes.options()
    options.answerWithin = .seconds(40)
    let node = try await PostgresStore.open(options)
    try await node.submitStub(.stub(1))
    _ = try await node.steer([Steering(.cancel, task: .stub(1), actor: "a")])
    let url = options.url
    let end = try await Gate(url)
    try await withPool(url) { pool in
      try await holding(.stub(1), of: node) { gate in
        async let retried = try? node.steer([Steering(.retry, task: .stub(1), actor: "a")])
        try await sessions(1, have: "RowExclusiveLock", node)
        // The next in line, so that it has the table as soon as that is committed.
        let lock = "LOCK TABLE \(node.schema).task_runs IN ACCESS EXCLUSIVE MODE"
        async let locked: Void = pool.script("\(lock); SELECT pg_advisory_xact_lock(\(end.number))")
        try await sessions(1, have: "AccessExclusiveLock", isGranted: false, node)
        try await gate.open()
        try await end.holds(1)
        let verdict = await retried?.first
        try await end.open()
        try await locked
        guard case .done(let task) = verdict else {
          Issue.record("\(String(describing: verdict))")
          return
        }
        #expect(task.status == .ready)
      }
    }
    #expect(try await node.claimStub().count == 1, "told of where it is")
    await node.close()
  }

  @Test func `a command whose first try is being committed still is done, not refused`() async throws {
    try await Nodes.run(1) { nodes in
      let node = nodes[0]
      try await node.submitStub(.stub(1))
      _ = try await node.steer([Steering(.cancel, task: .stub(1), actor: "a")])
      let command = Command(steering: Steering(.retry, task: .stub(1), actor: "a"), number: 7)
      try await holding(.stub(1), of: node) { gate in
        async let first = node.carryOut(command, again: false)
        try await sessions(1, have: "RowExclusiveLock", node)
        async let second = node.carryOut(command, again: true)
        try await sessions(2, have: "RowExclusiveLock", node)
        try await gate.open()
        for verdict in try await [first, second] {
          guard case .done(let task) = verdict else {
            Issue.record("\(verdict)")
            continue
          }
          #expect(task.status == .ready)
        }
      }
      let retries = try await node.events(of: .stub(1))?.filter { $0.type == .retried }
      #expect(retries?.count == 1)
    }
  }

  @Test func `a retry in bulk acts on no task twice, whatever moves while it is at work`() async throws {
    try await Nodes.run(1) { nodes in
      let node = nodes[0]
      for number in 1...3 { try await node.submitStub(.stub(number, retries: 0)) }
      func failAll() async throws {
        let finishes = try await node.claimStub().map {
          Finish(lease: $0.lease, outcome: .failed(.stub, .giveUp(.nonRetryable)), randomness: 0)
        }
        #expect(finishes.count == 3)
        _ = try await node.finish(finishes)
      }
      try await failAll()
      let order = BulkOrder.stub(1, .retry)
      _ = try await node.begin(order, hold: .zero)
      try await holding(.stub(1), of: node) { gate in
        async let page = node.carryOn(bulk: order.id, limit: 10, hold: .zero, keys: .zero)
        try await sessions(1, have: "RowExclusiveLock", node)  // it has read its page, and is at the first task
        _ = try await node.steer([Steering(.retry, task: .stub(2), actor: "a")])
        try await gate.open()
        let job = try await page?.job
        #expect(job?.status == .done && job?.changed == 2)
      }
      try await failAll()
      let after = try await node.carryOn(bulk: order.id, limit: 10, hold: .zero, keys: .zero)
      #expect(after?.job.changed == 2)
      for number in 1...3 {
        let retries = try await node.events(of: .stub(number))?.filter { $0.type == .retried }
        #expect(retries?.count == 1)
      }
    }
  }

  // MARK: Retention

  private static let endedAtOnce = RetentionPolicy(success: nil, dead: nil, cancelled: .zero, keys: .zero)

  private func cancelled(_ numbers: ClosedRange<Int>, of node: PostgresStore) async throws {
    for number in numbers {
      try await node.submitStub(.stub(number))
      _ = try await node.steer([Steering(.cancel, task: .stub(number), actor: "a")])
    }
  }

  @Test func `retention neither waits for a task that somebody else has in hand nor deletes it`() async throws {
    var options = try await Nodes.options()
    options.answerWithin = .seconds(40)
    let node = try await PostgresStore.open(options)
    try await cancelled(1...3, of: node)
    try await holding(.stub(1), of: node) { gate in
      let page = try await node.sweep(Self.endedAtOnce, after: nil, limit: 2, deletes: true)
      #expect(page.counts.map(\.count).reduce(0, +) == 1)
      #expect(try await node.prune(Self.endedAtOnce, limit: 10) == 1)
      try await gate.open()
    }
    #expect(try await node.status(of: .stub(1)) == .cancelled)
    #expect(try await node.prune(Self.endedAtOnce, limit: 10) == 1)
    await node.close()
  }

  @Test func `a task that changes between retention's choice and its deletion stays`() async throws {
    try await Nodes.run(1) { nodes in
      let node = nodes[0]
      try await cancelled(1...2, of: node)
      let gate = try await Gate(try await PostgresServer.shared.url())
      try await holdReaders(of: "task_bodies", at: gate, node)
      async let pruned = node.prune(Self.endedAtOnce, limit: 10)
      try await gate.holds(1)
      // As one does that is to wait for it.
      let change = "UPDATE task_runs SET has_children = true WHERE id = '\(TaskID.stub(1))'"
      _ = try await PostgresServer.shared.query("SET search_path = \(node.schema); \(change)")
      try await gate.open()
      let deleted = try await pruned
      #expect(deleted == 1)
      #expect(try await node.number("SELECT count(*) FROM task_runs WHERE id = '\(TaskID.stub(1))'") == 1)
    }
  }

  @Test func `retention does not look at tasks that are too young for it`() async throws {
    var options = try await Nodes.options()
    options.connections = 1
    let node = try await PostgresStore.open(options)
    let (now, ids) = (try await node.now(), TaskIDGenerator(random: RandomSource(seed: 1)))
    _ = try await node.submit([
      Submission(
        (0..<500).map { _ in
          var task = AcceptedTask.stub()
          task.id = ids.next(at: now)
          return task
        })
    ])
    func fetched() async throws -> Int64 {
      _ = try await node.pool.run(Query(Statement("flush", "SELECT pg_stat_force_next_flush()")))
      _ = try await node.pool.run(Query(Statement("flushed", "SELECT 1")))
      return try await node.number(
        "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE schemaname = '\(node.schema)' AND relname = 'task_runs'")
    }
    let before = try await fetched()
    #expect(try await node.prune(RetentionPolicy(success: .seconds(600), dead: nil, cancelled: nil), limit: 10) == 0)
    #expect(try await fetched() == before)
    #expect(try await node.prune(RetentionPolicy(success: .zero, dead: nil, cancelled: nil), limit: 10) == 0)
    #expect(try await fetched() >= before + 500)
    await node.close()
  }
}
