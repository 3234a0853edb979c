// When the store cannot be reached: nothing is accepted in memory, handlers go on, results are held and reported, and a
// lease that cannot be renewed stops its handler in time.

import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

@Suite struct OutageTests {
  private static var down: LinkFaults {
    var faults = LinkFaults()
    faults.failsBefore = 1
    return faults
  }

  @Test func `a result is held through an outage shorter than the lease and applied when it is over`() throws {
    let runs = Atomic(0)
    try EngineBench.run(handler: { _, _, clock in
      runs.add(1, ordering: .relaxed)
      try await clock.sleep(for: .seconds(1))
      return .done
    }) { bench, node in
      let id = try await bench.submit(node)
      try await bench.wait(for: id) { $0.status == .running }
      node.link.faults = Self.down
      try await bench.clock.sleep(for: .seconds(15))
      #expect(try await bench.record(id).status == .running)
      node.link.faults = LinkFaults()
      let task = try await bench.wait(for: id)
      #expect(task.status == .success)
      #expect(task.attempt == 1)
    }
    #expect(runs.load(ordering: .relaxed) == 1)
  }

  @Test(arguments: 1...10)
  func `a result is held through an outage longer than the lease, and applied before the rescuer takes it`(moment: Int)
    throws
  {
    let runs = Atomic(0)
    try EngineBench.run(
      handler: { _, _, clock in
        runs.add(1, ordering: .relaxed)
        try await clock.sleep(for: .seconds(1))
        return .done
      }
    ) { bench, node in
      let id = try await bench.submit(node) { $0.leaseSeconds = 5 }
      try await bench.wait(for: id) { _ in node.engine.busy == 1 }
      node.link.faults = Self.down
      try await bench.clock.sleep(for: .milliseconds(20_000 + 200 * moment))
      #expect(try await bench.record(id).status == .running)
      node.link.faults = LinkFaults()
      let task = try await bench.wait(for: id)
      #expect(task.status == .success)
      #expect(task.attempt == 1)
    }
    #expect(runs.load(ordering: .relaxed) == 1)
  }

  @Test func `a worker that died in an outage is rescued soon after it`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let handler: @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult = { _, context, clock in
        if context.attempt == 1 { try await clock.sleep(for: .seconds(100)) }
        return .done
      }
      try await bench.withNode(process: 1, handler: handler) { first in
        let id = try await bench.submit(first) { $0.leaseSeconds = 5 }
        try await bench.wait(for: id) { _ in first.engine.busy == 1 }
        try await bench.withNode(process: 2, handler: handler) { second in
          second.link.faults = Self.down
          first.crash()
          try await bench.clock.sleep(for: .seconds(20))
          second.link.faults = LinkFaults()
          let end = bench.clock.now
          #expect(try await bench.wait(for: id).status == .success)
          #expect(
            bench.seconds(since: end) < 8, "at most 2 s to notice, 3 s of grace, 1 s of backoff, and the look itself")
        }
      }
    }
  }

  @Test func `a handler whose lease cannot be renewed is stopped before it ends`() throws {
    let stoppedAfter = Mutex<Duration?>(nil)
    try EngineBench.run(handler: { _, context, clock in
      guard context.attempt == 1 else { return .done }
      let start = clock.now
      do {
        try await clock.sleep(for: .seconds(250))
      } catch {
        stoppedAfter.withLock { $0 = clock.now - start }
        throw error
      }
      return .done
    }) { bench, node in
      let id = try await bench.submit(node) { $0.leaseSeconds = 30 }
      try await bench.wait(for: id) { $0.status == .running }
      node.link.faults = Self.down
      try await bench.clock.sleep(for: .seconds(60))
      node.link.faults = LinkFaults()
      let task = try await bench.wait(for: id)
      #expect(task.status == .success)
      #expect(try await bench.attempts(id).map(\.outcome) == [.lost, .success])
    }
    let stopped = try #require(stoppedAfter.withLock { $0 })
    #expect(stopped < .seconds(30))
    #expect(stopped > .seconds(20), "not before it had to")
  }

  @Test func `a renewal without an answer keeps no handler from being stopped before its lease ends`() throws {
    let stoppedAfter = Mutex<[Duration]>([])
    try EngineBench.run(handler: { _, context, clock in
      guard context.attempt == 1 else { return .done }
      let start = clock.now
      do {
        try await clock.sleep(for: .seconds(250))
      } catch {
        stoppedAfter.withLock { $0.append(clock.now - start) }
        throw error
      }
      return .done
    }) { bench, node in
      var ids: [TaskID] = []
      for lease in [6.0, 30.0] {
        ids.append(try await bench.submit(node) { $0.leaseSeconds = lease })
        try await bench.wait(for: ids[ids.count - 1]) { $0.status == .running }
      }
      var hanging = LinkFaults()
      hanging.hangs = true
      node.link.faults = hanging
      try await bench.clock.sleep(for: .seconds(60))
      node.link.faults = LinkFaults()
      for id in ids { #expect(try await bench.wait(for: id).status == .success) }
    }
    let stopped = stoppedAfter.withLock(\.self)
    #expect(stopped.count == 2)
    #expect(stopped[0] < .seconds(6) && stopped[0] > .seconds(4))
    #expect(stopped[1] < .seconds(30) && stopped[1] > .seconds(24))
  }

  @Test
  func `a process that stood still past its lease stops its handlers, and its late reports are refused and counted`()
    throws
  {
    let stopped = Atomic(0)
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let handler: @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult = {
        payload, context, clock in
        guard context.attempt == 1 else { return .done }
        if payload.bytes == Array("1".utf8) {
          try? await clock.sleep(for: .seconds(1))  // ends by itself, and late
        } else {
          do { try await clock.sleep(for: .seconds(250)) } catch {
            stopped.add(1, ordering: .relaxed)
            throw error
          }
        }
        return .done
      }
      try await bench.withNode(process: 1, handler: handler) { first in
        let late = try await bench.submit(first) {
          $0.payload = Array("1".utf8)
          $0.leaseSeconds = 2
        }
        let long = try await bench.submit(first) { $0.leaseSeconds = 2 }
        try await bench.wait(for: long) { _ in first.engine.busy == 2 }
        first.pause()
        try await bench.withNode(process: 2, handler: handler) { _ in
          for id in [late, long] {
            let task = try await bench.wait(for: id)
            #expect(task.status == .success)
            #expect(task.worker == "node-2")
          }
          first.resume()
          try await bench.clock.sleep(for: .seconds(1))
        }
        #expect(stopped.load(ordering: .relaxed) == 1)
        #expect(first.engine.busy == 0)
        #expect(
          first.metrics.render().contains(#"martlet_leases_lost_total{queue="default",type="test"} 2"#))
        for id in [late, long] {
          #expect(try await bench.attempts(id).map(\.outcome) == [.lost, .success])
        }
      }
    }
  }

  @Test func `a submit that cannot be stored is refused, and one of unknown outcome names its task`() throws {
    try EngineBench.run { bench, node in
      try await bench.submit(node)  // so that the store's time is known
      node.link.faults = Self.down
      await #expect(throws: ServiceError.self) { try await bench.submit(node) }
      var lossy = LinkFaults()
      lossy.losesAnswer = 1
      node.link.faults = lossy
      do {
        try await bench.submit(node)
        Issue.record("accepted without an answer")
      } catch let error as ServiceError {
        guard case .store(.unknownOutcome, let tasks) = error else {
          Issue.record("\(error)")
          return
        }
        node.link.faults = LinkFaults()
        #expect(tasks.count == 1)
        #expect(try await bench.wait(for: tasks[0]).status == .success, "it was stored, and runs")
      }
    }
  }

  @Test func `a claim whose answer was lost is found again when its leases end`() throws {
    try EngineBench.run { bench, node in
      var lossy = LinkFaults()
      lossy.losesAnswer = 1
      node.link.faults = lossy
      let now = try await bench.store.now()
      let task = try NewTask(type: TestHandler.type).accepted(
        id: TaskIDGenerator(random: RandomSource(seed: 3)).next(at: now), defaults: TaskDefaults(), now: now)
      _ = try await bench.store.submit([Submission([task])])
      try await bench.wait(for: task.id) { $0.status == .running }
      node.link.faults = LinkFaults()
      let record = try await bench.wait(for: task.id)
      #expect(record.status == .success)
      #expect(try await bench.attempts(task.id).first?.outcome == .lost)
    }
  }
}
