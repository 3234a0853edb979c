// What retention removes, and what it must not touch.

import MartletCore
import MartletTestKit
import Testing

@Suite struct PruneTests {
  static let all = RetentionPolicy(success: .seconds(10), dead: .seconds(20), cancelled: .seconds(30))

  @Test(arguments: stores)
  func `each final status is kept for its own time, to the millisecond`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for status in [TaskStatus.success, .dead, .cancelled] { try await bench.bring(.stub(status.number), to: status) }
      for (status, seconds) in [(TaskStatus.success, 10), (.dead, 20), (.cancelled, 30)] {
        bench.time.set(start + .milliseconds(seconds * 1000 - 1))
        #expect(try await bench.store.prune(Self.all, limit: 10) == 0)
        #expect(try await bench.record(.stub(status.number)).status == status)
        bench.advance(.milliseconds(1))
        #expect(try await bench.store.prune(Self.all, limit: 10) == 1)
        #expect(try await bench.store.tasks([.stub(status.number)]) == [nil])
      }
    }
  }

  @Test(arguments: stores, [TaskStatus.success, .dead, .cancelled])
  func `a status without a retention is kept for ever`(store: StoreUnderTest, status: TaskStatus) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: status)
      bench.advance(.seconds(1_000_000_000))
      let policy = RetentionPolicy(
        success: status == .success ? nil : .zero, dead: status == .dead ? nil : .zero,
        cancelled: status == .cancelled ? nil : .zero)
      #expect(try await bench.store.prune(policy, limit: 10) == 0)
      #expect(try await bench.record().status == status)
    }
  }

  @Test(arguments: stores)
  func `a task that is not final is never pruned`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let statuses: [TaskStatus] = [.pending, .running, .retry, .ready]
      for status in statuses { try await bench.bring(.stub(status.number), to: status) }
      bench.advance(.seconds(1_000_000_000))
      let policy = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero)
      #expect(try await bench.store.prune(policy, limit: 10) == 0)
      #expect(try await bench.countsByStatus() == [.pending: 1, .ready: 1, .running: 1, .retry: 1])
    }
  }

  @Test(arguments: stores)
  func `the time counts from the end, not from the beginning`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(1))
      bench.advance(.seconds(3600))
      try await bench.finish(claimed.lease, .success)
      #expect(try await bench.store.prune(Self.all, limit: 10) == 0)
      bench.advance(.seconds(10))
      #expect(try await bench.store.prune(Self.all, limit: 10) == 1)
    }
  }

  @Test(arguments: stores)
  func `a task retried by hand is no longer final, and its time begins anew`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: .dead)
      bench.advance(.seconds(19))
      try await bench.steer(.retry)
      bench.advance(.seconds(19))
      #expect(try await bench.store.prune(Self.all, limit: 10) == 0)
      try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
      bench.advance(.seconds(19))
      #expect(try await bench.store.prune(Self.all, limit: 10) == 0)
      bench.advance(.seconds(1))
      #expect(try await bench.store.prune(Self.all, limit: 10) == 1)
    }
  }

  @Test(arguments: stores)
  func `the oldest go first, within the limit`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...5).map { .stub($0) })
      for number in [4, 2, 5, 1, 3] {  // ended in another order than submitted
        try await bench.steer(.cancel, .stub(number))
        bench.advance(.seconds(1))
      }
      bench.advance(.seconds(60))
      #expect(try await bench.store.prune(Self.all, limit: 2) == 2)
      #expect(try await bench.listAll(TaskQuery()).map(\.id) == [5, 4, 3].map { TaskID.stub($0) })
      #expect(try await bench.store.prune(Self.all, limit: 0) == 0)
      #expect(try await bench.store.prune(Self.all, limit: 10) == 3)
      #expect(try await bench.store.prune(Self.all, limit: 10) == 0)
      #expect(try await bench.store.counts() == [])
    }
  }

  @Test(arguments: stores)
  func `all of a pruned task's history goes with it, and nothing of another's`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let first = try await bench.running(.stub(1))
      try await bench.finish(first.lease, .success(result: Array("1".utf8)), logs: ["gone"])
      let second = try await bench.running(.stub(2))
      try await bench.finish(second.lease, .failed, logs: ["kept"])
      try await bench.steer(.cancel, .stub(2))
      let events = try await bench.events(.stub(2))
      bench.advance(.seconds(10))
      #expect(try await bench.store.prune(Self.all, limit: 10) == 1)
      #expect(try await bench.store.events(of: .stub(1)) == nil)
      #expect(try await bench.store.attempts(of: .stub(1)) == nil)
      #expect(try await bench.steer(.retry, .stub(1)) == .notFound)
      #expect(try await bench.finish(first.lease, .success(result: Array("1".utf8))) == .lost)
      #expect(try await bench.countsByStatus() == [.cancelled: 1])
      #expect(try await bench.events(.stub(2)) == events)
      #expect(try await bench.attempts(.stub(2)).map(\.logs) == [["kept"]])
    }
  }

  @Test(arguments: stores)
  func `nothing of a pruned task is left for one of the same id`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(1, metadata: ["k": "v"]))
      try await bench.steer(.patch(TaskPatch(priority: 1)))
      try await bench.finish(claimed.lease, .success(result: Array("1".utf8)), logs: ["old"])
      bench.advance(.seconds(10))
      #expect(try await bench.store.prune(Self.all, limit: 10) == 1)
      try await bench.submit(.stub(1))
      #expect(try await bench.record() == TaskRecord(.stub(1), acceptedAt: bench.now))
      #expect(try await bench.events().count == 2)
      #expect(try await bench.attempts() == [])
    }
  }

  @Test(arguments: stores.filter(\.isPersistent))
  func `one call comes to a task behind very many older ones that are kept`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for start in stride(from: 1, through: 20_001, by: 1000) {
        try await bench.submit((start..<start + 1000).map { .stub($0) })
      }
      try await bench.steer(.cancel, .stub(21_000))
      bench.advance(.seconds(60))
      #expect(try await bench.store.prune(Self.all, limit: 10) == 1)
      #expect(try await bench.store.prune(Self.all, limit: 10) == 0)
    }
  }

  @Test(arguments: stores)
  func `a task of this millisecond goes at once where nothing is to be kept`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var task = AcceptedTask.stub(1)
      task.id = TaskIDGenerator(random: RandomSource(seed: 1)).next(at: bench.now)
      try await bench.submit(task)
      try await bench.steer(.cancel, task.id)
      let none = RetentionPolicy(success: .zero, dead: nil, cancelled: .zero)
      let forEver = RetentionPolicy(success: nil, dead: nil, cancelled: nil)
      #expect(try await bench.store.prune(forEver, limit: 10) == 0)
      #expect(try await bench.store.prune(none, limit: 10) == 1)
    }
  }
}
