// Actions on many tasks: which they are about, what they do to each, and how they go on page by page.

import MartletCore
import MartletTestKit
import Testing

@Suite struct BulkTests {
  private static let statuses = TaskStatus.allCases

  /// One task in each state, `.stub(1)` to `.stub(7)` in the order of `TaskStatus.allCases`.
  private func bringAll(_ bench: StoreBench) async throws {
    // READY last: the others are claimed on their way.
    for status in Self.statuses.filter({ $0 != .ready }) + [.ready] {
      try await bench.bring(.stub(status.number), to: status)
    }
  }

  @Test(arguments: stores)
  func `a cancel ends what waits and asks what runs, and leaves alone what is final`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bringAll(bench)
      let before = try await bench.snapshot()
      bench.advance(.seconds(1))
      let (job, steps) = try await bench.runBulk(.stub())
      #expect(job.status == .done && job.matched == 4 && job.changed == 4 && job.failed == 0)
      #expect(job.finishedAt == bench.now && job.lastError == nil)
      let waiting: [TaskStatus] = [.pending, .ready, .retry]
      #expect(Set(steps.flatMap(\.ended)) == Set(waiting.map { TaskID.stub($0.number) }))
      #expect(steps.flatMap(\.asked) == [.stub(TaskStatus.running.number)])
      for status in Self.statuses {
        let task = try await bench.record(.stub(status.number))
        let old = before.histories.first { $0.task.id == task.id }
        let last = try await bench.events(task.id).last
        switch status {
        case .pending, .ready, .retry:
          #expect(task.status == .cancelled && task.reason == .requested && task.finishedAt == bench.now)
          #expect(last == event(task.sequence, .cancelled, bench.now, by: "key:bulk", "REQUESTED"))
        case .running:
          #expect(task.status == .running && task.cancelRequested)
          #expect(last == event(task.sequence, .updated, bench.now, by: "key:bulk", "cancel requested"))
        case .success, .dead, .cancelled: #expect(task == old?.task)
        }
      }
      #expect(try await bench.claim() == [])
      // Whose cancellation was asked for is not asked again.
      #expect(try await bench.runBulk(.stub(2)).job.matched == 0)
    }
  }

  @Test(arguments: stores)
  func `a retry of dead letters makes them READY with a fresh budget, or PENDING where they wait for others`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bringAll(bench)
      try await bench.steer(.cancel, .stub(TaskStatus.ready.number))
      bench.advance(.seconds(1))
      let (job, steps) = try await bench.runBulk(.stub(1, .retry))
      #expect(job.matched == 1 && job.changed == 1)
      #expect(steps.flatMap(\.lanes) == [Lane(queue: "default", type: "resize")])
      let task = try await bench.record(.stub(TaskStatus.dead.number))
      #expect(task.status == .ready && task.retriesLeft == 4 && task.availableAt == bench.now)
      #expect(try await bench.events(task.id).suffix(2).map(\.actor) == ["key:bulk", "key:bulk"])
      #expect(try await bench.claimOne().id == task.id)
    }
  }

  @Test(arguments: stores)
  func `a purge deletes dead letters with all that there is of them`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bringAll(bench)
      let dead = TaskID.stub(TaskStatus.dead.number)
      let (job, _) = try await bench.runBulk(.stub(1, .purge))
      #expect(job.matched == 1 && job.changed == 1 && job.failed == 0)
      #expect(try await bench.store.tasks([dead]) == [nil])
      #expect(try await bench.store.attempts(of: dead) == nil)
      #expect(try await bench.store.events(of: dead) == nil)
      var expected = Dictionary(uniqueKeysWithValues: Self.statuses.map { ($0, 1) })
      expected[.dead] = nil
      #expect(try await bench.countsByStatus() == expected)
    }
  }

  @Test(arguments: stores)
  func `what only holds on to a purged task is cancelled, and so on down the graph`(store: StoreUnderTest) async throws
  {
    try await store.onBench { bench in
      func child(_ number: Int, of parent: Int, _ policy: DependencyPolicy) -> AcceptedTask {
        var task = AcceptedTask.stub(number)
        task.dependencies = [.stub(parent)]
        task.onDependencyFailure = policy
        return task
      }
      try await bench.submit([
        .stub(1), child(2, of: 1, .hold), child(3, of: 1, .run), child(4, of: 1, .cancel), child(5, of: 2, .cancel),
        child(6, of: 2, .run), child(7, of: 2, .hold),
      ])
      try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
      #expect(try await bench.record(.stub(2)).status == .pending)
      #expect(try await bench.runBulk(.stub(1, .purge)).job.changed == 1)
      try await bench.settleAll()
      #expect(try await bench.store.tasks([.stub(1)]) == [nil])
      var statuses: [TaskStatus] = []
      for number in 2...7 { statuses.append(try await bench.record(.stub(number)).status) }
      #expect(statuses == [.cancelled, .ready, .cancelled, .cancelled, .ready, .pending])
      #expect(try await bench.record(.stub(2)).reason == .dependencyFailed)
      #expect(try await bench.events(.stub(2)).last?.actor == "scheduler")
      // What will never come is not waited for.
      try await bench.steer(.retry, .stub(2))
      #expect(try await bench.record(.stub(2)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `a task that very many wait for is purged all the same`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let count = ["memory": 50, "postgres": 4500, "sqlite": 10_500][store.name] ?? 10_001
      try await bench.submit([.stub(1), .stub(2)])
      for start in stride(from: 3, to: count + 3, by: 1500) {
        try await bench.submit(
          (start..<min(start + 1500, count + 3)).map { number in
            var task = AcceptedTask.stub(number)
            task.dependencies = [.stub(1)]
            return task
          })
      }
      for _ in 1...2 {
        try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
      }
      let (job, steps) = try await bench.runBulk(.stub(1, .purge))
      #expect(job.matched == 2 && job.changed == 2 && job.failed == 0)
      #expect(store.name == "memory" || steps.count > 1, "one page was enough, so this shows nothing")
      #expect(try await bench.countsByStatus() == [.cancelled: count])
    }
  }

  @Test(arguments: stores)
  func `a dead letter with a young key is kept, and told of`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let key = IdempotencyKey("k", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0])
      _ = try await bench.verdicts([Submission([.stub(1)], keys: [key]), Submission([.stub(2)])])
      for _ in 1...2 {
        try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
      }
      bench.advance(.seconds(59))
      let kept = try await bench.runBulk(.stub(1, .purge), keys: .seconds(60)).job
      #expect(kept.matched == 2 && kept.changed == 1 && kept.failed == 1)
      #expect(kept.lastError == BulkJob.keptForKeys)
      bench.advance(.seconds(1))
      let job = try await bench.runBulk(.stub(2, .purge), keys: .seconds(60)).job
      #expect(job.matched == 1 && job.changed == 1 && job.failed == 0)
      // The key went with its task.
      #expect(try await bench.verdicts([Submission([.stub(3)], keys: [key])]) == [.accepted(at: bench.now)])
    }
  }

  // MARK: Which

  @Test(arguments: stores)
  func `each filter chooses those that it matches`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var tasks: [AcceptedTask] = []
      for number in 1...24 {
        var task = AcceptedTask.stub(
          number, type: ["resize", "mail"][number % 2], queue: ["default", "slow_a", "slowXa"][number % 3],
          tags: number % 4 == 0 ? ["t", "u"] : [], metadata: number % 5 == 0 ? ["customer": "7", "x": "y"] : [:])
        if number % 6 == 0 { task.graph = .member(.stub(100)) }
        if number % 7 == 0 { task.scheduleName = "nightly" }
        if number == 9 { task.idempotencyKey = "order-9" }
        tasks.append(task)
      }
      for (index, task) in tasks.enumerated() {
        let key = task.idempotencyKey.map {
          IdempotencyKey($0, fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0])
        }
        _ = try await bench.verdicts([Submission([task], keys: key.map { [$0] } ?? [])])
        if index % 8 == 7 { bench.advance(.seconds(1)) }
      }
      for claimed in try await bench.claim(limit: 5, queues: ["default"]) {
        try await bench.finish(claimed.lease, .failed(.stub, .giveUp(.nonRetryable)))
      }
      let all = try await bench.listAll(TaskQuery())
      let filters: [(inout TaskQuery) -> Void] = [
        { _ in }, { $0.statuses = [.ready] }, { $0.statuses = [.dead] }, { $0.types = ["mail"] },
        { $0.types = ["mail", "resize"] }, { $0.queues = ["slow_a"] }, { $0.tag = "t" }, { $0.worker = "worker-1" },
        { $0.metadata = ["customer": "7"] }, { $0.metadata = ["customer": "7", "x": "z"] },
        { $0.graphID = .stub(100) }, { $0.graphID = .stub(101) }, { $0.idempotencyKey = "order-9" },
        { $0.idempotencyKey = "no" }, { $0.scheduleName = "nightly" }, { $0.createdAfter = start + .seconds(1) },
        { $0.createdBefore = start + .seconds(1) },
        {
          $0.types = ["resize"]
          $0.tag = "u"
          $0.createdBefore = start + .seconds(2)
        },
      ]
      for filter in filters {
        for queues in [nil, ["slow_*"], ["*"], ["def*", "slowX*"], []] as [[String]?] {
          for action in [BulkAction.cancel, .retry] {
            let order = BulkOrder.stub(1, action, queues: queues, filter)
            let expected = all.filter { order.concerns($0) }.count
            let counted = try await bench.countAll(order, limit: 1000)
            #expect(counted == expected, "\(order.selection)")
            #expect(try await bench.countAll(order, limit: 3) == expected)
          }
        }
      }
      let order = BulkOrder.stub(1, .cancel, queues: ["slow_*"]) { $0.types = ["mail"] }
      let chosen = all.filter { order.concerns($0) }.map(\.id)
      #expect(chosen.count > 2)
      #expect(try await bench.runBulk(order, limit: 2).job.changed == chosen.count)
      let cancelled = try await bench.listAll(TaskQuery()).filter { $0.status == .cancelled }.map(\.id)
      #expect(cancelled == chosen)
    }
  }

  @Test(arguments: stores)
  func `a job is about the tasks that were there when it was made`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([.stub(1), .stub(2)])
      _ = try await bench.store.begin(.stub(), hold: .zero)
      try await bench.submit([.stub(3)])
      bench.advance(.milliseconds(1))
      // A clock that was behind has given it an id among theirs.
      var old = AcceptedTask.stub(1)
      old.id = TaskID(high: old.id.high, low: old.id.low + 1)
      try await bench.submit([old])
      #expect(try await bench.carryOnToTheEnd(.stub()).job.matched == 2)
      #expect(try await bench.countsByStatus() == [.cancelled: 2, .ready: 2])
      // Where there was nothing there is nothing to do.
      let empty = try await bench.runBulk(.stub(2, .purge)).job
      #expect(empty.status == .done && empty.matched == 0)
    }
  }

  @Test(arguments: stores, [1, 2, 5, 1000])
  func `a limit takes the oldest, however large the pages`(store: StoreUnderTest, page: Int) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...9).map { .stub($0) })
      let (job, steps) = try await bench.runBulk(.stub(1, limit: 5), limit: page)
      #expect(job.matched == 5 && job.changed == 5)
      #expect(steps.allSatisfy { $0.ended.count <= page })
      #expect(try await bench.claim(limit: 9).map(\.id) == (6...9).map { .stub($0) })
    }
  }

  // MARK: Going on

  @Test(arguments: stores)
  func `a job with a rate has small pages with pauses between, and is due when they are over`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...30).map { .stub($0) })
      let order = BulkOrder.stub(1, ratePerSecond: 10)
      #expect(try await bench.store.dueBulk() == BulkDue(job: nil, nextIn: nil))
      _ = try await bench.store.begin(order, hold: .zero)
      var times: [Duration] = []
      while case let due = try await bench.store.dueBulk(), due != BulkDue(job: nil, nextIn: nil) {
        guard let id = due.job else {
          bench.advance(try #require(due.nextIn))
          continue
        }
        let step = try #require(try await bench.carryOn(id))
        #expect(step.ended.count <= 2)
        if step.nextIn != nil { times.append(bench.now - start) }
      }
      #expect(times == (0..<15).map { .milliseconds(200 * $0) })
      #expect(try await bench.countsByStatus() == [.cancelled: 30])
    }
  }

  @Test(arguments: stores)
  func `a slow rate does one task after the other`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...3).map { .stub($0) })
      _ = try await bench.store.begin(.stub(1, ratePerSecond: 0.5), hold: .zero)
      let step = try #require(try await bench.carryOn(.stub(1_000_001)))
      #expect(step.ended.count == 1 && step.nextIn == .seconds(2))
      #expect(try await bench.store.dueBulk() == BulkDue(job: nil, nextIn: .seconds(2)))
    }
  }

  @Test(arguments: stores)
  func `a job is left to its creator for a while, and then due for everybody`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...3).map { .stub($0) })
      let order = BulkOrder.stub()
      let job = try await bench.store.begin(order, hold: .seconds(10))
      #expect(job == BulkJob(order, createdAt: start, updatedAt: start))
      #expect(try await bench.store.begin(order, hold: .zero) == job)
      #expect(try await bench.store.bulkJob(order.id) == job)
      #expect(try await bench.store.dueBulk() == BulkDue(job: nil, nextIn: .seconds(10)))
      bench.advance(.seconds(4))
      _ = try await bench.store.carryOn(bulk: order.id, limit: 1, hold: .seconds(10), keys: .zero)
      #expect(try await bench.store.dueBulk() == BulkDue(job: nil, nextIn: .seconds(10)))
      bench.advance(.seconds(10))
      #expect(try await bench.store.dueBulk() == BulkDue(job: order.id, nextIn: nil))
      // The one due for longest goes first.
      _ = try await bench.store.begin(.stub(2), hold: .zero)
      bench.advance(.seconds(1))
      #expect(try await bench.store.dueBulk().job == order.id)
    }
  }

  @Test(arguments: stores)
  func `many callers at once do each task once`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...60).map { .stub($0) })
      let order = BulkOrder.stub()
      _ = try await bench.store.begin(order, hold: .zero)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 1...4 {
          group.addTask {
            while try await bench.carryOn(order.id, limit: 7)?.job.status == .running {}
          }
        }
        try await group.waitForAll()
      }
      let job = try #require(try await bench.store.bulkJob(order.id))
      #expect(job.status == .done && job.matched == 60 && job.changed == 60)
      for number in 1...60 { #expect(try await bench.events(.stub(number)).count == 3) }
      #expect(try await bench.audit().count == 1)
    }
  }

  @Test(arguments: stores)
  func `a job and claims at once leave no task behind`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...100).map { .stub($0) })
      let order = BulkOrder.stub()
      _ = try await bench.store.begin(order, hold: .zero)
      async let claimed = {
        var claimed: [ClaimedTask] = []
        for _ in 1...10 { claimed += try await bench.claim(limit: 3) }
        return claimed
      }()
      let job = try await bench.carryOnToTheEnd(order, limit: 5).job
      #expect(job.matched == 100 && job.changed == 100)
      let running = Set(try await claimed.map(\.id))
      for number in 1...100 {
        let task = try await bench.record(.stub(number))
        #expect(
          running.contains(task.id) ? task.cancelRequested || task.status == .cancelled : task.status == .cancelled)
      }
    }
  }

  @Test(arguments: stores)
  func `a stopped job does nothing more, and a failed one tells why`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...4).map { .stub($0) })
      let order = BulkOrder.stub()
      _ = try await bench.store.begin(order, hold: .zero)
      _ = try await bench.carryOn(order.id, limit: 1)
      bench.advance(.seconds(1))
      let stopped = try #require(try await bench.store.endBulk(order.id, error: nil, actor: "key:stop"))
      #expect(stopped.status == .stopped && stopped.changed == 1 && stopped.finishedAt == bench.now)
      #expect(try await bench.carryOn(order.id) == BulkStep(stopped, nextIn: nil))
      #expect(try await bench.store.endBulk(order.id, error: "x", actor: "key:other") == stopped)
      #expect(try await bench.store.dueBulk() == BulkDue(job: nil, nextIn: nil))
      #expect(try await bench.countsByStatus() == [.cancelled: 1, .ready: 3])

      _ = try await bench.store.begin(.stub(2), hold: .zero)
      let failed = try #require(try await bench.store.endBulk(.stub(1_000_002), error: "broken", actor: "scheduler"))
      #expect(failed.status == .failed && failed.lastError == "broken")
      #expect(try await bench.store.endBulk(.stub(7), error: nil, actor: "a") == nil)
      #expect(try await bench.carryOn(.stub(7)) == nil)
      #expect(
        Set(try await bench.audit().map { "\($0.action.rawValue) by \($0.actor)" })
          == ["tasks.cancel by key:bulk", "bulk.stop by key:stop"])
    }
  }

  @Test(arguments: stores)
  func `the audit has one entry for a job, with its filter and counts`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...3).map { .stub($0, metadata: ["who": "O'Neil \"x\""]) })
      try await bench.runBulk(.stub(1) { $0.metadata = ["who": "O'Neil \"x\""] })
      let entry = try #require(try await bench.audit().first)
      #expect(try await bench.audit().count == 1)
      #expect(entry.action.rawValue == "tasks.cancel" && entry.actor == "key:bulk")
      #expect(entry.target == "bulk:\(TaskID.stub(1_000_001))" && entry.at == start)
      #expect(
        entry.detail
          == #"{"filter":{"status":["PENDING","READY","RETRY","RUNNING"],"metadata":{"who":"O'Neil \"x\""}},"#
          + #""status":"DONE","matched":3,"changed":3}"#)
      try await bench.runBulk(.stub(2, .retry))
      try await bench.runBulk(.stub(3, .purge))
      #expect(
        Set(try await bench.audit().map(\.action.rawValue))
          == ["tasks.cancel", "dead-letters.retry", "dead-letters.purge"])
    }
  }

  @Test(arguments: stores)
  func `jobs are listed newest first, and forgotten some time after their end`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for number in 1...4 {
        _ = try await bench.store.begin(.stub(number, queues: ["mail*"]) { $0.tag = "t" }, hold: .zero)
        if number < 4 { _ = try await bench.carryOnToTheEnd(.stub(number)) }
        bench.advance(.seconds(10))
      }
      let jobs = try await bench.store.bulkJobs(before: nil, limit: 10)
      #expect(jobs.map(\.id) == [4, 3, 2, 1].map { .stub(1_000_000 + $0) })
      #expect(jobs[0].order == .stub(4, queues: ["mail*"]) { $0.tag = "t" })
      #expect(try await bench.store.bulkJobs(before: jobs[1].id, limit: 1).map(\.id) == [jobs[2].id])
      #expect(try await bench.store.pruneBulk(olderThan: .seconds(41), limit: 10) == 0)
      #expect(try await bench.store.pruneBulk(olderThan: .seconds(20), limit: 1) == 1)
      #expect(try await bench.store.pruneBulk(olderThan: .zero, limit: 10) == 2)
      #expect(try await bench.store.bulkJobs(before: nil, limit: 10).map(\.id) == [jobs[0].id])
    }
  }

  @Test(arguments: stores.filter(\.isPersistent))
  func `a job goes on where it was after the store was closed and opened`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...5).map { .stub($0) })
      let order = BulkOrder.stub(1, queues: ["def*"]) { $0.types = ["resize"] }
      _ = try await bench.store.begin(order, hold: .zero)
      let step = try #require(try await bench.carryOn(order.id, limit: 2))
      await bench.store.close()
      let again = StoreBench(
        store: try await store.make(bench.time, bench.directory), time: bench.time, directory: bench.directory)
      #expect(try await again.store.bulkJob(order.id) == step.job)
      let job = try await again.carryOnToTheEnd(order).job
      #expect(job.status == .done && job.matched == 5 && job.changed == 5)
      await again.store.close()
    }
  }
}

extension StoreBench {
  func carryOn(_ id: TaskID, limit: Int = 1000, keys: Duration = .zero) async throws -> BulkStep? {
    try await store.carryOn(bulk: id, limit: limit, hold: .zero, keys: keys)
  }

  /// Page by page, with what they leave over.
  func carryOnToTheEnd(
    _ order: BulkOrder, limit: Int = 1000, keys: Duration = .zero
  ) async throws -> (job: BulkJob, steps: [BulkStep]) {
    var steps: [BulkStep] = []
    while let step = try await carryOn(order.id, limit: limit, keys: keys) {
      steps.append(step)
      try await settleAll()
      if step.job.status != .running { return (step.job, steps) }
    }
    throw BenchError.noSuchTask
  }

  @discardableResult
  func runBulk(
    _ order: BulkOrder, limit: Int = 1000, keys: Duration = .zero
  ) async throws -> (job: BulkJob, steps: [BulkStep]) {
    _ = try await store.begin(order, hold: .zero)
    return try await carryOnToTheEnd(order, limit: limit, keys: keys)
  }

  func countAll(_ order: BulkOrder, limit: Int) async throws -> Int {
    var matched = 0
    var after: TaskID?
    repeat {
      let count = try await store.count(order, after: after, limit: limit)
      guard count.matched <= limit else { throw BenchError.pageTooLong }
      if let next = count.next, let last = after, next <= last { throw BenchError.cursorStandsStill }
      matched += count.matched
      after = count.next
    } while after != nil
    return matched
  }
}
