// One node over the reference store, on virtual time: what a test of the engine needs to submit, wait and look.

import MartletCore
import MartletEngine
import MartletTestKit

/// A handler that a test writes in place.
struct TestHandler: TaskHandler {
  static let type = "test"
  let body: @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult
  let clock: ProcessClock

  func run(_ payload: RawJSON, context: AttemptContext) async throws -> TaskResult {
    try await body(payload, context, clock)
  }
}

/// A handler with a payload of its own.
struct TypedHandler: TaskHandler {
  struct Payload: Codable {
    var width: Int
  }
  static let type = "typed"

  func problems(in payload: Payload) -> [ValidationProblem] {
    payload.width > 0 ? [] : [ValidationProblem(pointer: "/width", detail: "must be above 0")]
  }

  func run(_ payload: Payload, context: AttemptContext) async throws -> TaskResult {
    try .success(["width": payload.width])
  }
}

final class EngineBench: Sendable {
  let scheduler: Scheduler
  let clock: ProcessClock
  let store: MemoryStore
  let counters = Counters()

  /// Runs `body` with a node whose handler is `handler`; the node is drained afterwards.
  static func run<Value: Sendable>(
    seed: UInt64 = 1, options: SimulatedNode.Options = .init(),
    handler: @escaping @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult = { _, _, _ in .done
    },
    _ body: @escaping @Sendable (EngineBench, SimulatedNode) async throws -> Value
  ) throws -> Value {
    try simulate(seed: seed) { scheduler in
      let bench = EngineBench(scheduler: scheduler)
      return try await bench.withNode(options: options, handler: handler) { try await body(bench, $0) }
    }
  }

  init(scheduler: Scheduler, preferredConcurrency: Int = 1) {
    self.scheduler = scheduler
    clock = ProcessClock(scheduler: scheduler)
    store = MemoryStore(
      preferredConcurrency: preferredConcurrency,
      clock: { Timestamp(milliseconds: 1_800_000_000_000 + scheduler.now / 1_000_000) })
  }

  /// `store` is the bench's own, or something around it.
  func withNode<Value: Sendable>(
    process: Int = 1, options: SimulatedNode.Options = .init(), store: (any TaskStore)? = nil,
    handler: @escaping @Sendable (RawJSON, AttemptContext, ProcessClock) async throws -> TaskResult = { _, _, _ in .done
    },
    _ body: @escaping @Sendable (SimulatedNode) async throws -> Value
  ) async throws -> Value {
    let node = try SimulatedNode(
      process: process, scheduler: scheduler, store: store ?? self.store, random: RandomSource(seed: UInt64(process)),
      counters: counters, handlers: { [TestHandler(body: handler, clock: $0.clock), TypedHandler()] },
      options: options)
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await node.run() }
      let value = try await body(node)
      node.engine.drain()
      try await group.waitForAll()
      return value
    }
  }

  @discardableResult
  func submit(_ node: SimulatedNode, _ change: (inout NewTask) -> Void = { _ in }) async throws -> TaskID {
    var task = NewTask(type: TestHandler.type)
    task.backoff = NewTask.Backoff()
    task.backoff?.jitter = 0
    change(&task)
    return try await node.engine.service.submit([task])[0].id
  }

  func record(_ id: TaskID) async throws -> TaskRecord {
    guard let record = try await store.tasks([id])[0] else { throw Missing() }
    return record
  }

  func attempts(_ id: TaskID) async throws -> [AttemptRecord] {
    try await store.attempts(of: id) ?? []
  }

  /// The task once `condition` holds; gives up after a day.
  @discardableResult
  func wait(
    for id: TaskID, until condition: (TaskRecord) -> Bool = { $0.status.isFinal }
  ) async throws -> TaskRecord {
    let end = clock.now + .seconds(86_400)
    while clock.now < end {
      let record = try await record(id)
      if condition(record) { return record }
      try await clock.sleep(for: .milliseconds(1))
    }
    throw Missing()
  }

  func seconds(since start: MonotonicTime) -> Double {
    let (seconds, attoseconds) = (clock.now - start).components
    return Double(seconds) + Double(attoseconds) / 1e18
  }

  struct Missing: Error {}
}
