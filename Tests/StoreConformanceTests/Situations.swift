// How to bring a task into any state by the store's own calls.

import MartletCore
import MartletTestKit

extension TaskStatus {
  /// A number of its own for each, to make ids of.
  var number: Int { TaskStatus.allCases.firstIndex(of: self).map { $0 + 1 } ?? 0 }
}

extension StoreBench {
  /// Submits a task and leads it to `status`. Nothing else may be READY in its lane. RETRY has a minute to wait, PENDING an hour.
  func bring(_ id: TaskID, to status: TaskStatus) async throws {
    var task = AcceptedTask.stub(backoff: RetryPolicy(strategy: .fixed, baseSeconds: 60, jitter: 0))
    task.id = id
    if status == .pending { task.eligible = .after(.seconds(3600)) }
    try await submit(task)
    switch status {
    case .pending, .ready: break
    case .cancelled: try await steer(.cancel, id)
    case .running: _ = try await claimOne()
    case .retry: try await finish(try await claimOne().lease, .failed)
    case .success: try await finish(try await claimOne().lease, .success)
    case .dead: try await finish(try await claimOne().lease, .failed(.stub, .giveUp(.nonRetryable)))
    }
    guard try await record(id).status == status else { throw BenchError.nothingToClaim }
  }

  /// Submits tasks of equal leases, lets their first worker fall silent, and makes them READY again.
  func lose(_ tasks: AcceptedTask...) async throws {
    try await submit(tasks)
    guard Set(try await claim(limit: tasks.count).map(\.id)) == Set(tasks.map(\.id)) else {
      throw BenchError.nothingToClaim
    }
    advance(tasks[0].lease)
    guard try await rescue().rescued.map(\.outcome) == tasks.map({ _ in .lost }) else {
      throw BenchError.nothingToClaim
    }
    advance(.seconds(1))
    guard try await promote().promoted == tasks.count else { throw BenchError.nothingToClaim }
  }
}
