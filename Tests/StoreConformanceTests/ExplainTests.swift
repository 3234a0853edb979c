// What stores know of a task and of those around it.

import MartletCore
import MartletTestKit
import Testing

@Suite struct ExplainTests {
  @Test(arguments: stores, TaskStatus.allCases)
  func `a task in each state is told as it is, without payload and result`(
    store: StoreUnderTest, status: TaskStatus
  ) async throws {
    try await store.onBench { bench in
      try await bench.bring(.stub(1), to: status)
      bench.advance(.seconds(3))
      let facts = try #require(try await bench.store.facts(of: .stub(1)))
      var task = try await bench.record()
      task.payload = nil
      task.result = nil
      #expect(facts.task == task && facts.now == bench.now)
      #expect(facts.leasedUntil == (status == .running ? start + .seconds(30) : nil))
      #expect(facts.unmet == 0 && facts.waitsFor == [] && facts.ahead == 0 && facts.workers == [])
      #expect(facts.limits == ExplainFacts.Limits())
      #expect(try await bench.store.facts(of: .stub(2)) == nil)
    }
  }

  @Test(arguments: stores)
  func `the place in the queue counts all that come before, over all types, and nothing else`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      let tasks: [AcceptedTask] = [
        .stub(1, priority: 9), .stub(2, type: "mail"), .stub(3), .stub(4, queue: "other", priority: 9),
        .stub(5, priority: 1), .stub(6, eligible: .after(.seconds(60)), runAt: nil),
        .stub(7, type: "mail", priority: 6),
      ]
      try await bench.submit(tasks)
      bench.advance(.seconds(1))
      try await bench.submit([.stub(8), .stub(9, type: "fax", priority: 5)])
      func ahead(_ number: Int) async throws -> Int? { try await bench.store.facts(of: .stub(number))?.ahead }
      // 1, 7, then 2 and 3 of the first second, 8 and 9 of the next, 5.
      for (number, expected) in [(1, 0), (7, 1), (2, 2), (3, 3), (8, 4), (9, 5), (5, 6), (4, 0), (6, 0)] {
        #expect(try await ahead(number) == expected, "\(number)")
      }
      // Whoever lost a worker has a place as well.
      _ = try await bench.claimOne()
      #expect(try await ahead(8) == 3)
      bench.advance(.seconds(30))
      try await bench.rescue()
      bench.advance(.seconds(1))
      try await bench.promote()
      #expect(try await ahead(1) == 0)
      #expect(try await ahead(8) == 4)
    }
  }

  @Test(arguments: stores)
  func `the place is exact up to a thousand, and then only known to be further`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...501).map { .stub($0) })
      try await bench.submit((502...1002).map { .stub($0, type: $0 < 1002 ? "mail" : "resize") })
      for (number, expected) in [(1, 0), (1000, 999), (1001, 1000), (1002, nil)] as [(Int, Int?)] {
        #expect(try await bench.store.facts(of: .stub(number))?.ahead == expected)
      }
      _ = try await bench.claimOne()
      #expect(try await bench.store.facts(of: .stub(1002))?.ahead == 1000)
    }
  }

  @Test(arguments: stores)
  func `dependencies still to be met are named, the first twenty of them`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...30).map { .stub($0) })
      var task = AcceptedTask.stub(100)
      task.dependencies = (1...30).reversed().map { .stub($0) }
      try await bench.submit([task])
      for claimed in try await bench.claim(limit: 3) { try await bench.finish(claimed.lease, .success) }
      try await bench.finish(try await bench.claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
      _ = try await bench.claimOne()
      let facts = try #require(try await bench.store.facts(of: .stub(100)))
      #expect(facts.unmet == 27)
      #expect(facts.waitsFor.map(\.id) == (4...23).map { .stub($0) })
      #expect(facts.waitsFor.prefix(3).map(\.status) == [.dead, .running, .ready])
    }
  }

  @Test(arguments: stores)
  func `the workers that are alive are told`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit([.stub(1)])
      try await bench.store.register(.stub("a"))
      bench.advance(.seconds(59))
      try await bench.store.register(.stub("b"))
      #expect(try await bench.store.facts(of: .stub(1))?.workers == (try await bench.store.workers()))
      bench.advance(.seconds(1))
      #expect(try await bench.store.facts(of: .stub(1))?.workers.map(\.id) == ["b"])
    }
  }
}
