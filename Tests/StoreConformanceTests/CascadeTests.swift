// Ends that touch many others, and ends that must touch nobody: what becomes of those that wait when a task ends, expires, is
// retried, is cancelled twice or is deleted.

import MartletCore
import MartletTestKit
import Synchronization
import Testing

@Suite struct CascadeTests {
  private static func task(
    _ number: Int, after parents: some Sequence<Int>, policy: DependencyPolicy = .cancel
  ) -> AcceptedTask {
    var task = AcceptedTask.stub(number, retries: 0)
    task.dependencies = parents.map { .stub($0) }
    task.onDependencyFailure = policy
    return task
  }

  @Test(arguments: stores)
  func `a thousand that wait for one all go on when it ends`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([.stub(1)] + (2...1001).map { Self.task($0, after: [1], policy: .hold) })
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.countsByStatus() == [.success: 1, .ready: 1000])
      #expect(try await bench.events(.stub(1001)).map(\.type) == [.received, .ready])
    }
  }

  @Test(arguments: stores)
  func `a wide cascade cancels each once, and releases once who waits for all of it`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit([.stub(1)] + (2...501).map { Self.task($0, after: [1]) })
      try await bench.submit((502...1001).map { Self.task($0, after: [$0 - 500]) })
      try await bench.submit([
        Self.task(1002, after: 2...1001, policy: .run), Self.task(1003, after: 2...1001, policy: .hold),
      ])
      try await bench.steer(.cancel)
      try await bench.settleAll()
      #expect(try await bench.countsByStatus() == [.cancelled: 1001, .ready: 1, .pending: 1])
      for number in [2, 501, 502, 1001] {
        #expect(try await bench.events(.stub(number)).map(\.type) == [.received, .cancelled])
      }
      #expect(try await bench.events(.stub(1002)).map(\.type) == [.received, .ready])
    }
  }

  @Test(arguments: stores)
  func `a long cascade reaches its end`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([.stub(1)] + (2...200).map { Self.task($0, after: [$0 - 1]) })
      try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
      try await bench.settleAll()
      #expect(try await bench.countsByStatus() == [.dead: 1, .cancelled: 199])
    }
  }

  @Test(arguments: stores)
  func `what a cascade leaves over is told of`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let heard = Heard()
      bench.store.listen { heard.note($0) }
      try await bench.submit([.stub(1), Self.task(2, after: [1]), Self.task(3, after: [2]), Self.task(4, after: [3])])
      try await bench.steer(.cancel)
      let settled = try await bench.store.settle(limit: 1).cancelled
      #expect(settled == 0 || heard.hints.contains(.unsettled))
    }
  }

  @Test(arguments: stores)
  func `settling when nothing is left over does nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), Self.task(2, after: [1]))
      try await bench.steer(.cancel)
      try await bench.settleAll()
      let before = try await bench.snapshot()
      let settlement = try await bench.store.settle(limit: 100)
      #expect(settlement == Settlement(lanes: [], cancelled: 0, isPartial: false))
      #expect(try await bench.snapshot() == before)
    }
  }

  @Test(arguments: stores)
  func `of two that expire together neither is told of the other`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for (parent, child) in [(1, 2), (4, 3)] {
        var tasks = [Self.task(parent, after: []), Self.task(child, after: [parent])]
        for index in tasks.indices { tasks[index].expiresAt = start + .seconds(10) }
        try await bench.submit(tasks)
      }
      bench.advance(.seconds(10))
      #expect(try await bench.promote().expired == 4)
      try await bench.settleAll()
      for number in 1...4 { #expect(try await bench.record(.stub(number)).reason == .expired) }
    }
  }

  @Test(arguments: stores)
  func `who is cancelled already and cancelled again tells nobody again`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1))
      try await bench.submit(Self.task(2, after: [1]))
      try await bench.steer(.cancel)
      try await bench.settleAll()
      try await bench.steer(.retry, .stub(2))
      try await bench.steer(.cancel)
      try await bench.settleAll()
      #expect(try await bench.record(.stub(2)).status == .pending)
    }
  }

  @Test(arguments: stores)
  func `who went on whatever became of the other is not held back by its retry`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, retries: 0))
      try await bench.submit(Self.task(2, after: [1], policy: .run))
      try await bench.finish(try await bench.claimOne().lease, .failed)
      try await bench.steer(.retry)
      #expect(try await bench.record(.stub(2)).status == .ready)
      for task in try await bench.claim(limit: 2) { try await bench.finish(task.lease, .success) }
      #expect(try await bench.countsByStatus() == [.success: 2])
      #expect(try await bench.events(.stub(2)).count { $0.type == .ready } == 1)
    }
  }

  @Test(arguments: stores)
  func `one that ends twice counts once`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, retries: 0), .stub(2, queue: "other", retries: 0))
      try await bench.submit(Self.task(3, after: [1, 2], policy: .run))
      try await bench.finish(try await bench.claimOne().lease, .failed)
      try await bench.submit(Self.task(4, after: [1, 2], policy: .run))
      try await bench.steer(.retry)
      try await bench.finish(try await bench.claimOne().lease, .failed)
      #expect(try await bench.countsByStatus() == [.dead: 1, .ready: 1, .pending: 2])
      let other = try await bench.claim(queues: ["other"])
      try await bench.finish(try #require(other.first).lease, .success)
      for number in [3, 4] {
        #expect(try await bench.events(.stub(number)).map(\.type) == [.received, .ready])
      }
    }
  }

  @Test(arguments: stores)
  func `what succeeded while a task was cancelled is not waited for once it is retried`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1))
      try await bench.submit(Self.task(2, after: [1]))
      try await bench.steer(.cancel, .stub(2))
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record(.stub(2)).status == .cancelled)
      try await bench.steer(.retry, .stub(2))
      #expect(try await bench.record(.stub(2)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `a task retried by hand does not wait for what was deleted`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), .stub(2))
      try await bench.submit(Self.task(3, after: [1]), Self.task(4, after: [1, 2], policy: .hold))
      try await bench.steer(.cancel)
      bench.advance(.seconds(10))
      for number in [3, 4] {  // final again, but not for long enough to be deleted
        try await bench.steer(.retry, .stub(number))
        try await bench.steer(.cancel, .stub(number))
      }
      let policy = RetentionPolicy(success: nil, dead: nil, cancelled: .seconds(10))
      #expect(try await bench.store.prune(policy, limit: 10) == 1)
      #expect(try await bench.store.tasks([.stub(1)]) == [nil])

      try await bench.steer(.retry, .stub(3))
      try await bench.steer(.retry, .stub(4))
      #expect(try await bench.record(.stub(3)).status == .ready)
      #expect(try await bench.record(.stub(3)).dependencies == [.stub(1)])
      #expect(try await bench.record(.stub(4)).status == .pending)
      try await bench.finish(try await bench.claimOne().lease, .success)
      #expect(try await bench.record(.stub(4)).status == .ready)
    }
  }

  @Test(arguments: stores)
  func `a repeated submission of tasks that wait changes nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: .dead)
      try await bench.submit(.stub(2))
      var batch = [
        Self.task(3, after: [1, 2], policy: .run), Self.task(4, after: [3, 1]), Self.task(5, after: [2], policy: .hold),
      ]
      batch[2].graph = .joinsFirstDependency(orElse: .stub(100))
      try await bench.submit(batch)
      try await bench.settleAll()
      try await bench.finish(try await bench.claimOne().lease, .success)
      let before = try await bench.snapshot()
      bench.advance(.seconds(1))
      #expect(try await bench.verdicts([Submission(batch)]) == [.accepted(at: start)])
      try await bench.settleAll()
      #expect(try await bench.snapshot() == before)
    }
  }

  @Test(arguments: stores)
  func `the key of a batch goes with the first of its tasks that is deleted`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      func batch(_ first: Int, _ fingerprint: UInt8) -> Submission {
        let fingerprint = [UInt8](repeating: fingerprint, count: 32)
        return Submission(
          [.stub(first), .stub(first + 1)], keys: [IdempotencyKey("batch", fingerprint: fingerprint, tasks: [0, 1])])
      }
      _ = try await bench.verdicts([batch(1, 1)])
      try await bench.finish(try await bench.claimOne().lease, .success)
      let policy = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .seconds(60))
      bench.advance(.seconds(59))
      #expect(try await bench.store.prune(policy, limit: 10) == 0)
      bench.advance(.seconds(1))
      #expect(try await bench.store.prune(policy, limit: 10) == 1)
      #expect(try await bench.verdicts([batch(3, 2)]) == [.accepted(at: bench.now)])
    }
  }
}

private final class Heard: Sendable {
  private let all = Mutex<[StoreHint]>([])

  var hints: [StoreHint] { all.withLock(\.self) }

  func note(_ hint: StoreHint) { all.withLock { $0.append(hint) } }
}
