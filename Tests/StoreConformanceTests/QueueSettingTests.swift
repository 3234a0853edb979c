// What operators set for queues and types, as claims and submissions see it.

import MartletCore
import MartletTestKit
import Testing

@Suite struct QueueSettingTests {
  // MARK: Settings

  @Test(arguments: stores)
  func `settings are what was set last, each apart from the others`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      #expect(try await bench.store.queueSettings() == [:])
      try await bench.set {
        $0.concurrency = .value(7)
        $0.maxDepth = .value(100)
      }
      try await bench.set("other") {
        $0.isPaused = true
        $0.ratePerSecond = .value(0.5)
        $0.burst = .value(3)
        $0.concurrencyPerKey = .none
      }
      let answer = try await bench.set { $0.maxDepth = .none }
      var first = QueueSettings()
      first.concurrency = 7
      var second = QueueSettings()
      second.isPaused = true
      second.ratePerSecond = 0.5
      second.burst = 3
      second.concurrencyPerKey = nil
      #expect(answer == first)
      #expect(try await bench.store.queueSettings() == ["default": first, "other": second])
      try await bench.set { $0.isPaused = false }
      #expect(try await bench.store.queueSettings()["default"] == first)
    }
  }

  @Test(arguments: stores)
  func `settings of types are put as a whole`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      #expect(try await bench.store.typeSettings() == [:])
      var settings = TypeSettings()
      settings.isPaused = true
      settings.defaults.queue = "mail"
      settings.defaults.priority = 9
      settings.defaults.retries = 0
      settings.defaults.timeoutSeconds = 0.5
      settings.defaults.leaseSeconds = 12
      settings.defaults.backoff = NewTask.Backoff()
      settings.defaults.backoff?.strategy = .linear
      settings.defaults.backoff?.baseSeconds = 0.1
      try await bench.store.put(type: "resize", settings, actor: "key-1")
      #expect(try await bench.store.typeSettings() == ["resize": settings])
      try await bench.store.put(type: "resize", TypeSettings(), actor: "key-1")
      #expect(try await bench.store.typeSettings()["resize"] ?? TypeSettings() == TypeSettings())
    }
  }

  // MARK: Pause

  @Test(arguments: stores)
  func `a paused queue gives nothing out, and all of it once it goes on`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), .stub(2), .stub(3, queue: "other"))
      let first = try await bench.claimOne()
      try await bench.set { $0.isPaused = true }
      #expect(try await bench.claim(limit: 9).isEmpty)
      #expect(try await bench.claim(limit: 9, queues: ["*"]).map(\.id) == [.stub(3)])
      #expect(try await bench.finish(first.lease, .success) == .applied(.success), "what runs goes on")
      #expect(try await bench.claim(limit: 9).isEmpty)
      try await bench.set { $0.isPaused = false }
      #expect(try await bench.claim(limit: 9).map(\.id) == [.stub(2)])
    }
  }

  @Test(arguments: stores)
  func `what comes into a paused queue waits there`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.isPaused = true }
      try await bench.submit(.stub(1), .stub(2, eligible: .after(.seconds(5))))
      #expect(try await bench.record().status == .ready)
      bench.advance(.seconds(5))
      try await bench.promote()
      #expect(try await bench.claim(limit: 9).isEmpty)
      try await bench.set { $0.isPaused = false }
      #expect(try await bench.claim(limit: 9).map(\.id) == [.stub(1), .stub(2)])
    }
  }

  @Test(arguments: stores)
  func `a paused type is left out of every queue`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), .stub(2, type: "other"), .stub(3, queue: "mail"))
      try await bench.set(type: "resize") { $0.isPaused = true }
      let types = ["resize", "other"]
      #expect(try await bench.claim(limit: 9, types: types, queues: ["*"]).map(\.id) == [.stub(2)])
      try await bench.set(type: "resize") { $0.isPaused = false }
      #expect(try await bench.claim(limit: 9, types: types, queues: ["*"]).map(\.id) == [.stub(1), .stub(3)])
    }
  }

  @Test(arguments: stores)
  func `pauses are told to those who wait for work`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let heard = HeardHints()
      bench.store.listen { heard.note($0) }
      try await bench.submit(.stub(1))
      try await bench.set { $0.isPaused = true }
      #expect(heard.all.contains(.settings))
      try await bench.set { $0.isPaused = false }
      #expect(heard.all.contains(.anyWork), "to look again is all that a worker can do")
    }
  }

  // MARK: Concurrency

  @Test(arguments: stores)
  func `a queue runs no more at once than its concurrency`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.concurrency = .value(3) }
      try await bench.submit((1...10).map { .stub($0) })
      try await bench.submit((11...15).map { .stub($0, queue: "other") })
      let first = try await bench.claim(limit: 2)
      #expect(first.count == 2)
      #expect(try await bench.claim(limit: 5, token: 8).count == 1)
      #expect(try await bench.claim(limit: 5, token: 9).isEmpty)
      #expect(try await bench.claim(limit: 99, queues: ["*"], token: 10).count == 5, "other queues go on")
      try await bench.finish(first[0].lease, .success)
      try await bench.finish(first[1].lease, .failed)
      #expect(try await bench.claim(limit: 9, token: 11).map(\.id) == [.stub(4), .stub(5)])
    }
  }

  @Test(arguments: stores)
  func `all ways out of an attempt make room`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.concurrency = .value(1) }
      try await bench.submit((1...6).map { .stub($0) })
      let outcomes: [Outcome] = [
        .success, .failed(.stub, .giveUp(.nonRetryable)), .snoozed(.seconds(60)), .cancelled, .released,
      ]
      for outcome in outcomes {
        let task = try await bench.claimOne(token: Int64.random(in: 1...1_000_000))
        #expect(try await bench.claim(token: 1_000_001).isEmpty)
        try await bench.finish(task.lease, outcome)
      }
      _ = try await bench.claimOne(token: 1_000_002)
      bench.advance(.seconds(60))
      try await bench.rescue()
      #expect(try await bench.claim(token: 1_000_003).count == 1)
    }
  }

  @Test(arguments: stores)
  func `another concurrency holds for the next claim`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.concurrency = .value(1) }
      try await bench.submit((1...9).map { .stub($0) })
      #expect(try await bench.claim(limit: 9).count == 1)
      try await bench.set { $0.concurrency = .value(4) }
      #expect(try await bench.claim(limit: 9, token: 8).count == 3)
      try await bench.set { $0.concurrency = .value(2) }
      #expect(try await bench.claim(limit: 9, token: 9).isEmpty)
      try await bench.set { $0.concurrency = .none }
      #expect(try await bench.claim(limit: 9, token: 10).count == 5)
    }
  }

  @Test(arguments: stores)
  func `two workers at once never exceed a queue's concurrency`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.concurrency = .value(5) }
      try await bench.submit((1...200).map { .stub($0) })
      var running: [ClaimedTask] = []
      for round in 0..<20 {
        let claimed = try await withThrowingTaskGroup(of: [ClaimedTask].self) { group in
          for worker in 0..<4 {
            group.addTask {
              try await bench.claim(limit: 3, worker: "w\(worker)", token: Int64(round * 4 + worker + 1))
            }
          }
          return try await group.reduce(into: []) { $0 += $1 }
        }
        running += claimed
        #expect(running.count == 5)
        let done = running.prefix(1 + round % 5)
        for task in done { try await bench.finish(task.lease, .success) }
        running.removeFirst(done.count)
      }
    }
  }

  // MARK: Rate

  @Test(arguments: stores)
  func `a queue begins no more in a second than its rate, after a burst`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set {
        $0.ratePerSecond = .value(2)
        $0.burst = .value(4)
      }
      try await bench.submit((1...30).map { .stub($0) })
      #expect(try await bench.claim(limit: 3, token: 1).count == 3)
      #expect(try await bench.claim(limit: 9, token: 2).count == 1)
      #expect(try await bench.claim(limit: 9, token: 3).isEmpty)
      bench.advance(.milliseconds(500))
      #expect(try await bench.claim(limit: 9, token: 4).count == 1)
      bench.advance(.milliseconds(400))
      #expect(try await bench.claim(limit: 9, token: 5).isEmpty)
      bench.advance(.milliseconds(100))
      #expect(try await bench.claim(limit: 9, token: 6).count == 1)
      bench.advance(.seconds(60))
      #expect(try await bench.claim(limit: 9, token: 7).count == 4, "rest brings a burst, not more")
    }
  }

  @Test(arguments: stores)
  func `slow rates are rates too`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.ratePerSecond = .value(0.1) }
      try await bench.submit((1...5).map { .stub($0) })
      #expect(try await bench.claim(limit: 9, token: 1).count == 1)
      for _ in 0..<9 {
        bench.advance(.seconds(1))
        #expect(try await bench.claim(limit: 9, token: 2).isEmpty)
      }
      bench.advance(.seconds(1))
      #expect(try await bench.claim(limit: 9, token: 3).count == 1)
    }
  }

  @Test(arguments: stores)
  func `who finds a bucket empty is told when to come again`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let heard = HeardHints()
      bench.store.listen { heard.note($0) }
      try await bench.set { $0.ratePerSecond = .value(4) }
      try await bench.submit((1...9).map { .stub($0) })
      #expect(try await bench.claim(limit: 9, token: 1).count == 4)
      #expect(try await bench.claim(limit: 9, token: 2).isEmpty)
      let lane = Lane(queue: "default", type: "resize")
      let told = heard.all.contains { hint in
        guard case .later(let lanes, let duration) = hint else { return false }
        return lanes.contains(lane) && (.milliseconds(1)...Duration.milliseconds(260)).contains(duration)
      }
      #expect(told)
    }
  }

  // MARK: Depth

  @Test(arguments: stores)
  func `a full queue refuses a submission as a whole, and no other`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.maxDepth = .value(3) }
      try await bench.submit(.stub(1), .stub(2, eligible: .after(.seconds(60))))
      let verdicts = try await bench.verdicts([
        Submission([.stub(3), .stub(4, queue: "other"), .stub(5)]), Submission([.stub(6, queue: "other")]),
        Submission([.stub(7)]), Submission([.stub(8)]), Submission([.stub(1)]),
      ])
      #expect(verdicts[0] == .queueFull("default"))
      #expect(verdicts[1] == .accepted(at: bench.now))
      #expect(verdicts[2] == .accepted(at: bench.now))
      #expect(verdicts[3] == .queueFull("default"))
      #expect(verdicts[4] == .accepted(at: bench.now), "it is stored already")
      #expect(try await bench.store.tasks([.stub(3), .stub(4), .stub(5), .stub(8)]).allSatisfy { $0 == nil })
      #expect(try await bench.countsByStatus() == [.ready: 3, .pending: 1])
    }
  }

  @Test(arguments: stores)
  func `what runs or is over is not in the way`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.maxDepth = .value(1) }
      let task = try await bench.running()
      #expect(try await bench.verdicts([Submission([.stub(2)])]) == [.accepted(at: bench.now)])
      try await bench.finish(task.lease, .failed)
      #expect(try await bench.verdicts([Submission([.stub(3)])]) == [.queueFull("default")])
      try await bench.steer(.cancel, .stub(1))
      try await bench.steer(.cancel, .stub(2))
      #expect(try await bench.verdicts([Submission([.stub(3)])]) == [.accepted(at: bench.now)])
      try await bench.set { $0.maxDepth = .none }
      #expect(try await bench.verdicts([Submission([.stub(4)])]) == [.accepted(at: bench.now)])
    }
  }

  @Test(arguments: stores)
  func `a refused submission leaves its key free`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.maxDepth = .value(1) }
      try await bench.submit(.stub(1))
      var task = AcceptedTask.stub(2)
      task.idempotencyKey = "k"
      let key = IdempotencyKey("k", fingerprint: Array(repeating: 1, count: 32), tasks: [0])
      #expect(try await bench.verdicts([Submission([task], keys: [key])]) == [.queueFull("default")])
      try await bench.steer(.cancel)
      #expect(try await bench.verdicts([Submission([task], keys: [key])]) == [.accepted(at: bench.now)])
      let again = try await bench.verdicts([Submission([.stub(3)], keys: [key])])
      #expect(again == [.replayed(at: bench.now, earlier: [0: .stub(2)])], "though the queue is full")
    }
  }

  @Test(arguments: stores)
  func `many at once do not fill a queue beyond its depth`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.maxDepth = .value(50) }
      let accepted = try await withThrowingTaskGroup(of: Int.self) { group in
        for number in 0..<100 {
          group.addTask {
            let verdicts = try await bench.verdicts([Submission([.stub(number + 1)])])
            return verdicts == [.queueFull("default")] ? 0 : 1
          }
        }
        return try await group.reduce(0, +)
      }
      #expect(accepted == 50)
      #expect(try await bench.countsByStatus() == [.ready: 50])
    }
  }
}
