// What becomes READY when its time has come, and what is cancelled because its time is over.

import MartletCore
import MartletTestKit
import Testing

@Suite struct PromoteTests {
  @Test(arguments: stores)
  func `a PENDING task becomes READY at its time and not before`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(eligible: .after(.seconds(10))))
      var expected = try await bench.record()
      bench.advance(.milliseconds(9_999))
      #expect(
        try await bench.promote() == Promotion(promoted: 0, expired: 0, lanes: [], nextIn: .milliseconds(1)))
      #expect(try await bench.record() == expected)
      bench.advance(.milliseconds(2))
      let lane = Lane(queue: "default", type: "resize")
      #expect(try await bench.promote() == Promotion(promoted: 1, expired: 0, lanes: [lane], nextIn: nil))
      expected.status = .ready
      expected.updatedAt = bench.now
      expected.sequence = 2
      #expect(try await bench.record() == expected)  // availableAt stays when it was
      #expect(try await bench.events().last == event(2, .ready, bench.now, by: "scheduler"))
    }
  }

  @Test(arguments: stores)
  func `a task in RETRY becomes READY when its backoff is over`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.finish(try await bench.running().lease, .failed)
      bench.advance(.milliseconds(999))
      #expect(try await bench.promote().promoted == 0)
      bench.advance(.milliseconds(1))
      #expect(try await bench.promote().promoted == 1)
      #expect(try await bench.record().status == .ready)
      #expect(try await bench.events().last == event(6, .ready, bench.now, by: "scheduler"))
      #expect(try await bench.claimOne().attempt == 2)
    }
  }

  @Test(arguments: stores)
  func `a snoozed task becomes READY when its snooze is over`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.finish(try await bench.running().lease, .snoozed(.seconds(5)))
      bench.advance(.seconds(4))
      #expect(try await bench.promote().nextIn == .seconds(1))
      bench.advance(.seconds(1))
      #expect(try await bench.promote().promoted == 1)
      #expect(try await bench.claimOne().readyAt == bench.now)
    }
  }

  @Test(arguments: stores)
  func `those due longest are promoted first, within the limit`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(1, eligible: .after(.seconds(3))), .stub(2, priority: 9, eligible: .after(.seconds(2))),
        .stub(3, eligible: .after(.seconds(1))), .stub(4, eligible: .after(.seconds(1))),
        .stub(5, eligible: .after(.seconds(60))))
      bench.advance(.seconds(10))
      #expect(try await bench.promote(limit: 2).promoted == 2)
      #expect(try await ids(.ready, bench) == [.stub(3), .stub(4)])
      #expect(try await bench.promote(limit: 1).promoted == 1)
      #expect(try await ids(.ready, bench) == [.stub(2), .stub(3), .stub(4)])
    }
  }

  @Test(arguments: stores)
  func `the next is due at once when the limit cut the call short, and only then`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...3).map { .stub($0, eligible: .after(.seconds(1))) })
      try await bench.submit(.stub(4, eligible: .after(.seconds(60))))
      bench.advance(.seconds(10))
      #expect(try await bench.promote(limit: 2).nextIn == .zero)
      #expect(try await bench.promote(limit: 1).nextIn == .seconds(50))  // just enough: nothing was left behind
      #expect(try await bench.promote(limit: 1).nextIn == .seconds(50))
    }
  }

  @Test(arguments: stores)
  func `the lanes are those where READY tasks appeared`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      func later(_ number: Int, _ type: String, _ queue: String, _ seconds: Int) -> AcceptedTask {
        .stub(number, type: type, queue: queue, eligible: .after(.seconds(seconds)))
      }
      try await bench.submit(
        later(1, "x", "a", 1), later(2, "x", "a", 1), later(3, "y", "a", 1), later(4, "x", "b", 1),
        later(5, "y", "b", 9),
        .stub(6, type: "y", queue: "b"))
      bench.advance(.seconds(1))
      #expect(
        try await bench.promote().lanes == [
          Lane(queue: "a", type: "x"), Lane(queue: "a", type: "y"), Lane(queue: "b", type: "x"),
        ])
      #expect(try await bench.promote().lanes == [])
    }
  }

  @Test(arguments: stores)
  func `the next is whatever is due or expires first, and nothing where nothing waits`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let empty = try await bench.promote()
      #expect(empty == Promotion(promoted: 0, expired: 0, lanes: [], nextIn: nil))
      try await bench.submit(.stub(1))
      #expect(try await bench.promote().nextIn == nil)  // READY already, and does not expire
      try await bench.submit(.stub(2, eligible: .after(.seconds(90))))
      #expect(try await bench.promote().nextIn == .seconds(90))
      try await bench.submit(.stub(3, eligible: .after(.seconds(95)), expiresAt: start + .seconds(70)))
      #expect(try await bench.promote().nextIn == .seconds(70))
      try await bench.submit(.stub(4, priority: 9, expiresAt: start + .seconds(40)))
      #expect(try await bench.promote().nextIn == .seconds(40))
      // Once started it does not expire any more, neither while it runs nor when it waits again.
      let claimed = try await bench.claimOne()
      #expect(claimed.id == .stub(4))
      #expect(try await bench.promote().nextIn == .seconds(70))
      try await bench.finish(claimed.lease, .failed)
      #expect(try await bench.promote().nextIn == .seconds(1))
      bench.advance(.seconds(1))
      #expect(try await bench.promote().nextIn == .seconds(69))
    }
  }

  @Test(arguments: stores)
  func `waiting tasks never started are cancelled at their expiry`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let expiry = start + .seconds(10)
      try await bench.submit(
        .stub(1, expiresAt: expiry), .stub(2, eligible: .after(.seconds(60)), expiresAt: expiry),
        .stub(3, expiresAt: expiry + .milliseconds(1)))
      var expected = try await bench.record(.stub(2))
      bench.advance(.milliseconds(9_999))
      #expect(try await bench.promote().expired == 0)
      bench.advance(.milliseconds(1))
      #expect(
        try await bench.promote() == Promotion(promoted: 0, expired: 2, lanes: [], nextIn: .milliseconds(1)))
      expected.status = .cancelled
      expected.reason = .expired
      expected.finishedAt = expiry
      expected.updatedAt = expiry
      expected.sequence = 2
      #expect(try await bench.record(.stub(2)) == expected)
      #expect(try await bench.events(.stub(1)).last == event(3, .cancelled, expiry, by: "scheduler", "EXPIRED"))
      #expect(try await bench.events(.stub(2)).last == event(2, .cancelled, expiry, by: "scheduler", "EXPIRED"))
      #expect(try await bench.countsByStatus() == [.cancelled: 2, .ready: 1])
    }
  }

  @Test(arguments: stores)
  func `a task that is due and past its expiry is cancelled, not promoted`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(eligible: .after(.seconds(5)), expiresAt: start + .seconds(10)))
      bench.advance(.seconds(10))
      #expect(try await bench.promote() == Promotion(promoted: 0, expired: 1, lanes: [], nextIn: nil))
      #expect(try await bench.record().reason == .expired)
    }
  }

  @Test(arguments: stores)
  func `a task once started is promoted after its expiry`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...2).map { .stub($0, expiresAt: start + .seconds(10)) })
      let claimed = try await bench.claim(limit: 2)
      try await bench.finish(claimed[0].lease, .failed)
      try await bench.finish(claimed[1].lease, .snoozed(.seconds(20)))
      bench.advance(.seconds(30))
      let promotion = try await bench.promote()
      #expect(promotion.promoted == 2)
      #expect(promotion.expired == 0)
    }
  }

  @Test(arguments: stores)
  func `no more tasks expire in one call than its limit`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(1, expiresAt: start + .seconds(3)), .stub(2, expiresAt: start + .seconds(1)),
        .stub(3, eligible: .after(.seconds(60)), expiresAt: start + .seconds(2)))
      bench.advance(.seconds(10))
      let first = try await bench.promote(limit: 2)
      #expect(first.expired == 2)
      #expect(first.nextIn == .zero)
      #expect(try await ids(.cancelled, bench) == [.stub(2), .stub(3)])
      #expect(try await bench.promote(limit: 2) == Promotion(promoted: 0, expired: 1, lanes: [], nextIn: nil))
    }
  }

  private func ids(_ status: TaskStatus, _ bench: StoreBench) async throws -> [TaskID] {
    var query = TaskQuery()
    query.statuses = [status]
    return try await bench.listAll(query).map(\.id).sorted()
  }
}
