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
      let copy = try await node.engine.service.replay(id)
      #expect(copy.id != id)
      #expect(copy.replayOf == id)
      #expect(copy.status == .ready)
      #expect(copy.payload == Array(#"{"a": 1}"#.utf8))
      #expect(copy.priority == 8)
      #expect(copy.tags == ["x"])
    }
  }

  @Test func `what is stored and cannot be read back is of unknown outcome, with its ids, and never refused`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let store = FaultyStore(bench.store) { operation, _ in operation == .tasks ? .before : nil }
      let ids: [TaskID] = try await bench.withNode(store: store) { node in
        var tasks = [NewTask(type: "test"), NewTask(type: "test")]
        tasks[0].ref = "first"
        tasks[1].dependencies = ["first"]
        do {
          _ = try await node.engine.service.submit(tasks)
          return []
        } catch ServiceError.store(.unknownOutcome, let ids) {
          return ids
        }
      }
      #expect(ids.count == 2)
      let stored = try await bench.store.tasks(ids)
      #expect(stored.allSatisfy { $0 != nil })
    }
  }

  @Test func `a task that is not final cannot be replayed`() throws {
    try EngineBench.run { bench, node in
      let id = try await bench.submit(node) { $0.delaySeconds = 60 }
      await #expect(throws: ServiceError.invalidState(.pending, action: "replayed")) {
        try await node.engine.service.replay(id)
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

  @Test(arguments: [1, 3])
  func `a store is given as many submits, finishes and renewals at once as it likes`(lanes: Int) throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler, preferredConcurrency: lanes)
      let store = FaultyStore(
        bench.store, pause: { _ in try? await bench.clock.sleep(for: .milliseconds(300)) }, fault: { _, _ in nil })
      var options = SimulatedNode.Options()
      options.concurrency = 50
      try await bench.withNode(
        options: options, store: store,
        handler: { payload, _, clock in
          try await clock.sleep(
            for: .milliseconds(2000 + 37 * (Int64(String(decoding: payload.bytes, as: UTF8.self)) ?? 0)))
          return .done
        }
      ) { node in
        try await withThrowingTaskGroup(of: TaskID.self) { group in
          for number in 0..<50 {
            group.addTask {
              try await bench.clock.sleep(for: .milliseconds(23 * number))
              return try await bench.submit(node) {
                $0.payload = Array("\(number)".utf8)
                $0.leaseSeconds = Double(2 + number % 3)
              }
            }
          }
          for try await id in group { #expect(try await bench.wait(for: id).status == .success) }
        }
      }
      for operation in [StoreOperation.submit, .finish, .renew] {
        #expect(store.mostAtOnce(of: operation) == lanes, "\(operation)")
      }
    }
  }

  @Test func `readiness waits no longer than a second for a store that gives no answer`() throws {
    try EngineBench.run { bench, node in
      var hanging = LinkFaults()
      hanging.hangs = true
      node.link.faults = hanging
      for _ in 0..<2 {
        let start = bench.clock.now
        let readiness = await node.engine.service.readiness()
        #expect(!readiness.canServe)
        #expect(readiness.components.first?.detail == "no answer within 1 s")
        #expect(bench.seconds(since: start) <= 1)
      }
      node.link.faults = LinkFaults()
      #expect(await node.engine.service.readiness().canServe)
    }
  }

  @Test func `a page of attempts ends after some megabytes, and the next goes on behind it`() throws {
    var options = SimulatedNode.Options()
    (options.isWorker, options.isScheduler) = (false, false)
    try EngineBench.run(options: options) { bench, node in
      let id = try await bench.submit(node)
      let lines = [String](repeating: String(repeating: "x", count: 1000), count: 64)
      for number in 1...140 {
        let request = ClaimRequest(
          worker: "w", queues: ["default"], types: [TestHandler.type], limit: 1, token: Int64(number))
        let task = try #require(try await bench.store.claim([request]).first?.first)
        _ = try await bench.store.finish([
          Finish(lease: task.lease, outcome: .released, logs: lines, randomness: 0)
        ])
      }
      let service = node.engine.service
      let first = try await service.attempts(of: id, after: 0, limit: 1000)
      let bytes = first.elements.flatMap(\.logs).reduce(0) { $0 + $1.utf8.count }
      #expect(bytes > 8_000_000 && bytes < 8_500_000)
      let place = try #require(first.next)
      let second = try await service.attempts(of: id, after: place, limit: 1000)
      #expect((first.elements + second.elements).map(\.number) == Array(1...140) && second.next == nil)
      let some = try await service.attempts(of: id, after: 3, limit: 100)
      #expect(some.elements.map(\.number) == Array(4...103) && some.next == 103)
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
