// What can change while an engine runs: the number of attempts at once, defaults, retention.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

@Suite struct TuningTests {
  private static func tuning(
    concurrency: Int = 2, _ change: (inout EngineTuning) -> Void = { _ in }
  ) -> EngineTuning {
    var tuning = EngineTuning(
      defaults: TaskDefaults(), retention: RetentionPolicy(success: nil, dead: nil, cancelled: nil),
      concurrency: concurrency, grace: .seconds(5))
    change(&tuning)
    return tuning
  }

  private static func options(concurrency: Int) -> SimulatedNode.Options {
    var options = SimulatedNode.Options()
    options.concurrency = concurrency
    return options
  }

  @Test func `a worker takes more at once as soon as it may`() throws {
    try EngineBench.run(
      options: Self.options(concurrency: 2),
      handler: { _, _, clock in
        try await clock.sleep(for: .seconds(20))
        return .done
      }
    ) { bench, node in
      for _ in 0..<10 { try await bench.submit(node) }
      try await bench.clock.sleep(for: .seconds(5))
      #expect(node.engine.busy == 2)
      node.engine.tune(Self.tuning(concurrency: 7))
      try await bench.clock.sleep(for: .seconds(5))
      #expect(node.engine.busy == 7)
    }
  }

  @Test func `a worker that may do less lets what runs end, and then does less`() throws {
    try EngineBench.run(
      options: Self.options(concurrency: 6),
      handler: { _, _, clock in
        try await clock.sleep(for: .seconds(10))
        return .done
      }
    ) { bench, node in
      var ids: [TaskID] = []
      for _ in 0..<12 { ids.append(try await bench.submit(node)) }
      try await bench.clock.sleep(for: .seconds(2))
      #expect(node.engine.busy == 6)
      node.engine.tune(Self.tuning(concurrency: 1))
      try await bench.clock.sleep(for: .seconds(2))
      #expect(node.engine.busy == 6, "nothing is cut short")
      try await bench.clock.sleep(for: .seconds(10))
      #expect(node.engine.busy == 1)
      for id in ids { try await bench.wait(for: id) }
      for id in ids {
        #expect(try await bench.record(id).status == .success)
        #expect(try await bench.attempts(id).allSatisfy { $0.outcome == .success })
      }
    }
  }

  @Test func `idle slots that are too many are closed, and opened again`() throws {
    try EngineBench.run(
      options: Self.options(concurrency: 8),
      handler: { _, _, clock in
        try await clock.sleep(for: .seconds(10))
        return .done
      }
    ) { bench, node in
      try await bench.clock.sleep(for: .seconds(1))
      for concurrency in [3, 5, 1, 4] {
        node.engine.tune(Self.tuning(concurrency: concurrency))
        try await bench.clock.sleep(for: .seconds(1))
        var ids: [TaskID] = []
        for _ in 0..<8 { ids.append(try await bench.submit(node)) }
        try await bench.clock.sleep(for: .seconds(3))
        #expect(node.engine.busy == concurrency)
        for id in ids { try await bench.wait(for: id) }
      }
    }
  }

  @Test func `a worker whose slots change drains as any other`() throws {
    try simulate(seed: 3) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let ids = try await bench.withNode(
        options: Self.options(concurrency: 2),
        handler: { _, _, clock in
          try await clock.sleep(for: .seconds(3))
          return .done
        }
      ) { node in
        var ids: [TaskID] = []
        for _ in 0..<6 { ids.append(try await bench.submit(node)) }
        try await bench.clock.sleep(for: .seconds(1))
        node.engine.tune(Self.tuning(concurrency: 6))
        try await bench.clock.sleep(for: .seconds(1))
        node.engine.tune(Self.tuning(concurrency: 3))
        return ids
      }
      for id in ids { #expect(try await bench.record(id).status == .success) }
    }
  }

  @Test func `submissions get the defaults of one version, however often they change`() throws {
    try EngineBench.run(options: Self.options(concurrency: 1)) { bench, node in
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          for number in 1...200 {
            node.engine.tune(
              Self.tuning { tuning in
                tuning.defaults.retries = number % 90
                tuning.defaults.timeout = .seconds(number % 90 + 10)
                tuning.defaults.lease = .seconds(number % 90 + 5)
              })
            try await bench.clock.sleep(for: .milliseconds(1))
          }
        }
        group.addTask {
          var seen: Set<Int> = []
          for _ in 0..<100 {
            let tasks = try await node.engine.service.submit((0..<5).map { _ in NewTask(type: "nobody") })
            for task in tasks where task.timeout != TaskDefaults().timeout {
              #expect(task.timeout == .seconds(task.retries + 10) && task.lease == .seconds(task.retries + 5))
              #expect(task.retries == tasks[0].retries, "a batch is one request")
              seen.insert(task.retries)
            }
            try await bench.clock.sleep(for: .milliseconds(2))
          }
          #expect(seen.count > 10, "the defaults did change")
        }
        try await group.waitForAll()
      }
    }
  }

  @Test func `retention that was shortened is kept to by what is there already`() throws {
    try EngineBench.run(options: Self.options(concurrency: 1)) { bench, node in
      let id = try await bench.submit(node)
      try await bench.wait(for: id)
      try await bench.clock.sleep(for: .seconds(200))
      #expect(try await bench.store.tasks([id])[0] != nil)
      node.engine.tune(
        Self.tuning { $0.retention = RetentionPolicy(success: .seconds(60), dead: nil, cancelled: nil, keys: .zero) })
      try await bench.clock.sleep(for: .seconds(60))
      #expect(try await bench.store.tasks([id])[0] == nil)
    }
  }
}
