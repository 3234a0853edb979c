// A history that is read while it grows: in some stores several rows tell it, and none may be told twice or left out because
// somebody was at work between two of them.

import MartletCore
import MartletTestKit
import Testing

@Suite(.timeLimit(.minutes(30))) struct GrowingHistoryTests {
  @Test(arguments: stores.filter(\.isPersistent))
  func `a history that is read while it grows is one that it had`(store: StoreUnderTest) async throws {
    try await store.onBench { bench in
      try await bench.submit(.stub(1, retries: 100_000))
      let reads = try await withThrowingTaskGroup(of: Int.self) { group in
        group.addTask {
          for _ in 1...(races * 4) { try await attemptAndRetry(on: bench) }
          return 0
        }
        for _ in 1...3 { group.addTask { try await readUntilCancelled(bench) } }
        _ = try await group.next()
        group.cancelAll()
        return try await group.reduce(0, +)
      }
      #expect(reads > 0)
    }
  }

  private func attemptAndRetry(on bench: StoreBench) async throws {
    guard let claimed = try await bench.claim().first else { throw BenchError.nothingToClaim }
    try await bench.finish(claimed.lease, .failed, logs: ["late"])
    try await bench.steer(.retry)
  }

  /// How often.
  private func readUntilCancelled(_ bench: StoreBench) async throws -> Int {
    var reads = 0
    while !Task.isCancelled {
      let events = try await bench.events()
      #expect(events.map(\.sequence) == Array(1...events.count))
      let cycle: [TaskEventType] = [.started, .failed, .retry, .retried, .ready]
      let told = [.received, .ready] + (0..<events.count).map { cycle[$0 % cycle.count] }
      #expect(events.map(\.type) == Array(told.prefix(events.count)))
      let attempts = try await bench.attempts()
      #expect(attempts.map(\.number) == Array(1..<(attempts.count + 1)))
      #expect(attempts.dropLast().allSatisfy { $0.outcome == .failed && $0.logs == ["late"] })
      reads += 1
      await Task.yield()  // the writer shares a few threads with the readers
    }
    return reads
  }
}
