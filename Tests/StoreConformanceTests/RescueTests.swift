// What happens to tasks whose workers fell silent, and that these come too late when they speak again.

import MartletCore
import MartletTestKit
import Testing

@Suite struct RescueTests {
  @Test(arguments: stores)
  func `a lease is taken at its end and not before`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.running()
      bench.advance(.milliseconds(29_999))
      #expect(try await bench.rescue() == Rescue(rescued: [], isPartial: false))
      #expect(try await bench.record().status == .running)
      bench.advance(.milliseconds(1))
      #expect(try await bench.rescue().rescued.count == 1)
    }
  }

  @Test(arguments: stores)
  func `a silent worker's attempt is LOST, counts, and is retried with backoff`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.running(.stub(type: "resize", queue: "slow"))
      var expected = try await bench.record()
      bench.advance(.seconds(31))
      let now = start + .seconds(31)
      let lane = Lane(queue: "slow", type: "resize")
      #expect(
        try await bench.rescue()
          == Rescue(rescued: [.init(id: .stub(1), lane: lane, outcome: .lost, status: .retry)], isPartial: false))
      expected.status = .retry
      expected.availableAt = now + .seconds(1)
      expected.lastError = Outcome.lost.error
      expected.updatedAt = now
      expected.sequence = 5
      #expect(try await bench.record() == expected)
      #expect(
        try await bench.events().suffix(2) == [
          event(4, .failed, now, by: "rescuer", "LOST"), event(5, .retry, now, by: "rescuer"),
        ])
      #expect(
        try await bench.attempts() == [
          AttemptRecord(
            number: 1, worker: "worker-1", startedAt: start, finishedAt: now, outcome: .lost, error: Outcome.lost.error,
            logs: [])
        ])
    }
  }

  @Test(arguments: stores)
  func `an attempt past its timeout is TIMED_OUT, one short of it LOST`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(1, timeout: .seconds(20), lease: .seconds(30)),
        .stub(2, timeout: .milliseconds(20_001), lease: .seconds(20)))
      _ = try await bench.claim(limit: 2)
      bench.advance(.seconds(20))
      let rescued = try await bench.rescue().rescued
      #expect(rescued.map(\.id) == [.stub(1), .stub(2)])
      #expect(rescued.map(\.outcome) == [.timedOut, .lost])
      #expect(try await bench.record(.stub(1)).lastError == Outcome.timedOut.error)
      #expect(
        try await bench.events(.stub(1)).suffix(2) == [
          event(4, .failed, bench.now, by: "rescuer", "TIMED_OUT"), event(5, .retry, bench.now, by: "rescuer"),
        ])
    }
  }

  @Test(arguments: stores)
  func `a lease that ended early is TIMED_OUT if the rescuer comes after the timeout`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      _ = try await bench.running(.stub(timeout: .seconds(60), lease: .seconds(10)))
      bench.advance(.seconds(60))
      #expect(try await bench.rescue().rescued.map(\.outcome) == [.timedOut])
    }
  }

  @Test(arguments: stores)
  func `a task that kills its workers ends DEAD`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(retries: 2))
      var statuses: [TaskStatus] = []
      for _ in 1...3 {
        _ = try await bench.claimOne()
        bench.advance(.seconds(30))
        statuses += try await bench.rescue().rescued.map(\.status)
        bench.advance(.seconds(1))
        try await bench.promote()
      }
      #expect(statuses == [.retry, .retry, .dead])
      let task = try await bench.record()
      #expect(task.reason == .retriesExhausted)
      #expect(task.finishedAt == bench.now + .seconds(-1))
      #expect(
        try await bench.events().last == event(13, .dead, bench.now + .seconds(-1), by: "rescuer", "RETRIES_EXHAUSTED"))
    }
  }

  @Test(arguments: stores)
  func `a task whose cancellation was asked for is CANCELLED by the rescuer`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.running()
      try await bench.steer(.cancel)
      bench.advance(.seconds(30))
      #expect(try await bench.rescue().rescued.map(\.status) == [.cancelled])
      #expect(try await bench.record().reason == .requested)
      #expect(
        try await bench.events().suffix(2) == [
          event(5, .failed, bench.now, by: "rescuer", "LOST"),
          event(6, .cancelled, bench.now, by: "rescuer", "REQUESTED"),
        ])
    }
  }

  @Test(arguments: stores)
  func `the jitter of a rescued task is that of the call's randomness`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      _ = try await bench.running(.stub(backoff: RetryPolicy(strategy: .fixed, baseSeconds: 100, jitter: 0.5)))
      bench.advance(.seconds(30))
      try await bench.rescue(randomness: 0.5)
      #expect(try await bench.record().availableAt == bench.now + .seconds(75))
    }
  }

  @Test(arguments: stores)
  func `a lease taken by the rescuer refuses whatever the old worker reports`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      bench.advance(.seconds(30))
      try await bench.rescue()
      let task = try await bench.record()
      let attempts = try await bench.attempts()
      for outcome in [Outcome.success, .failed, .timedOut, .cancelled, .snoozed(.seconds(1)), .released] {
        #expect(try await bench.finish(claimed.lease, outcome, logs: ["zombie"]) == .lost)
      }
      #expect(try await bench.record() == task)
      #expect(try await bench.attempts() == attempts)
    }
  }

  @Test(arguments: stores)
  func `a report of the timeout after the rescuer's own is lost too`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(timeout: .seconds(10)))
      bench.advance(.seconds(10))
      #expect(try await bench.rescue().rescued.map(\.outcome) == [.timedOut])
      #expect(try await bench.finish(claimed.lease, .timedOut) == .lost)
      bench.advance(.seconds(1))
      try await bench.promote()
      _ = try await bench.claimOne()
      #expect(try await bench.finish(claimed.lease, .timedOut) == .lost)
    }
  }

  @Test(arguments: stores)
  func `an old worker cannot end the attempt of the next, even under the same token`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let old = try await bench.running(token: 5)
      bench.advance(.seconds(30))
      try await bench.rescue()
      bench.advance(.seconds(1))
      try await bench.promote()
      let new = try await bench.claimOne(worker: "worker-2", token: 5)
      let running = try await bench.record()
      #expect(try await bench.finish(old.lease, .success(result: Array("0".utf8))) == .lost)
      #expect(try await bench.record() == running)
      #expect(try await bench.finish(new.lease, .success(result: Array("1".utf8))) == .applied(.success))
      #expect(try await bench.record().result == Array("1".utf8))
    }
  }

  @Test(arguments: stores)
  func `a task that has ended is never rescued`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for status in TaskStatus.allCases where status != .running {
        if status != .ready { try await bench.bring(.stub(status.number), to: status) }
      }
      try await bench.submit(.stub(TaskStatus.ready.number))
      let before = try await bench.listAll(TaskQuery())
      bench.advance(.seconds(86_400))
      #expect(try await bench.rescue() == Rescue(rescued: [], isPartial: false))
      #expect(try await bench.listAll(TaskQuery()) == before)
    }
  }

  @Test(arguments: stores)
  func `those whose leases ended first are rescued first, within the limit`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(1, lease: .seconds(30)), .stub(2, lease: .seconds(10)), .stub(3, lease: .seconds(20)),
        .stub(4, lease: .seconds(10)), .stub(5, lease: .seconds(60)))
      let claimed = try await bench.claim(limit: 5)
      bench.advance(.seconds(9))
      _ = try await bench.renew(claimed[1].lease)  // 2 ends at 19 now
      bench.advance(.seconds(31))
      let first = try await bench.rescue(limit: 2)
      #expect(first.rescued.map(\.id) == [.stub(4), .stub(2)])
      #expect(first.isPartial)
      let second = try await bench.rescue(limit: 2)
      #expect(second.rescued.map(\.id) == [.stub(3), .stub(1)])
      #expect(!second.isPartial)
      #expect(try await bench.rescue(limit: 2) == Rescue(rescued: [], isPartial: false))
      #expect(try await bench.countsByStatus() == [.retry: 4, .running: 1])
    }
  }

  @Test(arguments: stores)
  func `tasks claimed in one call are rescued each at its own end`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...4).map { .stub($0, lease: .seconds($0 * 10)) })
      let claimed = try await bench.claim(limit: 4)
      try await bench.finish(claimed[1].lease, .success)
      var rescued: [[TaskID]] = []
      for _ in 1...5 {
        bench.advance(.seconds(10))
        rescued.append(try await bench.rescue().rescued.map(\.id))
      }
      #expect(rescued == [[.stub(1)], [], [.stub(3)], [.stub(4)], []])
    }
  }

  @Test(arguments: stores)
  func `a lease renewed again and again is rescued when the renewals end`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running()
      for _ in 1...6 {
        bench.advance(.seconds(25))
        _ = try await bench.renew(claimed.lease)
        #expect(try await bench.rescue().rescued == [])
      }
      bench.advance(.seconds(29))
      #expect(try await bench.rescue().rescued == [])
      bench.advance(.seconds(1))
      #expect(try await bench.rescue().rescued.map(\.outcome) == [.lost])
    }
  }
}
