// How long a worker holds on to a lease whose end and whose attempt's timeout are close together.

import Logging
import MartletCore
import MartletTestKit
import Testing

@testable import MartletEngine

@Suite struct LeaseKeeperTests {
  /// When and why an attempt is stopped that begins with an answer which was under way for some milliseconds.
  private func stop(timeout: Double, lease: Double) throws -> (mayBegin: Bool, at: Double, cause: StopCause) {
    try simulate(seed: 1) { scheduler in
      let clock = ProcessClock(scheduler: scheduler)
      let keeper = LeaseKeeper(
        source: SilentSource(), clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
      let (start, age) = (clock.now, Duration.milliseconds(7))
      var task = ClaimedTask.stub()
      task.timeout = .milliseconds(Int64(timeout * 1000))
      task.leaseDuration = .milliseconds(Int64(lease * 1000))
      task.expiresIn = min(task.timeout, task.leaseDuration) - age
      try await clock.sleep(for: age)
      let signal = AttemptSignal()
      keeper.hold(
        task, sentAt: start, context: AttemptContext(task: task, logger: Logger(label: "test")), signal: signal)
      let mayBegin = keeper.mayBegin(task.lease)
      return await withTaskGroup(of: Void.self) { group in
        group.addTask { await keeper.run() }
        defer { group.cancelAll() }
        guard case .stop(let cause) = await signal.next() else { return (mayBegin, -1, .draining) }
        let (seconds, attoseconds) = (clock.now - start).components
        return (mayBegin, Double(seconds) + Double(attoseconds) / 1e18, cause)
      }
    }
  }

  @Test(arguments: [(0.5, 30.0), (1, 30), (2, 30), (3, 30), (9, 30), (1, 1), (30, 30), (0.1, 1)])
  func `an attempt with a short timeout begins, and goes on until that is over`(timeout: Double, lease: Double) throws {
    let found = try stop(timeout: timeout, lease: lease)
    #expect(found.mayBegin)
    #expect((timeout - 0.01...timeout).contains(found.at), "\(found.at)")
    #expect(found.cause == .timedOut)
  }

  @Test(arguments: [(300.0, 30.0, 28.0), (40, 30, 28), (10, 5, 4.5)])
  func `where it is the lease that ends, the attempt stops in time before`(
    timeout: Double, lease: Double, end: Double
  ) throws {
    let found = try stop(timeout: timeout, lease: lease)
    #expect(found.mayBegin)
    #expect((end - 0.01...end).contains(found.at), "\(found.at)")
    #expect(found.cause == .leaseLost)
  }
}

/// Gives nothing and renews nothing.
private struct SilentSource: WorkSource {
  func claim(_ requests: [ClaimRequest]) async throws(StoreError) -> [[ClaimedTask]] { throw .unavailable("silent") }
  func renew(_ renewals: [Renewal]) async throws(StoreError) -> [RenewalVerdict] { throw .unavailable("silent") }
  func finish(_ finishes: [Finish]) async throws(StoreError) -> [FinishVerdict] { throw .unavailable("silent") }
}
