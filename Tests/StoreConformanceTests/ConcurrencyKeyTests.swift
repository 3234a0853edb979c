// Tasks with concurrency keys: at most so many of a key run at once in a queue, and those that wait are in nobody's way.

import MartletCore
import MartletTestKit
import Testing

@Suite struct ConcurrencyKeyTests {
  fileprivate static func task(
    _ number: Int, key: String? = "a", type: String = "resize", queue: String = "default", priority: Int = 5,
    eligible: When = .now
  ) -> AcceptedTask {
    var task = AcceptedTask.stub(number, type: type, queue: queue, priority: priority, eligible: eligible)
    task.concurrencyKey = key
    return task
  }

  @Test(arguments: stores)
  func `one task of a key runs at once, and the next when it ends`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...3).map { Self.task($0) })
      try await bench.admitAll()
      for number in 1...3 {
        #expect(try await bench.record(.stub(number)).status == .ready)
        let claimed = try await bench.claim(limit: 9, token: Int64(number))
        #expect(claimed.map(\.id) == [.stub(number)])
        try await bench.admitAll()
        #expect(try await bench.claim(limit: 9, token: 99).isEmpty)
        try await bench.finish(claimed[0].lease, .success)
        try await bench.admitAll()
      }
      #expect(try await bench.countsByStatus() == [.success: 3])
      #expect(try await bench.events(.stub(2)).map(\.type) == [.received, .ready, .started, .succeeded])
    }
  }

  @Test(arguments: stores)
  func `every key has slots of its own, in every queue`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([
        Self.task(1), Self.task(2), Self.task(3, key: "b"), Self.task(4, queue: "other"), Self.task(5, key: nil),
        Self.task(6, key: "A"),
      ])
      try await bench.admitAll()
      let claimed = try await bench.claim(limit: 9, queues: ["*"])
      #expect(Set(claimed.map(\.id)) == [.stub(1), .stub(3), .stub(4), .stub(5), .stub(6)])
    }
  }

  @Test(arguments: stores)
  func `a queue's concurrencyPerKey is how many run at once`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.concurrencyPerKey = .value(3) }
      try await bench.submit((1...9).map { Self.task($0) })
      try await bench.admitAll()
      let first = try await bench.claim(limit: 9)
      #expect(first.map(\.id) == [.stub(1), .stub(2), .stub(3)])
      try await bench.set { $0.concurrencyPerKey = .value(4) }
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 8).map(\.id) == [.stub(4)])
      try await bench.set { $0.concurrencyPerKey = .value(1) }
      for task in first { try await bench.finish(task.lease, .success) }
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 9).isEmpty, "one still runs")
      try await bench.set { $0.concurrencyPerKey = .none }
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 10).count == 5)
    }
  }

  @Test(arguments: stores)
  func `the next of a key is the most urgent one`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([Self.task(1)])
      try await bench.admitAll()
      try await bench.submit([Self.task(2), Self.task(3, priority: 9), Self.task(4, priority: 1)])
      var order: [TaskID] = []
      for number in 1...4 {
        try await bench.admitAll()
        let task = try await bench.claimOne(token: Int64(number))
        order.append(task.id)
        try await bench.finish(task.lease, .success)
      }
      #expect(order == [.stub(1), .stub(3), .stub(2), .stub(4)])
    }
  }

  @Test(arguments: stores)
  func `however an attempt ends, the slot is the next one's`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...7).map { Self.task($0) })
      let outcomes: [Outcome] = [
        .success, .failed(.stub, .giveUp(.nonRetryable)), .failed, .snoozed(.seconds(600)),
        .cancelled,
      ]
      for (index, outcome) in outcomes.enumerated() {
        try await bench.admitAll()
        let task = try await bench.claimOne(token: Int64(index + 1))
        #expect(task.id == .stub(index + 1))
        try await bench.finish(task.lease, outcome)
      }
      try await bench.admitAll()
      let lost = try await bench.claimOne(token: 50)
      #expect(lost.id == .stub(6))
      bench.advance(.seconds(31))
      try await bench.rescue()
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 51).map(\.id) == [.stub(7)])
    }
  }

  @Test(arguments: stores)
  func `a task that is given back takes its place in the line again`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([Self.task(1), Self.task(2)])
      try await bench.admitAll()
      let task = try await bench.claimOne()
      try await bench.finish(task.lease, .released)
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 8).map(\.id) == [.stub(1)])
      #expect(try await bench.claim(limit: 9, token: 9).isEmpty)
    }
  }

  @Test(arguments: stores)
  func `who leaves the line leaves its slot`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...5).map { Self.task($0) })
      try await bench.admitAll()
      try await bench.steer(.cancel, .stub(1))
      try await bench.admitAll()
      try await bench.steer(.patch(TaskPatch(available: .after(.seconds(60)))), .stub(2))
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9).map(\.id) == [.stub(3)])
      try await bench.steer(.cancel, .stub(4))  // has none
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 8).isEmpty)
      bench.advance(.seconds(60))
      try await bench.promote()
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 9).isEmpty, "the slot is the third one's still")
    }
  }

  @Test(arguments: stores)
  func `expiry frees a slot, and takes those out of the line that have none`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var first = Self.task(1)
      first.expiresAt = bench.now + .seconds(10)
      var second = Self.task(2)
      second.expiresAt = bench.now + .seconds(10)
      try await bench.submit([first, second, Self.task(3)])
      try await bench.admitAll()
      bench.advance(.seconds(10))
      try await bench.promote()
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9).map(\.id) == [.stub(3)])
      #expect(try await bench.countsByStatus() == [.cancelled: 2, .running: 1])
    }
  }

  @Test(arguments: stores)
  func `delays, dependencies and retries lead into the line`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var child = Self.task(3)
      child.dependencies = [.stub(1)]
      try await bench.submit([Self.task(1), Self.task(2, eligible: .after(.seconds(5))), child])
      try await bench.admitAll()
      let first = try await bench.claimOne()
      bench.advance(.seconds(5))
      try await bench.promote()
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 8).isEmpty)
      try await bench.finish(first.lease, .success)
      try await bench.settleAll()
      try await bench.admitAll()
      let second = try await bench.claim(limit: 9, token: 9)
      #expect(second.count == 1)
      try await bench.finish(second[0].lease, .failed(.stub, .giveUp(.nonRetryable)))
      try await bench.steer(.retry, second[0].id)
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 10).count == 1)
      #expect(try await bench.claim(limit: 9, token: 11).isEmpty)
    }
  }

  @Test(arguments: stores)
  func `a tenant with many tasks does not hold back one with few`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...500).map { Self.task($0, key: "big", priority: 9) })
      try await bench.submit((501...505).map { Self.task($0, key: "small-\($0)", priority: 1) })
      try await bench.admitAll()
      let claimed = try await bench.claim(limit: 99)
      #expect(Set(claimed.map(\.id)) == Set([.stub(1)] + (501...505).map { .stub($0) }))
    }
  }

  @Test(arguments: stores)
  func `one that nobody takes gives way to another type`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([
        Self.task(1, type: "nobodys"), Self.task(2, type: "nobodys"), Self.task(3, type: "nobodys-either"),
        Self.task(4),
      ])
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9).isEmpty)
      let next = try await bench.store.admit(limit: 100)
      #expect(next.nextIn.map { $0 <= Admission.patience } == true)
      for _ in 0..<2 {
        bench.advance(.seconds(1))
        try await bench.admitAll()
      }
      #expect(try await bench.claim(limit: 9).map(\.id) == [.stub(4)])
      #expect(try await bench.claim(limit: 9, types: ["nobodys", "nobodys-either"], token: 8).isEmpty)
    }
  }

  @Test(arguments: stores)
  func `the next turn is that of the type that has not had to give way for longest`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let types = ["x", "y", "z"]
      for queue in ["q0", "q1", "q2", "q3"] {
        try await bench.submit(types.indices.map { Self.task($0 + 1, in: queue, type: types[$0]) })
      }
      for (turn, type) in ["x", "y", "z", "x"].enumerated() {
        if turn > 0 { bench.advance(.seconds(1)) }
        #expect(try await bench.admitAll() == .seconds(1), "somebody waits for the slot of one that nobody takes")
        #expect(try await bench.claim(limit: 9, types: types, queues: ["q\(turn)"]).map(\.type) == [type])
      }
      bench.advance(.seconds(10))
      #expect(try await bench.admitAll() == nil, "all have been taken")
    }
  }

  @Test(arguments: stores)
  func `who is taken in time gives way to nobody`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([Self.task(1), Self.task(2, type: "other"), Self.task(3)])
      try await bench.admitAll()
      bench.advance(.milliseconds(999))
      try await bench.admitAll()
      let task = try await bench.claimOne()
      bench.advance(.seconds(10))
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, types: ["resize", "other"], token: 8).isEmpty)
      try await bench.finish(task.lease, .success)
      try await bench.admitAll()
      bench.advance(.seconds(10))
      try await bench.steer(.cancel, .stub(3))
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, types: ["other"], token: 9).map(\.id) == [.stub(2)])
    }
  }

  @Test(arguments: stores)
  func `keys are told apart by their bytes`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      // The same letter, and the same text to Swift: composed, and as a letter and its accent.
      try await bench.submit([Self.task(1, key: "\u{E9}"), Self.task(2, key: "e\u{301}"), Self.task(3, key: "\u{E9}")])
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9).map(\.id) == [.stub(1), .stub(2)])
    }
  }

  @Test(arguments: stores)
  func `what waits for a slot is READY for all who count and ask`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let first = bench.now
      try await bench.submit([Self.task(1)])
      try await bench.admitAll()
      _ = try await bench.claimOne()
      bench.advance(.seconds(5))
      try await bench.submit([Self.task(2), Self.task(3)])
      bench.advance(.seconds(5))
      try await bench.submit([Self.task(4, key: nil)])
      #expect(try await bench.countsByStatus() == [.running: 1, .ready: 3])
      #expect(try await bench.store.oldestReady() == ["default": first + .seconds(5)])
      #expect(try await bench.list(.ready).count == 3)
    }
  }

  @Test(arguments: stores)
  func `tasks of a paused type do not take the slots of a key`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set(type: "paused") { $0.isPaused = true }
      try await bench.submit([Self.task(1, type: "paused"), Self.task(2)])
      try await bench.admitAll()
      let task = try await bench.claimOne()
      #expect(task.id == .stub(2))
      try await bench.set(type: "paused") { $0.isPaused = false }
      try await bench.finish(task.lease, .success)
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, types: ["paused"], token: 8).map(\.id) == [.stub(1)])
    }
  }

  @Test(arguments: stores)
  func `deleted tasks leave nothing behind`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([Self.task(1), Self.task(2)])
      try await bench.admitAll()
      try await bench.finish(try await bench.claimOne().lease, .success)
      bench.advance(.seconds(100))
      let policy = RetentionPolicy(success: .seconds(10), dead: nil, cancelled: nil, keys: .zero)
      #expect(try await bench.store.prune(policy, limit: 10) == 1)
      try await bench.admitAll()
      #expect(try await bench.claim(limit: 9, token: 8).map(\.id) == [.stub(2)])
    }
  }

  @Test(arguments: stores)
  func `four workers at once never run more than the slots of a key`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.set { $0.concurrencyPerKey = .value(2) }
      try await bench.submit((1...120).map { Self.task($0, key: "k\($0 % 3)") })
      var running: [ClaimedTask] = []
      // A database under load takes its time for each call.
      for round in 0..<(store.name == "postgres" ? 8 : 25) {
        let claimed = try await withThrowingTaskGroup(of: [ClaimedTask].self) { group in
          for worker in 0..<4 {
            group.addTask {
              _ = try await bench.store.admit(limit: 100)
              return try await bench.claim(limit: 4, worker: "w\(worker)", token: Int64(round * 4 + worker + 1))
            }
          }
          return try await group.reduce(into: []) { $0 += $1 }
        }
        running += claimed
        let byKey = Dictionary(grouping: running) { $0.payloadKey }
        #expect(byKey.values.allSatisfy { $0.count <= 2 })
        let done = running.prefix(3)
        for task in done { try await bench.finish(task.lease, round % 4 == 0 ? .released : .success) }
        running.removeFirst(done.count)
      }
      #expect(!running.isEmpty)
    }
  }
}

extension ConcurrencyKeyTests {
  /// The numbers of a queue's tasks are its own.
  fileprivate static func task(_ number: Int, in queue: String, type: String) -> AcceptedTask {
    task(number + 1000 * Int(queue.utf8.last ?? 0), type: type, queue: queue)
  }
}

extension StoreBench {
  fileprivate func list(_ status: TaskStatus) async throws -> [TaskRecord] {
    var query = TaskQuery()
    query.statuses = [status]
    return try await listAll(query)
  }
}

extension ClaimedTask {
  /// The stub's number modulo the three keys of the test above.
  fileprivate var payloadKey: UInt64 { (id.high >> 16) % 3 }
}
