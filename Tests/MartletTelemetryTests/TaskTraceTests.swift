// What a task leaves in a trace: submit, wait, attempts and calls of the store, each below the right one.

import Logging
import MartletCore
import MartletEngine
import MartletTestKit
import SpanReading
import Synchronization
import Testing
import Tracing

@testable import MartletTelemetry

@Suite struct TaskTraceTests {
  @Test func `wait and attempt are below what the task was submitted with, the report is below the attempt`() throws {
    try TraceBench.run(handler: { context, clock in
      try await clock.sleep(for: .seconds(2))
      #expect(context.traceparent?.contains(givenTrace) == true)
      #expect(context.traceparent != given)
      return .done
    }) { bench, node in
      try await bench.clock.sleep(for: .milliseconds(10))
      let id = try await bench.submit(node) {
        $0.traceparent = given
        $0.delaySeconds = 5
      }
      let record = try await bench.end(of: id)
      #expect(record.traceparent == given)
      let spans = try await bench.spans(3)
      let (wait, attempt, finish) = try (
        spans.one("wait"), spans.one("attempt"), spans.one("store finish")
      )
      #expect(Set(spans.map(\.traceID)) == [givenTrace])
      #expect(wait.parentID == givenSpan && attempt.parentID == givenSpan)
      #expect(finish.parentID == attempt.spanID)
      #expect((wait.kind, attempt.kind, finish.kind) == (1, 5, 3))
      for span in [wait, attempt] {
        #expect(span.attributes["martlet.task.id"] == id.description)
        #expect(span.attributes["martlet.task.type"] == "test")
        #expect(span.attributes["martlet.queue"] == "default")
        #expect(span.attributes["martlet.attempt"] == "1")
      }
      #expect(attempt.attributes["martlet.outcome"] == "SUCCESS")
      #expect(attempt.attributes["martlet.task.status"] == "SUCCESS")
      #expect(attempt.attributes["martlet.worker"] == "node-1")
      #expect(attempt.statusCode == 0)
      #expect(finish.attributes["db.system.name"] == "sqlite")
      #expect(finish.attributes["db.operation.name"] == "finish")
      // By the injected clock, which is the store's here. It waits from when it is READY, which is soon after it is due.
      let due = UInt64(record.createdAt.milliseconds + 5000) * 1_000_000
      #expect((due..<due + 1_000_000_000).contains(wait.start))
      #expect(wait.end == attempt.start)
      #expect(attempt.end - attempt.start == 2_000_000_000)
    }
  }

  @Test func `each attempt is a span, and one that failed says why`() throws {
    try TraceBench.run(handler: { context, _ in
      if context.attempt == 1 { throw TaskFailure.retry("no luck", type: "HTTP_503") }
      throw TaskFailure.permanent("never")
    }) { bench, node in
      let id = try await bench.submit(node) { $0.traceparent = given }
      try await bench.end(of: id)
      let attempts = try await bench.spans(6).filter { $0.name == "attempt" }.sorted { $0.start < $1.start }
      #expect(attempts.map { $0.attributes["martlet.attempt"] } == ["1", "2"])
      #expect(attempts.map { $0.attributes["martlet.outcome"] } == ["FAILED", "FAILED"])
      #expect(attempts.map { $0.attributes["martlet.task.status"] } == ["RETRY", "DEAD"])
      #expect(attempts.map { $0.attributes["error.type"] } == ["HTTP_503", "FAILED"])
      #expect(attempts.allSatisfy { $0.statusCode == 2 && $0.parentID == givenSpan })
      let event = try #require(attempts.first?.events.first)
      #expect(event.name == "exception")
      #expect(event.attributes == ["exception.type": "HTTP_503", "exception.message": "no luck"])
    }
  }

  @Test func `an attempt that runs out of time is an error`() throws {
    try TraceBench.run(handler: { _, clock in
      try await clock.sleep(for: .seconds(500))
      return .done
    }) { bench, node in
      let id = try await bench.submit(node) {
        $0.timeoutSeconds = 3
        $0.retries = 0
      }
      try await bench.end(of: id)
      let attempt = try await bench.spans(3).one("attempt")
      #expect(attempt.attributes["martlet.outcome"] == "TIMED_OUT")
      #expect(attempt.statusCode == 2)
      #expect(attempt.events.first?.attributes["exception.type"] == "TIMEOUT")
    }
  }

  @Test func `a snooze is no error`() throws {
    try TraceBench.run(handler: { context, _ in context.attempt == 1 ? .snooze(for: .seconds(5)) : .done }) {
      bench, node in
      try await bench.end(of: bench.submit(node))
      let attempts = try await bench.spans(6).filter { $0.name == "attempt" }
      #expect(attempts.allSatisfy { $0.statusCode == 0 })
      #expect(Set(attempts.map { $0.attributes["martlet.outcome"] }) == ["SNOOZED", "SUCCESS"])
    }
  }

  @Test func `an attempt whose worker is gone is told by whoever finds it`() throws {
    try simulate(seed: 1) { scheduler in
      let bench = TraceBench(scheduler)
      let hasBegun = Mutex(false)
      let doomed = try bench.node(2) { _, clock in
        hasBegun.withLock { $0 = true }
        try await clock.sleep(for: .seconds(5000))
        return .done
      }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await doomed.run() }
        let id = try await bench.submit(doomed) {
          $0.traceparent = given
          $0.retries = 0
        }
        try await bench.until { hasBegun.withLock(\.self) }
        doomed.crash()
        let other = try bench.node(1, isWorker: false) { _, _ in .done }
        group.addTask { await other.run() }
        try await bench.end(of: id)
        let attempt = try await bench.spans(2).one("attempt")
        other.engine.drain()
        try await group.waitForAll()
        #expect(attempt.attributes["martlet.outcome"] == "LOST")
        #expect(attempt.attributes["martlet.worker"] == "node-2")
        #expect((attempt.parentID, attempt.statusCode) == (givenSpan, 2))
        #expect(attempt.events.first?.attributes["exception.type"] == "LEASE_LOST")
      }
    }
  }

  @Test func `a task of no trace begins one with its wait`() throws {
    try TraceBench.run { bench, node in
      try await bench.end(of: bench.submit(node))
      let spans = try await bench.spans(3)
      #expect(Set(spans.map(\.traceID)).count == 1)
      #expect(try spans.one("wait").parentID == "")
      #expect(try spans.one("attempt").parentID == spans.one("wait").spanID)
    }
  }

  @Test func `nothing is told of a trace that its client does not keep`() throws {
    try TraceBench.run(handler: { context, _ in
      #expect(context.traceparent?.hasSuffix("-00") == true)
      return .done
    }) { bench, node in
      let id = try await bench.submit(node) { $0.traceparent = given.dropLast(2) + "00" }
      try await bench.end(of: id)
      try await bench.clock.sleep(for: .seconds(1))
      #expect(try bench.queue.decoded().isEmpty)
    }
  }

  @Test func `a handler's own spans are below its attempt`() throws {
    try TraceBench.run(handler: { context, clock in
      #expect(ServiceContext.current?.spanIdentity?.text == context.traceparent)
      await withSpan("resize", at: moment(1)) { span in
        #expect(span.isRecording)
        await withTaskGroup(of: Void.self) { group in
          group.addTask { withSpan("pixel", at: moment(2)) { _ in } }
        }
      }
      return .done
    }) { bench, node in
      let id = try await bench.submit(node) { $0.traceparent = given }
      try await bench.end(of: id)
      let spans = try await bench.spans(5)
      #expect(try spans.one("resize").parentID == spans.one("attempt").spanID)
      #expect(try spans.one("pixel").parentID == spans.one("resize").spanID)
      #expect(Set(spans.map(\.traceID)) == [givenTrace])
    }
  }

  @Test func `a submission from inside the process is a span; its tasks and the store's call are below it`() throws {
    try TraceBench.run { bench, node in
      let request = SubmitRequest([.init(NewTask(type: "test"))], isBatch: false)
      let id = try await node.engine.service.submitHere(request)[0].record.id
      try await bench.end(of: id)
      let spans = try await bench.spans(5)
      let submit = try spans.one("submit")
      #expect((submit.parentID, submit.kind) == ("", 4))
      #expect(try spans.one("store submit").parentID == submit.spanID)
      #expect(try spans.one("wait").parentID == submit.spanID)
      #expect(try spans.one("attempt").parentID == submit.spanID)
    }
  }

  @Test func `a shared call is part of no caller's span, and tells each how many items it had`() async throws {
    let queue = SpanQueue { _ in }
    let tracer = OTLPTracer(queue, ratio: 1, random: RandomSource(seed: 1))
    let gate = Alarm()
    let calls = Mutex<[Int]>([])
    let coalescer = Coalescer<Int, Int> { (items) throws(StoreError) in
      #expect(ServiceContext.current == nil, "a call of many is part of none of them")
      if items == [0] { await gate.wait() }
      calls.withLock { $0.append(items.count) }
      return items
    }
    try await withThrowingTaskGroup(of: Int.self) { group in
      group.addTask { try await coalescer.together([0]).batch }
      while calls.withLock({ $0.isEmpty }) {
        for number in 1...3 {
          group.addTask {
            let span = tracer.begin("caller \(number)")
            return try await ServiceContext.$current.withValue(span.context) {
              try await coalescer.together([number]).batch
            }
          }
        }
        try await Task.sleep(for: .milliseconds(100))
        gate.ring()
        try await Task.sleep(for: .milliseconds(100))
      }
      var batches: [Int] = []
      for try await batch in group { batches.append(batch) }
      #expect(batches.reduce(0, +) >= batches.count)
    }
  }

  @Test func `what a schedule makes begins a trace of its own`() throws {
    try TraceBench.run { bench, node in
      try await bench.until {
        do {
          var schedule = NewSchedule(name: "nightly", task: NewTask(type: "test"))
          schedule.everySeconds = 60
          _ = try await node.engine.schedules.create(schedule, by: .unguarded)
          return true
        } catch { return false }
      }
      try await bench.clock.sleep(for: .seconds(130))
      let submits = try bench.queue.decoded().filter { $0.name == "submit" }
      #expect(submits.count >= 2)
      #expect(Set(submits.map(\.traceID)).count == submits.count)
      #expect(submits.allSatisfy { $0.attributes["martlet.schedule"] == "nightly" })
    }
  }

  // MARK: Workers elsewhere

  @Test func `a Swift worker elsewhere that traces has a span below its server's, its handler's below that`() throws {
    try TraceBench.run(isWorker: false) { bench, node in
      try await bench.withWorker(
        node,
        { _, _ in
          withSpan("resize", at: moment(1)) { _ in }
          return .done
        }
      ) {
        let id = try await bench.submit(node) { $0.traceparent = given }
        try await bench.end(of: id)
        let spans = try await bench.spans(5)
        #expect(try spans.one("attempt").parentID == givenSpan)
        #expect(try spans.one("run").parentID == spans.one("attempt").spanID)
        #expect(try spans.one("resize").parentID == spans.one("run").spanID)
        #expect(try spans.one("run").attributes["martlet.outcome"] == "SUCCESS")
      }
    }
  }

  @Test func `what a worker elsewhere does is below the attempt that its server tells of`() throws {
    try TraceBench.run(isWorker: false) { bench, node in
      let id = try await bench.submit(node) { $0.traceparent = given }
      let grant = try await node.engine.leases.lease(LeaseRequest(worker: "far", host: "h", types: ["test"]))
      let task = try #require(grant.tasks.first)
      let handed = try #require(task.traceparent.flatMap { TraceParent($0) })
      #expect(handed.traceIDText == givenTrace && handed.spanIDText != givenSpan)
      _ = try await node.engine.leases.finish([
        LeaseReport(lease: task.lease, outcome: .failed(.stub, .giveUp(.nonRetryable)))
      ])
      let spans = try await bench.spans(3)
      let attempt = try spans.one("attempt")
      #expect((attempt.spanID, attempt.parentID) == (handed.spanIDText, givenSpan))
      #expect(attempt.attributes["martlet.worker"] == "far")
      #expect(attempt.attributes["martlet.task.status"] == "DEAD")
      #expect(attempt.statusCode == 2)
      #expect(try spans.one("wait").parentID == givenSpan)
      #expect(try await bench.record(id).traceparent == given)
    }
  }
}

/// The lease protocol without its text.
private struct LeaseLink: WorkSource {
  let leases: LeaseService
  let clock: ProcessClock

  func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] {
    var answers: [[ClaimedTask]] = []
    for request in requests {
      var asked = LeaseRequest(worker: request.worker, host: "h", types: request.types)
      asked.limit = request.limit
      asked.patience = request.patience
      do {
        answers.append(try await leases.lease(asked).tasks)
      } catch {
        throw .unavailable("\(error)")
      }
    }
    return answers
  }

  func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] {
    do {
      return try await leases.renew(
        renewals.map { LeaseRenewal(lease: $0.lease, progress: $0.progress, logs: $0.logs) })
    } catch {
      throw .unavailable("\(error)")
    }
  }

  func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] {
    do {
      return try await leases.finish(
        finishes.map { LeaseReport(lease: $0.lease, outcome: $0.outcome, logs: $0.logs) })
    } catch {
      throw .unavailable("\(error)")
    }
  }
}

/// A node that traces, on virtual time.
final class TraceBench: Sendable {
  typealias Handler = @Sendable (AttemptContext, ProcessClock) async throws -> TaskResult

  let queue = SpanQueue { _ in Issue.record("nothing is to be dropped") }
  let clock: ProcessClock
  private let scheduler: Scheduler
  private let store: MemoryStore
  private let seen = Mutex<[DecodedSpan]>([])

  private struct TestHandler: TaskHandler {
    static let type = "test"
    let body: Handler
    let clock: ProcessClock

    func run(_ payload: RawJSON, context: AttemptContext) async throws -> TaskResult {
      try await body(context, clock)
    }
  }

  static func run(
    isWorker: Bool = true, handler: @escaping Handler = { _, _ in .done },
    _ body: @escaping @Sendable (TraceBench, SimulatedNode) async throws -> Void
  ) throws {
    try simulate(seed: 1) { scheduler in
      let bench = TraceBench(scheduler)
      let node = try bench.node(1, isWorker: isWorker, handler)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await node.run() }
        try await body(bench, node)
        node.engine.drain()
        try await group.waitForAll()
      }
    }
  }

  init(_ scheduler: Scheduler) {
    self.scheduler = scheduler
    clock = ProcessClock(scheduler: scheduler)
    store = MemoryStore(clock: { Timestamp(milliseconds: 1_800_000_000_000 + scheduler.now / 1_000_000) })
  }

  func node(_ process: Int, isWorker: Bool = true, _ handler: @escaping Handler) throws -> SimulatedNode {
    var options = SimulatedNode.Options()
    options.isWorker = isWorker
    options.isScheduler = process == 1
    options.spans = { _ in self.spanSource(process) }
    return try SimulatedNode(
      process: process, scheduler: scheduler, store: store, random: RandomSource(seed: UInt64(process)),
      counters: Counters(), handlers: { [TestHandler(body: handler, clock: $0.clock)] }, options: options)
  }

  func spanSource(_ process: Int) -> SpanSource {
    var spans = SpanSource(OTLPTracer(queue, ratio: 1, random: RandomSource(seed: UInt64(process)))) { [scheduler] in
      moment(1_800_000_000_000_000_000 + UInt64(scheduler.now))
    }
    spans.database = "sqlite"
    return spans
  }

  /// Works for a node from elsewhere while `body` runs.
  func withWorker(
    _ node: SimulatedNode, _ handler: @escaping Handler, _ body: () async throws -> Void
  ) async throws {
    let link = LeaseLink(leases: node.engine.leases, clock: clock)
    let random = RandomSource(seed: 4)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let broker = ClaimBroker(source: link, clock: clock, random: random, logger: logger, pollInterval: .zero)
    var settings = Worker.Settings(id: "far", queues: ["*"], concurrency: 4, grace: .seconds(5), isLocal: false)
    settings.patience = .seconds(30)
    let worker = Worker(
      settings, source: link, broker: broker,
      registry: try HandlerRegistry([TestHandler(body: handler, clock: clock)]),
      executor: ProcessExecutor(scheduler: scheduler, process: 0), clock: clock, random: random,
      observer: WorkObserver(), spans: spanSource(7), logger: logger)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await broker.run() }
      group.addTask { await worker.run() }
      try await body()
      broker.close()
      worker.drain()
      try await group.waitForAll()
    }
  }

  func submit(_ node: SimulatedNode, _ change: (inout NewTask) -> Void = { _ in }) async throws -> TaskID {
    var task = NewTask(type: "test")
    change(&task)
    return try await node.engine.service.submit([task])[0].id
  }

  func record(_ id: TaskID) async throws -> TaskRecord { try #require(try await store.tasks([id])[0]) }

  @discardableResult
  func end(of id: TaskID) async throws -> TaskRecord {
    try await until { try await self.record(id).status.isFinal }
    return try await record(id)
  }

  /// Once there are as many; in order of their ends.
  func spans(_ count: Int) async throws -> [DecodedSpan] {
    try await until {
      let new = try self.queue.decoded()
      return self.seen.withLock { seen in
        seen += new
        return seen.count >= count
      }
    }
    return seen.withLock(\.self)
  }

  func until(_ condition: () async throws -> Bool) async throws {
    let end = clock.now + .seconds(3600)
    while try await !condition() {
      try #require(clock.now < end)
      try await clock.sleep(for: .milliseconds(1))
    }
  }
}
