// Retention told: what goes, what is kept, and all that keeps it.

import MartletCore
import MartletTestKit
import Testing

@Suite struct SweepTests {
  static let none = RetentionPolicy(success: .zero, dead: .zero, cancelled: .zero, keys: .seconds(60))

  @Test(arguments: stores, [false, true])
  func `a sweep counts by status and type what is past its time, and deletes it only if it is to`(
    store: StoreUnderTest, deletes: Bool
  ) async throws {
    try await store.onBench { bench in
      for (number, status) in [(1, TaskStatus.success), (2, .dead), (3, .cancelled), (4, .success), (5, .ready)] {
        try await bench.bring(.stub(number), to: status)
      }
      bench.advance(.seconds(20))
      let page = try await bench.store.sweep(PruneTests.all, after: nil, limit: 100, deletes: deletes)
      #expect(page.next == nil)
      #expect(page.counts == [.of(.success, count: 2), .of(.dead)])
      let left: [TaskStatus: Int] =
        deletes ? [.cancelled: 1, .ready: 1] : [.success: 2, .dead: 1, .cancelled: 1, .ready: 1]
      #expect(try await bench.countsByStatus() == left)
    }
  }

  @Test(arguments: stores)
  func `what is past its time and kept is told with all that keeps it`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var keyed = AcceptedTask.stub(1)
      keyed.idempotencyKey = "order-1"
      keyed.notify = [NoticeTarget(.webhook("https://a.example/x"), on: [.success])]
      let key = IdempotencyKey("order-1", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0])
      _ = try await bench.verdicts([Submission([keyed], keys: [key])])
      try await bench.finish(try await bench.claimOne().lease, .success)
      var child = AcceptedTask.stub(2, eligible: .after(.seconds(1_000_000)))
      child.dependencies = [.stub(1)]
      try await bench.submit(child)
      _ = try await bench.store.attend(to: ["kafka"])
      try await bench.bring(.stub(3), to: .cancelled)
      try await bench.bring(.stub(4), to: .pending)
      bench.advance(.seconds(30))

      let young = try await bench.store.sweep(Self.none, after: nil, limit: 100, deletes: true)
      #expect(
        young.counts == [
          .of(.success, [.dependants, .idempotencyKey, .notices]), .of(.cancelled, [.events]),
        ])
      bench.advance(.seconds(30))
      let old = try await bench.store.sweep(Self.none, after: nil, limit: 100, deletes: true)
      #expect(old.counts == [.of(.success, [.dependants, .notices]), .of(.cancelled, [.events])])
      try await bench.steer(.cancel, .stub(2))
      for notice in try await bench.store.takeNotices(.init(limit: 9, perDestination: 9, hold: .seconds(60))).notices {
        try await bench.store.settleNotices([.init(id: notice.id, attempt: notice.attempts, outcome: .delivered)])
      }
      let free = try await bench.store.sweep(Self.none, after: nil, limit: 100, deletes: true)
      #expect(free.counts == [.of(.success), .of(.cancelled, [.events], count: 2)])
      #expect(try await bench.store.tasks([.stub(1)]) == [nil])
    }
  }

  @Test(arguments: stores)
  func `pages follow each other by the ids of what they looked at, and end`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...7).map { .stub($0) })
      for number in [1, 2, 4, 5, 7] { try await bench.steer(.cancel, .stub(number)) }
      bench.advance(.seconds(60))
      for deletes in [false, true] {
        var counts: [Int] = []
        var cursor: TaskID?
        repeat {
          let page = try await bench.store.sweep(Self.none, after: cursor, limit: 2, deletes: deletes)
          counts.append(page.counts.reduce(0) { $0 + $1.count })
          if let next = page.next, let cursor { #expect(next > cursor) }
          cursor = page.next
        } while cursor != nil
        #expect(counts == [2, 1, 1, 1])
      }
      #expect(try await bench.countsByStatus() == [.ready: 2])
    }
  }

  @Test(arguments: stores)
  func `a sweep of statuses that are kept for ever finds nothing`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: .success)
      bench.advance(.seconds(1_000_000))
      let forEver = RetentionPolicy(success: nil, dead: nil, cancelled: nil)
      let others = RetentionPolicy(success: nil, dead: .zero, cancelled: .zero)
      for policy in [forEver, others] {
        #expect(
          try await bench.store.sweep(policy, after: nil, limit: 10, deletes: true) == SweepPage(counts: [], next: nil))
      }
      #expect(try await bench.countsByStatus() == [.success: 1])
    }
  }
}

extension SweepCount {
  fileprivate static func of(
    _ status: TaskStatus, _ protections: Set<Protection> = [], count: Int = 1
  ) -> SweepCount {
    SweepCount(status: status, type: "resize", protections: protections, count: count)
  }
}
