// What can be read back: single tasks, lists, counts, workers, and nothing at all once the store is closed.

import MartletCore
import MartletTestKit
import Testing

@Suite struct ReadTests {
  @Test(arguments: stores)
  func `tasks are answered in the order asked for, with nil where there is none`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), .stub(2))
      let one = try await bench.record(.stub(1))
      let two = try await bench.record(.stub(2))
      #expect(
        try await bench.store.tasks([.stub(2), .stub(9), .stub(1), .stub(2)]) == [two, nil, one, two])
      #expect(try await bench.store.tasks([]) == [])
      #expect(try await bench.store.attempts(of: .stub(9)) == nil)
      #expect(try await bench.store.events(of: .stub(9)) == nil)
    }
  }

  @Test(arguments: stores)
  func `a scope is kept in lists of every kind, by its patterns to the letter`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let names = ["mail", "mail_x", "mailyx", "Mail", "mail.a-b:c", "other", "amail", "m"]
      try await bench.submit(
        names.enumerated().map { number, name in
          var task = AcceptedTask.stub(number + 1, queue: name)
          task.graph = .member(.stub(99))
          return task
        })
      func listed(_ patterns: [String], _ configure: (inout TaskQuery) -> Void = { _ in }) async throws -> [String] {
        var query = TaskQuery()
        query.limit = 3
        query.scope = patterns.compactMap(QueuePattern.init)
        configure(&query)
        return try await bench.listAll(query).map(\.queue).reversed()
      }
      #expect(try await listed(["*"]) == names)
      #expect(try await listed([]) == [])
      #expect(try await listed(["mail"]) == ["mail"])
      #expect(try await listed(["mail*"]) == ["mail", "mail_x", "mailyx", "mail.a-b:c"])
      #expect(try await listed(["mail_x"]) == ["mail_x"])
      #expect(try await listed(["*_*", "Mail"]) == ["mail_x", "Mail"])
      #expect(try await listed(["*a*-*", "m"]) == ["mail.a-b:c", "m"])
      #expect(try await listed(["mail*"]) { $0.queues = ["mail", "other"] } == ["mail"])
      #expect(try await listed(["o*"]) { $0.graphID = .stub(99) } == ["other"])
      #expect(try await listed(["o*"]) { $0.statuses = [.dead] } == [])
      var query = TaskQuery()
      query.scope = [QueuePattern("mail*")].compactMap(\.self)
      query.limit = 4
      #expect(try await bench.store.list(query).tasks.count == 4)
    }
  }

  @Test(arguments: stores)
  func `a history of everything that can happen is told in full`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(eligible: .after(.seconds(1)), retries: 1))
      bench.advance(.seconds(1))
      try await bench.promote()
      bench.advance(.seconds(1))
      try await bench.finish(try await bench.claimOne(worker: "w1", token: 1).lease, .snoozed(.seconds(1)), logs: ["1"])
      bench.advance(.seconds(1))
      try await bench.promote()
      try await bench.finish(try await bench.claimOne(worker: "w2", token: 2).lease, .released, logs: ["2"])
      _ = try await bench.claimOne(worker: "w3", token: 3)
      bench.advance(.seconds(30))
      try await bench.rescue()
      try await bench.steer(.patch(TaskPatch(priority: 6, available: .now)), actor: "p")
      let fourth = try await bench.claimOne(worker: "w4", token: 4)
      try await bench.finish(fourth.lease, .timedOut, logs: ["4"])
      try await bench.steer(.retry, actor: "r")
      let fifth = try await bench.claimOne(worker: "w5", token: 5)
      try await bench.steer(.cancel, actor: "c")
      try await bench.finish(fifth.lease, .failed, logs: ["5"])
      try await bench.steer(.retry, actor: "r2")
      try await bench.finish(try await bench.claimOne(worker: "w6", token: 6).lease, .success)

      let told = try await bench.events().map { event in
        let seconds = (event.at - start).components.seconds
        return "\(event.sequence) \(seconds) \(event.type.rawValue) \(event.actor) \(event.cause ?? "-")"
      }
      #expect(
        told == [
          "1 0 received api -", "2 1 ready scheduler -", "3 2 started w1 attempt 1", "4 2 snoozed w1 -",
          "5 3 ready scheduler -", "6 3 started w2 attempt 2", "7 3 released w2 -", "8 3 ready w2 -",
          "9 3 started w3 attempt 3", "10 33 failed rescuer LOST", "11 33 retry rescuer -",
          "12 33 updated p priority,availableAt", "13 33 ready p -", "14 33 started w4 attempt 4",
          "15 33 failed w4 TIMED_OUT", "16 33 dead w4 RETRIES_EXHAUSTED", "17 33 retried r -", "18 33 ready r -",
          "19 33 started w5 attempt 5", "20 33 updated c cancel requested", "21 33 failed w5 FAILED",
          "22 33 cancelled w5 REQUESTED", "23 33 retried r2 -", "24 33 ready r2 -", "25 33 started w6 attempt 6",
          "26 33 succeeded w6 -",
        ])
      let attempts = try await bench.attempts()
      #expect(attempts.map(\.outcome) == [.snoozed, .released, .lost, .timedOut, .failed, .success])
      #expect(attempts.map(\.worker) == ["w1", "w2", "w3", "w4", "w5", "w6"])
      #expect(attempts.map(\.logs) == [["1"], ["2"], [], ["4"], ["5"], []])
      #expect(
        HistoryRules.problems(of: try await bench.record(), events: try await bench.events(), attempts: attempts) == [])
    }
  }

  // MARK: Lists

  @Test(arguments: stores)
  func `a list is newest first, and its pages leave out and repeat nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for number in (1...23).shuffled() { try await bench.submit(.stub(number)) }
      for limit in [1, 2, 5, 22, 23, 24, 1000] {
        var query = TaskQuery()
        query.limit = limit
        #expect(try await bench.listAll(query).map(\.id) == (1...23).reversed().map { TaskID.stub($0) })
      }
    }
  }

  @Test(arguments: stores)
  func `tasks that come while a list is paged do not disturb it`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...10).map { .stub($0) })
      var query = TaskQuery()
      query.limit = 10
      query.before = .stub(6)
      try await bench.submit(.stub(11))
      #expect(try await bench.listAll(query).map(\.id) == [5, 4, 3, 2, 1].map { TaskID.stub($0) })
    }
  }

  @Test(arguments: stores)
  func `a list leaves out payloads and results unless asked, and nothing else`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(payload: "[1]", tags: ["t"], metadata: ["k": "v"]))
      try await bench.finish(claimed.lease, .success(result: Array("[2]".utf8)))
      for (payload, result) in [(false, false), (true, false), (false, true), (true, true)] {
        var query = TaskQuery()
        query.includesPayload = payload
        query.includesResult = result
        var expected = try await bench.record()
        if !payload { expected.payload = nil }
        if !result { expected.result = nil }
        #expect(try await bench.listAll(query) == [expected])
      }
    }
  }

  @Test(arguments: stores)
  func `every filter and every two of them list just the tasks that match`(store: StoreUnderTest) async throws {
    let filters: [@Sendable (inout TaskQuery) -> Void] = [
      { $0.statuses = [.dead] }, { $0.statuses = [.success, .pending, .retry, .running] }, { $0.types = ["x"] },
      { $0.types = ["x", "z"] }, { $0.queues = ["b"] }, { $0.queues = ["a", "c"] }, { $0.tag = "red" },
      { $0.tag = "Red" }, { $0.tag = "%" }, { $0.worker = "worker-2" }, { $0.metadata = ["color": "red"] },
      { $0.metadata = ["color": "red", "size": ""] }, { $0.metadata = ["a.b\"]": "'x'"] },
      { $0.createdAfter = start + .seconds(20) }, { $0.createdBefore = start + .seconds(20) },
      { $0.before = .stub(25) }, { $0.graphID = .stub(1001) }, { $0.idempotencyKey = "key-2" },
      { $0.scheduleName = "nightly" },
    ]
    let hopeless: [@Sendable (inout TaskQuery) -> Void] = [
      { $0.tag = "re" }, { $0.tag = "" }, { $0.worker = "" }, { $0.worker = "worker" },
      { $0.metadata = ["color": "RED"] },
      { $0.metadata = ["Color": "red"] }, { $0.metadata = ["size": "red"] }, { $0.types = ["X"] }, { $0.queues = [""] },
      { $0.createdAfter = start + .seconds(3600) }, { $0.createdBefore = start }, { $0.before = .stub(1) },
      { $0.graphID = .stub(1) }, { $0.idempotencyKey = "KEY-2" }, { $0.idempotencyKey = "" },
      { $0.scheduleName = "night" },
    ]
    try await store.onBench { bench in
      try await populate(bench)
      var everything = TaskQuery()
      everything.includesPayload = true
      everything.includesResult = true
      let all = try await bench.listAll(everything)
      #expect(all.count == 40)
      #expect(Set(all.map(\.status)) == Set(TaskStatus.allCases))
      for (index, filter) in filters.enumerated() {
        for (second, other) in filters.enumerated() where second >= index {
          for limit in [3, 50] {
            var query = everything
            filter(&query)
            other(&query)
            query.limit = limit
            let expected = all.filter(query.matches)
            if index == second {
              #expect(!expected.isEmpty && expected.count < all.count, "filter \(index) is vacuous")
            }
            #expect(try await bench.listAll(query) == expected, "filters \(index) and \(second)")
          }
        }
      }
      for (index, filter) in hopeless.enumerated() {
        var query = everything
        filter(&query)
        #expect(try await bench.listAll(query) == [], "hopeless filter \(index)")
      }
    }
  }

  /// Forty tasks a second apart, in all states, of many kinds.
  private func populate(_ bench: StoreBench) async throws {
    for number in 1...40 {
      let color = ["red", "blue", "Red"][number % 3]
      var metadata = ["color": color]
      if number.isMultiple(of: 2) { metadata["size"] = "" }
      if number.isMultiple(of: 5) { metadata["a.b\"]"] = "'x'" }
      var task = AcceptedTask.stub(
        number, type: ["x", "y", "z"][number % 3], queue: ["a", "b", "c"][(number / 3) % 3], payload: "\(number)",
        eligible: number % 7 == 6 ? .after(.seconds(3600)) : .now,
        backoff: RetryPolicy(strategy: .fixed, baseSeconds: 3600, jitter: 0),
        tags: number.isMultiple(of: 4) ? ["t", color] : number.isMultiple(of: 9) ? ["%"] : [], metadata: metadata)
      if number % 5 < 2 { task.graph = .member(.stub(1000 + number % 5)) }
      if number % 7 > 3 { task.idempotencyKey = "key-\(number % 4)" }
      if number.isMultiple(of: 3) { task.scheduleName = ["nightly", "Nightly"][number % 2] }
      try await bench.submit(task)
      let claimed: [ClaimedTask] =
        number % 7 < 4
        ? try await bench.claim(worker: "worker-\(number % 4)", types: [task.type], queues: [task.queue]) : []
      if let lease = claimed.first?.lease {
        switch number % 7 {
        case 0: try await bench.finish(lease, .success(result: Array("\(number)".utf8)))
        case 1: try await bench.finish(lease, .failed(.stub, .giveUp(.nonRetryable)))
        case 2: try await bench.finish(lease, .failed)
        default: break
        }
      }
      if number % 7 == 5 { try await bench.steer(.cancel, .stub(number)) }
      bench.advance(.seconds(1))
    }
  }

  // MARK: Counts

  @Test(arguments: stores)
  func `counts are by queue, type and status, without zeros`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let none = try await bench.store.counts()
      #expect(none == [])
      try await bench.submit(
        .stub(1, type: "x", queue: "a"), .stub(2, type: "x", queue: "a"), .stub(3, type: "y", queue: "a"),
        .stub(4, type: "x", queue: "b", eligible: .after(.seconds(1))))
      let claimed = try await bench.claim(types: ["x"], queues: ["a"])
      let ax = Lane(queue: "a", type: "x")
      let others = [
        TaskCount(lane: Lane(queue: "a", type: "y"), status: .ready, count: 1),
        TaskCount(lane: Lane(queue: "b", type: "x"), status: .pending, count: 1),
      ]
      #expect(
        Set(try await bench.store.counts())
          == Set(
            others + [TaskCount(lane: ax, status: .ready, count: 1), TaskCount(lane: ax, status: .running, count: 1)]))
      try await bench.finish(claimed[0].lease, .released)
      let released = try await bench.store.counts()
      #expect(released.count == 3)
      #expect(Set(released) == Set(others + [TaskCount(lane: ax, status: .ready, count: 2)]))
    }
  }

  @Test(arguments: stores)
  func `the oldest READY task of a queue is the one that was eligible first`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let none = try await bench.store.oldestReady()
      #expect(none == [:])
      try await bench.submit(
        .stub(1, type: "x", queue: "a", priority: 1, eligible: .after(.seconds(5))), .stub(2, queue: "b"),
        .stub(3, queue: "c", eligible: .after(.seconds(60))))
      bench.advance(.seconds(7))
      try await bench.submit(.stub(4, queue: "a", priority: 9))
      #expect(try await bench.store.oldestReady() == ["a": start + .seconds(7), "b": start])
      try await bench.promote()
      #expect(try await bench.store.oldestReady() == ["a": start + .seconds(5), "b": start])
      _ = try await bench.claim(limit: 5, types: ["x"], queues: ["a"])
      _ = try await bench.claim(queues: ["b"])
      #expect(try await bench.store.oldestReady() == ["a": start + .seconds(7)])
    }
  }

  // MARK: Histories in pages

  @Test(arguments: stores)
  func `pages of a history make up the whole, whatever their length`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var task = AcceptedTask.stub(1)
      task.retries = 3
      try await bench.submit(task)
      for number in 1...12 {
        let claimed = try await bench.claimOne()
        // Told by each of the tables that a history is put together of.
        if number % 3 == 0 {
          _ = try await bench.store.renew([
            Renewal(lease: claimed.lease, progress: nil, logs: ["renewed \(number)"])
          ])
        }
        let outcome: Outcome =
          number % 4 == 0
          ? .released : number % 4 == 1 ? .failed(.stub, .retryAfter(.seconds(1))) : .snoozed(.seconds(1))
        if number == 12 { break }
        _ = try await bench.finish(claimed.lease, outcome, logs: ["line \(number)"])
        if number == 5 { _ = try await bench.steer(.patch(TaskPatch(priority: 9))) }
        bench.advance(.seconds(2))
        _ = try await bench.store.promote(limit: 10)
        if try await bench.record().status == .dead { _ = try await bench.steer(.retry) }
      }
      let record = try await bench.record()
      let (attempts, events) = (try await bench.attempts(), try await bench.events())
      #expect(attempts.map(\.number) == Array(1...record.attempt) && record.attempt == 12)
      #expect(events.map(\.sequence) == Array(1...record.sequence))
      #expect(attempts[2].logs == ["renewed 3", "line 3"])
      for limit in [1, 2, 3, 5, 7, 11, 12, 13, 1000] {
        var (numbers, sequences) = ([AttemptRecord](), [TaskEvent]())
        var next: Int? = 0
        while let after = next {
          let page = try #require(try await bench.store.attempts(of: .stub(1), after: after, limit: limit))
          #expect(page.elements.count <= limit && !page.elements.isEmpty)
          numbers += page.elements
          next = page.next
          #expect(next == nil || next == page.elements.last?.number)
        }
        next = 0
        while let after = next {
          let page = try #require(try await bench.store.events(of: .stub(1), after: after, limit: limit))
          #expect(page.elements.count <= limit && !page.elements.isEmpty)
          sequences += page.elements
          next = page.next
          #expect(next == nil || next == page.elements.last?.sequence)
        }
        #expect(numbers == attempts && sequences == events, "pages of \(limit)")
      }
      for beyond in [record.sequence, 5000, Int.max] {
        #expect(try await bench.store.attempts(of: .stub(1), after: beyond, limit: 1000)?.elements == [])
        #expect(try await bench.store.events(of: .stub(1), after: beyond, limit: 1000) == HistoryPage([], next: nil))
      }
      #expect(try await bench.store.events(of: .stub(9), after: 0, limit: 1) == nil)
      #expect(try await bench.store.attempts(of: .stub(9), after: 0, limit: 1) == nil)
    }
  }

  // MARK: Workers

  @Test(arguments: stores)
  func `a worker is listed as it registered, seen by the store's clock`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var node = WorkerRecord(
        id: "node é", host: "host \"1\"", kind: .node, types: ["b", "a"], queues: [], running: 3, lastSeenAt: .latest)
      var remote = WorkerRecord(
        id: "remote", host: "", kind: .remote, types: [], queues: ["q", "q'"], running: 0, lastSeenAt: .earliest)
      try await bench.store.register(node)
      bench.advance(.seconds(1))
      try await bench.store.register(remote)
      node.lastSeenAt = start
      remote.lastSeenAt = start + .seconds(1)
      #expect(try await bench.store.workers().sorted { $0.id < $1.id } == [node, remote])
    }
  }

  @Test(arguments: stores)
  func `a worker that registers again is listed once, as it is now`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.store.register(.stub(running: 1))
      bench.advance(.seconds(10))
      var worker = WorkerRecord.stub(running: 2)
      worker.types = ["other"]
      try await bench.store.register(worker)
      worker.lastSeenAt = start + .seconds(10)
      #expect(try await bench.store.workers() == [worker])
    }
  }

  @Test(arguments: stores)
  func `a worker elsewhere takes no name of a listed worker of a node, which takes any`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      var node = WorkerRecord.stub("a")
      var remote = WorkerRecord.stub("a")
      (remote.kind, remote.types, remote.queues) = (.remote, ["other"], ["*"])
      try await bench.store.register(node)
      bench.advance(.seconds(10))
      try await bench.store.register(remote)
      node.lastSeenAt = start
      #expect(try await bench.store.workers() == [node], "nor does it keep it listed")
      bench.advance(WorkerRecord.lifetime - .seconds(10))
      try await bench.store.register(remote)
      remote.lastSeenAt = start + WorkerRecord.lifetime
      #expect(try await bench.store.workers() == [remote], "once that one is gone the name is free")
      try await bench.store.register(node)
      node.lastSeenAt = start + WorkerRecord.lifetime
      #expect(try await bench.store.workers() == [node])
    }
  }

  @Test(arguments: stores)
  func `a worker not seen for its lifetime is no longer listed`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.store.register(.stub("a"))
      try await bench.store.register(.stub("b"))
      bench.advance(WorkerRecord.lifetime - .milliseconds(1))
      #expect(try await bench.store.workers().count == 2)
      try await bench.store.register(.stub("b"))
      bench.advance(.milliseconds(1))
      #expect(try await bench.store.workers().map(\.id) == ["b"])
      try await bench.store.register(.stub("a"))
      #expect(Set(try await bench.store.workers().map(\.id)) == ["a", "b"])
    }
  }

  @Test(arguments: stores)
  func `a worker that unregisters is gone at once, and alone`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.store.register(.stub("a"))
      try await bench.store.register(.stub("b"))
      try await bench.store.unregister(worker: "a")
      try await bench.store.unregister(worker: "never seen")
      #expect(try await bench.store.workers().map(\.id) == ["b"])
    }
  }

  // MARK: The store itself

  @Test(arguments: stores)
  func `the store's clock is the one it was given`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let before = try await bench.store.now()
      #expect(before == start)
      bench.advance(.milliseconds(1))
      #expect(try await bench.store.now() == start + .milliseconds(1))
    }
  }

  @Test(arguments: stores)
  func `a check passes and leaves no trace`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub())
      let task = try await bench.record()
      for _ in 1...3 { try await bench.store.check() }
      #expect(try await bench.listAll(TaskQuery()).map(\.id) == [task.id])
      #expect(try await bench.record() == task)
    }
  }

  @Test(arguments: stores)
  func `a closed store throws unavailable, whatever is asked of it`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      let store = bench.store
      await store.close()
      let notice = NoticeID(task: .stub(1), sequence: 1, place: 0)
      let own: [(String, () async throws -> Void)] = [
        ("now", { _ = try await store.now() }),
        ("submit", { _ = try await store.submit([Submission([.stub(2)])]) }),
        ("claim", { _ = try await bench.claim() }),
        ("renew", { _ = try await bench.renew(claimed.lease) }),
        ("finish", { _ = try await bench.finish(claimed.lease, .success) }),
        ("promote", { _ = try await bench.promote() }),
        ("rescue", { _ = try await bench.rescue() }),
        ("settle", { _ = try await store.settle(limit: 1) }),
        ("prune", { _ = try await store.prune(PruneTests.all, limit: 1) }),
        ("sweep", { _ = try await store.sweep(PruneTests.all, after: nil, limit: 1, deletes: false) }),
        ("steer", { _ = try await bench.steer(.cancel) }),
        ("tasks", { _ = try await store.tasks([.stub(1)]) }),
        ("list", { _ = try await store.list(TaskQuery()) }),
        ("graph", { _ = try await store.graph(.stub(1)) }),
        ("attempts", { _ = try await store.attempts(of: .stub(1)) }),
        ("events", { _ = try await store.events(of: .stub(1)) }),
        ("counts", { _ = try await store.counts() }),
        ("claimable", { _ = try await store.claimable(in: nil, limit: 1) }),
        ("oldestReady", { _ = try await store.oldestReady() }),
        ("register", { try await store.register(.stub()) }),
        ("unregister", { try await store.unregister(worker: "a") }),
        ("workers", { _ = try await store.workers() }),
        ("check", { try await store.check() }),
        ("audit", { _ = try await store.audit(AuditQuery()) }),
        ("pruneAudit", { _ = try await store.pruneAudit(olderThan: .seconds(1), limit: 1) }),
        ("apiKeys", { _ = try await store.apiKeys() }),
        ("queueSettings", { _ = try await store.queueSettings() }),
        ("changeQueue", { _ = try await store.change(queue: "a", QueuePatch(), actor: "a") }),
        ("typeSettings", { _ = try await store.typeSettings() }),
        ("putType", { try await store.put(type: "a", TypeSettings(), actor: "a") }),
        ("admit", { _ = try await store.admit(limit: 1) }),
        ("begin", { _ = try await store.begin(.stub(), hold: .zero) }),
        ("dueBulk", { _ = try await store.dueBulk() }),
        ("carryOn", { _ = try await store.carryOn(bulk: .stub(1), limit: 1, hold: .zero, keys: .zero) }),
        ("endBulk", { _ = try await store.endBulk(.stub(1), error: nil, actor: "a") }),
        ("bulkJob", { _ = try await store.bulkJob(.stub(1)) }),
        ("bulkJobs", { _ = try await store.bulkJobs(before: nil, limit: 1) }),
        ("count", { _ = try await store.count(.stub(), after: nil, limit: 1) }),
        ("pruneBulk", { _ = try await store.pruneBulk(olderThan: .zero, limit: 1) }),
        ("facts", { _ = try await store.facts(of: .stub(1)) }),
        ("attend", { _ = try await store.attend(to: ["kafka"]) }),
        ("takeEntries", { _ = try await store.takeEntries(for: "kafka", relay: "a", limit: 1, hold: .zero) }),
        (
          "stories",
          {
            _ = try await store.stories(of: [
              OutboxEntry(
                number: 1, task: .stub(1), sequences: 1...1, at: Timestamp(milliseconds: 0), tries: 0)
            ])
          }
        ),
        ("settleEntries", { try await store.settleEntries(delivered: [1], putOff: [:], for: "kafka") }),
        ("release", { try await store.release(sink: "kafka", relay: "a") }),
        ("sinks", { _ = try await store.sinks() }),
        ("appendToStream", { _ = try await store.appendToStream([], relay: "a") }),
        ("streamPage", { _ = try await store.streamPage(after: 0, limit: 1) }),
        ("pruneStream", { _ = try await store.pruneStream(olderThan: .zero, limit: 1) }),
        ("takeNotices", { _ = try await store.takeNotices(.init(limit: 1, perDestination: 1, hold: .zero)) }),
        ("settleNotices", { try await store.settleNotices([.init(id: notice, attempt: 1, outcome: .delivered)]) }),
        ("notices", { _ = try await store.notices(NoticeQuery()) }),
        ("notice", { _ = try await store.notice(notice) }),
        ("resend", { _ = try await store.resend(notice: notice, actor: "a") }),
        ("abandonNotices", { _ = try await store.abandonNotices(limit: 1) }),
        ("waitingNotices", { _ = try await store.waitingNotices() }),
        ("settingsRevision", { _ = try await store.settingsRevision(after: 0) }),
        ("writeSettings", { _ = try await store.write(NewSettingsRevision([:], to: [:], of: 0, by: "a")) }),
        ("settingsRevisions", { _ = try await store.settingsRevisions(before: nil, limit: 1) }),
      ]
      let calls = own + ScheduleTests.calls(of: store)
      #expect(calls.map(\.0) == StoreOperation.allCases.map(\.rawValue))
      for (name, call) in calls {
        let error = await #expect(throws: StoreError.self, "\(name)") { try await call() }
        guard case .unavailable = error else {
          Issue.record("\(name) throws \(String(describing: error))")
          continue
        }
      }
      await store.close()  // once more does no harm
    }
  }
}
