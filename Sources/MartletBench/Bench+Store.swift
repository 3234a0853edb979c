// Scenarios inside one process: submit, bulk, drain (with the limit of the same tables) and pickup.

internal import Foundation
internal import MartletCore
internal import MartletEngine
internal import MartletSQLite
internal import Synchronization

extension Bench {
  /// Durable single submits by 1, 8 and 64 callers, and the limit of one caller: how often this disk can say that it has
  /// written 4 KiB.
  func submit(_ results: inout Results) async throws {
    results.add(.submit, "limit of 1 caller: fsyncs", try fsyncsPerSecond(), "1/s")
    for callers in [1, 8, 64] {
      let perSecond: Double = try await withStore { store in
        try await withEngine(store, handlers: []) { engine in
          try await rate(callers: callers) {
            try await engine.service.submit([NewTask(type: "noop", payload: samplePayload)]).count
          }
        }
      }
      results.add(.submit, "\(callers) callers", perSecond, "tasks/s")
    }
  }

  func bulk(_ results: inout Results) async throws {
    let tasks = Array(repeating: NewTask(type: "noop", payload: samplePayload), count: 1000)
    let perSecond: Double = try await withStore { store in
      try await withEngine(store, handlers: []) { engine in
        try await rate(callers: 1) { try await engine.service.submit(tasks).count }
      }
    }
    results.add(.bulk, "1,000 a call", perSecond, "tasks/s")
  }

  func drain(_ results: inout Results) async throws {
    let total = options.drainTasks
    let seconds = try await withStore { store in
      try await fill(store, total)
      let start = ContinuousClock.now
      try await withEngine(store, handlers: [NoOp { _ in }]) { _ in
        while try await finished(store) < total { try await Task.sleep(for: .milliseconds(5)) }
      }
      return elapsed(since: start)
    }
    results.add(.drain, "backlog drained", Double(total) / seconds, "tasks/s")
    let limit = try await withStore { store in
      try await fill(store, total)
      let start = ContinuousClock.now
      try await claimAndFinishAll(store)
      return Double(total) / elapsed(since: start)
    }
    results.add(.drain, "limit: bare claims and finishes of 500", limit, "tasks/s")
  }

  /// From the call of submit to the first line of the handler, at a steady pace.
  func pickup(_ results: inout Results) async throws {
    for rate in [1, 100, 1000] {
      let count = rate == 1 ? 5 : Int(Double(rate) * options.seconds)
      let log = PickupLog()
      let noOp = NoOp { log.started($0.taskID) }
      try await withStore { store in
        try await withEngine(store, handlers: [noOp]) { engine in
          try await withThrowingTaskGroup(of: Void.self) { group in
            let start = ContinuousClock.now
            for index in 0..<count {
              try await Task.sleep(until: start + .seconds(Double(index) / Double(rate)), tolerance: .zero)
              group.addTask {
                let called = ContinuousClock.now
                let record = try await engine.service.submit([NewTask(type: "noop", payload: samplePayload)])[0]
                log.submitted(record.id, at: called)
              }
            }
            try await group.waitForAll()
          }
          while log.count < count { try await Task.sleep(for: .milliseconds(5)) }
        }
      }
      let sorted = log.latencies.sorted()
      let name = rate == 1 ? "idle" : "at \(rate)/s"
      results.add(.pickup, "\(name), p50", sorted[sorted.count / 2], "ms")
      results.add(.pickup, "\(name), p99", sorted[min(sorted.count - 1, sorted.count * 99 / 100)], "ms")
    }
  }

  // MARK: Helpers

  private func fsyncsPerSecond() throws -> Double {
    let path = options.directory + "/bench-fsync"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw StoreError.unusable("\(path): \(String(cString: strerror(errno)))") }
    defer {
      close(descriptor)
      unlink(path)
    }
    let page = [UInt8](repeating: 1, count: 4096)
    let start = ContinuousClock.now
    var count = 0
    while elapsed(since: start) < min(options.seconds, 1) {
      guard pwrite(descriptor, page, page.count, Int(count) * page.count) == page.count, fsync(descriptor) == 0 else {
        throw StoreError.unusable("\(path): \(String(cString: strerror(errno)))")
      }
      count += 1
    }
    return Double(count) / elapsed(since: start)
  }

  /// Calls per second of `callers` that call again and again; `call` says how many it did.
  func rate(callers: Int, _ call: @escaping @Sendable () async throws -> Int) async throws -> Double {
    let start = ContinuousClock.now
    let end = start + .seconds(options.seconds)
    let done = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<callers {
        group.addTask {
          var done = 0
          while ContinuousClock.now < end { done += try await call() }
          return done
        }
      }
      return try await group.reduce(0, +)
    }
    return Double(done) / elapsed(since: start)
  }

  func fill(_ store: SQLiteStore, _ total: Int) async throws {
    let ids = TaskIDGenerator(random: .system)
    var left = total
    while left > 0 {
      let count = min(left, 1000)
      let now = Self.wallClock()
      var tasks: [AcceptedTask] = []
      for _ in 0..<count {
        tasks.append(
          try NewTask(type: "noop", payload: samplePayload).accepted(
            id: ids.next(at: now), defaults: TaskDefaults(), now: now))
      }
      _ = try await store.submit([Submission(tasks)])
      left -= count
    }
  }

  private func finished(_ store: SQLiteStore) async throws -> Int {
    try await store.counts().reduce(0) { $0 + ($1.status == .success ? $1.count : 0) }
  }

  private func claimAndFinishAll(_ store: SQLiteStore) async throws {
    var token: Int64 = 1
    while true {
      token += 1
      let request = ClaimRequest(worker: "bench", queues: ["default"], types: ["noop"], limit: 500, token: token)
      let claimed = try await store.claim([request])[0]
      if claimed.isEmpty { return }
      _ = try await store.finish(
        claimed.map { Finish(lease: $0.lease, outcome: .success(result: nil), randomness: 0.5) })
    }
  }
}

/// When tasks were submitted and when their handlers began, which may be known in either order.
private final class PickupLog: Sendable {
  private let state = Mutex(
    (submitted: [TaskID: ContinuousClock.Instant](), started: [TaskID: ContinuousClock.Instant]()))

  func submitted(_ id: TaskID, at time: ContinuousClock.Instant) {
    state.withLock { $0.submitted[id] = time }
  }

  func started(_ id: TaskID) {
    let now = ContinuousClock.now
    state.withLock { $0.started[id] = now }
  }

  var count: Int { state.withLock(\.started.count) }

  var latencies: [Double] {
    state.withLock { state in
      state.submitted.compactMap { id, submitted in state.started[id].map { milliseconds($0 - submitted) } }
    }
  }
}

func milliseconds(_ duration: Duration) -> Double {
  Double(duration.components.seconds) * 1000 + Double(duration.components.attoseconds) / 1e15
}
