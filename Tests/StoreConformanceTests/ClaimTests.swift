// Who gets which task, in what order, and under what lease.

import MartletCore
import MartletTestKit
import Testing

@Suite struct ClaimTests {
  @Test(arguments: stores)
  func `a claimed task is RUNNING, its attempt counted and told`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub())
      let before = try await bench.record()
      bench.advance(.seconds(2))
      _ = try await bench.claimOne(worker: "worker-9")
      let now = start + .seconds(2)
      var expected = before
      expected.status = .running
      expected.attempt = 1
      expected.worker = "worker-9"
      expected.startedAt = now
      expected.updatedAt = now
      expected.sequence = 3
      #expect(try await bench.record() == expected)
      #expect(try await bench.events().last == event(3, .started, now, by: "worker-9", "attempt 1"))
      #expect(
        try await bench.attempts() == [
          AttemptRecord(
            number: 1, worker: "worker-9", startedAt: now, finishedAt: nil, outcome: nil, error: nil, logs: [])
        ])
    }
  }

  @Test(arguments: stores)
  func `a claimed task carries all that its worker needs`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(
          4, type: "mail", queue: "slow", payload: "[1]", priority: 8, eligible: .after(.seconds(5)),
          runAt: start + .seconds(5), retries: 2, timeout: .seconds(50), lease: .seconds(20), tags: ["t"],
          metadata: ["k": "v"], traceparent: "00-1-2-01"))
      bench.advance(.seconds(7))
      try await bench.promote()
      bench.advance(.seconds(1))
      let claimed = try await bench.claim(types: ["mail"], queues: ["slow"], token: -3)
      let expected = ClaimedTask(
        lease: LeaseID(task: .stub(4), attempt: 1, token: -3), expiresAt: start + .seconds(28), expiresIn: .seconds(20),
        type: "mail", queue: "slow", payload: Array("[1]".utf8), priority: 8, maxAttempts: 3, timeout: .seconds(50),
        leaseDuration: .seconds(20), createdAt: start, runAt: start + .seconds(5), availableAt: start + .seconds(5),
        startedAt: start + .seconds(8), readyAt: start + .seconds(7), tags: ["t"], metadata: ["k": "v"],
        traceparent: "00-1-2-01")
      #expect(claimed == [expected])
    }
  }

  @Test(arguments: stores)
  func `the most urgent come first`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let priorities = [5, 1, 9, 3, 7, 2, 8, 4, 6]
      for (number, priority) in priorities.enumerated() { try await bench.submit(.stub(number, priority: priority)) }
      #expect(try await bench.claim(limit: 9).map(\.priority) == [9, 8, 7, 6, 5, 4, 3, 2, 1])
    }
  }

  @Test(arguments: stores)
  func `within a priority those come first that have been eligible longest`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, eligible: .after(.seconds(30))), .stub(2, eligible: .after(.seconds(10))))
      bench.advance(.seconds(20))
      try await bench.submit(.stub(3))
      bench.advance(.seconds(20))
      try await bench.submit(.stub(4))
      try await bench.promote()
      #expect(try await bench.claim(limit: 4).map(\.id) == [2, 3, 1, 4].map { TaskID.stub($0) })
    }
  }

  @Test(arguments: stores)
  func `within a priority and a time the smaller id comes first`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for number in [3, 1, 4, 2] { try await bench.submit(.stub(number)) }
      #expect(try await bench.claim(limit: 2).map(\.id) == [.stub(1), .stub(2)])
      #expect(try await bench.claim(limit: 2).map(\.id) == [.stub(3), .stub(4)])
    }
  }

  @Test(arguments: stores)
  func `urgency decides before time, and time before id`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(9, priority: 4))
      bench.advance(.seconds(1))
      try await bench.submit(.stub(8, priority: 5))
      bench.advance(.seconds(1))
      try await bench.submit(.stub(1, priority: 5), .stub(2, priority: 6))
      #expect(try await bench.claim(limit: 4).map(\.id) == [2, 8, 1, 9].map { TaskID.stub($0) })
    }
  }

  @Test(arguments: stores)
  func `the order holds over all queues and types of a request together`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let lanes = [("a", "x"), ("b", "x"), ("a", "y"), ("b", "y")]
      for round in 0..<3 {
        for (index, lane) in lanes.enumerated() {
          let number = round * 4 + index
          try await bench.submit(.stub(number, type: lane.1, queue: lane.0, priority: 5 + (number * 7) % 3))
        }
        bench.advance(.seconds(1))
      }
      let all = try await bench.claim(limit: 12, types: ["y", "x"], queues: ["b", "a"])
      let expected = (0..<12).sorted { (-((($0 * 7) % 3)), $0) < (-((($1 * 7) % 3)), $1) }
      #expect(all.map(\.id) == expected.map { TaskID.stub($0) })
    }
  }

  @Test(arguments: stores)
  func `only the queues and types of the request are given`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(1, type: "x", queue: "a", priority: 9), .stub(2, type: "y", queue: "a"), .stub(3, type: "x", queue: "b"),
        .stub(4, type: "X", queue: "a"), .stub(5, type: "x", queue: "A"), .stub(6, type: "x", queue: "a.b"))
      #expect(try await bench.claim(limit: 10, types: ["y"], queues: ["a", "b"]).map(\.id) == [.stub(2)])
      #expect(try await bench.claim(limit: 10, types: ["x"], queues: ["b"]).map(\.id) == [.stub(3)])
      #expect(try await bench.claim(limit: 10, types: ["x", "x"], queues: ["a", "a"]).map(\.id) == [.stub(1)])
      #expect(try await bench.claim(limit: 10, types: [], queues: ["a"]) == [])
      #expect(try await bench.claim(limit: 10, types: ["x"], queues: []) == [])
    }
  }

  @Test(arguments: stores)
  func `no more are given than the limit, and none by a limit of zero`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...5).map { .stub($0) })
      #expect(try await bench.claim(limit: 0) == [])
      #expect(try await bench.claim(limit: 2).count == 2)
      #expect(try await bench.countsByStatus() == [.ready: 3, .running: 2])
      #expect(try await bench.claim(limit: 10).count == 3)
      #expect(try await bench.claim(limit: 10) == [])
    }
  }

  @Test(arguments: stores)
  func `requests of one call are answered in order and share no task`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...4).map { .stub($0) })
      try await bench.submit(.stub(5, type: "mail"))
      func request(_ worker: String, _ types: [String], _ limit: Int, _ token: Int64) -> ClaimRequest {
        ClaimRequest(worker: worker, queues: ["default"], types: types, limit: limit, token: token)
      }
      let answers = try await bench.store.claim([
        request("a", ["resize"], 1, 11), request("b", ["none"], 3, 12), request("c", ["mail", "resize"], 2, 13),
        request("d", ["resize", "mail"], 9, 14),
      ])
      #expect(answers.map { $0.map(\.id) } == [[.stub(1)], [], [.stub(2), .stub(3)], [.stub(4), .stub(5)]])
      #expect(answers.map { $0.map(\.lease.token) } == [[11], [], [13, 13], [14, 14]])
      #expect(try await bench.record(.stub(3)).worker == "c")
      #expect(try await bench.store.claim([]) == [])
    }
  }

  @Test(arguments: stores)
  func `a task that is not READY is never given`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      for status in TaskStatus.allCases where status != .ready {
        try await bench.bring(.stub(status.number), to: status)
      }
      bench.advance(.seconds(3600))  // due is not READY until promoted; a lease that is over is the rescuer's
      #expect(try await bench.claim(limit: 10) == [])
      for status in TaskStatus.allCases where status != .ready {
        #expect(try await bench.record(.stub(status.number)).status == status)
      }
    }
  }

  @Test(arguments: stores)
  func `a lease never outlasts the attempt's timeout`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(
        .stub(1, timeout: .seconds(60), lease: .seconds(59)), .stub(2, timeout: .seconds(60), lease: .seconds(60)),
        .stub(3, timeout: .seconds(60), lease: .seconds(61)), .stub(4, timeout: .milliseconds(1), lease: .seconds(3600))
      )
      let claimed = try await bench.claim(limit: 4)
      #expect(claimed.map(\.expiresIn) == [.seconds(59), .seconds(60), .seconds(60), .milliseconds(1)])
      #expect(claimed.map(\.expiresAt) == claimed.map { start + $0.expiresIn })
    }
  }

  @Test(arguments: stores)
  func `a task never started that is past its expiry is cancelled instead`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, expiresAt: start + .seconds(10)), .stub(2), .stub(3))
      let before = try await bench.record()
      bench.advance(.seconds(10))
      #expect(try await bench.claim(limit: 1).map(\.id) == [.stub(2)])
      let now = start + .seconds(10)
      var expected = before
      expected.status = .cancelled
      expected.reason = .expired
      expected.finishedAt = now
      expected.updatedAt = now
      expected.sequence = 3
      #expect(try await bench.record() == expected)
      #expect(try await bench.events().last == event(3, .cancelled, now, by: "scheduler", "EXPIRED"))
      #expect(try await bench.attempts() == [])
      #expect(try await bench.countsByStatus() == [.cancelled: 1, .running: 1, .ready: 1])
    }
  }

  @Test(arguments: stores)
  func `a task is given until the last moment before its expiry`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, expiresAt: start + .milliseconds(10)))
      bench.advance(.milliseconds(9))
      #expect(try await bench.claim().count == 1)
    }
  }

  @Test(arguments: stores)
  func `any number of expired tasks hold nobody back`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit((1...50).map { .stub($0, priority: 9, expiresAt: start + .seconds(1)) })
      try await bench.submit((51...53).map { .stub($0) })
      bench.advance(.seconds(2))
      #expect(try await bench.claim(limit: 2).map(\.id) == [.stub(51), .stub(52)])
      #expect(try await bench.countsByStatus() == [.cancelled: 50, .running: 2, .ready: 1])
    }
  }

  @Test(arguments: stores)
  func `a task once started is given again after its expiry`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let claimed = try await bench.running(.stub(expiresAt: start + .seconds(10)))
      try await bench.finish(claimed.lease, .released)
      bench.advance(.seconds(20))
      #expect(try await bench.claimOne().attempt == 2)
    }
  }

  @Test(arguments: stores)
  func `a task that lost a worker goes to a free slot only`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.lose(.stub(1, priority: 9))
      try await bench.submit((2...6).map { .stub($0) })
      #expect(try await bench.claim(limit: 2, ahead: 2).map(\.id) == [.stub(2), .stub(3)])
      #expect(try await bench.record(.stub(1)).status == .ready)
      #expect(try await bench.claim(limit: 2, ahead: 1).map(\.id) == [.stub(1), .stub(4)])
    }
  }

  @Test(arguments: stores)
  func `a task that lost a worker is passed over once the free slots are taken`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.lose(.stub(5, priority: 8), .stub(6, priority: 7))
      try await bench.submit(.stub(1, priority: 9), .stub(2, priority: 6), .stub(3, priority: 5))
      // Three places, two of them free: 1 and 5 take these, 6 has to wait, 2 goes ahead.
      #expect(try await bench.claim(limit: 3, ahead: 1).map(\.id) == [.stub(1), .stub(5), .stub(2)])
      #expect(try await bench.record(.stub(6)).status == .ready)
      #expect(try await bench.claim(limit: 1, ahead: 0).map(\.id) == [.stub(6)])
    }
  }

  @Test(arguments: stores)
  func `a loss is not forgotten when the task is retried by hand`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.lose(.stub(1))
      try await bench.steer(.cancel)
      try await bench.steer(.retry)
      #expect(try await bench.claim(limit: 1, ahead: 1) == [])
      #expect(try await bench.claim(limit: 1).count == 1)
    }
  }

  @Test(arguments: stores)
  func `a task that only failed or timed out may be claimed ahead`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      let failed = try await bench.running(.stub(1))
      try await bench.finish(failed.lease, .failed)
      _ = try await bench.running(.stub(2, timeout: .seconds(5)))
      bench.advance(.seconds(5))
      #expect(try await bench.rescue().rescued.map(\.outcome) == [.timedOut])
      bench.advance(.seconds(5))
      try await bench.promote()
      #expect(try await bench.claim(limit: 2, ahead: 2).map(\.id) == [.stub(1), .stub(2)])
    }
  }

  @Test(arguments: stores)
  func `each attempt has its number, its worker and its own time`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub())
      for number in 1...3 {
        let claimed = try await bench.claimOne(worker: "worker-\(number)", token: Int64(number))
        #expect(claimed.lease == LeaseID(task: .stub(1), attempt: number, token: Int64(number)))
        #expect(claimed.startedAt == bench.now)
        bench.advance(.seconds(1))
        try await bench.finish(claimed.lease, .released)
      }
      let attempts = try await bench.attempts()
      #expect(attempts.map(\.number) == [1, 2, 3])
      #expect(attempts.map(\.worker) == ["worker-1", "worker-2", "worker-3"])
      #expect(attempts.map(\.startedAt) == [start, start + .seconds(1), start + .seconds(2)])
      #expect(attempts.map(\.finishedAt) == [start + .seconds(1), start + .seconds(2), start + .seconds(3)])
      #expect(try await bench.record().worker == "worker-3")
    }
  }
}
