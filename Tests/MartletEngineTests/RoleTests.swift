// What a node does by its roles, and what it costs when there is nothing to do.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

@Suite struct RoleTests {
  /// Runs a node for a while and gives the store that counted its calls.
  private static func calls(
    isWorker: Bool, isScheduler: Bool, seconds: Int = 60,
    _ body: @escaping @Sendable (EngineBench, SimulatedNode) async throws -> Void = { _, _ in }
  ) throws -> FaultyStore {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { _, _ in nil }
      var options = SimulatedNode.Options()
      (options.isWorker, options.isScheduler) = (isWorker, isScheduler)
      try await bench.withNode(options: options, store: store) { node in
        try await body(bench, node)
        try await bench.clock.sleep(for: .seconds(seconds))
      }
      return store
    }
  }

  @Test func `an idle node with all roles asks the store fewer than five times a second`() throws {
    let store = try Self.calls(isWorker: true, isScheduler: true)
    let rates = StoreOperation.allCases.map { ($0, Double(store.calls(of: $0)) / 60) }.filter { $0.1 > 0 }
    let total = rates.reduce(0) { $0 + $1.1 }
    #expect(total < 5, "\(rates)")
    // As docs/operations.md tells it.
    let documented: [StoreOperation: Double] = [
      .claim: 1, .rescue: 2, .promote: 0.2, .settle: 0.2, .admit: 0.2, .typeSettings: 0.1, .prune: 0.1, .now: 0.1,
      .register: 0.1, .unregister: 0, .pruneAudit: 0.1, .pruneBulk: 0.1, .dueBulk: 0.2, .dueSchedules: 0.2,
      .attend: 0.02, .queueSettings: 0.1, .abandonNotices: 0.1,
    ]
    for (operation, rate) in rates {
      let told = try #require(documented[operation], "\(operation) is not in the list")
      #expect(rate <= told + 0.05, "\(operation): \(rate) a second")
    }
  }

  @Test func `a node without the role worker claims nothing and is not listed`() throws {
    let store = try Self.calls(isWorker: false, isScheduler: true) { bench, node in
      let id = try await bench.submit(node)
      try await bench.clock.sleep(for: .seconds(5))
      #expect(try await bench.record(id).status == .ready)
    }
    for operation in [StoreOperation.claim, .finish, .renew, .register] {
      #expect(store.calls(of: operation) == 0, "\(operation)")
    }
    #expect(store.calls(of: .promote) > 0)
    #expect(store.calls(of: .rescue) > 0)
  }

  @Test func `a node without the role scheduler leaves time to others, and is ready all the same`() throws {
    let store = try Self.calls(isWorker: true, isScheduler: false) { bench, node in
      let due = try await bench.submit(node)
      let later = try await bench.submit(node) { $0.delaySeconds = 1 }
      #expect(try await bench.wait(for: due).status == .success)
      try await bench.clock.sleep(for: .seconds(10))
      #expect(try await bench.record(later).status == .pending)
      let readiness = await node.engine.service.readiness()
      #expect(readiness.canServe)
    }
    for operation in [StoreOperation.promote, .rescue, .prune] {
      #expect(store.calls(of: operation) == 0, "\(operation)")
    }
  }

  @Test func `a node that only takes submissions ends when it is drained`() throws {
    let store = try Self.calls(isWorker: false, isScheduler: false, seconds: 1) { bench, node in
      _ = try await bench.submit(node)
    }
    #expect(store.calls(of: .submit) == 1)
    #expect(store.calls(of: .unregister) == 0)
  }

  @Test func `rings for what is due later than the promoter will look anyway cost nothing`() throws {
    let store = try Self.calls(isWorker: true, isScheduler: true, seconds: 1) { bench, node in
      for _ in 0..<400 { try await bench.submit(node) { $0.delaySeconds = 4.9 } }
    }
    #expect(store.calls(of: .promote) <= 5)
  }
}
