// Several nodes over one store: what one does the others hear of by hints, and find by themselves when a hint is lost.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

@Suite struct HintTests {
  /// Node 1 takes submissions and nothing else; node 2 lets time pass and works.
  private static func run(
    loss: Double,
    handler: @escaping @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult = {
      _, _, _ in .done
    }, _ body: @escaping @Sendable (EngineBench, _ api: SimulatedNode, HintWire) async throws -> Void
  ) throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let wire = HintWire(
        scheduler: scheduler, random: RandomSource(seed: 2), counters: bench.counters, loss: loss)
      var api = SimulatedNode.Options()
      (api.isWorker, api.isScheduler, api.wire) = (false, false, wire)
      var other = SimulatedNode.Options()
      other.wire = wire
      try await bench.withNode(process: 1, options: api) { [api = api, other = other] first in
        _ = api
        try await bench.withNode(process: 2, options: other, handler: handler) { _ in
          try await bench.clock.sleep(for: .seconds(20.3))  // all at rest
          try await body(bench, first, wire)
        }
      }
    }
  }

  @Test(arguments: [(0.0, 0.0..<0.05), (1.0, 0.05..<1.1)])
  func `work accepted elsewhere is begun at once by a hint, and within a second without`(
    loss: Double, expected: Range<Double>
  ) throws {
    try Self.run(loss: loss) { bench, api, _ in
      let start = bench.clock.now
      let id = try await bench.submit(api)
      #expect(try await bench.wait(for: id).status == .success)
      #expect(expected.contains(bench.seconds(since: start)), "\(bench.seconds(since: start))")
    }
  }

  @Test(arguments: [(0.0, 1.0..<1.1), (1.0, 1.1..<6.1)])
  func `a task accepted elsewhere that is soon due is begun at its time by a hint, and within five seconds without`(
    loss: Double, expected: Range<Double>
  ) throws {
    try Self.run(loss: loss) { bench, api, _ in
      let start = bench.clock.now
      let id = try await bench.submit(api) { $0.delaySeconds = 1 }
      let task = try await bench.wait(for: id)
      #expect(task.startedAt ?? .earliest >= task.availableAt)
      #expect(expected.contains(bench.seconds(since: start)), "\(bench.seconds(since: start))")
    }
  }

  @Test func `a hint of anything makes each waiting claim look again, and the promoter too`() throws {
    try Self.run(loss: 1) { bench, api, wire in
      let now = try await bench.submit(api)
      let soon = try await bench.submit(api) { $0.delaySeconds = 0.1 }
      try await bench.clock.sleep(for: .milliseconds(100))
      wire.lossRate = 0
      let start = bench.clock.now
      wire.send(.anyWork, from: 1)
      #expect(try await bench.wait(for: now).status == .success)
      #expect(try await bench.wait(for: soon).status == .success)
      #expect(bench.seconds(since: start) < 0.1)
    }
  }

  @Test func `a handler hears at once of a cancellation that was asked of another node`() throws {
    try Self.run(
      loss: 0,
      handler: { _, _, clock in
        try await clock.sleep(for: .seconds(250))
        return .done
      }
    ) { bench, api, _ in
      let id = try await bench.submit(api) { $0.leaseSeconds = 300 }
      try await bench.wait(for: id) { $0.status == .running }
      let start = bench.clock.now
      _ = try await api.engine.service.cancel(id)
      #expect(try await bench.wait(for: id).status == .cancelled)
      #expect(bench.seconds(since: start) < 0.1)
    }
  }

  @Test func `a cancellation heard of while a renewal is under way is not forgotten`() throws {
    try Self.run(
      loss: 0,
      handler: { _, _, clock in
        try await clock.sleep(for: .seconds(250))
        return .done
      }
    ) { bench, api, wire in
      let id = try await bench.submit(api) { $0.leaseSeconds = 300 }
      try await bench.wait(for: id) { $0.status == .running }
      wire.send(.cancelled(id), from: 1)  // nobody has asked for it: it only makes the node renew
      try await bench.clock.sleep(for: .milliseconds(6))
      let start = bench.clock.now
      _ = try await api.engine.service.cancel(id)
      #expect(try await bench.wait(for: id).status == .cancelled)
      #expect(bench.seconds(since: start) < 0.1)
    }
  }

  @Test func `hints of work that others get make no storm of claims, and work is still found at once`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let wire = HintWire(scheduler: scheduler, random: RandomSource(seed: 2), counters: bench.counters)
      var options = SimulatedNode.Options()
      options.wire = wire
      let store = FaultyStore(bench.store) { _, _ in nil }
      try await bench.withNode(options: options, store: store) { [options] node in
        _ = options
        let lane = Lane(queue: "default", type: TestHandler.type)
        let before = store.calls(of: .claim)
        for _ in 0..<10_000 {
          wire.send(.work([lane]), from: 9)
          try await bench.clock.sleep(for: .milliseconds(1))
        }
        let claims = store.calls(of: .claim) - before
        #expect((500...1100).contains(claims), "\(claims) in ten seconds")
        wire.send(.work([Lane(queue: "default", type: "unheard-of")]), from: 9)
        let start = bench.clock.now
        let now = try await bench.store.now()
        let task = try NewTask(type: TestHandler.type).accepted(
          id: TaskIDGenerator(random: RandomSource(seed: 3)).next(at: now), defaults: TaskDefaults(), now: now)
        _ = try await bench.store.submit([Submission([task])])
        wire.send(.work([lane]), from: 9)
        #expect(try await bench.wait(for: task.id).status == .success)
        #expect(bench.seconds(since: start) < 0.05)
      }
    }
  }
}
