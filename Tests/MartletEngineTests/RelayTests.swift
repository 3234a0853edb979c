// The relay: what is told, in which order, and what trouble of one sink means for the others.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

@Suite struct RelayTests {
  private static func sinks(
    _ moods: [String: @Sendable () -> SinkMood], _ ledgers: [String: SinkLedger]
  ) -> @Sendable (SimulatedNode.Identity) -> [any EventSink] {
    { identity in
      ledgers.sorted { $0.key < $1.key }.map { name, ledger in
        SimulatedSink(
          name, ledger: ledger, clock: identity.clock, random: RandomSource(seed: 3), mood: moods[name] ?? { .fine })
      }
    }
  }

  private static func run(
    _ moods: [String: @Sendable () -> SinkMood] = [:], ledgers: [String: SinkLedger],
    _ body: @escaping @Sendable (EngineBench, SimulatedNode) async throws -> Void
  ) throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      var options = SimulatedNode.Options()
      options.sinks = sinks(moods, ledgers)
      try await bench.withNode(process: 1, options: options) { node in
        try await bench.clock.sleep(for: .seconds(1))  // it attends
        try await body(bench, node)
      }
    }
  }

  @Test func `a task that succeeds is told of in four events, soon and in order`() throws {
    let ledger = SinkLedger()
    try Self.run(ledgers: ["kafka": ledger]) { bench, node in
      let id = try await bench.submit(node)
      try await bench.wait(for: id)
      try await bench.clock.sleep(for: .milliseconds(200))
      #expect(ledger.all.events.map(\.type) == [.received, .ready, .started, .succeeded])
      #expect(ledger.all.events.map(\.id) == (1...4).map { "\(id).\($0)" })
      #expect(Set(ledger.all.events.map(\.source)) == ["/martlet/memory"])
    }
  }

  @Test func `while a sink is down its events wait, neither tasks nor other sinks do, and then all are told`() throws {
    let (kafka, rabbit) = (SinkLedger(), SinkLedger())
    let isDown = Atomic(true)
    try Self.run(
      ["kafka": { isDown.load(ordering: .relaxed) ? .down : .fine }], ledgers: ["kafka": kafka, "rabbitmq": rabbit]
    ) { bench, node in
      var ids: [TaskID] = []
      for _ in 1...5 {
        let id = try await bench.submit(node)
        #expect(try await bench.wait(for: id).status == .success)
        ids.append(id)
      }
      try await bench.clock.sleep(for: .seconds(120))
      #expect(rabbit.all.events.count == 20)
      #expect(kafka.all.events.isEmpty)
      #expect(kafka.all.batches < 20, "a sink in trouble is left alone for up to half a minute")
      let readiness = await node.engine.service.readiness()
      #expect(readiness.canServe)
      #expect(readiness.components.first { $0.name == "kafka" }?.detail == "kafka is down")
      #expect(readiness.components.first { $0.name == "rabbitmq" }?.isHealthy == true)
      isDown.store(false, ordering: .relaxed)
      try await bench.clock.sleep(for: .seconds(40))
      for id in ids { #expect(kafka.firsts(of: id).map(\.sequence) == [1, 2, 3, 4]) }
      let later = await node.engine.service.readiness()
      #expect(later.components.first { $0.name == "kafka" }?.isHealthy == true)
    }
  }

  @Test func `a sink that gives no answer holds back nobody else`() throws {
    let (kafka, rabbit) = (SinkLedger(), SinkLedger())
    try Self.run(["kafka": { .silent }], ledgers: ["kafka": kafka, "rabbitmq": rabbit]) { bench, node in
      for _ in 1...3 { try await bench.wait(for: try await bench.submit(node)) }
      try await bench.clock.sleep(for: .seconds(2))
      #expect(rabbit.all.events.count == 12)
    }
  }

  @Test func `an event that a sink refuses keeps back only what its own task did later`() throws {
    let ledger = SinkLedger()
    let refused = Mutex<TaskID?>(nil)
    let mood: @Sendable () -> SinkMood = {
      .picky { event in refused.withLock { $0 == event.task && event.type == .started } ? "too large" : nil }
    }
    try Self.run(["kafka": mood], ledgers: ["kafka": ledger]) { bench, node in
      let first = try await bench.submit(node) { $0.delaySeconds = 1 }
      refused.withLock { $0 = first }
      let second = try await bench.submit(node) { $0.delaySeconds = 1 }
      try await bench.wait(for: first)
      try await bench.wait(for: second)
      try await bench.clock.sleep(for: .seconds(3))
      #expect(ledger.firsts(of: second).map(\.sequence) == [1, 2, 3, 4])
      #expect(ledger.firsts(of: first).map(\.sequence) == [1, 2])
      refused.withLock { $0 = nil }
      try await bench.clock.sleep(for: .seconds(30))
      #expect(ledger.firsts(of: first).map(\.sequence) == [1, 2, 3, 4])
    }
  }

  /// A page of six entries, of which two are told at a time.
  @Test func `what a task did after an event that was refused waits, also where it is told apart from it`() throws {
    let ledger = SinkLedger()
    let refused = Mutex<TaskID?>(nil)
    let isDown = Atomic(true)
    let mood: @Sendable () -> SinkMood = {
      if isDown.load(ordering: .relaxed) { return .down }
      return .picky { event in refused.withLock { $0 == event.task && event.type == .started } ? "too large" : nil }
    }
    try Self.run(["kafka": mood], ledgers: ["kafka": ledger]) { bench, node in
      let first = try await bench.submit(node) { $0.delaySeconds = 1 }
      let second = try await bench.submit(node) { $0.delaySeconds = 1 }
      refused.withLock { $0 = first }
      for id in [first, second] { try await bench.wait(for: id) }
      isDown.store(false, ordering: .relaxed)
      try await bench.clock.sleep(for: .seconds(4))
      #expect(ledger.firsts(of: second).map(\.sequence) == [1, 2, 3, 4])
      #expect(ledger.firsts(of: first).map(\.sequence) == [1, 2])
    }
  }

  @Test func `of two nodes one tells, and when it dies the other takes over what was not told`() throws {
    let ledger = SinkLedger()
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      var options = SimulatedNode.Options()
      options.sinks = Self.sinks([:], ["kafka": ledger])
      try await bench.withNode(process: 1, options: options) { [options = options] first in
        try await bench.clock.sleep(for: .seconds(1))
        try await bench.withNode(process: 2, options: options) { second in
          try await bench.wait(for: try await bench.submit(second))
          try await bench.clock.sleep(for: .seconds(2))
          #expect(ledger.all.events.count == 4, "each is told once")
          let other = await second.engine.service.readiness().components.first { $0.name == "kafka" }
          #expect(other?.detail == "another node delivers")
          first.crash()
          let id = try await bench.submit(second)
          try await bench.wait(for: id)
          try await bench.clock.sleep(for: .seconds(60))
          #expect(ledger.firsts(of: id).count == 4)
        }
      }
    }
  }

  @Test func `a node that knows no sink looks once a minute for those to be forgotten`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { _, _ in nil }
      try await bench.withNode(store: store) { _ in
        try await bench.clock.sleep(for: .seconds(150))
        #expect(store.calls(of: .attend) == 3)
        #expect(store.calls(of: .takeEntries) == 0)
      }
    }
  }

  @Test func `a node that drains lets the other have the sink at once`() throws {
    let ledger = SinkLedger()
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      var options = SimulatedNode.Options()
      options.sinks = Self.sinks([:], ["kafka": ledger])
      try await bench.withNode(process: 1, options: options) { [options = options] first in
        try await bench.clock.sleep(for: .seconds(1))
        try await bench.withNode(process: 2, options: options) { second in
          try await bench.clock.sleep(for: .seconds(1))
          first.engine.drain()
          try await bench.clock.sleep(for: .seconds(2))
          #expect(ledger.all.closed == 1)
          let id = try await bench.submit(second)
          try await bench.wait(for: id)
          try await bench.clock.sleep(for: .seconds(2))
          #expect(ledger.firsts(of: id).count == 4)
        }
      }
    }
  }
}
