// What clients of the service can rely on, apart from how tasks run.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

@Suite struct ServiceTests {
  @Test func `a waiting read is answered as soon as the task is final`() throws {
    try EngineBench.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(10))
      return .done
    }) { bench, node in
      let start = bench.clock.now
      let id = try await bench.submit(node)
      let task = try await node.engine.service.task(id, finalWithin: .seconds(60))
      #expect(task.status == .success)
      #expect(bench.seconds(since: start) < 10.1)
    }
  }

  @Test func `a waiting read gives the task as it is when its patience is over`() throws {
    try EngineBench.run { bench, node in
      let id = try await bench.submit(node) { $0.delaySeconds = 100 }
      let start = bench.clock.now
      #expect(try await node.engine.service.task(id, finalWithin: .seconds(5)).status == .pending)
      #expect((5.0...5.2).contains(bench.seconds(since: start)))
    }
  }

  @Test func `a waiting read hears of an end on another node`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      try await bench.withNode(process: 1) { first in
        try await bench.withNode(process: 2) { second in
          let id = try await bench.submit(first) { $0.delaySeconds = 3 }
          let start = bench.clock.now
          #expect(try await second.engine.service.task(id, finalWithin: .seconds(60)).status == .success)
          #expect(bench.seconds(since: start) < 4)
        }
      }
    }
  }

  @Test func `many problems of many tasks are told at once, and nothing is stored`() throws {
    try EngineBench.run { bench, node in
      var bad = NewTask(type: "no spaces allowed")
      bad.priority = 12
      do throws(ServiceError) {
        _ = try await node.engine.service.submit([NewTask(type: TestHandler.type), bad])
        Issue.record("accepted")
      } catch {
        guard case .invalid(let failure) = error else {
          Issue.record("\(error)")
          return
        }
        #expect(failure.problems.map(\.pointer) == ["/tasks/1/type", "/tasks/1/priority"])
      }
      let counts = try await bench.store.counts()
      #expect(counts.isEmpty)
    }
  }

  @Test func `a replay is a new task with the same instructions and none of the times`() throws {
    try EngineBench.run(handler: { _, _, _ in throw TaskFailure.permanent("no") }) { bench, node in
      let id = try await bench.submit(node) {
        $0.payload = Array(#"{"a": 1}"#.utf8)
        $0.priority = 8
        $0.delaySeconds = 1
        $0.tags = ["x"]
      }
      try await bench.wait(for: id)
      let copy = try await node.engine.service.replay(id, actor: Actor.api)
      #expect(copy.id != id)
      #expect(copy.replayOf == id)
      #expect(copy.status == .ready)
      #expect(copy.payload == Array(#"{"a": 1}"#.utf8))
      #expect(copy.priority == 8)
      #expect(copy.tags == ["x"])
    }
  }

  @Test func `a task that is not final cannot be replayed`() throws {
    try EngineBench.run { bench, node in
      let id = try await bench.submit(node) { $0.delaySeconds = 60 }
      await #expect(throws: ServiceError.invalidState(.pending, action: "replayed")) {
        try await node.engine.service.replay(id, actor: Actor.api)
      }
    }
  }

  @Test func `final tasks past their retention are pruned`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      var options = SimulatedNode.Options()
      options.retention = RetentionPolicy(success: .seconds(60), dead: nil, cancelled: nil)
      try await bench.withNode(options: options) { node in
        let id = try await bench.submit(node)
        try await bench.wait(for: id)
        try await bench.clock.sleep(for: .seconds(50))
        #expect(try await bench.store.tasks([id])[0] != nil)
        try await bench.clock.sleep(for: .seconds(30))
        #expect(try await bench.store.tasks([id])[0] == nil)
      }
    }
  }

  @Test func `a worker is listed while it lives, with what it does`() throws {
    try EngineBench.run { bench, node in
      try await bench.clock.sleep(for: .seconds(1))
      let workers = try await node.engine.service.workers()
      #expect(workers.map(\.id) == ["node-1"])
      #expect(workers.first?.types == ["test", "typed"])
      try await bench.clock.sleep(for: .seconds(600))
      #expect(try await node.engine.service.workers().count == 1)
    }
  }

  @Test func `readiness tells of a store that is down`() throws {
    try EngineBench.run { _, node in
      #expect(await node.engine.service.readiness().canServe)
      var down = LinkFaults()
      down.failsBefore = 1
      node.link.faults = down
      let readiness = await node.engine.service.readiness()
      #expect(!readiness.canServe)
      #expect(readiness.components.first?.detail == "simulated: not reached")
    }
  }
}
