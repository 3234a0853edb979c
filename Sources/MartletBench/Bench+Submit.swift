// Scenarios of submits inside one process: one by one and in bulk.

internal import Foundation
internal import MartletCore
internal import MartletEngine

extension Bench {
  /// Durable single submits by 1, 8 and 64 callers, and with SQLite the limit of one caller: how often this disk can say that
  /// it has written 4 KiB.
  func submit(_ results: inout Results) async throws {
    if options.database == nil { results.add(.submit, "limit of 1 client: fsyncs", try fsyncsPerSecond(), "1/s") }
    for callers in [1, 8, 64] {
      let perSecond: Double = try await withStore { store, _ in
        try await withEngine(store, handlers: []) { engine in
          try await rate(callers: callers) {
            try await engine.service.submit([NewTask(type: "noop", payload: samplePayload)]).count
          }
        }
      }
      results.add(.submit, Self.clients(callers), perSecond, "tasks/s")
    }
  }

  func bulk(_ results: inout Results) async throws {
    let tasks = Array(repeating: NewTask(type: "noop", payload: samplePayload), count: 1000)
    let perSecond: Double = try await withStore { store, _ in
      try await withEngine(store, handlers: []) { engine in
        try await rate(callers: 1) { try await engine.service.submit(tasks).count }
      }
    }
    results.add(.bulk, "1,000 a call", perSecond, "tasks/s")
  }

  // MARK: Helpers

  static func clients(_ count: Int) -> String {
    count == 1 ? "1 client" : "\(count) clients"
  }

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
}
