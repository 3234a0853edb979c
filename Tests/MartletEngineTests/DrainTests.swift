// Leaving in good order: a draining node takes nothing new, ends what it can and gives back the rest at no cost.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

@Suite struct DrainTests {
  @Test func `running attempts end within the grace time`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let id = try await bench.withNode(handler: { _, _, clock in
        try await clock.sleep(for: .seconds(4))
        return .done
      }) { node in
        let id = try await bench.submit(node)
        try await bench.wait(for: id) { _ in node.engine.busy == 1 }
        return id
      }
      let task = try await bench.record(id)
      #expect(task.status == .success, "\(task)")
    }
  }

  @Test func `what outlasts the grace time, and what was not begun, is given back without cost`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      var options = SimulatedNode.Options()
      options.concurrency = 2
      options.grace = .seconds(3)
      let ids = try await bench.withNode(
        options: options,
        handler: { payload, _, clock in
          // Quick at first, so that the worker claims ahead of its slots.
          if payload.bytes != Array("1".utf8) { try await clock.sleep(for: .seconds(3600)) }
          return .done
        }
      ) { node in
        for _ in 0..<20 { try await bench.submit(node) { $0.payload = Array("1".utf8) } }
        try await bench.clock.sleep(for: .seconds(1))
        var ids: [TaskID] = []
        for _ in 0..<20 { ids.append(try await bench.submit(node)) }
        try await bench.clock.sleep(for: .seconds(1))
        return ids
      }
      var started = 0
      for id in ids {
        let task = try await bench.record(id)
        #expect(task.status == .ready)
        #expect(task.retriesLeft == 4, "the budget is whole: one attempt and three retries")
        #expect(try await bench.attempts(id).allSatisfy { $0.outcome == .released })
        started += task.attempt
      }
      #expect(started >= 2, "two ran and were given back")
      #expect(try await bench.store.workers().isEmpty, "it signed off")
    }
  }

  @Test func `a draining node claims nothing more`() throws {
    try EngineBench.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(2))
      return .done
    }) { bench, node in
      let first = try await bench.submit(node)
      try await bench.wait(for: first) { _ in node.engine.busy == 1 }
      node.engine.drain()
      let second = try await bench.submit(node)
      try await bench.wait(for: first)
      try await bench.clock.sleep(for: .seconds(60))
      #expect(try await bench.record(second).status == .ready)
    }
  }

  @Test func `who waits for a result is sent away with the task as it is`() throws {
    try EngineBench.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(3))
      return .done
    }) { bench, node in
      let id = try await bench.submit(node)
      async let waited = node.engine.service.task(id, finalWithin: .seconds(50))
      try await bench.clock.sleep(for: .seconds(1))
      node.engine.drain()
      #expect(try await waited.status == .running)
    }
  }
}
