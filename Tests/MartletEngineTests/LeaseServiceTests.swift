// Work for workers elsewhere, on virtual time: what their waiting costs, whose tasks are whose when a client vanishes, and what a
// node remembers of them.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

@Suite struct LeaseServiceTests {
  /// A node that only serves others.
  private static var serving: SimulatedNode.Options {
    var options = SimulatedNode.Options()
    options.isWorker = false
    return options
  }

  private static func request(
    _ worker: String = "w1", limit: Int = 1, patience: Duration = .zero, types: [String] = [TestHandler.type]
  ) -> LeaseRequest {
    var request = LeaseRequest(worker: worker, host: "10.0.0.1", types: types)
    request.limit = limit
    request.patience = patience
    return request
  }

  @Test func `a hundred idle workers are one query a second`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { _, _ in nil }
      try await bench.withNode(options: Self.serving, store: store) { node in
        try await withThrowingTaskGroup(of: Int.self) { group in
          for number in 0..<100 {
            group.addTask {
              try await node.engine.leases.lease(Self.request("w\(number)", patience: .seconds(60))).tasks.count
            }
          }
          try await bench.clock.sleep(for: .seconds(1))
          let before = store.calls(of: .claim)
          try await bench.clock.sleep(for: .seconds(30))
          #expect(store.calls(of: .claim) - before <= 31)
          for _ in 0..<100 { try await bench.submit(node) }
          #expect(try await group.reduce(0, +) == 100, "each got one")
        }
      }
    }
  }

  @Test func `a worker that waits is told how long it was held, and gets the whole lease`() throws {
    try EngineBench.run(options: Self.serving) { bench, node in
      async let granted = node.engine.leases.lease(Self.request(patience: .seconds(60)))
      try await bench.clock.sleep(for: .seconds(40))
      try await bench.submit(node) { $0.leaseSeconds = 5 }
      let grant = try await granted
      #expect(grant.tasks.count == 1)
      #expect(grant.held > .seconds(39) && grant.held < .seconds(41))
      #expect(grant.age < .seconds(1))
      #expect(grant.tasks[0].expiresIn == .seconds(5))
    }
  }

  @Test(arguments: 1...40)
  func `whenever clients vanish, no task is lost to them`(seed: Int) throws {
    try simulate(seed: UInt64(seed)) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let random = RandomSource(seed: UInt64(seed))
      try await bench.withNode(options: Self.serving) { node in
        // Everything happens at a few moments, so that clients leave in the middle of being given something.
        var quick = LinkFaults()
        quick.longestLatency = .zero
        node.link.faults = quick
        let hesitate: @Sendable () async -> Void = {
          for _ in 0..<random.below(40) { await Task.yield() }
        }
        var ids: [TaskID] = []
        try await withThrowingTaskGroup(of: Void.self) { clients in
          for number in 0..<20 {
            let gone = Duration.milliseconds(random.below(10))
            clients.addTask {
              await withTaskGroup(of: Void.self) { client in
                client.addTask {
                  // What is granted to one that is there still when it comes has arrived.
                  let request = Self.request("w\(number)", limit: 3, patience: .seconds(60))
                  guard let grant = try? await node.engine.leases.lease(request), !Task.isCancelled else { return }
                  let reports = grant.tasks.map { LeaseReport(lease: $0.lease, outcome: .success) }
                  _ = try? await node.engine.leases.finish(reports)
                }
                client.addTask {
                  try? await bench.clock.sleep(for: gone)
                  await hesitate()
                }
                await client.next()
                client.cancelAll()
              }
            }
          }
          for _ in 0..<30 {
            await hesitate()
            ids.append(try await bench.submit(node))
            try await bench.clock.sleep(for: .milliseconds(random.below(2)))
          }
          try await clients.waitForAll()
        }
        // All the others are there to be had, at once and with nothing used up.
        let grant = try await node.engine.leases.lease(Self.request("last", limit: 100))
        _ = try await node.engine.leases.finish(grant.tasks.map { LeaseReport(lease: $0.lease, outcome: .success) })
        for id in ids {
          let task = try await bench.record(id)
          #expect(task.status == .success)
          #expect(task.retriesLeft == 3)
          #expect(try await bench.attempts(id).allSatisfy { [.success, .released].contains($0.outcome) })
        }
      }
    }
  }

  @Test func `what was on its way to a client that has left goes to the next who waits on this node, at once`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(
        bench.store,
        pause: { operation in
          if operation == .claim { try? await bench.clock.sleep(for: .milliseconds(100)) }
        }, fault: { _, _ in nil })
      try await bench.withNode(options: Self.serving, store: store) { node in
        var quick = LinkFaults()
        quick.longestLatency = .zero
        node.link.faults = quick
        try await withThrowingTaskGroup(of: Void.self) { first in
          first.addTask {
            _ = try? await node.engine.leases.lease(Self.request("first", patience: .seconds(60)))
          }
          try await bench.clock.sleep(for: .milliseconds(300))
          async let granted = node.engine.leases.lease(Self.request("second", patience: .seconds(60)))
          try await bench.clock.sleep(for: .seconds(1))
          let start = bench.clock.now
          let id = try await bench.submit(node)
          // The look that finds it is under way, for both of them.
          try await bench.clock.sleep(for: .milliseconds(50))
          first.cancelAll()
          let grant = try await granted
          #expect(grant.tasks.map(\.lease.task) == [id])
          #expect(bench.seconds(since: start) < 0.6)
          #expect(try await bench.attempts(id).first?.outcome == .released)
        }
      }
    }
  }

  @Test func `a node that drains sends away who waits for work`() throws {
    try EngineBench.run(options: Self.serving) { bench, node in
      async let granted = node.engine.leases.lease(Self.request(patience: .seconds(60)))
      try await bench.clock.sleep(for: .seconds(1))
      let start = bench.clock.now
      node.engine.drain()
      #expect(try await granted.tasks.isEmpty)
      #expect(bench.seconds(since: start) < 0.1)
    }
  }

  @Test func `one answer carries no more payload than memory bears, and the rest is there for others`() throws {
    try Self.counting { bench, node, store in
      let payload = Array(("\"" + String(repeating: "x", count: 250 * 1024) + "\"").utf8)
      for _ in 0..<200 { try await bench.submit(node) { $0.payload = payload } }
      var leased = 0
      var calls = 0
      while leased < 200 {
        let grant = try await node.engine.leases.lease(Self.request(limit: 200))
        #expect(grant.tasks.reduce(0) { $0 + $1.payload.count } <= 32 << 20)
        leased += grant.tasks.count
        calls += 1
      }
      #expect(calls == 2)
      #expect(store.calls(of: .finish) == 0, "nothing was claimed to be given back")
    }
  }

  @Test func `small payloads come in one answer, as many as were asked for, after two looks`() throws {
    try Self.counting { bench, node, store in
      for _ in 0..<600 { try await bench.submit(node) }
      let grant = try await node.engine.leases.lease(Self.request(limit: 500))
      #expect(grant.tasks.count == 500 && Set(grant.tasks.map(\.lease.task)).count == 500)
      #expect(store.calls(of: .claim) == 2 && store.calls(of: .finish) == 0)
    }
  }

  @Test(arguments: [true, false])
  func `what the first look has found is handed out though the second fails or hangs`(hangs: Bool) throws {
    try Self.counting(secondClaim: hangs ? .hangs : .fails) { bench, node, store in
      for _ in 0..<300 { try await bench.submit(node) { $0.leaseSeconds = 5 } }
      let start = bench.clock.now
      let grant = try await node.engine.leases.lease(Self.request(limit: 300))
      #expect(grant.tasks.count == 128)
      #expect(bench.seconds(since: start) < 1)
      #expect(store.calls(of: .claim) == 2)
    }
  }

  private enum SecondClaim { case succeeds, fails, hangs }

  /// A node over a store that counts.
  private static func counting(
    secondClaim: SecondClaim = .succeeds,
    _ body: @escaping @Sendable (EngineBench, SimulatedNode, FaultyStore) async throws -> Void
  ) throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let claims = Mutex(0)
      let store = FaultyStore(
        bench.store,
        pause: { operation in
          guard operation == .claim else { return }
          let number = claims.withLock { count in
            count += 1
            return count
          }
          // Cut short when the node drains.
          if number == 2, secondClaim == .hangs { try? await bench.clock.sleep(for: .seconds(20)) }
        },
        fault: { operation, number in
          operation == .claim && number == 2 && secondClaim == .fails ? .before : nil
        })
      try await bench.withNode(options: serving, store: store) { node in try await body(bench, node, store) }
    }
  }

  @Test func `what another node gave out is reported here all the same, and counted under its lane`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      try await bench.withNode(process: 1, options: Self.serving) { first in
        try await bench.withNode(process: 2, options: Self.serving) { second in
          let id = try await bench.submit(first)
          let task = try #require(try await first.engine.leases.lease(Self.request()).tasks.first)
          async let waited = second.engine.service.task(id, finalWithin: .seconds(50))
          try await bench.clock.sleep(for: .milliseconds(100))
          let start = bench.clock.now
          _ = try await second.engine.leases.renew([LeaseRenewal(lease: task.lease, logs: ["kept here"])])
          _ = try await second.engine.leases.finish([LeaseReport(lease: task.lease, outcome: .success, logs: ["end"])])
          #expect(try await waited.status == .success)
          #expect(bench.seconds(since: start) < 0.1, "not found by looking")
          #expect(try await bench.attempts(id).first?.logs == ["kept here", "end"])
          let counted = #"martlet_attempts_total{outcome="SUCCESS",queue="default",type="test"} 1"#
          #expect(second.metrics.render().contains(counted))
        }
      }
    }
  }

  @Test func `workers are listed while they ask or hold leases, for few writes, and then no more`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { _, _ in nil }
      try await bench.withNode(options: Self.serving, store: store) { node in
        func listed() async throws -> [WorkerRecord] { try await node.engine.service.workers() }
        try await bench.submit(node) { $0.leaseSeconds = 30 }
        var lease: LeaseID?
        for _ in 0..<50 {
          let grant = try await node.engine.leases.lease(Self.request("busy"))
          lease = lease ?? grant.tasks.first?.lease
          try await bench.clock.sleep(for: .milliseconds(20))
        }
        #expect(store.calls(of: .register) == 1)
        #expect(try await listed().map(\.id) == ["busy"])
        let held = try #require(lease)
        for _ in 0..<12 {
          try await bench.clock.sleep(for: .seconds(10))
          _ = try await node.engine.leases.renew([LeaseRenewal(lease: held)])
        }
        let worker = try #require(try await listed().first)
        #expect(worker.kind == .remote)
        #expect(worker.host == "10.0.0.1")
        #expect(worker.running == 1)
        #expect(worker.queues == ["*"])
        #expect(store.calls(of: .register) <= 14)
        try await bench.clock.sleep(for: .seconds(75))
        #expect(try await listed().isEmpty)
        #expect(store.calls(of: .register) <= 16)
      }
    }
  }

  @Test func `a store that is down is told to who asked last, and waited for by who has patience`() throws {
    try EngineBench.run(options: Self.serving) { bench, node in
      try await bench.clock.sleep(for: .seconds(1))
      var down = LinkFaults()
      down.failsBefore = 1
      node.link.faults = down
      await #expect(throws: ServiceError.self) { try await node.engine.leases.lease(Self.request()) }
      await #expect(throws: ServiceError.self) {
        try await node.engine.leases.lease(Self.request(patience: .seconds(2)))
      }
      async let granted = node.engine.leases.lease(Self.request(patience: .seconds(60)))
      try await bench.clock.sleep(for: .seconds(5))
      node.link.faults = LinkFaults()
      try await bench.submit(node)
      #expect(try await granted.tasks.count == 1)
    }
  }
}
