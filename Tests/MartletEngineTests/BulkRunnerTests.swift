// Actions in bulk on nodes: at once, in the background at their rate, and taken over from a node that died.

import MartletCore
import MartletEngine
import MartletTestKit
import Testing

@Suite struct BulkRunnerTests {
  private static func request(_ action: BulkAction, rate: Double? = nil) -> BulkRequest {
    var request = BulkRequest(action, BulkSelection())
    request.all = true
    request.ratePerSecond = rate
    return request
  }

  private static let idle: SimulatedNode.Options = {
    var options = SimulatedNode.Options()
    options.isWorker = false
    return options
  }()

  @Test func `what is done at once is done when the call returns, however many pages it has`() throws {
    try EngineBench.run(options: Self.idle) { bench, node in
      _ = try await bench.store.submit([Submission((1...700).map { .stub($0) })])
      let answer = try await node.engine.service.bulk(Self.request(.cancel), actor: "key:a")
      #expect(answer == BulkAnswer(matched: 700, changed: 700, id: nil))
      #expect(try await bench.store.counts().map(\.status) == [.cancelled])
      #expect(try await bench.store.audit(AuditQuery()).entries.map(\.actor) == ["key:a"])
    }
  }

  @Test func `a retry at once is worked on at once`() throws {
    try EngineBench.run(handler: { _, context, _ in
      if context.attempt == 1 { throw TaskFailure.permanent("no") }
      return .done
    }) { bench, node in
      let id = try await bench.submit(node)
      try await bench.wait(for: id)
      let start = bench.clock.now
      #expect(try await node.engine.service.bulk(Self.request(.retry), actor: "a").changed == 1)
      try await bench.wait(for: id) { $0.status == .success }
      #expect(bench.seconds(since: start) < 0.1)
    }
  }

  @Test func `a running task hears of a cancel in bulk at once`() throws {
    try EngineBench.run(handler: { _, context, clock in
      while !context.isCancelled { try await clock.sleep(for: .milliseconds(10)) }
      throw CancellationError()
    }) { bench, node in
      let id = try await bench.submit(node)
      try await bench.wait(for: id) { $0.status == .running }
      let start = bench.clock.now
      #expect(try await node.engine.service.bulk(Self.request(.cancel), actor: "a").changed == 1)
      #expect(try await bench.wait(for: id).status == .cancelled)
      #expect(bench.seconds(since: start) < 1)
    }
  }

  @Test func `a job with a rate keeps to it, on however many nodes`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      _ = try await bench.store.submit([Submission((1...200).map { .stub($0) })])
      try await bench.withNode(process: 1, options: Self.idle) { first in
        try await bench.withNode(process: 2, options: Self.idle) { _ in
          let start = bench.clock.now
          let answer = try await first.engine.service.bulk(Self.request(.cancel, rate: 20), actor: "a")
          let id = try #require(answer.id)
          var job = try await first.engine.service.bulkJob(id)
          var most = 0.0
          while job.status == .running {
            try await bench.clock.sleep(for: .milliseconds(100))
            job = try await first.engine.service.bulkJob(id)
            most = max(most, Double(job.changed) - 20 * bench.seconds(since: start))
          }
          #expect(job.status == .done && job.changed == 200)
          #expect(most <= 24, "\(most) more than the rate allows")  // a second's and a page's worth
          #expect((9.0..<12.0).contains(bench.seconds(since: start)), "\(bench.seconds(since: start))")
        }
      }
    }
  }

  @Test func `what a node that died has begun another carries on`() throws {
    try EngineBench.run(options: Self.idle) { bench, node in
      _ = try await bench.store.submit([Submission((1...600).map { .stub($0) })])
      let order = BulkOrder(id: .stub(5000), .cancel, BulkSelection(), actor: "a")
      // As a call does it that does not come to its end.
      _ = try await bench.store.begin(order, hold: .seconds(10))
      _ = try await bench.store.carryOn(bulk: order.id, limit: 250, hold: .seconds(10), keys: .zero)
      try await bench.clock.sleep(for: .seconds(9))
      #expect(try await node.engine.service.bulkJob(order.id).changed == 250)
      try await bench.clock.sleep(for: .seconds(7))
      let job = try await node.engine.service.bulkJob(order.id)
      #expect(job.status == .done && job.changed == 600)
      for number in 1...600 { #expect(try await bench.store.events(of: .stub(number))?.count == 3) }
    }
  }

  @Test func `a dry run changes nothing, and leaves no job`() throws {
    try EngineBench.run(options: Self.idle) { bench, node in
      _ = try await bench.store.submit([Submission((1...5).map { .stub($0) })])
      var request = Self.request(.cancel, rate: 1)
      request.isDryRun = true
      #expect(try await node.engine.service.bulk(request, actor: "a") == BulkAnswer(matched: 5, changed: 0, id: nil))
      request.limit = 3
      #expect(try await node.engine.service.bulk(request, actor: "a").matched == 3)
      #expect(try await node.engine.service.bulkJobs(before: nil, limit: 10).jobs.isEmpty)
      #expect(try await bench.store.counts().map(\.status) == [.ready])
    }
  }

  @Test func `who gives up its request leaves the job to the duty, which carries it on`() throws {
    try EngineBench.run(options: Self.idle) { bench, node in
      // All are kept for their keys: pages that change nothing, as those of a job that another holds.
      for number in 1...600 {
        let key = IdempotencyKey("k\(number)", fingerprint: [UInt8](repeating: 1, count: 32), tasks: [0])
        _ = try await bench.store.submit([Submission([.stub(number, retries: 0)], keys: [key])])
      }
      let request = ClaimRequest(worker: "w", queues: ["default"], types: ["resize"], limit: 600, token: 1)
      let claimed = try await bench.store.claim([request])[0]
      _ = try await bench.store.finish(
        claimed.map { Finish(lease: $0.lease, outcome: .failed(.stub, .giveUp(.nonRetryable)), randomness: 0) })
      let answer = await withTaskGroup(of: BulkAnswer?.self) { group in
        group.addTask { try? await node.engine.service.bulk(Self.request(.purge), actor: "a") }
        group.cancelAll()
        return await group.next() ?? nil
      }
      #expect(answer == nil)
      let begun = try #require(try await node.engine.service.bulkJobs(before: nil, limit: 1).jobs.first)
      #expect(begun.status == .running && begun.matched == 250, "one page, and no turn without a pause")
      try await bench.clock.sleep(for: .seconds(17))
      let job = try await node.engine.service.bulkJob(begun.id)
      #expect(job.status == .done && job.matched == 600 && job.failed == 600)
    }
  }

  @Test func `a job that fails for good is FAILED and tells why, and the others have their turn`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      let faulty = FaultyStore(bench.store) { operation, number in
        operation == .carryOn && number == 1 ? .forGood : nil
      }
      _ = try await bench.store.submit([Submission((1...10).map { .stub($0) })])
      let orders = [5000, 5001].map {
        BulkOrder(id: .stub($0), .cancel, BulkSelection(), ratePerSecond: 100, actor: "a")
      }
      for order in orders {
        _ = try await bench.store.begin(order, hold: .zero)
        try await bench.clock.sleep(for: .milliseconds(1))
      }
      try await bench.withNode(options: Self.idle, store: faulty) { node in
        try await bench.clock.sleep(for: .seconds(6))
        let failed = try await node.engine.service.bulkJob(orders[0].id)
        #expect(failed.status == .failed && failed.changed == 0 && failed.finishedAt != nil)
        #expect(failed.lastError == "carryOn 1 fails for good on purpose")
        let done = try await node.engine.service.bulkJob(orders[1].id)
        #expect(done.status == .done && done.changed == 10)
        #expect(try await bench.store.dueBulk() == BulkDue(job: nil, nextIn: nil))
      }
    }
  }
}
