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
