// Claims by way of a dispatch queue beside the store: quicker for those who have nothing to do, and never more than advice.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

@Suite struct DispatchTests {
  private struct Stage: Sendable {
    let bench: EngineBench
    let beside: MemoryAccelerator
    /// Takes submissions, lets time pass and carries out nothing.
    let api: SimulatedNode
    /// What the working node asks of the store.
    let asked: FaultyStore
    /// By which the working node hears what a store tells.
    let wire: HintWire
  }

  /// Two nodes that hear of each other by nothing but what stands beside the store.
  private static func run(
    _ prepare: @escaping @Sendable (MemoryAccelerator) -> Void = { _ in },
    handler: @escaping @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult = {
      _, _, _ in .done
    },
    _ body: @escaping @Sendable (Stage) async throws -> Void
  ) throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let beside = MemoryAccelerator(clock: bench.clock)
      prepare(beside)
      let asked = FaultyStore(bench.store) { _, _ in nil }
      let wire = HintWire(scheduler: scheduler, random: RandomSource(seed: 2), counters: bench.counters, loss: 0)
      var api = SimulatedNode.Options()
      (api.isWorker, api.accelerators) = (false, beside.accelerators)
      var worker = SimulatedNode.Options()
      (worker.isScheduler, worker.accelerators, worker.wire) = (false, beside.accelerators, wire)
      try await bench.withNode(process: 1, options: api) { [worker] first in
        try await bench.withNode(process: 2, options: worker, store: asked, handler: handler) { _ in
          try await bench.clock.sleep(for: .seconds(20.3))  // all at rest
          try await body(Stage(bench: bench, beside: beside, api: first, asked: asked, wire: wire))
        }
      }
    }
  }

  @Test func `idle workers leave the store alone, and work that appears is begun at once`() throws {
    try Self.run { stage in
      let claims = stage.asked.calls(of: .claim)
      let sweeps = stage.asked.calls(of: .claimable)
      try await stage.bench.clock.sleep(for: .seconds(60))
      #expect(stage.asked.calls(of: .claim) == claims)
      #expect((1...13).contains(stage.asked.calls(of: .claimable) - sweeps), "one sweep in five seconds")
      let start = stage.bench.clock.now
      let id = try await stage.bench.submit(stage.api)
      #expect(try await stage.bench.wait(for: id).status == .success)
      #expect(stage.bench.seconds(since: start) < 0.1)
      #expect(stage.asked.calls(of: .claim) == claims + 1)
    }
  }

  @Test func `work that becomes READY by time, by another's end or by hand is told too`() throws {
    try Self.run { stage in
      let start = stage.bench.clock.now
      let later = try await stage.bench.submit(stage.api) { $0.delaySeconds = 2 }
      #expect(try await stage.bench.wait(for: later).status == .success)
      #expect((2..<2.2).contains(stage.bench.seconds(since: start)))
      let parent = try await stage.bench.submit(stage.api)
      let child = try await stage.bench.submit(stage.api) { $0.dependencies = [parent.description] }
      let before = stage.bench.clock.now
      #expect(try await stage.bench.wait(for: child).status == .success)
      #expect(stage.bench.seconds(since: before) < 6)
      let cancelled = try await stage.bench.submit(stage.api) { $0.delaySeconds = 1000 }
      _ = try await stage.api.engine.service.cancel(cancelled)
      let again = stage.bench.clock.now
      _ = try await stage.api.engine.service.retry(cancelled)
      #expect(try await stage.bench.wait(for: cancelled).status == .success)
      #expect(stage.bench.seconds(since: again) < 0.1)
    }
  }

  @Test func `where it is away work is begun within a second, and all is as before when it is back`() throws {
    try Self.run { stage in
      stage.beside.faults.isAway = true
      for _ in 0..<3 {
        let start = stage.bench.clock.now
        let id = try await stage.bench.submit(stage.api)
        #expect(try await stage.bench.wait(for: id).status == .success)
        #expect(stage.bench.seconds(since: start) < 1.2)
      }
      let readiness = await stage.api.engine.service.readiness()
      #expect(readiness.canServe)
      #expect(readiness.components.first { $0.name == "redis" }?.isHealthy == false)
      stage.beside.faults.isAway = false
      try await stage.bench.clock.sleep(for: .seconds(3))
      let claims = stage.asked.calls(of: .claim)
      try await stage.bench.clock.sleep(for: .seconds(20))
      #expect(stage.asked.calls(of: .claim) == claims)
      let start = stage.bench.clock.now
      let id = try await stage.bench.submit(stage.api)
      #expect(try await stage.bench.wait(for: id).status == .success)
      #expect(stage.bench.seconds(since: start) < 0.1)
    }
  }

  @Test func `where it is full the store is asked`() throws {
    try Self.run { stage in
      stage.beside.faults.isFull = true
      let start = stage.bench.clock.now
      for _ in 0..<20 { try await stage.bench.submit(stage.api) }
      let id = try await stage.bench.submit(stage.api)
      #expect(try await stage.bench.wait(for: id).status == .success)
      #expect(stage.bench.seconds(since: start) < 2.2)
    }
  }

  @Test func `what it forgets is found again, however often it forgets`() throws {
    try Self.run { stage in
      var ids: [TaskID] = []
      for _ in 0..<40 {
        for _ in 0..<5 { ids.append(try await stage.bench.submit(stage.api)) }
        stage.beside.forgetAll()
        try await stage.bench.clock.sleep(for: .milliseconds(300))
      }
      for id in ids {
        let task = try await stage.bench.wait(for: id)
        #expect(task.status == .success && task.attempt == 1)
      }
    }
  }

  @Test func `what it gives out twice is claimed once`() throws {
    try Self.run({ $0.faults.givesTwice = true }) { stage in
      var ids: [TaskID] = []
      for _ in 0..<20 { ids.append(try await stage.bench.submit(stage.api)) }
      for id in ids {
        let task = try await stage.bench.wait(for: id)
        #expect(task.status == .success && task.attempt == 1)
      }
    }
  }

  @Test func `a backlog that it was never told of is carried out without waiting for sweep after sweep`() throws {
    try Self.run({ $0.faults.isAway = true }) { stage in
      stage.beside.faults.isAway = false
      try await stage.bench.clock.sleep(for: .seconds(10))
      let tasks = (0..<3000).map { number in
        AcceptedTask.stub(1_000_000 + number, type: TestHandler.type)
      }
      _ = try await stage.bench.store.submit([Submission(tasks)])  // by a node that has no such thing
      let start = stage.bench.clock.now
      let last = try #require(tasks.last)
      _ = try await stage.bench.wait(for: last.id)
      #expect(stage.bench.seconds(since: start) < 60)
    }
  }

  @Test(arguments: [StoreHint.work([Lane(queue: "default", type: TestHandler.type)]), .anyWorkHere])
  func `what a call of this node made READY beyond its answer is told at once`(_ hint: StoreHint) throws {
    try Self.run { stage in
      let start = stage.bench.clock.now
      let task = AcceptedTask.stub(1_000_000, type: TestHandler.type)
      _ = try await stage.bench.store.submit([Submission([task])])
      stage.wire.send(hint, from: 9)
      #expect(try await stage.bench.wait(for: task.id).status == .success)
      #expect(stage.bench.seconds(since: start) < 0.1)
    }
  }

  @Test func `queues with limits keep their order and their limits`() throws {
    try Self.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(1))
      return .done
    }) { stage in
      var patch = QueuePatch()
      patch.concurrency = .value(1)
      _ = try await stage.api.engine.service.rules.change(queue: "default", patch, actor: "test")
      try await stage.bench.clock.sleep(for: .seconds(11))  // all know it
      let start = stage.bench.clock.now
      let low = try await stage.bench.submit(stage.api) { $0.priority = 1 }
      var high: [TaskID] = []
      for _ in 0..<3 { high.append(try await stage.bench.submit(stage.api) { $0.priority = 9 }) }
      let last = try await stage.bench.wait(for: low)
      var times: [Timestamp] = [last.startedAt ?? .latest]
      for id in high { times.append(try await stage.bench.wait(for: id).startedAt ?? .latest) }
      for (earlier, next) in zip(times.sorted(), times.sorted().dropFirst()) { #expect(next - earlier >= .seconds(1)) }
      #expect(stage.bench.seconds(since: start) < 12)
    }
  }

  @Test func `a repeated submission is answered without a transaction, and only as it stands in the store`() throws {
    try Self.run { stage in
      let first = try await stage.bench.submit(stage.api) { $0.idempotencyKey = "k" }
      _ = try await stage.bench.wait(for: first)
      #expect(try await stage.bench.submit(stage.api) { $0.idempotencyKey = "k" } == first)
      #expect(stage.beside.calls(of: "find") == 2)
      stage.beside.forgetAll()
      #expect(try await stage.bench.submit(stage.api) { $0.idempotencyKey = "k" } == first)
      // Nonsense is not believed.
      stage.beside.putKey("new", KnownKey(fingerprint: [1], tasks: [.stub(77)]))
      let other = try await stage.bench.submit(stage.api) { $0.idempotencyKey = "new" }
      #expect(other != .stub(77))
      stage.beside.faults.isAway = true
      #expect(try await stage.bench.submit(stage.api) { $0.idempotencyKey = "k" } == first)
    }
  }
}
