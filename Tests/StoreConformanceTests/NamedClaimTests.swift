// Tasks claimed by their ids, and the list of what there is to claim: what a dispatch queue beside the store goes by.

import MartletCore
import MartletTestKit
import Testing

@Suite struct NamedClaimTests {
  @Test(arguments: stores)
  func `of ids named those are given that can be claimed, in the order of claims`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(1), .stub(2, priority: 9), .stub(3), .stub(4, eligible: .after(.seconds(9))), .stub(5, type: "mail"),
        .stub(6, queue: "slow"))
      let taken = try await bench.claim(named: [3], token: 1)
      #expect(taken.map(\.id) == [.stub(3)])
      let claimed = try await bench.claim(named: [6, 5, 4, 3, 2, 1, 99], token: 2)
      #expect(claimed.map(\.id) == [.stub(2), .stub(1)])
      #expect(claimed.allSatisfy { $0.lease.token == 2 && $0.attempt == 1 })
      #expect(try await bench.claim(named: [1, 2, 3], token: 3) == [])
      #expect(try await bench.finish(claimed[0].lease, .success) == .applied(.success))
    }
  }

  @Test(arguments: stores)
  func `what is not named stays, and a limit holds for what is named`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for number in 1...5 { try await bench.submit(.stub(number)) }
      #expect(try await bench.claim(named: [5, 4, 3], limit: 2, token: 1).map(\.id) == [.stub(3), .stub(4)])
      #expect(try await bench.claim(named: [], token: 2) == [])
      #expect(try await bench.claim(limit: 9, token: 3).map(\.id) == [.stub(1), .stub(2), .stub(5)])
    }
  }

  @Test(arguments: stores)
  func `what is paused is not given by its id either`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1), .stub(2, type: "mail"))
      var pause = QueuePatch()
      pause.isPaused = true
      _ = try await bench.store.change(queue: "default", pause, actor: "test")
      #expect(try await bench.claim(named: [1, 2], token: 1) == [])
      #expect(try await bench.store.claimable(in: nil, limit: 9).entries == [])
      pause.isPaused = false
      _ = try await bench.store.change(queue: "default", pause, actor: "test")
      var mail = TypeSettings()
      mail.isPaused = true
      try await bench.store.put(type: "mail", mail, actor: "test")
      #expect(try await bench.store.claimable(in: nil, limit: 9).entries.map(\.id) == [.stub(1)])
      let claimed = try await bench.claim(named: [1, 2], types: ["resize", "mail"], token: 2)
      #expect(claimed.map(\.id) == [.stub(1)])
    }
  }

  @Test(arguments: stores)
  func `limits of a queue hold for ids as for any claim`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      var limit = QueuePatch()
      limit.concurrency = .value(2)
      _ = try await bench.store.change(queue: "default", limit, actor: "test")
      var rate = QueuePatch()
      rate.ratePerSecond = .value(1)
      rate.burst = .value(1)
      _ = try await bench.store.change(queue: "slow", rate, actor: "test")
      for number in 1...3 { try await bench.submit(.stub(number), .stub(number + 10, queue: "slow")) }
      try await bench.submit(.stub(20, queue: "free"))
      let named = [1, 2, 3, 11, 12, 13, 20]
      let claimed = try await bench.claim(named: named, queues: ["*"], token: 1)
      #expect(Set(claimed.map(\.id)) == [.stub(1), .stub(2), .stub(11), .stub(20)])
      #expect(try await bench.claim(named: named, queues: ["*"], token: 2) == [])
      #expect(try await bench.claim(limit: 9, queues: ["*"], token: 3) == [], "both ways count together")
      bench.advance(.seconds(1))
      let first = try #require(claimed.first { $0.id == .stub(1) })
      try await bench.finish(first.lease, .success)
      let more = try await bench.claim(named: named, queues: ["*"], token: 4)
      #expect(Set(more.map(\.id)) == [.stub(3), .stub(12)])
    }
  }

  @Test(arguments: stores)
  func `a task past its end is cancelled where it is named, and one that lost a worker needs a free slot`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, expiresAt: start + .seconds(5)), .stub(2, retries: 3, lease: .seconds(1)))
      _ = try await bench.claim(named: [2], token: 1)
      bench.advance(.seconds(10))
      #expect(try await bench.claim(named: [1], token: 2) == [])
      #expect(try await bench.store.tasks([.stub(1)]).first??.status == .cancelled)
      try await bench.rescue()
      bench.advance(.seconds(10))
      try await bench.promote()
      #expect(try await bench.claim(named: [1, 2], ahead: 9, token: 3) == [])
      #expect(try await bench.claim(named: [1, 2], token: 4).map(\.id) == [.stub(2)])
    }
  }

  @Test(arguments: stores)
  func `what could be claimed is listed lane by lane, and it is said where there is more`(
    store: StoreUnderTest
  ) async throws {
    try await store.onBench { bench in
      for number in 1...3 { try await bench.submit(.stub(number)) }
      try await bench.submit(
        .stub(4, priority: 9), .stub(5, type: "mail", queue: "slow"), .stub(6, eligible: .after(.seconds(9))))
      var limit = QueuePatch()
      limit.concurrency = .value(2)
      _ = try await bench.store.change(queue: "limited", limit, actor: "test")
      try await bench.submit(.stub(7, queue: "limited"))
      let resize = Lane(queue: "default", type: "resize")
      let mail = Lane(queue: "slow", type: "mail")
      let all = try await bench.store.claimable(in: nil, limit: 2)
      #expect(Set(all.entries.map(\.id)) == Set([1, 2, 4, 5].map { .stub($0) }))
      #expect(all.cutLanes == [resize])
      #expect(
        all.entries.first { $0.id == .stub(4) }
          == DispatchEntry(id: .stub(4), lane: resize, priority: 9, availableAt: start))
      let some = try await bench.store.claimable(in: [mail], limit: 2)
      #expect(some.entries.map(\.id) == [.stub(5)])
      #expect(some.cutLanes == [])
      _ = try await bench.claim(limit: 9, types: ["mail", "resize"], queues: ["*"])
      #expect(try await bench.store.claimable(in: nil, limit: 2).entries == [])
    }
  }
}

extension StoreBench {
  fileprivate func claim(
    named numbers: [Int], limit: Int = 9, ahead: Int = 0, types: [String] = ["resize"], queues: [String] = ["default"],
    token: Int64
  ) async throws -> [ClaimedTask] {
    let request = ClaimRequest(
      worker: "worker-1", queues: queues, types: types, ids: numbers.map { .stub($0) }, limit: limit, ahead: ahead,
      token: token, isLocal: false)
    return try await store.claim([request]).first ?? []
  }
}
