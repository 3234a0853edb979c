// The engine's own worker over a source far away that holds requests: leases count from when they began, whatever time the request
// had spent waiting before.

import Logging
import MartletCore
import MartletEngine
import MartletTestKit
import Synchronization
import Testing

@Suite struct RemoteSourceTests {
  /// A node's lease service as a source, as a client makes it of HTTP.
  private struct Link: WorkSource {
    let service: LeaseService
    let clock: ProcessClock
    let isDown = Down()

    final class Down: Sendable {
      private let value = Atomic(false)
      func set(_ isDown: Bool) { value.store(isDown, ordering: .relaxed) }
      func check() throws(StoreError) { if value.load(ordering: .relaxed) { throw .unavailable("down") } }
    }

    func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
      var answers: [[ClaimedTask]] = []
      for request in requests {
        try isDown.check()
        var lease = LeaseRequest(worker: request.worker, host: "", types: request.types)
        (lease.limit, lease.ahead, lease.patience) = (request.limit, request.ahead, request.patience)
        try? await clock.sleep(for: .milliseconds(1))
        do throws(ServiceError) {
          let grant = try await service.lease(lease)
          answers.append(
            grant.tasks.map { task in
              var task = task
              task.heldFor = grant.held
              task.expiresIn = task.expiresIn - grant.age
              return task
            })
        } catch {
          throw .unavailable("\(error)")
        }
      }
      return answers
    }

    func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
      try isDown.check()
      do throws(ServiceError) {
        return try await service.renew(renewals.map { LeaseRenewal(lease: $0.lease, progress: $0.progress) })
      } catch {
        throw .unavailable("\(error)")
      }
    }

    func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
      try isDown.check()
      do throws(ServiceError) {
        return try await service.finish(
          finishes.map { LeaseReport(lease: $0.lease, outcome: $0.outcome, logs: $0.logs) })
      } catch {
        throw .unavailable("\(error)")
      }
    }
  }

  private static func run(
    handler: @escaping @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult,
    _ body: @escaping @Sendable (EngineBench, SimulatedNode, Link.Down) async throws -> Void
  ) throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      var options = SimulatedNode.Options()
      options.isWorker = false
      try await bench.withNode(options: options) { node in
        let link = Link(service: node.engine.leases, clock: bench.clock)
        let random = RandomSource(seed: 4)
        let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let broker = ClaimBroker(
          source: link, clock: bench.clock, random: random, logger: logger, pollInterval: .zero)
        var settings = Worker.Settings(
          id: "far", queues: ["*"], concurrency: 4, grace: .seconds(5), isLocal: false)
        settings.patience = .seconds(30)
        let worker = Worker(
          settings, source: link, reportLanes: 2, broker: broker,
          registry: try HandlerRegistry([TestHandler(body: handler, clock: bench.clock)]),
          executor: ProcessExecutor(scheduler: scheduler, process: 0), clock: bench.clock, random: random,
          observer: WorkObserver(), logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { await broker.run() }
          group.addTask { await worker.run() }
          try await bench.clock.sleep(for: .seconds(1))
          try await body(bench, node, link.isDown)
          broker.close()
          worker.drain()
          try await group.waitForAll()
        }
      }
    }
  }

  @Test func `a task that came after a long wait is begun, though its timeout and lease are shorter than the wait`()
    throws
  {
    try Self.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(1))
      return .done
    }) { bench, node, _ in
      try await bench.clock.sleep(for: .seconds(20))
      let id = try await bench.submit(node) {
        $0.leaseSeconds = 2
        $0.timeoutSeconds = 4
      }
      #expect(try await bench.wait(for: id).status == .success)
      #expect(try await bench.record(id).attempt == 1)
    }
  }

  @Test func `a long attempt is renewed, and its progress arrives`() throws {
    try Self.run(handler: { _, context, clock in
      context.progress(40, "on the way")
      try await clock.sleep(for: .seconds(100))
      return .done
    }) { bench, node, _ in
      let id = try await bench.submit(node) { $0.leaseSeconds = 6 }
      try await bench.wait(for: id) { $0.progress?.percent == 40 }
      #expect(try await bench.wait(for: id).status == .success)
      #expect(try await bench.attempts(id).count == 1)
    }
  }

  @Test func `cancelling reaches the handler with the next renewal`() throws {
    try Self.run(handler: { _, _, clock in
      try await clock.sleep(for: .seconds(250))
      return .done
    }) { bench, node, _ in
      let id = try await bench.submit(node) { $0.leaseSeconds = 6 }
      try await bench.wait(for: id) { $0.status == .running }
      _ = try await node.engine.service.cancel(id)
      let start = bench.clock.now
      #expect(try await bench.wait(for: id).status == .cancelled)
      #expect(bench.seconds(since: start) < 2.5)
    }
  }

  @Test func `a handler is stopped before its lease ends when the server cannot be reached, and nothing is reported`()
    throws
  {
    let stoppedAfter = Mutex<Duration?>(nil)
    let causes = Mutex<[StopCause?]>([])
    try Self.run(handler: { _, context, clock in
      guard context.attempt == 1 else { return .done }
      let start = clock.now
      do { try await clock.sleep(for: .seconds(250)) } catch {
        stoppedAfter.withLock { $0 = clock.now - start }
        causes.withLock { $0.append(context.stop) }
        throw error
      }
      return .done
    }) { bench, node, down in
      try await bench.clock.sleep(for: .seconds(25))  // it has been waiting for long
      let id = try await bench.submit(node) { $0.leaseSeconds = 20 }
      try await bench.wait(for: id) { $0.status == .running }
      down.set(true)
      try await bench.clock.sleep(for: .seconds(40))
      down.set(false)
      #expect(try await bench.wait(for: id).status == .success)
      #expect(try await bench.attempts(id).map(\.outcome) == [.lost, .success])
    }
    let end = stoppedAfter.withLock { $0 }
    let stopped = try #require(end)
    #expect(stopped < .seconds(20) && stopped > .seconds(15), "\(stopped)")
    let told = causes.withLock { $0 }
    #expect(told == [.leaseLost])
  }
}
